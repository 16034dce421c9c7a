//! How long what is removed can be brought back, and on how full a disk it cannot.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::model::{parse_duration, unknown};

/// What the table `[trash]` of the settings file says, and `--trash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trash {
    /// For how long an act can be undone; nothing if not at all.
    pub keep: Duration,
    /// The share of the disk, in percent, that must be free for anything to be kept.
    pub room: u8,
}

impl Default for Trash {
    fn default() -> Trash {
        Trash {
            keep: Duration::from_secs(24 * 60 * 60),
            room: 20,
        }
    }
}

impl Trash {
    /// Sets `keep` or `room`. Errors: `invalid`, with the valid names or forms.
    pub(super) fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match name {
            "keep" => self.keep = parse_duration(&text).during(|| "set `keep`")?,
            "room" => self.room = percent(&text)?,
            _ => return Err(unknown("setting of the trash", name, &["keep", "room"])),
        }
        Ok(())
    }

    /// Whether something is kept on a disk of which so many bytes of so many are free.
    pub fn has_room(&self, free: u64, all: u64) -> bool {
        u128::from(free) * 100 >= u128::from(all) * u128::from(self.room)
    }
}

fn percent(text: &str) -> Result<u8> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<u8>().ok();
    number.filter(|number| *number <= 100).ok_or_else(|| {
        Error::invalid(format!("failed to set `room`: `{text}` is no share of the disk"))
            .hint("a share is a percentage, such as `20%`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_and_no_share_is_refused() {
        let mut trash = Trash::default();
        for (name, value, message) in [
            ("keep", "a week", "failed to set `keep`: `a week` is not a duration"),
            ("room", "101%", "failed to set `room`: `101%` is no share of the disk"),
            ("room", "-1", "failed to set `room`: `-1` is no share of the disk"),
            ("kept", "1d", "unknown setting of the trash `kept`"),
        ] {
            let error = trash.set(name, &value.into()).unwrap_err();
            assert_eq!(error.message(), message);
        }
        assert_eq!(trash, Trash::default());
        trash.set("keep", &"2w".into()).unwrap();
        trash.set("room", &5.into()).unwrap();
        assert_eq!(trash.keep, Duration::from_secs(14 * 86_400));
        assert!(trash.has_room(5, 100) && !trash.has_room(4, 100));
    }
}
