//! Who a container's process runs as: numbers, or names looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! The files are the image's, so they may be anything: only regular files are read, and only so much (CVE-2024-9676).

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::runtime::User;

use crate::error::{Context, Error, Result};
use crate::runtime::rootfs;

const LARGEST_FILE: u64 = 1 << 20;
/// Most of them are shorter.
const USUAL_FILE: usize = 4096;

/// The numbers a process gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runtime) struct Identity {
    pub(in crate::runtime) uid: u32,
    pub(in crate::runtime) gid: u32,
    /// The supplementary groups; the primary one is always among them (CVE-2022-36109).
    pub(in crate::runtime) groups: Vec<u32>,
    pub(in crate::runtime) home: Option<String>,
}

/// Who a process is to be.
#[derive(Debug, Clone, Copy)]
pub(in crate::runtime) enum Who<'a> {
    /// As people write it, see [`resolve`].
    Named(&'a str),
    /// As an OCI configuration has it: numbers, which are the process's whatever the container's files say.
    Numbered(&'a User),
}

impl Who<'_> {
    pub(in crate::runtime) fn resolve(self, root: impl AsFd) -> Result<Identity> {
        let user = match self {
            Who::Named(name) => return resolve(root, name),
            Who::Numbered(user) => user,
        };
        Ok(Identity {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            home: home_of(root, user.uid())?,
        })
    }
}

/// The home directory of whoever has a number, if anybody has.
fn home_of(root: impl AsFd, uid: u32) -> Result<Option<String>> {
    let passwd = read(root, "etc/passwd")?;
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|fields| fields.get(2).is_some_and(|field| id(field) == Some(uid)));
    let home = entry.as_ref().and_then(|fields| fields.get(5));
    Ok(home.filter(|home| !home.is_empty()).map(|home| (*home).to_owned()))
}

/// Resolves `""`, `user`, `user:group`, `uid` and `uid:gid`. A number is never looked up as a name (CVE-2026-30892).
pub(in crate::runtime) fn resolve(root: impl AsFd, user: &str) -> Result<Identity> {
    let (user_part, group_part) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let passwd = read(root.as_fd(), "etc/passwd")?;
    let entry = find_user(&passwd, if user_part.is_empty() { "0" } else { user_part })?;
    let (gid, groups) = match group_part {
        Some(group) => (find_group(&read(root.as_fd(), "etc/group")?, group)?, Vec::new()),
        None => (
            entry.gid,
            match entry.name {
                Some(name) => groups_of(&read(root.as_fd(), "etc/group")?, &name),
                None => Vec::new(),
            },
        ),
    };
    let mut all = vec![gid];
    groups.into_iter().for_each(|group| {
        if !all.contains(&group) {
            all.push(group);
        }
    });
    Ok(Identity {
        uid: entry.uid,
        gid,
        groups: all,
        home: entry.home,
    })
}

struct Entry {
    name: Option<String>,
    uid: u32,
    gid: u32,
    home: Option<String>,
}

fn find_user(passwd: &str, user: &str) -> Result<Entry> {
    let number = number(user, "user")?;
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| match number {
            Some(uid) => fields.get(2).is_some_and(|field| id(field) == Some(uid)),
            None => fields.first() == Some(&user) && fields.len() > 3,
        });
    match (fields, number) {
        (Some(fields), _) => {
            let id_at = |at: usize| fields.get(at).and_then(|field| id(field));
            let (Some(uid), Some(gid)) = (id_at(2), id_at(3)) else {
                return Err(Error::invalid(format!(
                    "user `{user}` has no valid number in the container's `/etc/passwd`"
                )));
            };
            let home = fields
                .get(5)
                .filter(|home| !home.is_empty())
                .map(|home| (*home).to_owned());
            Ok(Entry {
                name: Some(fields[0].to_owned()),
                uid,
                gid,
                home,
            })
        }
        (None, Some(uid)) => Ok(Entry {
            name: None,
            uid,
            gid: 0,
            home: None,
        }),
        (None, None) => Err(absent("user", user, "/etc/passwd")),
    }
}

fn find_group(groups: &str, group: &str) -> Result<u32> {
    if let Some(gid) = number(group, "group")? {
        return Ok(gid);
    }
    let mut fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find(|fields| fields.first() == Some(&group) && fields.len() > 2);
    let gid = found
        .ok_or_else(|| absent("group", group, "/etc/group"))?
        .get(2)
        .and_then(|field| id(field));
    gid.ok_or_else(|| {
        Error::invalid(format!(
            "group `{group}` has no valid number in the container's `/etc/group`"
        ))
    })
}

fn groups_of(groups: &str, user: &str) -> Vec<u32> {
    let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let with_user = fields.filter(|fields| {
        fields
            .get(3)
            .is_some_and(|members| members.split(',').any(|m| m == user))
    });
    with_user.filter_map(|fields| id(fields[2])).collect()
}

