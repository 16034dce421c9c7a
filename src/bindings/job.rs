//! `job::`: scripts that run by themselves.

use std::path::Path;

use jiff::Timestamp;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext, export_module};
use serde::Deserialize;
use serde_json::Value;

use super::duration::Duration;
use super::options;
use super::session::Session;
use super::time::Time;
use super::value::{from_json, from_serde};
use crate::config::JobHeader;
use crate::error::{Context as _, Error, Result};
use crate::host::{Cause, Claim, Host, Job, JobRun, RunOutcome};
use crate::model::Schedule;

/// How many runs are told of, unless asked for more.
const RUNS: u32 = 20;
/// How many times to come are told.
const TIMES: usize = 5;

/// A job as a map; a header that is wrong now is told under `error`.
pub fn job_map(host: &Host, job: &Job) -> Result<Dynamic> {
    let header = job.header();
    let problem = header.as_ref().err().map(ToString::to_string);
    let header = header.map(|header| header.job).unwrap_or_default();
    let next = match job.enabled() {
        true => job
            .timetable(&header)
            .and_then(|table| table.times(Timestamp::now()).next()),
        false => None,
    };
    let last = host.last_job_run(job)?;
    let schedule = header.schedule.as_ref();
    let mut map = Map::new();
    let mut set = |name: &str, value: Dynamic| drop(map.insert(name.into(), value));
    set("name", job.name().to_owned().into());
    set("file", job.file().display().to_string().into());
    set("enabled", job.enabled().into());
    set("schedule", or_unit(schedule.map(|schedule| schedule.text().to_owned())));
    set("description", or_unit(schedule.map(Schedule::words)));
    set("timezone", or_unit(schedule.map(zone_name)));
    set("on", texts(&header.on));
    set("notify", texts(&header.notify));
    set("next", time(next));
    set(
        "running",
        last.as_ref()
            .is_some_and(|run| run.outcome() == RunOutcome::Running)
            .into(),
    );
    set("last", last.as_ref().map_or(Ok(Dynamic::UNIT), run_map)?);
    set("error", or_unit(problem));
    Ok(map.into())
}

/// A run as a map.
pub fn run_map(run: &JobRun) -> Result<Dynamic> {
    let mut map = Map::new();
    let mut set = |name: &str, value: Dynamic| drop(map.insert(name.into(), value));
    set("id", run.id().into());
    set("job", run.job().to_owned().into());
    set("trigger", run.cause().name().to_owned().into());
    set("reason", or_unit(run.reason().map(str::to_owned)));
    set("outcome", run.outcome().name().to_owned().into());
    set("ok", (run.outcome() == RunOutcome::Ok).into());
    set("scheduled", time(run.scheduled()));
    set("until", time(run.until()));
    set("count", INT::from(run.count()).into());
    set("started", time(Some(run.started())));
    set("ended", time(run.ended()));
    let duration = run.duration().map(Duration::from);
    set("duration", duration.map_or(Dynamic::UNIT, Dynamic::from));
    set("code", run.code().map_or(Dynamic::UNIT, Dynamic::from));
    set("attempts", INT::from(run.attempts()).into());
    set("error", run.error().as_ref().map_or(Dynamic::UNIT, from_json));
    set("effects", from_serde(&run.effects())?);
    set("notices", from_serde(&run.notices())?);
    Ok(map.into())
}

/// The jobs as an array of maps.
pub fn job_list(host: &Host, jobs: &[Job]) -> Result<Dynamic> {
    let maps = jobs.iter().map(|job| job_map(host, job));
    Ok(maps.collect::<Result<Array>>()?.into())
}

/// The runs as an array of maps.
pub fn run_list(runs: &[JobRun]) -> Result<Dynamic> {
    Ok(runs.iter().map(run_map).collect::<Result<Array>>()?.into())
}

/// Times as an array.
pub fn time_list(times: &[Timestamp]) -> Dynamic {
    let times = times.iter().map(|time| Dynamic::from(Time::new(*time)));
    times.collect::<Array>().into()
}

/// The next times of a job, on this machine. Errors: those of its header.
pub fn next_times(job: &Job, count: usize) -> Result<Vec<Timestamp>> {
    let header = job.header()?.job;
    let table = job.timetable(&header);
    let times = table.iter().flat_map(|table| table.times(Timestamp::now()));
    Ok(times.take(count).collect())
}

/// The name of the zone that a schedule is told in.
pub fn zone_name(schedule: &Schedule) -> String {
    schedule.zone().iana_name().unwrap_or("local time").to_owned()
}

fn texts(all: &[impl ToString]) -> Dynamic {
    let texts = all.iter().map(|one| Dynamic::from(one.to_string()));
    texts.collect::<Array>().into()
}

fn or_unit(text: Option<String>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Dynamic::from)
}

