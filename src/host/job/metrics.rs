//! Numbers of jobs for Prometheus, in its text format (version 0.0.4).
//!
//! The label is `name`: `job` is Prometheus's own, for what it asks.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use super::Job;
use super::history::Outcome;
use crate::error::{Context as _, Result};
use crate::host::Host;
use crate::model::Timetable;
use crate::store::RunTotal;

/// How a run that began can have ended.
const ENDS: [Outcome; 6] = [
    Outcome::Ok,
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Cancelled,
    Outcome::Replaced,
    Outcome::Interrupted,
];

/// Those of them that are nobody's wish.
const FAILURES: [Outcome; 3] = [Outcome::Failed, Outcome::Timeout, Outcome::Interrupted];

/// Of what kind a number is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Summary,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        }
    }
}

/// What is told of a job under one name: labels besides its own name, an ending of the name, and the number as it is written.
type Sample = (&'static str, Vec<(&'static str, String)>, String);

/// Numbers of all jobs under one name.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: fn(&Facts) -> Vec<Sample>,
}

const FAMILIES: [Family; 15] = [
    Family {
        name: "hoist_job_info",
        kind: Kind::Gauge,
        help: "What the job is: its schedule as the header says it, in which zone, and its script.",
        samples: |facts| {
            let labels = vec![
                ("schedule", facts.schedule.clone().unwrap_or_default()),
                ("timezone", facts.zone.clone().unwrap_or_default()),
                ("file", facts.job.file().display().to_string()),
            ];
            vec![("", labels, "1".to_owned())]
        },
    },
    Family {
        name: "hoist_job_enabled",
        kind: Kind::Gauge,
        help: "Whether it runs by itself.",
        samples: |facts| flag(facts.job.enabled()),
    },
    Family {
        name: "hoist_job_valid",
        kind: Kind::Gauge,
        help: "Whether its script is there, with a header that can be read.",
        samples: |facts| flag(facts.is_valid),
    },
    Family {
        name: "hoist_job_running",
        kind: Kind::Gauge,
        help: "Whether it runs now.",
        samples: |facts| flag(facts.is_running),
    },
    Family {
        name: "hoist_job_next_run_timestamp_seconds",
        kind: Kind::Gauge,
        help: "The next time of its schedule that nobody has seen to; in the past if it is overdue.",
        samples: |facts| optional(facts.next.map(seconds)),
    },
    Family {
        name: "hoist_job_last_run_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the last run that has ended began.",
        samples: |facts| optional(facts.last().map(|(_, total)| seconds(total.started))),
    },
    Family {
        name: "hoist_job_last_run_duration_seconds",
        kind: Kind::Gauge,
        help: "How long the last run took, unless it was interrupted.",
        samples: |facts| {
            let timed = facts.last().filter(|(end, _)| *end != Outcome::Interrupted);
            optional(timed.map(|(_, total)| span(micros(total.ended).saturating_sub(micros(total.started)).max(0))))
        },
    },
    Family {
        name: "hoist_job_last_run_outcome",
        kind: Kind::Gauge,
        help: "How the last run ended: 1 for that outcome, 0 for the others.",
        samples: |facts| {
            let Some((last, _)) = facts.last() else {
                return Vec::new();
            };
            by_outcome(|end| u64::from(end == last))
        },
    },
    Family {
        name: "hoist_job_last_success_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the last run that ended well did so.",
        samples: |facts| optional(facts.total(Outcome::Ok).map(|total| seconds(total.ended))),
    },
    Family {
        name: "hoist_job_runs_total",
        kind: Kind::Counter,
        help: "Runs by how they ended.",
        samples: |facts| by_outcome(|end| facts.count(end)),
    },
    Family {
        name: "hoist_job_failures_total",
        kind: Kind::Counter,
        help: "Runs that failed, took too long or were interrupted.",
        samples: |facts| whole(FAILURES.iter().map(|end| facts.count(*end)).sum()),
    },
    Family {
        name: "hoist_job_missed_total",
        kind: Kind::Counter,
        help: "Times of the schedule that passed while nobody was there to run it.",
        samples: |facts| whole(facts.count(Outcome::Missed)),
    },
    Family {
        name: "hoist_job_skipped_total",
        kind: Kind::Counter,
        help: "Runs that were left out because the one before went on.",
        samples: |facts| whole(facts.count(Outcome::Skipped)),
    },
    Family {
        name: "hoist_job_duration_seconds",
        kind: Kind::Summary,
        help: "How long runs took, but for those that were interrupted.",
        samples: |facts| {
            let timed = || ENDS.into_iter().filter(|end| *end != Outcome::Interrupted);
            let took = timed().filter_map(|end| Some(facts.total(end)?.micros)).sum::<u64>();
            let count = timed().map(|end| facts.count(end)).sum::<u64>();
            vec![
                ("_sum", Vec::new(), span(took.cast_signed())),
                ("_count", Vec::new(), count.to_string()),
            ]
        },
    },
    Family {
        name: "hoist_job_reclaimed_bytes_total",
        kind: Kind::Counter,
        help: "Bytes that only what its runs removed needed.",
        samples: |facts| whole(facts.totals.values().map(|total| total.reclaimed).sum()),
    },
];

