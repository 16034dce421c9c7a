//! What is written gets to disk while more is made: then little is left to wait for at the end.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long work goes on before what it wrote is written to disk beside it.
const EVERY: Duration = Duration::from_millis(50);

/// Does work, and has `sync` write to disk beside it. What `sync` cannot do counts nothing: it fails again at the end, where it does.
pub(crate) fn beside<T>(sync: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The channel says nothing; it is gone with the work.
            while wait.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                sync();
            }
        });
        let value = work();
        drop(done);
        value
    })
}
