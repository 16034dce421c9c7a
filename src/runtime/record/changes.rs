//! Waiting for a container to change: what is known of it is in files that are replaced when it does.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::{Context, Result};
use crate::model;
use crate::runtime::bundle::{self, Bundle};

/// How often to look where the kernel gives no more watches (`fs.inotify.max_user_instances`).
const INTERVAL: Duration = Duration::from_millis(50);

/// A watch over the files of a container; what changes after it was made is not missed.
pub(in crate::runtime) struct Changes(Option<Inotify>);

/// Wakes those who wait for a change that shows in no file.
pub(in crate::runtime) fn tell(bundle: &Bundle) -> Result<()> {
    bundle::write(&bundle.changed(), b"", false)
}

impl Changes {
    pub(in crate::runtime) fn of(bundle: &Bundle) -> Changes {
        let watched = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).and_then(|inotify| {
            let flags = AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            inotify.add_watch(&bundle.dir, flags)?;
            match inotify.add_watch(&bundle.run_dir, flags) {
                // Since the machine was restarted, nobody has started it.
                Ok(_) | Err(nix::errno::Errno::ENOENT) => Ok(inotify),
                Err(errno) => Err(errno),
            }
        });
        Changes(watched.ok())
    }

    /// Waits for a change, the end of a process, or the context, whose error it returns. It may return too early.
    pub(in crate::runtime) fn wait(&self, ctx: &model::Context, process: Option<&OwnedFd>) -> Result<()> {
        ctx.check()?;
        let mut fds = vec![PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN)];
        let all = [self.0.as_ref().map(AsFd::as_fd), process.map(AsFd::as_fd)];
        fds.extend(all.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let inner = match self.0 {
            Some(_) => ctx.child(),
            None => ctx.with_timeout(INTERVAL),
        };
        let limit = PollTimeout::try_from(inner.poll_timeout()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, limit) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for a container"),
        }
        if let Some(inotify) = &self.0 {
            let _ = inotify.read_events();
        }
        Ok(())
    }
}
