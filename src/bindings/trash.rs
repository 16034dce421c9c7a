//! `system::trash`, `system::undo` and `system::empty_trash`.

use rhai::{Array, Dynamic, INT, Map, export_module};

use super::amount::bytes;
use super::session::Session;
use super::time::Time;
use super::value::from_serde;
use crate::error::Result;
use crate::host::{Trashed, Undone};

fn map(act: Trashed) -> Dynamic {
    let images: Array = act.images.into_iter().map(|id| Dynamic::from(id.to_string())).collect();
    let names: Array = act.names.into_iter().map(Dynamic::from).collect();
    let fields = [
        ("id", Dynamic::from(act.id)),
        ("action", Dynamic::from(act.action)),
        ("removed", Dynamic::from(Time::new(act.removed))),
        ("until", Dynamic::from(Time::new(act.until))),
        ("images", Dynamic::from(images)),
        ("names", Dynamic::from(names)),
        ("size", Dynamic::from(bytes(act.size))),
    ];
    let map: Map = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Dynamic::from(map)
}

/// The acts as an array of maps.
pub fn list(acts: Vec<Trashed>) -> Dynamic {
    Dynamic::from(acts.into_iter().map(map).collect::<Array>())
}

fn undo(session: &Session, id: Option<INT>) -> Result<Dynamic> {
    let undone: Undone = session.host()?.undo(id)?;
    from_serde(&undone)
}

/// What can be brought back.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;

    /// What was taken away lately and can be brought back, the last act first: images that were removed, and names that were taken away
    /// or moved to another image.
    ///
    /// Each is a map of `id`, `action` (such as `"image::remove"`), `removed` (when), `until` (the time up to which it can be undone),
    /// `images` (ids), `names` and `size` (bytes that are on the disk for its sake alone). For how long, and how much of the disk must
    /// be free for it, the settings file says: `[trash]`.
    ///
    /// ```rhai,images
    /// image::remove("tools");
    /// let act = system::trash()[0];
    /// assert::eq(act.names, ["tools:latest"]);
    /// assert::ok(act.until > time::now() && act.size > 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn trash(ctx: NativeCallContext) -> Scripted<Array> {
        native(&ctx, |session| {
            let acts = session.host()?.trash()?;
            Ok(acts.into_iter().map(super::map).collect())
        })
    }

    /// Takes the last removal of images, or move of a name, back: the images are there as they were, and names mean what they meant.
    ///
    /// Returns a map of `id`, `action`, `images` (ids of those that are back) and `names`. Called again, it takes the one before back.
    /// Throws `not_found` when there is nothing to undo, and `conflict` when a name has come to mean something else since.
    ///
    /// ```rhai,images
    /// image::remove("tools");
    /// assert::eq(system::undo().names, ["tools:latest"]);
    /// assert::eq(container::run("tools", "echo back").text(), "back");
    /// ```
    #[rhai_fn(name = "undo", return_raw)]
    pub fn undo_last(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, |session| super::undo(session, None))
    }

    /// Takes one act back, by its `id` in `system::trash()`.
    ///
    /// Throws `not_found` when it cannot be undone any more, and `conflict` when a name has come to mean something else since.
    ///
    /// ```rhai,images
    /// image::tag("tools", "tools:old");
    /// image::untag("tools:old");
    /// let act = system::trash()[0];
    /// image::remove("tools");
    /// assert::throws("conflict", || system::undo(act.id));
    /// system::undo();
    /// system::undo(act.id);
    /// assert::ok(image::exists("tools:old"));
    /// ```
    #[rhai_fn(name = "undo", return_raw)]
    pub fn undo(ctx: NativeCallContext, id: INT) -> Scripted<Dynamic> {
        native(&ctx, |session| super::undo(session, Some(id)))
    }

    /// Removes for good what the trash keeps; returns the number of bytes given back to the disk.
    ///
    /// ```rhai,images
    /// image::remove("tools");
    /// assert::ok(system::empty_trash() > 0);
    /// assert::throws("not_found", || system::undo());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn empty_trash(ctx: NativeCallContext) -> Scripted<INT> {
        native(&ctx, |session| Ok(super::bytes(session.host()?.empty_trash()?)))
    }
}
