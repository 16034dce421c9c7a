//! Where an archive goes: a file that has no name before it is whole, or a stream.

use std::fs::{File, Metadata};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::pipe::{self, Inlet};
use super::{compression, content, write_behind};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file::{self, Lock};

const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP as i32;
const EISDIR: i32 = Errno::EISDIR as i32;

/// A file or stream being written.
pub(crate) struct Output {
    file: File,
    place: Option<Place>,
    written: u64,
    started: u64,
}

/// What becomes of a new file.
struct Place {
    dest: PathBuf,
    /// Its name meanwhile, where the file system has no files without one; locked, so that a dead process's is told from a live one's.
    partial: Option<(PathBuf, Lock)>,
}

/// Bytes after which the kernel is asked to start writing, so that the final sync finds little to do.
const WRITEBACK: u64 = 8 << 20;

impl Output {
    /// A new file for `dest`; `-` is standard output, and a device or FIFO is written to as it is.
    ///
    /// Errors: `invalid` for a terminal and for a directory, `not_found`, `denied`.
    pub(crate) fn open(dest: &Path) -> Result<Output> {
        let what = || format!("write `{}`", dest.display());
        let some = |(file, place)| (file, Some(place));
        if dest.as_os_str() == "-" {
            return standard_output();
        }
        let (file, place) = match std::fs::metadata(dest) {
            Ok(facts) if facts.is_dir() => return Err(Error::invalid(format!("`{}` is a directory", dest.display()))),
            Ok(facts) if !facts.is_file() => (File::options().write(true).open(dest).during(what)?, None),
            // The file that a link leads to is replaced, not the link.
            Ok(_) => some(unnamed(&std::fs::canonicalize(dest).during(what)?).during(what)?),
            Err(_) => some(unnamed(dest).during(what)?),
        };
        Ok(Output::new(file, place))
    }

    fn new(file: File, place: Option<Place>) -> Output {
        Output {
            file,
            place,
            written: 0,
            started: 0,
        }
    }

    /// Writes what one thread makes while another one hashes and writes it, and finishes. Gives the size, and the digest by the hasher.
    pub(crate) fn fill(
        self,
        ctx: &Context,
        hasher: Option<Hasher>,
        make: impl FnOnce(Inlet) -> Result<()> + Send,
    ) -> Result<(u64, Option<Digest>)> {
        let (feed, mut stream) = pipe::queue(hasher);
        let (output, digest) = self.behind(|mut output| {
            let digest = std::thread::scope(|scope| {
                let made = scope.spawn(move || make(Inlet::new(feed)));
                let written = output.copy(ctx, &mut stream).and_then(|()| stream.drain(ctx));
                pipe::first_cause(made.join().expect("a maker does not panic"), written)
            })?;
            Ok((output, digest))
        })?;
        Ok((output.finish()?, digest))
    }

    fn copy(&mut self, ctx: &Context, stream: &mut pipe::Stream) -> Result<()> {
        loop {
            ctx.check()?;
            let chunk = stream.fill_buf().map_err(compression::read_error)?;
            let length = chunk.len();
            if length == 0 {
                return Ok(());
            }
            self.put(chunk)?;
            stream.consume(length);
        }
    }

    /// A new file in a directory that is not visible yet, and gets to disk with it.
    pub(crate) fn within(directory: &NewDirectory, name: &str) -> Result<Output> {
        let path = directory.path.join(name);
        let file = File::create_new(&path).during(|| format!("make `{}`", path.display()))?;
        Ok(Output::new(file, None))
    }

