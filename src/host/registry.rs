//! Which registry a name leads to, and who we are to it.

use super::Host;
use crate::config::Proxies;
use crate::error::Result;
use crate::images::registry::{Credential, Endpoint, Registry, Settings, Transport};
use crate::model::Reference;

/// Where a repository is to be had from.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The registry to ask.
    pub(super) endpoint: Endpoint,
    /// The repository's path there.
    pub(super) repository: String,
}

impl Host {
    /// The connections of this process.
    pub(super) fn transport(&self) -> &Transport {
        self.0.transport.get_or_init(|| {
            Transport::new(Settings {
                limits: self.config().limits.clone(),
                proxies: Proxies::of_environment(),
                ..Settings::default()
            })
        })
    }

    /// The places that have a reference's repository, in the order they are asked. `verify` has the last word about certificates.
    pub(super) fn places_of(&self, reference: &Reference, verify: Option<bool>) -> Result<Vec<Place>> {
        let endpoint = Endpoint::new(reference.registry(), verify)?;
        let repository = reference.path().to_owned();
        Ok(vec![Place { endpoint, repository }])
    }

    /// Who we are to a registry where a repository is concerned.
    pub(super) fn credential_for(&self, _host: &str, _repository: &str) -> Result<Credential> {
        Ok(Credential::Anonymous)
    }

    /// The registry at a place; without credentials of the caller's own, under those that are kept for it.
    pub(super) fn registry_at(&self, place: &Place, own: Option<Credential>) -> Result<Registry> {
        let credential = match own {
            Some(own) => own,
            None => self.credential_for(&place.endpoint.name, &place.repository)?,
        };
        Ok(Registry::new(self.transport(), place.endpoint.clone(), credential))
    }
}
