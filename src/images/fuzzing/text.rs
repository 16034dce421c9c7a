//! Documents and names.

use super::limits;
use crate::images::config::Config;
use crate::images::manifest::{self, Document};
use crate::model::{Digest, Reference};

/// Manifests, indexes, `manifest.json` and configurations.
pub(super) fn document(bytes: &[u8]) -> bool {
    let limits = limits();
    let document = manifest::parse(bytes, &limits);
    match &document {
        Ok(Document::Manifest(manifest)) => assert!(manifest.layers.len() <= limits.layers),
        Ok(Document::Index(entries)) => assert!(entries.len() <= limits.manifests),
        Err(_) => {}
    }
    manifest::media_type_of(bytes);
    let saved = manifest::parse_saved(bytes, &limits);
    assert!(saved.as_ref().is_ok_and(|saved| saved.len() <= limits.manifests) || saved.is_err());
    let config = Config::parse(bytes);
    if let Ok(config) = &config {
        let written = config.to_bytes();
        let again = Config::parse(&written).expect("what was parsed can be written and parsed");
        assert_eq!(again.rootfs, config.rootfs);
        assert_eq!(again.config.env, config.config.env);
        assert_eq!(again.history.len(), config.history.len());
    }
    document.is_ok() || saved.is_ok() || config.is_ok()
}

/// Names and digests: what is accepted says the same in every form, and leads nowhere as a path.
pub(super) fn reference(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        assert!(digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let Ok(reference) = text.parse::<Reference>() else {
        return false;
    };
    for form in [reference.to_string(), reference.familiar()] {
        assert_eq!(form.parse::<Reference>().as_ref().ok(), Some(&reference), "`{form}`");
    }
    let repository = reference.repository();
    let parts = repository.split('/');
    assert!(parts.clone().count() > 1 && parts.into_iter().all(|part| !matches!(part, "" | "." | "..")));
    true
}
