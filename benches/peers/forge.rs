//! Images to measure with, made once and kept beside the tests' inputs: a docker archive, an OCI archive with gzip layers and an OCI
//! layout of each.
//!
//! - `debian`: one layer, 8,700 entries, 170 MB.
//! - `ten`: the same in ten layers.
//! - `small`: one layer of 20,000 small files.
//! - `big`: one layer with one file of 1 GiB.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hoist::model::Digest;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::arena::{Arena, run, text};

/// A made image's files.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) docker: String,
    pub(crate) oci: String,
    /// A directory that is an OCI layout, with the tag `latest`.
    pub(crate) layout: String,
}

const SMALL_FILES: usize = 20_000;
const BIG: usize = 1 << 30;
const LAYERS: usize = 10;

/// The files of an image; what is missing of them is made.
pub(crate) fn input(arena: &Arena, name: &'static str) -> Input {
    let dir = arena.inputs.join("bench");
    fs::create_dir_all(&dir).unwrap();
    let at = |ending: &str| text(&dir.join(format!("{name}{ending}")));
    let made = Input {
        name,
        docker: at(".docker.tar"),
        oci: at(".oci.tar"),
        layout: at(""),
    };
    if !Path::new(&made.oci).exists() {
        eprintln!("making the image `{name}`");
        make(arena, &made);
    }
    made
}

fn make(arena: &Arena, input: &Input) {
    let work = tempfile::tempdir_in(&arena.dir).unwrap();
    let layers: Vec<_> = match input.name {
        "ten" => ten_layers(arena, work.path()),
        "small" => vec![one_layer(work.path(), small_files)],
        "big" => vec![one_layer(work.path(), big_file)],
        _ => {
            let layer = work.path().join("0.tar");
            fs::copy(arena.inputs.join("debian.tar"), &layer).unwrap();
            vec![layer]
        }
    };
    write_archive(
        Path::new(&input.docker),
        &format!("bench/{}:latest", input.name),
        &layers,
    );
    let from = format!("docker-archive:{}", input.docker);
    let name = format!("localhost/bench/{}:latest", input.name);
    run(&[
        "skopeo",
        "copy",
        "--quiet",
        &from,
        &format!("oci:{}:latest", input.layout),
    ]);
    run(&[
        "skopeo",
        "copy",
        "--quiet",
        &from,
        &format!("oci-archive:{}:{name}", input.oci),
    ]);
}

fn one_layer(dir: &Path, fill: fn(&mut Builder<BufWriter<File>>)) -> PathBuf {
    let path = dir.join("0.tar");
    let mut layer = Builder::new(BufWriter::new(File::create(&path).unwrap()));
    fill(&mut layer);
    layer.into_inner().unwrap().flush().unwrap();
    path
}

fn small_files(layer: &mut Builder<BufWriter<File>>) {
    for number in 0..SMALL_FILES {
        if number % 200 == 0 {
            let mut header = header(EntryType::Directory, 0);
            layer
                .append_data(&mut header, format!("d{}", number / 200), std::io::empty())
                .unwrap();
        }
        let content = format!("file {number}\n").repeat(number % 300);
        append(layer, &format!("d{}/f{number}", number / 200), content.as_bytes());
    }
}

/// Bytes that compress to about a half.
fn big_file(layer: &mut Builder<BufWriter<File>>) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        [state.to_le_bytes(), *b"the same"].concat()
    };
    let megabyte: Vec<u8> = (0..(1 << 20) / 16).flat_map(|_| block()).collect();
    let mut header = header(EntryType::Regular, BIG);
    layer
        .append_data(&mut header, "big", Repeat { bytes: megabyte, at: 0 }.take(BIG as u64))
        .unwrap();
}

/// The same bytes again and again.
struct Repeat {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Repeat {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = (&self.bytes[self.at..]).read(buffer)?;
        self.at = (self.at + length) % self.bytes.len();
        Ok(length)
    }
}

