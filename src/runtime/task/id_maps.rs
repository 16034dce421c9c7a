//! User namespaces: which users and groups of the host those of a container are (user_namespaces(7)).
//!
//! What lies in the store keeps the numbers of the image: layers and volumes are shown to the container by mounts that shift them
//! (mount_setattr(2), `MOUNT_ATTR_IDMAP`), so containers with different users share them, and a commit finds what an image has.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};
use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount, Spec};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::runtime::Request;
use crate::runtime::exit;
use crate::sys::{clone, mount, pidfd};

/// The most lines the kernel takes in one map.
const MOST_RANGES: usize = 340;

/// A user of the host that no container has, under which the kernel's own files of an overlay are kept on the disk: those that the
/// mounter makes, who is the host's root.
const MOUNTER: u32 = u32::MAX - 1;

/// Consecutive numbers inside and the same count of consecutive ones on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first number inside.
    pub inside: u32,
    /// The first number on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    /// The numbers after the last ones, inside and outside.
    fn ends(&self) -> Option<(u32, u32)> {
        Some((
            self.inside.checked_add(self.count)?,
            self.outside.checked_add(self.count)?,
        ))
    }
}

/// Who the users and groups of a container are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl IdMaps {
    /// Errors: `invalid` for maps the kernel would not take, and for those in which root is nobody.
    pub fn check(&self) -> Result<()> {
        check("uid", &self.uids)?;
        check("gid", &self.gids)
    }

    /// Those of a configuration that asks for a user namespace.
    pub(in crate::runtime) fn of(spec: &Spec) -> Option<IdMaps> {
        let linux = spec.linux().as_ref()?;
        let maps = IdMaps::read(linux.uid_mappings(), linux.gid_mappings());
        (!maps.uids.is_empty()).then_some(maps)
    }

    /// Those that a mount of a configuration has for itself: what is `inside` are the numbers on the disk. Errors: `invalid`.
    pub(in crate::runtime) fn of_mount(mount: &Mount) -> Result<Option<IdMaps>> {
        let maps = IdMaps::read(mount.uid_mappings(), mount.gid_mappings());
        if maps.uids.is_empty() && maps.gids.is_empty() {
            return Ok(None);
        }
        check_ranges("uidMappings", &maps.uids)?;
        check_ranges("gidMappings", &maps.gids)?;
        Ok(Some(maps))
    }

    fn read(uids: &Option<Vec<LinuxIdMapping>>, gids: &Option<Vec<LinuxIdMapping>>) -> IdMaps {
        let read = |mappings: &Option<Vec<LinuxIdMapping>>| {
            let mappings = mappings.iter().flatten();
            mappings
                .map(|one| IdRange {
                    inside: one.container_id(),
                    outside: one.host_id(),
                    count: one.size(),
                })
                .collect()
        };
        IdMaps {
            uids: read(uids),
            gids: read(gids),
        }
    }

    /// The user on the host.
    pub(in crate::runtime) fn uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The group on the host.
    pub(in crate::runtime) fn gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// Who the container's root is on the host.
    pub(in crate::runtime) fn root(&self) -> (Uid, Gid) {
        // Checked: both are mapped.
        let (uid, gid) = (self.uid(0).unwrap_or(0), self.gid(0).unwrap_or(0));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// The same for mounts of layers: an overlay is made by the host's root, who must have a number in them.
    fn with_mounter(&self) -> IdMaps {
        let add = |ranges: &[IdRange]| {
            let is_there = ranges.iter().any(|one| one.outside == 0);
            let mounter = IdRange {
                inside: MOUNTER,
                outside: 0,
                count: 1,
            };
            ranges.iter().copied().chain((!is_there).then_some(mounter)).collect()
        };
        IdMaps {
            uids: add(&self.uids),
            gids: add(&self.gids),
        }
    }

    /// A user namespace for mounts that shift what they show, layers among them. Needs a process with one thread.
    fn shift(&self) -> Result<OwnedFd> {
        self.with_mounter().namespace()
    }

    /// A user namespace with these maps. Needs a process with one thread.
    pub(in crate::runtime) fn namespace(&self) -> Result<OwnedFd> {
        let show = || "make a user namespace";
        // It is there for its namespace alone, and not for longer than this process.
        let child = clone::clone(CloneFlags::CLONE_NEWUSER, None, || {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            nix::unistd::pause();
            0
        });
        let child = child.during(show).map_err(|error| error.hint(HINT))?;
        let namespace = self.write(child.pid).and_then(|()| {
            let file = fs::File::open(format!("/proc/{}/ns/user", child.pid));
            file.map(OwnedFd::from).during(show)
        });
        pidfd::send_signal(&child.pidfd, Signal::SIGKILL as i32).during(show)?;
        exit::reap(&child.pidfd)?;
        namespace
    }

    /// Gives a process its map, in a user namespace just made.
    pub(in crate::runtime) fn write(&self, pid: i32) -> Result<()> {
        for (file, ranges) in [("uid_map", &self.uids), ("gid_map", &self.gids)] {
            let lines = ranges
                .iter()
                .map(|one| format!("{} {} {}\n", one.inside, one.outside, one.count));
            fs::write(format!("/proc/{pid}/{file}"), lines.collect::<String>()).during(|| format!("write `{file}`"))?;
        }
        Ok(())
    }
}

/// The users of a container that is being started.
pub(in crate::runtime) struct Users {
    pub(in crate::runtime) maps: IdMaps,
    /// The user namespace of what is shown to it from outside.
    pub(in crate::runtime) shift: OwnedFd,
}

impl Users {
    /// Those of a configuration that asks for a user namespace. Needs a process with one thread.
    pub(in crate::runtime) fn of(spec: &Spec) -> Result<Option<Users>> {
        let Some(maps) = IdMaps::of(spec) else {
            return Ok(None);
        };
        maps.check()?;
        let shift = maps.shift()?;
        Ok(Some(Users { maps, shift }))
    }
}