    /// Whether it is a file of its own, rather than a stream.
    pub(crate) fn is_file(&self) -> bool {
        self.place.is_some()
    }

    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).during(|| self.doing())?;
        self.wrote(bytes.len() as u64);
        Ok(())
    }

    /// Appends the next bytes of a file without their passing through this process. Gives how many it lacks.
    pub(crate) fn append(&mut self, ctx: &Context, source: &File, size: u64) -> Result<u64> {
        let mut left = size;
        while left > 0 {
            ctx.check()?;
            let mut piece = source.take(left.min(WRITEBACK));
            let step = std::io::copy(&mut piece, &mut self.file).during(|| self.doing())?;
            if step == 0 {
                break;
            }
            left -= step;
            self.wrote(step);
        }
        Ok(left)
    }

    /// What is done with it, for errors.
    pub(crate) fn doing(&self) -> String {
        match &self.place {
            Some(place) => format!("write `{}`", place.dest.display()),
            None => "write the archive".to_owned(),
        }
    }

    fn wrote(&mut self, length: u64) {
        self.written += length;
        if self.place.is_some() && self.written - self.started >= WRITEBACK {
            file::start_writeback(self.file.as_fd(), self.started, self.written - self.started);
            self.started = self.written;
        }
    }

    /// What the file is, whoever has its name later.
    pub(crate) fn facts(&self) -> Result<Metadata> {
        self.file.metadata().during(|| self.doing())
    }

    /// Does the work that writes to it, and has the disk written meanwhile. It is to be finished after that: only then is it known that
    /// nothing was lost.
    pub(crate) fn behind<T>(self, work: impl FnOnce(Output) -> Result<T>) -> Result<T> {
        if self.place.is_none() {
            return work(self);
        }
        let file = self.file.try_clone().during(|| self.doing())?;
        let doing = self.doing();
        write_behind::beside(|| file.sync_data().during(|| doing.clone()), || work(self))
    }

    /// Has the file on disk and then under its name; gives its size.
    pub(crate) fn finish(self) -> Result<u64> {
        if let Some(place) = self.place {
            let dest = place.dest.clone();
            let what = || format!("write `{}`", dest.display());
            self.file.sync_all().during(what)?;
            place.take(&self.file).during(what)?;
            sync_parent(&dest)?;
        }
        Ok(self.written)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.wrote(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn standard_output() -> Result<Output> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return Err(
            Error::invalid("standard output is a terminal, which an archive is not for")
                .hint("send it to a file or a program: `hoist eval '…' > FILE`"),
        );
    }
    let file = stdout
        .as_fd()
        .try_clone_to_owned()
        .during(|| "open standard output again")?;
    Ok(Output::new(File::from(file), None))
}

/// A new file that nobody sees before [`Place::take`].
fn unnamed(dest: &Path) -> Result<(File, Place)> {
    let mut options = File::options();
    options.write(true).mode(0o666).custom_flags(OFlag::O_TMPFILE.bits());
    let place = Place {
        dest: dest.to_owned(),
        partial: None,
    };
    match options
        .open(parent_of(dest))
        .map_err(|cause| (cause.raw_os_error(), cause))
    {
        Ok(file) => Ok((file, place)),
        // Not every file system can.
        Err((Some(EOPNOTSUPP | EISDIR), _)) => named(dest),
        Err((_, cause)) => Err(cause).during(|| "make a file"),
    }
}

/// The same under another name.
fn named(dest: &Path) -> Result<(File, Place)> {
    let path = partial_path(dest)?;
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.custom_flags(OFlag::O_NOFOLLOW.bits());
    let (file, lock) = claim(&path, || options.open(&path))?;
    file.set_len(0).during(|| format!("empty `{}`", path.display()))?;
    let dest = dest.to_owned();
    Ok((
        file,
        Place {
            dest,
            partial: Some((path, lock)),
        },
    ))
}

impl Place {
    /// Gives the file its name.
    fn take(mut self, file: &File) -> Result<()> {
        if let Some((path, _)) = &self.partial {
            std::fs::rename(path, &self.dest).during(|| "name the file")?;
            self.partial = None;
            return Ok(());
        }
        match file::link(file.as_fd(), &self.dest) {
            Err(Errno::EEXIST) => self.replace(file),
            named => named.during(|| "name the file"),
        }
    }

