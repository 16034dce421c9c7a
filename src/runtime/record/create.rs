//! Writing a container's files, before anything of it runs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::runtime::bundle::{self, Batch, Bundle};
use crate::runtime::settings::Settings;
use crate::runtime::{NetworkMode, Request, spec};

/// Makes a container from a request, without starting it. It exists once its configuration does, which is written last.
///
/// `already_exists` if it does; `invalid` for what no container can be made from.
pub fn create(bundle: &Bundle, request: &Request) -> Result<()> {
    let spec = spec::of(bundle, request)?;
    if bundle.config().exists() {
        return Err(
            Error::already_exists(format!("container `{}` exists", bundle.id.short())).target(bundle.id.as_str()),
        );
    }
    write(bundle, request, &spec).inspect_err(|_| {
        let _ = bundle::remove_tree(&bundle.run_dir).and_then(|()| bundle::remove_tree(&bundle.dir));
    })
}

fn write(bundle: &Bundle, request: &Request, spec: &oci_spec::runtime::Spec) -> Result<()> {
    for dir in [&bundle.dir, &bundle.run_dir] {
        make_dir(dir, 0o700)?;
    }
    for dir in [bundle.upper(), bundle.work()] {
        make_dir(&dir, 0o755)?;
    }
    take_after(&bundle.upper(), &request.lower[0])?;
    // The directory is not a container's until it has its configuration, so nobody can see the others half written.
    let mut batch = Batch::new(!request.volatile);
    write_etc(&mut batch, bundle, request)?;
    let settings = bundle::json(&bundle.settings(), &Settings::of(request))?;
    batch.add(bundle.settings(), &settings, 0o600)?;
    batch.finish(&bundle.config(), &bundle::json(&bundle.config(), spec)?)
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .during(|| format!("make `{}`", path.display()))
}

/// The upper directory is what the container sees as its root directory, so it gets the owner and the mode of the image's.
fn take_after(upper: &Path, layer: &Path) -> Result<()> {
    let show = || format!("read the layer `{}`", layer.display());
    let status = fs::metadata(layer).during(show)?;
    std::os::unix::fs::chown(upper, Some(status.uid()), Some(status.gid())).during(|| "set the root's owner")?;
    fs::set_permissions(upper, fs::Permissions::from_mode(status.mode() & 0o7777)).during(|| "set the root's mode")
}

/// The files shown as `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`. They belong to the container: it may write to them.
fn write_etc(batch: &mut Batch, bundle: &Bundle, request: &Request) -> Result<()> {
    let hostname = spec::hostname(bundle, request);
    let servers = || request.dns.iter().map(|server| format!("nameserver {server}\n"));
    let resolv = match request.network {
        // With another's network come its files.
        NetworkMode::Container(_) => Vec::new(),
        NetworkMode::Host if request.dns.is_empty() => fs::read("/etc/resolv.conf").unwrap_or_default(),
        NetworkMode::None | NetworkMode::Host => servers().collect::<String>().into_bytes(),
    };
    let files = [
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("hosts", hosts(hostname, request)?.into_bytes()),
        ("resolv.conf", resolv),
    ];
    files
        .iter()
        .try_for_each(|(name, content)| batch.add(bundle.etc(name), content, 0o644))
}

fn hosts(hostname: &str, request: &Request) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.1.1\t{hostname}\n"
    );
    for host in &request.add_hosts {
        let parts = host.split_once(':').and_then(|(name, address)| {
            let address: std::net::IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
            (!name.is_empty() && spec::is_host_name(name)).then_some((name, address))
        });
        let (name, address) = parts.ok_or_else(|| {
            Error::invalid(format!("`{}` is not a host entry", host.escape_debug()))
                .hint("a host entry is `name:address`, such as `db:10.0.0.5`")
        })?;
        writeln!(text, "{address}\t{name}").expect("writing to a string does not fail");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn bundle(dir: &tempfile::TempDir) -> Bundle {
        let id = crate::model::ContainerId::generate().unwrap();
        Bundle {
            id,
            dir: dir.path().join("dir"),
            run_dir: dir.path().join("run"),
        }
    }

    fn request(dir: &tempfile::TempDir) -> Request {
        let layer = dir.path().join("layer");
        fs::create_dir_all(&layer).unwrap();
        fs::set_permissions(&layer, fs::Permissions::from_mode(0o1751)).unwrap();
        Request {
            args: vec!["true".to_owned()],
            lower: vec![layer],
            ..Request::default()
        }
    }

    #[test]
    fn a_container_is_made_once_and_takes_after_its_image() {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, request) = (bundle(&dir), request(&dir));
        create(&bundle, &request).unwrap();
        assert_eq!(fs::metadata(bundle.upper()).unwrap().mode() & 0o7777, 0o1751);
        assert_eq!(fs::metadata(&bundle.dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(create(&bundle, &request).unwrap_err().kind(), Kind::AlreadyExists);
        assert!(bundle.config().exists());
    }

    #[test]
    fn a_bad_request_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(&dir);
        for add_hosts in ["x", "x:y", ":1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4", "..:1.2.3.4"] {
            let request = Request {
                add_hosts: vec![add_hosts.to_owned()],
                ..request(&dir)
            };
            assert_eq!(
                create(&bundle, &request).unwrap_err().kind(),
                Kind::Invalid,
                "{add_hosts}"
            );
        }
        assert!(!bundle.dir.exists() && !bundle.run_dir.exists());
    }

    #[test]
    fn hosts_lists_names_and_both_kinds_of_address() {
        let add_hosts = ["db:10.0.0.5", "v6:fd00::1"].map(str::to_owned).to_vec();
        let text = hosts(
            "web",
            &Request {
                add_hosts,
                ..Request::default()
            },
        )
        .unwrap();
        assert!(text.ends_with("127.0.1.1\tweb\n10.0.0.5\tdb\nfd00::1\tv6\n"), "{text}");
    }
}