/// `Some` if the text is meant as a number; an error if it is and is none that an id can have.
fn number(text: &str, what: &str) -> Result<Option<u32>> {
    let first = text.bytes().next();
    if !first.is_some_and(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'+') {
        return match text {
            "" => Err(Error::invalid(format!("the {what} is empty"))),
            _ => Ok(None),
        };
    }
    match id(text) {
        Some(id) => Ok(Some(id)),
        // Names such as `3proxy` start with a digit; what is all digits or signed is a number and nothing else.
        None if text[1..].bytes().any(|byte| !byte.is_ascii_digit()) && text.as_bytes()[0].is_ascii_digit() => Ok(None),
        None => Err(Error::invalid(format!("`{}` is not a {what} id", text.escape_debug()))
            .hint("an id is a number from 0 to 2147483647")),
    }
}

/// A decimal number an id can have: above 2^31 - 1 the kernel's own signed comparisons begin (CVE-2024-40635).
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u32>()
        .ok()
        .filter(|id| digits && i32::try_from(*id).is_ok())
}

fn absent(what: &str, name: &str, file: &str) -> Error {
    Error::not_found(format!(
        "there is no {what} `{}` in the container's `{file}`",
        name.escape_debug()
    ))
    .target(name)
}

/// The text of a small regular file; empty if there is none. Opening never waits: the image may have put a FIFO there.
fn read(root: impl AsFd, path: &str) -> Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match rootfs::open(root, Path::new(path), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(errno).during(|| format!("read the container's `/{path}`")),
    };
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "failed to read the container's `/{path}`: {why}"
        )))
    };
    if !file
        .metadata()
        .during(|| format!("read the container's `/{path}`"))?
        .is_file()
    {
        return refuse("it is not a regular file");
    }
    let mut content = Vec::with_capacity(USUAL_FILE);
    let length = file.take(LARGEST_FILE + 1).read_to_end(&mut content);
    match length.during(|| format!("read the container's `/{path}`"))? as u64 {
        0..=LARGEST_FILE => Ok(String::from_utf8_lossy(&content).into_owned()),
        _ => refuse("it is larger than 1 MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::fs;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:\n1000:x:0:0::/:\n3proxy:x:13:13::/:\n\
                          far:x:4294967296:1::/:\nshort\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,other\nwheel:x:10:app\napp:x:1001:app\nbad:x:-1:app\n";

    fn root() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), PASSWD).unwrap();
        fs::write(dir.path().join("etc/group"), GROUP).unwrap();
        let fd = File::open(dir.path()).unwrap();
        (dir, fd)
    }

    #[test]
    fn every_form_comes_to_the_numbers_docker_gives() {
        let (_dir, root) = root();
        for (user, uid, gid, groups, home) in [
            ("", 0, 0, vec![0], Some("/root")),
            ("app", 1000, 1001, vec![1001, 50, 10], Some("/home/app")),
            ("app:staff", 1000, 50, vec![50], Some("/home/app")),
            ("app:7", 1000, 7, vec![7], Some("/home/app")),
            ("1000", 1000, 1001, vec![1001, 50, 10], Some("/home/app")),
            ("4000", 4000, 0, vec![0], None),
            ("4000:4001", 4000, 4001, vec![4001], None),
            ("3proxy", 13, 13, vec![13], Some("/")),
            ("2147483647", 2_147_483_647, 0, vec![0], None),
        ] {
            let expected = Identity {
                uid,
                gid,
                groups,
                home: home.map(str::to_owned),
            };
            assert_eq!(resolve(&root, user).unwrap(), expected, "{user}");
        }
    }

    #[test]
    fn s16_nothing_falls_back_to_root() {
        let (_dir, root) = root();
        for (user, kind) in [
            ("nobody", Kind::NotFound),
            ("app:none", Kind::NotFound),
            ("2147483648", Kind::Invalid),
            ("4294967296", Kind::Invalid),
            ("-1", Kind::Invalid),
            ("+5", Kind::Invalid),
            ("0:-1", Kind::Invalid),
            ("app:", Kind::Invalid),
            ("far", Kind::Invalid),
            ("app:bad", Kind::Invalid),
            ("short", Kind::NotFound),
            ("99999999999999999999", Kind::Invalid),
        ] {
            assert_eq!(resolve(&root, user).unwrap_err().kind(), kind, "{user}");
        }
    }

    #[test]
    fn s20_a_hostile_file_neither_hangs_nor_fills_the_memory() {
        let (dir, root) = root();
        let passwd = dir.path().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        nix::unistd::mkfifo(&passwd, Mode::from_bits_truncate(0o644)).unwrap();
        assert_eq!(resolve(&root, "app").unwrap_err().kind(), Kind::Invalid);
        fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(resolve(&root, "app").unwrap_err().kind(), Kind::Invalid);
        fs::remove_file(&passwd).unwrap();
        std::os::unix::fs::symlink("/../../../../../etc/passwd-of-the-host", &passwd).unwrap();
        assert_eq!(resolve(&root, "root").unwrap_err().kind(), Kind::NotFound);
    }
}
