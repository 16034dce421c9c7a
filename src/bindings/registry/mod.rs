//! `registry::` and `Server`: what is in registries, who we are to them, and the store served as one.

pub mod access;
pub mod acts;
pub mod cache;
pub mod index;
pub mod look;
pub mod mirror;
pub mod served;
pub mod server;

pub use server::Server;

use super::Manifests;

/// The functions of the namespace.
pub(super) fn functions() -> Manifests {
    vec![
        &access::functions::RHAI_MANIFEST,
        &look::functions::RHAI_MANIFEST,
        &acts::functions::RHAI_MANIFEST,
        &index::functions::RHAI_MANIFEST,
        &mirror::functions::RHAI_MANIFEST,
        &served::functions::RHAI_MANIFEST,
        &cache::functions::RHAI_MANIFEST,
    ]
}

/// The getters and methods of `Index`.
pub(super) fn index_methods() -> Manifests {
    vec![&index::methods::RHAI_MANIFEST]
}

/// The getters and methods of `Server`.
pub(super) fn methods() -> Manifests {
    vec![&server::methods::RHAI_MANIFEST]
}
