//! What a job waits for beside its schedule: `image.pull debounce 5m`, `disk>80%`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{format_duration, parse_duration, suggest};
use crate::error::{Error, Result};

/// What can happen, as headers name it, and in the words of the journal.
const EVENTS: [(&str, &str, &str, &str); 25] = [
    ("container.create", "container", "create", "a container was made"),
    ("container.destroy", "container", "destroy", "a container was removed"),
    ("container.exit", "container", "die", "a container ended"),
    (
        "container.healthy",
        "container",
        "health_status: healthy",
        "a container became healthy",
    ),
    ("container.kill", "container", "kill", "a container got a signal"),
    ("container.oom", "container", "oom", "a container ran out of memory"),
    ("container.pause", "container", "pause", "a container was paused"),
    ("container.prune", "container", "prune", "containers were pruned"),
    ("container.rename", "container", "rename", "a container was renamed"),
    ("container.restart", "container", "restart", "a container was restarted"),
    ("container.start", "container", "start", "a container was started"),
    ("container.stop", "container", "stop", "a container was stopped"),
    (
        "container.unhealthy",
        "container",
        "health_status: unhealthy",
        "a container became unhealthy",
    ),
    ("container.unpause", "container", "unpause", "a container was unpaused"),
    ("image.delete", "image", "delete", "an image was removed"),
    ("image.import", "image", "import", "an image was imported"),
    ("image.load", "image", "load", "an image was loaded"),
    ("image.prune", "image", "prune", "images were pruned"),
    ("image.pull", "image", "pull", "an image was pulled"),
    ("image.push", "image", "push", "an image was pushed"),
    ("image.save", "image", "save", "an image was saved"),
    ("image.tag", "image", "tag", "an image got a name"),
    ("image.untag", "image", "untag", "an image lost a name"),
    ("volume.create", "volume", "create", "a volume was made"),
    ("volume.destroy", "volume", "destroy", "a volume was removed"),
];

/// How many times the debounce a run waits at most while events go on coming.
const PATIENCE: u32 = 10;

/// A disk that stays full has its job run again after this time.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// A run that begins no later than this after it was due is on time: timers look once a minute.
const LATE: SignedDuration = SignedDuration::from_mins(2);

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    on: On,
    debounce: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum On {
    /// By its place in [`EVENTS`].
    Event(usize),
    /// More than this share of a disk is in use: the store's, or that of a path.
    Disk(u8, Option<PathBuf>),
}

impl Trigger {
    /// What a line of a header waits for: `image.pull, container.exit debounce 5m`, `disk>80%`, `disk>90% of /srv`. Errors: `invalid`.
    pub fn parse_line(text: &str) -> Result<Vec<Trigger>> {
        let (events, debounce) = match text.split_once(" debounce ") {
            Some((events, span)) => (events, parse_duration(span)?),
            None => (text, Duration::ZERO),
        };
        let all = events.split(',').map(|one| {
            let on = On::parse(one.trim())?;
            if matches!(on, On::Disk(..)) && !debounce.is_zero() {
                return Err(Error::invalid("a disk has no debounce: it is looked at once a minute")
                    .hint("write the events in a line of their own"));
            }
            Ok(Trigger { on, debounce })
        });
        all.collect()
    }

    /// How it is written, without its debounce.
    pub fn name(&self) -> String {
        match &self.on {
            On::Event(at) => EVENTS[*at].0.to_owned(),
            On::Disk(share, None) => format!("disk>{share}%"),
            On::Disk(share, Some(path)) => format!("disk>{share}% of {}", path.display()),
        }
    }

    /// In English.
    pub fn words(&self) -> String {
        match &self.on {
            On::Event(at) => match self.debounce {
                Duration::ZERO => format!("when {}", EVENTS[*at].3),
                debounce => format!(
                    "when {}, once none has come for {}, or after {}",
                    EVENTS[*at].3,
                    format_duration(debounce),
                    format_duration(debounce * PATIENCE)
                ),
            },
            On::Disk(share, path) => {
                let place = path
                    .as_ref()
                    .map_or_else(|| "the store".to_owned(), |path| format!("`{}`", path.display()));
                format!(
                    "when more than {share} % of the disk of {place} come to be in use, and each hour while they are"
                )
            }
        }
    }

    /// Whether it waits for an event of the journal of this kind and action.
    pub fn fits(&self, kind: &str, action: &str) -> bool {
        match self.on {
            On::Event(at) => (EVENTS[at].1, EVENTS[at].2) == (kind, action),
            On::Disk(..) => false,
        }
    }

    /// The share of a disk, in percent, that it waits for, and whose disk: the store's without a path.
    pub fn disk(&self) -> Option<(u8, Option<&PathBuf>)> {
        match &self.on {
            On::Disk(share, path) => Some((*share, path.as_ref())),
            On::Event(_) => None,
        }
    }

    /// When a run for these events is due.
    pub fn due(&self, batch: &Batch) -> Timestamp {
        let add = |time: Timestamp, span: Duration| {
            let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
            time.checked_add(span).unwrap_or(Timestamp::MAX)
        };
        let quiet = add(batch.last, self.debounce);
        quiet.min(add(batch.first, self.debounce.saturating_mul(PATIENCE)))
    }

    /// Whether a run for these events would be late by now: nobody was there when the last of them was.
    pub fn is_late(&self, batch: &Batch, now: Timestamp) -> bool {
        let span = SignedDuration::try_from(self.debounce).unwrap_or(SignedDuration::MAX);
        now.duration_since(batch.last).saturating_sub(span) > LATE
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match self.debounce {
            Duration::ZERO => Ok(()),
            debounce => write!(f, " debounce {}", format_duration(debounce)),
        }
    }
}

