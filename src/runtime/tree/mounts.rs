//! The mounts of a configuration, each made apart and attached to a place that was opened inside the root: no path is walked twice,
//! and none falls back to being named (CVE-2021-30465).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MntFlags;
use nix::sys::stat::{Mode, SFlag, fstat};
use oci_spec::runtime::Mount;

use crate::error::{Context, Error, Result};
use crate::runtime::id_maps::{IdMaps, Users};
use crate::runtime::mount_options::{Change, Options};
use crate::runtime::{copy_up, devices, id_maps, rootfs};
use crate::sys::file;
use crate::sys::mount::{self, Attributes, Filesystem, Propagation};

/// Where POSIX shared memory is (shm_overview(7)).
pub(in crate::runtime) const SHM: &str = "/dev/shm";
/// The source of a mount that shows the same place of the container whose IPC namespace is joined: no path of the host.
pub(in crate::runtime) const JOINED_SHM: &str = "joined";

fn kind(mount: &Mount) -> &str {
    match is_bind(mount) {
        true => "bind",
        false => mount.typ().as_deref().unwrap_or_default(),
    }
}

/// Whether something of the host is shown: what type such a mount names does not matter (mount(8)).
pub(in crate::runtime) fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    mount.typ().as_deref().is_none_or(|typ| typ == "bind")
        || options.into_iter().any(|one| one == "bind" || one == "rbind")
}

/// What is made on the host, before the container's own view exists, in the order of the mounts: copies of the host's files and
/// directories that are to be shown inside, and `/dev`; `None` for other mounts. `always` is what those copies have in any case.
pub(in crate::runtime) fn open_sources(
    mounts: &[Mount],
    nodes: &[devices::Node],
    always: Attributes,
    users: Option<&Users>,
) -> Result<Vec<Option<OwnedFd>>> {
    mounts
        .iter()
        .map(|mount| {
            if is_dev(mount) {
                make_dev(mount, nodes, users).map(Some)
            } else if kind(mount) == "bind" && !is_joined(mount) {
                let source = mount.source().as_deref().unwrap_or(Path::new(""));
                let open = || file::open(source, OFlag::O_PATH);
                let copy = open_source(mount, source, always, open)?;
                let show = || format!("mount `{}` on `{}`", source.display(), mount.destination().display());
                shift(mount, &copy, users).map_err(|error| error.during(show()))?;
                Ok(Some(copy))
            } else {
                Ok(None)
            }
        })
        .collect()
}

/// Has a copy show its files as those of other users, if the mount asks for it: by its own maps, else by the container's.
fn shift(mount: &Mount, copy: &OwnedFd, users: Option<&Users>) -> Result<()> {
    let asked = Options::of(mount).shifted;
    let recursive = asked == Some(true);
    match (IdMaps::of_mount(mount)?, asked, users) {
        (Some(maps), ..) => id_maps::shift(copy, maps.namespace()?, recursive),
        (None, None, _) => Ok(()),
        (None, Some(_), Some(users)) => id_maps::shift(copy, &users.shift, recursive),
        (None, Some(_), None) => Err(Error::invalid(
            "it has the option `idmap`, and neither it nor the container has maps",
        )
        .hint("give the mount `uidMappings` and `gidMappings`, or the container a user namespace")),
    }
}

/// Errors: `unsupported` for a mount whose owners cannot be shifted.
pub(in crate::runtime) fn check_shifts(mounts: &[Mount]) -> Result<()> {
    let is_shifted = |mount: &Mount| Ok(IdMaps::of_mount(mount)?.is_some() || Options::of(mount).shifted.is_some());
    mounts.iter().filter(|mount| !is_bind(mount)).try_for_each(|mount| match is_shifted(mount)? {
        true => Err(Error::unsupported(format!(
            "the mount on `{}` has maps of users and is no bind mount",
            mount.destination().display()
        ))
        .hint("leave out `uidMappings`, `gidMappings` and `idmap`: only what is on the host already has owners to be shifted")),
        false => Ok(()),
    })
}

fn is_dev(mount: &Mount) -> bool {
    mount.destination() == Path::new("/dev") && kind(mount) == "tmpfs"
}

