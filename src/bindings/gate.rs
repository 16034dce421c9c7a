//! The one way into native functions that have effects: what a call demands is allowed, told to the audit, and only then done.
//!
//! It is put around the functions themselves where they are registered, so that there is no other way to them: whatever a script calls
//! or shadows them by, from wherever.

use rhai::plugin::{FnManifestEntry, ModuleManifest, PluginFunc, RhaiFunc, RhaiResult};
use rhai::{Dynamic, EvalAltResult, FuncRegistration, Module, NativeCallContext, Position, Shared};
use serde_json::Value;
use std::any::TypeId;

use super::effects::{self, Act};
use super::failure::{Failure, throw};
use super::planning::{self, Draft};
use super::report::Report;
use super::session::Session;
use super::value::from_json;
use super::{Group, demand, objects};
use crate::config::Demand;
use crate::error::{Error, Kind, Result};
use crate::host::{Entry, Outcome};

/// Where a script called a function.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The script, if it has a name.
    pub script: Option<String>,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
}

impl Place {
    /// Where the function was called.
    pub fn of(ctx: &NativeCallContext) -> Place {
        let position = ctx.call_position();
        Place {
            script: ctx.call_source().map(str::to_owned),
            position: position.line().map(|line| (line, position.position().unwrap_or(1))),
        }
    }
}

/// A native function with the gate before it.
struct Gated {
    inner: &'static (dyn PluginFunc + Send + Sync),
    name: String,
    acts: &'static [Act],
}

impl PluginFunc for Gated {
    fn call(&self, context: Option<NativeCallContext>, args: &mut [&mut Dynamic]) -> RhaiResult {
        let Some(ctx) = &context else {
            let error = Failure::new(
                Error::internal("a native function was called without its context"),
                Position::NONE,
            );
            return Err(Box::new(EvalAltResult::ErrorRuntime(
                Dynamic::from(error),
                Position::NONE,
            )));
        };
        let session = Session::of(ctx);
        if !session.is_watched() {
            return self.inner.call(context, args);
        }
        let place = session.place().unwrap_or_else(|| Place::of(ctx));
        let demands = demand::demands(&session, self.acts, args).map_err(|error| throw(ctx, &session, error))?;
        let begun = session.begin(&self.name, demands, place);
        let act = begun.map_err(|error| stop(ctx, &session, error))?;
        let draft = act.draft(args).map_err(|error| throw(ctx, &session, error))?;
        let result = self.inner.call(context, args);
        act.end(act.record(draft, result))
    }

    fn is_method_call(&self) -> bool {
        self.inner.is_method_call()
    }

    fn has_context(&self) -> bool {
        true
    }

    fn is_pure(&self) -> bool {
        self.inner.is_pure()
    }

    fn is_volatile(&self) -> bool {
        self.inner.is_volatile()
    }
}

/// Refusals can be caught; what the audit cannot take ends the script.
fn stop(ctx: &NativeCallContext, session: &Session, error: Error) -> Box<EvalAltResult> {
    let ends = session.audit_failed();
    let thrown = throw(ctx, session, error);
    match *thrown {
        EvalAltResult::ErrorRuntime(value, at) if ends => Box::new(EvalAltResult::ErrorTerminated(value, at)),
        other => Box::new(other),
    }
}

/// An act that was allowed and has begun.
pub struct Begun {
    session: Session,
    function: String,
    demands: Vec<Demand>,
    place: Place,
}

impl Session {
    /// Lets an act begin. Errors: `denied`; that of the audit, if it cannot be told.
    pub fn begin(&self, function: &str, demands: Vec<Demand>, place: Place) -> Result<Begun> {
        let begun = Begun {
            session: self.clone(),
            function: function.to_owned(),
            demands,
            place,
        };
        for demand in &begun.demands {
            if let Err(error) = self.allow(function, demand) {
                begun.tell(demand, None, Outcome::Failed(Kind::Denied))?;
                return Err(error);
            }
        }
        if !effects::only_looks(function) {
            begun.tell_all(Outcome::Begun)?;
        }
        Ok(begun)
    }

    /// Does what a command was asked for, under the rules of the function that a script would call with these arguments.
    pub fn perform<T>(&self, function: &str, args: &[Value], act: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.is_watched() {
            return act();
        }
        let mut args: Vec<Dynamic> = args.iter().map(from_json).collect();
        let args: Vec<&mut Dynamic> = args.iter_mut().collect();
        let demands = demand::demands(self, effects::acts(function).unwrap_or_default(), &args)?;
        let begun = self.begin(function, demands, Place::default())?;
        let result = act();
        begun.tell_all(match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error.kind()),
        })?;
        result
    }
}

