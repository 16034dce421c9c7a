//! Images in and out of files: load, save, import, and from this host's own binaries.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::{BroughtIn, Image};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::{self, Source};
use crate::model::{Command, Context, Digest, Pairs, Reference, Words};
use crate::store::Lease;

/// Options of `image::save`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaveOptions {
    /// `docker` (the default; also a valid OCI layout), `oci-archive` or `oci-dir`.
    pub format: Option<String>,
    /// `gzip`, `zstd` or `none`; by default layers stay as they are stored.
    pub compression: Option<String>,
}

/// Options of `image::import_tar`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportOptions {
    /// Dockerfile lines such as `CMD ["/bin/sh"]` or `ENV A=1`.
    pub changes: Words,
    /// A remark for the history.
    pub message: Option<String>,
    /// What the files are for; this host's platform by default.
    pub platform: Option<String>,
}

/// Options of `image::from_host`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FromHostOptions {
    /// The default command; the first binary otherwise.
    pub cmd: Option<Command>,
    /// Environment variables.
    pub env: Pairs,
    /// Labels.
    pub labels: Pairs,
}

impl Host {
    /// Brings in every image of an archive or OCI layout; under `tags: false` none of its names is set, and no name moves.
    ///
    /// A path of `-` is standard input. Errors: `not_found`, `corrupt`, `no_space`; nothing is left behind then.
    pub fn load_images(&self, ctx: &Context, path: &Path, tags: bool) -> Result<BroughtIn> {
        let input = self.input(path);
        let brought = self.bring_in(|lease| {
            let mut loaded = images::load(ctx, self.new_content()?, lease, Source::named(&input))?;
            if !tags {
                loaded.iter_mut().for_each(|found| found.names.clear());
            }
            self.publish_all(ctx, loaded, None)
        })?;
        for image in &brought.images {
            self.planned("image::load", &image.to_string(), &format!("from {}", path.display()));
            self.tell_image("load", image, &image.name());
        }
        Ok(brought)
    }

    /// Writes images to a file, a directory or, by a path of `-`, standard output. Each is given by name or id; a name goes along, an
    /// id brings all its names.
    ///
    /// Counts as a use of them. Errors: `not_found`, `no_space`, `denied`; an existing file stays as it was then.
    pub fn save_images(
        &self,
        ctx: &Context,
        sources: &[String],
        path: &Path,
        options: &SaveOptions,
    ) -> Result<images::Saved> {
        if sources.is_empty() {
            return Err(Error::invalid("there is no image to save").hint("name at least one"));
        }
        let format = options
            .format
            .as_deref()
            .map(str::parse)
            .transpose()?
            .unwrap_or_default();
        let compression = options.compression.as_deref().map(str::parse).transpose()?;
        let lease = self.hold()?;
        let mut found: Vec<(images::Image, Vec<Reference>)> = Vec::new();
        for source in sources {
            let (stored, names) = self.to_save(&lease, source)?;
            match found.iter_mut().find(|(image, _)| image.id == stored.id) {
                Some((_, before)) => before.extend(names),
                None => found.push((stored, names)),
            }
        }
        for (_, names) in &mut found {
            names.sort();
            names.dedup();
        }
        let images: Vec<_> = found.iter().map(|(image, names)| (image, names.clone())).collect();
        let content = self.content_of(images[0].0)?;
        let dry = self.planned("image::save", &path.display().to_string(), &sources.join(", "));
        if dry {
            // The dry run writes the same bytes elsewhere, so that size and checksum are true.
            let aside = self.aside(path)?;
            let mut saved = images::save(ctx, content, &images, &aside, format, compression)?;
            path.clone_into(&mut saved.path);
            return Ok(saved);
        }
        let saved = images::save(ctx, content, &images, path, format, compression)?;
        let ids: Vec<Digest> = images.iter().map(|(image, _)| image.id.clone()).collect();
        self.store()
            .write(|tx| ids.iter().try_for_each(|id| tx.touch_image(id, Timestamp::now())))?;
        ids.iter()
            .zip(sources)
            .for_each(|(id, name)| self.tell_image_id("save", id.as_str(), name));
        Ok(saved)
    }

