//! A directory to unpack in, beside files that must stay as they are.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::images::content::open_dir;
use crate::sys::file;

/// How often descriptors are looked at; one that leaks stays.
const SELDOM: u64 = 64;
/// What is beside the directory.
const OUTSIDE: [&str; 3] = ["outside", "outside/dir", "outside/secret"];

/// A place in memory, where that is to be had, with a sentinel.
pub(super) struct Yard {
    temp: tempfile::TempDir,
    fd: File,
    sentinel: Vec<Facts>,
    checks: Cell<u64>,
}

/// What any change of a file changes: the kernel's own time of the last one.
#[derive(Debug, PartialEq)]
struct Facts {
    name: &'static str,
    inode: u64,
    mode: u32,
    links: u64,
    size: u64,
    changed: (i64, i64),
}

impl Yard {
    pub(super) fn new() -> Yard {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let temp = tempfile::Builder::new().prefix("hoist-fuzz-").tempdir_in(place);
        let temp = temp.expect("a place for a directory");
        let make = || {
            fs::create_dir_all(temp.path().join("outside/dir"))?;
            fs::write(temp.path().join("outside/secret"), "secret")?;
            File::open(temp.path())
        };
        let fd = make().expect("a place for files");
        let sentinel = facts(temp.path());
        Yard {
            temp,
            fd,
            sentinel,
            checks: Cell::new(0),
        }
    }

    /// Where what is put into the yard goes.
    pub(super) fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The path of the sentinel.
    pub(super) fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    /// An empty directory in place of the one before.
    pub(super) fn fresh_root(&self) -> OwnedFd {
        file::remove_tree_at(self.fd.as_fd(), OsStr::new("root")).expect("what was unpacked can be removed");
        let root = self.temp.path().join("root");
        fs::create_dir(&root).expect("the directory before is gone");
        open_dir(&root).expect("it was just made")
    }

    /// Panics if anything but the directory changed, or something of the yard was left open.
    pub(super) fn check(&self) {
        assert_eq!(facts(self.temp.path()), self.sentinel, "something outside was touched");
        let names = file::names(self.fd.as_fd()).expect("the yard can be listed");
        assert_eq!(
            names,
            [c"outside".to_owned(), c"root".to_owned()],
            "something outside was made"
        );
        self.checks.set(self.checks.get() + 1);
        if self.checks.get().is_multiple_of(SELDOM) {
            self.check_descriptors();
        }
    }

    /// Panics if a descriptor of something in the yard is open, but for the yard's own.
    fn check_descriptors(&self) {
        let open = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
        let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let left: Vec<PathBuf> = targets.filter(|path| path.starts_with(self.temp.path())).collect();
        assert_eq!(left, [self.temp.path()], "descriptors were left open");
    }
}

fn facts(yard: &Path) -> Vec<Facts> {
    let facts = OUTSIDE.map(|name| {
        let status = fs::symlink_metadata(yard.join(name)).expect("the sentinel is there");
        Facts {
            name,
            inode: status.ino(),
            mode: status.mode(),
            links: status.nlink(),
            size: status.size(),
            changed: (status.ctime(), status.ctime_nsec()),
        }
    });
    facts.into()
}
