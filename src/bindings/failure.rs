//! The `Error` scripts catch, and the one place where errors of the host become errors of the interpreter.

use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use super::object::Object;
use super::session::Session;
use crate::error::{Error, Kind, Result};

/// What a native function that can fail returns.
pub type Scripted<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Runs the body of a native function on its session; an error is thrown as an [`Failure`] at the call's position.
pub fn native<T>(ctx: &NativeCallContext, body: impl FnOnce(&Session) -> Result<T>) -> Scripted<T> {
    let session = Session::of(ctx);
    body(&session).map_err(|error| throw(ctx, &session, error))
}

/// The error of the interpreter for `error`, thrown where `ctx` was called.
///
/// When the operation's own context has ended, no `catch` may go on: the script is unwound instead.
pub fn throw(ctx: &NativeCallContext, session: &Session, error: Error) -> Box<EvalAltResult> {
    let ends = matches!(error.kind(), Kind::Cancelled | Kind::Timeout) && session.context().is_done();
    let position = ctx.call_position();
    let failure = Failure::new(error.op(operation(ctx)), position).in_script(ctx.call_source());
    let value = Dynamic::from(failure);
    Box::new(match ends {
        true => EvalAltResult::ErrorTerminated(value, position),
        false => EvalAltResult::ErrorRuntime(value, position),
    })
}

/// The function called, as a script writes it: `fs::read`, `sleep`.
fn operation(ctx: &NativeCallContext) -> String {
    let namespace = ctx.fn_source().filter(|source| super::is_namespace(source));
    match namespace {
        Some(namespace) => format!("{namespace}::{}", ctx.fn_name()),
        None => ctx.fn_name().to_owned(),
    }
}

/// An error as scripts see it: `e.kind`, `e.message`, `e.hint`, and where it was thrown.
#[derive(Debug, Clone)]
pub struct Failure {
    error: Arc<Error>,
    position: Position,
    source: Option<Arc<str>>,
}

impl Failure {
    /// `error`, thrown at `position`.
    pub fn new(error: Error, position: Position) -> Failure {
        Failure {
            error: Arc::new(error),
            position,
            source: None,
        }
    }

    /// Any error of the interpreter as one of ours; what a script threw keeps its text.
    pub fn of(thrown: &EvalAltResult) -> Failure {
        let inner = thrown.unwrap_inner();
        if let EvalAltResult::ErrorRuntime(value, at) | EvalAltResult::ErrorTerminated(value, at) = inner {
            let own = value.clone().try_cast::<Failure>();
            return own.unwrap_or_else(|| Failure::new(Error::internal(value.to_string()), *at));
        }
        Failure::new(Error::invalid(message(inner)), inner.position())
    }

    /// The same, in the named script: a position means nothing without its file, and `throw e` may carry it into another.
    #[must_use]
    pub fn in_script(mut self, name: Option<&str>) -> Failure {
        self.source = name.map(Arc::from);
        self
    }

    /// The script that called the function, if known.
    pub fn script(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The error behind it.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Where the script called the function that failed.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// What a `catch` would bind: the value thrown, or the interpreter's own error as a [`Failure`].
pub fn caught(thrown: &EvalAltResult) -> Dynamic {
    match thrown.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => value.clone(),
        other => Dynamic::from(Failure::of(other)),
    }
}

/// Whether the script is being unwound (cancelled, out of time, `exit`), so that nothing may go on.
pub fn is_unwinding(thrown: &EvalAltResult) -> bool {
    !thrown.unwrap_inner().is_catchable()
}

/// The interpreter's message without the position it appends.
pub fn message(error: &EvalAltResult) -> String {
    let text = error.to_string();
    let suffix = format!(" ({})", error.position());
    text.strip_suffix(&suffix).map_or_else(|| text.clone(), str::to_owned)
}

impl PartialEq for Failure {
    fn eq(&self, other: &Failure) -> bool {
        self.error.kind() == other.error.kind() && self.error.message() == other.error.message()
    }
}

impl Object for Failure {
    const NAME: &'static str = "Error";
    const COLUMNS: &'static [&'static str] = &["KIND", "MESSAGE", "TARGET"];

    fn text(&self) -> String {
        match self.error.way_out() {
            Some(hint) => format!("{} (help: {hint})", self.error.message()),
            None => self.error.message().to_owned(),
        }
    }

    fn debug(&self) -> String {
        format!("Error({}: {})", self.error.kind(), self.error.message())
    }

    fn cells(&self) -> Vec<String> {
        let target = self.error.subject().unwrap_or_default();
        vec![
            self.error.kind().to_string(),
            self.error.message().to_owned(),
            target.to_owned(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.error.kind().name(),
            "message": self.error.message(),
            "op": self.error.operation(),
            "target": self.error.subject(),
            "hint": self.error.way_out(),
            "retryable": self.error.kind().retryable(),
            "status": self.error.http_status(),
            "line": self.position.line(),
            "position": self.position.position(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rhai::Map;

    use super::*;
    use crate::bindings::scope;
    use crate::script::testing;

    #[test]
    fn a_script_catches_a_value_with_fields_and_its_own_position() {
        let script = "let r = ();\ntry {\n  env::get(\"NOT_SET\")\n} catch (e) {\n  r = #{k: e.kind, o: e.op, t: e.target, l: e.line, p: e.position, s: e.status};\n}\nr";
        let fields: Map = testing::engine().eval(script).unwrap();
        let shown = format!("{fields:?}");
        let expected = r#"{"k": "not_found", "l": 3, "o": "env::get", "p": 8, "s": (), "t": "NOT_SET"}"#;
        assert_eq!(shown.replace("#{", "{"), expected);
    }

    #[test]
    fn an_uncaught_error_keeps_kind_and_position_through_functions() {
        let thrown = testing::engine()
            .eval::<()>("fn f() {\n env::get(\"NOT_SET\") }\nf()")
            .unwrap_err();
        let failure = Failure::of(&thrown);
        assert_eq!(failure.error().kind(), Kind::NotFound);
        assert_eq!(failure.position().line(), Some(2));
    }

    #[test]
    fn a_cancelled_script_cannot_be_caught_even_inside_a_blocked_call() {
        let (session, _) = testing::session(false);
        let mut engine = crate::script::engine(&session);
        engine.register_fn("block", |ctx: NativeCallContext| {
            native(&ctx, |session| session.context().sleep(Duration::from_secs(3600)))
        });
        let context = session.root_context().clone();
        std::thread::scope(|threads| {
            let thread = threads.spawn(|| {
                let _scope = scope::enter(session.context());
                engine.eval::<()>("try { block() } catch { } throw \"went on\"")
            });
            context.cancel();
            let thrown = thread.join().unwrap().unwrap_err();
            assert!(is_unwinding(&thrown), "{thrown}");
            assert_eq!(Failure::of(&thrown).error().kind(), Kind::Cancelled);
        });
    }
}
