//! A system call policy as Docker's profiles and OCI configurations write it, parsed and checked.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::syscalls::Arch;
use crate::error::{Error, Result};
use crate::runtime::capabilities::{CapSet, Capability};

/// `EPERM`, what a refused call fails with unless the profile says otherwise.
const EPERM: u32 = 1;
/// The largest error number the kernel lets a filter return (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;

/// A profile as written. A field nobody knows is refused: a misspelt condition would leave a rule that always holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<'a> {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    // Read one by one, so that errors can tell which it is.
    #[serde(default, borrow)]
    syscalls: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    // What says nothing here: errors have numbers.
    #[serde(default, rename = "defaultErrno")]
    _default_errno: IgnoredAny,
    #[serde(default)]
    listener_metadata: Option<String>,
}

/// A machine, and for which other call conventions of it the profile is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawEntry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Condition>>,
    #[serde(default)]
    includes: Option<Circumstances>,
    #[serde(default)]
    excludes: Option<Circumstances>,
    #[serde(default, rename = "comment")]
    _comment: IgnoredAny,
    #[serde(default, rename = "errno")]
    _errno: IgnoredAny,
}

/// When an entry counts: on these machines, for containers with these capabilities.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Circumstances {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// One comparison of a call's argument with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) index: usize,
    pub(super) value: u64,
    #[serde(default)]
    pub(super) value_two: u64,
    pub(super) op: Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Operator {
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    /// `argument & value == value_two`.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// What the kernel is told about a call: the return value of a filter (`SECCOMP_RET_*` of `linux/seccomp.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    pub(super) const ALLOW: Verdict = Verdict(0x7fff_0000);
    pub(super) const KILL_PROCESS: Verdict = Verdict(0x8000_0000);
    /// Fails with `ENOSYS`, so that programs fall back to an older call.
    pub(super) const NO_SUCH_CALL: Verdict = Verdict(0x0005_0000 | 38);

    pub(super) fn is_errno(self) -> bool {
        self.0 >> 16 == 0x0005
    }

    /// The call waits until whoever has the filter's listener has answered.
    pub(super) const NOTIFY: Verdict = Verdict(0x7fc0_0000);

    fn new(action: Action, data: Option<u32>) -> Result<Verdict> {
        let data = data.unwrap_or(EPERM);
        if data > MAX_ERRNO {
            return Err(Error::invalid(format!("the error number {data} is beyond {MAX_ERRNO}")));
        }
        Ok(match action {
            Action::Allow => Verdict::ALLOW,
            Action::KillProcess => Verdict::KILL_PROCESS,
            Action::KillThread => Verdict(0),
            Action::Trap => Verdict(0x0003_0000),
            Action::Errno => Verdict(0x0005_0000 | data),
            Action::Trace => Verdict(0x7ff0_0000 | data),
            Action::Log => Verdict(0x7ffc_0000),
            Action::Notify => Verdict::NOTIFY,
        })
    }
}

/// One entry of a profile: what happens to these calls, under these conditions on their arguments.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) names: Vec<String>,
    pub(super) verdict: Verdict,
    pub(super) conditions: Vec<Condition>,
    includes: Needs,
    excludes: Needs,
}

#[derive(Debug, Default)]
struct Needs {
    capabilities: Vec<Capability>,
    arches: Vec<String>,
    min_kernel: Option<Kernel>,
}

/// A kernel's version and patch level, such as 4.8.
pub(super) type Kernel = (u32, u32);

/// What the conditions of a profile's entries are resolved against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstance {
    /// The machine's own.
    pub(super) arch: Arch,
    pub(super) kernel: Kernel,
    pub(super) capabilities: CapSet,
}

/// Who is asked about calls (runtime-spec, `config-linux.md#seccomp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// A socket at which somebody waits for the filter's descriptor.
    pub path: PathBuf,
    /// What is told there beside it.
    pub metadata: Option<String>,
}

/// A system call policy, not yet bound to a machine or a container.
#[derive(Debug)]
pub struct Profile {
    /// Whether somebody is asked about some calls.
    pub(super) notifies: bool,
    listener: Option<Listener>,
    pub(super) default: Verdict,
    pub(super) flags: u32,
    pub(super) entries: Vec<Entry>,
    /// Architectures as listed, and those listed beside a machine's own.
    arches: Vec<String>,
    beside: Vec<(String, Vec<String>)>,
}

impl Profile {
    /// Reads a profile in Docker's form. Calls with unknown names are left out, as Docker does; `invalid` says what else is wrong and in
    /// which rule, `unsupported` names what needs somebody to be asked (`SCMP_ACT_NOTIFY`).
    pub fn parse(json: &[u8]) -> Result<Profile> {
        let profile = Profile::read(json, false)?;
        match profile.listener {
            None => Ok(profile),
            Some(_) => Err(Error::unsupported("`listenerPath` is not supported")
                .hint("nobody is there to be notified: leave it out")),
        }
    }

