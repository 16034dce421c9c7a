//! Closures given to natives.
//!
//! Called on the script's own thread ([`call`]) a closure shares the variables it captured, as in the language itself. For another thread
//! it must be [`detached`] first: under threads a captured variable sits behind a lock which the interpreter gives up on after 50 ms, so
//! the closure gets a snapshot of the values, and what it assigns to them is not seen outside.

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, FuncArgs, Map, NativeCallContext};

use super::failure::Scripted;

/// The value with nothing shared left in it, however deep.
pub fn snapshot(value: Dynamic) -> Dynamic {
    let value = if value.is_shared() {
        value.flatten_clone()
    } else {
        value
    };
    if value.is_array() {
        let items = value.cast::<Array>();
        return items.into_iter().map(snapshot).collect::<Array>().into();
    }
    if value.is_map() {
        let fields = value.cast::<Map>();
        return fields
            .into_iter()
            .map(|(name, value)| (name, snapshot(value)))
            .collect::<Map>()
            .into();
    }
    match value.is::<FnPtr>() {
        true => Dynamic::from(detached(&value.cast::<FnPtr>())),
        false => value,
    }
}

/// The closure with a snapshot of what it captured.
pub fn detached(closure: &FnPtr) -> FnPtr {
    let mut closure = closure.clone();
    for captured in closure.iter_curry_mut() {
        *captured = snapshot(std::mem::take(captured));
    }
    closure
}

/// Calls a closure on this thread.
pub fn call(ctx: &NativeCallContext, closure: &FnPtr, args: impl FuncArgs) -> Scripted<Dynamic> {
    closure.call_within_context(ctx, args)
}

/// Calls a closure that answers yes or no.
pub fn test(ctx: &NativeCallContext, closure: &FnPtr, args: impl FuncArgs) -> Scripted<bool> {
    let answer = call(ctx, closure, args)?;
    answer.as_bool().map_err(|_| {
        let expected = "bool".to_owned();
        let found = answer.type_name().to_owned();
        Box::new(EvalAltResult::ErrorMismatchOutputType(
            expected,
            found,
            ctx.call_position(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use rhai::{AST, Engine, INT, Module, Scope};

    use super::*;
    use crate::bindings::Session;
    use crate::script::testing;

    /// An engine with `probe()`, which answers whether the call can reach the session, and `threads(f)`, which calls a closure on others.
    fn engine() -> (Engine, std::sync::Arc<Mutex<HashSet<std::thread::ThreadId>>>) {
        let mut engine = testing::engine();
        let seen = std::sync::Arc::new(Mutex::new(HashSet::new()));
        let threads = seen.clone();
        engine.register_fn("probe", move |ctx: NativeCallContext| {
            threads.lock().unwrap().insert(std::thread::current().id());
            Session::of(&ctx).settings().args.len() as INT
        });
        engine.register_fn("threads", |ctx: NativeCallContext, closure: FnPtr| -> Scripted<Array> {
            std::thread::scope(|scope| {
                let spawned: Vec<_> = (0..3 as INT)
                    .map(|n| {
                        scope.spawn({
                            let ctx = &ctx;
                            let closure = detached(&closure);
                            move || call(ctx, &closure, (n,))
                        })
                    })
                    .collect();
                spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
            })
        });
        (engine, seen)
    }

    #[test]
    fn the_session_is_reached_from_closures_modules_and_other_threads() {
        let (mut engine, seen) = engine();
        let library = engine
            .compile("fn by_module() { probe() } fn by_closure(f) { f.call() }")
            .unwrap();
        let module = Module::eval_ast_as_new(Scope::new(), &library, &engine).unwrap();
        engine.register_static_module("library", module.into());
        let script = r#"
            let outer = 2;
            fn direct() { probe() }
            let answers = [direct(), [1].map(|x| probe())[0], library::by_module(), library::by_closure(|| probe())];
            for x in threads(|n| probe() + outer - 2 + n - n) { answers.push(x); }
            answers
        "#;
        let answers: Array = engine.eval(script).unwrap();
        assert_eq!(answers.len(), 7);
        assert!(
            answers.iter().all(|answer| answer.as_int().unwrap() == 2),
            "{answers:?}"
        );
        assert!(seen.lock().unwrap().len() > 1);
        let ast: AST = engine.compile("fn named() { probe() }").unwrap();
        assert_eq!(engine.call_fn::<INT>(&mut Scope::new(), &ast, "named", ()).unwrap(), 2);
    }

    #[test]
    fn on_one_thread_captured_variables_are_shared() {
        let (engine, _) = engine();
        let script = r#"
            let count = 0;
            retry(3, || { count += 1; if count < 3 { throw "early" } }, #{ delay: 0 });
            timeout(1.hours, || count += 10);
            [1, 2].sum_by(|n| { count += 100; n });
            count
        "#;
        assert_eq!(engine.eval::<INT>(script).unwrap(), 213);
    }

    #[test]
    fn captured_values_are_snapshots_so_that_threads_do_not_race() {
        let (engine, _) = engine();
        let script = r#"
            let list = [1, 2, 3];
            let nested = #{ inner: [list, |x| x + list.len()] };
            let sum = 0;
            let results = threads(|n| { sum += n; list.len() + nested.inner[0].len() + nested.inner[1].call(n) });
            [sum, results]
        "#;
        let answer: Array = engine.eval(script).unwrap();
        assert_eq!(answer[0].as_int().unwrap(), 0);
        let results: Vec<INT> = answer[1].clone().into_typed_array().unwrap();
        assert_eq!(results, [9, 10, 11]);
    }
}
