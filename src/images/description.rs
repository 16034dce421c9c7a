//! What a registry has to know of a manifest of any kind: what it names, what it refers to, and whether it is one thing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::limits::{self, Limits};
use super::manifest::{self, Descriptor};
use crate::error::{Error, Result};
use crate::model::Digest;

/// A manifest or an index, of images or of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Configuration and layers.
    pub blobs: Vec<Named>,
    /// The manifests of an index.
    pub manifests: Vec<Named>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// What kind of artifact it is; of a manifest that does not say so, the type of its configuration.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes, as the manifest says.
    pub size: u64,
    /// Whether it is to be had elsewhere, and so may be missing.
    pub is_elsewhere: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// Of artifact manifests, which were in the specification for a while.
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Description {
    /// Reads a manifest that came under this media type. Errors: `corrupt` for what is none, or could be two things (CVE-2021-41190);
    /// `unsupported` for Docker's schema 1.
    pub fn parse(bytes: &[u8], media_type: &str, limits: &Limits) -> Result<Description> {
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|cause| Error::corrupt(format!("the manifest is not valid: {cause}")).source(cause))?;
        raw.check(media_type, limits)?;
        let artifact_type = raw.artifact_type.filter(|text| !text.is_empty());
        let config_type = raw.config.as_ref().map(|config| config.media_type.clone());
        let blobs = raw.config.into_iter().chain(raw.layers.into_iter().flatten());
        Ok(Description {
            blobs: blobs.chain(raw.blobs.into_iter().flatten()).map(Named::from).collect(),
            manifests: raw.manifests.into_iter().flatten().map(Named::from).collect(),
            subject: raw.subject.map(|subject| subject.digest),
            artifact_type: artifact_type.or(config_type),
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    /// The annotations as a JSON object, if there are any.
    pub fn annotations_json(&self) -> Option<String> {
        let text = serde_json::to_string(&self.annotations).expect("text keys and values are JSON");
        (!self.annotations.is_empty()).then_some(text)
    }
}

impl Raw {
    fn check(&self, media_type: &str, limits: &Limits) -> Result<()> {
        if self.schema_version == Some(1) {
            return Err(
                Error::unsupported("the manifest has Docker's schema 1, which is no longer taken")
                    .hint("push the image again with a current tool"),
            );
        }
        let said = self.media_type.as_deref().filter(|text| !text.is_empty());
        if let Some(said) = said.filter(|said| *said != media_type) {
            return Err(Error::corrupt(format!(
                "the manifest calls itself a `{}`, and came as a `{}`",
                said.escape_debug(),
                media_type.escape_debug()
            )));
        }
        let has_parts = self.layers.is_some() || self.blobs.is_some() || self.config.is_some();
        if has_parts == self.manifests.is_some() {
            return Err(Error::corrupt(
                "the manifest is neither one of blobs nor an index of others",
            ));
        }
        let layers = self.layers.iter().chain(&self.blobs).map(Vec::len).sum::<usize>();
        if layers > limits.layers {
            return Err(limits::exceeded("the number of layers", "layers", limits.layers));
        }
        manifest::check_count(self.manifests.as_ref().map_or(0, Vec::len), limits)
    }
}

impl From<Descriptor> for Named {
    fn from(descriptor: Descriptor) -> Named {
        Named {
            is_elsewhere: descriptor.is_undistributed(),
            digest: descriptor.digest,
            size: descriptor.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::images::manifest::{OCI_INDEX, OCI_MANIFEST};

    #[test]
    fn s25_what_could_be_two_things_is_no_manifest() {
        let parse = |text: &str, media_type: &str| Description::parse(text.as_bytes(), media_type, &Limits::default());
        let digest = Digest::of(b"");
        let one = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":3}}"#);
        let good = parse(
            &format!(r#"{{"config":{one},"layers":[{one}],"subject":{one}}}"#),
            OCI_MANIFEST,
        )
        .unwrap();
        assert_eq!(
            (good.blobs.len(), good.subject, good.artifact_type.as_deref()),
            (2, Some(digest.clone()), Some("a/b"))
        );
        assert_eq!(parse(r#"{"manifests":[]}"#, OCI_INDEX).unwrap().artifact_type, None);
        for text in [
            format!(r#"{{"config":{one},"layers":[],"manifests":[]}}"#),
            r#"{"mediaType":"x/y","manifests":[]}"#.to_owned(),
            "{}".to_owned(),
            "[]".to_owned(),
            format!(r#"{{"layers":[{{"digest":"{digest}","size":-1}}]}}"#),
            "[".repeat(100_000),
        ] {
            assert_eq!(parse(&text, OCI_INDEX).unwrap_err().kind(), Kind::Corrupt, "{text:.80}");
        }
        let many = format!(r#"{{"manifests":[{}]}}"#, vec![one; 1001].join(","));
        assert!(parse(&many, OCI_INDEX).unwrap_err().message().contains("`manifests`"));
    }
}