    /// Reads the `linux.seccomp` object of an OCI configuration, a subset of that form, but that it may name somebody to be asked.
    pub fn parse_notifying(json: &[u8]) -> Result<Profile> {
        let profile = Profile::read(json, true)?;
        match profile.notifies && profile.listener.is_none() {
            true => Err(Error::invalid("it has `SCMP_ACT_NOTIFY`, and nobody is to be notified")
                .hint("name a socket as `listenerPath`")),
            false => Ok(profile),
        }
    }

    /// Who is asked about calls, if that is anybody.
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref().filter(|_| self.notifies)
    }

    /// Whether anybody can be asked is for the caller to say.
    fn read(json: &[u8], may_notify: bool) -> Result<Profile> {
        let document: Document<'_> = serde_json::from_slice(json)
            .map_err(|cause| Error::invalid(format!("it is no seccomp profile: {cause}")).source(cause))?;
        let path = document.listener_path.filter(|path| !path.is_empty());
        let metadata = document.listener_metadata.filter(|text| !text.is_empty());
        let entries = document.syscalls.unwrap_or_default().into_iter().enumerate();
        let entries = entries.map(|(at, entry)| {
            let rule = format!("rule {}", at + 1);
            let entry: RawEntry = serde_json::from_str(entry.get())
                .map_err(|cause| Error::invalid(format!("{rule}: {cause} of the rule")).source(cause))?;
            let rule = format!("{rule}{}", entry.shown());
            Entry::new(entry, may_notify).map_err(|error| within(&rule, &error))
        });
        let entries = entries.collect::<Result<Vec<Entry>>>()?;
        let default = Verdict::new(document.default_action, document.default_errno_ret)?;
        if default == Verdict::NOTIFY {
            return Err(Error::invalid("the default action cannot be `SCMP_ACT_NOTIFY`")
                .hint("the process could not even begin: name the calls that somebody is to be asked about"));
        }
        let notifies = entries.iter().any(|entry| entry.verdict == Verdict::NOTIFY);
        let mut flags = 0;
        for name in document.flags.unwrap_or_default() {
            flags |= flag(&name)?;
        }
        if !notifies {
            flags &= !WAIT_KILLABLE;
        }
        let beside = document.arch_map.unwrap_or_default().into_iter();
        Ok(Profile {
            notifies,
            listener: path.map(|path| Listener {
                path: path.into(),
                metadata,
            }),
            default,
            flags,
            entries,
            arches: document.architectures.unwrap_or_default(),
            beside: beside
                .map(|map| (map.architecture, map.sub_architectures.unwrap_or_default()))
                .collect(),
        })
    }

    /// The other call conventions of a machine that the profile is for as well.
    pub(super) fn others(&self, arch: Arch) -> impl Iterator<Item = Arch> {
        let beside = self.beside.iter().filter(move |(machine, _)| machine == arch.token());
        let listed: Vec<&String> = beside.flat_map(|(_, others)| others).chain(&self.arches).collect();
        let others = arch.others().iter().copied();
        others.filter(move |other| listed.iter().any(|name| *name == other.token()))
    }
}

/// Of a filter that asks nobody, the kernel does not take it.
const WAIT_KILLABLE: u32 = 1 << 5;

/// Filter flags by their OCI names. `TSYNC` is moot: a container's process has one thread when the filter is loaded.
fn flag(name: &str) -> Result<u32> {
    match name {
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(1 << 1),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(1 << 2),
        // Linux 5.19.
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Ok(WAIT_KILLABLE),
        _ => Err(Error::unsupported(format!("flag `{}` is not supported", name.escape_debug())).hint("leave it out")),
    }
}