fn time(time: Option<Timestamp>) -> Dynamic {
    time.map_or(Dynamic::UNIT, |time| Dynamic::from(Time::new(time)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AddOptions {
    name: Option<String>,
    args: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HistoryOptions {
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NextOptions {
    count: Option<usize>,
}

fn add(ctx: &NativeCallContext, session: &Session, file: &str, options: Map) -> Result<Dynamic> {
    let options: AddOptions = options::parse(options)?;
    check_script(ctx, file)?;
    let host = session.host()?;
    let job = host.add_job(Path::new(file), options.name.as_deref(), options.args.as_deref())?;
    job_map(host, &job)
}

/// Errors: `invalid`, with the place, for what is no script; as for reading it.
fn check_script(ctx: &NativeCallContext, file: &str) -> Result<()> {
    let code = std::fs::read_to_string(file).during(|| format!("add the job `{file}`"))?;
    let parsed = ctx.engine().compile(code.replacen("#!", "//", 1));
    parsed.map(drop).map_err(|error| {
        let (line, column) = (error.position().line(), error.position().position());
        let place = format!("{file}:{}:{}", line.unwrap_or(1), column.unwrap_or(1));
        let error = Error::invalid(format!("{place}: {}", error.err_type()));
        error.hint("a job is made of a script; `hoist check` shows what is wrong with it")
    })
}

fn history(session: &Session, name: &str, options: Map) -> Result<Array> {
    let options: HistoryOptions = options::parse(options)?;
    let runs = session.host()?.job_runs(Some(name), options.limit.unwrap_or(RUNS))?;
    runs.iter().map(run_map).collect()
}

fn next(session: &Session, name: &str, options: Map) -> Result<Array> {
    let options: NextOptions = options::parse(options)?;
    let job = session.host()?.job(name)?;
    let times = next_times(&job, options.count.unwrap_or(TIMES))?;
    Ok(times.into_iter().map(|time| Dynamic::from(Time::new(time))).collect())
}

fn run(session: &Session, name: &str) -> Result<Dynamic> {
    let host = session.host()?;
    if let Some(plan) = session.plan() {
        let job = host.job(name)?;
        plan.record("job::run", name, &job.file().display().to_string());
        return host.last_job_run(&job)?.as_ref().map_or(Ok(Dynamic::UNIT), run_map);
    }
    let ctx = session.context();
    match host.claim_for(&ctx, name, &Cause::Manual)? {
        Claim::Begun(ticket) => run_map(&ticket.watch(host, &ctx, |_| ())?),
        Claim::Skipped(run) => run_map(&run),
        Claim::NotDue => Ok(Dynamic::UNIT),
    }
}

fn enable(session: &Session, name: &str, enabled: bool) -> Result<Dynamic> {
    let host = session.host()?;
    let job = host
        .enable_job(name, enabled)
        .during(|| format!("change the job `{name}`"))?;
    job_map(host, &job)
}

/// What the header of a script says of when it runs, as an object for programs.
pub fn checked(file: &str, header: &JobHeader, times: &[Timestamp]) -> Value {
    let schedule = header.schedule.as_ref();
    serde_json::json!({
        "file": file,
        "schedule": schedule.map(Schedule::text),
        "timezone": schedule.map(zone_name),
        "description": schedule.map(Schedule::words),
        "next": times.iter().map(Timestamp::to_string).collect::<Vec<_>>(),
        "on": header.on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "notify": header.notify.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Scripts that run by themselves, as `hoist jobs add` made them.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;

    /// Makes a job of a script, under its file's name and with the arguments of its header; returns it as in `job::list()`.
    ///
    /// The file stays where it is, and is read at each run. Throws `already_exists` when there is a job of this name, `not_found` when
    /// there is no such file, `invalid` when it is no script or its header is wrong.
    ///
    /// ```rhai
    /// let file = fs::temp_file();
    /// fs::write(file, "//! Cleans up.\n//! schedule: 0 3 * * *\n");
    /// let job = job::add(file);
    /// assert::eq(job.schedule, "0 3 * * *");
    /// job::remove(job.name);
    /// ```
    #[rhai_fn(name = "add", return_raw)]
    pub fn add_short(ctx: NativeCallContext, file: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| super::add(&ctx, session, file, Map::new()))
    }

    /// Makes a job of a script; returns it as in `job::list()`.
    ///
    /// Options: `name` (the file's, without its ending), `args` (an array of texts, in the place of those of the header).
    ///
    /// ```rhai
    /// let file = fs::temp_file();
    /// fs::write(file, "//! Cleans up.\n//! schedule: 0 3 * * *\n//! timezone: UTC\n");
    /// assert::eq(job::add(file, #{ name: "nightly" }).description, "At 03:00");
    /// job::remove("nightly");
    /// ```
    #[rhai_fn(name = "add", return_raw)]
    pub fn add(ctx: NativeCallContext, file: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| super::add(&ctx, session, file, options))
    }

    /// Removes a job with its history and logs; the script stays.
    ///
    /// Throws `not_found` when there is none of this name, and `in_use` while it runs.
    ///
    /// ```rhai,throws=not_found
    /// job::remove("nightly")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn remove(ctx: NativeCallContext, name: &str) -> Scripted<()> {
        native(&ctx, |session| session.host()?.remove_job(name))
    }

    /// Every job, by name.
    ///
    /// Each is a map of `name`, `file`, `enabled`, `schedule` (as the header says it), `description` (the same in English), `timezone`,
    /// `on` (what it waits for beside that), `notify` (who is told of its runs, and when), `next` (the time it comes next), `running`, `last` (its last run, as `job::history` tells it) and `error` (what is wrong with
    /// its file now). What there is not is `()`.
    ///
    /// ```rhai
    /// assert::eq(job::list(), []);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn list(ctx: NativeCallContext) -> Scripted<Array> {
        native(&ctx, |session| {
            let host = session.host()?;
            host.jobs()?.iter().map(|job| super::job_map(host, job)).collect()
        })
    }

    /// The job of this name, as a map as in `job::list()`.
    ///
    /// Throws `not_found` when there is none.
    ///
    /// ```rhai,throws=not_found
    /// job::get("nightly")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn get(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            let host = session.host()?;
            super::job_map(host, &host.job(name)?)
        })
    }

    /// The last twenty runs of a job, the newest first, and what was missed between them.
    ///
    /// Each is a map of `id` (its number), `job`, `trigger` (`"schedule"`, `"catch_up"`, `"manual"`, or the event of the header), `reason` (what
    /// happened then),
    /// `outcome` (`"running"`, `"ok"`, `"failed"`, `"timeout"`, `"cancelled"`, `"replaced"`, `"interrupted"`, and of those that never
    /// began `"missed"` or `"skipped"`), `ok`, `scheduled` (the time of the schedule), `until` and `count` (the last and the number of
    /// the times it stands for), `started`, `ended`, `duration`, `code`, `attempts`, `error` (a map of `kind`, `message`, `file`,
    /// `line`, `column` and `hint`), `effects` (a map of `images_removed`, `reclaimed`, `tags_deleted`, `images_pulled`,
    /// `containers_created` and `containers_removed`) and `notices` (maps of `to` and, where they could not be told, `error`).
    ///
    /// Throws `not_found` when there is no such job.
    ///
    /// ```rhai,no_run
    /// let failed = job::history("nightly").filter(|run| !run.ok);
    /// ```
    #[rhai_fn(name = "history", return_raw)]
    pub fn history_short(ctx: NativeCallContext, name: &str) -> Scripted<Array> {
        native(&ctx, |session| super::history(session, name, Map::new()))
    }

    /// The last runs of a job, the newest first.
    ///
    /// Options: `limit` (default 20): at most so many.
    ///
    /// ```rhai,no_run
    /// let last = job::history("nightly", #{ limit: 1 });
    /// ```
    #[rhai_fn(name = "history", return_raw)]
    pub fn history(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| super::history(session, name, options))
    }

    /// The next five times of a job on this machine, its share of the jitter included.
    ///
    /// ```rhai,no_run
    /// print(job::next("nightly")[0]);
    /// ```
    #[rhai_fn(name = "next", return_raw)]
    pub fn next_short(ctx: NativeCallContext, name: &str) -> Scripted<Array> {
        native(&ctx, |session| super::next(session, name, Map::new()))
    }

    /// The next times of a job on this machine.
    ///
    /// Options: `count` (default 5): how many.
    ///
    /// ```rhai,no_run
    /// let week = job::next("nightly", #{ count: 7 });
    /// ```
    #[rhai_fn(name = "next", return_raw)]
    pub fn next(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| super::next(session, name, options))
    }

    /// Runs a job now, as its header says, and waits for its end; returns the run as in `job::history`.
    ///
    /// It has the rights of its own header, not those of this script. Its schedule stays as it is. While it runs already it is left out
    /// (`outcome` is `"skipped"`), unless its header says otherwise. What fails in it is in the result, and not thrown.
    ///
    /// ```rhai,no_run
    /// let run = job::run("nightly");
    /// if !run.ok { log::error(run.error.message); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn run(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| super::run(session, name))
    }

    /// Has a job no more run by itself; what runs goes on. Returns the job.
    ///
    /// ```rhai
    /// let file = fs::temp_file();
    /// fs::write(file, "//! Cleans up.\n//! schedule: 0 3 * * *\n");
    /// let job = job::add(file, #{ name: "nightly" });
    /// assert::eq(job::pause("nightly").next, ());
    /// job::remove("nightly");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn pause(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| super::enable(session, name, false))
    }

    /// Has a job run by itself again, from now on: nothing that came meanwhile is made up for. Returns the job.
    ///
    /// ```rhai
    /// let file = fs::temp_file();
    /// fs::write(file, "//! Cleans up.\n//! schedule: 0 3 * * *\n");
    /// job::add(file, #{ name: "nightly" });
    /// job::pause("nightly");
    /// assert::ok(job::resume("nightly").next > time::now());
    /// job::remove("nightly");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn resume(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| super::enable(session, name, true))
    }
}
