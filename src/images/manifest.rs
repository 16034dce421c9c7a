//! Manifests, indexes and `manifest.json`: the documents that say which blobs make an image (OCI image-spec manifest.md and
//! image-index.md; Docker's image manifest v2 schema 2; `docker save`'s `manifest.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::limits::{self, Limits};
use crate::error::{Error, Result};
use crate::model::{Digest, Platform, Reference};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_UNDISTRIBUTED_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The annotation with a name or tag (OCI image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the whole name, as containerd and Docker write it.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";

/// Where a blob is named: its digest, size and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    /// Where else it is to be had; for layers that are not to be handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) urls: Option<Vec<String>>,
}

/// Whether a media type is that of a layer which is not to be handed on: OCI's "nondistributable", Docker's "foreign".
pub(crate) fn is_undistributed(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: None,
            platform: None,
            urls: None,
        }
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether it is a layer that is not to be handed on, and so may be missing.
    pub(crate) fn is_undistributed(&self) -> bool {
        is_undistributed(&self.media_type)
    }

    /// Attestations and the like stand in an index under no platform.
    pub(crate) fn is_attestation(&self) -> bool {
        let unknown = |platform: &Platform| platform.os == "unknown" && platform.architecture == "unknown";
        self.platform.as_ref().is_some_and(unknown) || self.annotation("vnd.docker.reference.type").is_some()
    }
}

/// An image manifest's parts.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What a document that may be a manifest or an index turned out to be.
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument<'a> {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    #[serde(borrow)]
    fs_layers: Option<&'a RawValue>,
}

/// Parses what a descriptor leads to. Errors: `corrupt` if it is something else than the descriptor says as well (CVE-2021-41190).
pub(crate) fn parse_described(bytes: &[u8], descriptor: &Descriptor, limits: &Limits) -> Result<Document> {
    let document = parse(bytes, limits)?;
    let allowed = match document {
        Document::Manifest(_) => [OCI_MANIFEST, DOCKER_MANIFEST],
        Document::Index(_) => [OCI_INDEX, DOCKER_LIST],
    };
    let said = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
    check_type(said, allowed).map_err(|error| error.during(format_args!("read `{}`", descriptor.digest)))?;
    Ok(document)
}

/// The media types of all documents that can be read.
pub(crate) const READABLE: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// Parses a manifest or an index. Errors: `corrupt` for neither and for one that could be taken for both (CVE-2021-41190).
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Document> {
    let raw: RawDocument<'_> = serde_json::from_slice(bytes)
        .map_err(|cause| Error::corrupt(format!("the manifest is not valid: {cause}")).source(cause))?;
    if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
        return Err(
            Error::unsupported("the manifest has Docker's schema 1, which is no longer read")
                .hint("push the image again with a current tool, or convert it with `skopeo copy --format v2s2`"),
        );
    }
    match (raw.config, raw.layers, raw.manifests) {
        (Some(config), Some(layers), None) => {
            manifest(config, layers, raw.media_type.as_deref(), limits).map(Document::Manifest)
        }
        (None, None, Some(manifests)) => {
            check_type(raw.media_type.as_deref(), [OCI_INDEX, DOCKER_LIST])?;
            check_count(manifests.len(), limits)?;
            Ok(Document::Index(manifests))
        }
        _ => Err(Error::corrupt("the manifest is neither an image manifest nor an index")),
    }
}

fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    media_type: Option<&str>,
    limits: &Limits,
) -> Result<Manifest> {
    check_type(media_type, [OCI_MANIFEST, DOCKER_MANIFEST])?;
    if ![OCI_CONFIG, DOCKER_CONFIG, ""].contains(&config.media_type.as_str()) {
        return Err(Error::unsupported(format!(
            "the manifest describes a `{}`, not a container image",
            config.media_type.escape_debug()
        )));
    }
    if layers.len() > limits.layers {
        return Err(limits::exceeded(
            "the image's number of layers",
            "layers",
            limits.layers,
        ));
    }
    Ok(Manifest { config, layers })
}