fn make_dev(mount: &Mount, nodes: &[devices::Node], users: Option<&Users>) -> Result<OwnedFd> {
    let dev = make(mount, &Options::of(mount), Some(0o755)).during(|| "make `/dev`")?;
    devices::fill(&dev, nodes, users.map(|users| &users.maps))?;
    Ok(dev)
}

/// Adds those that another container has; called among its mounts, where what it made is not to be trusted.
pub(in crate::runtime) fn open_joined(mounts: &[Mount], sources: &mut [Option<OwnedFd>]) -> Result<()> {
    let root = file::open("/", OFlag::O_PATH).during(|| "open the root")?;
    let mut joined = mounts.iter().zip(sources).filter(|(mount, _)| is_joined(mount));
    joined.try_for_each(|(mount, source)| {
        let shm = Path::new(SHM);
        let open = || rootfs::open_plain_dir(&root, shm);
        *source = Some(open_source(mount, shm, Attributes::NONE, open)?);
        Ok(())
    })
}

fn is_joined(mount: &Mount) -> bool {
    mount.source().as_deref() == Some(Path::new(JOINED_SHM))
}

fn open_source(
    mount: &Mount,
    source: &Path,
    always: Attributes,
    open: impl FnOnce() -> nix::Result<OwnedFd>,
) -> Result<OwnedFd> {
    let mut options = Options::of(mount);
    options.all.set = options.all.set.with(always);
    let show = || format!("mount `{}` on `{}`", source.display(), mount.destination().display());
    let place = open().during(show)?;
    let copy = mount::copy(&place, options.recursive).during(show)?;
    apply(&copy, &options).during(show)?;
    Ok(copy)
}

/// Gives a copy what its options ask for. What is mounted below it is changed only where they say so.
fn apply(copy: &OwnedFd, options: &Options) -> nix::Result<()> {
    let (propagation, deep) = options.propagation.unwrap_or((Propagation::Private, true));
    if propagation == Propagation::Shared {
        // It gives to copies of itself, and only takes from the host.
        mount::change(copy, Attributes::NONE, Some(Propagation::Slave), deep)?;
    }
    let Change { set, clear } = options.all;
    if !options.recursive {
        return mount::exchange(copy, set.with(options.own.set), clear, Some(propagation), false);
    }
    let deep = deep || options.all != Change::default();
    mount::exchange(copy, set, clear, Some(propagation), deep)?;
    match options.own.set {
        Attributes::NONE => Ok(()),
        set => mount::change(copy, set, None, false),
    }
}

/// What the mounts leave behind for the steps after them.
pub(in crate::runtime) struct Mounted {
    /// The container's null device.
    pub(in crate::runtime) null: Option<OwnedFd>,
}

