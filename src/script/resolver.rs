//! `import`: files next to the one that imports them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use rhai::{Dynamic, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::runner::Source;
use crate::bindings::failure::{Failure, Scripted};
use crate::error::{Error, Kind, Result};

/// Resolves `import "lib/names" as names` to `lib/names.rhai` next to the importing file; a script that is in no file imports from
/// the current directory. Each file is evaluated once per run.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    loaded: Mutex<HashMap<PathBuf, Shared<Module>>>,
    loading: Mutex<Vec<(ThreadId, PathBuf)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file an import names.
fn file_for(importer: Option<&str>, path: &str) -> PathBuf {
    let directory = importer
        .and_then(|importer| Path::new(importer).parent())
        .unwrap_or(Path::new(""));
    let file = directory.join(path);
    match file.extension().is_some_and(|extension| extension == "rhai") {
        true => file,
        false => PathBuf::from(format!("{}.rhai", file.display())),
    }
}

fn thrown(error: Error, position: Position) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(
        Dynamic::from(Failure::new(error, position)),
        position,
    ))
}

impl Neighbours {
    /// Notes that this thread evaluates a file; an error when it does so already, further up.
    fn begin(&self, file: &Path) -> Result<Loading<'_>> {
        let mut loading = lock(&self.loading);
        let entry = (thread::current().id(), file.to_owned());
        if loading.contains(&entry) {
            return Err(Error::invalid(format!(
                "`{}` imports itself, directly or through others",
                file.display()
            )));
        }
        loading.push(entry);
        Ok(Loading(self))
    }

    fn evaluate(&self, engine: &Engine, file: &Path) -> Scripted<Shared<Module>> {
        let _loading = self.begin(file).map_err(|error| thrown(error, Position::NONE))?;
        let source = Source::file(file).map_err(|error| thrown(error, Position::NONE))?;
        let mut ast = engine.compile(&source.code)?;
        ast.set_source(source.name.as_str());
        Ok(Module::eval_ast_as_new(Scope::new(), &ast, engine)?.into())
    }
}

/// Takes the file off the list when its evaluation ends.
struct Loading<'a>(&'a Neighbours);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut loading = lock(&self.0.loading);
        let own = thread::current().id();
        if let Some(last) = loading.iter().rposition(|(thread, _)| *thread == own) {
            loading.remove(last);
        }
    }
}

impl ModuleResolver for Neighbours {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Scripted<Shared<Module>> {
        let file = file_for(source, path);
        if let Some(module) = lock(&self.loaded).get(&file) {
            return Ok(module.clone());
        }
        let name = file.display().to_string();
        let module = self.evaluate(engine, &file).map_err(|cause| match &*cause {
            EvalAltResult::ErrorRuntime(value, inner) if inner.is_none() && value.is::<Failure>() => {
                unreadable(&cause, &name, position)
            }
            _ => Box::new(EvalAltResult::ErrorInModule(name, cause, position)),
        })?;
        lock(&self.loaded).insert(file, module.clone());
        Ok(module)
    }
}

/// A file that could not be read or that imports itself: the fault is at the `import`, not in the file.
fn unreadable(cause: &EvalAltResult, name: &str, position: Position) -> Box<EvalAltResult> {
    let failure = Failure::of(cause);
    let mut error = Error::new(failure.error().kind(), failure.error().message())
        .op("import")
        .target(name);
    if failure.error().kind() == Kind::NotFound {
        error = error.hint("an import is looked for next to the file that imports it, with `.rhai` added to its name");
    }
    thrown(error, position)
}
