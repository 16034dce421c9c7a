//! Capability names and sets, and what a request to add and drop some comes to.
//! It applies nothing: that is `sys::capability`.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::{Context, Error, Result};
use crate::model::suggest;
use crate::sys::capability;

/// Every capability by number, without the `CAP_` prefix (`linux/capability.h`, capabilities(7)).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container gets unless asked otherwise: Docker's set without `MKNOD`, `NET_RAW` and `AUDIT_WRITE`, as Podman has it.
const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// The kernel's number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The full name, such as `CAP_CHOWN`.
    pub fn name(self) -> String {
        format!("CAP_{}", NAMES[usize::from(self.0)])
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", NAMES[usize::from(self.0)])
    }
}

impl FromStr for Capability {
    type Err = Error;
    /// Takes `CAP_CHOWN` and `CHOWN` in any case; an unknown name is `invalid`, with the nearest one as hint.
    fn from_str(text: &str) -> Result<Capability> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if let Some(number) = NAMES.iter().position(|name| *name == bare) {
            return Ok(Capability(number as u8));
        }
        let error = Error::invalid(format!("unknown capability `{}`", text.escape_debug())).target(text);
        Err(match suggest(bare, NAMES) {
            Some(near) => error.hint(format!("did you mean `CAP_{near}`?")),
            None => error.hint("capabilities(7) lists them; `ALL` means every one"),
        })
    }
}

/// A set of capabilities; bit `n` is capability number `n`, as the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapSet(u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: CapSet = CapSet(0);

    /// The set with these bits; those without a name are left out.
    pub fn from_bits(bits: u64) -> CapSet {
        CapSet(bits & ((1 << NAMES.len()) - 1))
    }

    /// The bits, for `sys::capability`.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The eleven a container gets unless asked otherwise.
    pub fn container_default() -> CapSet {
        DEFAULT
            .iter()
            .map(|name| name.parse::<Capability>().expect("the default names are valid"))
            .collect()
    }

    /// What this kernel knows (`/proc/sys/kernel/cap_last_cap`).
    pub fn known_by_kernel() -> Result<CapSet> {
        const FILE: &str = "/proc/sys/kernel/cap_last_cap";
        let text = std::fs::read_to_string(FILE).during(|| format!("read `{FILE}`"))?;
        let last: u32 = text
            .trim()
            .parse()
            .map_err(|_| Error::corrupt(format!("`{FILE}` is not a number")))?;
        Ok(CapSet::from_bits(u64::MAX >> (63 - last.min(63))))
    }

    /// What this process may hand to a container: its bounding set (`PR_CAPBSET_READ`), which stays what it was at first.
    pub fn available() -> Result<CapSet> {
        static HELD: OnceLock<CapSet> = OnceLock::new();
        if let Some(held) = HELD.get() {
            return Ok(*held);
        }
        let (held, _) = capability::bounding().during(|| "read the bounding set")?;
        Ok(*HELD.get_or_init(|| CapSet::from_bits(held)))
    }

    /// Whether the set has this one.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 >> capability.0 & 1 == 1
    }

    /// Adds one.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.0;
    }

    /// What both have.
    #[must_use]
    pub fn intersection(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// What either has.
    #[must_use]
    pub fn union(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    /// What this has and the other lacks.
    #[must_use]
    pub fn difference(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..NAMES.len() as u8)
            .map(Capability)
            .filter(move |&one| self.contains(one))
    }

    /// The full names, by number, as an OCI configuration lists them.
    pub fn names(self) -> Vec<String> {
        self.iter().map(Capability::name).collect()
    }
}

/// The five sets of a process (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What no program it runs can go beyond.
    pub bounding: CapSet,
    /// What the kernel checks.
    pub effective: CapSet,
    /// What it may make effective.
    pub permitted: CapSet,
    /// What a program with file capabilities may keep.
    pub inheritable: CapSet,
    /// What any program it runs keeps.
    pub ambient: CapSet,
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> CapSet {
        members.into_iter().fold(CapSet::EMPTY, |mut set, one| {
            set.insert(one);
            set
        })
    }
}

/// What a container gets. A privileged one has all there are but those dropped; one with a user namespace of its own can be given any,
/// held by this process or not, since they count for what belongs to that namespace only. Errors: as for [`resolve`].
pub fn granted(add: &[String], drop: &[String], privileged: bool, own_users: bool) -> Result<CapSet> {
    let known = CapSet::known_by_kernel()?;
    let available = if own_users { known } else { CapSet::available()? };
    match privileged {
        true => resolve_within(&["ALL".to_owned()], drop, available, known),
        false => resolve_within(add, drop, available, known),
    }
}

