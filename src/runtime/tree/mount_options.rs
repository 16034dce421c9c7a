//! The options of a mount (runtime-spec, `config.md#mounts`; mount(8)), sorted by who understands them.

use oci_spec::runtime::Mount;

use crate::error::Result;
use crate::model::unknown;
use crate::sys::mount::{Attributes, Propagation};

/// Attributes by name, and whether it sets them or takes them away. With an `r` before it the name means all mounts below too.
const ATTRIBUTES: [(&str, Attributes, bool); 17] = [
    ("ro", Attributes::READ_ONLY, true),
    ("rw", Attributes::READ_ONLY, false),
    ("nosuid", Attributes::NO_SUID, true),
    ("suid", Attributes::NO_SUID, false),
    ("nodev", Attributes::NO_DEV, true),
    ("dev", Attributes::NO_DEV, false),
    ("noexec", Attributes::NO_EXEC, true),
    ("exec", Attributes::NO_EXEC, false),
    ("noatime", Attributes::NO_ATIME, true),
    ("atime", Attributes::NO_ATIME, false),
    ("strictatime", Attributes::STRICT_ATIME, true),
    ("nostrictatime", Attributes::STRICT_ATIME, false),
    ("nodiratime", Attributes::NO_DIR_ATIME, true),
    ("diratime", Attributes::NO_DIR_ATIME, false),
    ("relatime", Attributes::ATIME, false),
    ("nosymfollow", Attributes::NO_SYM_FOLLOW, true),
    ("symfollow", Attributes::NO_SYM_FOLLOW, false),
];

const PROPAGATION: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("slave", Propagation::Slave),
    ("shared", Propagation::Shared),
    ("unbindable", Propagation::Unbindable),
];

/// What a word such as `rshared` says, and whether of all mounts below too. Errors: `invalid`.
pub(in crate::runtime) fn propagation(name: &str) -> Result<(Propagation, bool)> {
    let named = |name: &str| {
        PROPAGATION
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, found)| *found)
    };
    let deep = name.strip_prefix('r').and_then(named).map(|found| (found, true));
    let found = named(name).map(|found| (found, false)).or(deep);
    found.ok_or_else(|| unknown("propagation", name, &PROPAGATION.map(|(known, _)| known)))
}

/// What is the default anyway, or means nothing to a mount made anew.
const NOTHING: [&str; 12] = [
    "bind",
    "defaults",
    "async",
    "loud",
    "silent",
    "nomand",
    "noiversion",
    "nolazytime",
    "norelatime",
    "remount",
    "nofail",
    "noauto",
];

/// What a file system takes itself, whichever it is.
const OF_ANY: [&str; 5] = ["sync", "dirsync", "mand", "iversion", "lazytime"];

/// Attributes to be set and to be taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::runtime) struct Change {
    pub(in crate::runtime) set: Attributes,
    pub(in crate::runtime) clear: Attributes,
}

impl Change {
    fn add(&mut self, attributes: Attributes, is_set: bool) {
        let (to, from) = match is_set {
            true => (&mut self.set, &mut self.clear),
            false => (&mut self.clear, &mut self.set),
        };
        *to = to.with(attributes);
        *from = from.without(attributes);
    }
}

/// The options of a mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::runtime) struct Options {
    /// Of the mount itself.
    pub(in crate::runtime) own: Change,
    /// Of all mounts below it too.
    pub(in crate::runtime) all: Change,
    /// Whether a bind mount takes those below along.
    pub(in crate::runtime) recursive: bool,
    /// What is passed on between copies, and whether that holds for all mounts below.
    pub(in crate::runtime) propagation: Option<(Propagation, bool)>,
    /// Whether owners are shown as a user namespace maps them, and if so, whether that holds for all mounts below.
    pub(in crate::runtime) shifted: Option<bool>,
    /// Whether what was in its place is copied into it.
    pub(in crate::runtime) copy_up: bool,
    /// For the file system itself.
    pub(in crate::runtime) filesystem: Vec<(String, Option<String>)>,
}

impl Options {
    /// Those of a mount.
    pub(in crate::runtime) fn of(mount: &Mount) -> Options {
        let mut options = Options::default();
        mount.options().iter().flatten().for_each(|option| options.add(option));
        options
    }

    fn add(&mut self, option: &str) {
        let attribute = |name: &str| ATTRIBUTES.iter().find(|(known, ..)| *known == name);
        let propagation = |name: &str| PROPAGATION.iter().find(|(known, _)| *known == name);
        if let Some((_, attributes, is_set)) = attribute(option) {
            self.own.add(*attributes, *is_set);
        } else if let Some((_, propagation)) = propagation(option) {
            self.propagation = Some((*propagation, false));
        } else if option == "rbind" {
            self.recursive = true;
        } else if let "idmap" | "ridmap" = option {
            self.shifted = Some(option == "ridmap");
        } else if option == "tmpcopyup" {
            self.copy_up = true;
        } else if NOTHING.contains(&option) {
        } else if let Some((_, attributes, is_set)) = option.strip_prefix('r').and_then(attribute) {
            self.all.add(*attributes, *is_set);
        } else if let Some((_, propagation)) = option.strip_prefix('r').and_then(propagation) {
            self.propagation = Some((*propagation, true));
        } else {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (option, None),
            };
            self.filesystem.push((key.to_owned(), value));
        }
    }
}

/// All names that have a meaning whatever is mounted.
pub(in crate::runtime) fn known() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(name, ..)| *name);
    let propagation = PROPAGATION.iter().map(|(name, _)| *name);
    let both = attributes
        .chain(propagation)
        .flat_map(|name| [name.to_owned(), format!("r{name}")]);
    let others = NOTHING
        .iter()
        .chain(&OF_ANY)
        .chain(&["idmap", "rbind", "ridmap", "tmpcopyup"]);
    let mut names: Vec<String> = both.chain(others.map(|name| (*name).to_owned())).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::MountBuilder;

    use super::*;

    fn parse(options: &[&str]) -> Options {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Options::of(&MountBuilder::default().options(options).build().unwrap())
    }

    #[test]
    fn options_go_to_who_understands_them() {
        let parsed = parse(&["ro", "rbind", "nosuid", "size=64m", "newinstance", "rw2", "rprivate"]);
        assert!(parsed.recursive && parsed.own.set == Attributes::READ_ONLY.with(Attributes::NO_SUID));
        assert_eq!(parsed.propagation, Some((Propagation::Private, true)));
        let own = [("size", Some("64m")), ("newinstance", None), ("rw2", None)];
        let own = own.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(parsed.filesystem, own);
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(parse(&["ro", "rw"]).own.set, Attributes::NONE);
        assert_eq!(parse(&["rro", "rrw"]).all.clear, Attributes::READ_ONLY);
        assert_eq!(parse(&["rnosuid"]).all.set, Attributes::NO_SUID);
        assert_eq!(
            parse(&["private", "shared"]).propagation,
            Some((Propagation::Shared, false))
        );
        assert!(known().contains(&"rro".to_owned()) && known().contains(&"rbind".to_owned()));
    }
}
