//! Closures run side by side on threads, with results in order, and under a time limit of their own.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use rhai::{AST, Array, CallFnOptions, Dynamic, Engine, EvalAltResult, FnPtr, Map, NativeCallContext, Scope};
use serde::Deserialize;

use super::duration::Duration;
use super::failure::{Failure, Scripted, caught, is_unwinding, throw};
use super::session::Session;
use super::turns::Turns;
use super::value::type_phrase;
use super::{closure, scope};
use crate::error::{Context as _, Error};
use crate::host;
use crate::model::{Context, Reference, Secret};

/// The options of `parallel`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Parallel {
    jobs: Option<NonZeroUsize>,
    on_error: OnError,
    timeout: Option<Duration>,
}

/// The options of `parallel_map`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ParallelMap {
    jobs: Option<NonZeroUsize>,
    per_host: Option<NonZeroUsize>,
    on_error: OnError,
    timeout: Option<Duration>,
}

/// What the failure of one task means for the others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnError {
    #[default]
    Stop,
    Collect,
}

/// Threads when a script does not say: tasks mostly wait for disks, processes and networks, so a small machine gets some too.
const LEAST_JOBS: usize = 4;

impl Parallel {
    fn jobs(&self, tasks: usize) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = self.jobs.map_or(processors.max(LEAST_JOBS), NonZeroUsize::get);
        jobs.min(tasks)
    }
}

/// Calls closures side by side.
pub fn calls(ctx: &NativeCallContext, closures: &[FnPtr], options: &Parallel) -> Scripted<Array> {
    let task = |number: usize| closure::call(ctx, &closures[number], ());
    run(ctx, options, Turns::new(closures.len()), closures.len(), |_| None, task)
}

/// Calls a closure with each item.
pub fn map(ctx: &NativeCallContext, items: Dynamic, closure: &FnPtr, options: &ParallelMap) -> Scripted<Array> {
    let items: Vec<Dynamic> = items_of(ctx, items)?.into_iter().map(closure::snapshot).collect();
    let closure = closure::detached(closure);
    let turns = match options.per_host {
        Some(most) => Turns::at_hosts(most.get(), items.iter().map(host_of)),
        None => Turns::new(items.len()),
    };
    let ours = Parallel {
        jobs: options.jobs,
        on_error: options.on_error,
        timeout: options.timeout,
    };
    let name = |number: usize| name_of(&items[number]);
    run(ctx, &ours, turns, items.len(), name, |number| {
        closure::call(ctx, &closure, (items[number].clone(),))
    })
}

