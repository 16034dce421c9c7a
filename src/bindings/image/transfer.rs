//! Images that come by the network, and what is told of it.

use crate::bindings::console::Level;
use crate::bindings::session::Session;
use crate::error::Result;
use crate::host::{Image, PullOptions};
use crate::model::ByteSize;

/// Pulls an image and tells of it.
pub fn pull_from(session: &Session, name: &str, options: &PullOptions) -> Result<Image> {
    let pulled = session.watched("pull", name, |ctx| session.host()?.pull_image(ctx, name, options))?;
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
