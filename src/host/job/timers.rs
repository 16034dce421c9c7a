//! The words by which systemd or cron runs a job: units of a timer, and lines of a crontab.
//!
//! A timer may come when nothing is due: it asks, and the claim decides. So what cannot be said in its words is asked for each minute,
//! and several may drive the same job. Whoever asks waits for the machine's share of the jitter. Jobs that wait for events are asked for each
//! minute, too: whoever asks reads the journal from where the last one came to.

use std::path::Path;

use super::Job;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::Schedule;

/// A file of systemd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerUnit {
    /// Its name, such as `hoist-job-nightly.timer`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl Host {
    /// The timer of a job, and the service that it starts; `program` is this one. Errors: those of the header; `invalid` for one that only runs by order.
    pub fn job_units(&self, job: &Job, program: &Path) -> Result<[TimerUnit; 2]> {
        let (header, times) = (job.header()?, times_of(job)?);
        let about = header.about.first().cloned().unwrap_or_default();
        let name = format!("hoist-job-{}", job.name());
        let words = self.timer_words(job, program);
        let words: Vec<String> = words.iter().map(|word| systemd_word(word)).collect();
        let service = format!(
            "[Unit]\nDescription=Hoist job {}: {}\n\n[Service]\nType=oneshot\nExecStart={}\n\
             # What the job is to leave running goes on; what it is not is ended by its run.\nKillMode=process\n",
            job.name(),
            specifiers(&about),
            words.join(" ")
        );
        let events = times.map_or_else(
            || vec!["*-*-* *:*:00".to_owned()],
            |schedule| schedule.calendar_events(),
        );
        let events: String = events.iter().map(|event| format!("OnCalendar={event}\n")).collect();
        let timer = format!(
            "[Unit]\nDescription=Timer of the Hoist job {}\n\n[Timer]\n{events}AccuracySec=1s\n\
             # A time that came while the machine was off is noted, and made up for if the header says so.\nPersistent=true\n\n\
             [Install]\nWantedBy=timers.target\n",
            job.name()
        );
        Ok([
            TimerUnit {
                name: format!("{name}.service"),
                text: service,
            },
            TimerUnit {
                name: format!("{name}.timer"),
                text: timer,
            },
        ])
    }

    /// The line of a file in `/etc/cron.d` that runs a job (crontab(5)). Errors: as for its units.
    pub fn job_cron_line(&self, job: &Job, program: &Path) -> Result<String> {
        let times = times_of(job)?.map_or_else(|| "* * * * *".to_owned(), |schedule| schedule.crontab().to_owned());
        let words = self.timer_words(job, program);
        let words: Vec<String> = words.iter().map(|word| cron_word(word)).collect();
        Ok(format!("{times} root {}\n", words.join(" ")))
    }

    fn timer_words(&self, job: &Job, program: &Path) -> Vec<String> {
        let flags = self
            .config()
            .flags
            .iter()
            .map(|flag| flag.to_string_lossy().into_owned());
        let own = ["jobs", "run", "--scheduled", "--silent", "--", job.name()].map(str::to_owned);
        [program.display().to_string()]
            .into_iter()
            .chain(flags)
            .chain(own)
            .collect()
    }
}

/// When a job is asked for: by its schedule, or each minute.
fn times_of(job: &Job) -> Result<Option<Schedule>> {
    let header = job.header()?.job;
    match (header.on.is_empty(), header.schedule) {
        (false, _) => Ok(None),
        (true, Some(schedule)) => Ok(Some(schedule)),
        (true, None) => Err(Error::invalid(format!(
            "the header of the job `{}` has no schedule, and waits for nothing",
            job.name()
        ))
        .target(job.name())
        .hint("say when it is to run by a line such as `//! schedule: 0 3 * * *` or `//! on: image.pull`")),
    }
}

/// A word of `ExecStart` (systemd.service(5)).
fn systemd_word(word: &str) -> String {
    let escaped = specifiers(word)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "$$");
    match is_plain(word) {
        true => word.to_owned(),
        false => format!("\"{escaped}\""),
    }
}

/// Text in which systemd finds no specifiers.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of a shell's command line; cron takes `%` for the end of the line.
fn cron_word(word: &str) -> String {
    match is_plain(word) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''").replace('%', "\\%")),
    }
}

fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,@+".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_themselves_to_systemd_and_to_cron() {
        for (word, systemd, cron) in [
            ("/usr/bin/hoist", "/usr/bin/hoist", "/usr/bin/hoist"),
            ("a b", "\"a b\"", "'a b'"),
            ("50%", "\"50%%\"", "'50\\%'"),
            ("$x\"", "\"$$x\\\"\"", "'$x\"'"),
            ("it's", "\"it's\"", "'it'\\''s'"),
        ] {
            assert_eq!((systemd_word(word).as_str(), cron_word(word).as_str()), (systemd, cron));
        }
    }
}
