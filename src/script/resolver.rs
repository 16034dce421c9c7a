//! `import`: which module a path means. A file beside the importer comes first, then the user's library, then what Hoist brings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use rhai::{Dynamic, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::runner::Source;
use super::stdlib::{self, Standard};
use super::suite::Coverage;
use crate::bindings::failure::{Failure, Scripted};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::suggest;

/// What begins the path of a module that comes with the program, whatever is elsewhere.
const PREFIX: &str = "std/";
const EXTENSION: &str = "rhai";

/// Resolves imports. Each module is evaluated once per run.
#[derive(Default)]
pub(super) struct Resolver {
    /// The user's library.
    library: Option<PathBuf>,
    coverage: Option<Arc<Coverage>>,
    loaded: Mutex<HashMap<Place, Shared<Module>>>,
    loading: Mutex<Vec<(ThreadId, Place)>>,
}

/// Where a module is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    File(PathBuf),
    Standard(&'static str),
}

impl Place {
    /// What it is called in messages, and what its own imports are relative to.
    fn name(&self) -> String {
        match self {
            Place::File(path) => path.display().to_string(),
            Place::Standard(name) => format!("{PREFIX}{name}"),
        }
    }

    fn exists(&self) -> bool {
        match self {
            // What is there and is no file is to be told of, and not passed over.
            Place::File(path) => path.symlink_metadata().is_ok(),
            Place::Standard(name) => stdlib::find(name).is_some(),
        }
    }

    fn source(&self) -> Result<Source> {
        match self {
            Place::File(path) => Source::file(path),
            Place::Standard(name) => {
                let code = stdlib::find(name).map_or("", |module| module.code);
                Ok(Source::text(&self.name(), code))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path with the extension that modules have, unless it is there.
fn file(path: &Path) -> PathBuf {
    match path.extension().is_some_and(|extension| extension == EXTENSION) {
        true => path.to_owned(),
        false => PathBuf::from(format!("{}.{EXTENSION}", path.display())),
    }
}

fn standard(name: &str) -> Option<Place> {
    stdlib::find(name).map(|module| Place::Standard(module.name))
}

/// The text of a module, as the importer's `import` finds it. Errors: `not_found`, with all places, and those of reading it.
pub(super) fn find(importer: Option<&str>, path: &str) -> Result<Source> {
    Resolver::new(Config::usual_library(), None)
        .find(importer, path)?
        .source()
}

fn thrown(error: Error, position: Position) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(
        Dynamic::from(Failure::new(error, position)),
        position,
    ))
}

impl Resolver {
    pub(super) fn new(library: Option<PathBuf>, coverage: Option<Arc<Coverage>>) -> Resolver {
        Resolver {
            library,
            coverage,
            ..Resolver::default()
        }
    }

    /// The directories that an import is looked for in, and whether the modules of the program are looked at.
    fn directories(&self, importer: Option<&str>, path: &str) -> (Vec<PathBuf>, bool) {
        let is_standard =
            importer.is_some_and(|importer| importer.starts_with(PREFIX) && find_standard(importer).is_some());
        if is_standard || path.starts_with(PREFIX) {
            return (Vec::new(), true);
        }
        let beside = importer
            .and_then(|importer| Path::new(importer).parent())
            .unwrap_or(Path::new(""));
        let mut all = vec![beside.to_owned()];
        // A path that begins so says where it is.
        let is_exact = ["./", "../", "/"].iter().any(|start| path.starts_with(start));
        if !is_exact {
            all.extend(self.library.clone());
        }
        (all, !is_exact)
    }

    /// Where the module is that an import means. Errors: `not_found`, with all places.
    fn find(&self, importer: Option<&str>, path: &str) -> Result<Place> {
        let (directories, is_standard) = self.directories(importer, path);
        let files: Vec<PathBuf> = directories
            .iter()
            .map(|directory| file(&directory.join(path)))
            .collect();
        let name = path.strip_prefix(PREFIX).unwrap_or(path);
        let own = is_standard.then(|| standard(name)).flatten();
        let found = files.iter().cloned().map(Place::File).chain(own).find(Place::exists);
        found.ok_or_else(|| absent(path, &directories, &files, is_standard))
    }

    /// Notes that this thread evaluates a module; an error when it does so already, further up.
    fn begin(&self, place: &Place) -> Result<Loading<'_>> {
        let mut loading = lock(&self.loading);
        let entry = (thread::current().id(), place.clone());
        if loading.contains(&entry) {
            return Err(Error::invalid(format!(
                "`{}` imports itself, directly or through others",
                place.name()
            )));
        }
        loading.push(entry);
        Ok(Loading(self))
    }

    fn evaluate(&self, engine: &Engine, place: &Place) -> Scripted<Shared<Module>> {
        let _loading = self.begin(place).map_err(|error| thrown(error, Position::NONE))?;
        let source = place.source().map_err(|error| thrown(error, Position::NONE))?;
        let counted = self.coverage.as_ref().map(|coverage| coverage.counted(engine, &source));
        let mut ast = engine.compile(counted.as_ref().unwrap_or(&source.code))?;
        ast.set_source(source.name.as_str());
        Ok(Module::eval_ast_as_new(Scope::new(), &ast, engine)?.into())
    }
}

fn find_standard(name: &str) -> Option<&'static Standard> {
    stdlib::find(name.strip_prefix(PREFIX)?)
}

