//! The operation context that holds on this thread: `timeout()`, `parallel_map` and clean-up put their own on top.
//!
//! It is bound to the thread because the interpreter's progress callback is told nothing but a count, and must still know which
//! deadline applies to the closure it is interrupting.

use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;

use crate::model::Context;

/// The stack of a thread that runs scripts: enough for the deepest one the interpreter's limits allow, in any build. Only what is
/// touched takes memory.
pub const STACK: usize = 64 << 20;

thread_local! {
    static CONTEXTS: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
    static BRANCH: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What words from this thread are marked with: the branch of `parallel_map` it is in, and those around that, as `outer/inner`.
pub fn branch() -> Option<String> {
    BRANCH.with_borrow(Clone::clone)
}

/// Has words from this thread marked so, or not at all.
pub fn set_branch(name: Option<String>) {
    BRANCH.set(name);
}

/// A text whose every line begins with the mark of this thread's branch, if that has one.
pub fn marked(text: &str) -> Cow<'_, str> {
    let Some(name) = branch() else {
        return Cow::Borrowed(text);
    };
    Cow::Owned(
        text.split_inclusive('\n')
            .map(|line| format!("[{name}] {line}"))
            .collect(),
    )
}

/// Keeps a context on top for as long as it lives; it belongs to the thread that made it.
pub struct Scope(PhantomData<*const ()>);

/// Puts `context` on top for this thread.
#[must_use]
pub fn enter(context: Context) -> Scope {
    CONTEXTS.with_borrow_mut(|contexts| contexts.push(context));
    Scope(PhantomData)
}

/// The innermost context of this thread, if any was entered.
pub fn current() -> Option<Context> {
    CONTEXTS.with_borrow(|contexts| contexts.last().cloned())
}

impl Drop for Scope {
    fn drop(&mut self) {
        CONTEXTS.with_borrow_mut(Vec::pop);
    }
}
