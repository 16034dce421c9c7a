//! The options of `container::run`, `run_detached` and `create`: Docker's long flags with underscores.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::mount_option::{MountOption, Parsed};
use super::secrets::SecretOptions;
use super::user_namespace::{UserNamespace, Userns};
use super::{Container, HealthOption, LogOption};
use crate::error::{Error, Result};
use crate::host::Policy;
use crate::model::{ByteSize, Bytes, Command, ContainerId, Pairs, TimeSpan, Words};
use crate::runtime::{Access, Bind, Device, Namespace, NetworkMode, RestartPolicy, Rlimit, Rule, Tmpfs};

/// Everything a container can be made with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerOptions {
    /// Its name; two words are made up otherwise.
    pub name: Option<String>,
    /// The host name inside; the short id otherwise.
    pub hostname: Option<String>,
    /// Environment variables over the image's.
    pub env: Pairs,
    /// Files of `NAME=value` lines, read before `env`.
    pub env_file: Words,
    /// The directory the command starts in.
    pub workdir: Option<String>,
    /// `name`, `uid` or either with `:group`.
    pub user: Option<String>,
    /// Replaces the image's entrypoint; `[]` takes it away.
    pub entrypoint: Option<Command>,
    /// Labels over the image's.
    pub labels: Pairs,
    /// `/host/path:/path[:ro,idmap]` or `volume:/path[:ro]`; a new volume starts as what the image has at the path.
    pub volumes: Words,
    /// The same and `tmpfs`, as `docker run --mount` has it: `type=bind,source=/host/path,target=/path`, or maps of these.
    pub mounts: Vec<MountOption>,
    /// `/path[:option,…]` in memory.
    pub tmpfs: Words,
    /// Files only it sees, in `/run/secrets`: a map of names and contents, or an array of files of the host.
    pub secrets: SecretOptions,
    /// `/dev/host`, or `/dev/host:/dev/inside`, with letters of `:rwm` behind it or not; or a directory of devices.
    pub devices: Words,
    /// What it may do with further devices: `c 10:200 rwm`.
    pub device_cgroup_rules: Words,
    /// `none` (the default for now), `host` or `container:NAME`.
    pub network: Option<String>,
    /// Which processes it sees: `private`, `host` or `container:NAME`.
    pub pid: Option<String>,
    /// Whose shared memory and message queues it has: `private`, `host` or `container:NAME`.
    pub ipc: Option<String>,
    /// Whose host name it has: `private` or `host`.
    pub uts: Option<String>,
    /// From where it sees the control groups: `private` or `host`.
    pub cgroupns: Option<String>,
    /// Who its users are on the host: `auto`, `host`, or maps.
    pub userns: Option<Userns>,
    /// Lines for `/etc/hosts`, as `name:address`.
    pub add_hosts: Words,
    /// The addresses of the name servers for `/etc/resolv.conf`; the host's where its network is the host's, else none.
    pub dns: Words,
    /// The most memory.
    pub memory: Option<ByteSize>,
    /// The most memory and swap together.
    pub memory_swap: Option<ByteSize>,
    /// Memory the kernel tries to leave to it.
    pub memory_reservation: Option<ByteSize>,
    /// Processors' worth of time, such as `1.5`.
    pub cpus: Option<f64>,
    /// Share of processor time against other containers; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// The processors to run on, such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// The most processes and threads.
    pub pids_limit: Option<i64>,
    /// Share of disk time against other containers, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Limits of each process, such as `nofile`: a number, or `SOFT:HARD`.
    pub ulimits: Pairs,
    /// Kernel settings of its namespaces, such as `net.core.somaxconn`.
    pub sysctls: Pairs,
    /// The most `/dev/shm` may hold; 64 MiB otherwise.
    pub shm_size: Option<ByteSize>,
    /// It may do all that this process may.
    pub privileged: bool,
    /// Capabilities beyond the default ones.
    pub cap_add: Words,
    /// Capabilities taken away; `ALL` for all.
    pub cap_drop: Words,
    /// The root file system refuses writes.
    pub read_only: bool,
    /// `default`, `unconfined`, or the path of a profile in Docker's JSON.
    pub seccomp: Option<String>,
    /// Setuid programs give no rights.
    pub no_new_privileges: Option<bool>,
    /// The two in Docker's words: `seccomp=…`, `no-new-privileges`.
    pub security_opt: Words,
    /// The command has a terminal.
    pub tty: bool,
    /// What the command reads stays open for whoever is attached.
    pub interactive: bool,
    /// What the command reads: text, or bytes.
    pub stdin: Option<Bytes>,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
    /// How long it may take to end after that.
    pub stop_timeout: Option<TimeSpan>,
    /// How long it may run.
    pub timeout: Option<TimeSpan>,
    /// When it is started again: `no`, `on-failure[:N]`, `always` or `unless-stopped`.
    pub restart: RestartPolicy,
    /// Its first process reaps processes and passes signals on, and has the command as its child.
    pub init: bool,
    /// A program of the host that is to be that process.
    pub init_binary: Option<PathBuf>,
    /// How its health is checked; `none` for not at all.
    pub health: HealthOption,
    /// How much of what it writes is kept.
    pub log: LogOption,
    /// When a registry is asked for the image; without it, none is.
    pub pull: Option<Policy>,
    /// The platform the image is to be for, such as `linux/amd64`; without it, whatever is here.
    pub platform: Option<String>,
    /// `run_detached`, `create`: remove the container once it has ended.
    pub rm: bool,
    /// `run`: leave the container in place afterwards.
    pub keep: bool,
    /// `run`: a code other than zero is an error (the default).
    pub check: Option<bool>,
    /// `run`: pass output through as well.
    pub stream: bool,
}

