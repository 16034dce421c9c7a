//! What the processes of a container use, as its groups count it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::controller::{read, row};
use super::group::Group;
use super::hierarchy::Version;
use super::{Cgroup, memory};

/// What a container uses at one moment; `None` where the machine's controllers do not tell, and for a limit that is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processor time since the start, of all its processes together.
    pub cpu: Option<Duration>,
    /// How long it had to wait because its time was used up.
    pub throttled: Option<Duration>,
    /// Bytes of memory, without the file cache that the kernel takes back first: as Docker counts.
    pub memory: Option<u64>,
    /// The most bytes of memory at one time, with that cache.
    pub memory_peak: Option<u64>,
    /// The most memory it may use.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The most of them.
    pub pids_limit: Option<u64>,
    /// Bytes read from disks.
    pub read: Option<u64>,
    /// Bytes written to disks.
    pub written: Option<u64>,
    /// Shares of the last ten seconds in which some process waited, in percent; only v2 tells.
    pub pressure: Option<Pressure>,
}

/// What processes waited for (kernel Documentation/accounting/psi.rst), as the kernel writes it: percent with two digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// A processor.
    pub cpu: String,
    /// Memory.
    pub memory: String,
    /// A disk.
    pub io: String,
}

/// From here on v1 means that there is no limit: it has no word for it.
const NO_LIMIT: u64 = 1 << 62;

impl Cgroup {
    /// What the processes in the groups use.
    pub fn stats(&self) -> Stats {
        let cpu = self.v1_with("cpuacct").or_else(|| self.of_version(Version::V2));
        let quota = self.v1_with("cpu").or_else(|| self.of_version(Version::V2));
        let memory = self.memory();
        let pids = self.groups.iter().find(|group| group.has("pids"));
        let (read, written) = self.disk_bytes().unzip();
        Stats {
            cpu: cpu.and_then(cpu_time),
            throttled: quota.and_then(throttled),
            memory: memory.and_then(memory_used),
            memory_peak: memory.and_then(|group| memory::peak(&group.path, group.version)),
            memory_limit: memory.and_then(memory_limit),
            pids: pids.and_then(|group| number(&group.path, "pids.current")),
            pids_limit: pids.and_then(|group| number(&group.path, "pids.max")),
            read,
            written,
            pressure: self.of_version(Version::V2).and_then(|group| pressure(&group.path)),
        }
    }

    fn disk_bytes(&self) -> Option<(u64, u64)> {
        if let Some(group) = self.v1_with("blkio") {
            let files = [
                "blkio.throttle.io_service_bytes_recursive",
                "blkio.throttle.io_service_bytes",
            ];
            let text = files.iter().find_map(|file| read(&group.path, file).ok())?;
            return Some((v1_bytes(&text, "Read"), v1_bytes(&text, "Write")));
        }
        let group = self.of_version(Version::V2).filter(|group| group.has("io"))?;
        let text = read(&group.path, "io.stat").ok()?;
        Some((v2_bytes(&text, "rbytes="), v2_bytes(&text, "wbytes=")))
    }
}

/// The one number of a file; `None` for `max`.
fn number(group: &Path, file: &str) -> Option<u64> {
    read(group, file).ok()?.trim().parse().ok()
}

fn cpu_time(group: &Group) -> Option<Duration> {
    match group.version {
        Version::V1 => number(&group.path, "cpuacct.usage").map(Duration::from_nanos),
        Version::V2 => row(&read(&group.path, "cpu.stat").ok()?, "usage_usec").map(Duration::from_micros),
    }
}

fn throttled(group: &Group) -> Option<Duration> {
    let text = read(&group.path, "cpu.stat").ok()?;
    match group.version {
        Version::V1 => row(&text, "throttled_time").map(Duration::from_nanos),
        Version::V2 => row(&text, "throttled_usec").map(Duration::from_micros),
    }
}

