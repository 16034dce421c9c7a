//! The configuration of another engine's container: read as it is written, and checked for what no kernel would tell clearly.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, Hooks, Linux, LinuxNamespaceType, Mount, Process, Spec};

use super::grants;
use crate::error::{Context, Error, Result};
use crate::model::random_hex;
use crate::runtime::{apparmor, mounts, spec, sysctls, treatment};

/// A bundle as it is on the disk.
pub(super) struct Config {
    /// The directory, absolute and without links.
    pub(super) bundle: PathBuf,
    /// `config.json` with paths made absolute.
    pub(super) spec: Spec,
    /// The directory that is to be the container's root.
    pub(super) rootfs: PathBuf,
    /// What it asks for in vain, if anything, to be told to whoever asked.
    pub(super) warning: Option<String>,
}

impl Config {
    /// Reads and checks it. Errors: `not_found`, `invalid` for what contradicts itself, `unsupported` for what cannot be done.
    pub(super) fn read(bundle: &Path, id: &str) -> Result<Config> {
        let bundle = std::fs::canonicalize(bundle).during(|| format!("find the bundle `{}`", bundle.display()))?;
        let path = bundle.join("config.json");
        let text = std::fs::read(&path).during(|| format!("read `{}`", path.display()))?;
        let (mut spec, unknown): (Spec, _) = grants::read(&text, Some("process"))
            .map_err(|cause| Error::invalid(format!("failed to read `{}`: {cause}", path.display())).source(cause))?;
        let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
        let rootfs = bundle.join(root.path());
        let rootfs = std::fs::canonicalize(&rootfs).during(|| format!("find the root `{}`", rootfs.display()))?;
        if let Some(mounts) = spec.mounts_mut() {
            mounts.iter_mut().for_each(|mount| make_absolute(mount, &bundle));
        }
        check(&spec).map_err(|error| error.target(path.display().to_string()))?;
        let warning = grants::not_given(spec::process_of(&spec)?, unknown)?;
        place_cgroup(&mut spec, id)?;
        Ok(Config {
            bundle,
            spec,
            rootfs,
            warning,
        })
    }

    /// The hooks of one point in a container's life.
    pub(super) fn hooks(spec: &Spec, of: fn(&Hooks) -> &Option<Vec<Hook>>) -> &[Hook] {
        let hooks = spec.hooks().as_ref().and_then(|hooks| of(hooks).as_ref());
        hooks.map_or(&[], Vec::as_slice)
    }

    /// Where its control groups are, below the mount of each hierarchy.
    pub(super) fn cgroup(spec: &Spec) -> PathBuf {
        let linux = spec.linux().as_ref();
        linux.and_then(|linux| linux.cgroups_path().clone()).unwrap_or_default()
    }
}

/// Control groups of its own for a container that has no path for them: containers of other state roots may have the same id.
fn place_cgroup(spec: &mut Spec, id: &str) -> Result<()> {
    if Config::cgroup(spec) != Path::new("") {
        return Ok(());
    }
    let path = format!("/hoist-oci/{id}-{}", random_hex(4)?);
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(path.into()));
    }
    Ok(())
}

fn missing(what: &str) -> Error {
    Error::invalid(format!("the configuration has no `{what}`"))
}

/// A relative source is one of the bundle; a relative destination, which older versions of the specification had, is one of the root.
fn make_absolute(mount: &mut Mount, bundle: &Path) {
    let destination = Path::new("/").join(mount.destination());
    mount.set_destination(destination);
    if mounts::is_bind(mount)
        && let Some(source) = mount.source().clone()
    {
        mount.set_source(Some(bundle.join(source)));
    }
}

fn check(spec: &Spec) -> Result<()> {
    let version = spec.version();
    if !version.starts_with("1.") {
        return Err(Error::unsupported(format!(
            "version `{}` of the OCI runtime specification is not supported",
            version.escape_debug()
        ))
        .hint("`ociVersion` may be any 1.x"));
    }
    check_process(spec::process_of(spec)?)?;
    mounts::check_shifts(spec.mounts().as_deref().unwrap_or_default())?;
    let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
    check_namespaces(linux)?;
    refuse(&[
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        (
            "linux.mountLabel",
            linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()),
        ),
        (
            "linux.netDevices",
            linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()),
        ),
    ])?;
    let names = [("hostname", spec.hostname()), ("domainname", spec.domainname())];
    let named = names
        .into_iter()
        .find(|(_, name)| name.as_ref().is_some_and(|name| !name.is_empty()));
    if let (Some((what, _)), false) = (named, has(linux, LinuxNamespaceType::Uts)) {
        return Err(hosts(what, "uts"));
    }
    for (name, value) in linux.sysctl().iter().flatten() {
        sysctls::check_owned(name, value, &|typ| has(linux, typ))?;
    }
    Ok(())
}

/// What protects or places a container is never left out in silence: it would run with less than it was given.
fn refuse(unsupported: &[(&str, bool)]) -> Result<()> {
    match unsupported.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(Error::unsupported(format!("`{name}` is not supported"))
            .hint("have the engine leave it out, such as by `--security-opt label=disable`")),
        None => Ok(()),
    }
}

/// Settings of a namespace that is the host's are the host's.
fn hosts(what: &str, namespace: &str) -> Error {
    Error::invalid(format!(
        "`{what}` cannot be set: the container has the `{namespace}` namespace of the host"
    ))
    .hint("leave it out, or list the namespace")
}

pub(super) fn check_process(process: &Process) -> Result<()> {
    let first = process.args().as_ref().and_then(|args| args.first());
    if first.is_none_or(String::is_empty) {
        return Err(missing("process.args"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::invalid(format!(
            "`process.cwd` is `{}`, which is not an absolute path",
            process.cwd().display()
        )));
    }
    let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    refuse(&[("process.selinuxLabel", is_text(process.selinux_label()))])?;
    process.apparmor_profile().as_deref().map_or(Ok(()), apparmor::check)?;
    treatment::check_affinity(process)?;
    let mut seen = HashSet::new();
    for limit in process.rlimits().iter().flatten() {
        if !seen.insert(limit.typ().to_string()) {
            return Err(Error::invalid(format!("the limit `{}` is there twice", limit.typ())));
        }
    }
    Ok(())
}

fn check_namespaces(linux: &Linux) -> Result<()> {
    let mut seen = HashSet::new();
    for namespace in linux.namespaces().iter().flatten() {
        if !seen.insert(namespace.typ()) {
            return Err(Error::invalid(format!(
                "the namespace `{}` is there twice",
                namespace.typ()
            )));
        }
    }
    if !seen.contains(&LinuxNamespaceType::Mount) {
        return Err(
            Error::unsupported("a container without a mount namespace is not supported")
                .hint("add `{\"type\": \"mount\"}` to `linux.namespaces`"),
        );
    }
    Ok(())
}

fn owns(linux: &Linux, typ: LinuxNamespaceType) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|namespace| namespace.typ() == typ && namespace.path().is_none())
}

fn has(linux: &Linux, typ: LinuxNamespaceType) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|namespace| namespace.typ() == typ)
}

impl Config {
    /// Whether the end of the first process is that of all.
    pub(super) fn owns_pids(&self) -> bool {
        let linux = self.spec.linux().as_ref();
        linux.is_some_and(|linux| owns(linux, LinuxNamespaceType::Pid))
    }
}
