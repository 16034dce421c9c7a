//! The OCI runtime configuration of a container, made from a request (runtime-spec, `config.md` and `config-linux.md`).

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    BoxBuilder, Capabilities, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroup,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResourcesBuilder, Mount, MountBuilder, Process, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder,
};

use crate::error::{Error, Result};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::capabilities::{self, CapSet, Sets};
use crate::runtime::{
    Bind, Namespace, NetworkMode, Request, Rlimit, Secret, cgroup, console, devices, id_maps, mounts, secrets, sysctls,
};
use crate::sys::pty;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What programs with a terminal are told of it, as Docker does.
pub(in crate::runtime) const TERM: &str = "TERM=xterm";

/// Hidden from containers, as Docker does: what they tell of the host, or let one disturb on it.
pub(in crate::runtime) const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
/// Shown and not writable, as Docker does.
pub(in crate::runtime) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Bytes of `/dev/shm` unless asked otherwise, as Docker has it.
const SHM_SIZE: u64 = 64 << 20;

/// The configuration for a request.
pub(in crate::runtime) fn of(bundle: &Bundle, request: &Request) -> Result<Spec> {
    check(request)?;
    let capabilities = capabilities::granted(
        &request.cap_add,
        &request.cap_drop,
        request.privileged,
        request.user_namespace.is_some(),
    )?;
    build(bundle, request, capabilities)
        .map_err(|cause| Error::internal(format!("failed to write the configuration of a container: {cause}")))
}

/// Reads a container's configuration.
pub(in crate::runtime) fn read(bundle: &Bundle) -> Result<Spec> {
    bundle::required(bundle::read_json(&bundle.config())?, bundle)
}

/// The capabilities that the configuration of a process grants; without a word on them there are none.
pub(in crate::runtime) fn capabilities(process: &Process) -> Result<Sets> {
    let set = |of: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
        let listed = process.capabilities().as_ref().and_then(|sets| of(sets).as_ref());
        let names = listed.into_iter().flatten();
        names
            .map(|capability| capability.to_string().parse())
            .collect::<Result<CapSet>>()
    };
    Ok(Sets {
        bounding: set(LinuxCapabilities::bounding)?,
        effective: set(LinuxCapabilities::effective)?,
        permitted: set(LinuxCapabilities::permitted)?,
        inheritable: set(LinuxCapabilities::inheritable)?,
        ambient: set(LinuxCapabilities::ambient)?,
    })
}

/// The process a configuration describes.
pub(in crate::runtime) fn process_of(spec: &Spec) -> Result<&Process> {
    let process = spec.process().as_ref();
    process.ok_or_else(|| Error::invalid("the configuration has no `process`"))
}

/// The size of the terminal that the program of a configuration has, if it has one.
pub(in crate::runtime) fn terminal(spec: &Spec) -> Option<pty::Size> {
    let process = spec
        .process()
        .as_ref()
        .filter(|process| process.terminal() == Some(true))?;
    let size = process.console_size().as_ref().and_then(|size| {
        let (rows, columns) = (u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?);
        Some(pty::Size { rows, columns })
    });
    Some(size.unwrap_or(console::USUAL_SIZE))
}

/// Gives the terminal of a configuration a size.
pub(in crate::runtime) fn set_terminal(spec: &mut Spec, rows: u16, columns: u16) {
    let size = BoxBuilder::default().height(rows).width(columns).build();
    if let (Some(process), Ok(size)) = (spec.process_mut(), size) {
        process.set_console_size(Some(size));
    }
}

