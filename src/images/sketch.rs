//! A small image made of what a test says: its files, its size, its date. Nothing of it is unpacked, so that it takes no rights.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use jiff::Timestamp;

use super::archive::{Entry, Kind, Writer};
use super::config::{Config, Step};
use super::content::Content;
use super::draft::{self, Draft};
use super::image::{Holder, Image};
use super::layer::{self, Expected};
use crate::error::{Error, Result};
use crate::model::{Context, Platform};

/// What a sketched image is.
#[derive(Debug, Clone)]
pub struct SketchOptions {
    /// Files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Bytes of zeros beside them.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The command.
    pub cmd: Option<Vec<String>>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The platform; this machine's if none is given.
    pub platform: Option<Platform>,
}

/// Makes an image of one layer. Errors: `invalid` for a path that names no file.
pub fn sketch(ctx: &Context, content: &Content, holder: &dyn Holder, options: &SketchOptions) -> Result<Image> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let mut config = Config::for_platform(&platform);
    let run = &mut config.config;
    run.cmd = options.cmd.clone();
    run.labels = options.labels.clone();
    options.env.iter().for_each(|(name, value)| run.set_env(name, value));
    let staging = content.stage()?;
    let expected = Expected {
        packed: true,
        ..Expected::default()
    };
    let layer = staging.writing(|| layer::stage(ctx, content, &staging, tarball(options)?, &expected))?;
    let created = options.created.to_string();
    config.created = Some(created.clone());
    config.rootfs.diff_ids.push(layer.layer.diff_id.clone());
    config.history.push(Step {
        created: Some(created),
        created_by: Some("sketch".to_owned()),
        ..Step::default()
    });
    let draft = Draft::from_config(&config, vec![layer.layer.clone()]);
    draft::publish(ctx, content, holder, &staging, std::slice::from_ref(&draft), &[layer])?;
    Ok(draft.image)
}

/// The files as a stream; the zeros are never in memory.
fn tarball(options: &SketchOptions) -> Result<impl Read + Send + use<>> {
    let mut head = Writer::new(Vec::new());
    for (path, bytes) in &options.files {
        let name = path.trim_start_matches('/');
        if name.is_empty() || name.ends_with('/') {
            return Err(Error::invalid(format!("`{path}` names no file")).target(path.clone()));
        }
        let entry = Entry::new(name.as_bytes().to_vec(), Kind::Regular, 0o755);
        head.entry(&Entry {
            size: bytes.len() as u64,
            ..entry
        })?;
        head.data(bytes)?;
    }
    let mut ending = Writer::new(Vec::new());
    if options.size > 0 {
        let entry = Entry::new(b"zeros".to_vec(), Kind::Regular, 0o644);
        let size = options.size;
        ending.entry(&Entry { size, ..entry })?;
    }
    // The last file's padding is the head's, the header of the zeros what follows it.
    let head = head.finish()?;
    let head = head[..head.len() - END].to_vec();
    let header = ending.output().clone();
    let padding = options.size.next_multiple_of(BLOCK) - options.size;
    let tail = io::repeat(0).take(padding + END as u64);
    Ok(Cursor::new(head)
        .chain(Cursor::new(header))
        .chain(io::repeat(0).take(options.size))
        .chain(tail))
}

/// Bytes of a record of a tar.
const BLOCK: u64 = 512;
/// Bytes that end a tar.
const END: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::testing::{NoHolder, Shop};

    #[test]
    fn a_sketch_has_the_files_the_size_and_the_date_it_was_given() {
        let shop = Shop::new();
        let options = SketchOptions {
            files: BTreeMap::from([("/etc/a".to_owned(), b"hello".to_vec()), ("b".to_owned(), Vec::new())]),
            size: 3000,
            created: "2026-01-02T03:04:05Z".parse().unwrap(),
            cmd: Some(vec!["true".to_owned()]),
            env: BTreeMap::new(),
            labels: BTreeMap::from([("tier".to_owned(), "web".to_owned())]),
            platform: None,
        };
        let image = sketch(&Context::new(), &shop.content, &NoHolder, &options).unwrap();
        let config = image.config().unwrap();
        assert_eq!(config.created.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(image.layers[0].size, 3005);
        assert!(shop.content.is_packed(&image.layers[0].diff_id));
        let bytes = {
            let mut bytes = Vec::new();
            let mut blob = shop.content.open_blob(&image.layers[0].blob).unwrap();
            blob.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["etc/a", "b", "zeros"]);
    }
}
