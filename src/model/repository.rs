//! Repository names as a registry's clients write them in URLs (OCI distribution-spec, "Pulling manifests").

use std::fmt;

use super::Reference;
use crate::error::{Error, Result};

const OWN: &str = "docker.io/";

/// A repository: registry and path, as references have it. `debian`, `library/debian` and `docker.io/library/debian` are the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(String);

impl Repository {
    /// The repository a URL names: what the same words mean where an image is named. Errors: `invalid`.
    pub fn parse(name: &str) -> Result<Repository> {
        // What is no host by its first part is a path all the same: `a_b.c/d`.
        let named = |text: &str| Repository::reference_of(text, "latest");
        let reference = named(name).or_else(|error| named(&format!("{OWN}{name}")).map_err(|_| error))?;
        let is_plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b));
        match is_plain {
            true => Ok(Repository(reference.repository())),
            false => Err(Error::invalid(format!(
                "`{}` is no name of a repository",
                name.escape_debug()
            ))),
        }
    }

    /// A repository as it is kept. Errors: `invalid`.
    pub fn stored(name: &str) -> Result<Repository> {
        Ok(Repository(format!("{name}:latest").parse::<Reference>()?.repository()))
    }

    /// The repository of an image's name.
    pub fn of(reference: &Reference) -> Repository {
        Repository(reference.repository())
    }

    /// The name of a tag in it. Errors: `invalid` for what is no tag.
    pub fn reference(&self, tag: &str) -> Result<Reference> {
        Repository::reference_of(&self.0, tag)
    }

    fn reference_of(name: &str, tag: &str) -> Result<Reference> {
        // A slash or an `@` would be taken for more of the name.
        match tag.contains(['/', '@', ':']) || name.contains(['@', ':']) {
            true => Err(Error::invalid(format!("`{}` is no tag", tag.escape_debug()))),
            false => format!("{name}:{tag}").parse(),
        }
    }

    /// Registry and path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a registry lists it: those of Docker's registry by their path alone. `None` for what no URL can name, as it has a port.
    pub fn listed(&self) -> Option<&str> {
        let name = self.0.strip_prefix(OWN).unwrap_or(&self.0);
        (!name.contains([':', '['])).then_some(name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_what_its_name_means_elsewhere() {
        for (name, wanted) in [
            ("debian", "docker.io/library/debian"),
            ("library/debian", "docker.io/library/debian"),
            ("docker.io/library/debian", "docker.io/library/debian"),
            ("team/app", "docker.io/team/app"),
            ("ghcr.io/team/app", "ghcr.io/team/app"),
            ("localhost/app", "localhost/app"),
            ("foo.bar", "docker.io/library/foo.bar"),
            ("a_b.c/d", "docker.io/a_b.c/d"),
        ] {
            let repository = Repository::parse(name).unwrap();
            assert_eq!(repository.as_str(), wanted);
            assert_eq!(Repository::of(&repository.reference("1.0").unwrap()), repository);
        }
        for name in [
            "", "/a", "a//b", "A/b", "a:1/b", "a/../b", "..", "a@b", "a b", "é", "[::1]/a",
        ] {
            assert!(Repository::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn s42_a_tag_cannot_lead_elsewhere() {
        let repository = Repository::parse("a/b").unwrap();
        for tag in ["", "x/y", "x@sha256:00", ".x", "x:y"] {
            assert!(repository.reference(tag).is_err(), "{tag}");
        }
        assert_eq!(Repository::parse("debian").unwrap().listed(), Some("library/debian"));
        assert_eq!(Repository::of(&"localhost:5000/a".parse().unwrap()).listed(), None);
    }
}
