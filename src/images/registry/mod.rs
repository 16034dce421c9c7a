//! Registries (OCI distribution-spec): who may do what there, and how they are reached.

pub mod credentials;

pub use credentials::{Credential, Credentials};
