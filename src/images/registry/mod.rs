//! Registries (OCI distribution-spec): who may do what there, and how they are reached.

mod credential;
pub mod credentials;
pub mod hosts;

pub use credential::Credential;
pub use credentials::Credentials;
pub use hosts::Hosts;