fn check(request: &Request) -> Result<()> {
    if request.args.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("there is no command to run").hint("name one, or use an image that has one"));
    }
    if request.lower.is_empty() {
        return Err(Error::invalid("a container needs at least one layer"));
    }
    let texts = request
        .args
        .iter()
        .chain(&request.env)
        .chain([&request.cwd, &request.user, &request.hostname]);
    if let Some(text) = texts.clone().find(|text| text.contains('\0')) {
        return Err(Error::invalid(format!(
            "`{}` has a zero byte in it",
            text.escape_debug()
        )));
    }
    if let Some(variable) = request
        .env
        .iter()
        .find(|variable| variable.find('=').is_none_or(|at| at == 0))
    {
        return Err(
            Error::invalid(format!("`{}` is not an environment variable", variable.escape_debug()))
                .hint("write it as `NAME=value`"),
        );
    }
    cgroup::check_limits(&request.limits)?;
    let mut sysctls = request.sysctls.iter();
    sysctls.try_for_each(|(name, value)| sysctls::check(name, value, &request.network, &request.ipc))?;
    check_sharing(request)?;
    id_maps::check_request(request)?;
    request.devices.iter().try_for_each(devices::check)?;
    request.secrets.iter().try_for_each(Secret::check)?;
    check_hostname(&request.hostname)?;
    if !request.cwd.is_empty() && !request.cwd.starts_with('/') {
        return Err(Error::invalid(format!(
            "working directory `{}` is not an absolute path",
            request.cwd
        )));
    }
    if let Some(bind) = request.binds.iter().find(|bind| !bind.source.is_absolute()) {
        return Err(Error::invalid(format!(
            "volume source `{}` is not an absolute path",
            bind.source.display()
        )));
    }
    let targets = request
        .binds
        .iter()
        .map(|bind| &bind.target)
        .chain(request.tmpfs.iter().map(|tmpfs| &tmpfs.target));
    targets.clone().try_for_each(|target| check_target(target))
}

/// What belongs to a namespace is its owner's to choose.
fn check_sharing(request: &Request) -> Result<()> {
    let refuse = |what: &str, whose: &str| {
        Err(
            Error::invalid(format!("{what} cannot be chosen: it is that of the {whose}"))
                .hint("leave the option out, or give the container a namespace of its own"),
        )
    };
    if let (Namespace::Container(_), _) | (_, Namespace::Container(_)) = (&request.uts, &request.cgroupns) {
        return Err(Error::unsupported(
            "the host name and the control groups of another container cannot be shared",
        ));
    }
    match (&request.ipc, request.shm_size, &request.network) {
        (Namespace::Host, Some(_), _) => refuse("the size of `/dev/shm`", "host"),
        (Namespace::Container(_), Some(_), _) => refuse("the size of `/dev/shm`", "container whose IPC is shared"),
        (_, _, NetworkMode::Container(_)) if !request.add_hosts.is_empty() => {
            refuse("`/etc/hosts`", "container whose network is shared")
        }
        (_, _, NetworkMode::Container(_)) if !request.dns.is_empty() => {
            refuse("`/etc/resolv.conf`", "container whose network is shared")
        }
        _ => Ok(()),
    }
}

/// A mount on the root would hide the container, and one in `/proc` what its programs trust (CVE-2019-16884).
fn check_target(target: &str) -> Result<()> {
    let clean = inside(target);
    if target.starts_with('/') && clean != Path::new("/") && !clean.starts_with("/proc") && !target.contains('\0') {
        return Ok(());
    }
    Err(
        Error::invalid(format!("nothing can be mounted on `{}`", target.escape_debug()))
            .hint("name an absolute path that is neither `/` nor in `/proc`"),
    )
}

/// At most 63 letters, digits, dots and dashes: what ends in `/etc/hosts` as one word (hostname(7)).
fn check_hostname(name: &str) -> Result<()> {
    if name.len() <= 63 && is_host_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!("`{}` is not a host name", name.escape_debug()))
        .hint("a host name is at most 63 letters, digits, dots and dashes"))
}

/// Whether a text is one word of `/etc/hosts`, or empty.
pub(in crate::runtime) fn is_host_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.bytes().all(fits) && !text.starts_with(['-', '.'])
}

/// The host name inside.
pub(in crate::runtime) fn hostname<'a>(bundle: &'a Bundle, request: &'a Request) -> &'a str {
    if request.hostname.is_empty() {
        bundle.id.short()
    } else {
        &request.hostname
    }
}