/// A place inside shown from a named volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedMount {
    pub(super) volume: String,
    pub(super) target: String,
    pub(super) read_only: bool,
}

/// A volume option, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Volume {
    Bind(Bind),
    Named(NamedMount),
}

impl ContainerOptions {
    pub(super) fn network_mode(&self, owner: Owner<'_>) -> Result<NetworkMode> {
        match self.network.as_deref() {
            None | Some("none") => Ok(NetworkMode::None),
            Some("host") => Ok(NetworkMode::Host),
            Some(other) => match other.strip_prefix("container:") {
                Some(name) => Ok(NetworkMode::Container(find("network", name, owner)?.id().clone())),
                None => Err(
                    Error::unsupported(format!("network `{}` is not supported", other.escape_debug()))
                        .target(other)
                        .hint(
                            "`none` gives the container a network of its own with loopback only, `host` shares the host's, \
                             `container:NAME` another container's",
                        ),
                ),
            },
        }
    }

    /// The name servers, each of which is an address. Errors: `invalid`.
    pub(super) fn name_servers(&self) -> Result<Vec<IpAddr>> {
        let parse = |text: &String| {
            text.parse().map_err(|_| {
                Error::invalid(format!("`{}` is not the address of a name server", text.escape_debug()))
                    .target("dns")
                    .hint("a name server is an address such as `1.1.1.1` or `2606:4700:4700::1111`")
            })
        };
        self.dns.0.iter().map(parse).collect()
    }

    pub(super) fn pid_namespace(&self, owner: Owner<'_>) -> Result<Namespace> {
        namespace("pid", self.pid.as_deref(), Some(owner))
    }

    pub(super) fn ipc_namespace(&self, owner: Owner<'_>) -> Result<Namespace> {
        namespace("ipc", self.ipc.as_deref(), Some(owner))
    }

    pub(super) fn uts_namespace(&self) -> Result<Namespace> {
        namespace("uts", self.uts.as_deref(), None)
    }

    pub(super) fn cgroup_namespace(&self) -> Result<Namespace> {
        namespace("cgroupns", self.cgroupns.as_deref(), None)
    }

    pub(super) fn user_namespace(&self) -> Result<UserNamespace> {
        UserNamespace::of(self.userns.as_ref())
    }

    /// The host name inside, which is that of whomever it is shared with.
    pub(super) fn host_name(&self, id: &ContainerId, owner: Owner<'_>) -> Result<String> {
        let network = self.network.as_deref().and_then(|mode| mode.strip_prefix("container:"));
        let shared = match (self.uts.as_deref(), network) {
            (Some("host"), _) => Some(("uts", crate::runtime::host_name()?)),
            (_, Some(name)) => Some(("network", find("network", name, owner)?.facts.recipe.hostname.clone())),
            _ => None,
        };
        match (shared, &self.hostname) {
            (Some((option, _)), Some(name)) => Err(Error::invalid(format!(
                "the host name `{}` cannot be set: by the option `{option}` it is shared",
                name.escape_debug()
            ))
            .target(name)
            .hint(format!("leave out `hostname`, or `{option}`"))),
            (Some((_, name)), None) => Ok(name),
            (None, Some(name)) => Ok(name.clone()),
            (None, None) => Ok(id.short().to_owned()),
        }
    }

    pub(super) fn rlimits(&self) -> Result<Vec<Rlimit>> {
        let limits = self.ulimits.0.iter();
        limits.map(|(name, value)| Rlimit::parse(name, value)).collect()
    }

