//! A script run from its text to its exit code, with clean-up on every way out.

use std::any::Any;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr, Position, Scope};

use super::diagnostic::Diagnostic;
use super::suite::Coverage;
use crate::bindings::failure::{Failure, Scripted, is_unwinding};
use crate::bindings::{Session, scope};
use crate::config::Header;
use crate::error::{Context as _, Error, Result};
use crate::model::Context;

/// No script file larger than this is read.
const LARGEST: u64 = 16 << 20;

/// Exit code for a script that cannot be parsed.
const PARSE_ERROR: u8 = 2;
const SCRIPT_ERROR: u8 = 1;

/// The text of a script and what it is called in messages.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as given, or a word for text that is in no file.
    pub name: String,
    /// The text.
    pub code: String,
}

impl Source {
    /// Text that is in no file.
    pub fn text(name: &str, code: &str) -> Source {
        Source {
            name: name.to_owned(),
            code: without_shebang(code),
        }
    }

    /// What it says of itself. Errors: `invalid`.
    pub fn header(&self) -> Result<Header> {
        Header::read(&self.name, &self.code)
    }

    /// A script file; errors are `not_found` and what reading can bring.
    pub fn file(path: &Path) -> Result<Source> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).during(|| format!("read the script `{name}`"))?;
        Source::read(&name, file)
    }

    /// A script from a stream, such as standard input.
    pub fn read(name: &str, stream: impl Read) -> Result<Source> {
        let mut bytes = Vec::new();
        let what = || format!("read the script `{name}`");
        stream.take(LARGEST + 1).read_to_end(&mut bytes).during(what)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::invalid(format!("it is larger than {LARGEST} bytes"))).during(what);
        }
        let code = String::from_utf8(bytes)
            .map_err(|_| Error::corrupt("it is not UTF-8 text"))
            .during(what)?;
        Ok(Source::text(name, &code))
    }
}

/// Turns the shebang line into a comment, so that line numbers stay.
fn without_shebang(code: &str) -> String {
    match code.strip_prefix("#!") {
        Some(rest) => format!("// {rest}"),
        None => code.to_owned(),
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code of the process.
    pub code: u8,
    /// The last value of the script.
    pub value: Dynamic,
    /// What was thrown and not caught.
    pub failure: Option<Failure>,
    /// That, as text for a person.
    pub report: Option<String>,
    /// That, for a program.
    pub diagnostic: Option<Diagnostic>,
}

/// Compiles a script without running it; the error is a report for a person.
pub fn check(session: &Session, source: &Source) -> std::result::Result<(), String> {
    let engine = super::engine(session);
    engine
        .compile(&source.code)
        .map(drop)
        .map_err(|error| Diagnostic::of(&error.into(), source, &engine).to_string())
}

/// Runs a script in its session, then what it deferred, then removes its temporary files.
pub fn run(session: &Session, source: &Source) -> Finished {
    run_counted(session, source, None)
}

/// The same, of which lines that run are counted.
pub(super) fn run_counted(session: &Session, source: &Source, coverage: Option<&Arc<Coverage>>) -> Finished {
    let engine = super::counted_engine(session, coverage);
    let counted = coverage.map(|coverage| coverage.counted(&engine, source));
    let mut ast = match engine.compile(counted.as_ref().unwrap_or(&source.code)) {
        Ok(ast) => ast,
        Err(error) => {
            let mut finished = failed(session, &error.into(), source, &engine);
            finished.code = PARSE_ERROR;
            return finished;
        }
    };
    ast.set_source(source.name.as_str());
    if let Err(error) = source.header().and_then(|header| session.declare(header.allow)) {
        let failure = Dynamic::from(Failure::new(error, Position::NONE));
        let thrown = EvalAltResult::ErrorRuntime(failure, Position::NONE);
        return failed(session, &thrown, source, &engine);
    }
    let context = session.root_context().clone();
    let result = guarded(context, || {
        engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &ast)
    });
    let mut finished = match result {
        Ok(value) => Finished {
            code: session.exit_code().unwrap_or(0),
            value,
            failure: None,
            report: None,
            diagnostic: None,
        },
        Err(thrown) => failed(session, &thrown, source, &engine),
    };
    if let Some(thrown) = clean_up(session, &engine, &ast) {
        note_clean_up_fault(session, &mut finished, &thrown, source, &engine);
    }
    finished
}

