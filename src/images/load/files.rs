//! The files of an archive or a layout by name, whatever holds them: a tar that can be read anywhere, a spooled stream, a directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use crate::error::{Context as _, Error, Result};
use crate::images::archive::{Entry, Input, Kind, Reader};
use crate::images::compression::{self, Encoding};
use crate::images::content;
use crate::images::limits::{self, Limits};
use crate::images::source::{self, Opened, Source};
use crate::images::staging::Staging;
use crate::model::Context;
use crate::sys::file::open_in_root;

/// Named files that can be read in any order.
pub(super) enum Files {
    /// Parts of one file.
    Members(File, BTreeMap<String, Member>),
    /// A directory.
    Directory(OwnedFd),
}

/// Where a name's bytes are.
pub(super) enum Member {
    Data { offset: u64, size: u64 },
    Link(String),
}

/// Links from name to name that are followed; archives need one.
const LINKS: usize = 8;

impl Files {
    /// Opens what a source holds. A plain tar file is read where it lies; anything else is inflated into the staging directory first.
    pub(super) fn open(ctx: &Context, limits: &Limits, staging: &Staging, source: Source<'_>) -> Result<Files> {
        match source {
            Source::Reader(input) => Files::spool(ctx, limits, staging, input),
            Source::Path(path) if path.is_dir() => Ok(Files::Directory(content::open_dir(path)?)),
            Source::Standard => Files::spool(ctx, limits, staging, source::standard(ctx)?),
            Source::Path(path) => match source::open(ctx, path)? {
                Opened::Stream(stream) => Files::spool(ctx, limits, staging, stream),
                Opened::File(mut file) => {
                    let what = || format!("read `{}`", path.display());
                    let mut start = Vec::new();
                    (&file).take(6).read_to_end(&mut start).during(what)?;
                    file.seek(SeekFrom::Start(0)).during(what)?;
                    match Encoding::of(&start) {
                        Encoding::Plain => Files::index(ctx, limits, file),
                        _ => Files::spool(ctx, limits, staging, Box::new(file)),
                    }
                }
            },
        }
    }

    fn index(ctx: &Context, limits: &Limits, file: File) -> Result<Files> {
        let again = file.try_clone().during(|| "open the archive again")?;
        let mut reader = Reader::new(BufReader::with_capacity(4096, again), limits);
        let mut members = BTreeMap::new();
        while let Some(entry) = reader.next(ctx)? {
            let (offset, size) = (reader.offset(), reader.remaining());
            add(&mut members, &entry, offset, size)?;
        }
        Ok(Files::Members(file, members))
    }

    fn spool<'a>(ctx: &Context, limits: &Limits, staging: &Staging, input: Box<dyn Read + Send + 'a>) -> Result<Files> {
        let path = staging.free_path();
        let options = File::options().read(true).write(true).create_new(true).open(&path);
        let mut file = options.during(|| format!("make `{}`", path.display()))?;
        let plain = BufReader::with_capacity(1 << 18, Unseekable(compression::decoder(input, limits)?));
        let mut reader = Reader::new(plain, limits);
        let (mut members, mut at) = (BTreeMap::new(), 0u64);
        while let Some(entry) = reader.next(ctx)? {
            let size = reader.remaining();
            add(&mut members, &entry, at, size)?;
            at += size;
            if at > limits.layer_size {
                return Err(limits::exceeded("the archive's size", "layer_size", limits.layer_size));
            }
            copy(ctx, &mut reader, &mut file)?;
        }
        Ok(Files::Members(file, members))
    }

    /// Whether there is a file of the name.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Files::Members(_, members) => members.contains_key(name),
            Files::Directory(_) => self.reader(name).is_ok(),
        }
    }

    /// A file's bytes as a stream. Errors: `corrupt` if there is none, for something named it.
    pub(super) fn reader(&self, name: &str) -> Result<Section<'_>> {
        let missing = || Error::corrupt(format!("the archive lacks the file `{}`", name.escape_debug()));
        match self {
            Files::Directory(dir) => {
                let file = open_in_root(dir.as_fd(), name.as_bytes(), OFlag::O_RDONLY | OFlag::O_NONBLOCK)
                    .map_err(|_| missing())?;
                let file = File::from(file);
                let status = file.metadata().during(|| format!("look at `{name}`"))?;
                if !status.is_file() {
                    return Err(missing());
                }
                Ok(Section {
                    file: Held::Own(file),
                    at: 0,
                    end: status.len(),
                })
            }
            Files::Members(file, members) => {
                let mut member = members.get(name);
                for _ in 0..LINKS {
                    match member {
                        Some(Member::Link(target)) => member = members.get(target),
                        Some(Member::Data { offset, size }) => {
                            return Ok(Section {
                                file: Held::Shared(file),
                                at: *offset,
                                end: offset + size,
                            });
                        }
                        None => break,
                    }
                }
                Err(missing())
            }
        }
    }

    /// A small file's bytes. Errors: `corrupt` if it is missing or longer than a document may be.
    pub(super) fn document(&self, name: &str, limits: &Limits) -> Result<Vec<u8>> {
        let mut section = self.reader(name)?;
        if section.size() > limits.document {
            return Err(limits::exceeded(
                format!("the size of `{}`", name.escape_debug()),
                "document",
                limits.document,
            ));
        }
        let mut bytes = Vec::new();
        section
            .read_to_end(&mut bytes)
            .during(|| format!("read `{name}` of the archive"))?;
        Ok(bytes)
    }
}

/// Part of a file, read without moving the file's own position.
pub(super) struct Section<'a> {
    file: Held<'a>,
    at: u64,
    end: u64,
}

enum Held<'a> {
    Own(File),
    Shared(&'a File),
}

impl Section<'_> {
    /// Bytes left.
    pub(super) fn size(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.size()).unwrap_or(usize::MAX).min(buffer.len());
        let file = match &self.file {
            Held::Own(file) => file,
            Held::Shared(file) => file,
        };
        let length = file.read_at(&mut buffer[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// A stream that is only read forward.
struct Unseekable<R>(R);

impl<R: Read> Read for Unseekable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Input for BufReader<Unseekable<R>> {}

fn copy<R: Input>(ctx: &Context, reader: &mut Reader<'_, R>, file: &mut File) -> Result<()> {
    loop {
        ctx.check()?;
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            return Ok(());
        }
        file.write_all(chunk).during(|| "spool the archive")?;
        reader.advance(length);
    }
}

/// Notes an entry under its name; names that are not text cannot be asked for.
fn add(members: &mut BTreeMap<String, Member>, entry: &Entry, offset: u64, size: u64) -> Result<()> {
    let Some(name) = name_of("", &entry.path) else {
        return Ok(());
    };
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
    let member = match entry.kind {
        Kind::Regular if entry.sparse.is_some() => {
            return Err(Error::unsupported(format!(
                "the archive's file `{}` is stored sparsely",
                name.escape_debug()
            )));
        }
        Kind::Regular => Some(Member::Data { offset, size }),
        Kind::Symlink => name_of(&parent, &entry.link).map(Member::Link),
        Kind::Hardlink => name_of("", &entry.link).map(Member::Link),
        _ => None,
    };
    if let Some(member) = member {
        members.insert(name, member);
    }
    Ok(())
}

/// A path relative to `base` without `.` and `..`; `None` if it is no text or leads out.
fn name_of(base: &str, path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
