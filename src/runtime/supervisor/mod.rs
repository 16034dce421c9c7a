//! The processes between a caller and a container: how they are started, what they watch, and when they start it again.

pub(super) mod adopt;
pub(super) mod channel;
pub(super) mod guard;
pub(super) mod health;
pub(super) mod launch;
pub(super) mod lifetime;
pub(super) mod nursery;
pub(super) mod probe;
pub(super) mod pump;
pub(super) mod restart;
pub(super) mod supervise;
pub(super) mod visitors;
pub(super) mod wait;
