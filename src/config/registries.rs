//! Where the settings and credentials for registries are, in Docker's and Podman's places.

use std::path::{Path, PathBuf};

use super::{home, variable};
use crate::model::Secret;

/// The files and variables that say how registries are reached. Nothing of it is read before a registry is asked.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Files with credentials (`auth.json`, `config.json`, `.dockercfg`); the first that knows a registry decides.
    pub credentials: Vec<PathBuf>,
    /// The file that new credentials go to, unless another one knows the registry already.
    pub login: Option<PathBuf>,
    /// Credentials in the environment, in the form of `config.json` (`DOCKER_AUTH_CONFIG`); before any file.
    pub environment: Option<Secret>,
    /// Directories that programs are looked for in (`PATH`).
    pub programs: Vec<PathBuf>,
    /// Candidates for `registries.conf`; the first that exists counts.
    pub settings: Vec<PathBuf>,
    /// Directories of more such files, the last of which has the last word.
    pub drop_ins: Vec<PathBuf>,
    /// Directories of certificates by host (`certs.d`); the first that knows a host counts.
    pub certificates: Vec<PathBuf>,
}

impl Registries {
    /// The usual places, as the environment of this process moves them.
    ///
    /// With `REGISTRY_AUTH_FILE` that file alone has credentials, as in Podman (containers-auth.json(5)); with
    /// `CONTAINERS_REGISTRIES_CONF` that one alone has settings (containers-registries.conf(5)).
    pub fn from_environment() -> Registries {
        let home = home().unwrap_or_default();
        let config = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        let docker = variable("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from);
        let own = config.join("containers");
        let machine = PathBuf::from("/etc/containers");
        let named_auth = variable("REGISTRY_AUTH_FILE").map(PathBuf::from);
        let named_settings = variable("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from);
        Registries {
            login: Some(named_auth.clone().unwrap_or_else(|| docker.join("config.json"))),
            credentials: named_auth.map_or_else(|| usual_credentials(&own, &docker, &home), |file| vec![file]),
            environment: variable("DOCKER_AUTH_CONFIG").map(Secret::new),
            programs: variable("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect()),
            drop_ins: match &named_settings {
                Some(_) => Vec::new(),
                None => vec![machine.join("registries.conf.d"), own.join("registries.conf.d")],
            },
            settings: named_settings.map_or_else(
                || vec![own.join("registries.conf"), machine.join("registries.conf")],
                |file| vec![file],
            ),
            certificates: vec![
                own.join("certs.d"),
                machine.join("certs.d"),
                config.join("docker/certs.d"),
                PathBuf::from("/etc/docker/certs.d"),
            ],
        }
    }
}

impl Registries {
    /// The same with one file alone for credentials, whatever there is elsewhere.
    #[must_use]
    pub fn with_logins_in(self, file: &Path) -> Registries {
        Registries {
            credentials: vec![file.to_owned()],
            login: Some(file.to_owned()),
            environment: None,
            ..self
        }
    }
}

fn usual_credentials(own: &Path, docker: &Path, home: &Path) -> Vec<PathBuf> {
    // Without a runtime directory Podman keeps what `login` wrote here.
    let user = nix::unistd::geteuid();
    let run = variable("XDG_RUNTIME_DIR").map_or_else(
        || format!("/run/containers/{user}").into(),
        |dir| Path::new(&dir).join("containers"),
    );
    vec![
        run.join("auth.json"),
        own.join("auth.json"),
        docker.join("config.json"),
        home.join(".dockercfg"),
    ]
}
