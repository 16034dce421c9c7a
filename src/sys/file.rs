//! Files by descriptor: resolving within a root, extended attributes, locks, write-back, deep removal.
//!
//! Knows nothing of images: it only makes calls safe that libraries leave out or leave unsafe.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, unlinkat};

/// An open directory or file that can be locked; the lock ends with the value.
pub type Lock = Flock<File>;

/// Makes a directory, and those above it that are missing, for its owner and group alone, as Docker's data root since CVE-2021-41091:
/// users of the host would find programs in it that give them other rights. One that exists stays as it is.
pub fn make_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o710).create(path)
}

/// Opens `path` as a process whose root is `root` would: absolute links and `..` stay inside, `/proc` magic links are refused
/// (openat2(2), `RESOLVE_IN_ROOT`). An empty path is the root itself.
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    open_how(root, path, flags, resolve)
}

/// Opens `path` below `root` without following any symbolic link, not even a last one (`ELOOP`), unless `flags` has `O_PATH | O_NOFOLLOW`.
pub fn open_no_links(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    open_how(root, path, flags | OFlag::O_NOFOLLOW, resolve)
}

fn open_how(root: BorrowedFd<'_>, path: &[u8], flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        // EAGAIN: a rename raced with `..`; EINTR: a signal. Both mean "again" (openat2(2)).
        match openat2(root, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// The status of `name` in `dir` itself, links not followed.
pub fn status_at(dir: BorrowedFd<'_>, name: &[u8]) -> nix::Result<FileStat> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// The type bits of a status.
pub fn kind_of(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits())
}

/// The names in a directory without `.` and `..`, sorted by bytes.
pub fn names(dir: BorrowedFd<'_>) -> nix::Result<Vec<CString>> {
    let own = openat(
        dir,
        c".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut names: Vec<CString> = entries(own.as_fd())?.into_iter().map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

/// What is in a directory from where it is read, and whether it is surely a directory itself; `.` and `..` are left out.
fn entries(dir: BorrowedFd<'_>) -> nix::Result<Vec<(CString, bool)>> {
    let mut entries = Vec::new();
    let mut buffer = vec![0u8; SMALL];
    loop {
        // SAFETY: the kernel writes at most the buffer's length into it.
        let got = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
        let mut rest = &buffer[..usize::try_from(Errno::result(got)?).unwrap_or(0)];
        if rest.is_empty() {
            return Ok(entries);
        }
        // Each is of two numbers of 8 bytes, its length, its kind, and its name with a zero byte at its end (getdents64(2)).
        while let Some((head, _)) = rest.split_at_checked(19) {
            let length = usize::from(u16::from_ne_bytes([head[16], head[17]]));
            let (entry, others) = rest.split_at_checked(length).ok_or(Errno::EIO)?;
            let name = CStr::from_bytes_until_nul(entry.get(19..).ok_or(Errno::EIO)?).map_err(|_| Errno::EIO)?;
            if !matches!(name.to_bytes(), b"." | b"..") {
                entries.push((name.to_owned(), head[18] == libc::DT_DIR));
            }
            rest = others;
        }
    }
}

/// A path through which calls that take no descriptor reach an open file, `O_PATH` ones too (proc(5), `/proc/pid/fd`).
pub fn magic_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Changes the owner of what `fd` refers to, a link itself included.
pub fn change_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> nix::Result<()> {
    fchownat(
        fd,
        c"",
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::AT_EMPTY_PATH,
    )
}

/// Changes the permissions of what `fd` refers to, even if it was opened with `O_PATH`; not for links.
pub fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> nix::Result<()> {
    let mode = Mode::from_bits_truncate(mode);
    nix::sys::stat::fchmodat(fd, &magic_path(fd), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)
}

/// Sets the modification time of `name` in `dir`, of a link itself if it is one; the time of access becomes the same.
pub fn set_mtime_at(dir: BorrowedFd<'_>, name: &[u8], seconds: i64, nanos: u32) -> nix::Result<()> {
    let time = TimeSpec::new(seconds, i64::from(nanos));
    utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)
}

/// Sets the modification time of an open file; the time of access becomes the same.
pub fn set_mtime(fd: BorrowedFd<'_>, seconds: i64, nanos: u32) -> nix::Result<()> {
    let time = TimeSpec::new(seconds, i64::from(nanos));
    nix::sys::stat::futimens(fd, &time, &time)
}

/// Opens what is there by one call, and leaves it to nobody who is executed. `open(2)` of the static program is two, for kernels before 2.6.23.
pub fn open<P: ?Sized + NixPath>(path: &P, flags: OFlag) -> nix::Result<OwnedFd> {
    openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC, Mode::empty())
}

/// The same of a file that is made with these permissions, less the umask, if it is not there.
pub fn open_or_make(path: &Path, flags: OFlag, mode: u32) -> std::io::Result<File> {
    let flags = flags | OFlag::O_CREAT | OFlag::O_CLOEXEC;
    Ok(openat(AT_FDCWD, path, flags, Mode::from_bits_truncate(mode)).map(File::from)?)
}

/// A small file's content, with the fewest calls: the kernel's own files tell no size.
pub fn read_small(path: &Path) -> std::io::Result<Vec<u8>> {
    read_until(path, |got, _| got == 0)
}

/// The same of a file that is given whole by one call if there is room: any on a disk, and those of the kernel that are one record.
pub fn read_whole(path: &Path) -> std::io::Result<Vec<u8>> {
    read_until(path, |got, room| got < room)
}

/// Reads until a call that got so many bytes into so much room was the last.
fn read_until(path: &Path, is_last: impl Fn(usize, usize) -> bool) -> std::io::Result<Vec<u8>> {
    let mut file = File::from(open(path, OFlag::O_RDONLY)?);
    let mut content = vec![0; SMALL];
    let mut length = 0;
    loop {
        let room = content.len() - length;
        match file.read(&mut content[length..]) {
            Ok(got) => {
                length += got;
                if is_last(got, room) {
                    break;
                }
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
        if length == content.len() {
            content.resize(2 * length, 0);
        }
    }
    content.truncate(length);
    Ok(content)
}

/// The same for text.
pub fn read_small_text(path: &Path) -> std::io::Result<String> {
    String::from_utf8(read_small(path)?).map_err(|cause| std::io::Error::new(ErrorKind::InvalidData, cause))
}

/// [`read_whole`] for text.
pub fn read_whole_text(path: &Path) -> std::io::Result<String> {
    String::from_utf8(read_whole(path)?).map_err(|cause| std::io::Error::new(ErrorKind::InvalidData, cause))
}

/// As much as most small files have.
const SMALL: usize = 4096;

/// Writes to a file that is there, by one call, with as few others.
pub fn write_small(path: &Path, content: &[u8]) -> std::io::Result<()> {
    File::from(open(path, OFlag::O_WRONLY)?).write_all(content)
}

/// Sets an extended attribute of what `fd` refers to, even if it was opened with `O_PATH`.
pub fn set_xattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> nix::Result<()> {
    let path = c_path(&magic_path(fd))?;
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: both strings end with NUL and live through the call; the value's pointer and length belong together.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Sets an extended attribute of what lies at a path that nobody else can change.
pub fn set_xattr_of_path(path: &Path, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let path = c_path(path)?;
    // SAFETY: both strings end with NUL and live through the call; the value's pointer and length belong together.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// The value of an extended attribute; `None` where it is not set or not supported.
pub fn xattr(fd: BorrowedFd<'_>, name: &CStr) -> nix::Result<Option<Vec<u8>>> {
    let read = |buffer: &mut [u8]| {
        // SAFETY: the name ends with NUL, and the kernel writes at most the buffer's length into it.
        unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    };
    let read_by_path = |path: CString| {
        grow(|buffer| {
            // SAFETY: both strings end with NUL, and the kernel writes at most the buffer's length into it.
            unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
        })
    };
    match or_by_path(fd, grow(read), read_by_path) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The names of all extended attributes, sorted; none where the file system has no such thing.
pub fn xattr_names(fd: BorrowedFd<'_>) -> nix::Result<Vec<CString>> {
    let read = |buffer: &mut [u8]| {
        // SAFETY: the kernel writes at most the buffer's length into it.
        unsafe { libc::flistxattr(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
    };
    let read_by_path = |path: CString| {
        grow(|buffer| {
            // SAFETY: the path ends with NUL, and the kernel writes at most the buffer's length into it.
            unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
        })
    };
    let list = match or_by_path(fd, grow(read), read_by_path) {
        Ok(list) => list,
        Err(Errno::EOPNOTSUPP) => Vec::new(),
        Err(cause) => return Err(cause),
    };
    let words = list.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let mut names: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
    names.sort();
    Ok(names)
}

/// What a descriptor gave, or its path if it is an `O_PATH` one, which these calls refuse.
fn or_by_path<T>(
    fd: BorrowedFd<'_>,
    given: nix::Result<T>,
    by_path: impl FnOnce(CString) -> nix::Result<T>,
) -> nix::Result<T> {
    match given {
        Err(Errno::EBADF) => by_path(c_path(&magic_path(fd))?),
        given => given,
    }
}

/// Calls with a larger buffer until the answer fits; attribute lists and values are at most 64 KiB (xattr(7)).
fn grow(mut read: impl FnMut(&mut [u8]) -> isize) -> nix::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match Errno::result(read(&mut buffer)) {
            Ok(length) => {
                buffer.truncate(usize::try_from(length).unwrap_or(0));
                return Ok(buffer);
            }
            Err(Errno::ERANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 8, 0),
            Err(cause) => return Err(cause),
        }
    }
}

fn c_path(path: &Path) -> nix::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Asks the kernel to start writing a range of a file to disk without waiting for it; failure costs only time later.
pub fn start_writeback(file: BorrowedFd<'_>, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: takes a descriptor that is open and three numbers, touches no memory of ours.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Locks a file for this process alone without waiting; `None` if another holds it.
pub fn try_lock(file: File) -> nix::Result<Option<Lock>> {
    lock_by(file, FlockArg::LockExclusiveNonblock)
}

/// Locks a file, shared with others that do the same, or alone; waits for it.
pub fn lock(file: File, shared: bool) -> nix::Result<Lock> {
    let how = if shared {
        FlockArg::LockShared
    } else {
        FlockArg::LockExclusive
    };
    Ok(lock_by(file, how)?.expect("a lock that waits is never busy"))
}

fn lock_by(mut file: File, how: FlockArg) -> nix::Result<Option<Lock>> {
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(Some(lock)),
            Err((same, Errno::EINTR)) => file = same,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, cause)) => return Err(cause),
        }
    }
}

/// Removes `name` in `dir` with all below it, following no link. Needs three descriptors however deep the tree is: every directory
/// is first moved up beside the one being emptied.
pub fn remove_tree_at(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(cause) => return Err(cause),
    }
    let top = open_no_links(dir, name.as_bytes(), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    clear(top.as_fd())?;
    unlinkat(dir, name, UnlinkatFlags::RemoveDir)
}

/// [`remove_tree_at`] for a directory at a path.
pub fn remove_tree(path: &Path) -> std::io::Result<()> {
    clear(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW)?.as_fd())?;
    std::fs::remove_dir(path)
}

/// Removes all that is in a directory.
fn clear(top: BorrowedFd<'_>) -> nix::Result<()> {
    let mut waiting: Vec<CString> = Vec::new();
    let mut moved = 0u64;
    empty(top, None, &mut waiting, &mut moved)?;
    while let Some(next) = waiting.pop() {
        let child = open_no_links(top, next.to_bytes(), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        empty(child.as_fd(), Some(top), &mut waiting, &mut moved)?;
        unlinkat(top, next.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

/// Unlinks what is in `dir` and moves its directories, if they are not empty, to `top` under free names, unless that is where they are.
fn empty(
    dir: BorrowedFd<'_>,
    top: Option<BorrowedFd<'_>>,
    waiting: &mut Vec<CString>,
    moved: &mut u64,
) -> nix::Result<()> {
    for (name, is_dir) in entries(dir)? {
        let unlinked = match is_dir {
            true => Err(Errno::EISDIR),
            false => unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir),
        };
        match unlinked {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(cause) => return Err(cause),
        }
        match (unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir), top) {
            (Ok(()), _) => {}
            (Err(_), None) => waiting.push(name),
            (Err(_), Some(top)) => waiting.push(move_up(dir, &name, top, moved)?),
        }
    }
    Ok(())
}

fn move_up(dir: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> nix::Result<CString> {
    loop {
        *moved += 1;
        let free = CString::new(format!(".moved-{moved}")).expect("has no NUL");
        match rename_new(dir, name, top, &free) {
            Ok(()) => return Ok(free),
            Err(Errno::EEXIST) => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Gives an open file a name that nothing has yet (`EEXIST` otherwise), even if it was opened with `O_TMPFILE` and has none.
pub fn link(file: BorrowedFd<'_>, name: &Path) -> nix::Result<()> {
    linkat(AT_FDCWD, &magic_path(file), AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)
}

/// Renames to a name that nothing has yet (`EEXIST` otherwise; renameat2(2), `RENAME_NOREPLACE`).
pub fn rename_new(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new_name: &CStr) -> nix::Result<()> {
    // SAFETY: both names end in a zero byte and live until the call returns; the descriptors are open for as long.
    let result = unsafe {
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        libc::syscall(
            libc::SYS_renameat2,
            from,
            name.as_ptr(),
            to,
            new_name.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    Errno::result(result).map(drop)
}

/// Exchanges what two paths name, at once (renameat2(2), `RENAME_EXCHANGE`).
pub fn exchange(one: &Path, other: &Path) -> nix::Result<()> {
    let (one, other) = (c_path(one)?, c_path(other)?);
    // SAFETY: both paths end in a zero byte and live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    Errno::result(result).map(drop)
}

/// Writes everything the file system of `fd` holds in memory to disk, and waits for it (syncfs(2)).
pub fn sync_filesystem(fd: BorrowedFd<'_>) -> nix::Result<()> {
    nix::unistd::syncfs(fd)
}

/// The bytes of the disk that a path is on, but for those kept for an administrator, and how many of them are free (statvfs(3)).
pub fn disk(path: &Path) -> nix::Result<(u64, u64)> {
    let facts = nix::sys::statvfs::statvfs(path)?;
    let reserved = facts.blocks_free() - facts.blocks_available();
    let total = (facts.blocks() - reserved) * facts.fragment_size();
    Ok((total, facts.blocks_available() * facts.fragment_size()))
}

/// Makes renames within a directory last.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn open_dir(path: &Path) -> File {
        File::open(path).unwrap()
    }

    #[test]
    fn links_out_of_a_root_stay_in_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/name"), "inside").unwrap();
        std::fs::write(temp.path().join("name"), "outside").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../../etc", root.join("relative")).unwrap();
        let fd = open_dir(&root);
        for path in ["absolute/name", "relative/name", "../../etc/name"] {
            let found = open_in_root(fd.as_fd(), path.as_bytes(), OFlag::O_RDONLY).unwrap();
            assert_eq!(std::io::read_to_string(File::from(found)).unwrap(), "inside", "{path}");
        }
        assert_eq!(
            open_no_links(fd.as_fd(), b"absolute/name", OFlag::O_RDONLY).unwrap_err(),
            Errno::ELOOP
        );
    }

    #[test]
    fn attributes_of_binary_value_come_back() {
        let temp = tempfile::tempdir().unwrap();
        let file = File::create(temp.path().join("f")).unwrap();
        set_xattr(file.as_fd(), b"user.big", &[0xff, 0, 1].repeat(500)).unwrap();
        let place = open_no_links(open_dir(temp.path()).as_fd(), b"f", OFlag::O_PATH).unwrap();
        for fd in [file.as_fd(), place.as_fd()] {
            assert_eq!(xattr(fd, c"user.big").unwrap(), Some([0xff, 0, 1].repeat(500)));
            assert_eq!(xattr(fd, c"user.none").unwrap(), None);
            assert_eq!(xattr_names(fd).unwrap(), [c"user.big".to_owned()]);
        }
    }

    #[test]
    fn a_tree_deeper_than_descriptors_and_paths_goes() {
        let temp = tempfile::tempdir().unwrap();
        let mut dir: OwnedFd = open_dir(temp.path()).into();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&dir, c"d", Mode::S_IRWXU).unwrap();
            dir = open_no_links(dir.as_fd(), b"d", OFlag::O_PATH | OFlag::O_DIRECTORY).unwrap();
        }
        let outside = temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        symlink(&outside, temp.path().join("d/link")).unwrap();
        remove_tree_at(open_dir(temp.path()).as_fd(), OsStr::new("d")).unwrap();
        assert!(!temp.path().join("d").exists());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn two_directories_change_places() {
        let temp = tempfile::tempdir().unwrap();
        let (a, b) = (temp.path().join("a"), temp.path().join("b"));
        std::fs::create_dir_all(a.join("in-a")).unwrap();
        std::fs::create_dir(&b).unwrap();
        exchange(&a, &b).unwrap();
        assert!(b.join("in-a").is_dir() && !a.join("in-a").exists());
    }

    #[test]
    fn a_lock_is_seen_by_others_until_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let held = try_lock(open_dir(temp.path())).unwrap().unwrap();
        assert!(try_lock(open_dir(temp.path())).unwrap().is_none());
        drop(held);
        assert!(try_lock(open_dir(temp.path())).unwrap().is_some());
    }

    #[test]
    fn owner_and_mode_change_through_a_path_only_descriptor() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        std::fs::write(&path, "").unwrap();
        let fd = open_no_links(open_dir(temp.path()).as_fd(), b"f", OFlag::O_PATH).unwrap();
        change_owner(fd.as_fd(), 7, 8).unwrap();
        change_mode(fd.as_fd(), 0o4711).unwrap();
        let status = std::fs::metadata(&path).unwrap();
        assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (7, 8, 0o4711));
    }
}
