//! What an act is done to, in a form that patterns of permissions can be held against.

use std::path::{Component, Path, PathBuf};

use crate::error::Result;
use crate::model::{Pattern, Reference};

/// A thing that an act names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing in particular, such as all containers that are to run.
    Any,
    /// Things that are not known beforehand: each is judged when it is come to, by whoever comes to it.
    Each,
    /// An image, or a name at a registry.
    Image(ImageNames),
    /// A container or a volume: its name, and its id where it has one.
    Object(Vec<String>),
    /// A machine, with its port where one is said.
    Host(String),
    /// A file or a directory, all symbolic links followed.
    Path(PathBuf),
    /// A temporary file of the run's own.
    Own(PathBuf),
    /// A program of this machine: its name and the file it is, as rules have them behind `host:`.
    Program(Vec<String>),
    /// The machine itself, by what this option of a container gives away of it.
    Machine(&'static str),
}

/// What an image is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageNames {
    /// The names the act is about. All of them have to be allowed.
    pub meant: Vec<Reference>,
    /// Names of which one that is allowed is enough: the image is meant by its id, and nothing happens to its names.
    pub either: Vec<Reference>,
    /// Further names of the same image, which a rule that forbids may name.
    pub also: Vec<Reference>,
    /// Its id, where it has no name.
    pub id: Option<String>,
    /// Whether every tag of the repositories is meant.
    pub every_tag: bool,
}

impl Target {
    /// The image of a name.
    pub fn named(name: Reference) -> Target {
        Target::Image(ImageNames {
            meant: vec![name],
            ..ImageNames::default()
        })
    }

    /// A file, symbolic links followed as far as there are any.
    pub fn file(path: &Path) -> Target {
        Target::Path(followed(path))
    }

    /// What a person reads; nothing where nothing in particular is meant.
    pub fn shown(&self) -> Option<String> {
        match self {
            Target::Any | Target::Each | Target::Machine(_) => None,
            Target::Image(names) => names.shown(),
            Target::Object(names) => names.first().cloned(),
            Target::Host(host) => Some(host.clone()),
            Target::Program(names) => names.first().map(|name| format!("host:{name}")),
            Target::Path(path) | Target::Own(path) => Some(path.display().to_string()),
        }
    }
}

impl ImageNames {
    fn shown(&self) -> Option<String> {
        let first = self.meant.first().or_else(|| self.either.first());
        let shown = |name: &Reference| match self.every_tag {
            true => name.familiar_repository(),
            false => name.familiar(),
        };
        first.map(shown).or_else(|| self.id.clone())
    }
}

/// The absolute path without links: those of what exists are followed, and what does not exist yet is put behind it.
fn followed(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut found = PathBuf::from("/");
    for part in whole.components() {
        match part {
            Component::RootDir | Component::Prefix(_) | Component::CurDir => {}
            // What is before it has been followed already, so its parent is the one the kernel goes to.
            Component::ParentDir => drop(found.pop()),
            Component::Normal(name) => {
                found.push(name);
                if let Ok(real) = found.canonicalize() {
                    found = real;
                } else if let Ok(link) = found.read_link() {
                    // A link to what is not there: writing would make it there.
                    found.pop();
                    found = followed(&found.join(link));
                }
            }
        }
    }
    found
}

/// What a rule says of targets: `app/*:pr-*`, `ghcr.io`, `/backup`.
#[derive(Debug, Clone)]
pub struct Scope {
    text: String,
    pattern: Pattern,
}

