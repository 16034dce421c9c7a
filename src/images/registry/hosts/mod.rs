//! What people have set about registries: mirrors, other locations, what is blocked or not secured, certificates.

mod certificates;
mod conf;
mod prefix;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use crate::config::Registries;
use crate::error::{Error, Result};
use crate::model::Reference;
pub use certificates::Certificates;
use conf::{Conf, Registry, Subset};

/// The settings of Podman's `registries.conf` and of everybody's `certs.d`. Nothing is read before it is asked for.
#[derive(Debug, Default)]
pub struct Hosts {
    places: Registries,
    conf: OnceLock<Conf>,
}

/// Where something is in truth: the registry to ask, and the reference there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The reference at that registry.
    pub reference: Reference,
    /// Whether its connections need not be secured.
    pub insecure: bool,
}

impl Hosts {
    /// Those of the given places.
    pub fn new(places: &Registries) -> Hosts {
        Hosts {
            places: places.clone(),
            conf: OnceLock::new(),
        }
    }

    fn conf(&self) -> Result<&Conf> {
        if let Some(conf) = self.conf.get() {
            return Ok(conf);
        }
        let conf = Conf::read(&self.places.settings, &self.places.drop_ins)?;
        Ok(self.conf.get_or_init(|| conf))
    }

    /// Where a reference may be read from, in the order to try it: its mirrors, then itself.
    ///
    /// Errors: `denied` for a registry that is blocked.
    pub fn sources(&self, reference: &Reference) -> Result<Vec<Location>> {
        let Some(registry) = self.registry(reference)? else {
            return Ok(vec![Location::itself(reference)]);
        };
        let is_pinned = reference.digest().is_some();
        let suits = |subset| match subset {
            Subset::All => true,
            Subset::DigestOnly => is_pinned,
            Subset::TagOnly => !is_pinned,
        };
        let mirrors = registry.mirrors.iter().filter(|mirror| suits(mirror.pull_from_mirror));
        let mut sources = mirrors
            .map(|mirror| registry.at(reference, &mirror.location, mirror.insecure))
            .collect::<Result<Vec<_>>>()?;
        sources.push(registry.at(reference, &registry.location, registry.insecure)?);
        Ok(sources)
    }

    /// Where a reference is written to; mirrors are not.
    pub fn destination(&self, reference: &Reference) -> Result<Location> {
        match self.registry(reference)? {
            Some(registry) => registry.at(reference, &registry.location, registry.insecure),
            None => Ok(Location::itself(reference)),
        }
    }

    /// What is shown to a registry and asked of it: the certificates for its host.
    pub fn certificates(&self, host: &str) -> Result<Certificates> {
        Certificates::read(&self.places.certificates, host)
    }

    fn registry(&self, reference: &Reference) -> Result<Option<&Registry>> {
        let Some(found) = self.conf()?.registry(reference) else {
            return Ok(None);
        };
        if found.blocked {
            let (prefix, file) = (&found.prefix, &found.file);
            return Err(Error::denied(format!("`{prefix}` is blocked by `{file}`"))
                .target(reference.to_string())
                .hint(format!("take `blocked = true` out of `{file}` if it is to be used")));
        }
        Ok(Some(found))
    }
}

impl Location {
    fn itself(reference: &Reference) -> Location {
        Location {
            reference: reference.clone(),
            insecure: false,
        }
    }
}
