//! The control groups of a container: limits written before anything runs, counting, freezing, killing, removing.
//!
//! A container has a group `hoist/<id>` in every hierarchy of the machine, v1, v2 or both, and each limit goes to the
//! hierarchy that has its controller. A limit nobody has is an error, never ignored.
//! This module starts no process and knows nothing of images or the store.

mod blkio;
mod controller;
mod cpu;
mod cpuset;
mod devices;
mod group;
mod hierarchy;
mod mark;
mod memory;
mod pids;
mod resources;
mod support;
#[cfg(test)]
mod tests;
mod usage;
mod v1;
mod v2;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use oci_spec::runtime::LinuxResources;

use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::runtime::limits::Limits;
use crate::sys::file;
use controller::CONTROLLERS;
use group::{Group, unless_gone};
use hierarchy::Hierarchy;

pub use devices::{Access, Devices, Kind as DeviceKind, Rule};
pub(super) use devices::{common as common_devices, rules as device_rules};
pub use hierarchy::Version;
pub use mark::{Mark, marked};
pub use support::{ControllerSupport, Support, View, ViewMount, can_restrict_devices, support};
pub use usage::{Pressure, Stats};

/// How long clearing up may take, whatever happens to the operation it belongs to.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// How long to try to freeze before killing; killing works without, but a fork may then need another round.
const FREEZE_TO_KILL: Duration = Duration::from_millis(100);

/// A container's groups, one in each hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    groups: Vec<Group>,
    unified: Option<OwnedFd>,
}

impl Cgroup {
    /// Makes the groups and writes the limits. On an error nothing is left.
    ///
    /// Errors: `invalid` for a limit out of range, `unsupported` for one whose controller this machine lacks,
    /// `denied` where groups cannot be made, `in_use` if processes of an earlier start still run in them.
    pub fn create(id: &str, limits: &Limits) -> Result<Cgroup> {
        check(id, limits)?;
        Cgroup::create_in(&Hierarchy::detect()?, id, limits)
    }

    /// Makes the groups at a path that another engine has chosen, below the top of each hierarchy or, if it is relative, below the
    /// group of this process. They may be there already. Then writes limits, in the words of an OCI configuration.
    ///
    /// Errors: as for [`Cgroup::create`].
    pub fn create_at(path: &Path, resources: Option<&LinuxResources>) -> Result<Cgroup> {
        let hierarchies = Hierarchy::detect()?;
        let (mut cgroup, failures) = Cgroup::make(&hierarchies, |hierarchy| Group::make_at(hierarchy, path));
        let ready = cgroup
            .require(&Limits::default(), failures)
            .and_then(|()| resources.map_or(Ok(()), |resources| cgroup.apply(resources)))
            .and_then(|()| cgroup.open_unified());
        cgroup.if_ready(ready)
    }

    /// The groups at such a path, as far as they are there.
    pub fn open_at(path: &Path) -> Result<Cgroup> {
        let found = Hierarchy::detect()?
            .iter()
            .map(|one| Group::find_at(one, path))
            .collect::<Result<Vec<_>>>()?;
        let groups = found.into_iter().flatten().collect();
        let mut cgroup = Cgroup { groups, unified: None };
        cgroup.open_unified()?;
        Ok(cgroup)
    }

    /// Makes the groups that can be made, and tells of the others why not.
    fn make(
        hierarchies: &[Hierarchy],
        make: impl Fn(&Hierarchy) -> Result<Group>,
    ) -> (Cgroup, Vec<(&Hierarchy, Error)>) {
        let (mut groups, mut failures) = (Vec::new(), Vec::new());
        for hierarchy in hierarchies {
            match make(hierarchy) {
                Ok(group) => groups.push(group),
                Err(error) => failures.push((hierarchy, error)),
            }
        }
        (Cgroup { groups, unified: None }, failures)
    }