fn check_type(found: Option<&str>, allowed: [&str; 2]) -> Result<()> {
    match found {
        Some(found) if !allowed.contains(&found) => Err(Error::corrupt(format!(
            "the manifest is called a `{}`, which does not fit its fields",
            found.escape_debug()
        ))),
        _ => Ok(()),
    }
}

/// Refuses lists of manifests longer than the limit.
pub(crate) fn check_count(count: usize, limits: &Limits) -> Result<()> {
    if count <= limits.manifests {
        return Ok(());
    }
    Err(limits::exceeded(
        "the number of manifests",
        "manifests",
        limits.manifests,
    ))
}

/// The media type a manifest states; OCI's where it states none.
pub fn media_type_of(bytes: &[u8]) -> String {
    let raw: Option<RawDocument<'_>> = serde_json::from_slice(bytes).ok();
    match raw {
        Some(RawDocument {
            media_type: Some(media_type),
            ..
        }) => media_type,
        Some(RawDocument { manifests: Some(_), .. }) => OCI_INDEX.to_owned(),
        _ => OCI_MANIFEST.to_owned(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
}

/// The bytes of a new OCI manifest.
pub(crate) fn manifest_bytes(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    let manifest = NewManifest {
        schema_version: 2,
        media_type: OCI_MANIFEST,
        config,
        layers,
    };
    serde_json::to_vec(&manifest).expect("a manifest has text keys only")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewIndex {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// The bytes of an OCI index.
pub(crate) fn index_bytes(manifests: Vec<Descriptor>) -> Vec<u8> {
    serde_json::to_vec(&NewIndex {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests,
    })
    .expect("an index has text keys only")
}

/// An index's entry for an image under a name, or under none.
pub(crate) fn named_descriptor(media_type: &str, digest: &Digest, size: u64, name: Option<&Reference>) -> Descriptor {
    let annotations = name.map(|name| {
        // Tools that know one annotation find the whole name in either.
        [IMAGE_NAME, REF_NAME]
            .into_iter()
            .map(|key| (key.to_owned(), name.to_string()))
            .collect()
    });
    Descriptor {
        annotations,
        ..Descriptor::new(media_type, digest.clone(), size)
    }
}

/// One image of a `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SavedImage {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

/// Parses a `manifest.json`. Errors: `corrupt`.
pub(crate) fn parse_saved(bytes: &[u8], limits: &Limits) -> Result<Vec<SavedImage>> {
    let images: Vec<SavedImage> = serde_json::from_slice(bytes)
        .map_err(|cause| Error::corrupt(format!("`manifest.json` is not valid: {cause}")).source(cause))?;
    check_count(images.len(), limits)?;
    match images
        .iter()
        .find(|image| image.layers.as_ref().is_some_and(|layers| layers.len() > limits.layers))
    {
        Some(_) => Err(limits::exceeded(
            "the image's number of layers",
            "layers",
            limits.layers,
        )),
        None => Ok(images),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn s25_what_could_be_two_things_is_refused() {
        let digest = Digest::of(b"");
        let descriptor = format!(r#"{{"mediaType":"{OCI_CONFIG}","digest":"{digest}","size":0}}"#);
        let good = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
        assert!(matches!(
            parse(good.as_bytes(), &Limits::default()),
            Ok(Document::Manifest(_))
        ));
        for text in [
            format!(r#"{{"config":{descriptor},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"mediaType":"{OCI_INDEX}","config":{descriptor},"layers":[]}}"#),
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#),
            r#"{"manifests":[{"digest":"sha256:../../etc","size":1}]}"#.to_owned(),
            format!(r#"{{"manifests":[{{"digest":"{digest}","size":-1}}]}}"#),
            "[".repeat(100_000),
            String::new(),
        ] {
            let error = parse(text.as_bytes(), &Limits::default()).err().unwrap();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        }
        let artifact = good.replace(OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json");
        assert_eq!(
            parse(artifact.as_bytes(), &Limits::default()).err().unwrap().kind(),
            Kind::Unsupported
        );
        assert_eq!(
            parse(br#"{"schemaVersion":1,"fsLayers":[]}"#, &Limits::default())
                .err()
                .unwrap()
                .kind(),
            Kind::Unsupported
        );
    }
}
