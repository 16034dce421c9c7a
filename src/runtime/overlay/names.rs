//! How directories are named in mount options, where a colon, a comma or a backslash in a path would mean something.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::super::id_maps;
use crate::error::{Context, Result};
use crate::sys::mount::{self, LONGEST_VALUE};

/// Directories that are open for as long as options name them by their descriptors.
#[derive(Default)]
pub(super) struct Names<'a> {
    open: Vec<OwnedFd>,
    /// The user namespace as whose the directories' files are shown.
    shift: Option<BorrowedFd<'a>>,
    /// Whether what shows them so is attached, in their own places.
    attach: bool,
}

impl<'a> Names<'a> {
    /// Names of directories whose files are shown as those of a user namespace, if there is one.
    pub(super) fn shifted(shift: Option<BorrowedFd<'a>>, attach: bool) -> Names<'a> {
        let open = Vec::new();
        Names { open, shift, attach }
    }

    /// A name for an option: the path where it is short and means itself, else its descriptor's.
    pub(super) fn option(&mut self, dir: &Path) -> Result<String> {
        match dir.to_str() {
            _ if self.shift.is_some() => self.descriptor(dir),
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
        let show = || format!("open the layer `{}`", dir.display());
        let mut dir = OwnedFd::from(File::open(dir).during(show)?);
        if let Some(namespace) = self.shift {
            let copy = mount::copy(&dir, false).during(show)?;
            let place = std::mem::replace(&mut dir, copy);
            id_maps::shift(&dir, namespace)?;
            if self.attach {
                mount::attach(&dir, &place).during(show)?;
            }
        }
        let number = dir.as_raw_fd().to_string();
        self.open.push(dir);
        Ok(number)
    }

    /// The names of two directories in `/proc/self/fd`, which must be found on one mount: they lie in one directory.
    pub(super) fn beside(&mut self, pair: [&Path; 2]) -> Result<[String; 2]> {
        let above = pair[0].parent().unwrap_or(Path::new("/"));
        let above = self.number(above)?;
        Ok(pair.map(|one| format!("{above}/{}", one.file_name().unwrap_or_default().display())))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@=~".contains(&byte)
}
