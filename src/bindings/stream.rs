//! Output of containers passed through to the console as it comes.

use std::cell::RefCell;

use super::scope;
use super::session::Session;

/// Passes bytes on as text: standard output as it is, standard error line by line.
///
/// Characters cut in two by a read are kept until the rest arrives; what is left is passed on when this is dropped.
pub struct Passthrough<'a> {
    session: &'a Session,
    cut: RefCell<Vec<u8>>,
    line: RefCell<Vec<u8>>,
}

/// Bytes after which a line of a branch is cut, so that one without an end is not kept for ever.
const LONGEST_LINE: usize = 64 << 10;

impl<'a> Passthrough<'a> {
    /// A way to the console of a session.
    pub fn new(session: &'a Session) -> Passthrough<'a> {
        Passthrough {
            session,
            cut: RefCell::default(),
            line: RefCell::default(),
        }
    }

    /// Takes what was read; the flag is true for standard error.
    pub fn take(&self, is_error: bool, bytes: &[u8]) {
        match is_error {
            true => self.talk(bytes),
            false => self.print(bytes),
        }
    }

    fn print(&self, bytes: &[u8]) {
        let mut held = self.cut.borrow_mut();
        held.extend_from_slice(bytes);
        // Of several branches only whole lines may be written.
        let whole = match scope::branch() {
            Some(_) if held.len() >= LONGEST_LINE && !held.contains(&b'\n') => {
                held.push(b'\n');
                held.len()
            }
            Some(_) => held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
            None => held.len() - cut_length(&held),
        };
        let text: Vec<u8> = held.drain(..whole).collect();
        if !text.is_empty() {
            self.session.print(&String::from_utf8_lossy(&text));
        }
    }

    fn talk(&self, bytes: &[u8]) {
        let mut held = self.line.borrow_mut();
        held.extend_from_slice(bytes);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            self.say(&line[..end]);
        }
    }

    fn say(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        self.session.settings().console.talk(&scope::marked(&line));
    }
}

/// How many bytes at the end begin a character whose rest is missing.
fn cut_length(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (at, byte) in tail.iter().enumerate().rev() {
        let width = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        let present = tail.len() - at;
        return if present < width { present } else { 0 };
    }
    0
}

impl Drop for Passthrough<'_> {
    fn drop(&mut self) {
        let cut = self.cut.take();
        if !cut.is_empty() {
            let end = if scope::branch().is_some() { "\n" } else { "" };
            self.session.print(&format!("{}{end}", String::from_utf8_lossy(&cut)));
        }
        let line = self.line.take();
        if !line.is_empty() {
            self.say(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    #[test]
    fn characters_and_lines_cut_in_two_arrive_whole() {
        let (session, console) = testing::session(false);
        let through = Passthrough::new(&session);
        for byte in "a€ü𝄞\n".as_bytes() {
            through.take(false, &[*byte]);
        }
        through.take(true, b"one\ntw");
        through.take(true, b"o\nrest");
        through.take(false, b"\xff\xe2");
        drop(through);
        assert_eq!(console.data(), "a€ü𝄞\n\u{fffd}\u{fffd}");
        assert_eq!(console.talk(), ["one", "two", "rest"]);
    }

    #[test]
    fn branches_pass_whole_lines_on() {
        let (session, console) = testing::session(false);
        scope::set_branch(Some("a".to_owned()));
        let through = Passthrough::new(&session);
        for bytes in ["on", "e\ntwo\nth", "ree"] {
            through.take(false, bytes.as_bytes());
        }
        through.take(true, b"err");
        drop(through);
        scope::set_branch(None);
        assert_eq!(console.data(), "[a] one\n[a] two\n[a] three\n");
        assert_eq!(console.talk(), ["[a] err"]);
    }
}
