//! The names that an argument may be: of images, containers, volumes, files, registries and their tags.
//!
//! Which of them, the table of effects says, by the position of the argument.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::completer::Suggestion;
use crate::bindings::Session;
use crate::bindings::effects::{self, Effect, Of};
use crate::error::Result;
use crate::host::{Asking, Host};
use crate::model::Reference;

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Images,
    Containers,
    Volumes,
    Files,
    Registries,
    /// Images at registries.
    Tags,
}

/// Options whose values are names.
const OPTIONS: [(&str, Named); 7] = [
    ("ancestor", Named::Images),
    ("env_file", Named::Files),
    ("reference", Named::Images),
    ("seccomp", Named::Files),
    ("volume", Named::Volumes),
    ("volumes", Named::Volumes),
    ("volumes_from", Named::Containers),
];

/// What an option's value names.
pub(super) fn of_option(name: &str) -> Option<Named> {
    OPTIONS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// What an argument of a function names; the receiver of a method is argument 0.
pub(super) fn of_argument(function: &str, argument: usize) -> Option<Named> {
    let acts = effects::acts(function)?;
    acts.iter().find_map(|(effect, of)| named(*effect, *of, argument))
}

fn named(effect: Effect, of: Of, argument: usize) -> Option<Named> {
    let is_far = matches!(effect, Effect::Pull | Effect::Push | Effect::Net);
    let (place, named) = match of {
        Of::Image(place) | Of::WholeImage(place) | Of::NewName(place) => (place, Named::Images),
        Of::Name(place) if is_far => (place, Named::Tags),
        Of::Name(place) => (place, Named::Images),
        Of::Sent(place, _) if argument == place => (place, Named::Images),
        Of::Sent(_, place) | Of::From(place) | Of::To(place) | Of::Retagged(place, _) => (place, Named::Tags),
        Of::Container(place) => (place, Named::Containers),
        Of::Host(place) => (place, Named::Registries),
        Of::Path(place) | Of::Glob(place) => (place, Named::Files),
        _ => return None,
    };
    (place == argument).then_some(named)
}

/// How long a registry may take to answer while somebody waits at the prompt.
const PATIENCE: Duration = Duration::from_secs(2);

/// The names there are, asked for when they are wanted.
#[derive(Default)]
pub(super) struct Names {
    /// The tags of repositories that were asked for in this conversation.
    tags: RefCell<HashMap<String, Vec<String>>>,
}

impl Names {
    /// What a text that begins like this may become. What cannot be found out is left out: somebody is typing.
    pub(super) fn find(&self, session: &Session, named: Named, word: &str) -> Vec<Suggestion> {
        let of_host = |list: &dyn Fn(&Host) -> Result<Vec<String>>| session.host().and_then(list).unwrap_or_default();
        let found = match named {
            Named::Images => of_host(&|host| host.image_names(word)),
            Named::Containers => of_host(&Host::container_names),
            // Behind its name comes where it is to be.
            Named::Volumes if word.contains(['/', ':']) => return files(word),
            Named::Volumes => of_host(&Host::volume_names),
            Named::Files => return files(word),
            Named::Registries => registries(&of_host(&|host| host.image_names(""))),
            Named::Tags => match word.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((repository, _)) => self.tags(session, repository),
                None => repositories(&of_host(&|host| host.image_names(word))),
            },
        };
        let fitting = found.into_iter().filter(|name| name.starts_with(word));
        fitting.map(|name| Suggestion::plain(&name)).collect()
    }

    /// The tags of a repository, with its name. It is asked once, and not without permission.
    fn tags(&self, session: &Session, repository: &str) -> Vec<String> {
        if let Some(known) = self.tags.borrow().get(repository) {
            return known.clone();
        }
        let context = session.context().with_timeout(PATIENCE);
        let once = Asking {
            retries: Some(0),
            ..Asking::default()
        };
        let asked = session.perform("registry::tags", &[repository.into()], || {
            session.host()?.remote_tags(&context, repository, &once)
        });
        let tags: Vec<String> = asked
            .unwrap_or_default()
            .into_iter()
            .map(|tag| format!("{repository}:{tag}"))
            .collect();
        self.tags.borrow_mut().insert(repository.to_owned(), tags.clone());
        tags
    }

    /// Forgets what registries said: a line has been run since.
    pub(super) fn forget(&self) {
        self.tags.borrow_mut().clear();
    }
}

