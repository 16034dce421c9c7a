//! Which lines of scripts and modules have run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Engine, INT};

use super::planted::planted;
use crate::script::runner::Source;

/// Lines and how often each ran, by file.
#[derive(Debug, Default)]
pub struct Coverage(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Which line has which number.
    numbers: BTreeMap<(String, usize), usize>,
    /// How often each ran.
    counts: Vec<u64>,
}

/// What ran of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// The file.
    pub file: String,
    /// Lines with code.
    pub lines: usize,
    /// Those that ran.
    pub run: usize,
    /// Those that did not, as `3-5, 9`.
    pub missed: String,
}

/// What counts a line; no script has reason to call a function so.
const COUNTER: &str = "count_that_a_line_of_this_file_ran";

impl Coverage {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of a script with its lines counted when they run; as it is, where that cannot be read.
    pub(in crate::script) fn counted(&self, engine: &Engine, source: &Source) -> String {
        let text = planted(&source.code, &mut |line| {
            format!(" {COUNTER}({});", self.counts().number(&source.name, line))
        });
        match engine.compile(&text) {
            Ok(_) => text,
            Err(_) => source.code.clone(),
        }
    }

    /// Gives an engine what counts.
    pub(in crate::script) fn watch(self: &Arc<Coverage>, engine: &mut Engine) {
        let coverage = self.clone();
        engine.register_fn(COUNTER, move |number: INT| {
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            if let Some(count) = coverage.counts().counts.get_mut(at) {
                *count += 1;
            }
        });
    }

    /// Counts by line, by file.
    fn files(&self) -> BTreeMap<String, BTreeMap<usize, u64>> {
        let counts = self.counts();
        let mut files: BTreeMap<String, BTreeMap<usize, u64>> = BTreeMap::new();
        for ((file, line), number) in &counts.numbers {
            files
                .entry(file.clone())
                .or_default()
                .insert(*line, counts.counts[*number]);
        }
        files
    }

    /// What ran, by file.
    pub fn summary(&self) -> Vec<Covered> {
        let covered = |(file, counts): (String, BTreeMap<usize, u64>)| Covered {
            file,
            lines: counts.len(),
            run: counts.values().filter(|count| **count > 0).count(),
            missed: ranges(&counts),
        };
        self.files().into_iter().map(covered).collect()
    }

    /// The same line by line, in the form of lcov's trace files (geninfo(1), "FILES").
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        for (file, counts) in self.files() {
            let _ = writeln!(text, "TN:\nSF:{file}");
            for (line, count) in &counts {
                let _ = writeln!(text, "DA:{line},{count}");
            }
            let run = counts.values().filter(|count| **count > 0).count();
            let _ = writeln!(text, "LF:{}\nLH:{run}\nend_of_record", counts.len());
        }
        text
    }
}

impl Counts {
    fn number(&mut self, file: &str, line: usize) -> usize {
        let next = self.counts.len();
        let number = *self.numbers.entry((file.to_owned(), line)).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }
}

/// The lines that did not run: those in a row together, also where lines without code are between them.
fn ranges(counts: &BTreeMap<usize, u64>) -> String {
    let mut all: Vec<(usize, usize)> = Vec::new();
    let mut in_row = false;
    for (line, count) in counts {
        if *count > 0 {
            in_row = false;
            continue;
        }
        match all.last_mut() {
            Some(last) if in_row => last.1 = *line,
            _ => all.push((*line, *line)),
        }
        in_row = true;
    }
    let shown = all.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}
