//! A container's changes as a new image.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Image;
use crate::error::Result;
use crate::host::Host;
use crate::images;
use crate::model::{Context, Reference, Words};

/// Options of a container's `commit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommitOptions {
    /// Dockerfile lines such as `CMD ["/bin/sh"]` or `ENV A=1`.
    pub changes: Words,
    /// A remark for the history.
    pub message: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Pause a running container meanwhile.
    pub pause: bool,
    /// Make one layer of all.
    pub squash: bool,
}

impl Default for CommitOptions {
    fn default() -> CommitOptions {
        CommitOptions {
            changes: Words::default(),
            message: None,
            author: None,
            pause: true,
            squash: false,
        }
    }
}

/// What a container contributes to the image made from it.
pub(in crate::host) struct Changes<'a> {
    pub(in crate::host) base: &'a Image,
    pub(in crate::host) upper: &'a Path,
    pub(in crate::host) lowers: &'a [PathBuf],
    pub(in crate::host) created_by: String,
    pub(in crate::host) config: images::RunConfig,
}

impl Host {
    /// Makes an image from a base and the changes above it; without a name it is dangling.
    pub(in crate::host) fn commit_image(
        &self,
        ctx: &Context,
        changes: &Changes,
        name: Option<&str>,
        options: &CommitOptions,
    ) -> Result<Image> {
        let names: Vec<Reference> = name.map(str::parse).transpose()?.into_iter().collect();
        let base = changes.base.stored()?;
        let options = images::CommitOptions {
            changes: options.changes.0.clone(),
            message: options.message.clone(),
            author: options.author.clone(),
            created_by: Some(changes.created_by.clone()),
            config: Some(changes.config.clone()),
            squash: options.squash,
        };
        let (upper, lowers) = (changes.upper, changes.lowers);
        let parent = (!options.squash).then(|| changes.base.id());
        self.bring_in(|lease| {
            lease.hold(&base.digests())?;
            let image = images::commit(ctx, self.new_content()?, lease, Some(&base), lowers, upper, &options)?;
            self.publish(ctx, image, names, parent)
        })
    }
}