    /// Names the file beside the one it replaces, for only a rename replaces. What a dead process left there goes.
    fn replace(&self, file: &File) -> Result<()> {
        let path = partial_path(&self.dest)?;
        loop {
            match file::link(file.as_fd(), &path) {
                Err(Errno::EEXIST) => {
                    let _ = std::fs::remove_file(&path);
                    continue;
                }
                named => named.during(|| "name the file")?,
            }
            match std::fs::rename(&path, &self.dest) {
                Ok(()) => break,
                // Another process, at the same point, took ours for a dead one's.
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(cause).during(|| "name the file"),
            }
        }
        // Of two names of one file a rename leaves both.
        let _ = std::fs::remove_file(&path);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.partial {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A directory that becomes `dest` when it is whole.
pub(crate) struct NewDirectory {
    dest: PathBuf,
    path: PathBuf,
    is_named: bool,
    _lock: Lock,
}

impl NewDirectory {
    /// Errors: `already_exists`.
    pub(crate) fn make(dest: &Path) -> Result<NewDirectory> {
        if dest.exists() {
            return Err(Error::already_exists(format!("`{}` exists", dest.display()))
                .hint("name a directory that does not exist yet"));
        }
        let path = partial_path(dest)?;
        let (_, lock) = claim(&path, || match std::fs::create_dir(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Err(cause),
            _ => {
                let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
                File::options().read(true).custom_flags(flags.bits()).open(&path)
            }
        })?;
        let new = NewDirectory {
            dest: dest.to_owned(),
            path,
            is_named: false,
            _lock: lock,
        };
        new.empty()?;
        Ok(new)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what a dead process left in it.
    fn empty(&self) -> Result<()> {
        let what = || format!("empty `{}`", self.path.display());
        let dir = content::open_dir(&self.path)?;
        for entry in std::fs::read_dir(&self.path).during(what)? {
            file::remove_tree_at(dir.as_fd(), &entry.during(what)?.file_name()).during(what)?;
        }
        Ok(())
    }

    /// Does the work that fills it, and has the disk written meanwhile.
    pub(crate) fn behind<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        write_behind::beside(|| self.sync(), work)
    }

    fn sync(&self) -> Result<()> {
        let synced = file::sync_filesystem(content::open_dir(&self.path)?.as_fd());
        synced.during(|| format!("write `{}`", self.dest.display()))
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        let what = || format!("write `{}`", self.dest.display());
        self.sync()?;
        std::fs::rename(&self.path, &self.dest).during(what)?;
        self.is_named = true;
        sync_parent(&self.dest)
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.is_named && self.empty().is_ok() {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Opens what has a dead or no process's name and locks it. Errors: `conflict` while a living one has it.
fn claim(path: &Path, open: impl Fn() -> std::io::Result<File>) -> Result<(File, Lock)> {
    let what = || format!("make `{}`", path.display());
    loop {
        let file = open().during(what)?;
        let again = file.try_clone().during(what)?;
        let Some(lock) = file::try_lock(again).during(what)? else {
            return Err(Error::conflict("another process is saving to the same place"));
        };
        // Its last owner may have finished, and renamed it, between the two calls.
        let facts = file.metadata().during(what)?;
        if std::fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (facts.dev(), facts.ino())) {
            return Ok((file, lock));
        }
    }
}

/// The name beside `dest` that work for it has meanwhile: always the same, so that the next finds what the dead left.
fn partial_path(dest: &Path) -> Result<PathBuf> {
    let name = dest
        .file_name()
        .ok_or_else(|| Error::invalid(format!("`{}` is not a path to save to", dest.display())))?;
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(".hoist-partial");
    Ok(dest.with_file_name(partial))
}

fn parent_of(dest: &Path) -> &Path {
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_parent(dest: &Path) -> Result<()> {
    let parent = parent_of(dest);
    file::sync_directory(parent).during(|| format!("write `{}` to disk", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    fn write(dest: &Path, open: fn(&Path) -> Result<(File, Place)>, text: &[u8]) {
        let (file, place) = open(dest).unwrap();
        let mut output = Output::new(file, Some(place));
        output.put(text).unwrap();
        assert_eq!(output.finish().unwrap(), text.len() as u64);
    }

    #[test]
    fn a_file_appears_whole_with_a_nameless_one_and_without() {
        for open in [unnamed, named] {
            let dir = tempfile::tempdir().unwrap();
            let dest = dir.path().join("out");
            for text in ["first", "2"] {
                // What a dead process left under the name that work has meanwhile.
                std::fs::write(dir.path().join(".out.hoist-partial"), "of the dead").unwrap();
                write(&dest, open, text.as_bytes());
                assert_eq!(std::fs::read_to_string(&dest).unwrap(), text);
            }
            drop(open(&dest).unwrap());
            assert_eq!(std::fs::read_to_string(&dest).unwrap(), "2");
        }
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        std::fs::write(&dest, "old").unwrap();
        write(&dest, unnamed, b"new");
        write(&dest, named, b"newer");
        drop(named(&dest).unwrap());
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn the_name_meanwhile_is_one_process_s_and_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        let (_file, _place) = named(&dest).unwrap();
        assert_eq!(named(&dest).err().unwrap().kind(), Kind::Conflict);
        let new = NewDirectory::make(&dir.path().join("tree")).unwrap();
        let busy = NewDirectory::make(&dir.path().join("tree")).err().unwrap();
        assert_eq!(busy.kind(), Kind::Conflict);
        drop(new);
        let other = dir.path().join("other");
        std::fs::write(&other, "untouched").unwrap();
        for name in [".link.hoist-partial", ".dir.hoist-partial"] {
            std::os::unix::fs::symlink(&other, dir.path().join(name)).unwrap();
        }
        assert!(named(&dir.path().join("link")).is_err());
        assert!(NewDirectory::make(&dir.path().join("dir")).is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "untouched");
    }

    #[test]
    fn a_directory_takes_over_what_a_dead_process_left() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out");
        std::fs::create_dir_all(dir.path().join(".out.hoist-partial/deep")).unwrap();
        let new = NewDirectory::make(&dest).unwrap();
        std::fs::write(new.path().join("file"), "").unwrap();
        new.finish().unwrap();
        assert_eq!(
            (names(dir.path()), names(&dest)),
            (vec!["out".to_owned()], vec!["file".to_owned()])
        );
        assert_eq!(NewDirectory::make(&dest).err().unwrap().kind(), Kind::AlreadyExists);
    }
}
