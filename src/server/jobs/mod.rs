//! The scheduler: a process in the foreground that has jobs run when they are due.
//!
//! A run is a process of its own, `hoist jobs run`, which claims it as systemd and cron do. So the scheduler may be killed, doubled or
//! late: what it decides is when to ask, never whether something runs twice.

mod agenda;
mod ears;
mod listener;
mod metrics;
mod notify;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::error::Result;
use crate::host::{Host, Job};
use crate::model::{Timetable, Trigger};
use crate::runtime::{Waker, Woken, ended_apart, interrupt_apart, start_apart};

use ears::Ears;
use listener::Listener;

pub use agenda::Agenda;
use metrics::Metrics;

/// How long it sleeps at most while there are jobs: their scripts may have changed.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// How many processes of one job there may be: one that runs, and one that waits or notes that it is left out.
const MOST_OF_ONE: usize = 2;

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// How many jobs run at the same time.
    pub parallel: usize,
    /// Where Prometheus may ask for the numbers of jobs: an address and a port, or a port of the loopback.
    pub metrics: Option<String>,
    /// A file of the same numbers, which is renewed whenever something happens, and once a minute.
    pub metrics_file: Option<PathBuf>,
}

/// A scheduler of a store's jobs.
pub struct Scheduler<'a> {
    host: &'a Host,
    options: SchedulerOptions,
    tell: &'a dyn Fn(&str),
    waker: Waker,
    metrics: Option<Metrics>,
    agenda: Agenda,
    ears: Ears,
    /// There while a job waits for events.
    listener: Option<Listener>,
    scripts: HashMap<String, Script>,
    /// How many of them run by themselves.
    count: usize,
    /// Processes that were started, by number.
    running: HashMap<i32, String>,
    /// What is due and has to wait for others to end, with when it was.
    waiting: VecDeque<(String, Timestamp)>,
    /// When the jobs were looked at.
    looked: Instant,
}

/// What was read of a job's script, and when that was written.
struct Script {
    file: std::path::PathBuf,
    written: Option<SystemTime>,
    table: Option<Timetable>,
    on: Vec<Trigger>,
}

