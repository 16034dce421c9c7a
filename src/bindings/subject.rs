//! What a call is about: an image or container by name or as an object, and a command in any of its forms.

use rhai::{Array, Dynamic, INT, Map};

use super::value::type_phrase;
use crate::error::{Error, Result};
use crate::host::{Container, Image, Volume};
use crate::model::Command;

/// The name of an image given as text, or the id of an `Image`.
pub fn image(value: &Dynamic) -> Result<String> {
    match value.read_lock::<Image>() {
        Some(image) => Ok(image.id().to_string()),
        None => text(value, "an image", "a name, an id or an `Image`"),
    }
}

/// The names of images given as one or as an array.
pub fn images(value: &Dynamic) -> Result<Vec<String>> {
    match value.read_lock::<Array>() {
        Some(items) => items.iter().map(image).collect(),
        None => Ok(vec![image(value)?]),
    }
}

/// The name or id of a container given as text, or the id of a `Container`.
pub fn container(value: &Dynamic) -> Result<String> {
    match value.read_lock::<Container>() {
        Some(container) => Ok(container.id().as_str().to_owned()),
        None => text(value, "a container", "a name, an id or a `Container`"),
    }
}

/// The name of a volume given as text, or that of a `Volume`.
pub fn volume(value: &Dynamic) -> Result<String> {
    match value.read_lock::<Volume>() {
        Some(volume) => Ok(volume.name().to_owned()),
        None => text(value, "a volume", "a name or a `Volume`"),
    }
}

/// A command: an array of words, one line for the shell, or `()` or no words for the image's own.
pub fn command(value: &Dynamic) -> Result<Option<Command>> {
    if value.is_unit() {
        return Ok(None);
    }
    if let Some(words) = value.read_lock::<Array>() {
        if words.is_empty() {
            return Ok(None);
        }
        return words
            .iter()
            .map(word)
            .collect::<Result<_>>()
            .map(Command::Words)
            .map(Some);
    }
    text(value, "a command", "an array of words or one line for the shell").map(|line| Some(Command::Shell(line)))
}

/// The second argument of `run(image, …)`: a command, or the options when the image's own command is meant.
pub fn command_or_options(value: Dynamic) -> Result<(Option<Command>, Map)> {
    match value.is_map() {
        true => Ok((None, value.flatten().cast::<Map>())),
        false => Ok((command(&value)?, Map::new())),
    }
}

/// Paths of files, given as an array of texts.
pub fn paths(items: &Array) -> Result<Vec<String>> {
    items.iter().map(|item| text(item, "a path", "text")).collect()
}

/// The words of a command, given as an array.
pub fn words(items: &Array) -> Result<Vec<String>> {
    items.iter().map(word).collect()
}

/// Names with texts as a map.
pub fn texts(pairs: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> Map {
    pairs
        .into_iter()
        .map(|(name, value)| (name.as_ref().into(), value.as_ref().to_owned().into()))
        .collect()
}

/// The content of a file: text or bytes.
pub fn content(value: &Dynamic) -> Result<Vec<u8>> {
    match value.read_lock::<rhai::Blob>() {
        Some(bytes) => Ok(bytes.clone()),
        None => text(value, "content", "text or a blob").map(String::into_bytes),
    }
}

/// Numbers are words too: `["sleep", 5]`.
fn word(value: &Dynamic) -> Result<String> {
    match value.as_int() {
        Ok(number) => Ok(INT::to_string(&number)),
        Err(_) => text(value, "a word of a command", "text or a number"),
    }
}

fn text(value: &Dynamic, what: &str, expected: &str) -> Result<String> {
    let text = value.as_immutable_string_ref().map(|text| text.to_string());
    text.map_err(|_| Error::invalid(format!("{what} is given as {expected}, got {}", type_phrase(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(script: &str) -> Dynamic {
        crate::script::testing::engine().eval(script).unwrap()
    }

    #[test]
    fn commands_come_as_words_as_a_line_or_not_at_all() {
        let words = |script: &str| command(&value(script)).unwrap().map(|command| command.words());
        assert_eq!(words("()"), None);
        // As in Docker's API.
        assert_eq!(words("[]"), None);
        assert_eq!(words("[\"sleep\", 5]").unwrap(), ["sleep", "5"]);
        assert_eq!(words("\"echo a b\"").unwrap(), ["/bin/sh", "-c", "echo a b"]);
    }

    #[test]
    fn a_map_in_the_place_of_the_command_is_the_options() {
        let (command, options) = command_or_options(value("#{ name: \"x\" }")).unwrap();
        assert!(command.is_none());
        assert_eq!(options.len(), 1);
    }

    #[test]
    fn what_was_given_instead_is_named() {
        for (fault, message) in [
            (
                image(&value("7")).unwrap_err(),
                "an image is given as a name, an id or an `Image`, got a number",
            ),
            (
                images(&value("[\"a\", #{}]")).unwrap_err(),
                "an image is given as a name, an id or an `Image`, got a map",
            ),
            (
                container(&value("()")).unwrap_err(),
                "a container is given as a name, an id or a `Container`, got ()",
            ),
            (
                command(&value("true")).unwrap_err(),
                "a command is given as an array of words or one line for the shell, got a bool",
            ),
            (
                command(&value("[[]]")).unwrap_err(),
                "a word of a command is given as text or a number, got an array",
            ),
        ] {
            assert_eq!(fault.message(), message);
        }
    }
}