/// Debian's entries, a tenth of them to a layer, in their order.
fn ten_layers(arena: &Arena, dir: &Path) -> Vec<PathBuf> {
    let open = || tar::Archive::new(BufReader::new(File::open(arena.inputs.join("debian.tar")).unwrap()));
    let share = open().entries().unwrap().count().div_ceil(LAYERS);
    let paths: Vec<_> = (0..LAYERS).map(|number| dir.join(format!("{number}.tar"))).collect();
    let mut layers: Vec<_> = paths
        .iter()
        .map(|path| Builder::new(BufWriter::new(File::create(path).unwrap())))
        .collect();
    let (mut archive, mut links) = (open(), std::collections::HashMap::new());
    for (number, entry) in archive.entries().unwrap().enumerate() {
        let mut entry = entry.unwrap();
        let (path, mut header) = (entry.path_bytes().into_owned(), entry.header().clone());
        let mut place = number / share;
        // A hard link goes where its target is.
        match entry.link_name_bytes() {
            Some(target) if header.entry_type() == EntryType::Link => place = links[target.as_ref()],
            _ => drop(links.insert(path.clone(), place)),
        }
        copy_entry(&mut layers[place], &mut header, &mut entry);
    }
    layers
        .into_iter()
        .for_each(|layer| layer.into_inner().unwrap().flush().unwrap());
    paths
}

fn copy_entry(layer: &mut Builder<BufWriter<File>>, header: &mut Header, entry: &mut tar::Entry<'_, impl Read>) {
    let path = entry.path().unwrap().into_owned();
    match entry.link_name().unwrap() {
        Some(target) => layer.append_link(header, path, target).unwrap(),
        None => layer.append_data(header, path, entry).unwrap(),
    }
}

/// A docker archive of one image.
fn write_archive(path: &Path, name: &str, layers: &[PathBuf]) {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    let config = config(&json!({}), &diff_ids);
    let names: Vec<_> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let part = path.with_extension("part");
    let mut archive = Builder::new(BufWriter::new(File::create(&part).unwrap()));
    append(&mut archive, "config.json", config.as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        archive.append_file(name, &mut File::open(layer).unwrap()).unwrap();
    }
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]).to_string();
    append(&mut archive, "manifest.json", manifest.as_bytes());
    archive.into_inner().unwrap().flush().unwrap();
    fs::rename(part, path).unwrap();
}

fn digest_of(path: &Path) -> String {
    let printed = run(&["sha256sum", path.to_str().unwrap()]);
    format!("sha256:{}", printed.split(' ').next().unwrap())
}

fn config(run: &serde_json::Value, diff_ids: &[String]) -> String {
    let history: Vec<_> = diff_ids
        .iter()
        .map(|_| json!({"created": "2026-01-01T00:00:00Z"}))
        .collect();
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    config.to_string()
}

/// A docker archive of images that differ in their configurations only; without names where `name` gives none.
pub(crate) fn write_many(path: &Path, numbers: Range<usize>, name: impl Fn(usize) -> Option<String>) {
    let mut layer = Builder::new(Vec::new());
    append(&mut layer, "file", b"content");
    let layer = layer.into_inner().unwrap();
    let digest = Digest::of(&layer).to_string();
    let mut archive = Builder::new(BufWriter::new(File::create(path).unwrap()));
    append(&mut archive, "layer.tar", &layer);
    let mut manifest = Vec::new();
    for number in numbers {
        let config = config(
            &json!({"Labels": {"number": number.to_string()}}),
            std::slice::from_ref(&digest),
        );
        let file = format!("{}.json", Digest::of(config.as_bytes()).hex());
        append(&mut archive, &file, config.as_bytes());
        manifest.push(json!({"Config": file, "RepoTags": name(number).map(|name| [name]), "Layers": ["layer.tar"]}));
    }
    append(
        &mut archive,
        "manifest.json",
        serde_json::Value::from(manifest).to_string().as_bytes(),
    );
    archive.into_inner().unwrap().flush().unwrap();
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header
}

fn append(archive: &mut Builder<impl Write>, name: &str, content: &[u8]) {
    archive
        .append_data(&mut header(EntryType::Regular, content.len()), name, content)
        .unwrap();
}
