//! What lay in the place of a memory file system, copied into it.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use crate::error::{Context, Result};

const PLAIN: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);

/// Copies all that is in a directory into another one, which is empty. Links in them are not followed.
pub(in crate::runtime) fn copy(from: impl AsFd, to: impl AsFd) -> Result<()> {
    copy_dir(from.as_fd(), to.as_fd())
}

fn copy_dir(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let show = || "copy a directory";
    let mut dir = Dir::openat(from, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | PLAIN, Mode::empty()).during(show)?;
    let names = dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let names = names.collect::<nix::Result<Vec<_>>>().during(show)?;
    for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
        copy_entry(from, to, name).during(|| format!("copy `{}`", name.to_string_lossy()))?;
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let status = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).during(|| "look at it")?;
    let mode = Mode::from_bits_truncate(status.st_mode & 0o7777);
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::from_bits_truncate(0o700)).during(|| "make it")?;
            let open = |dir| openat(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | PLAIN, Mode::empty());
            let (source, copy) = (open(from).during(|| "open it")?, open(to).during(|| "open it")?);
            copy_dir(source.as_fd(), copy.as_fd())?;
        }
        SFlag::S_IFREG => copy_file(from, to, name)?,
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name).during(|| "read it")?;
            symlinkat(target.as_os_str(), to, name).during(|| "make it")?;
        }
        // A socket nobody listens at any more is of no use.
        SFlag::S_IFSOCK => return Ok(()),
        _ => mknodat(to, name, kind, mode, status.st_rdev).during(|| "make it")?,
    }
    own(to, name, &status, mode, kind).during(|| "give it to its owner")
}

/// Owner first: a change of it takes rights away.
fn own(to: BorrowedFd<'_>, name: &CStr, status: &FileStat, mode: Mode, kind: SFlag) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    match kind {
        SFlag::S_IFLNK => Ok(()),
        _ => fchmodat(to, name, mode, FchmodatFlags::FollowSymlink),
    }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let source: OwnedFd =
        openat(from, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | PLAIN, Mode::empty()).during(|| "open it")?;
    let make = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | PLAIN;
    let copy = openat(to, name, make, Mode::from_bits_truncate(0o600)).during(|| "make it")?;
    std::io::copy(&mut File::from(source), &mut File::from(copy))
        .map(drop)
        .during(|| "copy its content")
}
