//! What the prompt does with a line: evaluates it, or answers `help` and `exit`. It needs no terminal.

use crate::bindings::Session;
use crate::model::Context;
use crate::script::interactive::{Interactive, Reply};
use crate::script::reference;

/// What to do after a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read another one.
    Continue,
    /// Leave with an exit code.
    Leave(u8),
}

/// The state between lines.
pub(super) struct Conversation {
    session: Session,
    interpreter: Interactive,
}

impl Conversation {
    pub(super) fn new(session: &Session) -> Conversation {
        Conversation {
            session: session.clone(),
            interpreter: Interactive::new(session),
        }
    }

    /// What was said so far, for completion and for input of several lines.
    pub(super) fn interpreter(&self) -> &Interactive {
        &self.interpreter
    }

    /// Evaluates a complete input under `context` and prints its value.
    pub(super) fn feed(&mut self, input: &str, context: Context) -> Next {
        let words: Vec<&str> = input.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["exit" | "quit"] => return Next::Leave(0),
            ["help"] => self.help(""),
            ["help", name] => self.help(name),
            _ => match self.interpreter.evaluate(input, context) {
                Reply::Value(text) => self.session.print(&text),
                Reply::Error(report) => self.talk(&report),
                Reply::Exit(code) => return Next::Leave(code),
            },
        }
        Next::Continue
    }

    fn help(&self, name: &str) {
        match reference::help(name) {
            Ok(text) => self.session.print(&format!("{text}\n")),
            Err(error) => {
                self.talk(&format!("error: {error}"));
                if let Some(hint) = error.way_out() {
                    self.talk(&format!("help: {hint}"));
                }
            }
        }
    }

    fn talk(&self, line: &str) {
        self.session.settings().console.talk(line);
    }

    /// Runs what was deferred and removes temporary files.
    pub(super) fn close(self) {
        let console = self.session.settings().console.clone();
        if let Some(report) = self.interpreter.close() {
            console.talk(&report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn talk(lines: &[&str]) -> (String, Vec<String>, Next) {
        let (session, console) = testing::session(false);
        let mut conversation = Conversation::new(&session);
        let mut next = Next::Continue;
        for line in lines {
            next = conversation.feed(line, Context::new());
        }
        conversation.close();
        let data = console.data();
        let talk = console.talk();
        (data, talk, next)
    }

    #[test]
    fn variables_and_functions_stay_from_line_to_line() {
        let lines = [
            "let x = 20;",
            "fn double(n) { n * 2 }",
            "let f = |n| double(n) + x;",
            "double(x) + 2",
            "f.call(1)",
        ];
        let (data, talk, _) = talk(&lines);
        assert_eq!((data.as_str(), talk), ("42\n22\n", vec![]));
    }

    #[test]
    fn values_are_tables_and_errors_do_not_end_the_conversation() {
        let (data, talk, next) = talk(&["nonsense", "[#{a: 1}, #{a: 2}]", "let y = ;", "1"]);
        assert_eq!(data, "A\n1\n2\n1\n");
        assert_eq!(talk.len(), 2);
        assert!(
            talk[0].starts_with("error: there is no variable `nonsense`"),
            "{talk:?}"
        );
        assert_eq!(next, Next::Continue);
    }

    #[test]
    fn leaving_and_help() {
        assert_eq!(talk(&["exit"]).2, Next::Leave(0));
        assert_eq!(talk(&["exit(3)"]).2, Next::Leave(3));
        assert!(talk(&["help fs::read"]).0.contains("The text of a file."));
        assert_eq!(talk(&["defer(|| print(\"bye\"))", "exit"]).0, "bye\n");
    }

    #[test]
    fn a_cancelled_line_leaves_the_next_one_alone() {
        let (session, console) = testing::session(false);
        let mut conversation = Conversation::new(&session);
        let cancelled = Context::new();
        cancelled.cancel();
        conversation.feed("loop {}", cancelled);
        conversation.feed("1 + 1", Context::new());
        assert_eq!(console.data(), "2\n");
    }
}
