//! What a container is made from, resolved once: image defaults under options. Kept with its row for getters and commits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::health;
use super::options::{ContainerOptions, Owner, Volume};
use super::security::Security;
use super::user_namespace::UserNamespace;
use crate::error::{Error, Result};
use crate::images::RunConfig;
use crate::model::{Command, ContainerId, TimeSpan};
use crate::runtime::{
    Bind, Device, LogBounds, Namespace, NetworkMode, Request, RestartPolicy, Rlimit, Seccomp, Secret, Signal, Tmpfs,
    limits::Limits,
};

/// Where a program of the host stands that is to be the first process.
const INIT_BINARY: &str = "/sbin/docker-init";

/// A place inside that is shown from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The path on the host, or the volume's name; nothing for `tmpfs`.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Of a `bind`, whether it shows owners as the container's user namespace maps them; a volume does.
    #[serde(default)]
    pub shifted: bool,
}

/// The settings of one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::host) struct Recipe {
    /// What an image made from the container has as its configuration.
    pub(super) config: RunConfig,
    pub(super) hostname: String,
    pub(super) mounts: Vec<Mount>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) secrets: Vec<Secret>,
    /// In Docker's words.
    #[serde(default)]
    pub(super) device_rules: Vec<String>,
    pub(super) network: NetworkMode,
    #[serde(default)]
    pub(super) pid: Namespace,
    #[serde(default)]
    pub(super) ipc: Namespace,
    #[serde(default)]
    pub(super) uts: Namespace,
    #[serde(default)]
    pub(super) cgroupns: Namespace,
    #[serde(default)]
    pub(super) userns: UserNamespace,
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) rlimits: Vec<Rlimit>,
    #[serde(default)]
    pub(super) sysctls: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) shm_size: Option<u64>,
    #[serde(default)]
    pub(super) privileged: bool,
    pub(super) cap_add: Vec<String>,
    pub(super) cap_drop: Vec<String>,
    pub(super) read_only: bool,
    pub(super) no_new_privileges: bool,
    #[serde(default)]
    pub(super) apparmor: String,
    pub(super) seccomp: Seccomp,
    pub(super) add_hosts: Vec<String>,
    #[serde(default)]
    pub(super) dns: Vec<IpAddr>,
    pub(super) tmpfs_options: Vec<Vec<String>>,
    pub(super) stop_timeout: Option<TimeSpan>,
    pub(super) timeout: Option<TimeSpan>,
    #[serde(default)]
    pub(super) tty: bool,
    #[serde(default)]
    pub(super) interactive: bool,
    #[serde(default)]
    pub(super) restart: RestartPolicy,
    #[serde(default)]
    pub(super) rm: bool,
    #[serde(default)]
    pub(super) init: bool,
    #[serde(default)]
    pub(super) init_binary: Option<PathBuf>,
    #[serde(default)]
    pub(super) log: LogBounds,
}