/// Makes all mounts below an open root, in order. `cgroup` attaches the container's view of
/// its control groups to a place, read-only or not. `in_turn` has bind mounts listed among the others in that order, too.
pub(in crate::runtime) fn mount_all(
    root: BorrowedFd<'_>,
    mounts: &[Mount],
    sources: &[Option<OwnedFd>],
    sysctl: &dyn Fn(BorrowedFd<'_>) -> Result<()>,
    cgroup: &dyn Fn(BorrowedFd<'_>, Attributes) -> Result<()>,
    in_turn: bool,
) -> Result<Mounted> {
    let mut mounted = Mounted { null: None };
    for (mount, source) in mounts.iter().zip(sources) {
        let target = mount.destination();
        let show = || format!("mount `{}`", target.display());
        match (kind(mount), source) {
            ("tmpfs", Some(dev)) if is_dev(mount) => {
                attach_source(root, &in_its_turn(dev).during(show)?, target).during(show)?;
                mounted.null = Some(devices::null(dev)?);
            }
            (_, Some(source)) => {
                let place = attach_source(root, source, target).during(show)?;
                if in_turn {
                    renew(source, &place).during(show)?;
                }
            }
            ("cgroup" | "cgroup2", _) => {
                let access = match Options::of(mount).own.set.has(Attributes::READ_ONLY) {
                    true => Attributes::READ_ONLY,
                    false => Attributes::NONE,
                };
                cgroup(rootfs::make_dir(root, target).during(show)?.as_fd(), access).during(show)?;
            }
            (typ @ ("proc" | "sysfs"), _) => {
                let filesystem = make(mount, &Options::of(mount), None).during(show)?;
                if typ == "proc" {
                    sysctl(filesystem.as_fd())?;
                }
                attach_plain(root, &filesystem, target).during(show)?;
            }
            (typ, _) => {
                let (place, mode) = place_for(root, target).during(show)?;
                let options = Options::of(mount);
                let filesystem = make(mount, &options, mode.filter(|_| typ == "tmpfs")).during(show)?;
                if options.copy_up {
                    copy_up::copy(&place, &filesystem).during(show)?;
                }
                mount::attach(&filesystem, &place).during(show)?;
                if let Some((propagation, deep)) = options.propagation.filter(|(one, _)| *one != Propagation::Private) {
                    mount::change(&filesystem, Attributes::NONE, Some(propagation), deep).during(show)?;
                }
            }
        }
    }
    Ok(mounted)
}

/// The place for a memory file system, and the mode of the directory it covers, which it takes over.
fn place_for(root: BorrowedFd<'_>, target: &Path) -> nix::Result<(OwnedFd, Option<u32>)> {
    match rootfs::open(root, target, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()) {
        Ok(place) => {
            let mode = fstat(&place)?.st_mode & 0o7777;
            Ok((place, Some(mode)))
        }
        Err(Errno::ENOENT) => Ok((rootfs::make_dir(root, target)?, None)),
        Err(errno) => Err(errno),
    }
}

fn make(mount: &Mount, options: &Options, covered_mode: Option<u32>) -> Result<OwnedFd> {
    let typ = kind(mount);
    let filesystem = Filesystem::open(typ).during(|| format!("use the file system `{typ}`"))?;
    // For these it is only a name, which /proc/mounts shows; left out, that is `none`.
    if let Some(source) = mount.source().as_deref().and_then(Path::to_str) {
        filesystem
            .set("source", source)
            .during(|| format!("name its source `{source}`"))?;
    }
    for (key, value) in &options.filesystem {
        let result = match value {
            Some(value) => filesystem.set(key, value),
            None => filesystem.flag(key),
        };
        result.map_err(|errno| unknown_option(typ, key, errno))?;
    }
    if let (Some(mode), false) = (covered_mode, options.filesystem.iter().any(|(key, _)| key == "mode")) {
        filesystem.set("mode", &format!("{mode:o}")).during(|| "set its mode")?;
    }
    filesystem
        .mount(options.own.set.with(options.all.set))
        .during(|| format!("make a file system `{typ}`"))
}

fn unknown_option(typ: &str, key: &str, errno: Errno) -> Error {
    match errno {
        Errno::EINVAL => Error::invalid(format!("file system `{typ}` does not take the option `{key}`")),
        errno => Err::<(), _>(errno)
            .during(|| format!("set the option `{key}`"))
            .expect_err("made from an error"),
    }
}

/// `/proc` and `/sys` must be real directories: programs trust what they find there (CVE-2019-19921).
fn attach_plain(root: BorrowedFd<'_>, filesystem: &OwnedFd, target: &Path) -> Result<()> {
    let place = match rootfs::open_plain_dir(root, target) {
        Err(Errno::ENOENT) => rootfs::make_dir(root, target).and_then(|_| rootfs::open_plain_dir(root, target)),
        result => result,
    };
    match place {
        Ok(place) => mount::attach(filesystem, &place).during(|| "attach it"),
        Err(Errno::ELOOP) => Err(Error::denied(format!(
            "`{}` is a link in the image, and must be mounted on ordinary directory",
            target.display()
        ))
        .hint("make it a directory in the image")),
        Err(errno) => Err(errno).during(|| "open the directory"),
    }
}

/// A copy, as old as those around it: `/proc/self/mountinfo` lists mounts in the order in which they were made (Linux 6.8), and `/dev`
/// was before all others. The mount itself before Linux 6.15, which copies nothing that is attached nowhere.
fn in_its_turn(mount: &OwnedFd) -> nix::Result<OwnedFd> {
    match mount::copy(mount, false) {
        Err(Errno::EINVAL) => mount.try_clone().map_err(|_| Errno::EMFILE),
        copy => copy,
    }
}

/// Puts a copy of a mount in the mount's place, to the same end: what was opened on the host is copied only where it is attached.
fn renew(mount: &OwnedFd, place: &OwnedFd) -> nix::Result<()> {
    let Ok(copy) = mount::copy(mount, true) else {
        return Ok(());
    };
    // A mount that is locked stays, and what is listed too early does no harm.
    match nix::mount::umount2(&file::magic_path(mount.as_fd()), MntFlags::MNT_DETACH) {
        Ok(()) => mount::attach(&copy, place),
        Err(_) => Ok(()),
    }
}

fn attach_source(root: BorrowedFd<'_>, source: &OwnedFd, target: &Path) -> nix::Result<OwnedFd> {
    let place = if is_dir(source)? {
        rootfs::make_dir(root, target)?
    } else {
        rootfs::make_file(root, target)?
    };
    mount::attach(source, &place)?;
    Ok(place)
}

fn is_dir(fd: impl AsFd) -> nix::Result<bool> {
    Ok(SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

/// Hides paths of the root this process already lives in: files behind the null device, directories behind an empty one.
pub(in crate::runtime) fn mask(paths: &[String], null: Option<&OwnedFd>) -> Result<()> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let show = || format!("hide `{path}`");
        let Some(place) = existing(path).during(show)? else {
            continue;
        };
        if is_dir(&place).during(show)? {
            let cover = match &empty {
                // Before Linux 6.15 only what is attached can be copied: the first is attached itself.
                Some(attached) => mount::copy(attached, false).during(show)?,
                None => empty_dir()?,
            };
            mount::attach(&cover, &place).during(show)?;
            empty.get_or_insert(cover);
        } else {
            let null = null.ok_or_else(|| Error::invalid("there is no `/dev/null` to hide files with"))?;
            let cover = mount::copy(null, false).during(show)?;
            mount::attach(&cover, &place).during(show)?;
        }
    }
    Ok(())
}

/// An empty directory that cannot be written to.
fn empty_dir() -> Result<OwnedFd> {
    let filesystem = Filesystem::open("tmpfs").during(|| "use the file system `tmpfs`")?;
    filesystem.set("nr_blocks", "1").during(|| "limit an empty directory")?;
    let attributes = Attributes::READ_ONLY
        .with(Attributes::NO_SUID)
        .with(Attributes::NO_DEV)
        .with(Attributes::NO_EXEC);
    filesystem.mount(attributes).during(|| "make an empty directory")
}

/// Shows paths of the root this process already lives in without letting them be written to.
pub(in crate::runtime) fn make_read_only(paths: &[String]) -> Result<()> {
    for path in paths {
        let show = || format!("make `{path}` read-only");
        let Some(place) = existing(path).during(show)? else {
            continue;
        };
        let cover = mount::copy(&place, true).during(show)?;
        mount::change(&cover, Attributes::READ_ONLY, None, true).during(show)?;
        mount::attach(&cover, &place).during(show)?;
    }
    Ok(())
}

/// Opens a path as a place, or what it leads to: a link would hide nothing of that. `None` if this kernel does not have it.
fn existing(path: &str) -> nix::Result<Option<OwnedFd>> {
    match file::open(path, OFlag::O_PATH) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(option: &str) -> Result<OwnedFd> {
        let mount = oci_spec::runtime::MountBuilder::default();
        let mount = mount.typ("tmpfs").options(vec![option.to_owned()]).build().unwrap();
        super::make(&mount, &Options::of(&mount), None)
    }

    #[test]
    fn an_option_the_file_system_lacks_is_named() {
        let error = make("nonsense").unwrap_err();
        assert_eq!(
            error.to_string(),
            "file system `tmpfs` does not take the option `nonsense`"
        );
    }

    #[test]
    fn a_dev_is_whole_before_it_is_attached() {
        let dev = make("mode=755").unwrap();
        devices::fill(&dev, &[], None).unwrap();
        devices::null(&dev).unwrap();
        nix::unistd::unlinkat(&dev, "null", nix::unistd::UnlinkatFlags::NoRemoveDir).unwrap();
        nix::unistd::symlinkat("zero", &dev, "null").unwrap();
        assert!(devices::null(&dev).is_err());
    }
}
