//! How a layer's tar is made again from its unpacked tree, so that its blob can go: the bytes that are no file's content, and where
//! the files' contents belong among them.
//!
//! A recipe is one zstd stream: `L`, a length and as many bytes; `F`, a length, and a path whose file starts with as many bytes of the
//! tar; `.` at the end. Numbers are little-endian.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};

use super::archive::{Entry, Input, Kind, Reader};
use super::content::{self, Content};
use super::image::Layer;
use super::{compression, limits::Limits};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest};
use crate::sys::file::{kind_of, magic_path, open_in_root, sync_directory};

/// What a recipe starts with.
const MAGIC: &[u8] = b"hoist recipe 1\n";
const LEVEL: i32 = 3;
/// Bytes kept before they are written out.
const CHUNK: usize = 1 << 16;

impl Content {
    fn recipe_path(&self, diff_id: &Digest) -> PathBuf {
        self.layers_dir().join(format!("{}.recipe", diff_id.hex()))
    }

    /// Whether the layer's tar can be made again from its tree.
    pub fn has_recipe(&self, diff_id: &Digest) -> bool {
        self.has_layer(diff_id) && self.recipe_path(diff_id).is_file()
    }

    /// The layer's tar, made again. Errors: `not_found` without recipe.
    pub(crate) fn rebuilt(&self, diff_id: &Digest) -> Result<Rebuilt> {
        Rebuilt::open(&self.recipe_path(diff_id), &self.layer_dir(diff_id))
            .during(|| format!("make the tar of the layer `{diff_id}` again"))
    }

    /// The same for whoever reads it later.
    pub fn remade(&self, diff_id: &Digest) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.rebuilt(diff_id)?))
    }

    /// Lets a layer's blob go, once it is proved that its tar can be made again without it; returns the bytes given back.
    ///
    /// Errors: `corrupt` where it cannot, and the blob stays.
    pub fn drop_blob(&self, ctx: &Context, layer: &Layer) -> Result<u64> {
        let what = || format!("drop the blob `{}`", layer.blob);
        if !self.has_blob(&layer.blob) {
            return Ok(0);
        }
        if !self.has_recipe(&layer.diff_id) {
            self.make_recipe(ctx, layer).during(what)?;
        }
        let size = self.blob_size(&layer.blob)?;
        std::fs::remove_file(self.blob_path(&layer.blob)).during(what)?;
        Ok(size)
    }

    fn make_recipe(&self, ctx: &Context, layer: &Layer) -> Result<()> {
        let (staging, tree) = (self.stage()?, self.layer_dir(&layer.diff_id));
        let path = staging.free_path();
        let what = || format!("write `{}`", path.display());
        let mut file = File::create_new(&path).during(what)?;
        let plain = compression::decoder(self.open_blob(&layer.blob)?, self.limits())?;
        write(ctx, self.limits(), plain, content::open_dir(&tree)?.as_fd(), &mut file)?;
        file.sync_all().during(what)?;
        let made = content::hash(ctx, &mut Rebuilt::open(&path, &tree)?, &layer.diff_id)?;
        content::check_digest(&made, &layer.diff_id, "the tar that was made again")?;
        std::fs::rename(&path, self.recipe_path(&layer.diff_id)).during(what)?;
        sync_directory(&self.layers_dir()).during(what)
    }
}

/// Writes the recipe of a plain tar over a tree.
fn write(ctx: &Context, limits: &Limits, plain: impl Read, tree: BorrowedFd<'_>, out: &mut dyn Write) -> Result<()> {
    let mut recipe = Recipe::start(out).during(|| "start a recipe")?;
    let seen = Rc::clone(&recipe.literal);
    let input = BufReader::with_capacity(CHUNK, plain);
    let mut reader = Reader::new(Overheard { input, seen }, limits);
    while let Some(entry) = reader.next(ctx)? {
        data(ctx, &mut reader, &mut recipe, tree, &entry)?;
    }
    let mut rest = reader.into_input();
    loop {
        ctx.check()?;
        let length = rest.fill_buf().map_err(compression::read_error)?.len();
        if length == 0 {
            return recipe.end().during(|| "write a recipe");
        }
        rest.consume(length);
        recipe.relieve().during(|| "write a recipe")?;
    }
}

