//! What a person and a program say to each other: terminals, streams, and the keys by which one leaves.

pub(super) mod console;
pub(super) mod conversation;
pub(super) mod detach_keys;
pub(super) mod input;
pub(super) mod raw;
pub(super) mod streams;
