//! The health check of a container: what the image says, under what the options say.

use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Container;
use crate::error::{Error, Result};
use crate::images::{Healthcheck, RunConfig};
use crate::model::{Command, TimeSpan};
use crate::runtime::{Health, HealthCheck};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// What Docker asks for at least.
const SHORTEST: Duration = Duration::from_millis(1);

/// How health is checked; what is left out is as the image has it, or as Docker has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// The probe: its code says whether the container is healthy.
    pub cmd: Option<Command>,
    /// Between two probes; 30 s.
    pub interval: Option<TimeSpan>,
    /// How long a probe may take; 30 s.
    pub timeout: Option<TimeSpan>,
    /// Failures in a row that mean unhealthy; 3.
    pub retries: Option<u32>,
    /// How long after the start failures do not count; not at all.
    pub start_period: Option<TimeSpan>,
    /// Between two probes of that time; 5 s.
    pub start_interval: Option<TimeSpan>,
}

/// Whether and how health is checked.
#[derive(Debug, Clone, Default)]
pub enum HealthOption {
    /// As the image says.
    #[default]
    Image,
    /// Not at all.
    Off,
    /// So.
    Check(HealthOptions),
}

impl<'de> Deserialize<'de> for HealthOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<HealthOption, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = HealthOption;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map, or `none`")
            }
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> std::result::Result<HealthOption, E> {
                Ok(if on { HealthOption::Image } else { HealthOption::Off })
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<HealthOption, E> {
                match text {
                    "none" => Ok(HealthOption::Off),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<HealthOption, A::Error> {
                HealthOptions::deserialize(MapAccessDeserializer::new(map)).map(HealthOption::Check)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Puts the options over what the image has.
pub(super) fn configure(config: &mut RunConfig, option: &HealthOption) -> Result<()> {
    let options = match option {
        HealthOption::Image => return Ok(()),
        HealthOption::Off => {
            config.healthcheck = Some(Healthcheck {
                test: vec!["NONE".to_owned()],
                ..Healthcheck::default()
            });
            return Ok(());
        }
        HealthOption::Check(options) => options,
    };
    let mut check = config.healthcheck.take().unwrap_or_default();
    match &options.cmd {
        Some(Command::Words(words)) if words.first().is_some_and(|word| !word.is_empty()) => {
            check.test = [&["CMD".to_owned()], words.as_slice()].concat();
        }
        Some(Command::Shell(line)) if !line.is_empty() => {
            check.test = vec!["CMD-SHELL".to_owned(), line.clone()];
        }
        None if args(&check, config.shell.as_deref()).is_some() => {}
        _ => {
            return Err(
                Error::invalid("the option `health` has no command, and the image has no health check")
                    .hint("give one, such as `#{health: #{cmd: [\"/bin/check\"]}}`"),
            );
        }
    }
    for (name, span, place) in [
        ("interval", options.interval, &mut check.interval),
        ("timeout", options.timeout, &mut check.timeout),
        ("start_period", options.start_period, &mut check.start_period),
        ("start_interval", options.start_interval, &mut check.start_interval),
    ] {
        if let Some(TimeSpan(span)) = span {
            *place = nanoseconds(name, span)?;
        }
    }
    if let Some(retries) = options.retries {
        check.retries = retries.into();
    }
    config.healthcheck = Some(check);
    Ok(())
}

/// As a configuration has it: nothing means that the usual value holds.
fn nanoseconds(name: &str, span: Duration) -> Result<i64> {
    let is_too_short = !span.is_zero() && span < SHORTEST;
    i64::try_from(span.as_nanos())
        .ok()
        .filter(|_| !is_too_short)
        .ok_or_else(|| {
            Error::invalid(format!("the `{name}` of a health check cannot be {span:?}"))
                .target(name)
                .hint("it is at least 1 ms")
        })
}

/// What is executed; nothing if health is not checked.
fn args(check: &Healthcheck, shell: Option<&[String]>) -> Option<Vec<String>> {
    let (form, rest) = check.test.split_first()?;
    let shell = || shell.map_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).to_vec(), <[String]>::to_vec);
    match form.as_str() {
        "CMD" if !rest.is_empty() => Some(rest.to_vec()),
        "CMD-SHELL" if !rest.is_empty() => Some([shell().as_slice(), rest].concat()),
        _ => None,
    }
}

/// What the runtime is to do.
pub(super) fn check(config: &RunConfig) -> Option<HealthCheck> {
    let stated = config.healthcheck.as_ref()?;
    let span = |stated: i64, usual| match u64::try_from(stated) {
        Ok(0) | Err(_) => usual,
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
    };
    Some(HealthCheck {
        args: args(stated, config.shell.as_deref())?,
        interval: span(stated.interval, INTERVAL),
        timeout: span(stated.timeout, TIMEOUT),
        start_period: span(stated.start_period, Duration::ZERO),
        start_interval: span(stated.start_interval, START_INTERVAL),
        retries: u32::try_from(stated.retries)
            .ok()
            .filter(|retries| *retries > 0)
            .unwrap_or(RETRIES),
    })
}

impl Container {
    /// What its health check says of its last run; `None` where health is not checked, or before it was started.
    pub fn health(&self) -> Option<&Health> {
        self.facts.health.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(image: Option<Healthcheck>, option: &str) -> Result<Option<HealthCheck>> {
        let mut config = RunConfig {
            healthcheck: image,
            ..RunConfig::default()
        };
        configure(&mut config, &serde_json::from_str(option).unwrap())?;
        Ok(check(&config))
    }

    fn image(test: &[&str]) -> Option<Healthcheck> {
        Some(Healthcheck {
            test: test.iter().map(|&word| word.to_owned()).collect(),
            retries: 7,
            ..Healthcheck::default()
        })
    }

    #[test]
    fn options_go_over_the_image_and_the_rest_is_as_docker_has_it() {
        let shell = image(&["CMD-SHELL", "a b"]);
        let check = configured(shell.clone(), r#"{"interval": "1s"}"#).unwrap().unwrap();
        assert_eq!(check.args, ["/bin/sh", "-c", "a b"]);
        assert_eq!(
            (check.interval, check.timeout, check.retries),
            (Duration::from_secs(1), TIMEOUT, 7)
        );
        let check = configured(shell.clone(), r#"{"cmd": ["x"], "retries": 0}"#)
            .unwrap()
            .unwrap();
        assert_eq!((check.args, check.retries), (vec!["x".to_owned()], RETRIES));
        for off in [r#""none""#, "false"] {
            assert_eq!(configured(shell.clone(), off).unwrap(), None);
        }
        for none in [image(&["NONE"]), image(&[]), image(&["CMD"]), image(&["OTHER", "x"])] {
            assert_eq!(configured(none.clone(), "true").unwrap(), None);
            assert!(configured(none, r#"{"interval": "1s"}"#).is_err());
        }
        assert!(configured(shell, r#"{"interval": "1us"}"#).is_err());
        assert!(configured(None, r#"{"cmd": []}"#).is_err());
    }
}
