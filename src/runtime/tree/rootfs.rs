//! Paths inside a container's root, resolved by the kernel so that no link, however it is made or swapped, leads out of it
//! (CVE-2021-30465, CVE-2024-45310, CVE-2026-41579).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// A concurrent rename makes the kernel give up a resolution it can no longer vouch for; this often it is tried again.
const MOST_TRIES: u32 = 128;

/// Opens a path as a process inside would see it; links of `/proc` that jump elsewhere are refused.
pub(in crate::runtime) fn open(root: impl AsFd, path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    resolve(
        root,
        path,
        flags,
        mode,
        ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    )
}

/// Opens a directory that must lie exactly there: a link on the way is refused (CVE-2019-19921, CVE-2023-27561).
pub(in crate::runtime) fn open_plain_dir(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let resolution = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
    resolve(
        root,
        path,
        OFlag::O_PATH | OFlag::O_DIRECTORY,
        Mode::empty(),
        resolution,
    )
}

fn resolve(root: impl AsFd, path: &Path, flags: OFlag, mode: Mode, resolution: ResolveFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(resolution);
    for _ in 0..MOST_TRIES {
        match openat2(root.as_fd(), path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens a directory as a place (`O_PATH`), making it and those above it where they are missing.
pub(in crate::runtime) fn make_dir(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    make(
        root,
        path,
        &|parent, name| mkdirat(parent, name, Mode::from_bits_truncate(0o755)),
        OFlag::O_DIRECTORY,
        MOST_LINKS,
    )
}

/// Opens a file as a place (`O_PATH`), making an empty one and the directories above it where they are missing.
pub(in crate::runtime) fn make_file(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let create = |parent: &OwnedFd, name: &Path| {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
    };
    make(root, path, &create, OFlag::empty(), MOST_LINKS)
}

type Create<'a> = &'a dyn Fn(&OwnedFd, &Path) -> nix::Result<()>;

fn make(root: impl AsFd, path: &Path, create: Create<'_>, kind: OFlag, links: u32) -> nix::Result<OwnedFd> {
    let root = root.as_fd();
    let place = || open(root, path, OFlag::O_PATH | kind, Mode::empty());
    match place() {
        Err(Errno::ENOENT) => {}
        result => return result,
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ENOENT);
    };
    let parent = make_dir_above(root, above, links)?;
    match create(&parent, Path::new(name)) {
        Ok(()) => place(),
        // There is something, but it leads nowhere: a link whose end is missing, such as the `/etc/resolv.conf` of some images.
        Err(Errno::EEXIST) if links > 0 => match readlinkat(&parent, name) {
            Ok(target) => make(root, &above.join(PathBuf::from(target)), create, kind, links - 1),
            Err(_) => place(),
        },
        Err(Errno::EEXIST) => Err(Errno::ELOOP),
        Err(errno) => Err(errno),
    }
}

fn make_dir_above(root: impl AsFd, path: &Path, links: u32) -> nix::Result<OwnedFd> {
    let create = |parent: &OwnedFd, name: &Path| mkdirat(parent, name, Mode::from_bits_truncate(0o755));
    make(root, path, &create, OFlag::O_DIRECTORY, links)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let fd = fs::File::open(dir.path().join("root")).unwrap().into();
        (dir, fd)
    }

    #[test]
    fn missing_places_are_made() {
        let (dir, root) = root();
        make_dir(&root, Path::new("/a/b/c")).unwrap();
        make_file(&root, Path::new("/a/d/file")).unwrap();
        make_file(&root, Path::new("/a/d/file")).unwrap();
        assert!(dir.path().join("root/a/b/c").is_dir() && dir.path().join("root/a/d/file").is_file());
        assert_eq!(make_dir(&root, Path::new("/a/d/file")).unwrap_err(), Errno::ENOTDIR);
        assert_eq!(make_dir(&root, Path::new("/a/d/file/x")).unwrap_err(), Errno::ENOTDIR);
    }

    #[test]
    fn links_are_followed_inside_and_never_lead_out() {
        let (dir, root) = root();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir(at("outside")).unwrap();
        symlink("../../../../outside", at("root/up")).unwrap();
        symlink(at("outside"), at("root/absolute")).unwrap();
        symlink("../run/stub", at("root/dangling")).unwrap();
        for link in ["/up", "/absolute"] {
            make_dir(&root, &Path::new(link).join("new")).unwrap();
        }
        make_file(&root, Path::new("/dangling")).unwrap();
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
        assert!(at("root/outside/new").is_dir() && at("root/run/stub").is_file());
        assert!(!at("run").exists());
    }

    #[test]
    fn a_loop_ends_and_a_plain_directory_is_no_link() {
        let (dir, root) = root();
        symlink("b", dir.path().join("root/a")).unwrap();
        symlink("a", dir.path().join("root/b")).unwrap();
        assert_eq!(make_dir(&root, Path::new("/a")).unwrap_err(), Errno::ELOOP);
        fs::create_dir(dir.path().join("root/real")).unwrap();
        symlink("real", dir.path().join("root/proc")).unwrap();
        assert_eq!(open_plain_dir(&root, Path::new("/proc")).unwrap_err(), Errno::ELOOP);
        open_plain_dir(&root, Path::new("/real")).unwrap();
    }
}
