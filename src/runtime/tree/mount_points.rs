//! The places every container mounts something on, made in a layer of their own where an image lacks them.
//!
//! Made at the start instead, they would be the container's: `diff` would tell them, and each commit would keep them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Context, Result};
use crate::runtime::{overlay, rootfs};
use crate::sys::mount::Attributes;

const DIRECTORIES: [&str; 3] = ["/dev", "/proc", "/sys"];
const FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Makes in the empty directory `upper` what the layers in `lower` (topmost first) lack of the places that are mounted on, exactly
/// where a start would: links of the image are followed, inside. `work` is an empty directory beside it.
///
/// A place that cannot be made is left out: the start will say why.
pub fn make_mount_points(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<()> {
    let root = overlay::mount(lower, upper, work, true, Attributes::NO_DEV, None)?;
    for path in DIRECTORIES {
        if_possible(rootfs::make_dir(&root, Path::new(path))).during(|| format!("make the mount point `{path}`"))?;
    }
    for path in FILES {
        if_possible(rootfs::make_file(&root, Path::new(path))).during(|| format!("make the mount point `{path}`"))?;
    }
    Ok(())
}

/// The place; `None` where the image has something in its way, or a loop of links.
fn if_possible(place: nix::Result<OwnedFd>) -> nix::Result<Option<OwnedFd>> {
    match place {
        Ok(place) => Ok(Some(place)),
        Err(Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_missing_is_made_and_only_inside() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["layer/etc", "layer/proc", "upper", "work"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("layer/etc/hosts"), "the image's").unwrap();
        fs::write(at("layer/sys"), "no directory").unwrap();
        symlink("../../../../run/stub", at("layer/etc/resolv.conf")).unwrap();
        make_mount_points(&[at("layer")], &at("upper"), &at("work")).unwrap();
        let names = |name: &str| {
            let entries = fs::read_dir(at(name)).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(
            (names("upper"), names("upper/etc"), names("upper/run")),
            (
                vec!["dev".into(), "etc".into(), "run".into()],
                vec!["hostname".into()],
                vec!["stub".into()]
            )
        );
    }
}
