//! The context of an operation: whether it was cancelled, and until when it may run.
//!
//! Every call that can wait takes one. Contexts form a tree: cancelling one cancels all below it, so Ctrl-C, a `timeout()` in a
//! script and the failure of a parallel sibling all arrive the same way.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Watcher;
use crate::error::{Error, Kind, Result};

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const TIMED_OUT: u8 = 2;

#[derive(Default)]
struct Node {
    state: AtomicU8,
    deadline: Option<Instant>,
    parent: Option<Context>,
    children: Mutex<Vec<Weak<Node>>>,
    watcher: Option<Arc<dyn Watcher>>,
    wake: OnceLock<Wake>,
}

/// A pipe whose writing end is closed on cancel, so that a `poll` on the reading end returns.
struct Wake {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

/// Cancel token and deadline of one operation; clones are the same context.
#[derive(Clone, Default)]
pub struct Context(Arc<Node>);

impl Context {
    /// A context that is never cancelled by anything but [`Context::cancel`].
    pub fn new() -> Context {
        Context::default()
    }

    /// A context below this one.
    #[must_use]
    pub fn child(&self) -> Context {
        self.below(self.0.deadline, self.0.watcher.clone())
    }

    /// A context below this one whose work `watcher` is told of.
    #[must_use]
    pub fn watched(&self, watcher: Arc<dyn Watcher>) -> Context {
        self.below(self.0.deadline, Some(watcher))
    }

    /// Who is told how far the work is.
    pub fn watcher(&self) -> &dyn Watcher {
        self.0.watcher.as_deref().unwrap_or(&())
    }

    /// A context below this one that ends after `limit`, or with this one's deadline if that is sooner.
    #[must_use]
    pub fn with_timeout(&self, limit: Duration) -> Context {
        let own = Instant::now().checked_add(limit);
        let deadline = match (own, self.0.deadline) {
            (Some(own), Some(outer)) => Some(own.min(outer)),
            (own, outer) => own.or(outer),
        };
        self.below(deadline, self.0.watcher.clone())
    }

    fn below(&self, deadline: Option<Instant>, watcher: Option<Arc<dyn Watcher>>) -> Context {
        let node = Arc::new(Node {
            deadline,
            watcher,
            parent: Some(self.clone()),
            ..Node::default()
        });
        let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&node));
        // Cancelled before the child was listed: the lock orders this read after that cancel's walk.
        let state = self.0.state.load(Ordering::SeqCst);
        drop(children);
        let context = Context(node);
        if state != RUNNING {
            context.end(state);
        }
        context
    }

    /// Ends this context and all below it.
    pub fn cancel(&self) {
        self.end(CANCELLED);
    }

    fn end(&self, state: u8) {
        let _ = self
            .0
            .state
            .compare_exchange(RUNNING, state, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(wake) = self.0.wake.get() {
            wake.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        let children: Vec<_> = {
            let children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.iter().filter_map(Weak::upgrade).collect()
        };
        for child in children {
            Context(child).end(state);
        }
    }

    /// Whether the operation must stop now.
    pub fn is_done(&self) -> bool {
        self.check().is_err()
    }

    /// An error of kind `cancelled` or `timeout` once the operation must stop. Call it in every loop.
    pub fn check(&self) -> Result<()> {
        match self.0.state.load(Ordering::SeqCst) {
            CANCELLED => return Err(Error::cancelled("the operation was cancelled")),
            TIMED_OUT => return Err(timed_out()),
            _ => {}
        }
        match self.0.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                self.end(TIMED_OUT);
                Err(timed_out())
            }
            _ => Ok(()),
        }
    }

    /// Whether this very context (and not one above it) set the deadline that `error` reports.
    pub fn owns_timeout(&self, error: &Error) -> bool {
        let outer = self.0.parent.as_ref().is_some_and(Context::is_done);
        error.kind() == Kind::Timeout && self.is_done() && !outer
    }

    /// How long the operation may still run; `None` is for ever.
    pub fn remaining(&self) -> Option<Duration> {
        self.0
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// How long a `poll` on [`Context::wake_fd`] may wait at most, in milliseconds rounded up; -1 is for ever.
    pub fn poll_timeout(&self) -> i32 {
        self.remaining().map_or(-1, |left| {
            i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        })
    }

    /// A descriptor that hangs up (`POLLHUP`) when the context is cancelled; a deadline does not wake it.
    pub fn wake_fd(&self) -> Result<BorrowedFd<'_>> {
        if self.0.wake.get().is_none() {
            let (reader, writer) =
                std::io::pipe().map_err(|cause| Error::internal(format!("failed to make a pipe: {cause}")))?;
            let _ = self.0.wake.set(Wake {
                reader,
                writer: Mutex::new(Some(writer)),
            });
        }
        let wake = self.0.wake.get().expect("set just above");
        if self.0.state.load(Ordering::SeqCst) != RUNNING {
            wake.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        Ok(wake.reader.as_fd())
    }

    /// Sleeps, or returns early with an error when the operation must stop.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let inner = self.with_timeout(duration);
        loop {
            self.check()?;
            if inner.remaining().is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            let mut fds = [nix::poll::PollFd::new(self.wake_fd()?, nix::poll::PollFlags::POLLIN)];
            let wait = nix::poll::PollTimeout::try_from(inner.poll_timeout()).unwrap_or(nix::poll::PollTimeout::MAX);
            match nix::poll::poll(&mut fds, wait) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(cause) => return Err(Error::internal(format!("failed to wait: {cause}"))),
            }
        }
    }
}

fn timed_out() -> Error {
    Error::timeout("the time allowed is over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_reaches_every_context_below_and_none_above() {
        let root = Context::new();
        let middle = root.child();
        let leaf = middle.with_timeout(Duration::from_secs(3600));
        middle.cancel();
        assert_eq!(leaf.check().unwrap_err().kind(), Kind::Cancelled);
        assert!(root.check().is_ok());
        assert_eq!(middle.child().check().unwrap_err().kind(), Kind::Cancelled);
    }

    #[test]
    fn a_sleeping_operation_wakes_when_cancelled() {
        let root = Context::new();
        let sleeper = root.child();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || sleeper.sleep(Duration::from_secs(3600)));
            root.cancel();
            assert_eq!(thread.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
        });
    }

    #[test]
    fn the_inner_deadline_is_told_from_the_outer_one() {
        let root = Context::new();
        let inner = root.with_timeout(Duration::ZERO);
        let error = inner.check().unwrap_err();
        assert!(inner.owns_timeout(&error));
        let outer = root.with_timeout(Duration::ZERO);
        let nested = outer.with_timeout(Duration::from_secs(3600));
        let error = nested.check().unwrap_err();
        assert!(!nested.owns_timeout(&error));
        let early = Context::new().with_timeout(Duration::from_secs(600));
        assert!(!early.owns_timeout(&error), "it is another's, before this one is over");
    }
}