    fn create_in(hierarchies: &[Hierarchy], id: &str, limits: &Limits) -> Result<Cgroup> {
        let (mut cgroup, failures) = Cgroup::make(hierarchies, |hierarchy| Group::make(hierarchy, id));
        let ready = cgroup
            .require(limits, failures)
            .and_then(|()| cgroup.limit(limits))
            .and_then(|()| cgroup.open_unified());
        cgroup.if_ready(ready)
    }

    fn if_ready(self, ready: Result<()>) -> Result<Cgroup> {
        match ready {
            Ok(()) => Ok(self),
            Err(error) => {
                // The first error says more than one of clearing up after it.
                let _ = self.remove();
                Err(error)
            }
        }
    }

    /// The groups of a container that was started earlier. One with none gives a value with no [`Cgroup::paths`],
    /// whose other functions find nothing to do.
    pub fn open(id: &str) -> Result<Cgroup> {
        check(id, &Limits::default())?;
        let hierarchies = Hierarchy::detect()?;
        let mut cgroup = Cgroup {
            groups: hierarchies.iter().filter_map(|one| Group::find(one, id)).collect(),
            unified: None,
        };
        cgroup.open_unified()?;
        Ok(cgroup)
    }

    /// Every limit asked for must have its controller among the groups.
    fn require(&self, limits: &Limits, mut failures: Vec<(&Hierarchy, Error)>) -> Result<()> {
        let missing = CONTROLLERS.iter().find_map(|one| {
            let option = one.asked(limits)?;
            let here = |group: &Group| group.has(one.name(group.version));
            (!self.groups.iter().any(here)).then_some((one, option))
        });
        // A hierarchy that is not ours to change can be done without; any other failure is one.
        if let Some(at) = failures.iter().position(|(_, error)| error.kind() != Kind::Denied) {
            return Err(failures.swap_remove(at).1);
        }
        let Some((controller, option)) = missing else {
            return Ok(());
        };
        let owner = |hierarchy: &Hierarchy| hierarchy.has(controller.name(hierarchy.version));
        if let Some((_, error)) = failures.into_iter().find(|(hierarchy, _)| owner(hierarchy)) {
            return Err(error);
        }
        let name = controller.name(Version::V1);
        Err(Error::unsupported(format!(
            "failed to set `{option}`: the control group controller `{name}` is not available"
        ))
        .target(option)
        .hint(format!(
            "mount or delegate the controller `{name}`, or run without `{option}`"
        )))
    }

    /// Replaces the limits under running processes. On an error those before hold.
    ///
    /// Errors: as for [`Cgroup::create`]; `in_use` for less memory than the processes cannot do without (v1).
    pub fn update(&self, before: &Limits, limits: &Limits) -> Result<()> {
        let changed = self.require(limits, Vec::new()).and_then(|()| self.limit(limits));
        if changed.is_err() {
            // The first error says more than one of setting back.
            let _ = self.limit(before);
        }
        changed
    }

    fn limit(&self, limits: &Limits) -> Result<()> {
        self.groups.iter().try_for_each(|group| group.limit(limits))
    }

    fn open_unified(&mut self) -> Result<()> {
        let Some(group) = self.of_version(Version::V2) else {
            return Ok(());
        };
        let opened = file::open(&group.path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let opened = opened.during(|| format!("open control group `{}`", group.path.display()));
        self.unified = unless_gone(opened.map(Some), None)?;
        Ok(())
    }

    fn of_version(&self, version: Version) -> Option<&Group> {
        self.groups.iter().find(|group| group.version == version)
    }

    fn v1_with(&self, controller: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.version == Version::V1 && group.has(controller))
    }

    /// Moves the calling process into every group; it must have a single thread, and its cgroup namespace must be
    /// unshared only afterwards. A process that was cloned into [`Cgroup::clone_into_fd`] is in the v2 group already.
    pub fn join_self(&self) -> Result<()> {
        for group in &self.groups {
            match group.version {
                Version::V1 => v1::join(&group.path)?,
                Version::V2 if self.is_self_in(group)? => {}
                Version::V2 => v2::join(&group.path)?,
            }
        }
        Ok(())
    }

