//! How directories are named in mount options, where a colon, a comma or a backslash in a path would mean something.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::super::id_maps;
use crate::error::{Context, Result};
use crate::sys::file;
use crate::sys::mount::{self, LONGEST_VALUE};

/// The most bytes before a name in the directory of a descriptor.
const LONGEST_NUMBER: usize = "/proc/self/fd/2147483647/".len();

/// Directories that are open for as long as options name them by their descriptors.
#[derive(Default)]
pub(super) struct Names<'a> {
    open: Vec<OwnedFd>,
    /// Of those, which have directories in them that are named, and their numbers.
    above: Vec<(PathBuf, String)>,
    /// The user namespace as whose the directories' files are shown.
    shift: Option<BorrowedFd<'a>>,
    /// Whether what shows them so is attached, in their own places.
    attach: bool,
}

impl<'a> Names<'a> {
    /// Names of directories whose files are shown as those of a user namespace, if there is one.
    pub(super) fn shifted(shift: Option<BorrowedFd<'a>>, attach: bool) -> Names<'a> {
        Names {
            shift,
            attach,
            ..Names::default()
        }
    }

    /// A name for an option: its own in the descriptor of the directory it lies in, where that means itself and is short, else its
    /// descriptor's. The kernel shows it in the container (`/proc/self/mountinfo`), where paths of the host have no place.
    pub(super) fn option(&mut self, dir: &Path) -> Result<String> {
        let Some((above, name)) = self.split(dir) else {
            return self.descriptor(dir);
        };
        let number = match self.above.iter().find(|(path, _)| *path == above) {
            Some((_, number)) => number.clone(),
            None => {
                let number = self.number(&above)?;
                self.above.push((above, number.clone()));
                number
            }
        };
        Ok(format!("/proc/self/fd/{number}/{name}"))
    }

    /// The directory above and the name in it, where an option can say it so.
    fn split<'b>(&self, dir: &'b Path) -> Option<(PathBuf, &'b str)> {
        let (above, name) = dir.parent().zip(dir.file_name()?.to_str())?;
        let fits = self.shift.is_none() && name.len() <= LONGEST_VALUE - LONGEST_NUMBER && name.bytes().all(is_plain);
        fits.then(|| (above.to_owned(), name))
    }

    /// The path of the directory's descriptor.
    pub(super) fn descriptor(&mut self, dir: &Path) -> Result<String> {
        Ok(format!("/proc/self/fd/{}", self.number(dir)?))
    }

    /// The number of the directory's descriptor, its name in `/proc/self/fd`.
    pub(super) fn number(&mut self, dir: &Path) -> Result<String> {
        let show = || format!("open the layer `{}`", dir.display());
        let mut dir = file::open(dir, OFlag::O_RDONLY).during(show)?;
        if let Some(namespace) = self.shift {
            let copy = mount::copy(&dir, false).during(show)?;
            let place = std::mem::replace(&mut dir, copy);
            id_maps::shift(&dir, namespace, false)?;
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