/// The default set with some added and some dropped, as Docker reads `--cap-add` and `--cap-drop`:
/// adding `ALL` starts from everything, dropping `ALL` starts from nothing, and otherwise an added one outweighs its drop.
///
/// Errors: `invalid` for an unknown name, `unsupported` for one this kernel lacks,
/// `denied` for one this process does not hold itself and so cannot give.
pub fn resolve(add: &[String], drop: &[String]) -> Result<CapSet> {
    resolve_within(add, drop, CapSet::available()?, CapSet::known_by_kernel()?)
}

fn resolve_within(add: &[String], drop: &[String], available: CapSet, known: CapSet) -> Result<CapSet> {
    let (add_all, add) = parse_list(add)?;
    let (drop_all, drop) = parse_list(drop)?;
    require(add, available, known)?;
    let wanted = if add_all {
        available.difference(drop)
    } else if drop_all {
        add
    } else {
        CapSet::container_default()
            .intersection(available)
            .difference(drop)
            .union(add)
    };
    Ok(wanted.intersection(known))
}

fn parse_list(names: &[String]) -> Result<(bool, CapSet)> {
    let is_all = |name: &&String| matches!(name.to_ascii_uppercase().as_str(), "ALL" | "CAP_ALL");
    let all = names.iter().any(|name| is_all(&name));
    let named = names
        .iter()
        .filter(|name| !is_all(name))
        .map(|name| name.parse::<Capability>());
    Ok((all, named.collect::<Result<CapSet>>()?))
}

fn require(add: CapSet, available: CapSet, known: CapSet) -> Result<()> {
    if let Some(absent) = add.difference(known).iter().next() {
        return Err(Error::unsupported(format!("this kernel has no capability `{absent}`")).target(absent.name()));
    }
    match add.difference(available).iter().next() {
        Some(lacking) => Err(Error::denied(format!(
            "failed to give capability `{lacking}`: this process does not hold it"
        ))
        .target(lacking.name())
        .hint("run as root outside of a container, or leave it out of `cap_add`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn resolved(add: &[&str], drop: &[&str]) -> Result<Vec<String>> {
        let all = CapSet::from_bits(u64::MAX);
        let without_time = all.difference([Capability::from_str("SYS_TIME")?].into_iter().collect());
        Ok(resolve_within(&strings(add), &strings(drop), without_time, all)?.names())
    }

    #[test]
    fn names_are_the_kernels_numbers() {
        for (name, number) in [
            ("CAP_CHOWN", 0),
            ("kill", 5),
            ("cap_sys_admin", 21),
            ("Mknod", 27),
            ("CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(name.parse::<Capability>().unwrap().number(), number, "{name}");
        }
        let error = "CAP_SYS_ADMON".parse::<Capability>().unwrap_err();
        assert_eq!(error.way_out(), Some("did you mean `CAP_SYS_ADMIN`?"));
    }

    #[test]
    fn add_and_drop_come_to_what_docker_makes_of_them() {
        let default = CapSet::container_default().names();
        assert_eq!(resolved(&[], &[]).unwrap(), default);
        assert_eq!(default.len(), 11);
        assert_eq!(resolved(&["net_raw"], &["ALL"]).unwrap(), ["CAP_NET_RAW"]);
        assert_eq!(resolved(&["ALL"], &["chown"]).unwrap().len(), 39);
        assert!(resolved(&["kill"], &["kill"]).unwrap().contains(&"CAP_KILL".to_owned()));
        assert!(!resolved(&[], &["kill"]).unwrap().contains(&"CAP_KILL".to_owned()));
        assert_eq!(resolved(&[], &["all"]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_given_is_refused_by_name() {
        let error = resolved(&["SYS_TIME"], &[]).unwrap_err();
        assert_eq!(
            error.message(),
            "failed to give capability `CAP_SYS_TIME`: this process does not hold it"
        );
        let old = CapSet::from_bits(0xff);
        let error = resolve_within(&strings(&["BPF"]), &[], CapSet::from_bits(u64::MAX), old).unwrap_err();
        assert_eq!(error.message(), "this kernel has no capability `CAP_BPF`");
        assert!(resolved(&[], &["nonsense"]).is_err());
    }

    #[test]
    fn this_kernel_knows_what_it_lets_us_have() {
        let (available, known) = (CapSet::available().unwrap(), CapSet::known_by_kernel().unwrap());
        assert!(available.difference(known).is_empty());
        assert_eq!(known.bits(), capability::bounding().unwrap().1 & known.bits());
    }
}
