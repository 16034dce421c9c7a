//! What a header says of a script that runs by itself: when, for how long at most, and what becomes of a run that fails.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::notify::Notify;
use crate::error::{Error, Result};
use crate::model::{Schedule, Trigger, parse_duration, unknown, zone};

/// The first wait before a run is tried again, where the header names none.
const BACK_OFF: Duration = Duration::from_secs(30);

/// How often a run may be tried again.
const MOST_RETRIES: u32 = 100;

/// What becomes of a run whose time comes while the one before goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits for the end of the other.
    Queue,
    /// The other is ended for it.
    Replace,
}

impl Overlap {
    const NAMES: [(&str, Overlap); 3] = [
        ("skip", Overlap::Skip),
        ("queue", Overlap::Queue),
        ("replace", Overlap::Replace),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let mut names = Overlap::NAMES.iter();
        names.find(|(_, one)| *one == self).map_or("skip", |(name, _)| name)
    }

    fn parse(text: &str) -> Result<Overlap> {
        let found = Overlap::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, one)| *one).ok_or_else(|| {
            let error = unknown("way with overlapping runs", text, &Overlap::NAMES.map(|(name, _)| name));
            error.target("overlap")
        })
    }
}

/// How often a run that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often.
    pub times: u32,
    /// The first wait; each next one is twice as long.
    pub wait: Duration,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries {
            times: 0,
            wait: BACK_OFF,
        }
    }
}

impl Retries {
    /// `3`, or `3 after 10s`.
    fn parse(text: &str) -> Result<Retries> {
        let (times, wait) = match text.split_once(" after ") {
            Some((times, wait)) => (times.trim(), parse_duration(wait)?),
            None => (text, BACK_OFF),
        };
        let times = times.parse().ok().filter(|times| *times <= MOST_RETRIES);
        let times = times.ok_or_else(|| {
            Error::invalid(format!("`{}` is no number of retries", text.escape_debug()))
                .hint(format!("write `3`, or `3 after 10s`; at most {MOST_RETRIES}"))
        })?;
        Ok(Retries { times, wait })
    }

    /// The wait before the try of this number, of which the first is 1.
    pub fn wait_before(&self, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.wait.saturating_mul(doubled)
    }
}

/// What a header says of a job.
#[derive(Debug, Clone, Default)]
pub struct JobHeader {
    /// When it is to run.
    pub schedule: Option<Schedule>,
    /// What it waits for beside that.
    pub on: Vec<Trigger>,
    /// A time of which each machine waits a share of its own.
    pub jitter: Duration,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// What becomes of a run whose time comes while the one before goes on.
    pub overlap: Overlap,
    /// Whether a run that was missed is made up for.
    pub catch_up: bool,
    /// How often a run that failed is tried again.
    pub retries: Retries,
    /// The arguments it is run with, where none are given.
    pub args: Vec<String>,
    /// Who is told what became of its runs.
    pub notify: Vec<Notify>,
}

/// The lines of a header about the job, with their numbers, until all of them are known.
#[derive(Default)]
pub(super) struct JobLines<'a> {
    lines: Vec<(usize, &'a str, &'a str)>,
}

/// The keys that are about a job.
pub(super) const KEYS: [&str; 10] = [
    "args", "catch_up", "jitter", "notify", "on", "overlap", "retries", "schedule", "timeout", "timezone",
];

/// Those of them that may be said several times.
const REPEATED: [&str; 2] = ["notify", "on"];

impl<'a> JobLines<'a> {
    /// Notes a line; false if it is not about a job. Errors: `invalid` for what is said twice.
    pub(super) fn note(&mut self, number: usize, key: &'a str, value: &'a str) -> Result<bool> {
        if !KEYS.contains(&key) {
            return Ok(false);
        }
        let said = self.lines.iter().find(|(_, known, _)| *known == key);
        if let Some((line, _, _)) = said.filter(|_| !REPEATED.contains(&key)) {
            return Err(Error::invalid(format!("`{key}` is said twice, in line {line} as well")));
        }
        self.lines.push((number, key, value));
        Ok(true)
    }

    /// What they mean, in the script of this name.
    pub(super) fn read(&self, name: &str) -> Result<JobHeader> {
        let mut job = JobHeader::default();
        let mut system = TimeZone::UTC;
        if self.has("schedule") && !self.has("timezone") {
            system = TimeZone::system();
        }
        for (number, key, value) in self.in_order() {
            let read = match key {
                "timezone" => self.zone(value).map(|zone| system = zone),
                "schedule" => Schedule::parse(value, &system).map(|schedule| job.schedule = Some(schedule)),
                "jitter" => parse_duration(value).map(|jitter| job.jitter = jitter),
                "timeout" => limit(value).map(|timeout| job.timeout = Some(timeout)),
                "overlap" => Overlap::parse(value).map(|overlap| job.overlap = overlap),
                "catch_up" => truth(value).map(|catch_up| job.catch_up = catch_up),
                "notify" => Notify::parse(value).map(|all| job.notify.extend(all)),
                "on" => Trigger::parse_line(value).map(|all| job.on.extend(all)),
                "retries" => Retries::parse(value).map(|retries| job.retries = retries),
                _ => split_words(value).map(|args| job.args = args),
            };
            read.map_err(|error| error.during(format!("read line {number} of the header of `{name}`")))?;
        }
        Ok(job)
    }

