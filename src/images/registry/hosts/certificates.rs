//! Certificates by host: `certs.d/HOST:PORT/*.crt`, `NAME.cert` with `NAME.key` (containers-certs.d(5), and Docker's of the same form).

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::model::Secret;

/// Whom a registry is trusted by, and what is shown to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Authorities trusted beside the system's, as PEM.
    pub authorities: Vec<u8>,
    /// A certificate and its key, as PEM.
    pub identity: Option<Secret>,
}

impl Certificates {
    /// Those in the first of the directories that has any for the host. Errors: `invalid` for a half of a pair, `denied`.
    pub(super) fn read(dirs: &[PathBuf], host: &str) -> Result<Certificates> {
        let place = dirs.iter().map(|dir| dir.join(host)).find(|place| place.is_dir());
        match place {
            Some(place) if !host.contains('/') && !host.starts_with('.') => Certificates::of(&place),
            _ => Ok(Certificates::default()),
        }
    }

    fn of(dir: &Path) -> Result<Certificates> {
        let what = || format!("read the certificates in `{}`", dir.display());
        let entries = std::fs::read_dir(dir).during(what)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<std::io::Result<Vec<_>>>().during(what)?;
        paths.sort();
        let mut found = Certificates::default();
        for path in paths {
            let read = || std::fs::read_to_string(&path).during(|| format!("read `{}`", path.display()));
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    found.authorities.extend_from_slice(read()?.as_bytes());
                    found.authorities.push(b'\n');
                }
                Some("cert") => {
                    let key = other_half(&path, "key")?;
                    let key = std::fs::read_to_string(&key).during(|| format!("read `{}`", key.display()))?;
                    let pair = format!("{}\n{key}", read()?);
                    found.identity.get_or_insert_with(|| Secret::new(pair));
                }
                Some("key") => {
                    other_half(&path, "cert")?;
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The other file of a certificate and its key.
fn other_half(path: &Path, extension: &str) -> Result<PathBuf> {
    let other = path.with_extension(extension);
    match other.exists() {
        true => Ok(other),
        false => Err(
            Error::invalid(format!("`{}` has no `{}` beside it", path.display(), other.display()))
                .hint("a client certificate is NAME.cert with its key in NAME.key; authorities are NAME.crt"),
        ),
    }
}
