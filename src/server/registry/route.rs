//! Which thing of the registry a path names (distribution-spec, "Endpoints").

use super::refusal::Refusal;
use crate::host::ManifestName;
use crate::model::{Digest, Repository};

/// A repository, and the name it was asked for by, which answers use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) repository: Repository,
    pub(super) name: String,
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Catalog,
    Tags(Named),
    Referrers(Named, Digest),
    Blob(Named, Digest),
    Manifest(Named, ManifestName),
    Uploads(Named),
    Upload(Named, String),
}

type Found<T> = Result<T, Refusal>;

impl Route {
    pub(super) fn find(path: &str) -> Found<Route> {
        let nothing = || Refusal::unknown("NAME_UNKNOWN", "there is nothing at this address");
        let rest = match path {
            "/v2" | "/v2/" => return Ok(Route::Root),
            "/v2/_catalog" => return Ok(Route::Catalog),
            path => path.strip_prefix("/v2/").ok_or_else(nothing)?,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let name = |count: usize| named(&parts[..parts.len() - count].join("/"));
        match parts[..] {
            [_, .., "blobs", "uploads"] => Ok(Route::Uploads(name(2)?)),
            [_, .., "blobs", "uploads", ""] => Ok(Route::Uploads(name(3)?)),
            [_, .., "blobs", "uploads", id] => Ok(Route::Upload(name(3)?, id.to_owned())),
            [_, .., "blobs", text] => Ok(Route::Blob(name(2)?, digest(text)?)),
            [_, .., "tags", "list"] => Ok(Route::Tags(name(2)?)),
            [_, .., "referrers", text] => Ok(Route::Referrers(name(2)?, digest(text)?)),
            [_, .., "manifests", text] => {
                let named = name(2)?;
                let manifest = match text.contains(':') {
                    true => ManifestName::Digest(digest(text)?),
                    false => ManifestName::Tag(tag(&named.repository, text)?),
                };
                Ok(Route::Manifest(named, manifest))
            }
            _ => Err(nothing()),
        }
    }
}

/// A repository by its name.
pub(super) fn named(name: &str) -> Found<Named> {
    let repository = Repository::parse(name).map_err(|error| Refusal::new(400, "NAME_INVALID", error.message()))?;
    Ok(Named {
        repository,
        name: name.to_owned(),
    })
}

/// A digest of an algorithm that this registry knows.
pub(super) fn digest(text: &str) -> Found<Digest> {
    text.parse().map_err(|_| {
        let text: String = text.escape_debug().take(200).collect();
        Refusal::new(
            400,
            "DIGEST_INVALID",
            format!("`{text}` is not a digest by sha256 or sha512"),
        )
    })
}

/// A tag of a repository.
pub(super) fn tag(repository: &Repository, text: &str) -> Found<crate::model::Reference> {
    repository.reference(text).map_err(|_| {
        let text: String = text.escape_debug().take(200).collect();
        Refusal::new(
            400,
            "MANIFEST_INVALID",
            format!("`{text}` is neither a tag nor a digest"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s42_paths_name_one_thing_and_lead_nowhere_else() {
        let hex = "0".repeat(64);
        let found = |path: &str| Route::find(&path.replace("HEX", &hex));
        assert_eq!(found("/v2/").unwrap(), Route::Root);
        assert!(matches!(found("/v2/a/blobs/uploads/").unwrap(), Route::Uploads(named) if named.name == "a"));
        assert!(
            matches!(found("/v2/a/b/blobs/uploads/x").unwrap(), Route::Upload(named, id) if named.name == "a/b" && id == "x")
        );
        assert!(
            matches!(found("/v2/a/blobs/blobs/sha256:HEX").unwrap(), Route::Blob(named, _) if named.name == "a/blobs")
        );
        assert!(matches!(
            found("/v2/a/manifests/latest").unwrap(),
            Route::Manifest(_, ManifestName::Tag(_))
        ));
        assert!(matches!(
            found("/v2/a/manifests/sha256:HEX").unwrap(),
            Route::Manifest(_, ManifestName::Digest(_))
        ));
        for path in [
            "/",
            "/v1/",
            "/v2/a",
            "/v2/tags/list",
            "/v2/../etc/passwd",
            "/v2/a/../b/tags/list",
            "/v2//tags/list",
            "/v2/a/blobs/sha256:../../x",
            "/v2/a/blobs/sha256:00",
            "/v2/a/manifests/..",
            "/v2/a/manifests/md5:HEX",
            "/v2/A/tags/list",
            "/v2/a:1/tags/list",
        ] {
            assert!(found(path).is_err(), "{path}");
        }
    }
}
