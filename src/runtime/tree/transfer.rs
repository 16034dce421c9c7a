//! Copying files and directories between two open directories.
//!
//! Everything goes by descriptor and by one name at a time, and no link is ever followed: whatever somebody inside the
//! container swaps meanwhile, nothing outside the two trees is read or written (CVE-2018-15664, CVE-2019-14271).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use crate::sys::file;

/// How deep a tree may be; the kernel's own limit on a path is reached before.
const DEEPEST: usize = 2048;

/// Whose a copy is.
#[derive(Clone, Copy)]
pub(in crate::runtime) enum Owner {
    /// This user's and group's.
    Given(Uid, Gid),
    /// Whose the original is; it keeps its extended attributes, too.
    Kept,
}

impl Owner {
    fn of_copy(self, original: &FileStat) -> (Option<Uid>, Option<Gid>) {
        match self {
            Owner::Given(uid, gid) => (Some(uid), Some(gid)),
            Owner::Kept => (
                Some(Uid::from_raw(original.st_uid)),
                Some(Gid::from_raw(original.st_gid)),
            ),
        }
    }
}

/// One end of a copy: a name in an open directory.
#[derive(Clone, Copy)]
pub(in crate::runtime) struct Place<'a> {
    pub(in crate::runtime) dir: BorrowedFd<'a>,
    pub(in crate::runtime) name: &'a CStr,
}

/// Copies whatever `from` is to `to`: contents, modes and times; a directory is merged into one that is there.
pub(in crate::runtime) fn copy(ctx: &Context, from: Place, to: Place, owner: Owner) -> Result<()> {
    copy_entry(ctx, from, to, owner, 0).map_err(|error| error.during(format!("copy `{}`", shown(from.name))))
}

fn shown(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

fn copy_entry(ctx: &Context, from: Place, to: Place, owner: Owner, depth: usize) -> Result<()> {
    ctx.check()?;
    if depth > DEEPEST {
        return Err(Error::invalid(format!(
            "directories are nested more than {DEEPEST} deep"
        )));
    }
    let status =
        file::status_at(from.dir, from.name.to_bytes()).during(|| format!("look at `{}`", shown(from.name)))?;
    match file::kind_of(&status) {
        SFlag::S_IFDIR => copy_directory(ctx, from, to, owner, depth),
        SFlag::S_IFREG => copy_file(from, to, owner),
        SFlag::S_IFLNK => copy_link(from, to, owner, &status),
        // A socket means nothing without the process that listens on it.
        SFlag::S_IFSOCK => Ok(()),
        _ => copy_node(to, owner, &status),
    }
}

fn open(place: Place, flags: OFlag) -> Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    openat(place.dir, place.name, flags, Mode::empty()).during(|| format!("open `{}`", shown(place.name)))
}

