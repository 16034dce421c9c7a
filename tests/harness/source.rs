//! Rust source as data: the text, and the same with comments and literals blanked out.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A source file. `code` has the same lines and columns as `text`, with spaces for what is not code.
pub(crate) struct Source {
    /// Path below the package.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) code: String,
}

impl Source {
    /// Every Rust file below this directory of the package, in order.
    pub(crate) fn below(dir: &str) -> Vec<Source> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut left = vec![package.join(dir)];
        let mut sources = Vec::new();
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = code(&text);
                sources.push(Source {
                    path: path.strip_prefix(package).unwrap().to_owned(),
                    text,
                    code,
                });
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// The modules the file is in, outermost first; `src/images/unpack/mod.rs` is in `images` and `unpack`.
    pub(crate) fn modules(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let mut names: Vec<String> = path
            .iter()
            .skip(1)
            .map(|name| name.to_str().unwrap().to_owned())
            .collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            names.pop();
        }
        names
    }

    /// The code without unit tests: blanks stand where they are.
    pub(crate) fn product(&self) -> String {
        if self
            .path
            .file_stem()
            .is_some_and(|name| name.to_str().unwrap().ends_with("tests"))
        {
            return self.code.replace(|letter: char| !letter.is_whitespace(), "");
        }
        let start = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\(crate\))? )?mod \w+ \{").unwrap();
        let mut product = String::with_capacity(self.code.len());
        let mut rest = &self.code[..];
        while let Some(found) = start.find(rest) {
            let length = found.end() + block_length(&rest[found.end()..]);
            product.push_str(&rest[..found.start()]);
            product.extend(
                rest[found.start()..length]
                    .bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
            );
            rest = &rest[length..];
        }
        product + rest
    }

    /// `src/x.rs:12`, for the byte at `offset`.
    pub(crate) fn at(&self, offset: usize) -> String {
        format!(
            "{}:{}",
            self.path.display(),
            self.code[..offset].matches('\n').count() + 1
        )
    }
}

/// Bytes up to the brace that closes a block, of which this is the inside.
fn block_length(inside: &str) -> usize {
    let mut depth = 1;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    inside.len()
}

/// The text with every comment, string and character blanked.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let inert = inert_length(rest, code.chars().next_back());
        if inert > 0 {
            code.extend(rest[..inert].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            rest = &rest[inert..];
        } else {
            let letter = rest.chars().next().expect("the rest is not empty");
            code.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    code
}

/// Bytes of the comment or literal that starts here; 0 where code starts. `before` tells `r"` from the end of a name.
fn inert_length(text: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let prefix = text
        .bytes()
        .take_while(|byte| matches!(byte, b'b' | b'c' | b'r'))
        .count();
    match text.as_bytes() {
        [b'/', b'/', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => block_comment(text),
        [b'"', ..] => quoted(text),
        [b'\'', ..] => character(text),
        _ if in_word || prefix == 0 || prefix > 2 => 0,
        _ => match &text[prefix..] {
            literal if text[..prefix].contains('r') && literal.starts_with(['"', '#']) => {
                raw(literal).map_or(0, |length| prefix + length)
            }
            literal if literal.starts_with('"') => prefix + quoted(literal),
            literal if literal.starts_with('\'') => prefix + character(literal),
            _ => 0,
        },
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `"…"` or `#"…"#` after an `r`; nothing for a raw name such as `r#type`.
fn raw(text: &str) -> Option<usize> {
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    let body = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + body.find(&end)? + end.len())
}

/// The character literal that starts here; 0 for a lifetime.
fn character(text: &str) -> usize {
    let inner = &text[1..];
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map_or(0, |end| 1 + 2 + end + 1);
    }
    let first = inner.chars().next().map_or(0, char::len_utf8);
    if inner[first..].starts_with('\'') {
        1 + first + 1
    } else {
        0
    }
}
