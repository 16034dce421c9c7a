//! `hash::`: digests of text, bytes and files.

use std::path::Path;

use rhai::export_module;

use super::files::View;
use crate::error::{Context as _, Result};
use crate::model::Hasher;

fn sha256_of_file(files: &View<'_>, path: &str) -> Result<String> {
    let what = || format!("read `{path}`");
    let mut file = files.open(Path::new(path)).map_err(|error| error.target(path))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        files.context.check()?;
        match file.read(&mut buffer).during(what)? {
            0 => return Ok(hasher.finish().hex().to_owned()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// SHA-256 digests, in lower-case hexadecimal.
#[export_module(manifest)]
pub mod functions {
    use super::sha256_of_file;
    use crate::bindings::prelude::*;
    use crate::model::Digest;

    /// The SHA-256 of text.
    ///
    /// ```rhai
    /// assert::eq(hash::sha256("abc").sub_string(0, 8), "ba7816bf");
    /// ```
    #[rhai_fn(name = "sha256")]
    pub fn sha256(text: &str) -> String {
        Digest::of(text.as_bytes()).hex().to_owned()
    }

    /// The SHA-256 of bytes.
    ///
    /// ```rhai
    /// assert::eq(hash::sha256("abc".to_blob()), hash::sha256("abc"));
    /// ```
    #[rhai_fn(name = "sha256")]
    pub fn sha256_blob(bytes: Blob) -> String {
        Digest::of(&bytes).hex().to_owned()
    }

    /// The SHA-256 of a file, as `sha256sum` prints it.
    ///
    /// Throws `not_found` when there is no such file.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "abc");
    /// assert::eq(hash::sha256_file(path), hash::sha256("abc"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sha256_file(ctx: NativeCallContext, path: &str) -> Scripted<String> {
        native(&ctx, |session| sha256_of_file(&session.files(), path))
    }
}
