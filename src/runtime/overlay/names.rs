//! How directories are named in mount options, where a colon, a comma or a backslash in a path would mean something.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::error::{Context, Result};
use crate::sys::mount::LONGEST_VALUE;

/// Directories that are open for as long as options name them by their descriptors.
#[derive(Default)]
pub(super) struct Names(Vec<File>);

impl Names {
    /// A name for an option: the path where it is short and means itself, else its descriptor's.
    pub(super) fn option(&mut self, dir: &Path) -> Result<String> {
        match dir.to_str() {
            Some(text) if text.len() <= LONGEST_VALUE && text.bytes().all(is_plain) => Ok(text.to_owned()),
            _ => self.descriptor(dir),
        }
    }

    /// The path of the directory's descriptor.
    pub(super) fn descriptor(&mut self, dir: &Path) -> Result<String> {
        Ok(format!("/proc/self/fd/{}", self.number(dir)?))
    }

    /// The number of the directory's descriptor, its name in `/proc/self/fd`.
    pub(super) fn number(&mut self, dir: &Path) -> Result<String> {
        let file = File::open(dir).during(|| format!("open the layer `{}`", dir.display()))?;
        let number = file.as_raw_fd().to_string();
        self.0.push(file);
        Ok(number)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@=~".contains(&byte)
}
