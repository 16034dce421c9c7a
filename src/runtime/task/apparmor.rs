//! AppArmor: the profile a program of a container runs under (runtime-spec, `config.md#process`, `apparmorProfile`).

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::error::{Context, Error, Result};
use crate::sys::file;

/// The profile of who has none: no kernel without AppArmor needs to know it.
const UNCONFINED: &str = "unconfined";

/// Whether this kernel has AppArmor, and it is on.
fn is_on() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|told| told.starts_with(b"Y"))
}

/// Refuses a profile that this kernel could not keep. Errors: `invalid`, `unsupported`.
pub fn check(profile: &str) -> Result<()> {
    if profile.bytes().any(|byte| byte == 0 || byte == b'\n') {
        return Err(Error::invalid(
            "an AppArmor profile has a zero byte or a line end in its name",
        ));
    }
    match profile == UNCONFINED || is_on() {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "AppArmor is not on in this kernel, and `{profile}` is a profile of it"
        ))
        .hint("leave the profile out, or have the engine do so by `--security-opt apparmor=unconfined`")),
    }
}

/// Has the next program that this process becomes run under a profile.
///
/// The root may be the image's work, and `/proc` a place it made itself: what is written to is a file of the kernel, and this process's
/// (CVE-2019-16884, CVE-2025-52881).
pub(in crate::runtime) fn of_next_program(profile: &str) -> Result<()> {
    let set = || format!("run under the AppArmor profile `{profile}`");
    let mut file = match attribute()? {
        Some(file) => file,
        None if profile == UNCONFINED => return Ok(()),
        None => return Err(Error::unsupported("this kernel has no AppArmor").during(set())),
    };
    file.write_all(format!("exec {profile}").as_bytes()).map_err(|cause| {
        let missing = cause.kind() == ErrorKind::NotFound;
        let error = Err::<(), _>(cause).during(set).expect_err("made of an error");
        match missing {
            true => error.hint("no such profile is loaded: `apparmor_parser --replace FILE` loads those of a file"),
            false => error,
        }
    })
}

/// The file that takes the profile; `None` without AppArmor. `attr/exec`, which all security modules share, is not asked: it might be
/// another's.
fn attribute() -> Result<Option<File>> {
    let what = || "open `/proc` to set an AppArmor profile";
    let proc = file::open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY);
    let proc = proc.during(what)?;
    if fstatfs(&proc).during(what)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(
            Error::denied("`/proc` in the container is not the kernel's: no AppArmor profile can be set")
                .hint("mount `proc` there, and nothing over it"),
        );
    }
    let how = OpenHow::new()
        .flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let path = format!("{}/attr/apparmor/exec", nix::unistd::gettid());
    match openat2(&proc, Path::new(&path), how) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(nix::errno::Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno).during(|| format!("open `/proc/{path}`")),
    }
}