fn copy_directory(ctx: &Context, from: Place, to: Place, owner: Owner, depth: usize) -> Result<()> {
    match mkdirat(to.dir, to.name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(cause) => return Err(cause).during(|| format!("make the directory `{}`", shown(to.name))),
    }
    let source = open(from, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    let target = open(to, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    for name in file::names(source.as_fd()).during(|| format!("read the directory `{}`", shown(from.name)))? {
        let (from, to) = (
            Place {
                dir: source.as_fd(),
                name: &name,
            },
            Place {
                dir: target.as_fd(),
                name: &name,
            },
        );
        copy_entry(ctx, from, to, owner, depth + 1)?;
    }
    let status = fstat(&source).during(|| format!("look at `{}`", shown(from.name)))?;
    finish(source.as_fd(), target.as_fd(), owner, &status)
        .during(|| format!("set owner and times of `{}`", shown(to.name)))
}

fn copy_file(from: Place, to: Place, owner: Owner) -> Result<()> {
    let source = open(from, OFlag::O_RDONLY)?;
    let status = fstat(&source).during(|| format!("look at `{}`", shown(from.name)))?;
    if file::kind_of(&status) != SFlag::S_IFREG {
        return Err(Error::conflict(format!(
            "`{}` changed while it was copied",
            shown(from.name)
        )));
    }
    clear(to)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = openat(to.dir, to.name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let target = target.during(|| format!("make the file `{}`", shown(to.name)))?;
    let (mut reader, mut writer) = (File::from(source), File::from(target));
    std::io::copy(&mut reader, &mut writer).during(|| format!("write `{}`", shown(to.name)))?;
    finish(reader.as_fd(), writer.as_fd(), owner, &status)
        .during(|| format!("set owner and times of `{}`", shown(to.name)))
}

/// Owner first: chown takes setuid and capabilities away.
fn finish(original: BorrowedFd, fd: BorrowedFd, owner: Owner, status: &FileStat) -> nix::Result<()> {
    let (uid, gid) = owner.of_copy(status);
    nix::unistd::fchown(fd, uid, gid)?;
    if let Owner::Kept = owner {
        copy_attributes(original, fd)?;
    }
    nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(status.st_mode & 0o7777))?;
    let mtime = TimeSpec::new(status.st_mtime, status.st_mtime_nsec);
    nix::sys::stat::futimens(fd, &TimeSpec::UTIME_OMIT, &mtime)
}

/// Copies the extended attributes but those of the kernel's own bookkeeping and of the host's policy.
fn copy_attributes(from: BorrowedFd, to: BorrowedFd) -> nix::Result<()> {
    for name in file::xattr_names(from)? {
        let travels = match name.to_bytes() {
            b"security.capability" => true,
            other => other.starts_with(b"user.") || other.starts_with(b"system.posix_acl_"),
        };
        if let Some(value) = file::xattr(from, &name)?.filter(|_| travels) {
            file::set_xattr(to, name.to_bytes(), &value)?;
        }
    }
    Ok(())
}

fn copy_link(from: Place, to: Place, owner: Owner, status: &FileStat) -> Result<()> {
    let target = readlinkat(from.dir, from.name).during(|| format!("read the link `{}`", shown(from.name)))?;
    clear(to)?;
    let (uid, gid) = owner.of_copy(status);
    let make = || -> nix::Result<()> {
        symlinkat(target.as_os_str(), to.dir, to.name)?;
        fchownat(to.dir, to.name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let mtime = TimeSpec::new(status.st_mtime, status.st_mtime_nsec);
        utimensat(
            to.dir,
            to.name,
            &TimeSpec::UTIME_OMIT,
            &mtime,
            UtimensatFlags::NoFollowSymlink,
        )
    };
    make().during(|| format!("make the link `{}`", shown(to.name)))
}

fn copy_node(to: Place, owner: Owner, status: &FileStat) -> Result<()> {
    clear(to)?;
    let mode = Mode::from_bits_truncate(status.st_mode & 0o7777);
    let (uid, gid) = owner.of_copy(status);
    let make = || -> nix::Result<()> {
        mknodat(to.dir, to.name, file::kind_of(status), mode, status.st_rdev)?;
        fchownat(to.dir, to.name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
    };
    make().during(|| format!("make the device `{}`", shown(to.name)))
}

/// Makes room for something that is not a directory.
fn clear(to: Place) -> Result<()> {
    match unlinkat(to.dir, to.name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR) => Err(Error::conflict(format!("`{}` is a directory there", shown(to.name)))),
        Err(cause) => Err(cause).during(|| format!("replace `{}`", shown(to.name))),
    }
}

/// A name for use with the kernel. Errors: `invalid` if it has a zero byte.
pub(in crate::runtime) fn name(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(format!("`{}` has a zero byte", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn copy_x_to_y(source: &File, target: &File) {
        let owner = Owner::Given(nix::unistd::geteuid(), nix::unistd::getegid());
        let place = |dir, name| Place { dir, name };
        let (from, to) = (place(source.as_fd(), c"x"), place(target.as_fd(), c"y"));
        copy(&Context::new(), from, to, owner).unwrap();
    }

    fn copied(build: impl Fn(&std::path::Path), check: impl Fn(&std::path::Path)) {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        build(from.path());
        let open = |dir: &tempfile::TempDir| File::open(dir.path()).unwrap();
        let (source, target) = (open(&from), open(&to));
        copy_x_to_y(&source, &target);
        check(&to.path().join("y"));
    }

    #[test]
    fn a_tree_comes_out_as_it_was() {
        copied(
            |dir| {
                std::fs::create_dir_all(dir.join("x/sub")).unwrap();
                std::fs::write(dir.join("x/sub/file"), "text").unwrap();
                std::fs::set_permissions(dir.join("x/sub/file"), PermissionsExt::from_mode(0o4751)).unwrap();
                symlink("/etc/passwd", dir.join("x/link")).unwrap();
            },
            |copy| {
                assert_eq!(std::fs::read_to_string(copy.join("sub/file")).unwrap(), "text");
                assert_eq!(copy.join("sub/file").metadata().unwrap().mode() & 0o7777, 0o4751);
                assert_eq!(
                    std::fs::read_link(copy.join("link")).unwrap(),
                    std::path::Path::new("/etc/passwd")
                );
            },
        );
    }

    #[test]
    fn a_link_at_the_target_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("outside"), "safe").unwrap();
        std::fs::create_dir(dir.path().join("to")).unwrap();
        symlink("../outside", dir.path().join("to/y")).unwrap();
        std::fs::write(dir.path().join("x"), "new").unwrap();
        let (source, target) = (
            File::open(dir.path()).unwrap(),
            File::open(dir.path().join("to")).unwrap(),
        );
        copy_x_to_y(&source, &target);
        assert_eq!(std::fs::read_to_string(dir.path().join("outside")).unwrap(), "safe");
        assert_eq!(std::fs::read_to_string(dir.path().join("to/y")).unwrap(), "new");
    }
}