    fn is_self_in(&self, group: &Group) -> Result<bool> {
        let own = file::read_small_text(Path::new("/proc/self/cgroup")).during(|| "read `/proc/self/cgroup`")?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"));
        let end = group.path.strip_prefix(&group.mount_point).unwrap_or(Path::new("/"));
        Ok(path.is_some_and(|path| Path::new(path).ends_with(end)))
    }

    /// Gives the v2 group, if there is one, to a user of the host: what a container does there concerns only what is below.
    pub fn delegate(&self, uid: u32) -> Result<()> {
        self.of_version(Version::V2)
            .map_or(Ok(()), |group| v2::delegate(&group.path, uid))
    }

    /// The v2 group for `clone3` with `CLONE_INTO_CGROUP`, which costs a tenth of a millisecond where joining costs ten;
    /// `None` where there is no v2 hierarchy.
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|fd| fd.as_fd())
    }

    /// The processes in the groups, as this process numbers them, each once.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for group in &self.groups {
            pids.extend(group.pids()?);
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Stops all processes where they are, and returns once they stand still. If that fails, they all go on.
    pub fn freeze(&self, ctx: &Context) -> Result<()> {
        match (self.v1_with("freezer"), self.of_version(Version::V2)) {
            (Some(group), _) => v1::freeze(&group.path, ctx),
            (None, Some(group)) => v2::freeze(&group.path, ctx),
            (None, None) => Err(Error::unsupported(
                "failed to pause: the control group controller `freezer` is not available",
            )),
        }
    }

    /// Lets frozen processes go on; nothing happens if none is frozen, or the groups are gone.
    pub fn thaw(&self) -> Result<()> {
        let v1 = self.v1_with("freezer").map_or(Ok(()), |group| v1::thaw(&group.path));
        let v2 = self
            .of_version(Version::V2)
            .map_or(Ok(()), |group| v2::thaw(&group.path));
        unless_gone(v1, ()).and(unless_gone(v2, ()))
    }

    /// Whether the processes are frozen; those of groups that are gone are not.
    pub fn is_frozen(&self) -> Result<bool> {
        let frozen = match (self.v1_with("freezer"), self.of_version(Version::V2)) {
            (Some(group), _) => v1::is_frozen(&group.path),
            (None, Some(group)) => v2::is_frozen(&group.path),
            (None, None) => Ok(false),
        };
        unless_gone(frozen, false)
    }

    /// Kills all processes, frozen ones too, and returns once none is left; `timeout` if some are after ten seconds.
    pub fn kill_all(&self) -> Result<()> {
        let ctx = Context::new().with_timeout(CLEAN_UP);
        loop {
            if let Some(group) = self.of_version(Version::V2) {
                unless_gone(v2::kill(&group.path), true)?;
            }
            let pids = self.pids()?;
            if pids.is_empty() {
                return self.thaw();
            }
            let signalled = self.kill_frozen(&ctx);
            // A frozen process does not die: whatever happened, they must go on.
            self.thaw()?;
            signalled?;
            ctx.sleep(Duration::from_millis(1))
                .during(|| "kill the container's processes")?;
        }
    }

    /// Signals each process while none can fork. On v2 the kernel has done so already, and few are left to name.
    fn kill_frozen(&self, ctx: &Context) -> Result<()> {
        if let Some(group) = self.v1_with("freezer") {
            // Not frozen in time, they are killed all the same, and once more if one forked.
            let _ = v1::freeze(&group.path, &ctx.with_timeout(FREEZE_TO_KILL));
        }
        for pid in self.pids()? {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).during(|| format!("kill process {pid}")),
            }
        }
        Ok(())
    }

    /// Keeps the processes of groups made anew to the devices that rules allow. False where this machine has no way to: neither the
    /// controller of v1 nor, under v2, programs that this process may attach.
    ///
    /// Errors: `unsupported` for rules that v1 cannot say; `denied` where a group above allows less.
    pub fn restrict_devices(&self, rules: &[Rule]) -> Result<bool> {
        match (self.v1_with(devices::CONTROLLER), &self.unified) {
            _ if devices::allow_everything(rules) => Ok(true),
            (Some(group), _) => devices::write(&group.path, rules).map(|()| true),
            (None, Some(group)) => devices::attach(group.as_fd(), rules),
            (None, None) => Ok(false),
        }
    }

    /// How many processes the kernel killed for want of memory; 0 where the memory controller is not available.
    pub fn oom_kills(&self) -> u64 {
        self.memory()
            .and_then(|group| memory::oom_kills(&group.path, group.version))
            .unwrap_or(0)
    }

    /// The most memory used at one time, in bytes; `None` where the kernel does not say.
    pub fn memory_peak(&self) -> Option<u64> {
        self.memory().and_then(|group| memory::peak(&group.path, group.version))
    }

    fn memory(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.has("memory"))
    }

    /// Removes the groups, those a container made below them too. All are tried, whatever happens to one of them; groups
    /// that are gone are fine. `in_use` if processes are left after ten seconds.
    pub fn remove(&self) -> Result<()> {
        let ctx = Context::new().with_timeout(CLEAN_UP);
        let results: Vec<Result<()>> = self.groups.iter().map(|group| group.remove(&ctx)).collect();
        results.into_iter().collect()
    }

    /// The directories of the groups.
    pub fn paths(&self) -> Vec<&Path> {
        self.groups.iter().map(|group| group.path.as_path()).collect()
    }

    /// What `/sys/fs/cgroup` should show in the container.
    pub fn container_mounts(&self) -> View {
        support::view(&self.groups)
    }
}

