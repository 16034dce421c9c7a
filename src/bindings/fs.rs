//! `fs::`: files and paths of this machine. Under dry-run changes are recorded, and later reads see their result.

use std::path::Path;

use rhai::{NativeCallContext, export_module};
use serde::Deserialize;

use super::failure::{Scripted, native};
use super::files::Kind;
use super::session::Session;
use crate::error::{Error, Result};

/// The options of `fs::remove`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Removal {
    recursive: bool,
}

fn content(session: &Session, path: &str) -> Result<String> {
    let bytes = session
        .files()
        .read(Path::new(path))
        .map_err(|error| error.target(path))?;
    String::from_utf8(bytes).map_err(|_| {
        let error = Error::corrupt(format!("`{path}` is not UTF-8 text")).target(path);
        error.hint("`fs::read_blob` reads any bytes")
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn temporary(ctx: &NativeCallContext, kind: Kind) -> Scripted<String> {
    native(ctx, |session| {
        let path = session.files().temporary(kind)?;
        session.keep_temporary(path.clone());
        Ok(text(&path))
    })
}

/// Files, directories and paths.
#[export_module(manifest)]
pub mod functions {
    use super::super::files::Kind;
    use super::super::{options, value::list};
    use super::{Removal, content, temporary, text};
    use crate::bindings::prelude::*;
    use std::path::{Path, PathBuf};

    /// The text of a file.
    ///
    /// Throws `not_found` when there is no such file, and `corrupt` when it is not UTF-8.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "hello");
    /// assert::eq(fs::read(path), "hello");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read(ctx: NativeCallContext, path: &str) -> Scripted<String> {
        native(&ctx, |session| content(session, path))
    }

    /// The lines of a file, without their line breaks.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "a\nb\n");
    /// assert::eq(fs::read_lines(path), ["a", "b"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_lines(ctx: NativeCallContext, path: &str) -> Scripted<Array> {
        native(&ctx, |session| {
            Ok(list(content(session, path)?.lines().map(str::to_owned)))
        })
    }

    /// The bytes of a file.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write_blob(path, blob(3, 0xff));
    /// assert::eq(fs::read_blob(path).len(), 3);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_blob(ctx: NativeCallContext, path: &str) -> Scripted<Blob> {
        native(&ctx, |session| {
            session
                .files()
                .read(Path::new(path))
                .map_err(|error| error.target(path))
        })
    }

    /// Writes text to a file, replacing what it held.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "hello");
    /// assert::eq(fs::size(path), 5);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn write(ctx: NativeCallContext, path: &str, content: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.files().write(Path::new(path), content.as_bytes())
        })
    }

    /// Writes bytes to a file, replacing what it held.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write_blob(path, blob(3, 0xff));
    /// assert::eq(fs::size(path), 3);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn write_blob(ctx: NativeCallContext, path: &str, content: Blob) -> Scripted<()> {
        native(&ctx, |session| session.files().write(Path::new(path), &content))
    }

    /// Adds text to the end of a file, which is made if it is not there.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::append(path, "a");
    /// fs::append(path, "b");
    /// assert::eq(fs::read(path), "ab");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn append(ctx: NativeCallContext, path: &str, content: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.files().append(Path::new(path), content.as_bytes())
        })
    }

    /// Whether there is anything at the path.
    ///
    /// ```rhai
    /// assert::ok(fs::exists("/"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn exists(ctx: NativeCallContext, path: &str) -> Scripted<bool> {
        native(&ctx, |session| Ok(session.files().kind(Path::new(path))?.is_some()))
    }

    /// Whether there is a directory at the path.
    ///
    /// ```rhai
    /// assert::ok(fs::is_dir("/"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn is_dir(ctx: NativeCallContext, path: &str) -> Scripted<bool> {
        native(&ctx, |session| {
            Ok(session.files().kind(Path::new(path))? == Some(Kind::Directory))
        })
    }

    /// Whether there is something other than a directory at the path.
    ///
    /// ```rhai
    /// assert::ok(fs::is_file(fs::temp_file()));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn is_file(ctx: NativeCallContext, path: &str) -> Scripted<bool> {
        native(&ctx, |session| {
            Ok(session.files().kind(Path::new(path))? == Some(Kind::File))
        })
    }

    /// The names in a directory, sorted.
    ///
    /// Throws `not_found` when there is no such directory.
    ///
    /// ```rhai
    /// let dir = fs::temp_dir();
    /// fs::write(fs::join(dir, "b"), "");
    /// fs::mkdir(fs::join(dir, "a"));
    /// assert::eq(fs::list(dir), ["a", "b"]);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_names(ctx: NativeCallContext, path: &str) -> Scripted<Array> {
        native(&ctx, |session| {
            Ok(list(
                session
                    .files()
                    .names(Path::new(path))
                    .map_err(|error| error.target(path))?,
            ))
        })
    }

    /// The paths that fit a pattern, sorted; `*` stays within a name, `**` stands for any number of directories.
    ///
    /// ```rhai
    /// let dir = fs::temp_dir();
    /// fs::write(fs::join(dir, "a.tar"), "");
    /// assert::eq(fs::glob(dir + "/*.tar"), [fs::join(dir, "a.tar")]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn glob(ctx: NativeCallContext, pattern: &str) -> Scripted<Array> {
        native(&ctx, |session| Ok(list(session.files().glob(pattern)?)))
    }

    /// Makes a directory and those above it; one that is there already is fine.
    ///
    /// ```rhai
    /// let dir = fs::join(fs::temp_dir(), "a/b");
    /// fs::mkdir(dir);
    /// assert::ok(fs::is_dir(dir));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mkdir(ctx: NativeCallContext, path: &str) -> Scripted<()> {
        native(&ctx, |session| session.files().make_directory(Path::new(path)))
    }

    /// Removes a file or an empty directory.
    ///
    /// Throws `not_found` when there is nothing at the path.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::remove(path);
    /// assert::ok(!fs::exists(path));
    /// ```
    #[rhai_fn(name = "remove", return_raw)]
    pub fn remove(ctx: NativeCallContext, path: &str) -> Scripted<()> {
        native(&ctx, |session| session.files().remove(Path::new(path), false))
    }

    /// Removes a file or a directory.
    ///
    /// Options: `recursive` (also what is in the directory; default `false`).
    ///
    /// ```rhai
    /// let dir = fs::temp_dir();
    /// fs::write(fs::join(dir, "a"), "");
    /// fs::remove(dir, #{ recursive: true });
    /// assert::ok(!fs::exists(dir));
    /// ```
    #[rhai_fn(name = "remove", return_raw)]
    pub fn remove_options(ctx: NativeCallContext, path: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            let options: Removal = options::parse(options)?;
            session.files().remove(Path::new(path), options.recursive)
        })
    }

    /// Copies a file, or a directory with all below it.
    ///
    /// ```rhai
    /// let dir = fs::temp_dir();
    /// fs::write(fs::join(dir, "a"), "x");
    /// fs::copy(fs::join(dir, "a"), fs::join(dir, "b"));
    /// assert::eq(fs::read(fs::join(dir, "b")), "x");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn copy(ctx: NativeCallContext, from: &str, to: &str) -> Scripted<()> {
        native(&ctx, |session| session.files().copy(Path::new(from), Path::new(to)))
    }

    /// Renames a file or directory; what was at the new path is replaced.
    ///
    /// ```rhai
    /// let dir = fs::temp_dir();
    /// fs::write(fs::join(dir, "a"), "x");
    /// fs::rename(fs::join(dir, "a"), fs::join(dir, "b"));
    /// assert::eq(fs::list(dir), ["b"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn rename(ctx: NativeCallContext, from: &str, to: &str) -> Scripted<()> {
        native(&ctx, |session| session.files().rename(Path::new(from), Path::new(to)))
    }

    /// The size of a file in bytes.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "12345");
    /// assert::eq(fs::size(path), 5);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn size(ctx: NativeCallContext, path: &str) -> Scripted<INT> {
        native(&ctx, |session| {
            let size = session
                .files()
                .size(Path::new(path))
                .map_err(|error| error.target(path))?;
            Ok(INT::try_from(size).unwrap_or(INT::MAX))
        })
    }

    /// Makes an empty directory, which is removed with all in it when the script ends, and returns its path.
    ///
    /// ```rhai
    /// assert::eq(fs::list(fs::temp_dir()), []);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn temp_dir(ctx: NativeCallContext) -> Scripted<String> {
        temporary(&ctx, Kind::Directory)
    }

    /// Makes an empty file, which is removed when the script ends, and returns its path.
    ///
    /// ```rhai
    /// assert::eq(fs::size(fs::temp_file()), 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn temp_file(ctx: NativeCallContext) -> Scripted<String> {
        temporary(&ctx, Kind::File)
    }

    /// The second path below the first one; an absolute second path stays as it is.
    ///
    /// ```rhai
    /// assert::eq(fs::join("/backup", "images"), "/backup/images");
    /// ```
    pub fn join(base: &str, path: &str) -> String {
        text(&Path::new(base).join(path))
    }

    /// The last name of a path, or an empty string where it has none.
    ///
    /// ```rhai
    /// assert::eq(fs::basename("/backup/a.tar"), "a.tar");
    /// ```
    pub fn basename(path: &str) -> String {
        Path::new(path)
            .file_name()
            .map(|name| text(Path::new(name)))
            .unwrap_or_default()
    }

    /// The path without its last name; `.` where nothing is left.
    ///
    /// ```rhai
    /// assert::eq(fs::dirname("/backup/a.tar"), "/backup");
    /// assert::eq(fs::dirname("a.tar"), ".");
    /// ```
    pub fn dirname(path: &str) -> String {
        let parent = Path::new(path).parent().map(PathBuf::from).unwrap_or_default();
        if parent.as_os_str().is_empty() && !path.starts_with('/') {
            ".".to_owned()
        } else {
            text(&parent)
        }
    }
}
