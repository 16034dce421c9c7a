//! Which devices a container may use. A rule about devices is kept by the kernel at every open and every `mknod`, whatever file system
//! the node is on: in v1 by the controller `devices`, in v2 by a program attached to the group.

mod exceptions;
mod program;
mod rule;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::Spec;

use crate::error::{Context, Result};
use crate::sys::bpf;

pub use rule::{Access, Devices, Kind, Rule};

/// The v1 controller.
pub(super) const CONTROLLER: &str = "devices";

/// What every container may use, as with Docker: `null`, `zero`, `full`, `random`, `urandom`, `tty`, `console`, `ptmx`, and the
/// terminals of `/dev/pts`.
const COMMON: [(u32, Option<u32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// The rules of a container that asks for nothing: no device but those that every container has.
pub(in crate::runtime) fn common() -> Vec<Rule> {
    let allowed = COMMON.iter().map(|(major, minor)| Devices {
        kind: Some(Kind::Character),
        major: Some(*major),
        minor: *minor,
    });
    let rule = |allow, devices| Rule {
        allow,
        devices,
        access: Access::ALL,
    };
    let allowed = allowed.map(|devices| rule(true, devices));
    std::iter::once(rule(false, Devices::ALL)).chain(allowed).collect()
}

/// The rules of a configuration. Errors: `invalid`.
pub(in crate::runtime) fn rules(spec: &Spec) -> Result<Vec<Rule>> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let rules = resources.and_then(|resources| resources.devices().as_ref());
    rules.into_iter().flatten().map(Rule::from_oci).collect()
}

/// Whether a group made anew, which inherits that everything is allowed, does as the rules say.
pub(super) fn allow_everything(rules: &[Rule]) -> bool {
    let everything = |rule: &Rule| rule.devices == Devices::ALL && rule.access == Access::ALL;
    match rules.iter().rposition(everything) {
        Some(last) => rules[last..].iter().all(|rule| rule.allow),
        None => rules.is_empty(),
    }
}

/// Writes rules to a group of v1.
pub(super) fn write(group: &Path, rules: &[Rule]) -> Result<()> {
    let exceptions = exceptions::of(rules)?;
    let (all, some) = match exceptions.allow {
        true => ("devices.allow", "devices.deny"),
        false => ("devices.deny", "devices.allow"),
    };
    super::controller::write(group, all, "a")?;
    let path = group.join(some);
    let open = std::fs::OpenOptions::new().write(true).open(&path);
    let mut file = open.during(|| format!("open `{}`", path.display()))?;
    exceptions.list.iter().try_for_each(|(devices, access)| {
        // The kernel takes one at a time.
        let line = format!("{devices} {access}");
        file.write_all(line.as_bytes())
            .during(|| format!("write `{line}` to `{}`", path.display()))
    })
}

/// Whether the kernel takes programs about devices from this process.
pub(super) fn can_attach() -> bool {
    bpf::load_device_program(&program::compile(&common())).is_ok()
}

/// Has a group of v2 ask a program that says the same as the rules, and no other program of ours any more. False if this process
/// may not, or the kernel knows no such programs.
pub(super) fn attach(group: BorrowedFd<'_>, rules: &[Rule]) -> Result<bool> {
    let program = match bpf::load_device_program(&program::compile(rules)) {
        Err(Errno::EPERM | Errno::EINVAL | Errno::ENOSYS) => return Ok(false),
        loaded => loaded.during(|| "hand a program about devices to the kernel")?,
    };
    let before = bpf::device_programs(group).during(|| "list the programs about devices")?;
    bpf::attach_device_program(group, &program).during(|| "attach a program about devices")?;
    let mut before = before.iter();
    before.try_for_each(|old| bpf::detach_device_program(group, old).during(|| "detach a program about devices"))?;
    Ok(true)
}
