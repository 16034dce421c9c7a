//! What the runs of jobs came to, counted where they are written down: it stays when they are forgotten.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{RunRow, Tx, read_time, time};
use crate::error::Result;

/// What the runs of a job that ended in one way came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTotal {
    /// The job.
    pub job: String,
    /// How they ended.
    pub outcome: String,
    /// How many times they stand for.
    pub count: u64,
    /// Microseconds that they took together.
    pub micros: u64,
    /// Bytes that they gave back together.
    pub reclaimed: u64,
    /// When the last of them began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

fn total(row: &Row) -> rusqlite::Result<RunTotal> {
    Ok(RunTotal {
        job: row.get("job")?,
        outcome: row.get("outcome")?,
        count: row.get("count")?,
        micros: row.get("micros")?,
        reclaimed: row.get("reclaimed")?,
        started: read_time(row, "started")?,
        ended: read_time(row, "ended")?,
    })
}

impl Tx<'_> {
    /// What the runs came to, by job and outcome.
    pub fn run_totals(&self) -> Result<Vec<RunTotal>> {
        self.all("SELECT * FROM run_total ORDER BY job, outcome", [], total)
    }

    /// Adds what is new about a run that has ended: all of it, or how many times more it stands for than before.
    pub(super) fn count_run(&self, before: Option<&RunRow>, row: &RunRow) -> Result<()> {
        let (Some(outcome), Some(ended)) = (&row.outcome, row.ended) else {
            return Ok(());
        };
        let counted = before.filter(|before| before.outcome.is_some());
        let count = row.count.saturating_sub(counted.map_or(0, |before| before.count));
        let took = ended
            .as_microsecond()
            .saturating_sub(row.started.as_microsecond())
            .max(0);
        // What one that is counted gave back, and how long it took, is counted.
        let (took, effects) = match counted {
            Some(_) => (0, None),
            None => (took, row.effects.as_deref()),
        };
        let sql = "INSERT INTO run_total (job, outcome, count, micros, reclaimed, started, ended)
                   VALUES (?1, ?2, ?3, ?4, coalesce(json_extract(?5, '$.reclaimed'), 0), ?6, ?7)
                   ON CONFLICT (job, outcome) DO UPDATE SET count = count + excluded.count, micros = micros + excluded.micros,
                   reclaimed = reclaimed + excluded.reclaimed, started = excluded.started, ended = excluded.ended";
        let values = params![row.job, outcome, count, took, effects, time(row.started), time(ended)];
        self.execute(sql, values).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JobRow, Store};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(outcome: Option<&str>, seconds: std::ops::Range<i64>, reclaimed: u64) -> RunRow {
        RunRow {
            id: 0,
            job: "nightly".into(),
            cause: "schedule".into(),
            scheduled: None,
            until: None,
            count: 1,
            started: at(seconds.start),
            ended: outcome.map(|_| at(seconds.end)),
            outcome: outcome.map(str::to_owned),
            code: None,
            attempts: 1,
            error: None,
            notices: None,
            reason: None,
            origin: None,
            effects: Some(format!("{{\"reclaimed\":{reclaimed}}}")),
        }
    }

    fn add_job(tx: &Tx<'_>) -> Result<bool> {
        tx.insert_job(&JobRow {
            name: "nightly".into(),
            file: "/x.rhai".into(),
            args: None,
            enabled: true,
            added: at(0),
            seen: at(0),
            heard: at(0),
            full: None,
        })
    }

    fn totals(store: &Store) -> Vec<(String, u64, u64, u64, Timestamp)> {
        let rows = store.read(|tx| tx.run_totals()).unwrap();
        let facts = |row: RunTotal| (row.outcome, row.count, row.micros, row.reclaimed, row.ended);
        rows.into_iter().map(facts).collect()
    }

    #[test]
    fn each_run_counts_once_whatever_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        store.write(add_job).unwrap();
        for start in [10, 20] {
            store
                .write(|tx| {
                    let mut row = run(None, start..start, 0);
                    row.id = tx.insert_run(&row)?;
                    row.attempts += 1;
                    tx.update_run(&row)?;
                    tx.update_run(&RunRow {
                        id: row.id,
                        ..run(Some("ok"), start..start + 3, 100)
                    })
                })
                .unwrap();
        }
        // One that stands for more and more times.
        store
            .write(|tx| {
                let mut row = run(Some("skipped"), 30..30, 0);
                row.id = tx.insert_run(&row)?;
                row.count = 4;
                tx.update_run(&row)
            })
            .unwrap();
        let expected = [
            ("ok".to_owned(), 2, 6_000_000, 200, at(23)),
            ("skipped".to_owned(), 4, 0, 0, at(30)),
        ];
        assert_eq!(totals(&store), expected);
        store.write(|tx| tx.forget_runs("nightly", 0, at(99))).unwrap();
        assert!(store.read(|tx| tx.runs(None, 9)).unwrap().is_empty());
        assert_eq!(totals(&store), expected);
        // What nobody knows any more counts for nobody.
        store.write(|tx| tx.delete_job("nightly")).unwrap();
        store.write(|tx| tx.update_run(&run(Some("ok"), 1..2, 0))).unwrap();
        assert_eq!(totals(&store), []);
    }

    #[test]
    fn runs_of_an_older_program_are_counted_when_the_store_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        let old = rusqlite::Connection::open(&path).unwrap();
        for step in super::super::MIGRATIONS.iter().take(9) {
            old.execute_batch(step).unwrap();
        }
        old.execute_batch(
            "INSERT INTO job (name, file, enabled, added, seen) VALUES ('nightly', '/x.rhai', 1, 0, 0);
             INSERT INTO run (job, cause, count, attempts, outcome, started, ended, effects) VALUES
               ('nightly', 'schedule', 1, 1, 'ok', 10000000, 12000000, '{\"reclaimed\":7}'),
               ('nightly', 'schedule', 1, 1, 'ok', 20000000, 23000000, '{\"reclaimed\":8}'),
               ('nightly', 'schedule', 1, 1, 'failed', 30000000, 31000000, NULL),
               ('nightly', 'manual', 1, 0, NULL, 40000000, NULL, NULL);
             PRAGMA user_version = 9;",
        )
        .unwrap();
        drop(old);
        let store = Store::open(&path).unwrap();
        let expected = [
            ("failed".to_owned(), 1, 1_000_000, 0, at(31)),
            ("ok".to_owned(), 2, 5_000_000, 15, at(23)),
        ];
        assert_eq!(totals(&store), expected);
    }
}
