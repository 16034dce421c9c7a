//! What a server asks for with a `401`: the header `WWW-Authenticate` (RFC 9110, 11.6.1), which may ask for several things.

use std::collections::BTreeMap;

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Challenge {
    /// In lower case: `bearer`, `basic`.
    pub(super) scheme: String,
    /// By names in lower case.
    pub(super) parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// The challenges of all such headers of an answer, in their order; what follows a fault in one is left out.
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for header in headers {
        let mut text = Text(header);
        while let Some(word) = text.word() {
            if text.eats('=') {
                let Some(value) = text.value() else { break };
                let Some(Challenge { parameters, .. }) = found.last_mut() else {
                    break;
                };
                parameters.insert(word.to_ascii_lowercase(), value);
            } else {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    ..Challenge::default()
                });
            }
        }
    }
    found
}

/// What is left of a header.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// The next word, whatever commas and blanks stand before it.
    fn word(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn eats(&mut self, mark: char) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']).strip_prefix(mark);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A word or a quoted text.
    fn value(&mut self) -> Option<String> {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        let Some(quoted) = self.0.strip_prefix('"') else {
            let end = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
            let (value, rest) = self.0.split_at(end);
            self.0 = rest;
            return Some(value.to_owned());
        };
        let (mut value, mut letters) = (String::new(), quoted.char_indices());
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(letters.next()?.1),
                letter => value.push(letter),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(header: &str) -> Vec<String> {
        let challenges = parse(std::iter::once(header)).into_iter();
        challenges.map(|c| format!("{} {:?}", c.scheme, c.parameters)).collect()
    }

    #[test]
    fn r30_challenges_are_read_however_they_are_written() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = r#"bearer {"realm": "https://auth.docker.io/token", "scope": "repository:a/b:pull,push", "service": "registry.docker.io"}"#;
        assert_eq!(told(hub), [expected]);
        let several = r#"Basic realm="a \"b\", c", bearer  Realm = x , service=y"#;
        assert_eq!(
            told(several),
            [
                r#"basic {"realm": "a \"b\", c"}"#,
                r#"bearer {"realm": "x", "service": "y"}"#
            ]
        );
        assert_eq!(told("Negotiate, Basic"), ["negotiate {}", "basic {}"]);
        for broken in [
            "",
            ",,",
            "=x",
            r#"Bearer realm="open"#,
            "Bearer realm=",
            "\"",
            "é",
            "a=b",
        ] {
            assert!(told(broken).len() < 2, "{broken}");
        }
    }
}