/// The same error, told of this part of the profile.
fn within(part: &str, error: &Error) -> Error {
    let told = Error::new(error.kind(), format!("{part}: {}", error.message()));
    match error.way_out() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

impl RawEntry {
    /// The first call it names, to tell rules apart.
    fn shown(&self) -> String {
        let name = self.names.iter().chain(&self.name).next();
        name.map_or_else(String::new, |name| format!(" (`{}`)", name.escape_debug()))
    }
}

impl Entry {
    fn new(entry: RawEntry, may_notify: bool) -> Result<Entry> {
        let conditions = entry.args.unwrap_or_default();
        if let Some(bad) = conditions.iter().find(|condition| condition.index > 5) {
            return Err(Error::invalid(format!("argument index {} is beyond 5", bad.index)));
        }
        let mut names = entry.names;
        names.extend(entry.name.filter(|name| !name.is_empty()));
        let verdict = Verdict::new(entry.action, entry.errno_ret)?;
        if verdict == Verdict::NOTIFY && !may_notify {
            return Err(Error::unsupported("`SCMP_ACT_NOTIFY` is not supported")
                .hint("nobody is there to be notified: use another action, such as `SCMP_ACT_ERRNO`"));
        }
        // By this call it is told who is to be asked.
        if verdict == Verdict::NOTIFY && names.iter().any(|name| name == "write") {
            return Err(Error::invalid("`SCMP_ACT_NOTIFY` cannot be used for `write`"));
        }
        Ok(Entry {
            names,
            verdict,
            conditions,
            includes: Needs::new(entry.includes)?,
            excludes: Needs::new(entry.excludes)?,
        })
    }

    /// Whether the entry counts here: all that it includes is so, and nothing that it excludes.
    pub(super) fn applies(&self, here: &Circumstance) -> bool {
        let holds = |capability: &Capability| here.capabilities.contains(*capability);
        let (with, without) = (&self.includes, &self.excludes);
        let included = with.capabilities.iter().all(holds)
            && (with.arches.is_empty() || with.names(here.arch))
            && with.min_kernel.is_none_or(|kernel| here.kernel >= kernel);
        let excluded = without.capabilities.iter().any(holds)
            || without.names(here.arch)
            || without.min_kernel.is_some_and(|kernel| here.kernel >= kernel);
        included && !excluded
    }
}

impl Needs {
    fn new(said: Option<Circumstances>) -> Result<Needs> {
        let said = said.unwrap_or_default();
        Ok(Needs {
            capabilities: said.caps.iter().map(|name| name.parse()).collect::<Result<_>>()?,
            arches: said.arches,
            min_kernel: said.min_kernel.as_deref().map(parse_kernel).transpose()?,
        })
    }

    fn names(&self, arch: Arch) -> bool {
        self.arches.iter().any(|name| name == arch.name())
    }
}

/// The first two numbers of a kernel release such as `6.18.44-generic`.
pub(super) fn parse_kernel(text: &str) -> Result<Kernel> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(version)), Some(Ok(patch))) => Ok((version, patch)),
        _ => Err(Error::invalid(format!(
            "`{}` is not a kernel version",
            text.escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        Profile::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn wrong_profiles_are_refused_with_the_reason() {
        let with = |entry: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{entry}]}}"#);
        assert!(message("{").starts_with("it is no seccomp profile: "));
        let notify = with(r#"{"names":["read"],"action":"SCMP_ACT_LOG"},{"name":"bpf","action":"SCMP_ACT_NOTIFY"}"#);
        assert!(
            message(&notify).starts_with("rule 2 (`bpf`): `SCMP_ACT_NOTIFY`"),
            "{}",
            message(&notify)
        );
        assert!(message(&with(r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#)).contains("4096"));
        let sixth = r#"{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#;
        assert!(message(&with(sixth)).contains("index 6"));
        let capability = r#"{"names":["read"],"action":"SCMP_ACT_LOG","includes":{"caps":["CAP_NONE"]}}"#;
        assert!(message(&with(capability)).contains("CAP_NONE"));
        // Without `args` the rule would always hold.
        let misspelt = r#"{"names":["read"],"action":"SCMP_ACT_LOG","arg":[]}"#;
        assert!(message(&with(misspelt)).starts_with("rule 1: unknown field `arg`"));
    }

    #[test]
    fn somebody_is_asked_where_it_can_be_done() {
        let read = |document: &str| Profile::parse_notifying(document.as_bytes());
        let rule = |name: &str| format!(r#""syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_NOTIFY"}}]"#);
        let (default, path) = (
            r#""defaultAction":"SCMP_ACT_ALLOW""#,
            r#""listenerPath":"/run/agent","listenerMetadata":"x""#,
        );
        let profile = read(&format!("{{{default},{path},{}}}", rule("mkdir"))).unwrap();
        let listener = Listener {
            path: "/run/agent".into(),
            metadata: Some("x".to_owned()),
        };
        assert_eq!(profile.listener(), Some(&listener));
        // Nobody is asked about anything.
        assert_eq!(read(&format!("{{{default},{path}}}")).unwrap().listener(), None);
        let refused = |document: String| read(&document).unwrap_err().to_string();
        assert!(refused(format!("{{{default},{}}}", rule("mkdir"))).contains("nobody is to be notified"));
        assert!(refused(format!("{{{default},{path},{}}}", rule("write"))).starts_with("rule 1 (`write`)"));
        let default = default.replace("ALLOW", "NOTIFY");
        assert!(refused(format!("{{{default},{path}}}")).starts_with("the default action"));
        let listened = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{path}}}"#);
        assert_eq!(message(&listened), "`listenerPath` is not supported");
    }

    #[test]
    fn kernel_releases_are_compared_by_number() {
        assert_eq!(parse_kernel("6.18.44-fc").unwrap(), (6, 18));
        assert!(parse_kernel("4.10").unwrap() > parse_kernel("4.8").unwrap());
        assert!(parse_kernel("x").is_err());
    }
}