impl Scope {
    /// The scope of these words. Errors: `invalid` for what is no pattern.
    pub fn new(text: &str) -> Result<Scope> {
        let text = text
            .strip_prefix("index.docker.io/")
            .map_or_else(|| text.to_owned(), |rest| format!("docker.io/{rest}"));
        let pattern = Pattern::new(&text)?;
        Ok(Scope { text, pattern })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is about everything.
    pub fn is_all(&self) -> bool {
        self.text == "*"
    }

    /// Whether all of the target lies within it.
    pub fn covers(&self, target: &Target) -> bool {
        self.is_all()
            || match target {
                Target::Each | Target::Own(_) => true,
                Target::Any | Target::Machine(_) => false,
                Target::Image(names) => self.covers_image(names),
                _ => self.touches(target),
            }
    }

    fn covers_image(&self, names: &ImageNames) -> bool {
        let fits = |name: &Reference| self.fits_name(name, names.every_tag, false);
        let all = names.meant.iter().all(fits);
        let either = names.either.is_empty() || names.either.iter().any(fits);
        let id = names.id.as_ref().is_none_or(|id| self.pattern.matches(id));
        all && either && id
    }

    /// Whether any of the target lies within it.
    pub fn touches(&self, target: &Target) -> bool {
        self.is_all()
            || match target {
                Target::Any | Target::Each | Target::Own(_) | Target::Machine(_) => false,
                Target::Image(names) => {
                    let mut all = names.meant.iter().chain(&names.either).chain(&names.also);
                    all.any(|name| self.fits_name(name, names.every_tag, true))
                        || names.id.as_ref().is_some_and(|id| self.pattern.matches(id))
                }
                Target::Object(names) => names.iter().any(|name| self.pattern.matches(name)),
                Target::Host(host) => self.fits_host(host),
                Target::Program(names) => self.fits_program(names),
                Target::Path(path) => path.starts_with(followed(Path::new(&self.text))),
            }
    }

    /// Whether a name fits in any form it may be written in. Where a rule names tags and the name has none, as one by digest, `doubt`
    /// decides.
    fn fits_name(&self, name: &Reference, every_tag: bool, doubt: bool) -> bool {
        let last = self.text.rfind('/').map_or(0, |at| at + 1);
        let (has_digest, has_tag) = (self.text.contains('@'), self.text[last..].contains(':'));
        let ending = match (name.digest(), name.tag()) {
            _ if every_tag && (has_tag || has_digest) => return doubt && self.repository_fits(name),
            (Some(digest), _) if has_digest => format!("@{digest}"),
            (_, Some(tag)) if has_tag && !has_digest => format!(":{tag}"),
            _ if !has_tag && !has_digest => String::new(),
            _ => return doubt && self.repository_fits(name),
        };
        forms(name)
            .iter()
            .any(|form| self.pattern.matches(&format!("{form}{ending}")))
    }

    fn repository_fits(&self, name: &Reference) -> bool {
        let last = self.text.rfind('/').map_or(0, |at| at + 1);
        let end = self.text[last..]
            .find([':', '@'])
            .map_or(self.text.len(), |at| last + at);
        let pattern = Pattern::new(&self.text[..end]);
        pattern.is_ok_and(|pattern| forms(name).iter().any(|form| pattern.matches(form)))
    }

    /// Only a rule that says `host:` is about programs: names of containers must not let any in.
    fn fits_program(&self, names: &[String]) -> bool {
        let pattern = self.text.strip_prefix("host:").map(Pattern::new);
        pattern.is_some_and(|pattern| pattern.is_ok_and(|pattern| names.iter().any(|name| pattern.matches(name))))
    }

    fn fits_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.pattern.matches(&host)
            || host
                .rsplit_once(':')
                .is_some_and(|(name, _)| self.pattern.matches(name))
    }

    /// Whether everything another scope is about lies within this one, as far as their words tell.
    pub fn contains(&self, other: &Scope) -> bool {
        self.is_all()
            || self.text == other.text
            || self.pattern.matches(&other.text)
            || (self.text.starts_with('/')
                && followed(Path::new(&other.text)).starts_with(followed(Path::new(&self.text))))
            || self.contains_name(other)
    }

    /// `docker.io/library/*` contains `debian`.
    fn contains_name(&self, other: &Scope) -> bool {
        let name: Option<Reference> = other.text.parse().ok();
        name.is_some_and(|name| self.fits_name(&name, false, false))
    }
}

