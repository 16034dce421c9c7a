//! Tests of scripts: files found, their tests run side by side, each in a world of its own, and what came of them.

mod coverage;
mod file;
mod junit;
mod output;
mod planted;
mod trial;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::bindings::{Level, scope};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Context;

pub use coverage::{Coverage, Covered};
pub use junit::junit;
pub use trial::run_example;

use file::TestFile;

/// How tests are run.
pub struct Terms {
    /// The settings but for the store, of which each test has its own.
    pub config: Config,
    /// Cancels all of them.
    pub context: Context,
    /// How long each may take.
    pub timeout: Option<Duration>,
    /// What is logged at least.
    pub level: Level,
    /// How many run at a time; one for each processor.
    pub jobs: Option<usize>,
    /// Words of which the name of a test, `file: name`, has one; all run without any.
    pub filters: Vec<String>,
    /// Whether nothing is begun after a failure.
    pub fail_fast: bool,
    /// Where lines that ran are counted.
    pub coverage: Option<Arc<Coverage>>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All it expects holds.
    Passed,
    /// Something it expects does not.
    Failed,
    /// It threw, took too long, or called `exit`.
    Broken,
}

/// What came of a test.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The file, as it was found.
    pub file: String,
    /// The function.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What is wrong, for a person.
    pub report: Option<String>,
    /// What it printed and said.
    pub output: String,
}

/// The tests of some files.
pub struct Suite {
    files: Vec<Arc<TestFile>>,
    /// Files that are none: what is wrong, for a person.
    pub faults: Vec<String>,
}

impl Suite {
    /// Reads the test files that paths name, and those in the directories among them.
    ///
    /// Errors: `not_found` for a path, or where there is no test file.
    pub fn read(paths: &[PathBuf]) -> Result<Suite> {
        let (mut files, mut faults) = (Vec::new(), Vec::new());
        for path in file::find(paths)? {
            match TestFile::read(&path) {
                Ok(file) => files.push(Arc::new(file)),
                Err(fault) => faults.push(fault),
            }
        }
        if files.is_empty() && faults.is_empty() {
            return Err(Error::invalid("there are no tests")
                .hint("tests are functions `fn test_…()` in files called NAME.test.rhai"));
        }
        Ok(Suite { files, faults })
    }

    /// The names of the tests that fit, as `file: name`.
    pub fn names(&self, filters: &[String]) -> Vec<String> {
        self.chosen(filters)
            .map(|(file, test)| format!("{}: {}", file.name(), test.name))
            .collect()
    }

    fn chosen<'a>(&'a self, filters: &'a [String]) -> impl Iterator<Item = (&'a Arc<TestFile>, &'a file::Test)> {
        let all = self
            .files
            .iter()
            .flat_map(|file| file.tests.iter().map(move |test| (file, test)));
        all.filter(move |(file, test)| {
            let name = format!("{}: {}", file.name(), test.name);
            filters.is_empty() || filters.iter().any(|word| name.contains(word.as_str()))
        })
    }

    /// Runs the tests that fit; `told` hears of each as soon as those before it have ended.
    pub fn run(&self, terms: &Terms, told: &(dyn Fn(&Verdict) + Sync)) -> Vec<Verdict> {
        let chosen: Vec<_> = self.chosen(&terms.filters).collect();
        let usual = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = terms.jobs.unwrap_or(usual).clamp(1, chosen.len().max(1));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let ended = Mutex::new(Ended::new(chosen.len(), told));
        let work = || {
            while !stop.load(Ordering::Relaxed) && !terms.context.is_done() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((file, test)) = chosen.get(at) else { break };
                let verdict = trial::run(file, test, terms);
                if terms.fail_fast && verdict.outcome != Outcome::Passed {
                    stop.store(true, Ordering::Relaxed);
                }
                ended.lock().unwrap_or_else(PoisonError::into_inner).add(at, verdict);
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..jobs {
                let thread = std::thread::Builder::new()
                    .name("test".to_owned())
                    .stack_size(scope::STACK);
                // With fewer threads it takes longer.
                let _ = thread.spawn_scoped(threads, work);
            }
        });
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.tell_rest();
        ended.verdicts.into_iter().flatten().collect()
    }
}

/// Verdicts in the order of the files, told in that order.
struct Ended<'a> {
    verdicts: Vec<Option<Verdict>>,
    told: usize,
    tell: &'a (dyn Fn(&Verdict) + Sync),
}

impl<'a> Ended<'a> {
    fn new(count: usize, tell: &'a (dyn Fn(&Verdict) + Sync)) -> Ended<'a> {
        Ended {
            verdicts: (0..count).map(|_| None).collect(),
            told: 0,
            tell,
        }
    }

    fn add(&mut self, at: usize, verdict: Verdict) {
        self.verdicts[at] = Some(verdict);
        while let Some(Some(verdict)) = self.verdicts.get(self.told) {
            (self.tell)(verdict);
            self.told += 1;
        }
    }

    fn tell_rest(&mut self) {
        let rest = self.verdicts.get(self.told..).unwrap_or_default();
        rest.iter().flatten().for_each(|verdict| (self.tell)(verdict));
        self.told = self.verdicts.len();
    }
}
