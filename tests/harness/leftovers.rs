//! What a run may leave on the machine: mounts, processes, control groups. Nothing of it may stay.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Clean-up may go on for a moment after a program has ended.
const GRACE: Duration = Duration::from_secs(5);

/// Keeps the IDs of all containers a store ever had, since their control groups tell nothing of the store.
pub(super) struct Leftovers {
    dir: PathBuf,
    inotify: Inotify,
    seen: Mutex<BTreeSet<String>>,
}

impl Leftovers {
    /// Watches the store of which `dir` holds everything and `containers` the containers.
    pub(super) fn watch(dir: &Path, containers: &Path) -> Leftovers {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        inotify
            .add_watch(containers, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)
            .unwrap();
        Leftovers {
            dir: dir.to_owned(),
            inotify,
            seen: Mutex::default(),
        }
    }

    /// The IDs of all containers so far.
    fn ids(&self) -> BTreeSet<String> {
        let mut seen = self.seen.lock().unwrap();
        while let Ok(events) = self.inotify.read_events() {
            seen.extend(events.into_iter().filter_map(|event| event.name?.into_string().ok()));
        }
        seen.clone()
    }

    /// Everything that is still there after a moment of grace, in words.
    pub(super) fn find(&self) -> Vec<String> {
        let ids = self.ids();
        let patience = Instant::now() + GRACE;
        loop {
            let found = [self.mounts(), self.processes(&ids), cgroups(&ids)].concat();
            if found.is_empty() || Instant::now() > patience {
                return found;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the kernel has no event for the absence of things"
            )]
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table
            .lines()
            .filter(|line| self.names(line))
            .map(|line| format!("a mount: {line}"))
            .collect()
    }

    /// Processes that were started for the store, are in a control group of its containers, or see a mount of it.
    fn processes(&self, ids: &BTreeSet<String>) -> Vec<String> {
        let own = std::process::id().to_string();
        let all = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let others = all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && *name != own);
        others.filter_map(|pid| self.process(&pid, ids)).collect()
    }

    fn process(&self, pid: &str, ids: &BTreeSet<String>) -> Option<String> {
        // A process may go while it is looked at.
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let text = |file: &str| String::from_utf8_lossy(&read(file)).replace('\0', " ");
        let (words, groups) = (text("cmdline"), text("cgroup"));
        let is_ours = self.names(&words) || self.names(&text("mountinfo"));
        (is_ours || ids.iter().any(|id| groups.contains(id))).then(|| format!("process {pid}: {words}"))
    }

    fn names(&self, text: &str) -> bool {
        text.contains(self.dir.to_str().unwrap())
    }
}

/// The control groups of these containers, in every hierarchy, below its root or our own group.
fn cgroups(ids: &BTreeSet<String>) -> Vec<String> {
    let parents = cgroup_parents();
    let groups = ids
        .iter()
        .flat_map(|id| parents.iter().map(move |parent| parent.join(id)));
    groups
        .filter(|group| group.exists())
        .map(|group| format!("a control group: {}", group.display()))
        .collect()
}

fn cgroup_parents() -> BTreeSet<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own: BTreeSet<&str> = own
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .chain(["/"])
        .collect();
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let mounts = table
        .lines()
        .filter(is_cgroup)
        .filter_map(|line| line.split(' ').nth(4));
    mounts
        .flat_map(|mount| {
            own.iter()
                .map(move |own| Path::new(&format!("{mount}{own}")).join("hoist"))
        })
        .collect()
}