fn build(bundle: &Bundle, request: &Request, granted: CapSet) -> std::result::Result<Spec, OciSpecError> {
    let mut mounts = kernel_mounts(request)?;
    mounts.extend(match &request.network {
        NetworkMode::Container(owner) => etc_mounts(&bundle.sibling(owner), false)?,
        NetworkMode::None | NetworkMode::Host => etc_mounts(bundle, request.user_namespace.is_some())?,
    });
    for tmpfs in &request.tmpfs {
        let options = ["nosuid", "nodev"]
            .map(str::to_owned)
            .into_iter()
            .chain(tmpfs.options.iter().cloned());
        mounts.push(mount("tmpfs", "tmpfs", &inside(&tmpfs.target), options.collect())?);
    }
    for bind in &request.binds {
        mounts.push(bind_mount(bind, bind.shifted && request.user_namespace.is_some())?);
    }
    if !request.secrets.is_empty() {
        mounts.push(secrets::to_mount()?);
    }
    let spec = SpecBuilder::default()
        .version("1.2.0")
        .root(
            RootBuilder::default()
                .path(bundle.upper())
                .readonly(request.read_only)
                .build()?,
        )
        .annotations(request.labels.clone().into_iter().collect::<HashMap<_, _>>())
        .process(process(bundle, request, granted)?)
        .mounts(mounts)
        .linux(linux(request)?)
        .build();
    // What the builder is not told has the library's default, which for the host name is a word of its own: where the UTS
    // namespace is the host's, that would rename the host.
    let own_name = request.uts == Namespace::Private;
    spec.map(|mut spec| {
        spec.set_hostname(own_name.then(|| hostname(bundle, request).to_owned()));
        spec
    })
}

fn process(bundle: &Bundle, request: &Request, granted: CapSet) -> std::result::Result<Process, OciSpecError> {
    let known = granted.names().into_iter().map(|name| {
        name.trim_start_matches("CAP_")
            .parse()
            .map_err(|_| OciSpecError::Other(format!("unknown capability `{name}`")))
    });
    let set = known.collect::<std::result::Result<Capabilities, _>>()?;
    let none = Capabilities::new();
    let rlimits = request.rlimits.iter().map(Rlimit::to_oci);
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set);
    let process = match request.apparmor.as_str() {
        "" => ProcessBuilder::default(),
        profile => ProcessBuilder::default().apparmor_profile(profile),
    };
    process
        .args(request.args.clone())
        .env(environment(bundle, request))
        .cwd(if request.cwd.is_empty() { "/" } else { &request.cwd })
        .terminal(request.tty)
        .no_new_privileges(request.no_new_privileges)
        // Inheritable capabilities would outlive the drop to another user (CVE-2022-24769).
        .capabilities(capabilities.inheritable(none.clone()).ambient(none).build()?)
        .rlimits(rlimits.collect::<std::result::Result<Vec<_>, _>>()?)
        .build()
}

/// The variables asked for, each name once, after the two that every container has.
fn environment(bundle: &Bundle, request: &Request) -> Vec<String> {
    let mut own = vec![
        DEFAULT_PATH.to_owned(),
        format!("HOSTNAME={}", hostname(bundle, request)),
    ];
    if request.tty {
        own.push(TERM.to_owned());
    }
    merge_environment(&own, &request.env)
}

/// `base` with `more` laid over it: of several values of one name the last counts, in the place of the first.
pub(in crate::runtime) fn merge_environment(base: &[String], more: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::with_capacity(base.len() + more.len());
    for variable in base.iter().chain(more) {
        match merged.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => known.clone_from(variable),
            None => merged.push(variable.clone()),
        }
    }
    merged
}