    pub(super) fn parsed_volumes(&self) -> Result<Vec<Volume>> {
        let short = self.volumes.0.iter().map(|text| volume(text));
        let long = self.mounts.iter().filter_map(|mount| match mount.parse() {
            Ok(Parsed::Volume(volume)) => Some(Ok(volume)),
            Ok(Parsed::Tmpfs(_)) => None,
            Err(error) => Some(Err(error)),
        });
        short.chain(long).collect()
    }

    pub(super) fn parsed_devices(&self) -> Result<Vec<Device>> {
        self.devices.0.iter().map(|text| device(text)).collect()
    }

    pub(super) fn parsed_device_rules(&self) -> Result<Vec<Rule>> {
        self.device_cgroup_rules.0.iter().map(|text| text.parse()).collect()
    }

    pub(super) fn parsed_tmpfs(&self) -> Result<Vec<Tmpfs>> {
        let mounts = self.tmpfs.0.iter().map(|text| {
            let (target, options) = text.split_once(':').unwrap_or((text, ""));
            check_target(target, text)?;
            let options = options.split(',').filter(|option| !option.is_empty());
            Ok(Tmpfs {
                target: target.to_owned(),
                options: options.map(str::to_owned).collect(),
            })
        });
        let long = self.mounts.iter().filter_map(|mount| match mount.parse() {
            Ok(Parsed::Tmpfs(tmpfs)) => Some(Ok(tmpfs)),
            Ok(Parsed::Volume(_)) => None,
            Err(error) => Some(Err(error)),
        });
        mounts.chain(long).collect()
    }

    /// The environment of `env_file` and `env`, in that order.
    pub(super) fn environment(&self) -> Result<Vec<(String, String)>> {
        let mut variables = Vec::new();
        for path in &self.env_file.0 {
            let text = std::fs::read_to_string(path).map_err(|cause| {
                Error::invalid(format!("failed to read the environment file `{path}`: {cause}")).target(path)
            })?;
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            // A name without a value is not taken from the environment of this process (CVE-2026-57231).
            variables.extend(lines.filter_map(|line| line.split_once('=')).map(owned));
        }
        variables.extend(self.env.0.clone());
        match variables
            .iter()
            .find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
        {
            Some((name, _)) => Err(Error::invalid(format!(
                "`{}` cannot name a variable",
                name.escape_debug()
            ))),
            None => Ok(variables),
        }
    }
}

/// Finds the container whose namespace is to be shared.
pub(super) type Owner<'a> = &'a dyn Fn(&str) -> Result<Container>;

fn find(option: &str, name: &str, owner: Owner<'_>) -> Result<Container> {
    let what = || format!("share the {option} namespace of `{}`", name.escape_debug());
    owner(name).map_err(|error| error.during(what()))
}

/// What an option says of a namespace; that of another container is there only with a way to find it.
fn namespace(option: &str, text: Option<&str>, owner: Option<Owner<'_>>) -> Result<Namespace> {
    let Some(text) = text else {
        return Ok(Namespace::Private);
    };
    match (text, text.strip_prefix("container:"), owner) {
        ("private", ..) => Ok(Namespace::Private),
        ("host", ..) => Ok(Namespace::Host),
        (_, Some(name), Some(owner)) => Ok(Namespace::Container(find(option, name, owner)?.id().clone())),
        (_, _, owner) => {
            let known = ["private", "host", "container:NAME"];
            let known = &known[..if owner.is_some() { 3 } else { 2 }];
            Err(crate::model::unknown(
                &format!("value of option `{option}`"),
                text,
                known,
            ))
        }
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn volume(text: &str) -> Result<Volume> {
    let invalid = |why: &str| {
        Error::invalid(format!("`{}` is not a volume: {why}", text.escape_debug()))
            .hint("a volume is `/host/path:/path` or `name:/path`, with `:ro` behind it to refuse writes")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, "rw"),
        [source, target, mode] => (source, target, mode),
        _ => return Err(invalid("it has no place inside")),
    };
    let (mut read_only, mut shifted) = (false, false);
    for word in mode.split(',') {
        match word {
            "rw" => read_only = false,
            "ro" => read_only = true,
            "idmap" => shifted = true,
            _ => return Err(invalid(&format!("`{word}` is none of `ro`, `rw` and `idmap`"))),
        }
    }
    check_target(target, text)?;
    let target = target.to_owned();
    if source.starts_with('/') {
        return Ok(Volume::Bind(Bind {
            source: source.into(),
            target,
            read_only,
            shifted,
        }));
    }
    source
        .parse::<crate::model::ContainerName>()
        .map_err(|_| invalid("its source is neither an absolute path nor a volume's name"))?;
    Ok(Volume::Named(NamedMount {
        volume: source.to_owned(),
        target,
        read_only,
    }))
}

fn device(text: &str) -> Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts[..] {
        [source] => (source, source, Some(Access::ALL)),
        [source, target] if target.starts_with('/') => (source, target, Some(Access::ALL)),
        [source, access] => (source, source, Access::parse(access)),
        [source, target, access] => (source, target, Access::parse(access)),
        _ => ("", "", None),
    };
    match access.filter(|_| source.starts_with('/')) {
        Some(access) => Ok(Device {
            source: source.into(),
            target: target.to_owned(),
            access,
        }),
        None => Err(Error::invalid(format!("`{}` is not a device", text.escape_debug()))
            .target(text)
            .hint("a device is `/dev/host` or `/dev/host:/dev/inside`, with some of the letters of `:rwm` behind it or not")),
    }
}