impl On {
    fn parse(text: &str) -> Result<On> {
        if let Some(rest) = text.strip_prefix("disk") {
            return disk(rest.trim_start());
        }
        let found = EVENTS.iter().position(|(name, ..)| *name == text);
        found.map(On::Event).ok_or_else(|| {
            let error = Error::invalid(format!("`{}` is nothing that happens", text.escape_debug()));
            let names = || EVENTS.iter().map(|(name, ..)| *name);
            match suggest(text, names()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!(
                    "valid: disk>80%, {}; `debounce 5m` after it waits for quiet",
                    names().collect::<Vec<_>>().join(", ")
                )),
            }
        })
    }
}

/// What comes after `disk`.
fn disk(text: &str) -> Result<On> {
    let wrong = |what: &str| {
        Err(Error::invalid(format!("`disk{}` {what}", text.escape_debug()))
            .hint("write `disk>80%`, or `disk>80% of /srv` for the disk of a path"))
    };
    let Some((share, rest)) = text.strip_prefix('>').and_then(|rest| rest.split_once('%')) else {
        return wrong("names no share of a disk");
    };
    let Some(share) = share.trim().parse().ok().filter(|share| (1..=99).contains(share)) else {
        return wrong("names no share from 1 to 99 percent");
    };
    match rest.trim().split_once(' ') {
        None if rest.trim().is_empty() => Ok(On::Disk(share, None)),
        Some(("of", path)) if path.trim().starts_with('/') => Ok(On::Disk(share, Some(PathBuf::from(path.trim())))),
        _ => wrong("does not name a whole path"),
    }
}

/// Events of one trigger that one run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// When the first of them was.
    pub first: Timestamp,
    /// When the last of them was.
    pub last: Timestamp,
    /// How many they are.
    pub count: u32,
}

impl Batch {
    /// With one more.
    #[must_use]
    pub fn with(batch: Option<Batch>, time: Timestamp) -> Batch {
        match batch {
            None => Batch {
                first: time,
                last: time,
                count: 1,
            },
            Some(batch) => Batch {
                first: batch.first.min(time),
                last: batch.last.max(time),
                count: batch.count.saturating_add(1),
            },
        }
    }
}

/// Whether a disk that is as full as its trigger waits for has its job run at `now`, if that was so last at `fired`.
pub fn is_full_anew(fired: Option<Timestamp>, now: Timestamp) -> bool {
    // A clock that was set back stops nothing.
    fired.is_none_or(|fired| now.duration_since(fired) >= AGAIN || fired > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Trigger {
        Trigger::parse_line(text).unwrap().remove(0)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_line_names_several_with_their_debounce() {
        let all = Trigger::parse_line("image.pull, container.exit debounce 5m").unwrap();
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["image.pull debounce 5m", "container.exit debounce 5m"]);
        assert!(all[1].fits("container", "die") && !all[1].fits("container", "start"));
        assert!(one("container.unhealthy").fits("container", "health_status: unhealthy"));
        assert_eq!(one("disk > 80 %").to_string(), "disk>80%");
        let disk = one("disk>90% of /srv/a b");
        assert_eq!(disk.disk(), Some((90, Some(&PathBuf::from("/srv/a b")))));
        assert_eq!(
            one("image.pull debounce 5m").words(),
            "when an image was pulled, once none has come for 5m, or after 50m"
        );
    }

    #[test]
    fn a_mistake_is_told_with_what_was_meant() {
        for (text, message, hint) in [
            ("image.pul", "`image.pul` is nothing that happens", "`image.pull`"),
            ("noon", "`noon` is nothing that happens", "disk>80%"),
            ("disk>80", "names no share of a disk", "`disk>80%`"),
            ("disk<20%", "names no share of a disk", "`disk>80%`"),
            ("disk>100%", "from 1 to 99", "`disk>80%`"),
            ("disk>80% of srv", "a whole path", "/srv"),
            ("image.pull debounce soon", "`soon` is not a duration", "units"),
            ("disk>80% debounce 5m", "a disk has no debounce", "a line of their own"),
            ("image.pull,", "`` is nothing that happens", ""),
        ] {
            let error = Trigger::parse_line(text).unwrap_err();
            assert!(error.message().contains(message), "{text}: {error}");
            assert!(error.way_out().unwrap_or_default().contains(hint), "{text}: {error:?}");
        }
    }

    #[test]
    fn a_run_waits_for_quiet_but_not_for_ever() {
        let pulls = one("image.pull debounce 10s");
        let first = Batch::with(None, at(100));
        assert_eq!(pulls.due(&first), at(110));
        let more = Batch::with(Some(first), at(108));
        assert_eq!((pulls.due(&more), more.count), (at(118), 2));
        assert_eq!(pulls.due(&Batch::with(Some(more), at(199))), at(200));
        assert!(!pulls.is_late(&more, at(238)) && pulls.is_late(&more, at(239)));
        assert_eq!(one("image.pull").due(&more), at(100));
    }

    #[test]
    fn a_disk_that_stays_full_is_told_of_each_hour() {
        assert!(is_full_anew(None, at(0)));
        assert!(!is_full_anew(Some(at(0)), at(3599)));
        assert!(is_full_anew(Some(at(0)), at(3600)));
        assert!(is_full_anew(Some(at(9000)), at(3600)));
    }
}
