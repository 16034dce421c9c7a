//! Shapes that options take in more than one form: one or many, a map or `key=value` lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One text or an array of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected text or an array of texts")]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(Words(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Many(many) => many,
        }))
    }
}

/// Keys with values: a map, or an array of `key=value` texts. Absent values are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pairs(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Whole(i64),
            Fraction(f64),
            Flag(bool),
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a map, or an array of `key=value` texts")]
        enum Form {
            Map(BTreeMap<String, Value>),
            Lines(Words),
        }
        let text = |value| match value {
            Value::Text(text) => text,
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
        };
        Ok(Pairs(match Form::deserialize(deserializer)? {
            Form::Map(map) => map.into_iter().map(|(key, value)| (key, text(value))).collect(),
            Form::Lines(lines) => lines.0.iter().map(|line| split(line)).collect(),
        }))
    }
}

impl Pairs {
    /// Those of `key=value` texts.
    pub fn of(lines: impl Iterator<Item = String>) -> Pairs {
        Pairs(lines.map(|line| split(&line)).collect())
    }
}

fn split(line: &str) -> (String, String) {
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    (key.to_owned(), value.to_owned())
}

/// A command: words as they are, or one line for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected an array of words, or one text for the shell")]
pub enum Command {
    /// The program and its arguments.
    Words(Vec<String>),
    /// A line that `/bin/sh -c` runs.
    Shell(String),
}

impl Command {
    /// The words to execute.
    pub fn words(&self) -> Vec<String> {
        match self {
            Command::Words(words) => words.clone(),
            Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        }
    }
}

/// Bytes given as text or as a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text or a blob")
            }
            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, secret: D) -> Result<Bytes, D::Error> {
                secret.deserialize_any(self)
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_as_map_or_lines() {
        let parse = |json: &str| serde_json::from_str::<Pairs>(json).unwrap().0;
        assert_eq!(parse(r#"{"A": "1", "B": 2}"#), parse(r#"["A=1", "B=2"]"#));
        assert_eq!(parse(r#"["A=x=y", "B"]"#)["A"], "x=y");
        assert!(serde_json::from_str::<Pairs>("[[1]]").is_err());
    }

    #[test]
    fn a_line_goes_to_the_shell() {
        let command: Command = serde_json::from_str("\"echo a b\"").unwrap();
        assert_eq!(command.words(), ["/bin/sh", "-c", "echo a b"]);
    }
}
