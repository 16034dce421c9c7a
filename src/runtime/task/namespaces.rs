//! Which namespaces a container is in: new ones, those of other containers, and for the rest the host's.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::model::ContainerId;
use crate::runtime::process::has_ended;
use crate::runtime::state::state;
use crate::runtime::{Bundle, Namespace, NetworkMode, Request, kill};
use crate::sys::file;
use crate::sys::network;

/// `CLONE_NEWTIME` of `linux/sched.h`.
pub(in crate::runtime) const NEW_TIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// A namespace of another container that a container is to be in. Which process has it is looked up at every start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) struct Join {
    typ: LinuxNamespaceType,
    container: ContainerId,
}

/// The host name of whoever shares the host's.
pub fn host_name() -> Result<String> {
    let name = nix::unistd::gethostname().during(|| "read the host name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// What a request joins.
pub(in crate::runtime) fn joins(request: &Request) -> Vec<Join> {
    let shared = |namespace: &Namespace| match namespace {
        Namespace::Container(id) => Some(id.clone()),
        Namespace::Private | Namespace::Host => None,
    };
    let network = match &request.network {
        NetworkMode::Container(id) => Some(id.clone()),
        NetworkMode::None | NetworkMode::Host => None,
    };
    let all = [
        (LinuxNamespaceType::Pid, shared(&request.pid)),
        (LinuxNamespaceType::Ipc, shared(&request.ipc)),
        (LinuxNamespaceType::Network, network),
    ];
    let joins = all.into_iter().filter_map(|(typ, container)| Some((typ, container?)));
    joins.map(|(typ, container)| Join { typ, container }).collect()
}

/// All namespaces a configuration lists, those to be joined too, as flags of `clone(2)`.
pub(in crate::runtime) fn listed(spec: &Spec) -> CloneFlags {
    in_config(spec).iter().map(|namespace| flag(namespace.typ())).collect()
}

fn in_config(spec: &Spec) -> &[LinuxNamespace] {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    listed.map_or(&[], Vec::as_slice)
}

/// All namespaces of a container that are not the host's, as flags of `clone(2)`.
pub(in crate::runtime) fn all(spec: &Spec, joins: &[Join]) -> CloneFlags {
    new(spec) | joins.iter().map(|join| flag(join.typ)).collect()
}

/// The namespaces a configuration asks to be made, as flags of `clone(2)`.
fn new(spec: &Spec) -> CloneFlags {
    let made = in_config(spec).iter().filter(|namespace| namespace.path().is_none());
    made.map(|namespace| flag(namespace.typ())).collect()
}

/// Whether the end of a container's first process leaves others running, as [`Namespaces::outlive_first`].
pub(in crate::runtime) fn outlives_first(spec: &Spec) -> bool {
    !new(spec).contains(CloneFlags::CLONE_NEWPID)
}

fn flag(typ: LinuxNamespaceType) -> CloneFlags {
    match typ {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Time => NEW_TIME,
    }
}

/// What keeps the mounts of a process there when it has ended.
pub(in crate::runtime) fn mounts_of(pid: i32) -> Option<OwnedFd> {
    let place = format!("/proc/{pid}/ns/mnt");
    file::open(place.as_str(), OFlag::O_RDONLY).ok()
}

/// A network namespace in which only the loopback interface is up, and nothing runs.
static PREPARED: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Makes a network namespace for the next container, unless there is one: it takes the kernel longer than all others together. The calling
/// process must have a single thread. An error other than of going back is none: the container will have one made.
pub(in crate::runtime) fn prepare() -> Result<()> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    if prepared.is_some() {
        return Ok(());
    }
    let open = || file::open("/proc/self/ns/net", OFlag::O_RDONLY);
    let (Ok(own), Ok(())) = (open(), unshare(CloneFlags::CLONE_NEWNET)) else {
        return Ok(());
    };
    *prepared = network::bring_loopback_up().and_then(|()| open()).ok();
    setns(&own, CloneFlags::CLONE_NEWNET).during(|| "come back to the network namespace")
}

/// Forgets what was made ahead: a copy of this process uses it.
pub(in crate::runtime) fn forget_prepared() {
    PREPARED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// The namespaces of a container that is being started.
pub(in crate::runtime) struct Namespaces {
    /// Those to be made.
    pub(in crate::runtime) new: CloneFlags,
    joined: Vec<Joined>,
}

/// A namespace that is there already.
struct Joined {
    flag: CloneFlags,
    whose: Whose,
}

enum Whose {
    /// One that was made ahead.
    Nobodys(OwnedFd),
    /// Another container's. Its first process stands for it: by descriptor, so that a number used again names no other.
    Container { join: Join, owner: OwnedFd },
    /// The one at this path.
    Path { path: PathBuf, namespace: OwnedFd },
}

impl Namespaces {
    /// Finds the containers whose namespaces are joined. Errors: `not_found`; `conflict` for one that does not run.
    pub(in crate::runtime) fn open(bundle: &Bundle, spec: &Spec, joins: &[Join]) -> Result<Namespaces> {
        let joined = joins.iter().map(|join| {
            let owner = owner(&bundle.sibling(&join.container)).map_err(|error| join.explain(error))?;
            let (flag, join) = (flag(join.typ), join.clone());
            let whose = Whose::Container { join, owner };
            Ok(Joined { flag, whose })
        });
        Ok(Namespaces {
            new: new(spec),
            joined: joined.collect::<Result<_>>()?,
        })
    }

    /// Those a configuration lists: new ones, and those at the paths it names.
    pub(in crate::runtime) fn of(spec: &Spec) -> Result<Namespaces> {
        let by_path = in_config(spec).iter().filter_map(|namespace| {
            let path = namespace.path().as_deref()?;
            Some(Joined::at(namespace.typ(), path))
        });
        Ok(Namespaces {
            new: new(spec),
            joined: by_path.collect::<Result<_>>()?,
        })
    }

    /// Uses what was made ahead by this process or the one it is a copy of, if it fits: a network namespace belongs to the user namespace
    /// it was made in.
    pub(in crate::runtime) fn take_prepared(&mut self) {
        let prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fits = self.new.contains(CloneFlags::CLONE_NEWNET) && !self.new.contains(CloneFlags::CLONE_NEWUSER);
        if let Some(namespace) = prepared.filter(|_| fits) {
            let (flag, whose) = (CloneFlags::CLONE_NEWNET, Whose::Nobodys(namespace));
            self.new -= flag;
            self.joined.push(Joined { flag, whose });
        }
    }

    /// Whether the end of the first process leaves others running: it is the first of its own process namespace only.
    pub(in crate::runtime) fn outlive_first(&self) -> bool {
        !self.new.contains(CloneFlags::CLONE_NEWPID)
    }

    /// Whether it is in one of this type that is not the host's.
    pub(in crate::runtime) fn include(&self, flag: CloneFlags) -> bool {
        self.new.contains(flag) || self.joined(flag).is_some()
    }

    fn joined(&self, flag: CloneFlags) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.flag == flag)
    }

    /// Has the next child of this process be born among the processes of the container whose process namespace is joined.
    pub(in crate::runtime) fn join_processes(&self) -> Result<()> {
        self.joined(CloneFlags::CLONE_NEWPID).map_or(Ok(()), Joined::enter)
    }

    /// Joins all others. The calling process must have a single thread.
    pub(in crate::runtime) fn join(&self) -> Result<()> {
        let mut others = self
            .joined
            .iter()
            .filter(|joined| joined.flag != CloneFlags::CLONE_NEWPID);
        others.try_for_each(Joined::enter)
    }

    /// An error of making the first process, with the likelier reason where a joined container has ended since it was found.
    pub(in crate::runtime) fn blame(&self, error: Error) -> Error {
        let ended = self.joined.iter().find_map(|joined| match &joined.whose {
            Whose::Container { join, owner } if has_ended(owner) => Some(join.ended()),
            _ => None,
        });
        ended.unwrap_or(error)
    }

    /// Runs something among the mounts of the container whose IPC namespace is joined, if one is, and comes back.
    pub(in crate::runtime) fn among_mounts_of_ipc_owner<T>(
        &self,
        look: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(joined) = self.joined(CloneFlags::CLONE_NEWIPC) else {
            return Ok(None);
        };
        if !matches!(joined.whose, Whose::Container { .. }) {
            return Ok(None);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let own = file::open("/proc/self/ns/mnt", flags).during(|| "open the mount namespace")?;
        joined.set(CloneFlags::CLONE_NEWNS)?;
        let seen = look();
        setns(&own, CloneFlags::CLONE_NEWNS).during(|| "come back to the mount namespace")?;
        seen.map(Some)
    }
}

impl Joined {
    fn at(typ: LinuxNamespaceType, path: &Path) -> Result<Joined> {
        let show = || format!("join the {typ} namespace `{}`", path.display());
        let namespace = file::open(path, OFlag::O_RDONLY).during(show)?;
        let path = path.to_owned();
        let whose = Whose::Path { path, namespace };
        Ok(Joined { flag: flag(typ), whose })
    }

    fn enter(&self) -> Result<()> {
        self.set(self.flag)
    }

    fn set(&self, flag: CloneFlags) -> Result<()> {
        match &self.whose {
            Whose::Container { join, owner } => match setns(owner, flag) {
                Err(Errno::ESRCH) => Err(join.ended()),
                result => result.during(|| join.what()),
            },
            Whose::Nobodys(namespace) => setns(namespace, flag).during(|| "join a network namespace made ahead"),
            Whose::Path { path, namespace } => setns(namespace, flag)
                .during(|| format!("join the namespace `{}`", path.display()))
                .map_err(|error| match error.kind() {
                    Kind::Internal => error.hint("it must be a namespace of the type it is listed as"),
                    _ => error,
                }),
        }
    }
}

impl Join {
    fn ended(&self) -> Error {
        self.explain(Error::conflict("it has just ended"))
    }

    fn what(&self) -> String {
        format!(
            "join the {} namespace of container `{}`",
            self.typ,
            self.container.short()
        )
    }

    fn explain(&self, error: Error) -> Error {
        error.during(self.what()).target(self.container.as_str())
    }
}

/// The first process of a container that runs, paused or not.
fn owner(bundle: &Bundle) -> Result<OwnedFd> {
    let status = state(bundle)?.status;
    match kill::program(bundle)?.filter(|_| status.is_alive()) {
        Some(owner) => Ok(owner),
        None => Err(Error::conflict(format!("it is {status}")).hint("start it first")),
    }
}
