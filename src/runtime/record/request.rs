//! What is asked of a container, all resolved: no image, name or volume is looked up from here on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ContainerId;
use crate::runtime::cgroup::{Access, Rule};
use crate::runtime::limits::Limits;
use crate::runtime::{HealthCheck, LogBounds, RestartPolicy, Rlimit, Signal};
use crate::runtime::{IdMaps, Secret};

/// Everything one container is made from.
#[derive(Debug, Clone)]
pub struct Request {
    /// The program and its arguments; the program is looked up in the container's `PATH`.
    pub args: Vec<String>,
    /// The environment, as `NAME=value`; the last of several values counts.
    pub env: Vec<String>,
    /// The working directory, made if it is missing; empty is `/`.
    pub cwd: String,
    /// `""`, `user`, `uid`, `user:group`, `uid:gid`; names are looked up in the container's own files.
    pub user: String,
    /// The host name inside; empty is the short id.
    pub hostname: String,
    /// Host files and directories shown inside.
    pub binds: Vec<Bind>,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Files only it sees.
    pub secrets: Vec<Secret>,
    /// Devices of the host it may use.
    pub devices: Vec<Device>,
    /// What it may do with further devices, whose nodes it makes itself or has from elsewhere.
    pub device_rules: Vec<Rule>,
    /// Whether the root file system refuses writes.
    pub read_only: bool,
    /// Which network the container sees.
    pub network: NetworkMode,
    /// Which processes it sees.
    pub pid: Namespace,
    /// With whom it shares memory, semaphores and message queues: those of System V and POSIX.
    pub ipc: Namespace,
    /// Whose host name it has; not that of another container.
    pub uts: Namespace,
    /// From where it sees the control groups; not from another container.
    pub cgroupns: Namespace,
    /// Who its users are on the host; `None` is the same ones.
    pub user_namespace: Option<IdMaps>,
    /// How much of the machine it may use.
    pub limits: Limits,
    /// How much each of its processes may use.
    pub rlimits: Vec<Rlimit>,
    /// Kernel settings of its namespaces, by name.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`; `None` is Docker's 64 MiB.
    pub shm_size: Option<u64>,
    /// Whether it may do all that this process may: every capability, nothing of the kernel's files hidden or write-protected, and
    /// rules about devices that allow all.
    pub privileged: bool,
    /// Capabilities beyond the default ones.
    pub cap_add: Vec<String>,
    /// Capabilities taken from the default ones.
    pub cap_drop: Vec<String>,
    /// Whether setuid programs give no rights (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// The AppArmor profile its programs run under; the one of whoever starts it if empty.
    pub apparmor: String,
    /// Which system calls are refused.
    pub seccomp: Seccomp,
    /// What asks the container to end.
    pub stop_signal: Signal,
    /// How long it may take to end after that.
    pub stop_timeout: Duration,
    /// How long it may run; it is killed after that.
    pub timeout: Option<Duration>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Whether its first process is one that stands by the program.
    pub init: bool,
    /// How its health is checked.
    pub health: Option<HealthCheck>,
    /// The directories of the image's layers, topmost first.
    pub lower: Vec<PathBuf>,
    /// Whether the container is removed once it ended, so that nothing it writes needs to reach the disk.
    pub volatile: bool,
    /// What events tell of it.
    pub attributes: BTreeMap<String, String>,
    /// Labels, kept as annotations.
    pub labels: BTreeMap<String, String>,
    /// Lines for `/etc/hosts`, as `name:address`.
    pub add_hosts: Vec<String>,
    /// The name servers it is told of, instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Whether its program has a terminal: what it writes is then one stream.
    pub tty: bool,
    /// Whether what its program reads stays open for whoever is attached.
    pub interactive: bool,
    /// How much of what it writes is kept.
    pub log: LogBounds,
    /// The arguments under which this program is started once a run of the container is over that nobody has waited for.
    pub after: Vec<String>,
}

impl Default for Request {
    /// Docker's defaults; `args` and `lower` must be filled in.
    fn default() -> Request {
        Request {
            args: Vec::new(),
            env: Vec::new(),
            cwd: String::new(),
            user: String::new(),
            hostname: String::new(),
            binds: Vec::new(),
            tmpfs: Vec::new(),
            secrets: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            read_only: false,
            network: NetworkMode::None,
            pid: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            cgroupns: Namespace::Private,
            user_namespace: None,
            limits: Limits::default(),
            rlimits: Vec::new(),
            sysctls: BTreeMap::new(),
            shm_size: None,
            privileged: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            no_new_privileges: false,
            apparmor: String::new(),
            seccomp: Seccomp::Default,
            stop_signal: Signal::TERM,
            stop_timeout: Duration::from_secs(10),
            timeout: None,
            restart: RestartPolicy::No,
            init: false,
            health: None,
            lower: Vec::new(),
            volatile: false,
            attributes: BTreeMap::new(),
            labels: BTreeMap::new(),
            add_hosts: Vec::new(),
            dns: Vec::new(),
            tty: false,
            interactive: false,
            log: LogBounds::default(),
            after: Vec::new(),
        }
    }
}

/// A host file or directory shown inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The absolute path on the host; it must exist.
    pub source: PathBuf,
    /// The absolute path inside; made if it is missing.
    pub target: String,
    /// Whether writes through it are refused.
    pub read_only: bool,
    /// Whether it shows owners as the container's user namespace maps them, if it has one: what is root's is its root's.
    pub shifted: bool,
}

/// A memory file system inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// The absolute path inside; made if it is missing.
    pub target: String,
    /// Mount options such as `size=64m`, `mode=1777` or `noexec`.
    pub options: Vec<String>,
}

/// A device of the host that a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The device's node on the host, or a directory of them, looked at when the container starts.
    pub source: PathBuf,
    /// Its path inside, below `/dev`.
    pub target: String,
    /// What may be done with it.
    #[serde(default)]
    pub access: Access,
}

/// Which network a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// A network of its own that has nothing but loopback.
    None,
    /// The host's.
    Host,
    /// That of another container, which runs when this one is started.
    Container(ContainerId),
}

impl std::fmt::Display for NetworkMode {
    /// As Docker writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NetworkMode::None => f.write_str("none"),
            NetworkMode::Host => f.write_str("host"),
            NetworkMode::Container(id) => write!(f, "container:{id}"),
        }
    }
}

/// Whose namespace of one kind a container is in (namespaces(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// One of its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of another container, which runs when this one is started.
    Container(ContainerId),
}

impl std::fmt::Display for Namespace {
    /// As Docker writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Namespace::Private => f.write_str("private"),
            Namespace::Host => f.write_str("host"),
            Namespace::Container(id) => write!(f, "container:{id}"),
        }
    }
}

/// Which system calls a container is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Those of Docker's default profile.
    Default,
    /// None.
    Unconfined,
    /// Those of a profile, in Docker's JSON.
    Profile(String),
}

/// A further process in a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Environment variables beyond the container's own, as `NAME=value`.
    pub env: Vec<String>,
    /// The working directory; empty is the container's own.
    pub cwd: String,
    /// As [`Request::user`]; empty is the container's own user.
    pub user: String,
    /// Whether setuid programs give no rights, even where the container allows it.
    pub no_new_privileges: bool,
    /// Whether it has a terminal: what it writes is then one stream.
    pub tty: bool,
    /// Whether what it reads comes from the one in front of it.
    pub interactive: bool,
    /// The rows and columns of its terminal, if they are known.
    pub size: Option<(u16, u16)>,
}
