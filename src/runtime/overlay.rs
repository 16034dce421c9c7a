//! A container's root file system: the image's layers below, what the container writes on top (overlayfs, kernel documentation
//! `filesystems/overlayfs.rst`).

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::bundle::remove_tree;
use crate::error::{Context, Result};
use crate::sys::mount::{Attributes, Filesystem, LONGEST_VALUE};

/// An overlay mount that is attached nowhere; `lower` is topmost first. It is gone when the descriptor and its copies are closed.
/// Device nodes in it, which an image may bring along, cannot be opened.
///
/// With `volatile`, nothing written is forced to the disk, not even when the mount goes.
pub(super) fn mount(lower: &[PathBuf], upper: &Path, work: &Path, volatile: bool) -> Result<OwnedFd> {
    // A volatile overlay leaves a mark that forbids the next mount, as a crash may have lost data. What is mounted again here is
    // either about to be thrown away or was marked by a kernel that is still running and so lost nothing.
    if volatile {
        remove_tree(&work.join("work/incompat/volatile"))?;
    }
    let overlay = Filesystem::open("overlay").during(|| "use the overlay file system")?;
    let result = configure(&overlay, lower, upper, work, volatile).during(|| "mount the container's root");
    result.map_err(|error| match overlay.complaint() {
        Some(complaint) => error.hint(format!("the kernel says `{complaint}`")),
        None => error,
    })
}

/// A mount of layers that cannot be written to, topmost first and two at least, attached nowhere.
pub(super) fn view(layers: &[PathBuf]) -> Result<OwnedFd> {
    let overlay = Filesystem::open("overlay").during(|| "use the overlay file system")?;
    let mut held = Vec::new();
    let mounted = set_lower(&overlay, layers, &mut held)
        .and_then(|()| overlay.mount(Attributes::READ_ONLY.with(Attributes::NO_DEV)));
    mounted.during(|| "mount the container's files")
}

fn configure(
    overlay: &Filesystem,
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    volatile: bool,
) -> nix::Result<OwnedFd> {
    // Held until the mount is made: a path too long for an option is named by its descriptor.
    let mut held = Vec::new();
    set_lower(overlay, lower, &mut held)?;
    overlay.set("upperdir", &name(upper, &mut held)?)?;
    overlay.set("workdir", &name(work, &mut held)?)?;
    // A directory renamed or a file whose owner changed is copied whole: the upper directory then is a layer by itself.
    for (key, value) in [
        ("metacopy", "off"),
        ("redirect_dir", "off"),
        ("index", "off"),
        ("xino", "off"),
    ] {
        overlay.set(key, value)?;
    }
    if volatile {
        overlay.flag("volatile")?;
    }
    overlay.mount(Attributes::NO_DEV)
}

fn set_lower(overlay: &Filesystem, lower: &[PathBuf], held: &mut Vec<File>) -> nix::Result<()> {
    let names = lower
        .iter()
        .map(|path| name(path, held))
        .collect::<nix::Result<Vec<String>>>()?;
    let Some((first, rest)) = names.split_first() else {
        return Err(Errno::EINVAL);
    };
    match overlay.set("lowerdir+", first) {
        Ok(()) => rest.iter().try_for_each(|name| overlay.set("lowerdir+", name)),
        // Before Linux 6.5 all layers go into one option, and only as many as fit there.
        Err(Errno::EINVAL) => {
            let escaped = names.iter().map(|name| name.replace('\\', "\\\\").replace(':', "\\:"));
            overlay.set("lowerdir", &escaped.collect::<Vec<_>>().join(":"))
        }
        Err(errno) => Err(errno),
    }
}

fn name(path: &Path, held: &mut Vec<File>) -> nix::Result<String> {
    match path.to_str() {
        Some(text) if text.len() <= LONGEST_VALUE => Ok(text.to_owned()),
        _ => {
            let file = File::open(path).map_err(|cause| Errno::from_raw(cause.raw_os_error().unwrap_or(0)))?;
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            held.push(file);
            Ok(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn layers(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let paths = names.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>();
        for path in paths
            .iter()
            .map(PathBuf::as_path)
            .chain([&*dir.path().join("upper"), &*dir.path().join("work")])
        {
            fs::create_dir(path).unwrap();
        }
        (dir, paths)
    }

    fn inside(root: &OwnedFd, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{path}", root.as_raw_fd()))
    }

    #[test]
    fn the_topmost_layer_wins_and_writes_land_in_upper() {
        let long = "x".repeat(250);
        let (dir, lower) = layers(&["top", "a:b\\c", &long]);
        fs::write(lower[0].join("f"), "top").unwrap();
        fs::write(lower[2].join("f"), "bottom").unwrap();
        fs::write(lower[1].join("g"), "middle").unwrap();
        let root = mount(&lower, &dir.path().join("upper"), &dir.path().join("work"), false).unwrap();
        assert_eq!(fs::read_to_string(inside(&root, "f")).unwrap(), "top");
        assert_eq!(fs::read_to_string(inside(&root, "g")).unwrap(), "middle");
        fs::write(inside(&root, "h"), "new").unwrap();
        drop(root);
        assert_eq!(fs::read_to_string(dir.path().join("upper/h")).unwrap(), "new");
    }

    #[test]
    fn a_volatile_root_mounts_again() {
        let (dir, lower) = layers(&["top"]);
        let (upper, work) = (dir.path().join("upper"), dir.path().join("work"));
        for _ in 0..2 {
            let root = mount(&lower, &upper, &work, true).unwrap();
            fs::write(inside(&root, "f"), "x").unwrap();
        }
    }

    #[test]
    fn a_missing_layer_is_named_by_the_kernels_complaint() {
        let (dir, lower) = layers(&["top"]);
        fs::remove_dir(&lower[0]).unwrap();
        let error = mount(&lower, &dir.path().join("upper"), &dir.path().join("work"), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to mount the container's root: no such file or directory"
        );
    }
}
