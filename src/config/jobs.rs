//! What is kept of the runs of jobs.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::model::{ByteSize, parse_duration, unknown};

/// What the table `[jobs]` of the settings file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jobs {
    /// How many runs of a job are kept.
    pub keep: u32,
    /// For how long they are.
    pub keep_for: Duration,
    /// Bytes of a run's log.
    pub log_size: u64,
    /// The program by which jobs send mail, in the place of the machine's `sendmail`.
    pub sendmail: Option<String>,
}

impl Default for Jobs {
    fn default() -> Jobs {
        Jobs {
            keep: 1000,
            keep_for: Duration::from_secs(90 * 24 * 60 * 60),
            log_size: 16 << 20,
            sendmail: None,
        }
    }
}

impl Jobs {
    /// Sets `keep`, `keep_for`, `log_size` or `sendmail`. Errors: `invalid`, with the valid names or forms.
    pub(super) fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match name {
            "keep" => self.keep = count(&text)?,
            "keep_for" => self.keep_for = parse_duration(&text).during(|| "set `keep_for`")?,
            "log_size" => self.log_size = text.parse::<ByteSize>().during(|| "set `log_size`")?.0,
            "sendmail" => self.sendmail = Some(text),
            _ => {
                let valid = ["keep", "keep_for", "log_size", "sendmail"];
                return Err(unknown("setting of jobs", name, &valid));
            }
        }
        Ok(())
    }
}

fn count(text: &str) -> Result<u32> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        Error::invalid(format!("failed to set `keep`: `{text}` is no number of runs")).hint("at least one is kept")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_set_by_name() {
        let mut jobs = Jobs::default();
        for (name, value, message) in [
            ("keep", "0", "failed to set `keep`: `0` is no number of runs"),
            ("keep_for", "ever", "failed to set `keep_for`: `ever` is not a duration"),
            ("kept", "1", "unknown setting of jobs `kept`"),
        ] {
            assert_eq!(jobs.set(name, &value.into()).unwrap_err().message(), message);
        }
        assert_eq!(jobs, Jobs::default());
        jobs.set("keep", &20.into()).unwrap();
        jobs.set("keep_for", &"7d".into()).unwrap();
        jobs.set("log_size", &"1MiB".into()).unwrap();
        assert_eq!(
            (jobs.keep, jobs.keep_for.as_secs(), jobs.log_size),
            (20, 604_800, 1 << 20)
        );
    }
}
