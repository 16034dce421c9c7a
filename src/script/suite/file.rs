//! A file of tests: found, read, and what is in it.

use std::path::{Path, PathBuf};

use rhai::{AST, FnAccess};

use crate::bindings::Session;
use crate::error::{Context as _, Error, Result};
use crate::script::diagnostic::Diagnostic;
use crate::script::runner::Source;

/// How the names of test files end.
const ENDING: &str = ".test.rhai";
/// How the names of tests begin.
const BEGINNING: &str = "test_";

/// A test.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) line: usize,
    /// Whether it gets what `setup` returned.
    pub(super) takes: bool,
}

/// A file of tests that can be parsed.
pub(super) struct TestFile {
    pub(super) source: Source,
    pub(super) ast: AST,
    /// In their order.
    pub(super) tests: Vec<Test>,
    pub(super) has_setup: bool,
    /// The number of parameters of `teardown`.
    pub(super) teardown: Option<usize>,
}

/// The test files that paths name, and those below the directories among them, in the order of their names.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => search(path, &mut found)?,
            false if path.exists() => found.push(path.clone()),
            false => {
                return Err(Error::invalid(format!(
                    "there is no file or directory `{}`",
                    path.display()
                )));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn search(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let what = || format!("search `{}`", directory.display());
    let entries = std::fs::read_dir(directory).during(what)?;
    let mut entries: Vec<_> = entries.collect::<std::io::Result<_>>().during(what)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (kind, name) = (entry.file_type().during(what)?, entry.file_name());
        let name = name.to_string_lossy();
        // Links lead in circles; what is hidden is not the author's.
        if kind.is_dir() && !name.starts_with('.') {
            search(&entry.path(), found)?;
        } else if kind.is_file() && name.ends_with(ENDING) {
            found.push(plain(&entry.path()));
        }
    }
    Ok(())
}

/// Where a function is defined.
fn line_of(code: &str, name: &str) -> usize {
    let defines = |line: &str| {
        let rest = line.split_once("fn ").map(|(_, rest)| rest.trim_start());
        rest.and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.trim_start().starts_with('('))
    };
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let found = code.lines().position(|line| !is_comment(line) && defines(line));
    found.map_or(1, |at| at + 1)
}

/// Without the leading `./`.
fn plain(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

impl TestFile {
    /// Reads a file; the error says what is wrong with it, for a person.
    pub(super) fn read(path: &Path) -> std::result::Result<TestFile, String> {
        let source = Source::file(path).map_err(|error| format!("error: {error}"))?;
        TestFile::of(source)
    }

    pub(super) fn of(source: Source) -> std::result::Result<TestFile, String> {
        let session = Session::unopened().map_err(|error| format!("error: {error}"))?;
        let engine = crate::script::engine(&session);
        let compiled = engine.compile(&source.code);
        let mut ast = compiled.map_err(|error| Diagnostic::of(&error.into(), &source, &engine).to_string())?;
        ast.set_source(source.name.as_str());
        let functions: Vec<(String, usize, usize)> = ast
            .iter_functions()
            .filter(|function| function.access == FnAccess::Public)
            .map(|function| {
                let line = line_of(&source.code, function.name);
                (function.name.to_owned(), function.params.len(), line)
            })
            .collect();
        let count = |name: &str| functions.iter().find(|found| found.0 == name).map(|found| found.1);
        let mut tests: Vec<Test> = functions
            .iter()
            .filter(|(name, ..)| name.starts_with(BEGINNING))
            .map(|(name, parameters, line)| Test {
                name: name.clone(),
                line: *line,
                takes: *parameters > 0,
            })
            .collect();
        tests.sort_by_key(|test| test.line);
        let (setup, teardown) = (count("setup"), count("teardown"));
        let most = usize::from(setup.is_some());
        let wrong = functions.iter().find(|(name, parameters, _)| match name.as_str() {
            "setup" => *parameters > 0,
            name => (name.starts_with(BEGINNING) || name == "teardown") && *parameters > most,
        });
        if let Some((name, _, line)) = wrong {
            return Err(format!(
                "error: `{name}` takes too much\n --> {}:{line}\nhelp: `setup` takes nothing; a test and `teardown` may take one thing, what `setup` returns",
                source.name
            ));
        }
        Ok(TestFile {
            source,
            ast,
            tests,
            has_setup: setup.is_some(),
            teardown,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.source.name
    }
}