    /// An image to save, with the names that go along.
    fn to_save(&self, lease: &Lease, source: &str) -> Result<(images::Image, Vec<Reference>)> {
        let (image, named) = self.store().read(|tx| self.resolve(tx, source))?;
        let names = match named {
            super::resolve::Named::Reference(name) => vec![name],
            // A name that is a digest means the same everywhere, and archives have no place for it.
            super::resolve::Named::Id => image.references().iter().filter_map(Reference::tagged).collect(),
        };
        let (_, stored) = self.held_image(lease, image.id().as_str())?;
        Ok((stored, names))
    }

    /// Makes an image of one layer from a tarball of a root file system. A path of `-` is standard input.
    ///
    /// Errors: `invalid` for a bad name or change, `corrupt`, `not_found`, `no_space`.
    pub fn import_image(&self, ctx: &Context, path: &Path, name: &str, options: &ImportOptions) -> Result<Image> {
        let name: Reference = name.parse()?;
        let input = self.input(path);
        let options = images::ImportOptions {
            changes: options.changes.0.clone(),
            message: options.message.clone(),
            platform: options.platform.as_deref().map(str::parse).transpose()?,
        };
        let shown = name.familiar();
        let image = self.bring_in(|lease| {
            let image = images::import_tar(ctx, self.new_content()?, lease, Source::named(&input), &options)?;
            self.planned("image::import_tar", &name.familiar(), &path.display().to_string());
            self.publish(ctx, image, vec![name], None)
        })?;
        self.tell_image("import", &image, &shown);
        Ok(image)
    }

    /// Makes an image from binaries of this host and the shared libraries they need.
    ///
    /// Errors: `not_found` naming the binary or library that is missing, `invalid` for a bad name.
    pub fn image_from_host(
        &self,
        ctx: &Context,
        name: &str,
        binaries: &[String],
        options: &FromHostOptions,
    ) -> Result<Image> {
        let name: Reference = name.parse()?;
        let options = images::HostOptions {
            cmd: options.cmd.as_ref().map(Command::words),
            env: options.env.0.clone(),
            labels: options.labels.0.clone(),
            ..images::HostOptions::default()
        };
        let shown = name.familiar();
        let image = self.bring_in(|lease| {
            let image = images::from_host(ctx, self.new_content()?, lease, binaries, &options)?;
            self.planned("image::from_host", &name.familiar(), &binaries.join(", "));
            self.publish(ctx, image, vec![name], None)
        })?;
        self.tell_image("import", &image, &shown);
        Ok(image)
    }

    /// Where the locks of leases are: with the store's, or with the dry run's own content.
    pub(in crate::host) fn staging_leases(&self) -> Result<PathBuf> {
        match self.plan() {
            None => Ok(self.lease_dir()),
            Some(_) => Ok(self.scratch()?.dir.path().join("leases")),
        }
    }

    /// The content store that has a blob: the dry run's own for what that made.
    pub(in crate::host) fn content_with(&self, blob: &Digest) -> Result<&images::Content> {
        let is_new = self.plan().is_some() && !self.content().has_blob(blob) && self.new_content()?.has_blob(blob);
        if is_new { self.new_content() } else { Ok(self.content()) }
    }

    /// The content store that has an image: the dry run's own for what that made.
    pub(in crate::host) fn content_of(&self, image: &images::Image) -> Result<&images::Content> {
        match self.plan().is_some() && !self.content().has_blob(&image.id) {
            true => {
                // What it is made of may be of the real store.
                let own = self.new_content()?;
                for layer in &image.layers {
                    own.borrow_blob(self.content(), &layer.blob)?;
                }
                Ok(own)
            }
            false => Ok(self.content()),
        }
    }
}
