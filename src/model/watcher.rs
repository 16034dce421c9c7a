//! Those told how far long work is: whoever holds its context.

/// Told of the parts of long work, which are named as people are to see them. Calls come from several threads.
pub trait Watcher: Send + Sync {
    /// Parts that are to come, with their bytes; more may follow.
    fn parts(&self, _parts: &[(String, u64)]) {}
    /// So many bytes of a part have come by now.
    fn came(&self, _part: &str, _bytes: u64) {}
    /// A part is done: it came, or did not need to.
    fn done(&self, _part: &str, _was_there: bool) {}
}

/// Nobody is told.
impl Watcher for () {}
