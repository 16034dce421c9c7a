//! What is written of a container, and read to know what it is and what it does: its configuration, processes, exits and events.

pub(super) mod bundle;
pub(super) mod changes;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod events;
pub(super) mod exit;
pub(super) mod request;
pub(super) mod settings;
pub(super) mod spec;
pub(super) mod state;
pub(super) mod update;
