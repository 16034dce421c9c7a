//! What a scheduler sleeps on: the clock people see, signals, and a file that is written when there is news.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::time::clock_gettime;

use crate::error::{Context, Result};
use crate::sys::memory;

/// A sleep before which memory is given back.
const LONG: SignedDuration = SignedDuration::from_secs(10);

/// What happened while it slept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Woken {
    /// There is news in the file, or somebody sent `SIGHUP`.
    pub news: bool,
    /// A child has ended.
    pub child: bool,
    /// Something was written in the directory that is followed.
    pub events: bool,
    /// It is asked to end: so often.
    pub ends: u32,
}

/// A sleeper. The signals it hears are blocked in the thread that makes it and in those that come after.
#[derive(Debug)]
pub struct Waker {
    signals: SignalFd,
    timer: TimerFd,
    news: Inotify,
    events: Option<Inotify>,
}

impl Waker {
    /// One that is woken by writes to `file`, which is there.
    pub fn new(file: &Path) -> Result<Waker> {
        let mut heard = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            heard.add(signal);
        }
        let make = || {
            heard.thread_block()?;
            let news = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            news.add_watch(file, AddWatchFlags::IN_CLOSE_WRITE)?;
            Ok::<Waker, Errno>(Waker {
                signals: SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
                timer: TimerFd::new(
                    ClockId::CLOCK_REALTIME,
                    TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
                )?,
                news,
                events: None,
            })
        };
        make().during(|| "prepare to wait for jobs")
    }

    /// Is woken by what is written in this directory from now on, too, or no more.
    pub fn follow(&mut self, dir: Option<&Path>) -> Result<()> {
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        let watch = |dir: &Path| {
            let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            events.add_watch(dir, flags).map(|_| events)
        };
        self.events = dir.map(watch).transpose().during(|| "watch what happens")?;
        Ok(())
    }

    /// Sleeps up to a time, which comes also while the machine is suspended or when its clock is set; without one until it is woken.
    pub fn sleep(&self, until: Option<Timestamp>) -> Result<Woken> {
        if until.is_none_or(|until| until.duration_since(Timestamp::now()) > LONG) {
            memory::leave_code();
        }
        self.set(until).during(|| "set the timer of the jobs")?;
        let own = [self.signals.as_fd(), self.timer.as_fd(), self.news.as_fd()];
        let all = own.into_iter().chain(self.events.as_ref().map(|events| events.as_fd()));
        let mut fds: Vec<PollFd> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for jobs"),
        }
        // Whether its time has come or the clock was set: the clock tells.
        let _ = self.timer.wait();
        Ok(self.heard())
    }

    fn set(&self, until: Option<Timestamp>) -> nix::Result<()> {
        let Some(until) = until else {
            return self.timer.unset();
        };
        // Zero would mean never.
        let time = TimeSpec::new(until.as_second().max(1), until.subsec_nanosecond().max(0).into());
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        self.timer.set(Expiration::OneShot(time), flags)
    }

    fn heard(&self) -> Woken {
        let mut woken = Woken {
            news: self.news.read_events().is_ok_and(|events| !events.is_empty()),
            events: self
                .events
                .as_ref()
                .is_some_and(|events| events.read_events().is_ok_and(|events| !events.is_empty())),
            ..Woken::default()
        };
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGHUP) => woken.news = true,
                Ok(Signal::SIGCHLD) => woken.child = true,
                _ => woken.ends += 1,
            }
        }
        woken
    }
}

/// How long the machine has been awake (`CLOCK_MONOTONIC`).
pub fn monotonic() -> Duration {
    let time = clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(Duration::ZERO, Duration::from)
}
