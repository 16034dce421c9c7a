//! One test: a world for it alone, `setup`, the test, `teardown`, and everything taken away again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext, Scope};

use super::file::{Test, TestFile};
use super::output::Kept;
use super::{Coverage, Outcome, Terms, Verdict};
use crate::bindings::failure::{Failure, Scripted, is_unwinding};
use crate::bindings::fake::{Ran, World};
use crate::bindings::{Format, Session, Settings, scope, table};
use crate::config::{Config, Given, Misuse, read_words};
use crate::error::{Context as _, Kind, Result};
use crate::host::{ContainerFilter, RemoveContainer};
use crate::model::{Context, format_duration};
use crate::script::Diagnostic;
use crate::script::runner::{self, Source, clean_up, guarded};

/// What the interpreter calls to have the test driven, behind the file's own code: so that code runs once, and imports are known. It
/// stands in the line of the test, where errors are told that have no place of their own.
const DRIVER: &str = "drive_the_test_of_this_file";

/// What was thrown, and in which of the functions.
type Thrown = Vec<(&'static str, Box<EvalAltResult>)>;

/// Runs a test.
pub(super) fn run(file: &Arc<TestFile>, test: &Test, terms: &Terms) -> Verdict {
    let begun = Instant::now();
    let console = Arc::new(Kept::default());
    let ended = tempfile::Builder::new()
        .prefix("hoist-test-")
        .tempdir()
        .during(|| "make a directory for the test")
        .and_then(|dir| run_in(dir.path(), file, test, terms, &console));
    let (outcome, report) = match ended {
        Ok(ended) => ended,
        Err(error) => (Outcome::Broken, Some(format!("error: {error}"))),
    };
    Verdict {
        file: file.name().to_owned(),
        name: test.name.clone(),
        line: test.line,
        outcome,
        seconds: begun.elapsed().as_secs_f64(),
        report,
        output: console.all(),
    }
}

fn settings(dir: &Path, terms: &Terms, console: &Arc<Kept>) -> Settings {
    let mut config: Config = terms.config.clone();
    config.root = dir.join("store");
    config.run_root = dir.join("run");
    config.logins = Some(dir.join("auth.json"));
    let context = match terms.timeout {
        Some(limit) => terms.context.with_timeout(limit),
        None => terms.context.child(),
    };
    Settings {
        config,
        context,
        console: console.clone(),
        format: Format::Table,
        level: terms.level,
        args: Vec::new(),
        told: Vec::new(),
        command: None,
        audit: None,
        ask: false,
        planning: false,
        world: None,
    }
}

fn run_in(
    dir: &Path,
    file: &Arc<TestFile>,
    test: &Test,
    terms: &Terms,
    console: &Arc<Kept>,
) -> Result<(Outcome, Option<String>)> {
    let base = Path::new(file.name()).parent().unwrap_or(Path::new(""));
    let world = Arc::new(World::new(base, script_runner(terms.coverage.clone())));
    let session = Session::new(Settings {
        world: Some(world.clone()),
        ..settings(dir, terms, console)
    });
    session.declare(file.source.header()?.allow)?;
    let trial = Trial {
        session: &session,
        world: &world,
        file,
        test,
        terms,
    };
    let ended = trial.run();
    world.set_caller(None);
    let removed = remove_containers(&session, dir);
    Ok(match removed {
        Err(error) if ended.0 == Outcome::Passed => (Outcome::Broken, Some(format!("error: {error}"))),
        _ => ended,
    })
}

/// Containers of a test do not outlive it.
fn remove_containers(session: &Session, dir: &Path) -> Result<()> {
    if session.plan().is_some() || !dir.join("store/hoist.db").exists() {
        return Ok(());
    }
    let all = ContainerFilter {
        all: true,
        ..ContainerFilter::default()
    };
    let force = RemoveContainer {
        force: true,
        ..RemoveContainer::default()
    };
    let containers = session.host()?.containers(&all, None)?;
    containers.iter().try_for_each(|container| container.remove(&force))
}

/// What the words tell a script, by its header; or what is said in place of running it.
fn told(source: &Source, words: &[String]) -> Result<std::result::Result<Vec<(String, Given)>, Ran>> {
    let header = source.header()?;
    if !header.declares() {
        return Ok(Ok(Vec::new()));
    }
    let misuse = match read_words(&header, words) {
        Ok(values) => return Ok(Ok(values)),
        Err(misuse) => misuse,
    };
    Ok(Err(match misuse {
        Misuse::Help => Ran {
            code: 0,
            stdout: header.help(&source.name),
            stderr: String::new(),
        },
        misuse => {
            let (message, hint) = misuse.words(&header);
            Ran {
                code: 2,
                stdout: String::new(),
                stderr: format!("error: {message}\nhelp: {hint}\n"),
            }
        }
    }))
}

/// How scripts are run that a test runs.
fn script_runner(coverage: Option<Arc<Coverage>>) -> crate::bindings::fake::world::RunScript {
    Box::new(move |session, path, args, dry_run| {
        let source = Source::file(path)?;
        let told = match told(&source, &args)? {
            Ok(told) => told,
            Err(ran) => return Ok(ran),
        };
        let own = session.settings();
        let console = Arc::new(Kept::default());
        let mut config = own.config.clone();
        config.dry_run = config.dry_run || dry_run;
        let inner = session.beside(Settings {
            config,
            context: session.context(),
            console: console.clone(),
            format: own.format,
            level: own.level,
            args,
            told,
            command: None,
            audit: None,
            ask: false,
            planning: false,
            world: own.world.clone(),
        })?;
        let finished = runner::run_counted(&inner, &source, coverage.as_ref());
        let (stdout, mut stderr) = console.apart();
        if let Some(report) = &finished.report {
            stderr.push_str(report);
            stderr.push('\n');
        }
        if let Some(plan) = inner.plan() {
            stderr.push_str(&table::show_plan(&plan.actions()));
        }
        Ok(Ran {
            code: finished.code,
            stdout,
            stderr,
        })
    })
}

struct Trial<'a> {
    session: &'a Session,
    world: &'a Arc<World>,
    file: &'a Arc<TestFile>,
    test: &'a Test,
    terms: &'a Terms,
}

