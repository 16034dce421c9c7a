//! An overlay by `mount(2)`, for kernels before 6.7.
//!
//! Its options are one text of less than a page, of which the kernel reads no more and says nothing. Layers are named by the numbers
//! of their descriptors, relative to `/proc/self/fd`: 500 of them fit. The mount is made in a mount namespace of its own, where
//! nobody else sees it, by a thread with a working directory of its own, and is taken out of there as one that is attached nowhere.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use super::names::Names;
use super::{Overlay, PLAIN, fitting};
use crate::error::{Context, Result};
use crate::sys::mount::{Attributes, Propagation, change, copy};

/// The bytes of options that the kernel reads: a page, of which one byte ends the text (fs/namespace.c, `copy_mount_options`).
const LONGEST: usize = 4095;
/// Where the mount is made in the namespace of its own: any directory that is surely there.
const PLACE: &str = "/proc";

pub(super) fn mount(overlay: &Overlay<'_>) -> Result<OwnedFd> {
    // A working directory and a namespace belong to a thread; this one's are not for others to use afterwards.
    std::thread::scope(|scope| scope.spawn(|| mount_apart(overlay)).join()).expect("it returns its errors")
}

fn mount_apart(overlay: &Overlay<'_>) -> Result<OwnedFd> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).during(|| "make a mount namespace")?;
    change(
        directory(Path::new("/"))?,
        Attributes::NONE,
        Some(Propagation::Private),
        true,
    )
    .during(|| "make the mounts of a namespace private")?;
    let mut names = Names::shifted(overlay.shift, true);
    let options = fitting(options(overlay, &mut names)?, LONGEST)?;
    nix::unistd::chdir("/proc/self/fd").during(|| "enter `/proc/self/fd`")?;
    let flag = |attribute, flag| match overlay.attributes.has(attribute) {
        true => flag,
        false => MsFlags::empty(),
    };
    let flags = flag(Attributes::NO_DEV, MsFlags::MS_NODEV) | flag(Attributes::READ_ONLY, MsFlags::MS_RDONLY);
    let kind = Some("overlay");
    nix::mount::mount(kind, PLACE, kind, flags, Some(options.as_str())).map_err(|errno| {
        let result: Result<()> = Err(errno).during(|| "stack the layers");
        result
            .expect_err("made of an error")
            .hint("the kernel's log says why: `dmesg`")
    })?;
    copy(directory(Path::new(PLACE))?, false).during(|| "take the mount out of its namespace")
}

fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).during(|| format!("open `{}`", path.display()))
}

/// The options as one text. The directories are opened here, in the namespace in which they are mounted: the kernel takes no others.
fn options(overlay: &Overlay<'_>, names: &mut Names<'_>) -> Result<String> {
    let layers = overlay.lower.iter().map(|dir| names.number(dir));
    let layers = layers.collect::<Result<Vec<String>>>()?;
    let mut options = format!("lowerdir={}", layers.join(":"));
    if let Some(writable) = &overlay.writable {
        let pair = [writable.upper, writable.work];
        let [upper, work] = match overlay.shift {
            Some(_) => names.beside(pair)?,
            None => [names.number(pair[0])?, names.number(pair[1])?],
        };
        options += &format!(",upperdir={upper},workdir={work}");
        if writable.volatile {
            options += ",volatile";
        }
    }
    for (key, value) in PLAIN {
        options += &format!(",{key}={value}");
    }
    Ok(options)
}
