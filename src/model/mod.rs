//! The words every other module speaks: digests, references, platforms, sizes, durations, names.
//!
//! Everything here is a value: parsed once, valid from then on, with no input or output of its own.

mod address;
mod bytes;
mod context;
mod digest;
mod duration;
mod effect;
mod id;
mod moment;
mod pattern;
mod platform;
mod reference;
mod repository;
mod schedule;
mod secret;
mod suggest;
mod synonyms;
mod trigger;
mod version;
mod watcher;
mod words;

pub use address::{Address, Place, check_mailbox, host_of, url_below, url_of};
pub use bytes::ByteSize;
pub use context::Context;
pub use digest::{Digest, Hasher};
pub use duration::{format_duration, parse_duration};
pub use effect::Effect;
pub use id::{ContainerId, ContainerName, random_hex};
pub use moment::{Moment, TimeSpan};
pub use pattern::Pattern;
pub use platform::Platform;
pub use reference::Reference;
pub use repository::Repository;
pub use schedule::{Due, Missed, Schedule, Slot, Timetable, share_of, zone};
pub use secret::Secret;
pub use suggest::{suggest, unknown};
pub use synonyms::known_as;
pub use trigger::{Batch, Trigger, is_full_anew};
pub use version::parse_version;
pub use watcher::Watcher;
pub use words::{Bytes, Command, Pairs, Words};