impl Trial<'_> {
    fn run(&self) -> (Outcome, Option<String>) {
        let mut engine = crate::script::counted_engine(self.session, self.terms.coverage.as_ref());
        let slot = Arc::new(Mutex::new(None));
        self.add_driver(&mut engine, &slot);
        let engine = Arc::new(engine);
        let driver = match engine.compile(format!("{}{DRIVER}()", "\n".repeat(self.test.line - 1))) {
            Ok(driver) => driver,
            Err(error) => return (Outcome::Broken, Some(format!("error: {error}"))),
        };
        let mut ast = self.file.ast.merge(&driver);
        ast.set_source(self.file.name());
        self.let_closures_be_called(&engine, &ast);
        let context = self.session.root_context().clone();
        let whole = guarded(context, || {
            engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &ast)
        });
        let deferred = clean_up(self.session, &engine, &ast);
        let driven = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.conclude(&engine, whole.err(), driven, deferred)
    }

    /// Closures that answer for containers are the test's, whichever script runs them.
    fn let_closures_be_called(&self, engine: &Arc<Engine>, ast: &AST) {
        let (engine, ast) = (Arc::downgrade(engine), ast.clone());
        self.world
            .set_caller(Some(Box::new(move |closure, call| match engine.upgrade() {
                Some(engine) => closure.call(&engine, &ast, (call,)),
                None => Ok(Dynamic::UNIT),
            })));
    }

    fn add_driver(&self, engine: &mut Engine, slot: &Arc<Mutex<Option<Thrown>>>) {
        let (slot, file, test) = (slot.clone(), self.file.clone(), self.test.clone());
        let limit = self.terms.timeout;
        engine.register_fn(DRIVER, move |ctx: NativeCallContext| {
            let mut thrown = Vec::new();
            let given = match file.has_setup {
                true => call(&ctx, "setup", Vec::new()),
                false => Ok(Dynamic::UNIT),
            };
            let given = match given {
                Ok(given) => {
                    let args = if test.takes { vec![given.clone()] } else { Vec::new() };
                    thrown.extend(call(&ctx, &test.name, args).err().map(|error| ("", error)));
                    given
                }
                Err(error) => {
                    thrown.push(("in `setup`: ", error));
                    Dynamic::UNIT
                }
            };
            if let Some(parameters) = file.teardown {
                // Also after a test that ran out of time, but not for longer than a test.
                let own = Context::new();
                let _scope = scope::enter(limit.map_or_else(|| own.child(), |limit| own.with_timeout(limit)));
                let args = if parameters > 0 { vec![given] } else { Vec::new() };
                thrown.extend(
                    call(&ctx, "teardown", args)
                        .err()
                        .map(|error| ("in `teardown`: ", error)),
                );
            }
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(thrown);
        });
    }

    fn conclude(
        &self,
        engine: &Engine,
        whole: Option<Box<EvalAltResult>>,
        driven: Option<Thrown>,
        deferred: Option<Box<EvalAltResult>>,
    ) -> (Outcome, Option<String>) {
        let never = driven.is_none() && whole.is_none();
        let mut all = driven.unwrap_or_default();
        all.extend(whole.map(|error| ("before the test: ", error)));
        all.extend(deferred.map(|error| ("in a deferred closure: ", error)));
        let mut outcome = Outcome::Passed;
        let mut reports: Vec<String> = Vec::new();
        for (place, thrown) in &all {
            outcome = worse(outcome, self.outcome(thrown));
            reports.push(format!("{place}{}", self.report(thrown, engine)));
        }
        if never {
            outcome = Outcome::Broken;
            reports.push("error: the code of the file ended before the test was called".to_owned());
        }
        match self.world.missing() {
            Some(missing) if outcome == Outcome::Passed => {
                outcome = Outcome::Failed;
                reports.push(format!("error: {missing}, and that was caught"));
            }
            _ => {}
        }
        (outcome, (!reports.is_empty()).then(|| reports.join("\n")))
    }

    fn outcome(&self, thrown: &EvalAltResult) -> Outcome {
        let failure = Failure::of(thrown);
        let is_expectation = failure
            .error()
            .operation()
            .is_some_and(|operation| operation.starts_with("assert::"));
        match is_expectation && !is_unwinding(thrown) {
            true => Outcome::Failed,
            false => Outcome::Broken,
        }
    }

    fn report(&self, thrown: &EvalAltResult, engine: &Engine) -> String {
        if let (true, Some(code)) = (is_unwinding(thrown), self.session.exit_code()) {
            return format!(
                "error: the test called `exit({code})`\nhelp: `fake::script` runs a script and tells its exit code"
            );
        }
        let report = Diagnostic::of(bare(thrown), &self.file.source, engine).to_string();
        match self.terms.timeout {
            Some(limit) if Failure::of(thrown).error().kind() == Kind::Timeout => {
                format!(
                    "{report}\nhelp: a test may take {} (`--timeout`)",
                    format_duration(limit)
                )
            }
            _ => report,
        }
    }
}

fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Broken, _) | (_, Outcome::Broken) => Outcome::Broken,
        (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
        _ => Outcome::Passed,
    }
}

/// What was thrown, without the call of the test, which says nothing.
fn bare(thrown: &EvalAltResult) -> &EvalAltResult {
    match thrown {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => inner,
        other => other,
    }
}

fn call(ctx: &NativeCallContext, name: &str, args: Vec<Dynamic>) -> Scripted<Dynamic> {
    FnPtr::new(name)?.call_within_context(ctx, args)
}

/// Runs an example as the body of a test; the error says what was wrong with it.
pub fn run_example(code: &str) -> std::result::Result<(), String> {
    let source = Source::text("example", &format!("fn test_example() {{\n{code}\n}}"));
    let file = Arc::new(TestFile::of(source)?);
    let config = Config::new(Some(std::env::temp_dir()), None, false).map_err(|error| error.to_string())?;
    let terms = Terms {
        config,
        context: Context::new(),
        timeout: None,
        level: crate::bindings::Level::Info,
        jobs: None,
        filters: Vec::new(),
        fail_fast: false,
        coverage: None,
    };
    let test = file.tests.first().ok_or("it has no test")?;
    let verdict = run(&file, test, &terms);
    match verdict.outcome {
        Outcome::Passed => Ok(()),
        _ => Err(verdict.report.unwrap_or_default()),
    }
}
