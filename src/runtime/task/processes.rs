//! The processes of a container as the host's `/proc` tells of them (proc_pid_stat(5), proc_pid_status(5)).

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::error::{Context, Error, Result};
use crate::runtime::Bundle;
use crate::runtime::cgroup::Cgroup;

/// One process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its number on the host.
    pub pid: i32,
    /// Its number inside the container.
    pub inside: i32,
    /// The host's number of the process it came from.
    pub parent: i32,
    /// Its user, as a number of the host.
    pub uid: u32,
    /// What it does: `R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped, `Z` has ended.
    pub state: char,
    /// When it started.
    pub started: Timestamp,
    /// Processor time it used.
    pub cpu: Duration,
    /// Bytes of memory it has at hand.
    pub memory: u64,
    /// Its threads.
    pub threads: u64,
    /// Its command line; the name in brackets where it has none.
    pub command: Vec<String>,
}

/// The processes in a container, by number; those that end meanwhile are left out. None if it does not run.
pub fn processes(bundle: &Bundle) -> Result<Vec<ProcessFacts>> {
    of(&Cgroup::open(bundle.id.as_str())?)
}

/// The processes in control groups.
pub(in crate::runtime) fn of(cgroup: &Cgroup) -> Result<Vec<ProcessFacts>> {
    let pids = cgroup.pids()?;
    let clock = Clock::read()?;
    Ok(pids.into_iter().filter_map(|pid| facts(pid, &clock)).collect())
}

/// What the kernel's numbers mean.
struct Clock {
    boot: Timestamp,
    ticks: u64,
}

impl Clock {
    fn read() -> Result<Clock> {
        let ticks = sysconf(SysconfVar::CLK_TCK).during(|| "ask for the length of a clock tick")?;
        let ticks = ticks
            .and_then(|ticks| u64::try_from(ticks).ok())
            .filter(|ticks| *ticks > 0);
        let ticks = ticks.ok_or_else(|| Error::internal("the kernel does not say how long a clock tick is"))?;
        // The kernel counts from the start of the machine, sleep included; `btime` of `/proc/stat` is cut to a second.
        let since = clock_gettime(ClockId::CLOCK_BOOTTIME).during(|| "read the clock")?;
        let boot = Timestamp::now().checked_sub(Duration::from(since));
        let boot = boot.map_err(|cause| Error::internal(format!("the clock is wrong: {cause}")))?;
        Ok(Clock { boot, ticks })
    }

    fn span(&self, ticks: u64) -> Duration {
        Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / self.ticks))
    }
}

fn facts(pid: i32, clock: &Clock) -> Option<ProcessFacts> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    parse(pid, &status, &stat, &read("cmdline")?, clock)
}

fn parse(pid: i32, status: &str, stat: &str, command: &[u8], clock: &Clock) -> Option<ProcessFacts> {
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let first = |name: &str| field(name)?.split_whitespace().next();
    // The name, in parentheses, may hold spaces and parentheses itself; after the last one come the fields from the third on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let started = clock.boot.checked_add(clock.span(number(22)?)).ok()?;
    Some(ProcessFacts {
        pid,
        inside: field("NSpid")?.split_whitespace().next_back()?.parse().ok()?,
        parent: first("PPid")?.parse().ok()?,
        uid: first("Uid")?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        started,
        cpu: clock.span(number(14)? + number(15)?),
        // One that has ended has no memory any more.
        memory: first("VmRSS").and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10,
        threads: number(20)?,
        command: words(command).unwrap_or_else(|| vec![format!("[{}]", field("Name").unwrap_or_default())]),
    })
}

/// The words of a command line; `None` where the process has none, as one that has ended.
fn words(bytes: &[u8]) -> Option<Vec<String>> {
    let whole = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    (!whole.is_empty()).then(|| whole.split(|byte| *byte == 0).map(word).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_misleads_nobody() {
        let status = "Name:\ta) S 1 (b\nPPid:\t7\nUid:\t1000\t0\t0\t0\nNSpid:\t42\t3\nVmRSS:\t  12 kB\n";
        let stat = "42 (a) S 1 (b) Z 7 42 42 0 -1 4194304 0 0 0 0 150 50 0 0 20 0 2 0 1000 0 0 18446744073709551615";
        let clock = Clock {
            boot: Timestamp::from_second(1_000).unwrap(),
            ticks: 100,
        };
        let facts = parse(42, status, stat, b"sh\0-c\0a  b\0", &clock).unwrap();
        let expected = ProcessFacts {
            pid: 42,
            inside: 3,
            parent: 7,
            uid: 1000,
            state: 'Z',
            started: Timestamp::from_second(1_010).unwrap(),
            cpu: Duration::from_secs(2),
            memory: 12 << 10,
            threads: 2,
            command: ["sh", "-c", "a  b"].map(str::to_owned).to_vec(),
        };
        assert_eq!(facts, expected);
        assert_eq!(parse(42, status, stat, b"", &clock).unwrap().command, ["[a) S 1 (b]"]);
        assert_eq!(parse(42, status, "", b"", &clock), None);
    }

    #[test]
    fn this_process_is_told_as_it_is() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = facts(pid, &Clock::read().unwrap()).unwrap();
        assert_eq!((own.pid, own.inside), (pid, pid));
        assert_eq!(own.uid, nix::unistd::getuid().as_raw());
        assert!(own.memory > 0 && own.threads > 1 && own.started <= Timestamp::now());
        assert_eq!(own.command, std::env::args().collect::<Vec<_>>());
    }
}
