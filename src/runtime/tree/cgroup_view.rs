//! What a container sees of its control groups: `/sys/fs/cgroup`, mounted anew in its own cgroup namespace, so that its own groups
//! are the top (cgroup_namespaces(7)). It cannot write there (CVE-2022-0492), unless it is privileged.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use crate::error::{Context, Result};
use crate::runtime::cgroup::{View, ViewMount};
use crate::sys::file;
use crate::sys::mount::{self, Attributes, Filesystem, Propagation};

const QUIET: Attributes = Attributes::NO_SUID.with(Attributes::NO_DEV).with(Attributes::NO_EXEC);

/// Mounts the view on an open place, seen from a namespace of its own or not; `access` is `READ_ONLY` or nothing.
pub(in crate::runtime) fn attach(view: &View, is_own: bool, place: BorrowedFd<'_>, access: Attributes) -> Result<()> {
    if let [only] = view.mounts.as_slice()
        && only.directory.is_empty()
    {
        return attach_hierarchy(only, is_own, access, &|hierarchy| mount::attach(hierarchy, place));
    }
    let tmpfs = Filesystem::open("tmpfs").during(|| "use the file system `tmpfs`")?;
    tmpfs.set("mode", "755").during(|| "set its mode")?;
    let top = tmpfs.mount(QUIET).during(|| "make a file system `tmpfs`")?;
    mount::attach(&top, place).during(|| "attach it")?;
    for hierarchy in &view.mounts {
        let name = hierarchy.directory.as_str();
        mkdirat(&top, name, Mode::from_bits_truncate(0o755)).during(|| format!("make the directory `{name}`"))?;
        // Nobody else can have put anything in the place of a directory in a file system just made.
        let attach = |hierarchy: &OwnedFd| mount::attach_at(hierarchy, &top, name);
        attach_hierarchy(hierarchy, is_own, access, &attach)?;
    }
    for (name, target) in &view.links {
        symlinkat(target.as_str(), &top, name.as_str()).during(|| format!("make the link `{name}`"))?;
    }
    mount::change(&top, access, None, false).during(|| "make it read-only")
}

fn attach_hierarchy(
    hierarchy: &ViewMount,
    is_own: bool,
    access: Attributes,
    attach: &dyn Fn(&OwnedFd) -> nix::Result<()>,
) -> Result<()> {
    let show = || format!("mount the control groups `{}`", hierarchy.directory);
    if hierarchy.filesystem == "cgroup2"
        && !is_own
        && let Ok(hosts) = hosts(hierarchy, access)
    {
        return attach(&hosts).during(show);
    }
    let filesystem = Filesystem::open(hierarchy.filesystem).during(show)?;
    for option in hierarchy.options.split(',').filter(|option| !option.is_empty()) {
        let set = match option.split_once('=') {
            Some((key, value)) => filesystem.set(key, value),
            None => filesystem.flag(option),
        };
        set.during(show)?;
    }
    let mounted = filesystem.mount(QUIET.with(access)).during(show)?;
    attach(&mounted).during(show)
}

/// The host's own mount. A new one would be the same, but it settles options that hold for the whole machine, and for that waits for a
/// grace period of 5 to 12 ms.
fn hosts(hierarchy: &ViewMount, access: Attributes) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let copy = mount::copy(file::open(&hierarchy.source, flags)?, false)?;
    mount::change(&copy, QUIET.with(access), Some(Propagation::Private), false)?;
    Ok(copy)
}
