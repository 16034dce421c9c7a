//! The files of a layout, and their way into a tar or a directory.

use std::collections::BTreeMap;
use std::fs::Metadata;

use super::Format;
use super::layer::{Blob, Form};
use super::part::Part;
use crate::error::{Context as _, Error, Result};
use crate::images::archive::{Entry, Kind, Writer};
use crate::images::compression::{Compression, Encoder, Pool};
use crate::images::image::{Image, Layer};
use crate::images::jobs;
use crate::images::manifest::{self, Descriptor, OCI_CONFIG, SavedImage};
use crate::images::output::{NewDirectory, Output};
use crate::images::pipe::Inlet;
use crate::model::{Context, Digest, Hasher, Reference};

/// A layout to be written.
pub(super) struct Layout {
    /// Its files by path.
    files: BTreeMap<String, Part>,
    /// The diff ids of layers that were made again from their files.
    pub(super) rebuilt: Vec<Digest>,
}

/// An image and the names it is saved under.
type Named<'a> = (&'a Image, Vec<Reference>);

impl Layout {
    pub(super) fn new(ctx: &Context, form: &Form<'_>, images: &[Named<'_>], format: Format) -> Result<Layout> {
        let blobs = blobs(ctx, form, images)?;
        let mut layout = Layout {
            files: BTreeMap::new(),
            rebuilt: blobs.values().filter_map(|blob| blob.rebuilt.clone()).collect(),
        };
        let (mut entries, mut saved) = (Vec::new(), Vec::new());
        for (image, names) in images {
            let layers: Vec<&Blob> = image.layers.iter().map(|layer| &blobs[&layer.blob]).collect();
            let manifest = manifest_of(form, image, &layers)?;
            let digest = image.manifest.same_of(&manifest);
            entries.extend(descriptors(&manifest, &digest, names));
            saved.push(saved_image(image, names, &layers));
            layout.add(blob_name(&digest), manifest);
            layout.add(blob_name(&image.id), image.config.clone());
        }
        for blob in blobs.into_values() {
            let name = blob_name(&blob.descriptor.digest);
            let unverified = blob.is_stored.then_some(blob.descriptor.digest);
            layout.files.insert(name, Part::Blob(blob.path, unverified));
        }
        layout.add("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        layout.add("index.json".to_owned(), manifest::index_bytes(entries));
        if format == Format::Docker {
            layout.add("manifest.json".to_owned(), json(&saved));
            layout.add("repositories".to_owned(), json(&repositories(images)));
        }
        Ok(layout)
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.files.insert(name, Part::Bytes(bytes));
    }

    /// Tells those who watch what blobs are to come.
    fn tell(&self, ctx: &Context) -> Result<()> {
        let blobs = self.files.values().filter(|part| matches!(part, Part::Blob(..)));
        let told = blobs.map(|part| Ok((part.name(), part.size()?)));
        ctx.watcher().parts(&told.collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    /// Every directory that a file is in, outermost first.
    fn directories(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self
            .files
            .keys()
            .flat_map(|name| name.match_indices('/').map(|(at, _)| &name[..at]))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Writes the archive to a stream, or compressed; gives its size and digest.
    pub(super) fn stream_tar(
        &self,
        ctx: &Context,
        output: Output,
        compression: Compression,
        pool: &Pool,
    ) -> Result<(u64, Digest)> {
        self.tell(ctx)?;
        let make = |inlet: Inlet| {
            let mut tar = Writer::new(Encoder::new(inlet, compression, pool));
            self.write_parts(&mut tar, |tar, part, _| {
                let (name, mut came) = (part.name(), 0);
                part.read(ctx, &mut |bytes| {
                    came += bytes.len() as u64;
                    ctx.watcher().came(&name, came);
                    tar.data(bytes)
                })?;
                ctx.watcher().done(&name, false);
                Ok(())
            })?;
            tar.finish()?.finish()?.end().during(|| "write the archive")
        };
        let (size, digest) = output.fill(ctx, Some(Hasher::default()), make)?;
        Ok((
            size,
            digest.ok_or_else(|| Error::internal("an archive was not hashed"))?,
        ))
    }

    /// Writes the archive to a file, whose blobs the kernel copies while they are verified; gives its size, and what the file is.
    pub(super) fn write_tar(&self, ctx: &Context, output: Output) -> Result<(u64, Metadata)> {
        self.tell(ctx)?;
        let output = output.behind(|output| {
            self.verifying(ctx, |ctx| {
                let doing = output.doing();
                let mut tar = Writer::doing(output, doing);
                self.write_parts(&mut tar, |tar, part, size| part.append_to(ctx, tar.output(), size))?;
                tar.finish()
            })
        })?;
        let facts = output.facts()?;
        Ok((output.finish()?, facts))
    }

    fn write_parts<W: std::io::Write>(
        &self,
        tar: &mut Writer<W>,
        mut write: impl FnMut(&mut Writer<W>, &Part, u64) -> Result<()>,
    ) -> Result<()> {
        for dir in self.directories() {
            tar.entry(&Entry::new(format!("{dir}/").into_bytes(), Kind::Directory, 0o755))?;
        }
        for (name, part) in &self.files {
            let size = part.size()?;
            let entry = Entry {
                size,
                ..Entry::new(name.as_bytes().to_vec(), Kind::Regular, 0o644)
            };
            tar.entry(&entry)?;
            write(tar, part, size)?;
        }
        Ok(())
    }

    /// Does work while other threads verify the blobs; both must succeed.
    fn verifying<T>(&self, ctx: &Context, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let group = ctx.child();
        std::thread::scope(|scope| {
            let parts = self.files.values().collect();
            let verify = || jobs::run(&group, jobs::FEW, parts, |ctx, part: &Part| part.verify(ctx));
            let verified = scope.spawn(|| verify().inspect_err(|_| group.cancel()));
            let worked = work(&group).inspect_err(|_| group.cancel());
            let verified = verified.join().expect("a verifier does not panic");
            ctx.check()?;
            match (worked, verified) {
                // Whichever failed first stopped the other.
                (Err(error), Ok(_)) => Err(error),
                (Err(error), Err(other)) if other.kind() == crate::error::Kind::Cancelled => Err(error),
                (_, Err(error)) => Err(error),
                (Ok(value), Ok(_)) => Ok(value),
            }
        })
    }

    /// Fills the directory; gives the size of all files and the digest of the index.
    pub(super) fn write_dir(&self, ctx: &Context, directory: NewDirectory) -> Result<(u64, Digest)> {
        self.tell(ctx)?;
        for dir in self.directories() {
            let dir = directory.path().join(dir);
            std::fs::create_dir(&dir).during(|| format!("make `{}`", dir.display()))?;
        }
        let fill = |ctx: &Context| {
            let sizes = self.files.iter().map(|(name, part)| {
                let mut file = Output::within(&directory, name)?;
                part.append_to(ctx, &mut file, part.size()?)?;
                file.finish()
            });
            sizes.sum()
        };
        let size = directory.behind(|| self.verifying(ctx, fill))?;
        directory.finish()?;
        match self.files.get("index.json") {
            Some(Part::Bytes(index)) => Ok((size, Digest::of(index))),
            _ => Err(Error::internal("a layout without index")),
        }
    }
}

/// The layers of all images, each once, by the digest they are stored under.
fn blobs(ctx: &Context, form: &Form<'_>, images: &[Named<'_>]) -> Result<BTreeMap<Digest, Blob>> {
    let layers: BTreeMap<&Digest, &Layer> = images
        .iter()
        .flat_map(|(image, _)| image.layers.iter().map(|layer| (&layer.blob, layer)))
        .collect();
    let made = jobs::run(ctx, jobs::FEW, layers.into_iter().collect(), |ctx, (stored, layer)| {
        Ok((stored.clone(), form.blob(ctx, layer)?))
    })?;
    Ok(made.into_iter().collect())
}

/// The manifest byte for byte as it is, or a new one where a layer is another blob.
fn manifest_of(form: &Form<'_>, image: &Image, layers: &[&Blob]) -> Result<Vec<u8>> {
    if layers.iter().all(|layer| layer.is_stored) {
        return form.content.read_blob(&image.manifest, form.content.limits().document);
    }
    let config = Descriptor::new(OCI_CONFIG, image.id.clone(), image.config.len() as u64);
    let layers: Vec<Descriptor> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    Ok(manifest::manifest_bytes(&config, &layers))
}

fn saved_image(image: &Image, names: &[Reference], layers: &[&Blob]) -> SavedImage {
    let tags = names.iter().filter_map(Reference::tagged).map(|name| name.familiar());
    SavedImage {
        config: blob_name(&image.id),
        repo_tags: Some(tags.collect()),
        layers: Some(layers.iter().map(|layer| blob_name(&layer.descriptor.digest)).collect()),
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// One entry per name, or one without.
fn descriptors(manifest: &[u8], digest: &Digest, names: &[Reference]) -> Vec<Descriptor> {
    let media_type = manifest::media_type_of(manifest);
    let entry = |name| manifest::named_descriptor(&media_type, digest, manifest.len() as u64, name);
    if names.is_empty() {
        return vec![entry(None)];
    }
    names.iter().map(|name| entry(Some(name))).collect()
}

/// `repositories` of old Docker versions: repository → tag → topmost layer.
fn repositories(images: &[Named<'_>]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (image, names) in images {
        let top = image.layers.last().map_or(image.id.hex(), |layer| layer.diff_id.hex());
        for name in names {
            if let Some(tag) = name.tag() {
                let tags = all.entry(name.familiar_repository()).or_default();
                tags.insert(tag.to_owned(), top.to_owned());
            }
        }
    }
    all
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("has text keys only")
}
