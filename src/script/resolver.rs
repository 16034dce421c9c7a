//! `import`: files next to the one that imports them, and the modules that come with the program, under `std/`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use rhai::{Dynamic, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::runner::Source;
use crate::bindings::failure::{Failure, Scripted};
use crate::error::{Error, Kind, Result};

/// The modules that come with the program, by the path they are imported under.
const STANDARD: [(&str, &str); 1] = [("std/names", include_str!("../../stdlib/names.rhai"))];

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

/// A module that comes with the program.
fn standard(file: &Path) -> Option<&'static str> {
    let found = STANDARD.iter().find(|(path, _)| Path::new(path) == file);
    found.map(|(_, code)| *code)
}

/// The file an import names.
fn file_for(importer: Option<&str>, path: &str) -> PathBuf {
    if standard(Path::new(path)).is_some() {
        return PathBuf::from(path);
    }
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
        let source = match standard(file) {
            Some(code) => Source {
                code: code.to_owned(),
                name: file.display().to_string(),
            },
            None => Source::file(file).map_err(|error| thrown(error, Position::NONE))?,
        };
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
        let standard = STANDARD.map(|(path, _)| path).join("`, `");
        error = error.hint(format!(
            "an import is looked for next to the file that imports it, with `.rhai` added to its name; Hoist brings `{standard}`"
        ));
    }
    thrown(error, position)
}

#[cfg(test)]
mod tests {
    use crate::script::testing;

    #[test]
    fn the_modules_that_come_along_do_what_they_say() {
        let script = r#"
            import "std/names" as names;
            assert::eq(names::parts("localhost:5000/app"), #{ repository: "localhost:5000/app", tag: "latest" });
            assert::eq(names::parts("localhost:5000/app:1.2"), #{ repository: "localhost:5000/app", tag: "1.2" });
            assert::eq(names::promoted("app:1.2-rc", "app:*-rc", "app:*"), "app:1.2");
            assert::eq(names::promoted("app:rc", "app:*-rc", "app:*"), ());
            assert::eq(names::promoted("web:1-rc", "app:*-rc", "app:*"), ());
            let all = ["app:1.10.0", "app:1.9.0", "app:latest", "app:1.2.0", "web:1.0.0"];
            assert::eq(names::outdated(all, 1), ["app:1.2.0", "app:1.9.0"]);
        "#;
        testing::engine().run(script).unwrap();
    }
}