/// What is known of a job.
struct Facts {
    job: Job,
    is_valid: bool,
    is_running: bool,
    schedule: Option<String>,
    zone: Option<String>,
    next: Option<Timestamp>,
    /// What its runs came to, by the words for how they ended.
    totals: BTreeMap<String, RunTotal>,
}

impl Facts {
    fn total(&self, end: Outcome) -> Option<&RunTotal> {
        self.totals.get(end.name())
    }

    fn count(&self, end: Outcome) -> u64 {
        self.total(end).map_or(0, |total| total.count)
    }

    /// The last run that has ended.
    fn last(&self) -> Option<(Outcome, &RunTotal)> {
        let ends = ENDS.into_iter().filter_map(|end| Some((end, self.total(end)?)));
        ends.max_by_key(|(_, total)| total.started)
    }
}

fn flag(is_so: bool) -> Vec<Sample> {
    whole(u64::from(is_so))
}

fn whole(number: u64) -> Vec<Sample> {
    optional(Some(number.to_string()))
}

fn optional(number: Option<String>) -> Vec<Sample> {
    number.into_iter().map(|number| ("", Vec::new(), number)).collect()
}

fn by_outcome(number: impl Fn(Outcome) -> u64) -> Vec<Sample> {
    let sample = |end: &Outcome| ("", vec![("outcome", end.name().to_owned())], number(*end).to_string());
    ENDS.iter().map(sample).collect()
}

fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

fn seconds(time: Timestamp) -> String {
    span(micros(time))
}

/// Microseconds in seconds, without what a floating point number would lose.
fn span(micros: i64) -> String {
    let (whole, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    match rest {
        0 => whole.to_string(),
        rest => format!("{whole}.{rest:06}").trim_end_matches('0').to_owned(),
    }
}

/// The next time that nobody has seen to, as it comes on this machine.
fn next(table: &Timetable, seen: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let due = table.look(seen, now);
    let missed = due.missed.map(|missed| missed.first);
    match missed.or(due.run.map(|slot| slot.at)) {
        Some(overdue) => overdue.checked_add(table.shift()).ok(),
        None => due.next,
    }
}

/// A label's value as it is to be written.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn line(family: &Family, job: &str, (ending, labels, number): &Sample) -> String {
    let labels: String = labels
        .iter()
        .map(|(label, value)| format!(",{label}=\"{}\"", escaped(value)))
        .collect();
    format!(
        "{}{ending}{{name=\"{}\"{labels}}} {number}\n",
        family.name,
        escaped(job)
    )
}