fn memory_used(group: &Group) -> Option<u64> {
    let (file, cache) = match group.version {
        Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
        Version::V2 => ("memory.current", "inactive_file"),
    };
    let used = number(&group.path, file)?;
    let cache = row(&read(&group.path, "memory.stat").ok()?, cache).unwrap_or(0);
    Some(used.saturating_sub(cache))
}

fn memory_limit(group: &Group) -> Option<u64> {
    let file = match group.version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    number(&group.path, file).filter(|limit| *limit < NO_LIMIT)
}

/// Adds up the lines `8:0 Read 4096`.
fn v1_bytes(text: &str, word: &str) -> u64 {
    let of_line = |line: &str| -> Option<u64> {
        let mut words = line.split(' ').skip(1);
        (words.next()? == word).then(|| words.next()?.parse().ok())?
    };
    text.lines().filter_map(of_line).sum()
}

/// Adds up the words `rbytes=4096` of lines `8:0 rbytes=4096 wbytes=0 …`.
fn v2_bytes(text: &str, key: &str) -> u64 {
    let words = text.split_whitespace();
    words
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .sum()
}

fn pressure(group: &Path) -> Option<Pressure> {
    let some = |file: &str| {
        let text = read(group, file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
        line.split(' ').next().map(str::to_owned)
    };
    Some(Pressure {
        cpu: some("cpu.pressure")?,
        memory: some("memory.pressure")?,
        io: some("io.pressure")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(version: Version, controllers: &[&str], files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let group = Group {
            version,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount_point: dir.path().to_owned(),
            path: dir.path().to_owned(),
        };
        (dir, group)
    }

    /// Files as Linux 6.1 and 6.18 write them.
    #[test]
    fn both_versions_are_read_the_same() {
        let v1 = group(
            Version::V1,
            &["cpu", "cpuacct", "memory", "pids", "blkio"],
            &[
                ("cpuacct.usage", "1500000000\n"),
                ("cpu.stat", "nr_periods 4\nnr_throttled 1\nthrottled_time 250000000\n"),
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.stat", "cache 1\ninactive_file 7\ntotal_inactive_file 300\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.max_usage_in_bytes", "2000\n"),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                (
                    "blkio.throttle.io_service_bytes_recursive",
                    "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n7:1 Read 1\n7:1 Write 2\nTotal 33\n",
                ),
            ],
        );
        let pressure =
            "some avg10=1.25 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let v2 = group(
            Version::V2,
            &["cpu", "memory", "pids", "io"],
            &[
                ("cpu.stat", "usage_usec 1500000\nuser_usec 1\nthrottled_usec 250000\n"),
                ("memory.current", "1000\n"),
                ("memory.stat", "anon 1\ninactive_file 300\n"),
                ("memory.max", "max\n"),
                ("memory.peak", "2000\n"),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                (
                    "io.stat",
                    "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=9 dios=0\n7:1 rbytes=1 wbytes=2 rios=0 wios=0\n",
                ),
                ("cpu.pressure", pressure),
                ("memory.pressure", pressure),
                ("io.pressure", pressure),
            ],
        );
        let stats = |(_, group): &(tempfile::TempDir, Group)| {
            let groups = vec![group.clone()];
            Cgroup { groups, unified: None }.stats()
        };
        let expected = Stats {
            cpu: Some(Duration::from_millis(1500)),
            throttled: Some(Duration::from_millis(250)),
            memory: Some(700),
            memory_peak: Some(2000),
            memory_limit: None,
            pids: Some(3),
            pids_limit: None,
            read: Some(11),
            written: Some(22),
            pressure: None,
        };
        assert_eq!(stats(&v1), expected);
        let waited = || "1.25".to_owned();
        let pressure = Some(Pressure {
            cpu: waited(),
            memory: waited(),
            io: waited(),
        });
        assert_eq!(stats(&v2), Stats { pressure, ..expected });
        let nothing = group(Version::V1, &["memory", "pids", "cpuacct"], &[]);
        assert_eq!(stats(&nothing), Stats::default());
    }
}