fn repositories(images: &[String]) -> Vec<String> {
    let mut found: Vec<String> = images
        .iter()
        .filter_map(|name| Some(format!("{}:", name.parse::<Reference>().ok()?.familiar_repository())))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn registries(images: &[String]) -> Vec<String> {
    let mut found: Vec<String> = images
        .iter()
        .filter_map(|name| Some(name.parse::<Reference>().ok()?.registry().to_owned()))
        .chain(["docker.io".to_owned()])
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The files of the directory that a path is in; directories end in `/`, hidden ones are told when a dot was typed.
fn files(word: &str) -> Vec<Suggestion> {
    let (directory, name) = word
        .rsplit_once('/')
        .map_or(("", word), |(_, name)| word.split_at(word.len() - name.len()));
    let place = if directory.is_empty() { "." } else { directory };
    let Ok(entries) = std::fs::read_dir(Path::new(place)) else {
        return Vec::new();
    };
    let mut found: Vec<Suggestion> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let own = entry.file_name().into_string().ok()?;
            let fits = own.starts_with(name) && (name.starts_with('.') || !own.starts_with('.'));
            let slash = if entry.path().is_dir() { "/" } else { "" };
            fits.then(|| Suggestion {
                text: format!("{directory}{own}{slash}"),
                label: format!("{own}{slash}"),
            })
        })
        .collect();
    found.sort_by(|left, right| left.text.cmp(&right.text));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_effects_says_what_an_argument_names() {
        for (function, argument, named) in [
            ("image::get", 0, Some(Named::Images)),
            ("image::tag", 1, Some(Named::Images)),
            ("image::untag", 0, Some(Named::Images)),
            ("image::pull", 0, Some(Named::Tags)),
            ("image::push", 0, Some(Named::Images)),
            ("image::push", 1, Some(Named::Tags)),
            ("image::save", 1, Some(Named::Files)),
            ("container::get", 0, Some(Named::Containers)),
            ("container::run", 0, Some(Named::Images)),
            ("container::run", 1, None),
            ("Container.copy_in", 1, Some(Named::Files)),
            ("registry::copy", 1, Some(Named::Tags)),
            ("registry::repos", 0, Some(Named::Registries)),
            ("fs::read", 0, Some(Named::Files)),
            ("json::parse", 0, None),
        ] {
            assert_eq!(of_argument(function, argument), named, "{function} {argument}");
        }
        assert_eq!(of_option("volumes"), Some(Named::Volumes));
    }

    #[test]
    fn files_are_those_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = format!("{}/", directory.path().display());
        std::fs::create_dir(format!("{root}sub")).unwrap();
        for name in ["some.tar", ".hidden", "other"] {
            std::fs::write(format!("{root}{name}"), "").unwrap();
        }
        let found = |word: &str| -> Vec<String> {
            files(&format!("{root}{word}"))
                .into_iter()
                .map(|one| one.label)
                .collect()
        };
        assert_eq!(found("s"), ["some.tar", "sub/"]);
        assert_eq!(found(""), ["other", "some.tar", "sub/"]);
        assert_eq!(found("."), [".hidden"]);
        assert!(found("nothing/x").is_empty());
    }

    #[test]
    fn repositories_and_registries_are_those_of_the_images() {
        let images = ["tools:1", "tools:2", "localhost:5000/app:x"].map(str::to_owned);
        assert_eq!(repositories(&images), ["localhost:5000/app:", "tools:"]);
        assert_eq!(registries(&images), ["docker.io", "localhost:5000"]);
    }
}
