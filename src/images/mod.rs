//! What an image is and where its bytes are: content on disk, archives in and out, layers packed and unpacked.
//!
//! Knows no names-to-images table and no containers: those are the database's. It reaches leases only through [`Holder`].

mod archive;
mod audit;
mod chain;
pub mod changes;
mod choice;
mod commit;
mod compare;
mod compression;
mod config;
mod content;
mod description;
mod discard;
mod disk;
mod draft;
mod export;
mod flat;
mod from_host;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod history;
mod image;
mod import;
mod incoming;
mod init_layer;
mod intake;
pub(crate) mod jobs;
mod layer;
mod limits;
mod links;
mod load;
mod manifest;
mod merged;
mod output;
mod overlay;
mod pack;
mod packed;
mod partial;
mod path_text;
mod pipe;
mod pull;
#[cfg(test)]
mod pull_tests;
mod recipe;
pub mod registry;
mod relay;
mod save;
mod share;
mod sketch;
mod source;
mod staging;
#[cfg(test)]
mod testing;
mod tree;
mod unpack;
mod upper;
mod watched;
mod write_behind;

pub use audit::{BlobDamage, LayerDamage};
pub use commit::{CommitOptions, commit};
pub use compare::{Entry, diff, files};
pub use compression::Compression;
pub use config::{Config, Healthcheck, RootFs, RunConfig, Step};
pub use content::Content;
pub use description::{Description, Named};
pub use discard::Discard;
pub use disk::DiskUsage;
pub use export::{export, export_content};
pub use from_host::{HostOptions, from_host};
pub use history::{History, history};
pub use image::{Holder, Image, Layer, Loaded};
pub use import::{ImportOptions, UnpackedTar, import_tar, unpack_tar};
pub use incoming::{Arrived, Incoming};
pub use init_layer::{Fill, Filling};
pub use limits::Limits;
pub use load::{Adoptable, adopt, adoptable, load, load_packed};
pub use manifest::media_type_of;
pub use pull::{Pulled, Wanted, pull};
pub use relay::{Follower, Relay, Relayed};
pub use save::{Format, Saved, save};
pub use sketch::{SketchOptions, sketch};
pub use source::Source;
pub use staging::{Abandoned, Staging};
pub use upper::{Change, ChangeKind, upper_changes};
