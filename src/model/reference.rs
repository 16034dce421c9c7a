//! Image names as people write them (`debian`, `localhost:5000/app:1.2`), after the grammar of `distribution/reference`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Digest;
use crate::error::{Error, Result};

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

/// A normalised reference: `debian` is `docker.io/library/debian:latest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry host, with its port: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path within its registry: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and path: `docker.io/library/debian`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The repository as people write it: `debian`.
    pub fn familiar_repository(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.repository();
        }
        match self.path.strip_prefix(DEFAULT_NAMESPACE) {
            Some(name) if !name.contains('/') => name.to_owned(),
            // Without the registry its first part would be taken for one.
            _ if self.path.split('/').next().is_some_and(is_registry) => self.repository(),
            _ => self.path.clone(),
        }
    }

    /// The tag; `None` only where a digest stands alone.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest the name is pinned to.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository under another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        format!("{}:{tag}", self.repository()).parse()
    }

    /// The name without its digest, as a tag is stored; `None` where there is no tag.
    pub fn tagged(&self) -> Option<Reference> {
        self.tag.is_some().then(|| Reference {
            digest: None,
            ..self.clone()
        })
    }

    /// The shortest form that means the same: `debian:latest`.
    pub fn familiar(&self) -> String {
        self.render(&self.familiar_repository())
    }

    fn render(&self, repository: &str) -> String {
        let mut text = repository.to_owned();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        parse(text).map_err(|why| {
            Error::invalid(format!("`{}` is not an image reference: {why}", text.escape_debug())).hint(
                "a reference is `[registry/]name[:tag][@digest]`, such as `debian:12` or `localhost:5000/team/app:1.2`",
            )
        })
    }
}

fn parse(text: &str) -> std::result::Result<Reference, String> {
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("it is an image id".to_owned());
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => {
            let digest = digest.parse().map_err(|error: Error| error.to_string())?;
            (name, Some(digest))
        }
        None => (text, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to the registry's port.
    let after_slash = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[after_slash..].find(':') {
        Some(at) => (&name[..after_slash + at], Some(&name[after_slash + at + 1..])),
        None => (name, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let (registry, path) = split_registry(name);
    check_registry(&registry)?;
    check_path(&path)?;
    if path.len() > LONGEST_REPOSITORY {
        return Err(format!("the repository is longer than {LONGEST_REPOSITORY} characters"));
    }
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some(DEFAULT_TAG.to_owned()),
    };
    Ok(Reference {
        registry,
        path,
        tag,
        digest,
    })
}

/// The first segment is a registry if it has a dot, a colon or an upper-case letter, or is `localhost`.
fn split_registry(name: &str) -> (String, String) {
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" {
        DEFAULT_REGISTRY
    } else {
        registry
    };
    if registry == DEFAULT_REGISTRY && !path.contains('/') {
        return (registry.to_owned(), format!("{DEFAULT_NAMESPACE}{path}"));
    }
    (registry.to_owned(), path.to_owned())
}

fn is_registry(segment: &str) -> bool {
    segment == "localhost" || segment.contains(['.', ':']) || segment.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> std::result::Result<(), String> {
    let bad = || Err(format!("`{registry}` is not a registry host"));
    let is_v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, "")) if is_v6(v6) => ("v6", None),
            Some((v6, port)) if is_v6(v6) && port.starts_with(':') => ("v6", Some(&port[1..])),
            _ => return bad(),
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label_ok = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if host.split('.').all(label_ok) && port_ok {
        Ok(())
    } else {
        bad()
    }
}

fn check_path(path: &str) -> std::result::Result<(), String> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("a repository name must be lower case".to_owned());
    }
    for part in path.split('/') {
        if !is_path_component(part) {
            return Err(format!("`{part}` is not a valid part of a name"));
        }
    }
    Ok(())
}

/// Letters and digits, joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators_ok = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'));
    let ends_ok = part.bytes().next().is_some_and(is_word) && part.bytes().last().is_some_and(is_word);
    ends_ok && separators_ok
}

fn check_tag(tag: &str) -> std::result::Result<(), String> {
    let first_ok = tag
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest_ok = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first_ok && rest_ok && tag.len() <= LONGEST_TAG {
        return Ok(());
    }
    Err(format!("`{tag}` is not a tag"))
}

impl TryFrom<String> for Reference {
    type Error = Error;
    fn try_from(text: String) -> Result<Reference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&self.repository()))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_docker_does() {
        let zeros = "0".repeat(64);
        for (text, canonical, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:12", "docker.io/library/debian:12", "debian:12"),
            ("team/app", "docker.io/team/app:latest", "team/app:latest"),
            (
                "index.docker.io/debian",
                "docker.io/library/debian:latest",
                "debian:latest",
            ),
            (
                "docker.io/library/debian",
                "docker.io/library/debian:latest",
                "debian:latest",
            ),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a:1", "localhost:5000/a:1", "localhost:5000/a:1"),
            ("ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x"),
            ("Uppercase/a", "Uppercase/a:latest", "Uppercase/a:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
            ("a_b/c__d-e.f", "docker.io/a_b/c__d-e.f:latest", "a_b/c__d-e.f:latest"),
            // Short, these would name another registry.
            (
                "docker.io/localhost/a",
                "docker.io/localhost/a:latest",
                "docker.io/localhost/a:latest",
            ),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (reference.to_string().as_str(), reference.familiar().as_str()),
                (canonical, familiar)
            );
        }
        let pinned: Reference = format!("debian:12@sha256:{zeros}").parse().unwrap();
        assert_eq!((pinned.tag(), pinned.digest().is_some()), (Some("12"), true));
        let bare: Reference = format!("debian@sha256:{zeros}").parse().unwrap();
        assert_eq!(bare.tag(), None);
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let id = "a".repeat(64);
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "a/".repeat(128) + "a";
        for text in [
            "",
            ":",
            "a:",
            "a:b:c",
            "UPPER/case:!",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a..b",
            "a___b",
            "Aa",
            "a b",
            "a@",
            "a@sha256:x",
            "a\n",
            "../a",
            "a:-x",
            "localhost:x/a",
            "[::g]/a",
            "[::1]x/a",
            &id,
            &long_tag,
            &long_name,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