fn linux(request: &Request) -> std::result::Result<oci_spec::runtime::Linux, OciSpecError> {
    let mut namespaces = vec![LinuxNamespaceType::Mount];
    let maps = request.user_namespace.as_ref();
    namespaces.extend(maps.map(|_| LinuxNamespaceType::User));
    let choices = [
        (LinuxNamespaceType::Pid, &request.pid),
        (LinuxNamespaceType::Uts, &request.uts),
        (LinuxNamespaceType::Ipc, &request.ipc),
        (LinuxNamespaceType::Cgroup, &request.cgroupns),
    ];
    let private = choices.into_iter().filter(|(_, choice)| **choice == Namespace::Private);
    namespaces.extend(private.map(|(typ, _)| typ));
    let mut sysctl = HashMap::new();
    if request.network == NetworkMode::None {
        namespaces.push(LinuxNamespaceType::Network);
        // Lets every group open ICMP sockets, so that `ping` works without CAP_NET_RAW (icmp(7)).
        // A group that is nobody's in the container's user namespace cannot be named there.
        let first = maps.map_or(1 << 31, |maps| {
            maps.gids.iter().find(|one| one.inside == 0).map_or(1, |one| one.count)
        });
        let last = (first - 1).min(i32::MAX.unsigned_abs());
        sysctl.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    sysctl.extend(request.sysctls.clone());
    let namespaces = namespaces
        .into_iter()
        .map(|typ| LinuxNamespaceBuilder::default().typ(typ).build());
    let (masked, read_only) = protected_paths(request.privileged);
    let linux = match maps {
        None => LinuxBuilder::default(),
        Some(maps) => LinuxBuilder::default()
            .uid_mappings(id_maps::to_oci(&maps.uids)?)
            .gid_mappings(id_maps::to_oci(&maps.gids)?),
    };
    linux
        .resources(
            LinuxResourcesBuilder::default()
                .devices(device_rules(request)?)
                .build()?,
        )
        .namespaces(namespaces.collect::<std::result::Result<Vec<_>, _>>()?)
        .sysctl(sysctl)
        .masked_paths(masked)
        .readonly_paths(read_only)
        .build()
}

fn device_rules(request: &Request) -> std::result::Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let all = request.privileged.then(cgroup::Rule::everything);
    let asked = request.device_rules.iter().copied().chain(all);
    let rules = cgroup::common_devices().into_iter().chain(asked);
    rules.map(cgroup::Rule::to_oci).collect()
}

/// What is hidden from a container, and what it is shown without letting it write there.
pub fn protected_paths(privileged: bool) -> (Vec<String>, Vec<String>) {
    match privileged {
        true => (Vec::new(), Vec::new()),
        false => (masked_paths(), READ_ONLY.map(str::to_owned).to_vec()),
    }
}

/// The fixed list, and the throttling counters of each processor: they tell what other containers do.
fn masked_paths() -> Vec<String> {
    static THROTTLE: OnceLock<Vec<String>> = OnceLock::new();
    let throttle = THROTTLE.get_or_init(throttle_paths).iter().cloned();
    MASKED.iter().map(|path| (*path).to_owned()).chain(throttle).collect()
}

fn throttle_paths() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten()
        .flatten();
    let is_processor = |name: &str| {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_processor))
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// What the kernel shows in every container.
fn kernel_mounts(request: &Request) -> std::result::Result<Vec<Mount>, OciSpecError> {
    let shm_size = request.shm_size.unwrap_or(SHM_SIZE);
    let kernel = match request.privileged {
        true => "nosuid noexec nodev",
        false => "nosuid noexec nodev ro",
    };
    // The group of terminals is the same in all distributions; one that is nobody's cannot be named.
    let pts = match request.user_namespace.as_ref().is_none_or(|maps| maps.gid(5).is_some()) {
        true => "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5",
        false => "nosuid noexec newinstance ptmxmode=0666 mode=0620",
    };
    let own_shm = format!("nosuid noexec nodev mode=1777 size={shm_size}");
    let shm = match request.ipc {
        Namespace::Private => ("tmpfs", "tmpfs", own_shm.as_str()),
        Namespace::Host => ("bind", mounts::SHM, "nosuid noexec nodev"),
        Namespace::Container(_) => ("bind", mounts::JOINED_SHM, "nosuid noexec nodev"),
    };
    [
        ("proc", "proc", "/proc", "nosuid noexec nodev"),
        ("tmpfs", "tmpfs", "/dev", "nosuid strictatime mode=755 size=65536k"),
        ("devpts", "devpts", "/dev/pts", pts),
        (shm.0, shm.1, mounts::SHM, shm.2),
        ("mqueue", "mqueue", "/dev/mqueue", "nosuid noexec nodev"),
        ("sysfs", "sysfs", "/sys", kernel),
        ("cgroup", "cgroup", "/sys/fs/cgroup", kernel),
    ]
    .into_iter()
    .map(|(typ, source, target, options)| {
        mount(
            typ,
            source,
            Path::new(target),
            options.split(' ').map(str::to_owned).collect(),
        )
    })
    .collect()
}