/// What `for` would go over, one after the other.
#[expect(
    deprecated,
    reason = "the interpreter calls it volatile, not deprecated; a test would tell"
)]
fn items_of(ctx: &NativeCallContext, items: Dynamic) -> Scripted<Array> {
    static LOOP: LazyLock<AST> = LazyLock::new(|| {
        let code = "fn each(items, take) { for item in items { take.call(item); } }";
        Engine::new_raw().compile(code).unwrap_or_default()
    });
    let items = items.flatten();
    if items.is_array() {
        return Ok(items.cast::<Array>());
    }
    let what = type_phrase(&items);
    let gathered = Arc::new(Mutex::new(Array::new()));
    let (most, list) = (ctx.engine().max_array_size(), gathered.clone());
    let take = FnPtr::from_fn("take", move |ctx, args| {
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= most {
            let error = Error::invalid(format!("`parallel_map` goes over at most {most} items"));
            return Err(throw(&ctx, &Session::of(&ctx), error));
        }
        list.extend(args.first().map(|item| (*item).clone()));
        Ok(Dynamic::UNIT)
    })?;
    let (options, engine) = (CallFnOptions::new().eval_ast(false), ctx.engine());
    let went = engine.call_fn_with_options::<()>(options, &mut Scope::new(), &LOOP, "each", (items, take));
    went.map_err(|thrown| match *thrown {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => refused(ctx, inner, &what),
        _ => refused(ctx, thrown, &what),
    })?;
    Ok(std::mem::take(
        &mut *gathered.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// Why there is nothing to go over.
fn refused(ctx: &NativeCallContext, thrown: Box<EvalAltResult>, what: &str) -> Box<EvalAltResult> {
    if !matches!(thrown.unwrap_inner(), EvalAltResult::ErrorFor(_)) {
        return thrown;
    }
    let error = Error::invalid(format!(
        "`parallel_map` goes over what `for` goes over, such as an array or a range, got {what}"
    ));
    let hint = "`.keys()`, `.values()` and `.entries()` of a map are arrays";
    let error = if what == "a map" { error.hint(hint) } else { error };
    throw(ctx, &Session::of(ctx), error)
}

/// The machine that an item names: that of an address, or the registry of an image's name.
fn host_of(item: &Dynamic) -> Option<String> {
    let text = item.as_immutable_string_ref().ok()?;
    match text.contains("://") {
        true => host::host_of(&Secret::new(text.to_string())).ok(),
        false => text.parse::<Reference>().ok().map(|name| name.registry().to_owned()),
    }
}

/// Runs `count` tasks and returns their results in order. `task` is called with the number of the task.
///
/// The first failure cancels the other tasks and is thrown, unless failures are collected.
///
/// What several tasks print is marked with their names, which are numbers where `name` has none.
fn run(
    ctx: &NativeCallContext,
    options: &Parallel,
    turns: Turns,
    count: usize,
    name: impl Fn(usize) -> Option<String> + Sync,
    task: impl Fn(usize) -> Scripted<Dynamic> + Sync,
) -> Scripted<Array> {
    let session = Session::of(ctx);
    let outer = scope::branch();
    let branch = |number: usize| {
        let own = name(number).unwrap_or_else(|| (number + 1).to_string());
        match &outer {
            _ if count < 2 => outer.clone(),
            Some(outer) => Some(format!("{outer}/{own}")),
            None => Some(own),
        }
    };
    let task = |number: usize| {
        scope::set_branch(branch(number));
        task(number)
    };
    let group = Tasks {
        context: session.context().child(),
        turns,
        failed: OnceLock::new(),
        results: (0..count).map(|_| Mutex::default()).collect(),
    };
    std::thread::scope(|threads| {
        for job in 0..options.jobs(count) {
            let work = || group.work(ctx, &session, options, &task);
            let thread = std::thread::Builder::new()
                .name("task".to_owned())
                .stack_size(scope::STACK);
            let started = thread.spawn_scoped(threads, work).during(|| "start a thread");
            match started {
                Ok(_) => {}
                // Fewer threads do the same work.
                Err(_) if job > 0 => break,
                Err(error) => group.fail(throw(ctx, &session, error)),
            }
        }
    });
    match group.failed.into_inner() {
        Some(thrown) => Err(thrown),
        None => Ok(group
            .results
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()),
    }
}

struct Tasks {
    context: Context,
    turns: Turns,
    failed: OnceLock<Box<EvalAltResult>>,
    results: Vec<Mutex<Dynamic>>,
}

/// A task that panics ends the others, which would otherwise be waited for.
struct CancelOnPanic<'a>(&'a Context);

impl Drop for CancelOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

impl Tasks {
    fn work(
        &self,
        ctx: &NativeCallContext,
        session: &Session,
        options: &Parallel,
        task: &(impl Fn(usize) -> Scripted<Dynamic> + Sync),
    ) {
        let _scope = scope::enter(self.context.clone());
        let _stop = CancelOnPanic(&self.context);
        while let Some(turn) = self.turns.take() {
            let number = turn.number;
            if let Err(error) = self.context.check() {
                return self.fail(throw(ctx, session, error));
            }
            let result = match options.timeout {
                Some(limit) => within(ctx, session, limit, || task(number)),
                None => task(number),
            };
            let value = match (result, options.on_error) {
                (Err(thrown), OnError::Stop) => return self.fail(thrown),
                (Err(thrown), OnError::Collect) if is_unwinding(&thrown) => return self.fail(thrown),
                (result, OnError::Collect) => outcome(result),
                (Ok(value), OnError::Stop) => value,
            };
            *self.results[number].lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }

    fn fail(&self, thrown: Box<EvalAltResult>) {
        let _ = self.failed.set(thrown);
        self.context.cancel();
    }
}

/// The longest text that names a branch, in characters.
const LONGEST_NAME: usize = 24;

/// What the branch for an item is called: the item's text where that is short, and tells it from others.
fn name_of(item: &Dynamic) -> Option<String> {
    let text = match super::object::Shape::find(item) {
        Some(shape) => shape.text(item),
        None if item.is_string() || item.is_int() || item.is_char() => item.to_string(),
        None => return None,
    };
    let is_short = !text.is_empty() && text.chars().count() <= LONGEST_NAME;
    (is_short && !text.contains(|letter: char| letter.is_control())).then_some(text)
}

/// `#{ok, value, error}`, as `attempt` returns it.
pub fn outcome(result: Scripted<Dynamic>) -> Dynamic {
    let (ok, value, error) = match result {
        Ok(value) => (true, value, Dynamic::UNIT),
        Err(thrown) => (false, Dynamic::UNIT, caught(&thrown)),
    };
    let fields = [("ok", Dynamic::from(ok)), ("value", value), ("error", error)];
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect::<Map>()
        .into()
}

/// Runs `body` under a limit of its own; when that one is over, a `timeout` is thrown which the script may catch.
pub fn within(
    ctx: &NativeCallContext,
    session: &Session,
    limit: Duration,
    body: impl FnOnce() -> Scripted<Dynamic>,
) -> Scripted<Dynamic> {
    let wait = limit.to_std().map_err(|error| throw(ctx, session, error))?;
    let own = session.context().with_timeout(wait);
    let scope = scope::enter(own.clone());
    let result = body();
    drop(scope);
    match result {
        Err(thrown) if is_unwinding(&thrown) && own.owns_timeout(Failure::of(&thrown).error()) => {
            let text = super::object::Object::text(&limit);
            Err(throw(
                ctx,
                session,
                Error::timeout(format!("the time allowed, {text}, is over")),
            ))
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::time::{Duration, Instant};

    use rhai::{Dynamic, Engine, INT};

    use crate::bindings::failure::{Failure, caught};
    use crate::bindings::value::to_json;
    use crate::script::testing;

    fn eval(engine: &Engine, script: &str) -> String {
        to_json(&engine.eval::<Dynamic>(script).unwrap()).unwrap().to_string()
    }

    #[test]
    fn tasks_run_at_the_same_time_and_results_keep_their_order() {
        let mut engine = testing::engine();
        let barrier = Arc::new(Barrier::new(3));
        // Returns only when three tasks are in it at once.
        engine.register_fn("meet", move |n: INT| {
            barrier.wait();
            n * 10
        });
        assert_eq!(
            eval(&engine, "parallel_map([1, 2, 3], |n| meet(n), #{ jobs: 3 })"),
            "[10,20,30]"
        );
    }

    #[test]
    fn no_more_than_the_given_jobs_run_at_once() {
        let mut engine = testing::engine();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        engine.register_fn("enter", move || {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
        });
        engine
            .run("let list = []; for i in 0..50 { list.push(i); } parallel_map(list, |i| enter(), #{ jobs: 2 })")
            .unwrap();
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn items_come_from_whatever_a_loop_goes_over() {
        let engine = testing::engine();
        for (items, expected) in [
            ("0..4", "[0,2,4,6]"),
            ("1..=3", "[2,4,6]"),
            ("range(0, 10, 4)", "[0,8,16]"),
            ("\"ab\"", "[\"aa\",\"bb\"]"),
            ("0..0", "[]"),
        ] {
            let script = format!("parallel_map({items}, |i| i + i)");
            assert_eq!(eval(&engine, &script), expected, "{items}");
        }
        let refused = |script: &str| {
            Failure::of(&engine.eval::<Dynamic>(script).unwrap_err())
                .error()
                .to_string()
        };
        assert!(refused("parallel_map(7, |i| i)").ends_with("got a number"));
        let many = refused("parallel_map(0..1000000000000, |i| i)");
        assert!(many.ends_with("goes over at most 10000000 items"), "{many}");
        let error = engine.eval::<Dynamic>("parallel_map(#{a: 1}, |i| i)").unwrap_err();
        assert!(Failure::of(&error).error().way_out().unwrap().contains("`.entries()`"));
    }

    #[test]
    fn no_more_than_the_given_number_are_at_one_host() {
        let mut engine = testing::engine();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        engine.register_fn("visit", move |name: &str| {
            if !name.starts_with("ghcr.io/") && !name.starts_with("https://ghcr.io/") {
                return;
            }
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
        });
        let script = r#"
            let names = parallel_map(0..40, |i| if i % 4 == 0 { `debian:${i}` } else if i % 4 == 1 { `https://ghcr.io/v2/${i}` } else { `ghcr.io/a:${i}` });
            parallel_map(names, |name| visit(name), #{ jobs: 8, per_host: 2 }).len()"#;
        assert_eq!(eval(&engine, script), "40");
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        let wrong = engine
            .eval::<Dynamic>("parallel([|| 1], #{ per_host: 1 })")
            .unwrap_err();
        assert_eq!(Failure::of(&wrong).error().message(), "unknown option `per_host`");
    }

    #[test]
    fn the_first_error_cancels_what_the_others_wait_for() {
        let engine = testing::engine();
        let start = Instant::now();
        let script = "parallel_map([1, 2, 3], |n| if n == 2 { throw \"two\" } else { sleep(1.hours) }, #{ jobs: 3 })";
        let thrown = engine.eval::<Dynamic>(script).unwrap_err();
        assert_eq!(caught(&thrown).to_string(), "two");
        assert!(start.elapsed() < Duration::from_secs(60));
        let script = "try { parallel_map([1], |n| throw \"x\") } catch { } parallel_map([1, 2], |n| n)";
        assert_eq!(eval(&engine, script), "[1,2]");
    }

    #[test]
    fn a_panic_in_one_task_ends_the_others() {
        let (session, _) = testing::session(false);
        let mut engine = crate::script::engine(&session);
        engine.register_fn("fall_over", || panic!("broken"));
        let context = session.root_context().clone();
        let script = "parallel_map([1, 2], |n| if n == 1 { fall_over() } else { sleep(1.hours) }, #{ jobs: 2 })";
        let start = Instant::now();
        let thrown = crate::script::runner::guarded(context, || engine.eval::<Dynamic>(script)).unwrap_err();
        assert_eq!(Failure::of(&thrown).error().kind(), crate::error::Kind::Internal);
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn collected_errors_leave_the_other_results() {
        let engine = testing::engine();
        let script = r#"parallel_map([1, 0, 2], |n| 10 / n, #{ on_error: "collect" }).map(|r| if r.ok { r.value } else { r.error.kind })"#;
        assert_eq!(eval(&engine, script), r#"[10,"invalid",5]"#);
        let script =
            r#"parallel_map(["1h", "1ms"], |d| sleep(d), #{ on_error: "collect", timeout: 20.millis }).map(|r| r.ok)"#;
        assert_eq!(eval(&engine, script), "[false,true]");
    }

    #[test]
    fn calls_nest_and_a_time_limit_reaches_all_of_them() {
        let engine = testing::engine();
        let nested = "parallel_map([1, 2], |x| parallel_map([10, 20], |y| x * y, #{ jobs: 2 }), #{ jobs: 2 })";
        assert_eq!(eval(&engine, nested), "[[10,20],[20,40]]");
        let script = "timeout(30.millis, || parallel_map([1, 2], |x| parallel([|| sleep(1.hours), || { loop { } }])))";
        let thrown = engine.eval::<Dynamic>(script).unwrap_err();
        assert_eq!(
            Failure::of(&thrown).error().message(),
            "the time allowed, 30ms, is over"
        );
    }

    #[test]
    fn what_several_branches_print_is_marked_line_by_line() {
        let print = |script: &str| {
            let (session, console) = testing::session(false);
            crate::script::engine(&session).run(script).unwrap();
            let (data, talk) = (console.data(), console.talk());
            let mut lines: Vec<String> = data.lines().map(str::to_owned).chain(talk).collect();
            lines.sort();
            lines
        };
        assert_eq!(
            print("parallel_map([\"b\", 7], |x| print(\"one\\n\" + x))"),
            ["[7] 7", "[7] one", "[b] b", "[b] one"]
        );
        assert_eq!(
            print("parallel([|| print(1), || table([#{a: 1}])])"),
            ["[1] 1", "[2] 1", "[2] A"]
        );
        assert_eq!(
            print("parallel_map([\"a\", \"b\"], |x| parallel_map([1, #{}], |y| print(x)))"),
            ["[a/1] a", "[a/2] a", "[b/1] b", "[b/2] b"]
        );
        // Of one branch everybody knows who speaks.
        assert_eq!(print("parallel_map([1], |x| print(x)); print(2)"), ["1", "2"]);
        assert_eq!(
            print("parallel_map([1, 2], |x| parallel_map([x], |y| print(0)))"),
            ["[1] 0", "[2] 0"]
        );
        let long = "x".repeat(25);
        assert_eq!(
            print(&format!("parallel_map([\"{long}\", \"b\"], |x| log::info(\"hi\"))")),
            ["info: [1] hi", "info: [b] hi"]
        );
    }

    #[test]
    fn lines_of_branches_stay_whole() {
        let (session, console) = testing::session(false);
        let script = "let l = []; for i in 1..9 { l.push(i); } parallel_map(l, |i| for j in 0..50 { print(`${i} ${i}`) }, #{jobs: 8})";
        crate::script::engine(&session).run(script).unwrap();
        let data = console.data();
        assert_eq!(data.lines().count(), 400);
        for line in data.lines() {
            let i = &line[1..2];
            assert_eq!(line, format!("[{i}] {i} {i}"));
        }
    }

    #[test]
    fn retry_stops_at_success_at_the_last_attempt_and_at_other_kinds() {
        let mut engine = testing::engine();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        engine.register_fn("attempt_number", move || {
            count.fetch_add(1, Ordering::SeqCst) as INT + 1
        });
        let script = "retry(5, || { let n = attempt_number(); if n < 3 { throw \"early\" } n }, #{ delay: 1.millis })";
        assert_eq!(eval(&engine, script), "3");
        calls.store(0, Ordering::SeqCst);
        let script = "retry(4, || { attempt_number(); throw \"always\" }, #{ delay: 0.seconds })";
        assert!(engine.eval::<Dynamic>(script).is_err());
        assert_eq!(calls.swap(0, Ordering::SeqCst), 4);
        let script = "retry(4, || { attempt_number(); duration(\"x\") }, #{ delay: 0.seconds, on: [\"network\"] })";
        assert!(engine.eval::<Dynamic>(script).is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