/// Passes over an entry's data: as long as it is what the tree has under the entry's name, a reference stands for it.
fn data<R: BufRead>(
    ctx: &Context,
    reader: &mut Reader<'_, Overheard<R>>,
    recipe: &mut Recipe<'_>,
    tree: BorrowedFd<'_>,
    entry: &Entry,
) -> Result<()> {
    let mut file = open(tree, &entry.path).filter(|_| entry.kind == Kind::Regular && entry.sparse.is_none());
    let (mut same, mut own) = (0u64, Vec::new());
    loop {
        ctx.check()?;
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        own.resize(length, 0);
        let is_same = file
            .as_mut()
            .is_some_and(|file| file.read_exact(&mut own).is_ok() && own == chunk);
        if is_same {
            recipe.flush().during(|| "write a recipe")?;
            reader.advance(length);
            recipe.literal.borrow_mut().clear();
            same += length as u64;
        } else {
            file = None;
            recipe
                .file(&entry.path, std::mem::take(&mut same))
                .during(|| "write a recipe")?;
            reader.advance(length);
            recipe.relieve().during(|| "write a recipe")?;
        }
    }
    recipe.file(&entry.path, same).during(|| "write a recipe")
}

/// The regular file that a name of the tar leads to.
fn open(tree: BorrowedFd<'_>, path: &[u8]) -> Option<File> {
    let found = open_in_root(tree, path, OFlag::O_PATH | OFlag::O_NOFOLLOW).ok()?;
    // Nothing else is opened: a device would notice.
    let is_regular = kind_of(&fstat(&found).ok()?) == SFlag::S_IFREG;
    is_regular.then(|| File::open(magic_path(found.as_fd())).ok())?
}

/// A recipe being written.
struct Recipe<'a> {
    out: zstd::stream::write::Encoder<'static, &'a mut dyn Write>,
    /// Bytes that are no file's and not written yet.
    literal: Rc<RefCell<Vec<u8>>>,
}

impl<'a> Recipe<'a> {
    fn start(out: &'a mut dyn Write) -> io::Result<Recipe<'a>> {
        let mut out = zstd::stream::write::Encoder::new(out, LEVEL)?;
        out.include_checksum(true)?;
        out.write_all(MAGIC)?;
        Ok(Recipe {
            out,
            literal: Rc::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut literal = self.literal.borrow_mut();
        if !literal.is_empty() {
            self.out.write_all(b"L")?;
            self.out.write_all(&(literal.len() as u64).to_le_bytes())?;
            self.out.write_all(&literal)?;
            literal.clear();
        }
        Ok(())
    }

    /// Keeps what waits small.
    fn relieve(&mut self) -> io::Result<()> {
        let is_large = self.literal.borrow().len() >= CHUNK;
        if is_large { self.flush() } else { Ok(()) }
    }

    fn file(&mut self, path: &[u8], length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.flush()?;
        self.out.write_all(b"F")?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&(path.len() as u64).to_le_bytes())?;
        self.out.write_all(path)
    }

    fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(b".")?;
        self.out.finish().map(drop)
    }
}

/// A stream that notes what was taken from it.
struct Overheard<R> {
    input: R,
    seen: Rc<RefCell<Vec<u8>>>,
}

impl<R: BufRead> Read for Overheard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.seen.borrow_mut().extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Overheard<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What is consumed was seen, so it is in the buffer still.
        if let Ok(buffer) = self.input.fill_buf() {
            self.seen.borrow_mut().extend_from_slice(&buffer[..count]);
        }
        self.input.consume(count);
    }
}

impl<R: BufRead> Input for Overheard<R> {}

/// A layer's tar as a recipe and a tree make it.
pub(crate) struct Rebuilt {
    recipe: BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>,
    tree: OwnedFd,
    part: Part,
}

/// What is being given, and how much of it is left.
enum Part {
    Literal(u64),
    File(File, u64),
    End,
}

impl Rebuilt {
    fn open(recipe: &Path, tree: &Path) -> Result<Rebuilt> {
        let what = || format!("read `{}`", recipe.display());
        let file = File::open(recipe).during(what)?;
        let mut input = BufReader::new(zstd::stream::read::Decoder::new(file).during(what)?);
        let mut magic = [0; MAGIC.len()];
        if input.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(Error::corrupt(format!(
                "`{}` is no recipe of a layer",
                recipe.display()
            )));
        }
        Ok(Rebuilt {
            recipe: input,
            tree: content::open_dir(tree)?,
            part: Part::Literal(0),
        })
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.recipe.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn next(&mut self) -> io::Result<Part> {
        let mut kind = [0];
        self.recipe.read_exact(&mut kind)?;
        match kind[0] {
            b'L' => Ok(Part::Literal(self.number()?)),
            b'F' => {
                let (length, size) = (self.number()?, self.number()?);
                let mut path = Vec::new();
                (&mut self.recipe).take(size).read_to_end(&mut path)?;
                let missing = || changed(&path);
                Ok(Part::File(open(self.tree.as_fd(), &path).ok_or_else(missing)?, length))
            }
            b'.' => Ok(Part::End),
            _ => Err(io::Error::other(Error::corrupt("the recipe of a layer is damaged"))),
        }
    }
}

