//! Ctrl-C and `SIGTERM`: the first one cancels what runs, so that it cleans up; a second one ends the program at once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::sys::process::EndSignals;

/// What the next signal cancels.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<Mutex<Option<Context>>>);

impl Interrupt {
    /// Makes `context` the one that is cancelled.
    pub(super) fn set(&self, context: Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }

    /// Cancels; `false` when that was done already or there is nothing to cancel.
    fn fire(&self) -> bool {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        context.map(|context| context.cancel()).is_some()
    }
}

/// Starts watching. Call it before any other thread is started: the signals must be blocked in all of them.
pub(super) fn watch() -> Result<Interrupt> {
    let signals = EndSignals::block().during(|| "block signals")?;
    let interrupt = Interrupt::default();
    let target = interrupt.clone();
    let spawned = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while signals.wait().is_ok() {
            if !target.fire() {
                end_at_once();
            }
        }
    });
    spawned.map_err(|cause| Error::internal(format!("failed to start a thread: {cause}")))?;
    Ok(interrupt)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person asked twice: what is left running must not hold up the end"
)]
fn end_at_once() -> ! {
    std::process::exit(Kind::Cancelled.exit_code().into())
}
