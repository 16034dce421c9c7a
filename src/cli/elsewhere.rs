//! What Docker has and Hoist has not: what a person is told who asks for it.

const NETWORK: &str = "Hoist makes no networks and publishes no ports: a container shares the machine's network (`--network host`) or that of \
    another container (`--network container:NAME`), or has a loopback of its own";
const BUILD: &str = "Hoist reads no Dockerfiles: images come by `hoist pull`, `hoist load`, `hoist import`, `hoist commit`, or \
    `image::from_host` in a script";

/// Commands of Docker's, and what there is instead.
const COMMANDS: [(&str, &str); 9] = [
    ("build", BUILD),
    ("builder", BUILD),
    ("buildx", BUILD),
    (
        "compose",
        "several containers are a script: `hoist doc container::run_detached`",
    ),
    (
        "context",
        "there is no daemon: the store is `--root DIR`, or HOIST_ROOT",
    ),
    (
        "manifest",
        "an image for several platforms is put together in a script: `hoist doc registry::index`",
    ),
    ("network", NETWORK),
    (
        "secret",
        "a file of this machine is shown to a container by `hoist container run --secret FILE`",
    ),
    (
        "stack",
        "several containers are a script: `hoist doc container::run_detached`",
    ),
];

/// Flags of Docker's for new containers, long and short, and what there is instead.
const FLAGS: [(&str, &str); 16] = [
    ("P", NETWORK),
    ("attach", "`--interactive` and `--tty` attach; `--detach` does not"),
    ("dns-search", NETWORK),
    ("domainname", "`--hostname` sets the name inside"),
    ("expose", NETWORK),
    ("gpus", "`--device` gives a device of the machine"),
    ("group-add", "`--user USER:GROUP` sets the group"),
    ("ip", NETWORK),
    ("link", NETWORK),
    ("mac-address", NETWORK),
    ("network-alias", NETWORK),
    (
        "oom-kill-disable",
        "`--memory` is the limit, and what goes over it is killed",
    ),
    ("p", NETWORK),
    ("publish", NETWORK),
    ("publish-all", NETWORK),
    (
        "volumes-from",
        "name the volumes: `--volume NAME:PATH`; `hoist inspect` shows those of a container",
    ),
];

/// What there is instead of a command.
pub(super) fn command(name: &str) -> Option<&'static str> {
    let found = COMMANDS.iter().find(|row| row.0 == name);
    found.map(|row| row.1)
}

/// What there is instead of a flag of `run` and `create`.
pub(super) fn flag(name: &str) -> Option<&'static str> {
    let found = FLAGS.iter().find(|row| row.0 == name);
    found.map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::command::parameters;
    use crate::script::commands::{COMMANDS as OURS, GROUPS};

    #[test]
    fn what_there_is_is_not_said_to_be_missing() {
        for (name, _) in COMMANDS {
            let is_ours = OURS.iter().any(|own| own.name == name) || GROUPS.iter().any(|group| group.0 == name);
            assert!(!is_ours, "{name}");
        }
        for flag in parameters() {
            let short = flag.short().map(|letter| letter.to_string()).unwrap_or_default();
            let said = FLAGS.iter().find(|row| row.0 == flag.name || row.0 == short);
            assert!(said.is_none(), "{said:?}");
        }
    }
}