pub(super) fn check_target(target: &str, whole: &str) -> Result<()> {
    let climbs = target.split('/').any(|part| part == "..");
    if target.starts_with('/') && target != "/" && !climbs {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{}` does not name a place inside the container",
        whole.escape_debug()
    ))
    .hint("the path inside is absolute, is not `/`, and has no `..`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_taken_apart() {
        let bind = Bind {
            source: "/a".into(),
            target: "/b".into(),
            read_only: true,
            shifted: true,
        };
        assert_eq!(volume("/a:/b:ro,idmap").unwrap(), Volume::Bind(bind));
        let named = NamedMount {
            volume: "data".into(),
            target: "/b".into(),
            read_only: false,
        };
        assert_eq!(volume("data:/b").unwrap(), Volume::Named(named));
        for text in [
            "",
            "/a",
            "/a:b",
            "/a:/",
            "/a:/b:rx",
            "../a:/b",
            "/a:/b/../c",
            "a b:/c",
            "/a:/b:ro:x",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_are_taken_apart() {
        let read = |text| {
            device(text).map(|device| format!("{} {} {}", device.source.display(), device.target, device.access))
        };
        for (text, expected) in [
            ("/dev/a", "/dev/a /dev/a rwm"),
            ("/dev/a:mwr", "/dev/a /dev/a rwm"),
            ("/dev/a:r", "/dev/a /dev/a r"),
            ("/dev/a:/dev/b", "/dev/a /dev/b rwm"),
            ("/dev/a:/dev/b:wr", "/dev/a /dev/b rw"),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "a",
            "a:/dev/b",
            "/dev/a:",
            "/dev/a:rr",
            "/dev/a:/dev/b:x",
            "/dev/a:/dev/b:",
            "/dev/a:/dev/b:rwm:",
        ] {
            assert_eq!(read(text).unwrap_err().kind(), crate::error::Kind::Invalid, "{text}");
        }
    }

    #[test]
    fn a_name_alone_does_not_take_the_hosts_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, "# remark\nPATH\nA=1\n\nB=x=y\n").unwrap();
        let options = ContainerOptions {
            env_file: Words(vec![file.display().to_string()]),
            ..Default::default()
        };
        let expected = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y".to_owned())];
        assert_eq!(options.environment().unwrap(), expected);
    }

    fn nobody(name: &str) -> Result<Container> {
        Err(Error::not_found(format!("container `{name}` does not exist")))
    }

    #[test]
    fn whose_a_namespace_is_can_be_read() {
        let read = |text| namespace("pid", Some(text), Some(&nobody));
        assert_eq!(namespace("pid", None, None).unwrap(), Namespace::Private);
        assert_eq!(read("private").unwrap(), Namespace::Private);
        assert_eq!(read("host").unwrap(), Namespace::Host);
        let message = "failed to share the pid namespace of `a`: container `a` does not exist";
        assert_eq!(read("container:a").unwrap_err().to_string(), message);
        for (text, owner) in [
            ("shared", Some(&nobody as Owner<'_>)),
            ("", None),
            ("container:a", None),
        ] {
            let kind = namespace("uts", Some(text), owner).unwrap_err().kind();
            assert_eq!(kind, crate::error::Kind::Invalid, "{text}");
        }
    }

    #[test]
    fn another_network_is_unsupported() {
        let options = ContainerOptions {
            network: Some("bridge".into()),
            ..Default::default()
        };
        assert_eq!(
            options.network_mode(&nobody).unwrap_err().kind(),
            crate::error::Kind::Unsupported
        );
    }
}
