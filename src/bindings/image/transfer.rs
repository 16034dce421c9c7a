//! Images that come and go by the network, and what is told of it meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bindings::console::Level;
use crate::bindings::session::Session;
use crate::error::Result;
use crate::host::{Image, PullOptions};
use crate::images::Watcher;
use crate::model::{ByteSize, Digest};

/// Pulls an image and tells of it.
pub fn pull_from(session: &Session, name: &str, options: &PullOptions) -> Result<Image> {
    let watcher = Lines {
        session,
        name,
        layers: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
    };
    let pulled = session
        .host()?
        .pull_image(&session.context(), name, options, &watcher)?;
    pulled
        .warnings
        .iter()
        .for_each(|warning| session.log(Level::Warn, warning));
    for tag in &pulled.tags {
        session.log(Level::Info, &tag.to_string());
    }
    if pulled.again > 0 {
        session.log(
            Level::Info,
            &format!("{} had to be fetched again", ByteSize(pulled.again)),
        );
    }
    Ok(pulled.image)
}

/// A line for each layer.
struct Lines<'a> {
    session: &'a Session,
    name: &'a str,
    layers: AtomicUsize,
    done: AtomicUsize,
}

impl Watcher for Lines<'_> {
    fn layers(&self, layers: &[(Digest, u64)]) {
        self.layers.store(layers.len(), Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let size = ByteSize(layers.iter().map(|(_, size)| size).sum());
        self.session.log(
            Level::Info,
            &format!("`{}` has {} layers of {size}", self.name, layers.len()),
        );
    }

    fn done(&self, blob: &Digest, was_here: bool) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.layers.load(Ordering::Relaxed);
        let how = if was_here { "was here" } else { "is here" };
        self.session
            .log(Level::Info, &format!("{} {how} ({done} of {all})", blob.short()));
    }
}
