//! Which registry a name leads to, and who we are to it.

mod archive;
mod copy;
mod index;
mod login;
mod look;
mod mirror;
mod mutate;
mod push;
mod search;

use super::Host;
use crate::config::{Proxies, Registries};
use crate::error::{Error, Result};
use crate::images::registry::credentials::Key;
use crate::images::registry::hosts::Location;
use crate::images::registry::{Credential, Credentials, Endpoint, Hosts, Registry, Settings, Transport};
use crate::model::{Context, Reference, TimeSpan, format_duration};

pub use copy::{CopyOptions, path_of_side};
pub use index::{EntryOptions, Index, IndexOptions, IndexPushOptions, IndexRecipe};
pub use look::Asking;
pub use mirror::MirrorOptions;
pub use mutate::MutateOptions;
pub use push::{PushOptions, PushedImage};
pub use search::{SearchOptions, search_place};

/// The settings and credentials of whoever runs this process. Nothing of them is read before it is needed.
pub(super) struct Ways {
    pub(super) hosts: Hosts,
    pub(super) credentials: Credentials,
}

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

    /// The places that have a reference's repository, in the order they are asked: its mirrors, then its own registry. `verify` has
    /// the last word about certificates.
    ///
    /// Errors: `denied` for a registry that is blocked, `invalid` for settings that cannot be read.
    pub(super) fn places_of(&self, reference: &Reference, verify: Option<bool>) -> Result<Vec<Place>> {
        let sources = self.ways().hosts.sources(reference)?;
        sources.iter().map(|source| self.place(source, verify)).collect()
    }

    /// Where a reference's repository is written to.
    pub(super) fn destination_of(&self, reference: &Reference, verify: Option<bool>) -> Result<Place> {
        let destination = self.ways().hosts.destination(reference)?;
        self.place(&destination, verify)
    }

    fn place(&self, location: &Location, verify: Option<bool>) -> Result<Place> {
        let verify = verify.or(location.insecure.then_some(false));
        let host = location.reference.registry();
        let certificates = self.ways().hosts.certificates(host)?;
        let endpoint = Endpoint {
            authorities: certificates.authorities,
            identity: certificates.identity,
            ..Endpoint::new(host, verify)?
        };
        Ok(Place {
            endpoint,
            repository: location.reference.path().to_owned(),
        })
    }

    /// What people have set about registries, and who they are to them.
    pub(super) fn ways(&self) -> &Ways {
        self.0.ways.get_or_init(|| {
            let places = Registries::from_environment();
            let places = match &self.config().logins {
                Some(file) => places.with_logins_in(file),
                None => places,
            };
            Ways {
                hosts: Hosts::new(&places),
                credentials: Credentials::new(&places),
            }
        })
    }

    /// Who we are to a registry where a repository is concerned; all of it, where that is empty.
    pub(super) fn credential_for(&self, ctx: &Context, registry: &str, repository: &str) -> Result<Credential> {
        let found = self.ways().credentials.find(ctx, &Key::new(registry, repository))?;
        Ok(found.unwrap_or_default())
    }

    /// The registry at a place; without credentials of the caller's own, under those that are kept for it.
    pub(super) fn registry_at(&self, ctx: &Context, place: &Place, own: Option<Credential>) -> Result<Registry> {
        let credential = match own {
            Some(own) => own,
            None => self.credential_for(ctx, &place.endpoint.name, &place.repository)?,
        };
        Ok(Registry::new(self.transport(), place.endpoint.clone(), credential))
    }
}

/// Does work that may take only so long, if there is a limit; `what` was not done then, and `hint` says what stays of it.
pub(super) fn within<T>(
    ctx: &Context,
    limit: Option<&TimeSpan>,
    (what, hint): (&str, &str),
    work: impl FnOnce(&Context) -> Result<T>,
) -> Result<T> {
    let Some(limit) = limit else { return work(ctx) };
    let own = ctx.with_timeout(limit.0);
    work(&own).map_err(|error| match own.owns_timeout(&error) {
        true => Error::timeout(format!("{what} within {}", format_duration(limit.0))).hint(hint),
        false => error,
    })
}
