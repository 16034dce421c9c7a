//! What is written gets to disk while more is made: then little is left to wait for at the end.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::Result;

/// How long work goes on before what it wrote is written to disk beside it.
const EVERY: Duration = Duration::from_millis(50);

/// Does work, and has `sync` write to disk beside it. Errors: those of the work, then the first of `sync`: the kernel tells of what it
/// could not write once, so a later sync says that all is well (fsync(2)).
pub(crate) fn beside<T>(sync: impl Fn() -> Result<()> + Send, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(move || {
            // The channel says nothing; it is gone with the work.
            while wait.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                sync()?;
            }
            Ok(())
        });
        let worked = work();
        drop(done);
        let synced = syncing.join().expect("a sync does not panic");
        worked.and_then(|value| synced.map(|()| value))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn what_could_not_be_written_is_told_though_the_kernel_says_it_once() {
        let (told, tell) = channel();
        let asked = AtomicU32::new(0);
        let sync = || {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let _ = told.send(());
            match first {
                true => Err(Error::no_space("full")),
                false => Ok(()),
            }
        };
        let work = || {
            tell.recv().expect("it is asked to sync");
            Ok("made")
        };
        assert_eq!(beside(sync, work).unwrap_err().kind(), Kind::NoSpace);
        let failed: Result<()> = beside(|| Ok(()), || Err(Error::corrupt("torn")));
        assert_eq!(failed.unwrap_err().kind(), Kind::Corrupt);
    }
}
