//! Content that an operation under way relies on or brings in, held by a lease. What nothing else needs at its end is removed: what a
//! failed operation brought in, and what another process gave up meanwhile.

use std::ops::Deref;

use super::Host;
use crate::error::Result;
use crate::store::Lease;

/// A lease that leaves nothing behind.
pub(super) struct Hold<'a> {
    host: &'a Host,
    /// Present until it is dropped.
    lease: Option<Lease<'a>>,
}

impl Host {
    /// Holds nothing yet.
    pub(super) fn hold(&self) -> Result<Hold<'_>> {
        let lease = self.store().lease(&self.staging_leases()?)?;
        Ok(Hold {
            host: self,
            lease: Some(lease),
        })
    }
}

impl<'a> Deref for Hold<'a> {
    type Target = Lease<'a>;

    fn deref(&self) -> &Lease<'a> {
        self.lease.as_ref().expect("it is taken on drop only")
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let is_real = self.host.plan().is_none();
        if is_real && self.host.collect_leases(&[lease.owner().to_owned()]).is_err() {
            lease.abandon();
        }
    }
}