impl Recipe {
    /// Puts the options over the image's configuration, as Docker does: a new entrypoint drops the image's command.
    pub(super) fn new(
        image: RunConfig,
        cmd: Option<Command>,
        options: &ContainerOptions,
        id: &ContainerId,
        owner: Owner<'_>,
    ) -> Result<Recipe> {
        let mut config = image;
        // An entry without a value would otherwise be read as "take the host's" (CVE-2026-57231); one without a name is none.
        config.env.retain(|entry| entry.find('=').is_some_and(|at| at > 0));
        for (name, value) in options.environment()? {
            config.set_env(&name, &value);
        }
        if let Some(entrypoint) = &options.entrypoint {
            config.entrypoint = Some(entrypoint.words()).filter(|words| !words.is_empty());
            config.cmd = None;
        }
        if let Some(cmd) = cmd {
            config.cmd = Some(cmd.words());
        }
        override_with(&mut config.working_dir, &options.workdir);
        override_with(&mut config.user, &options.user);
        config.labels.extend(options.labels.0.clone());
        if let Some(signal) = &options.stop_signal {
            config.stop_signal = Some(signal.parse::<Signal>()?.to_string());
        }
        health::configure(&mut config, &options.health)?;
        if let Some(binary) = &options.init_binary
            && !(binary.is_absolute() && binary.is_file())
        {
            return Err(Error::invalid(format!("`{}` is no program of this machine", binary.display()))
                .target("init_binary")
                .hint("give the absolute path of an init such as `tini`, or `init: true` for the one that comes with Hoist"));
        }
        let security = Security::of(options)?;
        let tmpfs = options.parsed_tmpfs()?;
        let mut mounts: Vec<Mount> = options.parsed_volumes()?.into_iter().map(Mount::from).collect();
        mounts.extend(tmpfs.iter().map(|tmpfs| Mount {
            kind: "tmpfs".to_owned(),
            source: String::new(),
            target: tmpfs.target.clone(),
            read_only: false,
            shifted: false,
        }));
        let recipe = Recipe {
            hostname: options.host_name(id, owner)?,
            mounts,
            devices: options.parsed_devices()?,
            secrets: options.secrets.secrets()?,
            device_rules: options
                .parsed_device_rules()
                .map(|_| options.device_cgroup_rules.0.clone())?,
            network: options.network_mode(owner)?,
            pid: options.pid_namespace(owner)?,
            ipc: options.ipc_namespace(owner)?,
            uts: options.uts_namespace()?,
            cgroupns: options.cgroup_namespace()?,
            userns: options.user_namespace()?,
            limits: limits(options),
            rlimits: options.rlimits()?,
            sysctls: options.sysctls.0.clone(),
            shm_size: options.shm_size.map(|size| size.0),
            privileged: options.privileged,
            cap_add: options.cap_add.0.clone(),
            cap_drop: options.cap_drop.0.clone(),
            read_only: options.read_only,
            no_new_privileges: security.no_new_privileges,
            apparmor: security.apparmor,
            seccomp: security.seccomp,
            add_hosts: options.add_hosts.0.clone(),
            dns: options.name_servers()?,
            tmpfs_options: tmpfs.into_iter().map(|tmpfs| tmpfs.options).collect(),
            stop_timeout: options.stop_timeout.or_else(|| config.stop_timeout.and_then(seconds)),
            timeout: options.timeout,
            tty: options.tty,
            interactive: options.interactive,
            restart: options.restart,
            rm: options.rm,
            init: options.init || options.init_binary.is_some(),
            init_binary: options.init_binary.clone(),
            log: options.log.bounds()?,
            config,
        };
        if let Some(mount) = recipe
            .mounts
            .iter()
            .find(|mount| mount.shifted && !recipe.userns.is_own())
        {
            return Err(Error::invalid(format!(
                "`{}` cannot be shown under other users: the container has those of the host",
                mount.target
            ))
            .hint("leave `idmap` out, or give the container a user namespace: `userns: \"auto\"`"));
        }
        if recipe.rm && recipe.restart != RestartPolicy::No {
            return Err(
                Error::invalid("what is removed once it has ended cannot be started again")
                    .hint("leave out `rm`, or `restart`"),
            );
        }
        if recipe.args().is_empty() {
            return Err(
                Error::invalid("there is no command to run, neither given nor in the image")
                    .hint("give one, such as `[\"/bin/sh\", \"-c\", \"echo hi\"]`"),
            );
        }
        Ok(recipe)
    }

    /// The words that are executed: entrypoint, then command.
    pub(super) fn args(&self) -> Vec<String> {
        let entrypoint = self.config.entrypoint.iter().flatten();
        entrypoint.chain(self.config.cmd.iter().flatten()).cloned().collect()
    }

    /// The containers it shares namespaces of, each with the option that says so.
    pub(super) fn owners(&self) -> Vec<(&'static str, &ContainerId)> {
        let mut owners = Vec::new();
        if let NetworkMode::Container(id) = &self.network {
            owners.push(("network", id));
        }
        for (option, namespace) in [("pid", &self.pid), ("ipc", &self.ipc)] {
            if let Namespace::Container(id) = namespace {
                owners.push((option, id));
            }
        }
        owners
    }

    /// Its named volumes, each with its place inside.
    pub(super) fn volumes(&self) -> Vec<(&str, &str)> {
        let volumes = self.mounts.iter().filter(|mount| mount.kind == "volume");
        volumes
            .map(|mount| (mount.source.as_str(), mount.target.as_str()))
            .collect()
    }

    /// The host's devices it has.
    fn devices(&self) -> Vec<Device> {
        let all = self.privileged.then(Device::all);
        all.into_iter().chain(self.devices.iter().cloned()).collect()
    }

    pub(super) fn stop_signal(&self) -> Result<Signal> {
        self.config.stop_signal.as_deref().map_or(Ok(Signal::TERM), str::parse)
    }