/// All that is known, as it is to be read.
fn exposition(jobs: &[Facts]) -> String {
    let mut text = String::new();
    for family in &FAMILIES {
        let lines = jobs.iter().flat_map(|facts| {
            let samples = (family.samples)(facts);
            samples
                .into_iter()
                .map(|sample| line(family, facts.job.name(), &sample))
        });
        let lines: String = lines.collect();
        if !lines.is_empty() {
            let (name, kind) = (family.name, family.kind.name());
            text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n{lines}", family.help));
        }
    }
    text
}

impl Host {
    /// The numbers of all jobs, for Prometheus. What is counted goes on growing though runs are forgotten.
    pub fn job_metrics(&self) -> Result<String> {
        let mut totals: BTreeMap<String, BTreeMap<String, RunTotal>> = BTreeMap::new();
        for total in self.store().read(|tx| tx.run_totals())? {
            totals
                .entry(total.job.clone())
                .or_default()
                .insert(total.outcome.clone(), total);
        }
        let jobs = self.jobs()?.into_iter();
        let facts = jobs.map(|job| {
            let totals = totals.remove(job.name()).unwrap_or_default();
            self.facts_of(job, totals)
        });
        Ok(exposition(&facts.collect::<Vec<_>>()))
    }

    fn facts_of(&self, job: Job, totals: BTreeMap<String, RunTotal>) -> Facts {
        let header = job.header().map(|header| header.job);
        let table = header.as_ref().ok().and_then(|header| job.timetable(header));
        let zone = |table: &Timetable| table.schedule().zone().iana_name().map(str::to_owned);
        Facts {
            is_valid: header.is_ok(),
            is_running: self.holder(job.name()).is_some(),
            schedule: table.as_ref().map(|table| table.schedule().text().to_owned()),
            zone: table.as_ref().and_then(zone),
            next: table
                .filter(|_| job.enabled())
                .and_then(|table| next(&table, job.seen(), Timestamp::now())),
            totals,
            job,
        }
    }

    /// Writes the numbers of all jobs to a file, such as one that node_exporter reads: the whole at once, for everybody to read.
    pub fn write_job_metrics(&self, file: &Path) -> Result<()> {
        let text = self.job_metrics()?;
        let what = || format!("write `{}`", file.display());
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Readers of `*.prom` pass over it.
        let aside = file.with_file_name(format!(".{name}.{}", std::process::id()));
        let written = File::create(&aside).and_then(|mut new| {
            new.set_permissions(Permissions::from_mode(0o644))?;
            new.write_all(text.as_bytes())?;
            std::fs::rename(&aside, file)
        });
        written.inspect_err(|_| drop(std::fs::remove_file(&aside))).during(what)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Schedule;

    #[test]
    fn numbers_and_labels_are_written_without_loss() {
        for (micros, text) in [
            (0, "0"),
            (1, "0.000001"),
            (1_500_000, "1.5"),
            (1_763_800_000_123_456, "1763800000.123456"),
        ] {
            assert_eq!(span(micros), text);
        }
        assert_eq!(escaped("a\\b \"c\"\nd"), "a\\\\b \\\"c\\\"\\nd");
    }

    #[test]
    fn what_nobody_has_seen_to_is_overdue() {
        let schedule = Schedule::parse("0 3 * * *", &jiff::tz::TimeZone::UTC).unwrap();
        let table = Timetable::new(schedule, Duration::from_secs(60), false);
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let seen = at("2026-01-01T03:00:00Z");
        for (now, expected) in [
            ("2026-01-01T04:00:00Z", "2026-01-02T03:01:00Z"),
            ("2026-01-02T03:00:30Z", "2026-01-02T03:01:00Z"),
            ("2026-01-02T03:01:30Z", "2026-01-02T03:01:00Z"),
            ("2026-01-09T12:00:00Z", "2026-01-02T03:01:00Z"),
        ] {
            assert_eq!(next(&table, seen, at(now)), Some(at(expected)), "{now}");
        }
    }

    #[test]
    fn names_are_those_that_prometheus_wants() {
        for family in &FAMILIES {
            let is_counter = matches!(family.kind, Kind::Counter);
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '\n']));
        }
    }
}
