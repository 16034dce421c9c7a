//! What a container's start needs beyond its OCI configuration, kept beside it as `launch.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bundle::{self, Bundle};
use super::limits::Limits;
use super::namespaces::{self, Join};
use super::{Contents, Device, HealthCheck, LogBounds, Request, RestartPolicy, Seccomp, Secret, Signal};
use crate::error::Result;

/// The settings, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// As in the request: names are looked up at every start, in the container's files as they are then.
    pub(super) user: String,
    pub(super) lower: Vec<PathBuf>,
    pub(super) limits: Limits,
    pub(super) seccomp: Seccomp,
    pub(super) stop_signal: Signal,
    pub(super) stop_timeout: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) volatile: bool,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) restart: RestartPolicy,
    #[serde(default)]
    pub(super) init: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<HealthCheck>,
    #[serde(default)]
    pub(super) joins: Vec<Join>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) secrets: Vec<Secret>,
    /// Known to the supervisor, and kept in its memory alone.
    #[serde(skip)]
    pub(super) contents: Contents,
    #[serde(default)]
    pub(super) interactive: bool,
    #[serde(default)]
    pub(super) log: LogBounds,
    #[serde(default)]
    pub(super) after: Vec<String>,
}

impl Settings {
    pub(super) fn of(request: &Request) -> Settings {
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

    pub(super) fn read(bundle: &Bundle) -> Result<Settings> {
        bundle::required(bundle::read_json(&bundle.settings())?, bundle)
    }

    pub(super) fn write(&self, bundle: &Bundle) -> Result<()> {
        bundle::write_json(&bundle.settings(), self, !self.volatile)
    }
}
