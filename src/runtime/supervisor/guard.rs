//! What keeps a container from the devices of the host: rules that the kernel keeps for its control group. Where this machine has no
//! way to have them kept, no device node can be opened but those the runtime makes, and what needs rules is refused.

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};
use crate::runtime::cgroup::{self, Cgroup, Rule};
use crate::runtime::devices::{self, Node};
use crate::runtime::settings::Settings;
use crate::runtime::spec;
use crate::sys::mount::Attributes;

/// A container's devices, and what its mounts must have so that it uses no others.
pub(in crate::runtime) struct Guard {
    /// The host's devices that are made in it.
    pub(in crate::runtime) nodes: Vec<Node>,
    /// What every mount of files that others made has.
    pub(in crate::runtime) attributes: Attributes,
}

impl Guard {
    /// Looks at the host's devices and has the rules kept for groups in which nothing runs yet.
    pub(in crate::runtime) fn put(spec: &Spec, settings: &Settings, cgroup: &Cgroup) -> Result<Guard> {
        let nodes = devices::find(&settings.devices)?;
        let asked = cgroup::device_rules(spec)?;
        let rules: Vec<Rule> = asked.iter().copied().chain(nodes.iter().map(Node::rule)).collect();
        let attributes = match cgroup.restrict_devices(&rules)? {
            true => Attributes::NONE,
            false => {
                do_without(spec, settings, &asked)?;
                Attributes::NO_DEV
            }
        };
        Ok(Guard { nodes, attributes })
    }
}

/// Errors: `unsupported` for what only rules could hold.
fn do_without(spec: &Spec, settings: &Settings, asked: &[Rule]) -> Result<()> {
    let limited = settings
        .devices
        .iter()
        .find(|device| device.access != cgroup::Access::ALL);
    let what = if let Some(device) = limited {
        format!(
            "give the device `{}` for `{}` only",
            device.source.display(),
            device.access
        )
    } else if asked != cgroup::common_devices() {
        "keep rules about devices".to_owned()
    } else if spec::capabilities(spec::process_of(spec)?)?
        .bounding
        .contains("MKNOD".parse()?)
    {
        "give the capability `CAP_MKNOD`, by which a container makes nodes of any device".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!(
        "failed to {what}: this machine has neither the control group controller `devices` nor programs for it under v2"
    ))
    .hint("mount or delegate the controller, or leave the option out"))
}