    fn has(&self, key: &str) -> bool {
        self.lines.iter().any(|(_, known, _)| *known == key)
    }

    /// The zone comes first: the schedule is told in it.
    fn in_order(&self) -> impl Iterator<Item = (usize, &'a str, &'a str)> {
        let zones = self.lines.iter().filter(|(_, key, _)| *key == "timezone");
        let others = self.lines.iter().filter(|(_, key, _)| *key != "timezone");
        zones.chain(others).copied()
    }

    fn zone(&self, name: &str) -> Result<TimeZone> {
        match self.has("schedule") {
            true => zone(name),
            false => Err(Error::invalid("it names a time zone without a schedule")
                .hint("add a line such as `//! schedule: 0 3 * * *`")),
        }
    }
}

fn limit(text: &str) -> Result<Duration> {
    match parse_duration(text)? {
        Duration::ZERO => {
            Err(Error::invalid("a run cannot end before it began").hint("without the line there is no limit"))
        }
        limit => Ok(limit),
    }
}

fn truth(text: &str) -> Result<bool> {
    text.parse().map_err(|_| {
        Error::invalid(format!("`{}` is neither `true` nor `false`", text.escape_debug()))
            .hint("write `true` if a run that was missed is to be made up for")
    })
}

/// Words as a shell takes them apart, without its variables and patterns: blanks part them, quotes and backslashes join.
///
/// Errors: `invalid` for a quote without its end.
pub fn split_words(text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    match quote {
        None => {
            words.extend(word);
            Ok(words)
        }
        Some(quote) => Err(
            Error::invalid(format!("a {quote} has no end in `{}`", text.escape_debug()))
                .hint("quotes come in pairs; one that is meant as it is stands after a backslash"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;

    fn read(code: &str) -> Result<JobHeader> {
        Header::read("x.rhai", code).map(|header| header.job)
    }

    #[test]
    fn a_job_is_what_its_header_says() {
        let job = read(concat!(
            "//! Cleans.\n//! schedule: 0 3 * * *\n//! timezone: Asia/Kathmandu\n//! jitter: 10m\n//! timeout: 1h\n",
            "//! overlap: queue\n//! catch_up: true\n//! retries: 3 after 10s\n//! args: --keep 3 'a b'\\ c \"\"\n",
        ))
        .unwrap();
        let schedule = job.schedule.unwrap();
        assert_eq!(
            (schedule.text(), schedule.zone().iana_name()),
            ("0 3 * * *", Some("Asia/Kathmandu"))
        );
        assert_eq!((job.jitter.as_secs(), job.timeout.unwrap().as_secs()), (600, 3600));
        assert_eq!((job.overlap, job.catch_up), (Overlap::Queue, true));
        assert_eq!(job.args, ["--keep", "3", "a b c", ""]);
        let waits = [1, 2, 3].map(|attempt| job.retries.wait_before(attempt).as_secs());
        assert_eq!((job.retries.times, waits), (3, [10, 20, 40]));
        let told = read(
            "//! notify: slack:https://hooks.example.org/s3cret mail:ops@example.org\n//! notify: ping:env:PING\n//! notify: https://x.org/s3cret always",
        );
        let told: Vec<String> = told.unwrap().notify.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "slack:hooks.example.org when the result changes",
                "mail:ops@example.org when the result changes",
                "ping:env:PING at each run",
                "webhook:x.org at each run",
            ]
        );
        let plain = read("//! Cleans.").unwrap();
        assert!(plain.schedule.is_none() && !plain.catch_up && plain.overlap == Overlap::Skip);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_way_out() {
        for (line, message, hint) in [
            ("overlap: quue", "unknown way with overlapping runs `quue`", "`queue`"),
            ("catch_up: yes", "`yes` is neither `true` nor `false`", "`true`"),
            ("retries: often", "`often` is no number of retries", "`3 after 10s`"),
            ("retries: 3 after noon", "`noon` is not a duration", "units"),
            ("timeout: 0s", "cannot end before it began", "no limit"),
            ("jitter: soon", "`soon` is not a duration", "units"),
            ("args: 'a", "a ' has no end", "pairs"),
            ("on: image.pul", "`image.pul` is nothing that happens", "`image.pull`"),
            ("timezone: UTC", "a time zone without a schedule", "schedule"),
            ("notify: always", "it names nobody", "`slack:env:SLACK_URL`"),
            (
                "notify: mail:a@b failure",
                "`failure` says of nobody how to tell",
                "`always`",
            ),
            (
                "notify: ping:https://x.org/y change",
                "gets them at each run",
                "a line of their own",
            ),
        ] {
            let error = read(&format!("//! Cleans.\n//! {line}\n1")).unwrap_err();
            assert!(
                error.message().contains("line 2 of the header of `x.rhai`"),
                "{line}: {error}"
            );
            assert!(error.message().contains(message), "{line}: {error}");
            assert!(
                error.way_out().unwrap_or_default().contains(hint),
                "{line}: {:?}",
                error.way_out()
            );
        }
    }
}
