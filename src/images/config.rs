//! The image configuration (OCI image-spec, config.md, with Docker's additions). Unknown fields survive a rewrite.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::model::{Digest, Platform};

/// An image's configuration document.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Config {
    /// When the image was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The processor it is for, in Go's words.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// The operating system it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How containers of the image run.
    #[serde(default, deserialize_with = "or_default")]
    pub config: RunConfig,
    /// The layers' diff ids.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How the image came to be, oldest step first.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<Step>,
    /// Everything else, kept as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How containers of an image run by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// `name`, `uid` or either with `:group`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports such as `80/tcp`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The command's leading words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The default command or arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that become anonymous volumes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// The directory the command starts in.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks a container to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds before the signal is followed by `SIGKILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How health is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The shell of the shell form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Instructions for a build that starts from this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Everything else, kept as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A health probe; times are nanoseconds, 0 inherits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    #[serde(default, deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Between two probes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Until a probe counts as failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two probes during the start period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that mean unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
    /// Everything else, kept as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The layers of the root file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default = "layers")]
    pub kind: String,
    /// The diff ids, lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// When (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Everything else, kept as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for RootFs {
    fn default() -> RootFs {
        RootFs {
            kind: layers(),
            diff_ids: Vec::new(),
        }
    }
}

fn layers() -> String {
    "layers".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Go writes `null` for an empty list or map.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Config {
    /// Parses a configuration. Errors: `corrupt` if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Config> {
        serde_json::from_slice(bytes)
            .map_err(|cause| Error::corrupt(format!("the image configuration is not valid: {cause}")).source(cause))
    }

    /// The document's bytes; equal configurations give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a configuration has text keys only")
    }

    /// The platform the image is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// An empty configuration for a platform.
    pub fn for_platform(platform: &Platform) -> Config {
        Config {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            ..Config::default()
        }
    }
}

impl RunConfig {
    /// The value of an environment variable.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| {
            entry
                .split_once('=')
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
        })
    }

    /// Sets an environment variable, in place if it was set.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        match self
            .env
            .iter_mut()
            .find(|old| old.split_once('=').is_some_and(|(key, _)| key == name))
        {
            Some(old) => *old = entry,
            None => self.env.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_survives_and_null_is_nothing() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"MacAddress":"x"},"rootfs":{"type":"layers","diff_ids":null},"history":null,"moby.x":[1]}"#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.config.cmd, Some(vec!["sh".to_owned()]));
        let again: Value = serde_json::from_slice(&config.to_bytes()).unwrap();
        assert_eq!(again["moby.x"][0], 1);
        assert_eq!(again["config"]["MacAddress"], "x");
    }

    #[test]
    fn s23_no_image_configuration_is_corrupt() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "[]",
            "{\"os\":1}",
            "{\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}",
            &deep,
        ] {
            assert_eq!(
                Config::parse(text.as_bytes()).unwrap_err().kind(),
                crate::error::Kind::Corrupt
            );
        }
    }

    #[test]
    fn variables_are_set_in_place() {
        let mut run = RunConfig {
            env: vec!["A=1".into(), "B=2".into()],
            ..RunConfig::default()
        };
        run.set_env("A", "3");
        run.set_env("C", "4");
        assert_eq!(run.env, ["A=3", "B=2", "C=4"]);
        assert_eq!(run.env("B"), Some("2"));
    }
}
