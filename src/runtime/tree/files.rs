//! Files in and out of a container's root, by an open directory and `openat2` only: links in it are the container's own, and
//! whatever they say, nothing outside is touched (CVE-2018-15664, CVE-2019-14271).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use crate::runtime::overlay;
use crate::runtime::transfer::{Owner, Place, copy, name};
use crate::sys::file;

/// The most [`read_file`] returns; what is larger is copied out instead.
const LARGEST_READ: u64 = 64 << 20;

/// Copies a host file or directory to `path` below `root`; into a directory that exists it goes under its own name. It then
/// belongs to `owner`.
///
/// Errors: `not_found` for either side; `conflict` where a directory is in the way; `denied` on a read-only mount.
pub fn copy_in(ctx: &Context, root: BorrowedFd, owner: (Uid, Gid), host_path: &str, path: &str) -> Result<()> {
    let (host_dir, host_name) = open_host(host_path)?;
    let (dir, target) = destination(root, path, &host_name)?;
    let (from_name, to_name) = (name(&host_name)?, name(&target)?);
    let owner = Owner::Given(owner.0, owner.1);
    let from = Place {
        dir: host_dir.as_fd(),
        name: &from_name,
    };
    copy(
        ctx,
        from,
        Place {
            dir: dir.as_fd(),
            name: &to_name,
        },
        owner,
    )
}

/// Copies the file or directory at `path` below `root` out to the host; into a directory that exists it goes under its own
/// name. It then belongs to whoever runs this program.
///
/// Errors: `not_found` for either side; `conflict` where a directory is in the way.
pub fn copy_out(ctx: &Context, root: BorrowedFd, path: &str, host_path: &str) -> Result<()> {
    let (dir, source) = split(path.trim_end_matches('/'));
    if matches!(source, "" | "." | "..") {
        return Err(
            Error::invalid(format!("`{path}` does not name a file or directory to copy"))
                .hint("to take everything, use `export_tar`"),
        );
    }
    let dir = open_dir(root, dir)?;
    let slash = File::open("/").during(|| "open `/`")?;
    let absolute = std::path::absolute(host_path).during(|| format!("find `{host_path}`"))?;
    let trailing = if host_path.ends_with('/') { "/" } else { "" };
    let (target_dir, target) = destination(slash.as_fd(), &format!("{}{trailing}", absolute.display()), source)?;
    let (from_name, to_name) = (name(source)?, name(&target)?);
    let owner = Owner::Given(geteuid(), getegid());
    let from = Place {
        dir: dir.as_fd(),
        name: &from_name,
    };
    copy(
        ctx,
        from,
        Place {
            dir: target_dir.as_fd(),
            name: &to_name,
        },
        owner,
    )
}

/// Copies the directory at `path` in the tree the layers (topmost first, two at least) make to the new directory `target`, owners and
/// attributes included. False, and nothing is made, if there is no directory.
pub fn copy_directory(ctx: &Context, layers: &[PathBuf], path: &str, target: &Path) -> Result<bool> {
    let view = overlay::view(layers)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let source = match file::open_in_root(view.as_fd(), path.as_bytes(), flags) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
        other => other.during(|| format!("open the directory `{path}` of the image"))?,
    };
    let (target_dir, target_name) = open_host_parent(target)?;
    let target_name = name(&target_name)?;
    let from = Place {
        dir: source.as_fd(),
        name: c".",
    };
    let to = Place {
        dir: target_dir.as_fd(),
        name: &target_name,
    };
    copy(ctx, from, to, Owner::Kept).map(|()| true)
}

/// Copies what is in a directory of this machine into the directory at `path` below `root`, whosever it is there. Errors: `not_found`.
pub fn put(ctx: &Context, root: BorrowedFd, from: &Path, path: &str) -> Result<()> {
    let from = File::open(from).during(|| format!("open `{}`", from.display()))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let to = file::open_in_root(root, path.as_bytes(), flags).during(|| format!("open the directory `{path}`"))?;
    let (from, to) = (from.as_fd(), to.as_fd());
    copy(
        ctx,
        Place { dir: from, name: c"." },
        Place { dir: to, name: c"." },
        Owner::Kept,
    )
}

/// Copies the file or directory at `path` below `root` into a directory of this machine, under its own name and whosever it is.
pub fn take(ctx: &Context, root: BorrowedFd, path: &str, into: &Path) -> Result<()> {
    let (dir, source) = split(path.trim_end_matches('/'));
    let whole = matches!(source, "" | "." | "..");
    let dir = open_dir(root, if whole { path } else { dir })?;
    let into = File::open(into).during(|| format!("open `{}`", into.display()))?;
    let source = name(if whole { "." } else { source })?;
    let (from, to) = (
        Place {
            dir: dir.as_fd(),
            name: &source,
        },
        Place {
            dir: into.as_fd(),
            name: &source,
        },
    );
    copy(ctx, from, to, Owner::Kept)
}

/// Copies what is in one directory of this machine over what is in another, owners and attributes included.
pub fn merge(ctx: &Context, from: &Path, to: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).during(|| format!("open `{}`", path.display()));
    let (from, to) = (open(from)?, open(to)?);
    let (from, to) = (from.as_fd(), to.as_fd());
    copy(
        ctx,
        Place { dir: from, name: c"." },
        Place { dir: to, name: c"." },
        Owner::Kept,
    )
}

/// The content of the file at `path` below `root`. Errors: `not_found`; `invalid` if it is no regular file or has more than
/// 64 MiB.
pub fn read_file(root: BorrowedFd, path: &str) -> Result<Vec<u8>> {
    let what = || format!("read `{path}` in the container");
    // Not to wait for a writer of a FIFO (CVE-2024-9676).
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::from(file::open_in_root(root, path.as_bytes(), flags).during(what)?);
    let facts = file.metadata().during(what)?;
    if !facts.is_file() || facts.len() > LARGEST_READ {
        return Err(Error::invalid(format!("`{path}` is not a regular file of at most 64 MiB")).target(path));
    }
    let mut content = Vec::new();
    file.take(LARGEST_READ).read_to_end(&mut content).during(what)?;
    Ok(content)
}