/// The files of `/etc` that are the container's and not its image's.
fn etc_mounts(bundle: &Bundle, shifted: bool) -> std::result::Result<Vec<Mount>, OciSpecError> {
    let files = ["hosts", "hostname", "resolv.conf"].into_iter();
    files
        .map(|name| {
            let shifted = shifted.then_some("idmap");
            let options = ["bind", "nosuid", "nodev", "noexec"].into_iter().chain(shifted);
            let options = options.map(str::to_owned).collect();
            mount(
                "bind",
                &bundle.etc(name).to_string_lossy(),
                &Path::new("/etc").join(name),
                options,
            )
        })
        .collect()
}

fn bind_mount(bind: &Bind, shifted: bool) -> std::result::Result<Mount, OciSpecError> {
    let access = if bind.read_only { "rro" } else { "rw" };
    let shifted = shifted.then_some("idmap");
    let options = ["rbind", "rprivate", access]
        .into_iter()
        .chain(shifted)
        .map(str::to_owned)
        .collect::<Vec<_>>();
    MountBuilder::default()
        .typ("bind")
        .source(bind.source.clone())
        .destination(inside(&bind.target))
        .options(options)
        .build()
}

fn mount(typ: &str, source: &str, target: &Path, options: Vec<String>) -> std::result::Result<Mount, OciSpecError> {
    MountBuilder::default()
        .typ(typ)
        .source(source)
        .destination(target)
        .options(options)
        .build()
}

/// A path inside without `.` and `..`.
fn inside(target: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            args: vec!["true".to_owned()],
            lower: vec!["/layer".into()],
            ..Request::default()
        }
    }

    fn bundle() -> Bundle {
        Bundle {
            id: "ab".repeat(32).parse().unwrap(),
            dir: "/b".into(),
            run_dir: "/r".into(),
        }
    }

    #[test]
    fn the_configuration_survives_its_file() {
        let spec = of(&bundle(), &request()).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        let back: Spec = serde_json::from_str(&text).unwrap();
        assert_eq!(back, spec);
        let granted = CapSet::container_default().intersection(CapSet::available().unwrap());
        let expected = Sets {
            bounding: granted,
            effective: granted,
            permitted: granted,
            ..Sets::default()
        };
        assert_eq!(capabilities(process_of(&back).unwrap()).unwrap(), expected);
    }

    /// The library's default has a host name, and whatever runs first would give it to the host.
    #[test]
    fn a_host_name_is_set_only_where_it_is_the_containers() {
        let name_in = |uts| {
            let request = Request { uts, ..request() };
            of(&bundle(), &request).unwrap().hostname().clone()
        };
        assert_eq!(name_in(Namespace::Private).as_deref(), Some(&*"ab".repeat(6)));
        assert_eq!(name_in(Namespace::Host), None);
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let base = ["A=1", "B=2"].map(str::to_owned);
        let more = ["B=3", "C=4", "C=5=6"].map(str::to_owned);
        assert_eq!(merge_environment(&base, &more), ["A=1", "B=3", "C=5=6"]);
    }

    #[test]
    fn what_could_harm_is_refused() {
        let with_target = |target: &str| {
            let tmpfs = vec![crate::runtime::Tmpfs {
                target: target.to_owned(),
                options: Vec::new(),
            }];
            of(&bundle(), &Request { tmpfs, ..request() })
        };
        for target in ["", "x", "/", "/a/..", "/proc", "/proc/sys/../x", "/a/../proc/1"] {
            assert!(with_target(target).is_err(), "{target}");
        }
        let mounts = with_target("/a/../b/./c").unwrap().mounts().clone().unwrap();
        assert!(mounts.iter().any(|mount| mount.destination() == Path::new("/b/c")));
        for hostname in ["a b", "-a", "a\nb", &"a".repeat(64)] {
            assert!(
                of(
                    &bundle(),
                    &Request {
                        hostname: hostname.to_owned(),
                        ..request()
                    }
                )
                .is_err(),
                "{hostname}"
            );
        }
        for variable in ["A", "=x", ""] {
            assert!(
                of(
                    &bundle(),
                    &Request {
                        env: vec![variable.to_owned()],
                        ..request()
                    }
                )
                .is_err(),
                "{variable}"
            );
        }
    }
}
