//! What a test prints and says, kept in its order.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bindings::Console;

/// Keeps everything; nobody answers questions.
#[derive(Default)]
pub(super) struct Kept(Mutex<Text>);

#[derive(Default)]
struct Text {
    all: String,
    data: String,
    talk: String,
}

impl Kept {
    fn text(&self) -> MutexGuard<'_, Text> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it.
    pub(super) fn all(&self) -> String {
        self.text().all.clone()
    }

    /// What was printed, and what was said.
    pub(super) fn apart(&self) -> (String, String) {
        let text = self.text();
        (text.data.clone(), text.talk.clone())
    }
}

impl Console for Kept {
    fn data(&self, text: &str) -> io::Result<()> {
        let mut kept = self.text();
        kept.all.push_str(text);
        kept.data.push_str(text);
        Ok(())
    }

    fn talk(&self, line: &str) {
        let mut kept = self.text();
        for part in [line, "\n"] {
            kept.all.push_str(part);
            kept.talk.push_str(part);
        }
    }

    fn ask(&self, _question: &str) -> io::Result<Option<String>> {
        Ok(None)
    }
}