impl Begun {
    /// Looks at the call under dry-run, before it is made.
    fn draft(&self, args: &[&mut Dynamic]) -> Result<Option<Draft>> {
        if self.session.plan().is_none() {
            return Ok(None);
        }
        if planning::OUTCOMES.contains(&self.function.as_str()) && planning::is_imagined(&self.session, args)? {
            self.session
                .foresee(&format!("`{}` of a program", self.function), &self.place)?;
        }
        match self.session.recorder() {
            Some(recorder) => recorder.draft(&self.session, &self.function, &self.demands, args),
            None => Ok(None),
        }
    }

    /// Writes the call down where a plan is made.
    fn record(&self, draft: Option<Draft>, result: RhaiResult) -> RhaiResult {
        let (Some(draft), Some(recorder), Ok(value)) = (draft, self.session.recorder(), &result) else {
            return result;
        };
        let call = (self.function.as_str(), self.demands.as_slice(), &self.place);
        match recorder.record(call, draft, value) {
            Ok(()) => result,
            Err(error) => {
                let failure = Dynamic::from(Failure::new(error, Position::NONE));
                Err(Box::new(EvalAltResult::ErrorRuntime(failure, Position::NONE)))
            }
        }
    }

    /// Tells how it ended.
    fn end(&self, result: RhaiResult) -> RhaiResult {
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(thrown) => Outcome::Failed(Failure::of(thrown).error().kind()),
        };
        let told = self.tell_all(outcome).and_then(|()| match &result {
            Ok(value) => self.tell_report(value),
            Err(_) => Ok(()),
        });
        match told {
            Ok(()) => result,
            Err(error) => {
                let failure = Dynamic::from(Failure::new(error, Position::NONE));
                Err(Box::new(EvalAltResult::ErrorTerminated(failure, Position::NONE)))
            }
        }
    }

    fn tell_all(&self, outcome: Outcome) -> Result<()> {
        self.demands
            .iter()
            .try_for_each(|demand| self.tell(demand, None, outcome))
    }

    /// What a batch removed, item by item.
    fn tell_report(&self, value: &Dynamic) -> Result<()> {
        let (Some(report), Some(demand)) = (value.read_lock::<Report>(), self.demands.last()) else {
            return Ok(());
        };
        let told = demand.target.shown();
        report
            .removed_names()
            .filter(|name| Some(name) != told.as_ref())
            .try_for_each(|name| self.tell(demand, Some(name), Outcome::Done))
    }

    fn tell(&self, demand: &Demand, target: Option<String>, outcome: Outcome) -> Result<()> {
        let Some(audit) = &self.session.settings().audit else {
            return Ok(());
        };
        audit.write(&Entry {
            function: &self.function,
            effect: demand.effect,
            target: target.or_else(|| demand.target.shown()),
            outcome,
            dry_run: self.session.plan().is_some(),
            script: self.place.script.as_deref(),
            position: self.place.position,
        })
    }
}

impl Group {
    /// The group's functions behind the gate, as scripts get them.
    pub fn gated(&self) -> Module {
        let mut module = self.module();
        let is_namespace = super::is_namespace(self.name);
        for entry in self.manifests().into_iter().flat_map(ModuleManifest::functions) {
            if let Some(gated) = gate(entry, is_namespace.then_some(self.name)) {
                let types = types(entry);
                let registration = FuncRegistration::new(entry.name()).with_namespace(entry.namespace);
                registration.set_into_module_raw(
                    &mut module,
                    types,
                    RhaiFunc::Plugin {
                        func: Shared::new(gated),
                    },
                );
            }
        }
        module
    }
}

fn types(entry: &FnManifestEntry) -> Vec<TypeId> {
    let mut all = Vec::new();
    entry.with_param_types(&mut |types| all = types.to_vec());
    all
}

/// The function behind the gate; `None` for one without effects.
fn gate(entry: &'static FnManifestEntry, namespace: Option<&str>) -> Option<Gated> {
    let name = match namespace {
        Some(namespace) => format!("{namespace}::{}", entry.name()),
        None => {
            let receiver = *types(entry).first()?;
            let shape = objects().iter().find(|shape| shape.is(receiver))?;
            format!("{}.{}", shape.name, entry.name())
        }
    };
    let acts = effects::acts(&name).filter(|acts| !acts.is_empty())?;
    Some(Gated {
        inner: entry.func(),
        name,
        acts,
    })
}
