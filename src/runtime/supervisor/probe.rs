//! Runs a container's health check: one probe after the other, as children of its supervisor, within the supervisor's own loop.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal::SIGKILL, killpg};
use nix::unistd::Pid;

use crate::error::{Context, Result};
use crate::model::format_duration;
use crate::runtime::bundle::Bundle;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::Channel;
use crate::runtime::exec::{self, Made};
use crate::runtime::exit;
use crate::runtime::health::{Health, HealthCheck, LARGEST_OUTPUT, NO_ANSWER, ProbeResult, health};
use crate::runtime::process::has_ended;
use crate::runtime::pump::Errand;
use crate::runtime::settings::Settings;
use crate::runtime::{ExecRequest, Signal, supervise};
use crate::sys::pidfd;

/// How often a pipe is read at a time: what one holds.
const ROUNDS: usize = 16;

/// Checks the health of a running container.
pub(in crate::runtime) struct Prober<'a> {
    bundle: &'a Bundle,
    check: &'a HealthCheck,
    health: Health,
    /// When the next probe begins.
    next: Instant,
    probe: Option<Probe>,
}

/// A probe that runs.
struct Probe {
    /// Its number, and that of its group.
    pid: i32,
    child: OwnedFd,
    pipes: Vec<File>,
    output: Vec<u8>,
    began: Timestamp,
    /// When its time is over; nothing once it was.
    deadline: Option<Instant>,
}

impl<'a> Prober<'a> {
    /// Goes on with what is known of this run.
    pub(in crate::runtime) fn new(bundle: &'a Bundle, check: &'a HealthCheck, started: Timestamp) -> Prober<'a> {
        let health = health(bundle, started).unwrap_or_else(|_| Health::new(started));
        Prober {
            next: Instant::now() + health.interval(check),
            bundle,
            check,
            health,
            probe: None,
        }
    }

    fn begin(&mut self) {
        if self.is_frozen() {
            self.next = Instant::now() + self.check.interval;
            return;
        }
        let began = Timestamp::now();
        match Probe::start(self.bundle, self.check, began) {
            Ok(probe) => self.probe = Some(probe),
            Err(error) => self.take(began, NO_ANSWER, error.to_string()),
        }
    }

    fn see_to(&mut self, mut probe: Probe) {
        probe.read();
        if has_ended(&probe.child) {
            return self.conclude(probe);
        }
        if probe.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            match self.is_frozen() {
                // It had no chance.
                true => probe.deadline = Some(Instant::now() + self.check.timeout),
                false => probe.end(),
            }
        }
        self.probe = Some(probe);
    }

    fn conclude(&mut self, mut probe: Probe) {
        let is_late = probe.deadline.is_none();
        let code = exit::reap(&probe.child).map_or(NO_ANSWER, |(code, _)| code);
        probe.read();
        let output = probe.text();
        match is_late {
            false => self.take(probe.began, code, output),
            true => {
                let limit = format_duration(self.check.timeout);
                let output = format!("Health check exceeded timeout ({limit}): {output}");
                self.take(probe.began, NO_ANSWER, output.trim_end_matches(": ").to_owned());
            }
        }
    }

    fn take(&mut self, start: Timestamp, exit_code: i32, output: String) {
        let end = Timestamp::now();
        let result = ProbeResult {
            start,
            end,
            exit_code,
            output,
        };
        if self.health.take(self.check, result) {
            let action = format!("health_status: {}", self.health.status.name());
            let settings = Settings::read(self.bundle);
            let attributes = settings.map(|settings| settings.attributes).unwrap_or_default();
            self.bundle.tell(&action, &attributes, &[]);
        }
        // On a full disk the next result is tried again.
        let _ = self.health.write(self.bundle);
        self.next = Instant::now() + self.health.interval(self.check);
    }

    fn is_frozen(&self) -> bool {
        let cgroup = Cgroup::open(self.bundle.id.as_str());
        cgroup.and_then(|cgroup| cgroup.is_frozen()).unwrap_or(false)
    }

    /// Ends what runs when the container has ended.
    pub(in crate::runtime) fn end(self) {
        if let Some(mut probe) = self.probe {
            probe.end();
            let _ = exit::reap(&probe.child);
        }
    }
}

impl Errand for Prober<'_> {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let probe = self.probe.iter();
        probe
            .flat_map(|probe| {
                let pipes = probe.pipes.iter().map(AsFd::as_fd);
                std::iter::once(probe.child.as_fd()).chain(pipes)
            })
            .collect()
    }

    fn due(&self) -> Option<Instant> {
        match &self.probe {
            Some(probe) => probe.deadline,
            None => Some(self.next),
        }
    }

    fn turn(&mut self) {
        match self.probe.take() {
            Some(probe) => self.see_to(probe),
            None if Instant::now() >= self.next => self.begin(),
            None => {}
        }
    }
}

impl Probe {
    fn start(bundle: &Bundle, check: &HealthCheck, began: Timestamp) -> Result<Probe> {
        let request = ExecRequest {
            args: check.args.clone(),
            ..ExecRequest::default()
        };
        let Made {
            pid,
            child,
            ends,
            setup,
        } = exec::make(bundle, request)?;
        let (_, outputs) = ends.connect()?;
        let mut probe = Probe {
            pid,
            child,
            pipes: outputs.into_iter().map(|(_, pipe)| pipe).collect(),
            output: Vec::new(),
            began,
            deadline: Instant::now().checked_add(check.timeout),
        };
        match probe.let_go(&setup) {
            Ok(()) => Ok(probe),
            Err(error) => {
                probe.end();
                let _ = exit::reap(&probe.child);
                Err(error)
            }
        }
    }

    /// Returns once it has become the program.
    fn let_go(&self, setup: &Channel) -> Result<()> {
        for pipe in &self.pipes {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).during(|| "watch a pipe")?;
        }
        match setup.let_go().and_then(|()| supervise::await_program(setup, None))? {
            None => Ok(()),
            Some(failure) => Err(failure.into_error()),
        }
    }

    /// Takes what there is to read; of what is too much, nothing is kept.
    fn read(&mut self) {
        let mut bytes = [0; LARGEST_OUTPUT];
        self.pipes.retain_mut(|pipe| {
            // One that writes without end gets no more of this process than its share.
            for _ in 0..ROUNDS {
                match pipe.read(&mut bytes) {
                    Ok(0) => return false,
                    Ok(length) => {
                        let room = (LARGEST_OUTPUT + 1 - self.output.len()).min(length);
                        self.output.extend_from_slice(&bytes[..room]);
                    }
                    Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                    Err(cause) => return cause.kind() == ErrorKind::WouldBlock,
                }
            }
            true
        });
    }

    /// What it wrote, told by an ellipsis if there was more.
    fn text(&self) -> String {
        match self.output.get(..LARGEST_OUTPUT) {
            Some(kept) if self.output.len() > LARGEST_OUTPUT => String::from_utf8_lossy(kept).into_owned() + "...",
            _ => String::from_utf8_lossy(&self.output).into_owned(),
        }
    }

    /// Kills it with all it started, which is its session's only group. Not waited for yet, its number is still its own.
    fn end(&mut self) {
        self.deadline = None;
        let _ = killpg(Pid::from_raw(self.pid), SIGKILL);
        let _ = pidfd::send_signal(&self.child, Signal::KILL.number());
    }
}
