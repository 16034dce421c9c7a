//! Plans: made of a script, and carried out step by step.

use rhai::{Dynamic, Engine, EvalAltResult, Scope};

use super::runner::{Source, guarded};
use crate::bindings::effects;
use crate::bindings::failure::{Failure, Scripted};
use crate::bindings::gate::Place;
use crate::bindings::planning::{Blueprint, FORMAT, Outcomes, Step, moved};
use crate::bindings::{Level, Session};
use crate::error::{Error, Result};

/// The plan that a script which has run under planning comes to.
pub fn blueprint(session: &Session, source: &Source) -> Blueprint {
    let settings = session.settings();
    Blueprint {
        hoist_plan: FORMAT,
        created: jiff::Timestamp::now().to_string(),
        root: settings.config.root.display().to_string(),
        script: source.name.clone(),
        args: settings.args.clone(),
        actions: session.recorder().map(|recorder| recorder.steps()).unwrap_or_default(),
    }
}

/// Does what a plan says, in its order, and nothing else.
///
/// Errors: `conflict` before anything is done, if anything has moved that the plan relies on; later that of the step that failed, with its
/// number.
pub fn apply(session: &Session, plan: &Blueprint) -> Result<()> {
    plan.check(session)?;
    let engine = super::engine(session);
    let mut outcomes = Outcomes::default();
    let all = plan.actions.len();
    for (at, step) in plan.actions.iter().enumerate() {
        session.log(
            Level::Info,
            &format!("{} of {all}: {} {}", at + 1, step.function, step.target),
        );
        session.set_place(Place {
            script: step.script.clone(),
            position: step.line.zip(step.column),
        });
        let done = carry_out(session, &engine, step, &mut outcomes);
        done.map_err(|error| {
            error.during(format!(
                "do step {} of {all}, `{}` of `{}`",
                at + 1,
                step.function,
                step.target
            ))
        })?;
    }
    Ok(())
}

fn carry_out(session: &Session, engine: &Engine, step: &Step, outcomes: &mut Outcomes) -> Result<()> {
    if effects::acts(&step.function).is_none() {
        return Err(Error::invalid(format!("there is no function `{}`", step.function)).hint("make a new plan"));
    }
    moved(session, &step.pins)?;
    let arguments = outcomes.arguments(session, step)?;
    let result = call(session, engine, &step.function, arguments).map_err(|thrown| into_error(&thrown))?;
    outcomes.note(step, &result)
}

/// Calls a native function as a script would, through the gate.
fn call(session: &Session, engine: &Engine, function: &str, arguments: Vec<Dynamic>) -> Scripted<Dynamic> {
    let mut scope = Scope::new();
    let names: Vec<String> = (0..arguments.len()).map(|at| format!("argument_{at}")).collect();
    for (name, value) in names.iter().zip(arguments) {
        scope.push_dynamic(name.clone(), value);
    }
    let code = match function.split_once('.') {
        Some((_, method)) => format!("{}.{method}({})", names[0], names[1..].join(", ")),
        None => format!("{function}({})", names.join(", ")),
    };
    let ast = engine.compile(&code)?;
    guarded(session.root_context().clone(), || {
        engine.eval_ast_with_scope(&mut scope, &ast)
    })
}

/// The error of ours that was thrown.
fn into_error(thrown: &EvalAltResult) -> Error {
    let failure = Failure::of(thrown);
    let error = failure.error();
    let again = Error::new(error.kind(), error.message().to_owned());
    match error.way_out() {
        Some(hint) => again.hint(hint),
        None => again,
    }
}
