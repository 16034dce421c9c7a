//! Rows of jobs and of their runs.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, read_time, time, unreadable};
use crate::error::Result;

/// A script that runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// The script, an absolute path.
    pub file: String,
    /// Its arguments as a JSON array; `None` for those of the header.
    pub args: Option<String>,
    /// Whether it runs by itself now.
    pub enabled: bool,
    /// When it was added.
    pub added: Timestamp,
    /// The last time of its schedule that has been seen to.
    pub seen: Timestamp,
    /// Up to when what happened has been seen to.
    pub heard: Timestamp,
    /// Disks that are as full as it waits for, as a JSON object of when that had it run last.
    pub full: Option<String>,
}

/// What became of a time of a job, or of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its number; none is given twice.
    pub id: i64,
    /// The job.
    pub job: String,
    /// Why it began.
    pub cause: String,
    /// What happened, in words.
    pub reason: Option<String>,
    /// The run that brought that about.
    pub origin: Option<i64>,
    /// The time of the schedule, if it is of one; of several the first.
    pub scheduled: Option<Timestamp>,
    /// The last of several.
    pub until: Option<Timestamp>,
    /// How many times it stands for.
    pub count: u32,
    /// When it began; of one that never did, when that was noted.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How; `None` while it goes on.
    pub outcome: Option<String>,
    /// The exit code.
    pub code: Option<i64>,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong, as a JSON object.
    pub error: Option<String>,
    /// What it did, as a JSON object.
    pub effects: Option<String>,
    /// Who was told, as a JSON array of objects.
    pub notices: Option<String>,
}

fn job(row: &Row) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        name: row.get("name")?,
        file: row.get("file")?,
        args: row.get("args")?,
        enabled: row.get("enabled")?,
        added: read_time(row, "added")?,
        seen: read_time(row, "seen")?,
        heard: read_time(row, "heard")?,
        full: row.get("full")?,
    })
}

/// The columns of a run, in their order: to look each up by its name takes longer than to read it, and there are many rows.
const RUN: &str =
    "SELECT id, job, cause, scheduled, until, count, started, ended, outcome, code, attempts, error, effects,
    notices, reason, origin FROM run";

fn run(row: &Row) -> rusqlite::Result<RunRow> {
    let moment = |column: usize| {
        let micros: Option<i64> = row.get(column)?;
        micros.map(Timestamp::from_microsecond).transpose().map_err(unreadable)
    };
    Ok(RunRow {
        id: row.get(0)?,
        job: row.get(1)?,
        cause: row.get(2)?,
        scheduled: moment(3)?,
        until: moment(4)?,
        count: row.get(5)?,
        started: moment(6)?.unwrap_or_default(),
        ended: moment(7)?,
        outcome: row.get(8)?,
        code: row.get(9)?,
        attempts: row.get(10)?,
        error: row.get(11)?,
        effects: row.get(12)?,
        notices: row.get(13)?,
        reason: row.get(14)?,
        origin: row.get(15)?,
    })
}

