//! `Saved`: an archive or layout that was written.

use std::sync::Arc;

use rhai::export_module;
use serde_json::json;

use super::amount::bytes;
use super::object::Object;
use crate::images;
use crate::model::{ByteSize, Context, Digest};

/// What was saved. Clones are the same archive.
#[derive(Debug, Clone)]
pub struct Saved(Arc<images::Saved>);

impl From<images::Saved> for Saved {
    fn from(saved: images::Saved) -> Saved {
        Saved(Arc::new(saved))
    }
}

impl PartialEq for Saved {
    fn eq(&self, other: &Saved) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Saved {
    fn path(&self) -> String {
        self.0.path.display().to_string()
    }
}

impl Object for Saved {
    const NAME: &'static str = "Saved";
    const COLUMNS: &'static [&'static str] = &["PATH", "SIZE"];

    fn text(&self) -> String {
        format!("{}, {}", self.path(), ByteSize(self.0.size))
    }

    fn cells(&self) -> Vec<String> {
        vec![self.path(), ByteSize(self.0.size).to_string()]
    }

    fn json(&self) -> serde_json::Value {
        let digest = self.0.sha256(&Context::new()).ok();
        json!({
            "path": self.path(),
            "size": self.0.size,
            "sha256": digest.as_ref().map(Digest::hex),
            "rebuilt": self.0.rebuilt.iter().map(Digest::as_str).collect::<Vec<_>>(),
        })
    }
}

/// What `save` returns.
#[export_module(manifest)]
pub mod functions {
    use super::{Saved, bytes};
    use crate::bindings::prelude::*;

    /// The file or directory that was written; `-` for standard output.
    ///
    /// ```rhai,images
    /// let path = fs::temp_dir() + "/tools.tar";
    /// assert::eq(image::save("tools", path).path, path);
    /// ```
    #[rhai_fn(get = "path", pure)]
    pub fn path(this: &mut Saved) -> String {
        this.path()
    }

    /// Bytes of the file; of all files of a directory.
    ///
    /// ```rhai,images
    /// let saved = image::save("tools", fs::temp_dir() + "/tools.tar");
    /// assert::eq(saved.size, fs::size(saved.path));
    /// ```
    #[rhai_fn(get = "size", pure)]
    pub fn size(this: &mut Saved) -> INT {
        bytes(this.0.size)
    }

    /// The SHA-256 of the file, as `sha256sum` prints it; of `index.json` for a directory.
    ///
    /// A file that was copied rather than streamed is hashed when this is first asked. Throws `conflict` if it was changed or removed
    /// before that.
    ///
    /// ```rhai,images
    /// let saved = image::save("tools", fs::temp_dir() + "/tools.tar");
    /// assert::eq(hash::sha256_file(saved.path), saved.sha256);
    /// ```
    #[rhai_fn(get = "sha256", return_raw, pure)]
    pub fn sha256(ctx: NativeCallContext, this: &mut Saved) -> Scripted<String> {
        native(&ctx, |session| Ok(this.0.sha256(&session.context())?.hex().to_owned()))
    }

    /// The diff ids of layers whose blobs were dropped (the setting `blobs` of the store): they were made again from their files.
    ///
    /// ```rhai,images
    /// assert::eq(image::save("tools", fs::temp_dir() + "/tools.tar").rebuilt, []);
    /// ```
    #[rhai_fn(get = "rebuilt", pure)]
    pub fn rebuilt(this: &mut Saved) -> Array {
        let ids = this.0.rebuilt.iter();
        ids.map(|id| id.to_string().into()).collect()
    }
}
