//! Small files, written side by side: most of what many of them cost is the kernel making inodes.
//!
//! The thread that reads the archive decides all: it hands on a file only where nothing can be in its way but another plain file, and
//! waits for what is under way before it does anything else with a name that may be among it. So the tree is the same as if one thread
//! had made it.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;

use super::attributes::{Attributes, Birth};
use super::parents::Parent;
use super::{refused, shown};
use crate::error::{Context as _, Error, Result};

/// Bytes of the largest file that is handed on; a larger one keeps the reader busy long enough.
pub(super) const SMALL: u64 = 64 << 10;
/// A batch is handed on when it has as many files or bytes: locks then cost nothing, and memory stays small.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait.
const DEPTH: usize = 2;
/// Names that are remembered before all that is under way is waited for.
const NAMES: usize = 16_384;
/// Threads; the kernel makes files in one directory one by one, so more of them would wait.
const THREADS: usize = 4;

/// A plain file that is whole in memory.
pub(super) struct SmallFile {
    pub(super) parent: Arc<Parent>,
    pub(super) path: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) data: Vec<u8>,
}

/// The threads, and what is under way.
pub(super) struct Writers {
    birth: Arc<Birth>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    sender: Option<SyncSender<Vec<SmallFile>>>,
    batch: Vec<SmallFile>,
    batch_bytes: usize,
    /// Names of files under way. Two names with one hash only cost a wait.
    names: HashSet<u64>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Batches that were handed on and are not done.
    waiting: usize,
    failure: Option<Error>,
    /// Files whose name was taken.
    taken: Vec<SmallFile>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writers {
    /// No threads yet: they start with the first full batch.
    pub(super) fn new(birth: Birth) -> Writers {
        Writers {
            birth: Arc::new(birth),
            shared: Arc::default(),
            threads: Vec::new(),
            sender: None,
            batch: Vec::new(),
            batch_bytes: 0,
            names: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// A number for a name in the directory with this inode.
    pub(super) fn key(&self, parent: u64, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    /// What files are born with.
    pub(super) fn birth(&self) -> &Birth {
        &self.birth
    }

    /// Whether a file of this name may be under way.
    pub(super) fn has(&self, key: u64) -> bool {
        self.names.contains(&key)
    }

    /// Whether so much is under way that it should be waited for.
    pub(super) fn are_busy(&self) -> bool {
        self.names.len() >= NAMES
    }

    /// Hands on a file. Errors: that of an earlier one.
    pub(super) fn add(&mut self, key: u64, file: SmallFile) -> Result<()> {
        self.names.insert(key);
        self.batch_bytes += file.data.len();
        self.batch.push(file);
        if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
            self.hand_on()?;
        }
        Ok(())
    }

    fn hand_on(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let mut state = self.shared.state();
        if let Some(error) = state.failure.take() {
            return Err(error);
        }
        state.waiting += 1;
        drop(state);
        if self.sender.is_none() {
            self.start();
        }
        let sender = self.sender.as_ref().expect("started above");
        sender
            .send(batch)
            .map_err(|_| Error::internal("the threads that write files are gone"))
    }

    fn start(&mut self) {
        let (sender, receiver) = sync_channel(DEPTH);
        let receiver = Arc::new(Mutex::new(receiver));
        let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(THREADS));
        for _ in 0..count {
            let (receiver, shared, birth) = (Arc::clone(&receiver), Arc::clone(&self.shared), Arc::clone(&self.birth));
            self.threads
                .push(std::thread::spawn(move || work(&receiver, &shared, &birth)));
        }
        self.sender = Some(sender);
    }

    /// Waits until nothing is under way; gives the files whose name was taken, in the order in which they came for each name.
    pub(super) fn wait(&mut self) -> Result<Vec<SmallFile>> {
        if self.names.is_empty() {
            return Ok(Vec::new());
        }
        self.names.clear();
        let mut taken = self.write_rest()?;
        let state = self.shared.state();
        let mut state = self
            .shared
            .changed
            .wait_while(state, |state| state.waiting > 0)
            .unwrap_or_else(PoisonError::into_inner);
        match state.failure.take() {
            Some(error) => Err(error),
            None => {
                taken.append(&mut state.taken);
                Ok(taken)
            }
        }
    }

    /// Writes what was not handed on, for there is nothing else to do but to wait; gives the files whose name was taken.
    fn write_rest(&mut self) -> Result<Vec<SmallFile>> {
        self.batch_bytes = 0;
        let mut taken = Vec::new();
        for file in self.batch.drain(..) {
            if !write(&file, &self.birth)? {
                taken.push(file);
            }
        }
        Ok(taken)
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        drop(self.sender.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has left its batch undone, which `wait` was told.
            let _ = thread.join();
        }
    }
}

fn work(receiver: &Mutex<Receiver<Vec<SmallFile>>>, shared: &Shared, birth: &Birth) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { return };
        // Counted down however the batch ends, so that nobody waits for ever.
        let _done = Done(shared);
        for file in batch {
            match write(&file, birth) {
                Ok(true) => {}
                Ok(false) => shared.state().taken.push(file),
                Err(error) => {
                    shared.state().failure.get_or_insert(error);
                    break;
                }
            }
        }
    }
}

struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        if std::thread::panicking() {
            state
                .failure
                .get_or_insert(Error::internal("a thread that writes files panicked"));
        }
        self.0.changed.notify_all();
    }
}

/// Makes a file; false if its name is taken.
pub(super) fn write(file: &SmallFile, birth: &Birth) -> Result<bool> {
    let (_, name) = super::split(&file.path);
    let open = match file.attributes.create(file.parent.fd.as_fd(), name, birth) {
        Err(Errno::EEXIST) => return Ok(false),
        other => other.map_err(|cause| refused(cause, "make", &file.path))?,
    };
    let mut open = File::from(open);
    open.write_all(&file.data)
        .during(|| format!("write `{}`", shown(&file.path)))?;
    file.attributes.set_on_new(open.as_fd(), &file.path, birth)?;
    Ok(true)
}
