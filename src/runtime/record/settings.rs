//! What a container's start needs beyond its OCI configuration, kept beside it as `launch.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::limits::Limits;
use crate::runtime::namespaces::{self, Join};
use crate::runtime::{Contents, Device, HealthCheck, LogBounds, Request, RestartPolicy, Seccomp, Secret, Signal};

/// The settings, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::runtime) struct Settings {
    /// As in the request: names are looked up at every start, in the container's files as they are then.
    pub(in crate::runtime) user: String,
    pub(in crate::runtime) lower: Vec<PathBuf>,
    pub(in crate::runtime) limits: Limits,
    pub(in crate::runtime) seccomp: Seccomp,
    pub(in crate::runtime) stop_signal: Signal,
    pub(in crate::runtime) stop_timeout: Duration,
    pub(in crate::runtime) timeout: Option<Duration>,
    pub(in crate::runtime) volatile: bool,
    #[serde(default)]
    pub(in crate::runtime) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(in crate::runtime) restart: RestartPolicy,
    #[serde(default)]
    pub(in crate::runtime) init: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runtime) health: Option<HealthCheck>,
    #[serde(default)]
    pub(in crate::runtime) joins: Vec<Join>,
    #[serde(default)]
    pub(in crate::runtime) devices: Vec<Device>,
    #[serde(default)]
    pub(in crate::runtime) secrets: Vec<Secret>,
    /// Known to the supervisor, and kept in its memory alone.
    #[serde(skip)]
    pub(in crate::runtime) contents: Contents,
    #[serde(default)]
    pub(in crate::runtime) interactive: bool,
    #[serde(default)]
    pub(in crate::runtime) log: LogBounds,
    #[serde(default)]
    pub(in crate::runtime) after: Vec<String>,
}

impl Settings {
    pub(in crate::runtime) fn of(request: &Request) -> Settings {
        Settings {
            user: request.user.clone(),
            lower: request.lower.clone(),
            limits: request.limits.clone(),
            seccomp: request.seccomp.clone(),
            stop_signal: request.stop_signal,
            stop_timeout: request.stop_timeout,
            timeout: request.timeout,
            volatile: request.volatile,
            attributes: request.attributes.clone(),
            restart: request.restart,
            init: request.init,
            health: request.health.clone(),
            joins: namespaces::joins(request),
            devices: request.devices.clone(),
            secrets: request.secrets.clone(),
            contents: Contents::default(),
            interactive: request.interactive,
            log: request.log,
            after: request.after.clone(),
        }
    }

    pub(in crate::runtime) fn read(bundle: &Bundle) -> Result<Settings> {
        bundle::required(bundle::read_json(&bundle.settings())?, bundle)
    }

    pub(in crate::runtime) fn write(&self, bundle: &Bundle) -> Result<()> {
        bundle::write_json(&bundle.settings(), self, !self.volatile)
    }
}
