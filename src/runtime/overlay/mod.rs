//! A container's root file system: the image's layers below, what the container writes on top (overlayfs, kernel documentation
//! `filesystems/overlayfs.rst`).
//!
//! Kernels take the layers in different ways, of which the first that works is used:
//!
//! - one by one (`lowerdir+`, Linux 6.7);
//! - all in one option of `fsconfig`, which holds 255 bytes;
//! - all in the options of `mount(2)`, which hold a page, see [`classic`].

mod classic;
mod names;
#[cfg(test)]
mod tests;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;

use super::bundle::remove_tree;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::mount::{Attributes, Filesystem, LONGEST_VALUE, takes_any_option};
use names::Names;

/// A directory renamed or a file whose owner changed is copied whole: the upper directory then is a layer by itself. Said for each,
/// because kernels are built with different defaults.
const PLAIN: [(&str, &str); 4] = [
    ("metacopy", "off"),
    ("redirect_dir", "off"),
    ("index", "off"),
    ("xino", "off"),
];

/// An overlay mount that is attached nowhere; `lower` is topmost first. It is gone when the descriptor and its copies are closed.
/// Device nodes in it, which an image may bring along, can be opened unless the attributes say otherwise.
///
/// With `volatile`, nothing written is forced to the disk, not even when the mount goes. With `shift`, owners are shown as that user
/// namespace maps them, and those of what is written are mapped back; `upper` and `work` lie in one directory.
pub(super) fn mount(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    volatile: bool,
    attributes: Attributes,
    shift: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd> {
    // A volatile overlay leaves a mark that forbids the next mount, as a crash may have lost data. What is mounted again here is
    // either about to be thrown away or was marked by a kernel that is still running and so lost nothing.
    if volatile {
        remove_tree(&work.join("work/incompat/volatile"))?;
    }
    let writable = Some(Writable { upper, work, volatile });
    Overlay {
        lower,
        writable,
        attributes,
        shift,
    }
    .mount()
    .during(|| "mount the container's root")
}

/// Takes away by name what a volatile mount leaves in its work directory, if nothing else is there.
pub(super) fn clear_work(work: &Path) {
    let mut mark = work.join("work/incompat/volatile");
    let _ = std::fs::remove_file(mark.join("dirty"));
    while mark != work && std::fs::remove_dir(&mark).is_ok() {
        mark.pop();
    }
}

/// A mount of layers that cannot be written to, topmost first and two at least, attached nowhere.
pub(super) fn view(layers: &[PathBuf]) -> Result<OwnedFd> {
    let overlay = Overlay {
        lower: layers,
        writable: None,
        attributes: Attributes::NO_DEV.with(Attributes::READ_ONLY),
        shift: None,
    };
    overlay.mount().during(|| "mount the container's files")
}

/// What to mount.
struct Overlay<'a> {
    /// Topmost first.
    lower: &'a [PathBuf],
    writable: Option<Writable<'a>>,
    attributes: Attributes,
    shift: Option<BorrowedFd<'a>>,
}

struct Writable<'a> {
    upper: &'a Path,
    work: &'a Path,
    volatile: bool,
}

/// A way to tell the kernel the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Each,
    Joined,
    Classic,
}

impl Overlay<'_> {
    fn mount(&self) -> Result<OwnedFd> {
        let mounted = self.mount_by(self.rung()?);
        match (mounted, self.shift) {
            // Before Linux 6.15 layers must be attached somewhere, and so what shifts them.
            (Err(error), Some(_)) => classic::mount(self).map_err(|_| error),
            (mounted, _) => mounted,
        }
    }

    /// The first way that this kernel knows and these layers fit in.
    fn rung(&self) -> Result<Rung> {
        Ok(match knows_each_lastingly().during(|| "use the overlay file system")? {
            true => Rung::Each,
            false if self.lower.len() * LONGEST_NAME <= LONGEST_VALUE => Rung::Joined,
            false => Rung::Classic,
        })
    }

    fn mount_by(&self, rung: Rung) -> Result<OwnedFd> {
        if rung == Rung::Classic {
            return classic::mount(self);
        }
        let overlay = Filesystem::open("overlay").during(|| "use the overlay file system")?;
        self.configure(&overlay, rung)
            .map_err(|error| match overlay.complaint() {
                Some(complaint) => error.hint(format!("the kernel says `{complaint}`")),
                None => error,
            })
    }

    fn configure(&self, overlay: &Filesystem, rung: Rung) -> Result<OwnedFd> {
        let what = || "configure the overlay";
        // Left out, /proc/mounts would show `none`.
        overlay.set("source", "overlay").during(what)?;
        let mut names = Names::shifted(self.shift, false);
        self.set_lower(overlay, rung, &mut names)?;
        if let Some(writable) = &self.writable {
            let pair = [writable.upper, writable.work];
            let [upper, work] = match self.shift {
                Some(_) => names.beside(pair)?.map(|name| format!("/proc/self/fd/{name}")),
                None => [names.option(pair[0])?, names.option(pair[1])?],
            };
            overlay.set("upperdir", &upper).during(what)?;
            overlay.set("workdir", &work).during(what)?;
            if writable.volatile {
                overlay.flag("volatile").during(what)?;
            }
        }
        for (key, value) in PLAIN {
            overlay.set(key, value).during(what)?;
        }
        overlay.mount(self.attributes).during(|| "stack the layers")
    }

    fn set_lower(&self, overlay: &Filesystem, rung: Rung, names: &mut Names<'_>) -> Result<()> {
        if rung == Rung::Each {
            return self.lower.iter().try_for_each(|dir| {
                let name = names.option(dir)?;
                let set = overlay.set("lowerdir+", &name);
                set.during(|| format!("stack `{}`", dir.display()))
            });
        }
        let layers = self.lower.iter().map(|dir| names.descriptor(dir));
        let layers = layers.collect::<Result<Vec<String>>>()?;
        let set = overlay.set("lowerdir", &fitting(layers.join(":"), LONGEST_VALUE)?);
        set.during(|| "stack the layers")
    }
}

/// Bytes that a layer named by its descriptor may take in a list.
const LONGEST_NAME: usize = "/proc/self/fd/12345:".len();

/// Does ahead what every mount begins with.
pub(super) fn prepare() {
    // What fails now is tried again.
    let _ = knows_each_lastingly();
}

/// The answer does not change while the machine runs.
fn knows_each_lastingly() -> nix::Result<bool> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let known = knows_each()?;
    Ok(*KNOWN.get_or_init(|| known))
}

/// Whether layers can be given one by one. A kernel that only collects options takes any and fails later.
fn knows_each() -> nix::Result<bool> {
    if takes_any_option("overlay")? {
        return Ok(false);
    }
    match Filesystem::open("overlay")?.set("lowerdir+", "/") {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A list of layers that is no longer than the kernel takes; a longer one it would cut off without a word.
fn fitting(list: String, longest: usize) -> Result<String> {
    if list.len() <= longest {
        return Ok(list);
    }
    let (count, length) = (list.split(':').count(), list.len());
    let message = format!(
        "this kernel takes {longest} bytes of mount options, and to name {count} layers takes {length}: the image has too many"
    );
    Err(Error::new(Kind::Unsupported, message)
        .hint("make one layer of them: commit a container of the image with `#{squash: true}`"))
}