/// Writes the file at `path` below `root`, in place of what it held; its directory must exist. A new file has mode 0644
/// and belongs to `owner`.
pub fn write_file(root: BorrowedFd, owner: (Uid, Gid), path: &str, content: &[u8]) -> Result<()> {
    let (dir, last) = split(path);
    let what = || format!("write `{path}` in the container");
    if matches!(last, "" | "." | "..") {
        return Err(Error::invalid(format!("`{path}` does not name a file")).target(path));
    }
    let open = || -> nix::Result<OwnedFd> {
        match file::open_in_root(
            root,
            path.as_bytes(),
            OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        ) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let dir = file::open_in_root(root, dir.as_bytes(), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&dir, last, flags, Mode::from_bits_truncate(0o644))?;
        nix::unistd::fchown(&file, Some(owner.0), Some(owner.1)).map(|()| file)
    };
    let mut file = File::from(open().during(what)?);
    if !file.metadata().during(what)?.is_file() {
        return Err(Error::invalid(format!("`{path}` is not a regular file")).target(path));
    }
    file.set_len(0).during(what)?;
    file.write_all(content).during(what)
}

/// A path taken apart: the directory and the last name, which is empty for a path that ends in `/`.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn open_dir(root: BorrowedFd, path: &str) -> Result<OwnedFd> {
    file::open_in_root(root, path.as_bytes(), OFlag::O_RDONLY | OFlag::O_DIRECTORY)
        .during(|| format!("open the directory `{}`", if path.is_empty() { "/" } else { path }))
}

/// The host directory a path is in, and its last name. Links on the way are the host's own and followed.
fn open_host(path: &str) -> Result<(File, String)> {
    let what = || format!("open `{path}`");
    let resolved = match path.ends_with('/') || path.ends_with("/.") || path == "." {
        true => std::fs::canonicalize(path),
        false => std::path::absolute(path),
    };
    let resolved = resolved.during(what)?;
    if resolved.symlink_metadata().is_err() {
        return Err(Error::not_found(format!("`{path}` does not exist on the host")).target(path));
    }
    open_host_parent(&resolved)
}

/// The host directory that a path which may not exist yet is in, and its last name.
fn open_host_parent(path: &Path) -> Result<(File, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(name), Some(dir)) = (name, path.parent()) else {
        return Err(Error::invalid(format!(
            "`{}` does not name a file or directory to copy",
            path.display()
        )));
    };
    let dir = File::open(dir).during(|| format!("open `{}`", dir.display()))?;
    Ok((dir, name.to_owned()))
}

/// Where a copy goes: into `path` under `own_name` if that is a directory, else to `path` itself in its directory.
fn destination(root: BorrowedFd, path: &str, own_name: &str) -> Result<(OwnedFd, String)> {
    match file::open_in_root(root, path.as_bytes(), OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Ok(dir) => return Ok((dir, own_name.to_owned())),
        Err(Errno::ENOENT | Errno::ENOTDIR) if !path.ends_with('/') => {}
        Err(cause) => return Err(cause).during(|| format!("open the directory `{path}`")),
    }
    let (dir, last) = split(path);
    if matches!(last, "." | "..") {
        return Err(Error::invalid(format!("`{path}` does not name a place to copy to")));
    }
    Ok((open_dir(root, dir)?, last.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: (Uid, Gid) = (Uid::from_raw(0), Gid::from_raw(0));
    use crate::error::Kind;
    use std::os::unix::fs::symlink;

    /// A container's root with links that lead out, beside a file that must stay as it is.
    fn root() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        std::fs::write(dir.path().join("outside"), "safe").unwrap();
        symlink(dir.path().join("outside"), dir.path().join("root/etc/absolute")).unwrap();
        symlink("../../../outside", dir.path().join("root/etc/relative")).unwrap();
        let root = File::open(dir.path().join("root")).unwrap();
        (dir, root)
    }

    #[test]
    fn links_that_lead_out_stay_inside() {
        let (dir, root) = root();
        for link in ["/etc/absolute", "/etc/relative", "/../outside"] {
            assert_eq!(
                read_file(root.as_fd(), link).unwrap_err().kind(),
                Kind::NotFound,
                "{link}"
            );
            let _ = write_file(root.as_fd(), ROOT, link, b"changed");
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("outside")).unwrap(), "safe");
    }

    #[test]
    fn what_is_written_is_read_and_copied() {
        let (dir, root) = root();
        let (context, out) = (Context::new(), dir.path().join("out"));
        write_file(root.as_fd(), ROOT, "/etc/motd", b"hello").unwrap();
        write_file(root.as_fd(), ROOT, "/etc/motd", b"hi").unwrap();
        assert_eq!(read_file(root.as_fd(), "/etc/motd").unwrap(), b"hi");
        copy_out(&context, root.as_fd(), "/etc/motd", out.to_str().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "hi");
        copy_in(&context, root.as_fd(), ROOT, out.to_str().unwrap(), "/etc").unwrap();
        assert_eq!(read_file(root.as_fd(), "/etc/out").unwrap(), b"hi");
        assert_eq!(read_file(root.as_fd(), "/etc").unwrap_err().kind(), Kind::Invalid);
        let missing = copy_in(&context, root.as_fd(), ROOT, out.to_str().unwrap(), "/none/at/all").unwrap_err();
        assert_eq!(missing.kind(), Kind::NotFound);
    }
}
