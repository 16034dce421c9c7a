//! Whether a container that ended is started again, and the pause before it is: Docker's policies and Docker's back-off.

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::exit::Exit;
use crate::runtime::process::Process;
use crate::runtime::settings::Settings;
use crate::sys::pidfd;

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause; each is twice the one before.
const LONGEST: Duration = Duration::from_secs(60);
/// A container that ran for this long begins with the shortest pause again.
const LONG_RUN: SignedDuration = SignedDuration::from_secs(10);
/// What ends a pause.
const WAKE: nix::sys::signal::Signal = nix::sys::signal::SIGTERM;

/// When a container that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When its code is not zero; this many times at most, 0 for no bound.
    OnFailure(u32),
    /// Always, and after a restart of the machine even if it was stopped.
    Always,
    /// Always, unless it was stopped.
    UnlessStopped,
}

impl RestartPolicy {
    /// Whether a run that ended so is followed by another one, which would be the restart after `restarts` others.
    fn wants(self, exit: &Exit, restarts: u32) -> bool {
        match self {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(most) => exit.code != 0 && (most == 0 || restarts < most),
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        }
    }

    /// The policy's name and how often it restarts at most, as Docker has them apart.
    pub fn parts(self) -> (&'static str, u32) {
        match self {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::OnFailure(most) => ("on-failure", most),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<RestartPolicy> {
        let policy = match (text, text.strip_prefix("on-failure:")) {
            ("no" | "", _) => Some(RestartPolicy::No),
            ("on-failure", _) => Some(RestartPolicy::OnFailure(0)),
            ("always", _) => Some(RestartPolicy::Always),
            ("unless-stopped", _) => Some(RestartPolicy::UnlessStopped),
            (_, Some(most)) => most.parse().ok().map(RestartPolicy::OnFailure),
            _ => None,
        };
        policy.ok_or_else(|| {
            Error::invalid(format!("`{}` is not a restart policy", text.escape_debug()))
                .target(text)
                .hint("a restart policy is `no`, `on-failure`, `on-failure:N`, `always` or `unless-stopped`")
        })
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (name, 0) => f.write_str(name),
            (name, most) => write!(f, "{name}:{most}"),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = Error;
    fn try_from(text: String) -> Result<RestartPolicy> {
        text.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> String {
        policy.to_string()
    }
}

/// How long to pause before the next restart.
#[derive(Debug, Default)]
pub(in crate::runtime) struct BackOff(Duration);

impl BackOff {
    fn after(&mut self, exit: &Exit) -> Duration {
        let is_new = self.0.is_zero() || exit.finished.duration_since(exit.started) >= LONG_RUN;
        self.0 = if is_new { SHORTEST } else { (self.0 * 2).min(LONGEST) };
        self.0
    }
}

/// What there is to know between two runs, written down before the pause.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct Pause {
    /// How the last run ended.
    pub(in crate::runtime) exit: Exit,
}

impl Pause {
    pub(in crate::runtime) fn read(bundle: &Bundle) -> Result<Option<Pause>> {
        bundle::read_json(&bundle.pause())
    }
}

/// Pauses if a container that ended so is to be started again, and returns whether it is after the pause.
///
/// `tidy` clears up after the last run, once the pause is to be seen.
pub(in crate::runtime) fn pause(
    bundle: &Bundle,
    exit: &Exit,
    back_off: &mut BackOff,
    tidy: impl FnOnce(),
) -> Result<bool> {
    // The policy may have been changed since the start.
    let policy = Settings::read(bundle)?.restart;
    if !policy.wants(exit, exit.restarts) || is_stopped(bundle) {
        return Ok(false);
    }
    // Whoever finds the pause may send the signal, and whoever does has written before that it is to be stopped.
    let wake = Wake::new()?;
    bundle::write_json(&bundle.pause(), &Pause { exit: exit.clone() }, false)?;
    let end = Instant::now() + back_off.after(exit);
    tidy();
    while !is_stopped(bundle) {
        if Instant::now() >= end {
            return Ok(true);
        }
        wake.wait(end)?;
    }
    Ok(false)
}

/// Whether a person wants the container to stay as it is once it has ended.
pub(in crate::runtime) fn is_stopped(bundle: &Bundle) -> bool {
    bundle.stopped().exists() || bundle.removing().exists()
}

/// Notes that a container is stopped by a person, so that no policy starts it. One without a policy needs no note.
pub(in crate::runtime) fn forbid(bundle: &Bundle) -> Result<()> {
    match Settings::read(bundle)?.restart {
        RestartPolicy::No => Ok(()),
        _ => bundle::write(&bundle.stopped(), b"", true),
    }
}

/// Takes the note back: it is started by a person.
pub(in crate::runtime) fn allow(bundle: &Bundle, settings: &Settings) -> Result<()> {
    match settings.restart {
        RestartPolicy::No => Ok(()),
        _ => bundle::remove_file(&bundle.stopped()),
    }
}

/// Whether a container is to run when the machine does, as Docker's daemon decides when it starts: failures before are of the past.
pub fn runs_at_boot(bundle: &Bundle) -> Result<bool> {
    Ok(match Settings::read(bundle)?.restart {
        RestartPolicy::No | RestartPolicy::OnFailure(_) => false,
        RestartPolicy::Always => bundle.boot().exists(),
        RestartPolicy::UnlessStopped => bundle.boot().exists() && !is_stopped(bundle),
    })
}

/// Has a supervisor that pauses look whether it is to go on.
pub(in crate::runtime) fn wake(supervisor: Process) {
    if let Some(supervisor) = supervisor.open() {
        let _ = pidfd::send_signal(&supervisor, WAKE as i32);
    }
}

/// The signal that ends a pause, blocked so that it can be waited for.
struct Wake(SignalFd);

impl Wake {
    fn new() -> Result<Wake> {
        let mut signals = SigSet::empty();
        signals.add(WAKE);
        let fd = signals
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
        Ok(Wake(fd.during(|| "wait for a signal")?))
    }

    /// Returns at the signal, and at `end`.
    fn wait(&self, end: Instant) -> Result<()> {
        let left = end.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let limit = PollTimeout::try_from(i32::try_from(left).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait before a restart"),
        }
        let _ = self.0.read_signal();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn exit(code: i32, seconds: i64) -> Exit {
        let mut exit = Exit::failed(code, Timestamp::UNIX_EPOCH, "");
        exit.finished = Timestamp::from_second(seconds).unwrap();
        exit
    }

    #[test]
    fn policies_are_read_and_written_as_docker_has_them() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!(
            "on-failure:0".parse::<RestartPolicy>().unwrap(),
            RestartPolicy::OnFailure(0)
        );
        for text in ["yes", "Always", "on-failure:", "on-failure:-1", "always:3", "no:1"] {
            assert!(text.parse::<RestartPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_looks_at_the_code_and_counts() {
        let on_failure = RestartPolicy::OnFailure(2);
        assert!(on_failure.wants(&exit(1, 0), 1) && !on_failure.wants(&exit(1, 0), 2));
        assert!(!on_failure.wants(&exit(0, 0), 0) && RestartPolicy::OnFailure(0).wants(&exit(9, 0), 1000));
        assert!(RestartPolicy::Always.wants(&exit(0, 0), 1000) && !RestartPolicy::No.wants(&exit(1, 0), 0));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_a_long_run_begins_anew() {
        let mut back_off = BackOff::default();
        let pauses: Vec<_> = (0..12).map(|_| back_off.after(&exit(1, 9)).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[9..], [51_200, 60_000, 60_000]);
        assert_eq!(back_off.after(&exit(1, 10)), SHORTEST);
    }
}
