//! From a layer's tar stream to a directory in overlay form (OCI image-spec, layer.md; kernel, filesystems/overlayfs.rst).
//!
//! Every path is resolved from a descriptor of the layer's own root, so that no name, link or whiteout in the stream reaches outside.

mod attributes;
mod audit;
mod parents;
mod place;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod whiteout;
mod writers;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::archive::{Entry, Input, Kind, Reader};
use super::content::Record;
use super::limits::{self, Limits};
use super::path_text;
use super::tree::split;
use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use attributes::{Attributes, Birth};
pub(crate) use audit::agrees;
use parents::Parents;
use writers::Writers;

/// A layer being unpacked.
struct Unpack<'a> {
    limits: &'a Limits,
    root: OwnedFd,
    parents: Parents,
    writers: Writers,
    /// Names under which there is a directory or a link, as the writers' keys.
    places: HashSet<u64>,
    /// Attributes of directories, set when nothing is created in them any more.
    directories: BTreeMap<Vec<u8>, Attributes>,
    /// Directories no entry named.
    implied: BTreeSet<Vec<u8>>,
    /// Whether none named the root.
    root_implied: bool,
    /// Hard links whose target had not come yet, in the end never, by their own paths.
    links: BTreeMap<Vec<u8>, Entry>,
    /// Names that were whited out, by the real paths of their directories.
    whiteouts: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    any_opaque: bool,
    size: u64,
}

/// Unpacks a stream into an empty directory. Errors: `corrupt` for what no layer may hold; the directory is then of no use.
pub(crate) fn unpack<R: Input>(
    ctx: &Context,
    limits: &Limits,
    reader: &mut Reader<'_, R>,
    root: OwnedFd,
) -> Result<Record> {
    let mut unpack = Unpack {
        limits,
        parents: Parents::default(),
        writers: Writers::new(Birth::below(root.as_fd())),
        places: HashSet::new(),
        root,
        directories: BTreeMap::new(),
        implied: BTreeSet::new(),
        root_implied: true,
        links: BTreeMap::new(),
        whiteouts: BTreeMap::new(),
        any_opaque: false,
        size: 0,
    };
    unpack.directories.insert(Vec::new(), Attributes::plain_directory());
    while let Some(entry) = reader.next(ctx)? {
        unpack.entry(ctx, entry, reader)?;
    }
    unpack.finish(ctx)
}

/// The bytes that a layer's files would have, were it unpacked. Errors: `corrupt` for what is no layer, or exceeds its limits.
pub(crate) fn measure<R: Input>(ctx: &Context, limits: &Limits, reader: &mut Reader<'_, R>) -> Result<u64> {
    let mut size = 0;
    while let Some(entry) = reader.next(ctx)? {
        let path = normal(&entry.path)?;
        let (_, name) = split(&path);
        if path.is_empty() || whiteout::is_private(&path) || whiteout::target(&path, name)?.is_some() {
            continue;
        }
        size = counted(limits, size, entry.size)?;
    }
    Ok(size)
}

/// A size with more bytes. Errors: `corrupt` beyond `layer_size`.
fn counted(limits: &Limits, size: u64, more: u64) -> Result<u64> {
    let size = size.saturating_add(more);
    match size > limits.layer_size {
        true => Err(limits::exceeded(
            "the layer's unpacked size",
            "layer_size",
            limits.layer_size,
        )),
        false => Ok(size),
    }
}

impl Unpack<'_> {
    fn entry<R: Input>(&mut self, ctx: &Context, entry: Entry, reader: &mut Reader<'_, R>) -> Result<()> {
        let path = normal(&entry.path)?;
        if path.is_empty() {
            return self.root_entry(&entry);
        }
        if whiteout::is_private(&path) {
            return Ok(());
        }
        let (parent, name) = split(&path);
        if let Some(hidden) = whiteout::target(&path, name)? {
            return self.whiteout(parent, &hidden);
        }
        self.size = counted(self.limits, self.size, entry.size)?;
        self.place(ctx, entry, &path, reader)
    }

    /// `./`: its attributes count, its type must not change (CVE-2021-29136).
    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::corrupt("the layer's root is not a directory"));
        }
        self.directories.insert(Vec::new(), Attributes::of(entry));
        self.root_implied = false;
        Ok(())
    }

    fn finish(mut self, ctx: &Context) -> Result<Record> {
        self.settle()?;
        self.late_links(ctx)?;
        let hiding = self.settle_whiteouts(ctx)?;
        // Children sort after their parents, so going backwards sets a directory's time after all below it was made.
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            ctx.check()?;
            attributes.set_on_directory(self.root.as_fd(), &path)?;
        }
        let text = |path: &Vec<u8>| path_text::encode(path);
        let lost = |(path, entry): (&Vec<u8>, &Entry)| Ok((text(path), text(&normal(&entry.link)?)));
        Ok(Record {
            size: self.size,
            implied: self.implied.iter().map(text).collect(),
            links: self.links.iter().map(lost).collect::<Result<_>>()?,
            hiding: hiding.iter().map(text).collect(),
            root_implied: self.root_implied,
        })
    }
}

/// A path without empty parts, `.` and `..`, relative to the root. Errors: `corrupt` if it leads out of the root or is no path.
fn normal(path: &[u8]) -> Result<Vec<u8>> {
    if path.contains(&0) {
        return Err(Error::corrupt(format!("the path `{}` contains NUL", shown(path))));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let outside = || Error::corrupt(format!("the path `{}` leads out of the layer", shown(path)));
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// A path as a message shows it.
fn shown(path: &[u8]) -> impl std::fmt::Display + '_ {
    path.escape_ascii()
}

/// The error for what the kernel does not take: the layer's fault, not the machine's, where it is about what the layer says.
fn refused(cause: Errno, act: &str, path: &[u8]) -> Error {
    let error = Err::<(), _>(cause)
        .during(|| format!("{act} `{}` of the layer", shown(path)))
        .expect_err("made of an error");
    match cause {
        Errno::ENAMETOOLONG | Errno::EINVAL | Errno::ENOENT | Errno::ELOOP | Errno::EMLINK | Errno::ERANGE => {
            error.with_kind(crate::error::Kind::Corrupt)
        }
        _ => error,
    }
}