    /// What the runtime is asked for; `volume` says where a named volume is.
    pub(super) fn request(
        &self,
        lower: Vec<PathBuf>,
        volatile: bool,
        volume: impl Fn(&str) -> PathBuf,
    ) -> Result<Request> {
        let source = |mount: &Mount| match mount.kind.as_str() {
            "volume" => volume(&mount.source),
            _ => mount.source.clone().into(),
        };
        let binds = self
            .mounts
            .iter()
            .filter(|mount| mount.kind != "tmpfs")
            .map(|mount| Bind {
                source: source(mount),
                target: mount.target.clone(),
                read_only: mount.read_only,
                shifted: mount.shifted || mount.kind == "volume",
            });
        let binary = self.init_binary.as_ref().map(|binary| Bind {
            source: binary.clone(),
            target: INIT_BINARY.to_owned(),
            read_only: true,
            shifted: false,
        });
        let own_init = binary.iter().flat_map(|_| [INIT_BINARY, "--"].map(str::to_owned));
        let tmpfs = self
            .mounts
            .iter()
            .filter(|mount| mount.kind == "tmpfs")
            .zip(&self.tmpfs_options);
        let defaults = Request::default();
        Ok(Request {
            args: own_init.chain(self.args()).collect(),
            env: self.config.env.clone(),
            cwd: self.config.working_dir.clone(),
            user: self.config.user.clone(),
            hostname: self.hostname.clone(),
            init: self.init && self.init_binary.is_none(),
            binds: binary.clone().into_iter().chain(binds).collect(),
            tmpfs: tmpfs
                .map(|(mount, options)| Tmpfs {
                    target: mount.target.clone(),
                    options: options.clone(),
                })
                .collect(),
            read_only: self.read_only,
            devices: self.devices(),
            secrets: self.secrets.clone(),
            device_rules: self
                .device_rules
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_>>()?,
            network: self.network.clone(),
            pid: self.pid.clone(),
            ipc: self.ipc.clone(),
            uts: self.uts.clone(),
            cgroupns: self.cgroupns.clone(),
            user_namespace: self.userns.maps(),
            limits: self.limits.clone(),
            rlimits: self.rlimits.clone(),
            sysctls: self.sysctls.clone(),
            shm_size: self.shm_size,
            privileged: self.privileged,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            no_new_privileges: self.no_new_privileges,
            apparmor: self.apparmor.clone(),
            seccomp: self.seccomp.clone(),
            stop_signal: self.stop_signal()?,
            stop_timeout: self.stop_timeout.map_or(defaults.stop_timeout, |span| span.0),
            timeout: self.timeout.map(|span| span.0),
            restart: self.restart,
            health: health::check(&self.config),
            lower,
            volatile,
            attributes: BTreeMap::new(),
            labels: self.config.labels.clone(),
            add_hosts: self.add_hosts.clone(),
            dns: self.dns.clone(),
            tty: self.tty,
            interactive: self.interactive,
            log: self.log,
            after: Vec::new(),
        })
    }
}

impl From<Volume> for Mount {
    fn from(volume: Volume) -> Mount {
        let shifted = matches!(&volume, Volume::Bind(bind) if bind.shifted);
        let (kind, source, target, read_only) = match volume {
            Volume::Bind(bind) => ("bind", bind.source.display().to_string(), bind.target, bind.read_only),
            Volume::Named(named) => ("volume", named.volume, named.target, named.read_only),
        };
        Mount {
            kind: kind.to_owned(),
            source,
            target,
            read_only,
            shifted,
        }
    }
}

fn override_with(value: &mut String, option: &Option<String>) {
    if let Some(option) = option {
        value.clone_from(option);
    }
}

fn seconds(seconds: i64) -> Option<TimeSpan> {
    u64::try_from(seconds)
        .ok()
        .map(|seconds| TimeSpan(std::time::Duration::from_secs(seconds)))
}

fn limits(options: &ContainerOptions) -> Limits {
    Limits {
        memory: options.memory.map(|size| size.0),
        memory_swap: options.memory_swap.and_then(|size| i64::try_from(size.0).ok()),
        memory_reservation: options.memory_reservation.map(|size| size.0),
        cpus: options.cpus,
        cpu_shares: options.cpu_shares,
        cpuset_cpus: options.cpuset_cpus.clone(),
        pids: options.pids_limit,
        blkio_weight: options.blkio_weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(image: RunConfig, cmd: Option<&str>, options: &ContainerOptions) -> Result<Recipe> {
        let cmd = cmd.map(|word| Command::Words(vec![word.to_owned()]));
        let nobody = |_: &str| Err(Error::not_found("there is no container"));
        Recipe::new(image, cmd, options, &ContainerId::generate().unwrap(), &nobody)
    }

    fn image() -> RunConfig {
        RunConfig {
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["arg".into()]),
            env: vec!["A=1".into(), "SECRET".into(), "=x".into()],
            ..RunConfig::default()
        }
    }

    #[test]
    fn a_new_entrypoint_drops_the_images_command() {
        let plain = recipe(image(), None, &ContainerOptions::default()).unwrap();
        assert_eq!(plain.args(), ["/entry", "arg"]);
        assert_eq!(
            recipe(image(), Some("x"), &ContainerOptions::default()).unwrap().args(),
            ["/entry", "x"]
        );
        let entrypoint = Some(Command::Words(vec!["/other".into()]));
        let options = ContainerOptions {
            entrypoint,
            ..Default::default()
        };
        assert_eq!(recipe(image(), None, &options).unwrap().args(), ["/other"]);
        assert!(recipe(RunConfig::default(), None, &ContainerOptions::default()).is_err());
    }

    #[test]
    fn s17_an_image_cannot_ask_for_the_hosts_variables() {
        let recipe = recipe(image(), None, &ContainerOptions::default()).unwrap();
        assert_eq!(recipe.config.env, ["A=1"]);
    }
}
