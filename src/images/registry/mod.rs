//! The registry client (OCI distribution-spec 1.1): how to ask a registry, and what it gives.
//!
//! [`Transport`] holds the connections, [`Registry`] is one registry under certain credentials, [`Registry::request`] asks it anything.
//! Which endpoint and which credentials those are is decided by whoever makes a [`Registry`].

mod blobs;
mod body;
mod catalogue;
mod challenge;
mod copy;
mod credential;
pub mod credentials;
mod describe;
mod documents;
mod endpoint;
mod failure;
pub mod hosts;
mod pace;
mod pages;
mod publish;
mod push;
mod request;
mod search;
mod session;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod transport;
mod upload;

pub(crate) use blobs::Download;
pub use blobs::Traffic;
pub use body::{Body, Opener};
pub use catalogue::Allowance;
pub mod index {
    //! Indexes put together.
    pub use super::copy::{
        IMAGE, IndexDraft, Listing, check_unmoved, gather, image_entry, listed, platform_of, settle,
    };
}
pub use copy::{Change, Copied, Copying, Flat, Flatten, Layout, Rebase, Side, copy, mutate};
pub use credential::Credential;
pub use credentials::Credentials;
pub use describe::Described;
pub use documents::{Head, Received};
pub use endpoint::{Endpoint, Security};
pub use hosts::Hosts;
pub use push::{Moved, Packed, Packing, pack, recall};
pub use request::{Registry, Request, Response};
pub use search::Hit;
pub use session::Scope;
pub use transport::{Settings, Transport};
