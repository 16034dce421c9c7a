//! What a registry serves and takes, by repository: manifests, blobs, tags.
//!
//! Nothing is copied for it. A repository holds the images of the same names, and what was pushed there: of whatever kind, byte for byte.
//! An image for this machine that is pushed under a tag becomes an image like any other; what cannot be one is kept as it is.

mod blobs;
mod manifests;
mod prune;
mod removal;
mod tags;

pub use blobs::{Receiving, ServedBlob};
pub use manifests::{Document, FoundManifest, ManifestName, Pushed};
pub use prune::UntaggedFilter;
pub use tags::Referrer;

pub(super) use removal::take_manifests_of;