impl<'a> Scheduler<'a> {
    /// A scheduler that says by `tell` what people want to know. To be made before any thread is started.
    ///
    /// Errors: `invalid` for an address that is none, `already_exists` or `denied` if it cannot be had.
    pub fn new(host: &'a Host, options: SchedulerOptions, tell: &'a dyn Fn(&str)) -> Result<Scheduler<'a>> {
        // Threads that answer leave signals to it: it blocks them first.
        let waker = Waker::new(&host.job_mark()?)?;
        let address = options.metrics.as_deref();
        Ok(Scheduler {
            host,
            metrics: address.map(|address| Metrics::serve(host, address)).transpose()?,
            options,
            tell,
            waker,
            agenda: Agenda::default(),
            ears: Ears::default(),
            listener: None,
            scripts: HashMap::new(),
            count: 0,
            running: HashMap::new(),
            waiting: VecDeque::new(),
            looked: Instant::now(),
        })
    }

    /// Where Prometheus may ask.
    pub fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(Metrics::url)
    }

    /// Works until it is asked to end, and then until what runs has ended; asked twice, what runs is asked to end as well.
    pub fn run(mut self) -> Result<()> {
        self.host.settle_jobs()?;
        self.reload()?;
        notify::ready();
        (self.tell)(&self.summary(Timestamp::now()));
        loop {
            let now = Timestamp::now();
            let due: BTreeSet<String> = self.agenda.due(now).into_iter().chain(self.ears.due(now)).collect();
            self.waiting.extend(due.into_iter().map(|name| (name, now)));
            self.start();
            self.renew_metrics();
            let woken = self.sleep(self.wake(now))?;
            if woken.ends > 0 {
                return self.drain(woken.ends);
            }
            if woken.news {
                notify::reloading();
                self.reload()?;
                notify::ready();
                (self.tell)(&self.summary(Timestamp::now()));
            } else if self.looked.elapsed() >= LONGEST.unsigned_abs() {
                self.reload()?;
            }
            if let Some(listener) = self.listener.as_mut().filter(|_| woken.events)
                && let Err(error) = listener.listen(self.host, &mut self.ears)
            {
                (self.tell)(&format!("what happens is not heard: {error}"));
            }
        }
    }

    /// When to look again.
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        if self.scripts.is_empty() {
            return None;
        }
        let longest = now.checked_add(LONGEST).unwrap_or(now);
        let next = self.agenda.next(now).map(|(next, _)| next);
        let next = next.into_iter().chain(self.ears.next()).min();
        Some(next.map_or(longest, |next| next.min(longest)))
    }

    /// Sleeps, as long as a manager that restarts what hangs bears it; what has ended meanwhile is seen to.
    fn sleep(&mut self, until: Option<Timestamp>) -> Result<Woken> {
        let watch = notify::watch().and_then(|span| Timestamp::now().checked_add(span).ok());
        if watch.is_some() {
            notify::alive();
        }
        let woken = self.waker.sleep(until.into_iter().chain(watch).min())?;
        self.reap();
        Ok(woken)
    }

    fn renew_metrics(&self) {
        let Some(file) = &self.options.metrics_file else {
            return;
        };
        if let Err(error) = self.host.write_job_metrics(file) {
            (self.tell)(&format!("the numbers of the jobs are not up to date: {error}"));
        }
    }

    /// Takes over what is new; a run that could not be claimed is tried again then, and not at once. Jobs of which a process is under way are left as they are: it is about to say how far it came.
    fn reload(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let jobs = self.host.jobs()?;
        jobs.iter().for_each(|job| self.take_over(job));
        let is_there = |name: &str| jobs.binary_search_by(|job| job.name().cmp(name)).is_ok();
        self.agenda.retain(is_there);
        self.ears.retain(is_there);
        self.scripts.retain(|name, _| is_there(name));
        self.waiting.retain(|(name, _)| is_there(name));
        let runs = |script: &Script| script.table.is_some() || !script.on.is_empty();
        let active = jobs.iter().filter(|job| job.enabled());
        self.count = active
            .filter(|job| self.scripts.get(job.name()).is_some_and(runs))
            .count();
        self.follow(&jobs)
    }

    fn take_over(&mut self, job: &Job) {
        let now = Timestamp::now();
        let is_busy = self.running.values().any(|name| name == job.name())
            || self.waiting.iter().any(|(name, _)| name == job.name());
        let is_new = self.read(job);
        let script = self.scripts.get(job.name()).filter(|_| job.enabled());
        match script.and_then(|script| script.table.clone()) {
            Some(table) if is_new || !is_busy => self.agenda.set(job.name(), table, job.seen()),
            Some(_) => {}
            None => self.agenda.retain(|name| name != job.name()),
        }
        match script.map(|script| script.on.as_slice()).filter(|on| is_heard(on)) {
            Some(on) if is_new || !is_busy => self.ears.set(job.name(), on, job.heard()),
            Some(_) => {}
            None => self.ears.retain(|name| name != job.name()),
        }
        if script.is_some_and(|script| !is_busy && self.host.has_disk_news(job, &script.on, now)) {
            self.waiting.push_back((job.name().to_owned(), now));
        }
    }

    /// Reads the journal as long as a job waits for what it tells.
    fn follow(&mut self, jobs: &[Job]) -> Result<()> {
        if self.ears.is_empty() {
            self.listener = None;
            return self.waker.follow(None);
        }
        if self.listener.is_none() {
            let heard = jobs.iter().map(|job| (job.name().to_owned(), job.heard()));
            let listener = Listener::new(self.host, &heard.collect(), &mut self.ears)?;
            self.waker.follow(Some(listener.place()?))?;
            // What came between reading it and watching it.
            self.listener.insert(listener).listen(self.host, &mut self.ears)?;
        }
        Ok(())
    }

    /// Reads a job's header if its file is not the one that was read; tells whether it did.
    fn read(&mut self, job: &Job) -> bool {
        let written = std::fs::metadata(job.file()).and_then(|facts| facts.modified()).ok();
        let known = self.scripts.get(job.name());
        if known.is_some_and(|known| known.file == job.file() && known.written == written) {
            return false;
        }
        let header = job.header().map_err(|error| {
            (self.tell)(&format!("the job `{}` does not run: {error}", job.name()));
        });
        let script = Script {
            file: job.file().to_owned(),
            written,
            table: header.as_ref().ok().and_then(|header| job.timetable(&header.job)),
            on: header.map(|header| header.job.on).unwrap_or_default(),
        };
        self.scripts.insert(job.name().to_owned(), script);
        true
    }

    /// Starts what is due, as far as there is room.
    fn start(&mut self) {
        let mut left = VecDeque::new();
        while let Some((name, at)) = self.waiting.pop_front() {
            let own = self.running.values().filter(|running| **running == name).count();
            if self.running.len() >= self.options.parallel || own >= MOST_OF_ONE {
                // What is due once more stands for the one before.
                left.retain(|(other, _)| *other != name);
                left.push_back((name, at));
                continue;
            }
            match start_apart(&self.host.words_for_due(&name, at)) {
                Ok(pid) => drop(self.running.insert(pid, name)),
                Err(error) => (self.tell)(&format!("the job `{name}` could not be started: {error}")),
            }
        }
        self.waiting = left;
    }

    fn reap(&mut self) {
        while let Some(pid) = ended_apart() {
            self.running.remove(&pid);
        }
    }

    /// Waits for what runs.
    fn drain(mut self, asked: u32) -> Result<()> {
        notify::stopping();
        let mut woken = Woken {
            ends: asked.saturating_sub(1),
            ..Woken::default()
        };
        if !self.running.is_empty() && woken.ends == 0 {
            (self.tell)(&format!("waiting for {} that run", self.running.len()));
        }
        while !self.running.is_empty() {
            if woken.ends > 0 {
                self.running.keys().for_each(|pid| interrupt_apart(*pid));
            }
            woken = self.sleep(None)?;
        }
        self.renew_metrics();
        Ok(())
    }

    fn summary(&self, now: Timestamp) -> String {
        let count = match self.count {
            0 => "no jobs to run".to_owned(),
            1 => "1 job to run".to_owned(),
            count => format!("{count} jobs to run"),
        };
        match self.agenda.next(now) {
            Some((next, name)) => format!("{count}; next is `{name}` at {next}"),
            None => count,
        }
    }
}

/// Whether one of these waits for what the journal tells.
fn is_heard(triggers: &[Trigger]) -> bool {
    triggers.iter().any(|trigger| trigger.disk().is_none())
}