/// The forms a name without tag may be written in.
fn forms(name: &Reference) -> Vec<String> {
    let host = name.registry().to_ascii_lowercase();
    let whole = format!("{host}/{}", name.path());
    if host != "docker.io" {
        return vec![whole];
    }
    let path = name.path().to_owned();
    let mut forms = vec![whole, path.clone()];
    if let Some(short) = path.strip_prefix("library/") {
        forms.extend([format!("docker.io/{short}"), short.to_owned()]);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Target {
        Target::named(name.parse().unwrap())
    }

    fn scope(text: &str) -> Scope {
        Scope::new(text).unwrap()
    }

    #[test]
    fn names_fit_in_every_form_people_write() {
        for (rule, name, fits) in [
            ("docker.io/library/*", "debian", true),
            ("docker.io/library/*", "app/web", false),
            ("docker.io/debian", "debian:12", true),
            ("index.docker.io/library/debian", "debian:12", true),
            ("library/debian", "docker.io/debian", true),
            ("debian", "debian:12", true),
            ("debian:12", "debian:13", false),
            ("app/*:pr-*", "app/web:pr-1", true),
            ("app/*:pr-*", "app/web:prod", false),
            ("app/*:pr-*", "ghcr.io/app/web:pr-1", false),
            ("*:pr-*", "ghcr.io/app/web:pr-1", true),
            ("ghcr.io/team/*", "GHCR.io/team/app", true),
            ("localhost:5000/*", "localhost:5000/app:1", true),
            (
                "app",
                "app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                true,
            ),
        ] {
            assert_eq!(scope(rule).covers(&image(name)), fits, "{rule} {name}");
        }
    }

    #[test]
    fn what_goes_by_digest_may_have_any_tag() {
        let by_digest = image("app@sha256:0000000000000000000000000000000000000000000000000000000000000000");
        assert!(!scope("app:pr-*").covers(&by_digest));
        assert!(scope("app:prod").touches(&by_digest));
        assert!(!scope("other:prod").touches(&by_digest));
    }

    #[test]
    fn an_image_meant_by_its_id_is_known_by_all_its_names() {
        let (good, bad): (Reference, Reference) = ("good:1".parse().unwrap(), "bad:1".parse().unwrap());
        let run = Target::Image(ImageNames {
            either: vec![good.clone(), bad.clone()],
            ..ImageNames::default()
        });
        assert!(scope("good").covers(&run) && scope("bad").touches(&run));
        let removed = Target::Image(ImageNames {
            meant: vec![good, bad],
            ..ImageNames::default()
        });
        assert!(!scope("good").covers(&removed));
        assert!(scope("*:1").covers(&removed));
    }

    #[test]
    fn paths_are_compared_without_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("backup/sub")).unwrap();
        std::fs::create_dir(root.join("other")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(root.join(target), root.join(name)).unwrap();
        link("other", "backup/out");
        link("other/new", "backup/dangling");
        link("backup", "alias");
        let allowed = scope(root.join("alias").to_str().unwrap());
        for (path, fits) in [
            ("backup", true),
            ("backup/a.tar", true),
            ("alias/sub/new/deep", true),
            ("backup/../other/x", false),
            ("backup/out/x", false),
            ("backup/out/../x", false),
            ("backup/dangling", false),
            ("backup-2", false),
        ] {
            assert_eq!(allowed.covers(&Target::file(&root.join(path))), fits, "{path}");
        }
    }

    #[test]
    fn programs_are_named_behind_a_word_of_their_own() {
        let git = Target::Program(vec!["git".to_owned(), "/usr/bin/git".to_owned()]);
        let elsewhere = Target::Program(vec!["/tmp/git".to_owned()]);
        for (rule, fits) in [
            ("*", true),
            ("host:git", true),
            ("host:/usr/bin/*", true),
            ("host:*", true),
            ("git", false),
            ("*git", false),
            ("host:sh", false),
        ] {
            assert_eq!(scope(rule).covers(&git), fits, "{rule}");
        }
        assert!(!scope("host:git").covers(&elsewhere));
    }

    #[test]
    fn a_scope_contains_another() {
        for (outer, inner, holds) in [
            ("*", "app/*", true),
            ("app/*", "app/web:*", true),
            ("docker.io/library/*", "debian", true),
            ("app/web", "app/*", false),
            ("/backup", "/backup/images", true),
            ("/backup", "/backup-2", false),
        ] {
            assert_eq!(scope(outer).contains(&scope(inner)), holds, "{outer} {inner}");
        }
    }
}
