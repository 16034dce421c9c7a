//! Images that a test makes up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::Image;
use crate::error::Result;
use crate::host::Host;
use crate::images;
use crate::model::{ByteSize, Bytes, Command, Context, Moment, Pairs, Reference};

/// What a made up image is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SketchOptions {
    /// Files by path, as text or bytes.
    pub files: BTreeMap<String, Bytes>,
    /// Bytes beside them; none.
    pub size: ByteSize,
    /// When it was made, or how long ago; now.
    pub created: Option<Moment>,
    /// The command.
    pub cmd: Option<Command>,
    /// Environment variables.
    pub env: Pairs,
    /// Labels.
    pub labels: Pairs,
    /// The platform; this machine's.
    pub platform: Option<String>,
}

impl Host {
    /// Makes an image that no program runs in, and no other is like. Errors: `invalid` for a bad name, path or platform.
    pub fn sketch_image(&self, ctx: &Context, name: &str, options: &SketchOptions) -> Result<Image> {
        let name: Reference = name.parse()?;
        let now = Timestamp::now();
        let mut files: BTreeMap<String, Vec<u8>> = options
            .files
            .iter()
            .map(|(path, bytes)| (path.clone(), bytes.0.clone()))
            .collect();
        files.insert("etc/sketch".to_owned(), format!("{name} {now}\n").into_bytes());
        let sketched = images::SketchOptions {
            files,
            size: options.size.0,
            created: options.created.map_or(now, |moment| moment.resolve(now)),
            cmd: options.cmd.as_ref().map(Command::words),
            env: options.env.0.clone(),
            labels: options.labels.0.clone(),
            platform: options.platform.as_deref().map(str::parse).transpose()?,
        };
        self.bring_in(|lease| {
            let image = images::sketch(ctx, self.new_content()?, lease, &sketched)?;
            self.planned("fake::image", &name.familiar(), "");
            self.publish(ctx, image, vec![name], None)
        })
    }
}