const HINT: &str = "`/proc/sys/user/max_user_namespaces` says how many there may be";

/// As an OCI configuration has it.
pub(in crate::runtime) fn to_oci(ranges: &[IdRange]) -> std::result::Result<Vec<LinuxIdMapping>, OciSpecError> {
    let build = |one: &IdRange| {
        let mapping = LinuxIdMappingBuilder::default();
        mapping
            .container_id(one.inside)
            .host_id(one.outside)
            .size(one.count)
            .build()
    };
    ranges.iter().map(build).collect()
}

/// Has a mount show its files as those of a user namespace, and so those below it when `recursive`.
pub(in crate::runtime) fn shift(copy: &OwnedFd, namespace: impl AsFd, recursive: bool) -> Result<()> {
    mount::shift_ids(copy, namespace, recursive).map_err(|errno| {
        let error = Err::<(), _>(errno).during(|| "show files under the numbers of a user namespace");
        let error = error.expect_err("made of an error");
        match errno {
            Errno::EINVAL | Errno::EOPNOTSUPP => error
                .with_kind(crate::error::Kind::Unsupported)
                .hint("the kernel does so since 5.19, on ext4, xfs, btrfs and others, but not on an overlay"),
            _ => error,
        }
    })
}

/// Becomes the root of the user namespace this process was put into.
pub(in crate::runtime) fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setgroups(&[])
        .and_then(|()| nix::unistd::setresgid(gid, gid, gid))
        .and_then(|()| nix::unistd::setresuid(uid, uid, uid))
        .during(|| "become root in the user namespace")
}

/// Errors: `invalid` for what a container with users of its own cannot share.
pub(in crate::runtime) fn check_request(request: &Request) -> Result<()> {
    use crate::runtime::{Namespace, NetworkMode};
    let Some(maps) = &request.user_namespace else {
        return Ok(());
    };
    maps.check()?;
    let shared = [
        ("pid", &request.pid),
        ("ipc", &request.ipc),
        ("cgroupns", &request.cgroupns),
    ];
    let shared = shared
        .into_iter()
        .find(|(_, namespace)| **namespace != Namespace::Private);
    let shared = shared.map(|(option, _)| option);
    match shared.or((request.network != NetworkMode::None).then_some("network")) {
        None => Ok(()),
        Some(option) => Err(Error::invalid(format!(
            "`{option}` cannot be shared by a container with a user namespace of its own"
        ))
        .hint(format!("leave out `userns`, or `{option}`"))),
    }
}

fn outside(ranges: &[IdRange], inside: u32) -> Option<u32> {
    ranges.iter().find_map(|one| {
        let offset = inside.checked_sub(one.inside).filter(|offset| *offset < one.count)?;
        one.outside.checked_add(offset)
    })
}

fn check(what: &str, ranges: &[IdRange]) -> Result<()> {
    check_ranges(what, ranges)?;
    match outside(ranges, 0) {
        Some(_) => Ok(()),
        None => Err(not_a_map(what, "makes nobody of root, who sets the container up")),
    }
}

fn not_a_map(what: &str, why: &str) -> Error {
    Error::invalid(format!("the map of `{what}` of a user namespace {why}"))
        .hint("a range is `INSIDE:HOST:COUNT`, such as `0:100000:65536`")
}

/// What the kernel asks of any map.
fn check_ranges(what: &str, ranges: &[IdRange]) -> Result<()> {
    let invalid = |why: &str| Err(not_a_map(what, why));
    if ranges.is_empty() || ranges.len() > MOST_RANGES {
        return invalid("has no range, or more than 340");
    }
    if ranges
        .iter()
        .any(|one| one.count == 0 || one.ends().is_none_or(|ends| ends.0 > MOUNTER))
    {
        return invalid("has a range that is empty or ends after the last number");
    }
    let overlap = |of: fn(&IdRange) -> u32| {
        ranges.iter().enumerate().any(|(at, one)| {
            ranges[..at].iter().any(|two| {
                let (first, second) = (of(one), of(two));
                first < second.saturating_add(two.count) && second < first.saturating_add(one.count)
            })
        })
    };
    if overlap(|one| one.inside) || overlap(|one| one.outside) {
        return invalid("has ranges that overlap");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn maps_that_the_kernel_would_refuse_are_refused() {
        for ranges in [
            vec![range(0, 100_000, 65536)],
            vec![range(1, 100_001, 10), range(0, 1000, 1)],
            vec![range(0, 0, 1)],
        ] {
            assert!(check("uid", &ranges).is_ok(), "{ranges:?}");
        }
        for ranges in [
            vec![],
            vec![range(0, 100_000, 0)],
            vec![range(1, 100_000, 10)],
            vec![range(0, u32::MAX - 5, 10)],
            vec![range(0, 0, u32::MAX)],
            vec![range(0, 100_000, 10), range(9, 200_000, 10)],
            vec![range(0, 100_000, 10), range(10, 100_009, 10)],
            (0..341).map(|at| range(at, at, 1)).collect(),
        ] {
            assert!(check("uid", &ranges).is_err(), "{ranges:?}");
        }
    }

    #[test]
    fn numbers_are_shifted() {
        let uids = vec![range(0, 100_000, 10), range(20, 5, 1)];
        let maps = IdMaps {
            gids: uids.clone(),
            uids,
        };
        assert_eq!(
            [0, 9, 10, 20].map(|inside| maps.uid(inside)),
            [Some(100_000), Some(100_009), None, Some(5)]
        );
        assert_eq!(maps.with_mounter().uid(MOUNTER), Some(0));
    }
}