/// Every place that was looked at, and the name that may have been meant.
fn absent(path: &str, directories: &[PathBuf], files: &[PathBuf], is_standard: bool) -> Error {
    let mut known: Vec<String> = Vec::new();
    let below = Path::new(path).parent().unwrap_or(Path::new(""));
    for directory in directories {
        let entries = std::fs::read_dir(match directory.join(below) {
            empty if empty.as_os_str().is_empty() => PathBuf::from("."),
            other => other,
        });
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| PathBuf::from(entry.file_name()));
        let modules = names.filter(|name| name.extension().is_some_and(|extension| extension == EXTENSION));
        known.extend(modules.map(|name| below.join(name.with_extension("")).display().to_string()));
    }
    let prefix = if path.starts_with(PREFIX) { PREFIX } else { "" };
    let standard: Vec<&str> = stdlib::MODULES.iter().map(|module| module.name).collect();
    if is_standard {
        known.extend(standard.iter().map(|name| format!("{prefix}{name}")));
    }
    let mut places: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
    if is_standard {
        places.push(format!("what comes with Hoist ({})", standard.join(", ")));
    }
    let near = suggest(path, known.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Error::not_found(format!("there is no module `{path}`")).hint(format!("{near}looked at {}", places.join(", ")))
}

/// Takes the module off the list when its evaluation ends.
struct Loading<'a>(&'a Resolver);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut loading = lock(&self.0.loading);
        let own = thread::current().id();
        if let Some(last) = loading.iter().rposition(|(thread, _)| *thread == own) {
            loading.remove(last);
        }
    }
}

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Scripted<Shared<Module>> {
        let place = self.find(source, path).map_err(|error| {
            let failure = Failure::new(error.op("import").target(path), position).in_script(source);
            Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(failure), position))
        })?;
        if let Some(module) = lock(&self.loaded).get(&place) {
            return Ok(module.clone());
        }
        let name = place.name();
        let module = self.evaluate(engine, &place).map_err(|cause| match &*cause {
            EvalAltResult::ErrorRuntime(value, inner) if inner.is_none() && value.is::<Failure>() => {
                unreadable(&cause, &name, position)
            }
            _ => Box::new(EvalAltResult::ErrorInModule(name, cause, position)),
        })?;
        lock(&self.loaded).insert(place, module.clone());
        Ok(module)
    }
}

/// A file that could not be read or that imports itself: the fault is at the `import`, not in the file.
fn unreadable(cause: &EvalAltResult, name: &str, position: Position) -> Box<EvalAltResult> {
    let failure = Failure::of(cause);
    let error = Error::new(failure.error().kind(), failure.error().message());
    thrown(error.op("import").target(name), position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// A directory with a script `main`, a library, and modules of these names in each.
    fn places(beside: &[&str], library: &[&str]) -> (tempfile::TempDir, Resolver, String) {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib");
        std::fs::create_dir(&lib).unwrap();
        for (directory, names) in [(dir.path(), beside), (&lib, library)] {
            for name in names {
                std::fs::write(directory.join(name), "").unwrap();
            }
        }
        let main = dir.path().join("main.rhai").display().to_string();
        (dir, Resolver::new(Some(lib), None), main)
    }

    #[test]
    fn what_is_beside_comes_first_then_the_library_then_what_hoist_brings() {
        let (dir, resolver, main) = places(&["names.rhai", "own.rhai"], &["names.rhai", "shared.rhai"]);
        let at = |path: &str| match resolver.find(Some(&main), path).unwrap() {
            Place::File(file) => file.strip_prefix(dir.path()).unwrap().display().to_string(),
            Place::Standard(name) => format!("std/{name}"),
        };
        for (path, place) in [
            ("names", "names.rhai"),
            ("names.rhai", "names.rhai"),
            ("./names", "names.rhai"),
            ("own", "own.rhai"),
            ("shared", "lib/shared.rhai"),
            ("std/names", "std/names"),
        ] {
            assert_eq!(at(path), place, "{path}");
        }
        std::fs::remove_file(dir.path().join("names.rhai")).unwrap();
        assert_eq!(at("names"), "lib/names.rhai");
        std::fs::remove_file(dir.path().join("lib/names.rhai")).unwrap();
        assert_eq!(at("names"), "std/names");
        // What Hoist brings imports what Hoist brings, whatever lies about.
        assert_eq!(
            resolver.find(Some("std/names"), "names").unwrap(),
            Place::Standard("names")
        );
    }

    #[test]
    fn what_is_absent_is_told_with_every_place_and_the_nearest_name() {
        let (dir, resolver, main) = places(&[], &["shared.rhai"]);
        let error = resolver.find(Some(&main), "shard").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        let hint = error
            .way_out()
            .unwrap()
            .replace(&dir.path().display().to_string(), "DIR");
        assert!(
            hint.starts_with(
                "did you mean `shared`? looked at `DIR/shard.rhai`, `DIR/lib/shard.rhai`, what comes with Hoist ("
            ),
            "{hint}"
        );
        let error = resolver.find(Some(&main), "std/nmes").unwrap_err();
        let hint = error.way_out().unwrap();
        assert!(
            hint.starts_with("did you mean `std/names`? looked at what comes with Hoist ("),
            "{hint}"
        );
        let error = resolver.find(Some(&main), "./names").unwrap_err();
        assert!(!error.way_out().unwrap().contains("comes with"), "{error}");
    }
}