/// How a run ended that threw: `exit` is no failure.
fn failed(session: &Session, thrown: &EvalAltResult, source: &Source, engine: &Engine) -> Finished {
    if let (true, Some(code)) = (is_unwinding(thrown), session.exit_code()) {
        return Finished {
            code,
            value: Dynamic::UNIT,
            failure: None,
            report: None,
            diagnostic: None,
        };
    }
    let failure = Failure::of(thrown);
    let is_ours = matches!(
        thrown.unwrap_inner(),
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) if value.is::<Failure>()
    );
    let code = if is_ours {
        failure.error().kind().exit_code()
    } else {
        SCRIPT_ERROR
    };
    let diagnostic = Diagnostic::of(thrown, source, engine);
    Finished {
        code,
        value: Dynamic::UNIT,
        failure: Some(failure),
        report: Some(diagnostic.to_string()),
        diagnostic: Some(diagnostic),
    }
}

/// Calls what was deferred, last first, under a context of its own: a cancelled script still cleans up. Returns the first fault.
pub(crate) fn clean_up(session: &Session, engine: &Engine, ast: &AST) -> Option<Box<EvalAltResult>> {
    let mut fault = None;
    while let Some(closure) = session.take_deferred() {
        let closure: FnPtr = closure;
        if let Err(thrown) = guarded(Context::new(), || closure.call::<Dynamic>(engine, ast, ())) {
            let is_exit = is_unwinding(&thrown) && session.exit_code().is_some();
            if !is_exit {
                fault.get_or_insert(thrown);
            }
        }
    }
    session.stop_servers();
    session.remove_temporaries();
    fault
}

fn note_clean_up_fault(
    session: &Session,
    finished: &mut Finished,
    thrown: &EvalAltResult,
    source: &Source,
    engine: &Engine,
) {
    let diagnostic = Diagnostic::of(thrown, source, engine);
    let report = format!("in a deferred closure: {diagnostic}");
    finished.diagnostic.get_or_insert(diagnostic);
    if finished.code == 0 && session.exit_code().is_none() {
        finished.code = SCRIPT_ERROR;
        finished.failure = Some(Failure::of(thrown));
    }
    let before = finished.report.take().map(|before| before + "\n").unwrap_or_default();
    finished.report = Some(format!("{before}{report}"));
}

/// Runs the interpreter under a context, on a thread whose stack fits the deepest script that the limits allow. A panic below it
/// becomes an error, so that clean-up still happens.
pub(crate) fn guarded<T: Send>(context: Context, body: impl FnOnce() -> Scripted<T> + Send) -> Scripted<T> {
    let within = move || {
        let _scope = scope::enter(context);
        body()
    };
    let joined = std::thread::scope(|threads| {
        let thread = std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(scope::STACK);
        thread
            .spawn_scoped(threads, within)
            .map(std::thread::ScopedJoinHandle::join)
    });
    let error = match joined {
        Ok(Ok(result)) => return result,
        Ok(Err(payload)) => Error::internal(format!("Hoist itself failed: {}", panic_text(&*payload)))
            .hint("this is a fault of Hoist, not of the script: please report it"),
        Err(cause) => Error::internal(format!("failed to start a thread: {cause}")),
    };
    let failure = Failure::new(error, Position::NONE);
    Err(Box::new(EvalAltResult::ErrorRuntime(
        Dynamic::from(failure),
        Position::NONE,
    )))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panic".to_owned())
}

