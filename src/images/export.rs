//! From a directory tree to a tarball. One thread looks files up and opens them, which is most of the time it takes; another writes.

use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use super::output::Output;
use super::pack::{Finder, Found, Packer};
use super::tree::Layers;
use super::{pipe, tree};
use crate::error::{Context as _, Result};
use crate::model::Context;

/// Files that may be open, waiting to be written.
const AHEAD: usize = 64;
/// Bytes from which the kernel copies a file: below, its calls cost more than the copy.
const LARGE: u64 = 64 << 10;
/// Bytes of small entries that are written at once.
const GATHERED: usize = 256 << 10;

/// Writes the directories of an overlay, topmost first, as one tarball to `dest`, which appears whole or not at all: extended
/// attributes as pax records, owners as numbers, times in whole seconds, names in order. A file there is replaced; `-` is standard
/// output. Gives its bytes.
///
/// The directories are walked by descriptor, following no link. Sockets are left out.
pub fn export(ctx: &Context, dirs: &[PathBuf], dest: &Path) -> Result<u64> {
    export_tree(ctx, dirs, dest, true)
}

/// Writes what is in a directory, and nothing of the directory itself: unpacked, it leaves the one that it is unpacked in as it is.
pub fn export_content(ctx: &Context, dir: &Path, dest: &Path) -> Result<u64> {
    export_tree(ctx, &[dir.to_owned()], dest, false)
}

fn export_tree(ctx: &Context, dirs: &[PathBuf], dest: &Path, with_root: bool) -> Result<u64> {
    let output = Output::open(dest)?;
    let (queue, found) = sync_channel(AHEAD);
    let output = output.behind(|output| {
        std::thread::scope(|scope| {
            let finder = scope.spawn(move || find(ctx, dirs, with_root, &queue));
            let written = write(ctx, found.into_iter(), output);
            pipe::first_cause(finder.join().expect("a finder does not panic"), written)
        })
    })?;
    output.finish()
}

/// Hands on all that is in a tree, and `None` after the last. Stops early when the writer has gone: it knows why.
fn find(ctx: &Context, dirs: &[PathBuf], with_root: bool, queue: &SyncSender<Option<Found>>) -> Result<()> {
    let layers = Layers::open(dirs)?;
    let mut finder = Finder::default();
    let root = with_root.then(|| Finder::root(layers.root(0)?.as_fd())).transpose()?;
    let sent = match root {
        Some(root) => queue.send(Some(root)).map_err(|_| pipe::downstream()),
        None => Ok(()),
    };
    let walked = sent.and_then(|()| {
        layers.walk(
            ctx,
            &mut |place, node| match finder.find(layers.root(place)?.as_fd(), node)? {
                Some(found) => queue.send(Some(found)).map_err(|_| pipe::downstream()),
                None => Ok(()),
            },
        )
    });
    walked.map(|()| drop(queue.send(None)))
}

fn write(ctx: &Context, mut queue: impl Iterator<Item = Option<Found>>, output: Output) -> Result<Output> {
    let mut packer = Packer::new(BufWriter::with_capacity(GATHERED, output));
    while let Some(found) = queue.next().ok_or_else(pipe::upstream)? {
        if found.entry.size < LARGE {
            packer.found(ctx, &found)?;
        } else {
            packer.bare(&found.entry)?;
            append(ctx, packer.output(), &found)?;
        }
    }
    let output = packer
        .finish()?
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error);
    output.during(|| "write the archive")
}

fn append(ctx: &Context, out: &mut BufWriter<Output>, found: &Found) -> Result<()> {
    let Some(file) = &found.file else { return Ok(()) };
    out.flush().during(|| "write the archive")?;
    match out.get_mut().append(ctx, file, found.entry.size)? {
        0 => Ok(()),
        _ => Err(tree::changed(&found.entry.path)),
    }
}