impl Tx<'_> {
    /// Adds a job; false if its name is taken.
    pub fn insert_job(&self, row: &JobRow) -> Result<bool> {
        let sql = "INSERT INTO job (name, file, args, enabled, added, seen, heard, full)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO NOTHING";
        let (added, seen, heard) = (time(row.added), time(row.seen), time(row.heard));
        let values = params![row.name, row.file, row.args, row.enabled, added, seen, heard, row.full];
        Ok(self.execute(sql, values)? > 0)
    }

    /// The job of this name.
    pub fn job(&self, name: &str) -> Result<Option<JobRow>> {
        self.first("SELECT * FROM job WHERE name = ?1", [name], job)
    }

    /// Every job, by name.
    pub fn jobs(&self) -> Result<Vec<JobRow>> {
        self.all("SELECT * FROM job ORDER BY name", [], job)
    }

    /// Removes a job with its runs; false if it was not there.
    pub fn delete_job(&self, name: &str) -> Result<bool> {
        Ok(self.execute("DELETE FROM job WHERE name = ?1", [name])? > 0)
    }

    /// Lets a job run by itself from a time on, or no more.
    pub fn enable_job(&self, name: &str, enabled: bool, from: Timestamp) -> Result<()> {
        let sql = "UPDATE job SET enabled = ?2, seen = iif(?2, ?3, seen), heard = iif(?2, ?3, heard)
                   WHERE name = ?1 AND enabled <> ?2";
        self.execute(sql, params![name, enabled, time(from)]).map(drop)
    }

    /// Notes how far a job has been seen to; false if that is not how far it was before any more.
    pub fn see_job(&self, before: &JobRow, after: &JobRow) -> Result<bool> {
        let sql = "UPDATE job SET seen = ?5, heard = ?6, full = ?7
                   WHERE name = ?1 AND seen = ?2 AND heard = ?3 AND full IS ?4 AND enabled";
        let (seen, heard) = (time(before.seen), time(before.heard));
        let values = params![
            before.name,
            seen,
            heard,
            before.full,
            time(after.seen),
            time(after.heard),
            after.full
        ];
        Ok(self.execute(sql, values)? > 0)
    }

    /// Adds a run, to the totals as well if it has ended; returns its number, which replaces the one of the row.
    pub fn insert_run(&self, row: &RunRow) -> Result<i64> {
        let sql = "INSERT INTO run (job, cause, scheduled, until, count, started, ended, outcome, code, attempts, error, effects,
                   reason, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let values = params![
            row.job,
            row.cause,
            row.scheduled.map(time),
            row.until.map(time),
            row.count,
            time(row.started),
            row.ended.map(time),
            row.outcome,
            row.code,
            row.attempts,
            row.error,
            row.effects,
            row.reason,
            row.origin
        ];
        self.execute(sql, values)?;
        let id = self.0.last_insert_rowid();
        self.count_run(None, row)?;
        Ok(id)
    }

    /// Sets what changes about a run, and adds it to the totals when it has ended.
    pub fn update_run(&self, row: &RunRow) -> Result<()> {
        let Some(before) = self.run(row.id)? else {
            return Ok(());
        };
        self.count_run(Some(&before), row)?;
        let sql =
            "UPDATE run SET until = ?2, count = ?3, ended = ?4, outcome = ?5, code = ?6, attempts = ?7, error = ?8,
                   effects = ?9 WHERE id = ?1";
        let (until, ended) = (row.until.map(time), row.ended.map(time));
        let values = params![
            row.id,
            until,
            row.count,
            ended,
            row.outcome,
            row.code,
            row.attempts,
            row.error,
            row.effects
        ];
        self.execute(sql, values).map(drop)
    }

    /// A run by its number.
    pub fn run(&self, id: i64) -> Result<Option<RunRow>> {
        self.first(&format!("{RUN} WHERE id = ?1"), [id], run)
    }

    /// The last runs of a job, or of all, the newest first.
    pub fn runs(&self, job: Option<&str>, limit: u32) -> Result<Vec<RunRow>> {
        match job {
            Some(job) => {
                let sql = format!("{RUN} WHERE job = ?1 ORDER BY id DESC LIMIT ?2");
                self.all(&sql, params![job, limit], run)
            }
            None => self.all(&format!("{RUN} ORDER BY id DESC LIMIT ?1"), [limit], run),
        }
    }

    /// Keeps who was told of a run.
    pub fn set_notices(&self, id: i64, notices: &str) -> Result<()> {
        self.execute("UPDATE run SET notices = ?2 WHERE id = ?1", params![id, notices])
            .map(drop)
    }

    /// The runs of a job before one, the newest first.
    pub fn runs_before(&self, job: &str, id: i64, limit: u32) -> Result<Vec<RunRow>> {
        let sql = format!("{RUN} WHERE job = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
        self.all(&sql, params![job, id, limit], run)
    }

    /// The last run of a job that began, whatever was missed since.
    pub fn last_run(&self, job: &str) -> Result<Option<RunRow>> {
        let sql = format!("{RUN} WHERE job = ?1 AND attempts > 0 ORDER BY id DESC LIMIT 1");
        self.first(&sql, [job], run)
    }

    /// The runs of a job that have not ended.
    pub fn open_runs(&self, job: &str) -> Result<Vec<RunRow>> {
        self.all(&format!("{RUN} WHERE job = ?1 AND outcome IS NULL"), [job], run)
    }

    /// Removes the ended runs of a job that are older than a time or beyond so many newer ones; returns their numbers.
    pub fn forget_runs(&self, job: &str, keep: u32, from: Timestamp) -> Result<Vec<i64>> {
        let sql = "DELETE FROM run WHERE job = ?1 AND outcome IS NOT NULL AND (started < ?3 OR id <=
                   (SELECT id FROM run WHERE job = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)) RETURNING id";
        self.all(sql, params![job, keep, time(from)], |row| row.get(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn store(dir: &tempfile::TempDir) -> Store {
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let row = JobRow {
            name: "nightly".into(),
            file: "/x.rhai".into(),
            args: None,
            enabled: true,
            added: at(1),
            seen: at(1),
            heard: at(1),
            full: None,
        };
        assert!(store.write(|tx| tx.insert_job(&row)).unwrap());
        assert!(!store.write(|tx| tx.insert_job(&row)).unwrap());
        assert_eq!(store.read(|tx| tx.jobs()).unwrap(), [row]);
        store
    }

    fn run_at(second: i64, outcome: Option<&str>) -> RunRow {
        RunRow {
            id: 0,
            job: "nightly".into(),
            cause: "schedule".into(),
            reason: None,
            origin: None,
            scheduled: Some(at(second)),
            until: None,
            count: 1,
            started: at(second),
            ended: None,
            outcome: outcome.map(str::to_owned),
            code: None,
            attempts: 1,
            error: None,
            effects: None,
            notices: None,
        }
    }

    #[test]
    fn a_time_is_seen_to_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let see = |before, seen| {
            let row = store.read(|tx| tx.job("nightly")).unwrap().unwrap();
            let (before, after) = ((at(before), row.heard), (at(seen), at(seen)));
            let with = |(seen, heard)| JobRow {
                seen,
                heard,
                ..row.clone()
            };
            store.write(|tx| tx.see_job(&with(before), &with(after))).unwrap()
        };
        assert!(see(1, 5));
        assert!(!see(1, 5));
        store.write(|tx| tx.enable_job("nightly", false, at(9))).unwrap();
        assert!(!see(5, 6));
        store.write(|tx| tx.enable_job("nightly", true, at(9))).unwrap();
        store.write(|tx| tx.enable_job("nightly", true, at(12))).unwrap();
        assert_eq!(store.read(|tx| tx.job("nightly")).unwrap().unwrap().seen, at(9));
    }

    #[test]
    fn runs_are_kept_by_number_and_age_and_never_forgotten_while_they_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let add = |second, outcome| store.write(|tx| tx.insert_run(&run_at(second, outcome))).unwrap();
        let ids: Vec<i64> = [
            (10, None),
            (20, Some("ok")),
            (30, Some("failed")),
            (40, Some("ok")),
            (50, None),
        ]
        .map(|(second, outcome)| add(second, outcome))
        .to_vec();
        let forget = |keep, from| store.write(|tx| tx.forget_runs("nightly", keep, at(from))).unwrap();
        assert_eq!(forget(9, 0), Vec::<i64>::new());
        assert_eq!(forget(9, 25), [ids[1]]);
        assert_eq!(forget(2, 0), [ids[2]]);
        let left = store.read(|tx| tx.runs(Some("nightly"), 9)).unwrap();
        assert_eq!(
            left.iter().map(|run| run.id).collect::<Vec<_>>(),
            [ids[4], ids[3], ids[0]]
        );
        assert_eq!(store.read(|tx| tx.open_runs("nightly")).unwrap().len(), 2);
        store.write(|tx| tx.delete_job("nightly")).unwrap();
        assert!(store.read(|tx| tx.runs(None, 9)).unwrap().is_empty());
    }
}