/// Whether a word on the command line names a script rather than a command.
pub fn names_script(word: &str) -> bool {
    word == "-"
        || Path::new(word).extension().is_some_and(|extension| extension == "rhai")
        || PathBuf::from(word).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn finish(code: &str) -> (Finished, String) {
        let (session, console) = testing::session(false);
        let finished = run(&session, &Source::text("test.rhai", code));
        let printed = console.data();
        (finished, printed)
    }

    #[test]
    fn exit_codes_follow_the_table() {
        for (script, code) in [
            ("42", 0),
            ("exit(4); throw 1", 4),
            ("fn f() { exit(3) } try { f() } catch { exit(5) }", 3),
            ("parallel_map([1], |x| exit(6))", 6),
            ("let x = ;", 2),
            ("throw \"no\"", 1),
            ("exit(300)", 1),
            ("timeout(5.millis, || { loop {} })", 124),
            ("timeout(5.millis, || sleep(1.hours))", 124),
            (
                "try { timeout(5.millis, || sleep(1.hours)) } catch (e) { exit(if e.kind == \"timeout\" { 9 } else { 8 }) }",
                9,
            ),
        ] {
            let (finished, _) = finish(script);
            assert_eq!(finished.code, code, "{script}: {:?}", finished.report);
        }
    }

    #[test]
    fn deferred_closures_run_on_every_way_out_last_first() {
        for (ending, code) in [
            ("", 0),
            ("throw 1", 1),
            ("exit(7)", 7),
            ("timeout(1.millis, || { loop {} })", 124),
        ] {
            let script = format!(
                "let name = \"a\"; defer(|| print(name)); defer(|| {{ sleep(1.millis); print(\"b\") }}); name = \"c\"; {ending}"
            );
            let (finished, printed) = finish(&script);
            assert_eq!(
                (finished.code, printed.as_str()),
                (code, "b\nc\n"),
                "{ending}: {:?}",
                finished.report
            );
        }
        let (finished, _) = finish("defer(|| throw \"late\"); 1");
        assert_eq!(finished.code, 1);
        assert!(finished.report.unwrap().contains("late"));
    }

    #[test]
    fn a_whole_run_ends_when_its_time_is_over_and_cleans_up() {
        let (session, console) = testing::session_until(Some(std::time::Duration::from_millis(20)));
        let script = "defer(|| print(\"cleaned\")); try { loop {} } catch { print(\"caught\") }";
        let finished = run(&session, &Source::text("test.rhai", script));
        assert_eq!(finished.code, 124);
        assert_eq!(console.data(), "cleaned\n");
    }

    #[test]
    fn temporary_files_are_gone_afterwards() {
        let (finished, path) = finish("let d = fs::temp_dir(); fs::write(d + \"/x\", \"\"); print(d); throw 1");
        assert_eq!(finished.code, 1);
        assert!(!Path::new(path.trim()).exists());
    }

    #[test]
    fn a_panic_below_the_interpreter_is_an_error_and_cleans_up() {
        let thrown = guarded::<()>(Context::new(), || panic!("broken")).unwrap_err();
        assert!(Failure::of(&thrown).error().message().contains("broken"));
    }

    #[test]
    fn the_deepest_script_the_limits_allow_fits_the_stack() {
        let define = "fn g(n) { if n == 0 { 0 } else { let x = [1].map(|y| g(n - 1)); x[0] + 1 } } ";
        let (finished, _) = finish(&format!("{define} g(40) + parallel_map([40], |n| g(n))[0]"));
        assert_eq!(finished.value.as_int().ok(), Some(80), "{:?}", finished.report);
        for deep in ["g(1000)", "parallel_map([1], |n| g(1000))", "defer(|| g(1000))"] {
            let (finished, _) = finish(&format!("{define} {deep}"));
            assert!(
                finished.report.unwrap().contains("functions call each other more than"),
                "{deep}"
            );
        }
    }

    #[test]
    fn imports_are_relative_to_the_importing_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("lib")).unwrap();
        std::fs::write(
            directory.path().join("lib/outer.rhai"),
            "import \"inner\" as inner; fn f() { inner::g() }",
        )
        .unwrap();
        std::fs::write(
            directory.path().join("lib/inner.rhai"),
            "#!/usr/bin/env hoist\nfn g() { args.len() }",
        )
        .unwrap();
        let main = directory.path().join("main.rhai");
        std::fs::write(&main, "#!/usr/bin/env hoist\nimport \"lib/outer\" as outer; outer::f()").unwrap();
        let (session, _) = testing::session(false);
        let finished = run(&session, &Source::file(&main).unwrap());
        assert_eq!(finished.value.as_int().ok(), Some(2), "{:?}", finished.report);
    }

    #[test]
    fn a_bad_import_is_shown_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, code: &str| std::fs::write(directory.path().join(name), code).unwrap();
        write("broken.rhai", "let x = 1;\nlet y = ;");
        write("circle.rhai", "import \"circle\" as c;");
        let report = |code: &str| {
            write("main.rhai", code);
            let (session, _) = testing::session(false);
            let report = run(&session, &Source::file(&directory.path().join("main.rhai")).unwrap())
                .report
                .unwrap();
            report.replace(&format!("{}/", directory.path().display()), "")
        };
        let broken = report("import \"broken\" as b;");
        assert!(
            broken.contains("broken.rhai:2:9") && broken.contains("2 | let y = ;"),
            "{broken}"
        );
        let missing = report("\nimport \"nothing\" as n;");
        assert!(
            missing.contains("error[not_found]") && missing.contains("main.rhai:2:8"),
            "{missing}"
        );
        write("thrower.rhai", "fn f() {\n\n  duration(\"soon\") }");
        let again = report("import \"thrower\" as t;\ntry { t::f() } catch (e) { throw e }");
        assert!(
            again.contains("thrower.rhai:3:3") && again.contains("3 |   duration("),
            "{again}"
        );
        let circle = report("import \"circle\" as c;");
        assert!(circle.contains("`circle.rhai` imports itself"), "{circle}");
    }
}