/// Moves a process to the groups that this one is in; one that has ended meanwhile is no concern any more.
pub(super) fn take_in(pid: i32) -> Result<()> {
    for hierarchy in Hierarchy::detect()? {
        let _ = std::fs::write(hierarchy.own().join("cgroup.procs"), pid.to_string());
    }
    Ok(())
}

/// Whether the processes of a container that runs are frozen; what [`Cgroup::is_frozen`] says of its groups, for who looks at many.
pub fn is_frozen(id: &str) -> Result<bool> {
    static SEEN: OnceLock<Vec<Hierarchy>> = OnceLock::new();
    check(id, &Limits::default())?;
    let seen = SEEN.get_or_init(|| Hierarchy::detect().unwrap_or_default());
    if let Some(frozen) = is_frozen_in(seen, id)? {
        return Ok(frozen);
    }
    // One that is not where it was looked for may be where another hierarchy has been mounted since.
    Ok(is_frozen_in(&Hierarchy::detect()?, id)?.unwrap_or(false))
}

/// What the first group says that can be frozen; `None` if there is none.
fn is_frozen_in(hierarchies: &[Hierarchy], id: &str) -> Result<Option<bool>> {
    let freezers = hierarchies
        .iter()
        .filter(|one| one.version == Version::V1 && one.has("freezer"));
    let unified = hierarchies.iter().filter(|one| one.version == Version::V2);
    for hierarchy in freezers.chain(unified) {
        for group in Group::places(hierarchy, id) {
            // Not looked for before it is read: it is there in nearly all cases.
            let frozen = match hierarchy.version {
                Version::V1 => v1::is_frozen(&group),
                Version::V2 => v2::is_frozen(&group),
            };
            if let Some(frozen) = unless_gone(frozen.map(Some), None)? {
                return Ok(Some(frozen));
            }
        }
    }
    Ok(None)
}

/// Whether a container could be made with these limits, as far as that can be said without a machine.
pub fn check_limits(limits: &Limits) -> Result<()> {
    CONTROLLERS.iter().try_for_each(|one| one.check(limits))
}

fn check(id: &str, limits: &Limits) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(plain) {
        return Err(Error::invalid(format!(
            "`{}` cannot name a control group",
            id.escape_debug()
        )));
    }
    check_limits(limits)
}