fn changed(path: &[u8]) -> io::Error {
    let path = path.escape_ascii();
    io::Error::other(Error::corrupt(format!(
        "the layer's file `{path}` is not what it was unpacked as"
    )))
}

impl Read for Rebuilt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let within = |left: u64, buffer: &[u8]| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            let (length, left) = match &mut self.part {
                Part::End => return Ok(0),
                Part::Literal(0) | Part::File(_, 0) => {
                    self.part = self.next()?;
                    continue;
                }
                Part::Literal(left) => {
                    let wanted = within(*left, buffer);
                    (self.recipe.read(&mut buffer[..wanted])?, left)
                }
                Part::File(file, left) => {
                    let wanted = within(*left, buffer);
                    (file.read(&mut buffer[..wanted])?, left)
                }
            };
            *left -= length as u64;
            return match length {
                0 if !buffer.is_empty() => Err(io::Error::other(Error::corrupt("a file of the layer is cut short"))),
                _ => Ok(length),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind as ErrorKind;
    use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, link, tar};
    use crate::images::{Source, load};

    /// What a layer may hold that its tree does not, and the other way round.
    fn odd_layer() -> Vec<u8> {
        let noise: String = (0..300_000u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let mut bytes = tar(&[
            dir("dir", 0o711),
            file("dir/big", &noise),
            file("twice", "the first"),
            file("twice", "the second"),
            file("twice/../same-start", &noise[..200_000]),
            link(Kind::Symlink, "into", "dir"),
            file("into/below", "through a link"),
            file(".wh.gone", "a whiteout with bytes"),
            link(Kind::Hardlink, "hard", "dir/big"),
            link(Kind::Fifo, "fifo", ""),
            file("becomes", "a file that becomes a directory"),
            dir("becomes", 0o755),
            file("./dot", "dot"),
        ]);
        bytes.extend_from_slice(&[0; 4096]);
        bytes.extend_from_slice(b"what follows the end counts as well");
        bytes
    }

    fn shop(layer: &[u8]) -> (Shop, Layer) {
        let shop = Shop::new();
        let archive = docker_archive(&[layer.to_vec()]);
        let source = Source::Reader(Box::new(archive.as_slice()));
        let loaded = load(&Context::new(), &shop.content, &NoHolder, source)
            .unwrap()
            .remove(0);
        (shop, loaded.image.layers[0].clone())
    }

    #[test]
    fn the_tar_comes_back_byte_for_byte() {
        let (bytes, ctx) = (odd_layer(), Context::new());
        let (shop, layer) = shop(&bytes);
        assert_eq!(shop.content.drop_blob(&ctx, &layer).unwrap(), bytes.len() as u64);
        assert!(!shop.content.has_blob(&layer.blob) && shop.content.has_recipe(&layer.diff_id));
        let mut again = Vec::new();
        shop.content
            .rebuilt(&layer.diff_id)
            .unwrap()
            .read_to_end(&mut again)
            .unwrap();
        assert!(again == bytes);
        let recipe = std::fs::metadata(shop.content.recipe_path(&layer.diff_id))
            .unwrap()
            .len();
        assert!(recipe < 3000, "the recipe has {recipe} bytes");
        assert_eq!(shop.content.drop_blob(&ctx, &layer).unwrap(), 0);
        shop.content.discard().unwrap().take_layer(&layer.diff_id).unwrap();
        assert!(shop.content.layers().unwrap().is_empty(), "the recipe stayed");
    }

    #[test]
    fn a_blob_stays_where_the_tar_cannot_be_made_again() {
        let (shop, layer) = shop(&odd_layer());
        let blob = shop.content.blob_path(&layer.blob);
        let mut bytes = std::fs::read(&blob).unwrap();
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        std::fs::write(&blob, bytes).unwrap();
        let error = shop.content.drop_blob(&Context::new(), &layer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(shop.content.has_blob(&layer.blob) && !shop.content.has_recipe(&layer.diff_id));
    }

    #[test]
    fn a_tree_or_a_recipe_that_was_changed_is_found() {
        let (shop, layer) = shop(&odd_layer());
        let ctx = Context::new();
        shop.content.drop_blob(&ctx, &layer).unwrap();
        let (tree, recipe) = (
            shop.content.layer_dir(&layer.diff_id),
            shop.content.recipe_path(&layer.diff_id),
        );
        let verify = || shop.content.verify_layer(&ctx, &layer);
        verify().unwrap();
        let whole = std::fs::read(&recipe).unwrap();
        std::fs::write(&recipe, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(verify().unwrap_err().kind(), ErrorKind::Corrupt);
        std::fs::write(&recipe, &whole).unwrap();
        for damage in [
            |path: &Path| std::fs::write(path, "short").unwrap(),
            |path: &Path| std::fs::remove_file(path).unwrap(),
        ] {
            damage(&tree.join("dir/big"));
            let error = verify().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
}
