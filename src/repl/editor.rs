//! The line editor around a conversation: history, several lines, completion and hints.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use rustyline::completion::{Completer as Completion, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Editor, Helper};

use super::completer::Completer;
use super::session::{Conversation, Next};
use crate::bindings::{Level, Session};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Context;

const PROMPT: &str = "hoist> ";

/// Talks with a person until they leave, and returns the exit code. `interrupt` is told what the next Ctrl-C cancels.
pub fn run(session: &Session, interrupt: &dyn Fn(Context)) -> Result<u8> {
    let conversation = Rc::new(RefCell::new(Conversation::new(session)));
    let settings = rustyline::Config::builder()
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Assistant, DefaultHistory> =
        Editor::with_config(settings).map_err(|cause| broken(&cause))?;
    editor.set_helper(Some(Assistant {
        completer: Completer::new(),
        conversation: conversation.clone(),
    }));
    let history = Config::history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let code = converse(&mut editor, &conversation, session, interrupt)?;
    if let Some(path) = &history
        && let Err(cause) = save(&mut editor, path)
    {
        session.log(
            Level::Warn,
            &format!("failed to keep the history in `{}`: {cause}", path.display()),
        );
    }
    editor.set_helper(None);
    if let Some(conversation) = Rc::into_inner(conversation) {
        conversation.into_inner().close();
    }
    Ok(code)
}

fn broken(cause: &ReadlineError) -> Error {
    Error::internal(format!("failed to read from the terminal: {cause}"))
}

fn save(editor: &mut Editor<Assistant, DefaultHistory>, path: &Path) -> rustyline::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    editor.append_history(path)
}

fn converse(
    editor: &mut Editor<Assistant, DefaultHistory>,
    conversation: &RefCell<Conversation>,
    session: &Session,
    interrupt: &dyn Fn(Context),
) -> Result<u8> {
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(cause) => return Err(broken(&cause)),
        };
        let _ = editor.add_history_entry(line.as_str());
        let context = session.root_context().child();
        interrupt(context.clone());
        let next = conversation.borrow_mut().feed(&line, context);
        if let Next::Leave(code) = next {
            return Ok(code);
        }
        if session.root_context().is_done() {
            return Ok(session.exit_code().unwrap_or(0));
        }
    }
}

/// What the editor asks while a line is typed.
struct Assistant {
    completer: Completer,
    conversation: Rc<RefCell<Conversation>>,
}

impl Helper for Assistant {}
impl Highlighter for Assistant {}

impl Completion for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let conversation = self.conversation.borrow();
        let interpreter = conversation.interpreter();
        let kind_of = |name: &str| interpreter.variable_type(name);
        let (start, found) = self.completer.complete(&line[..at], &interpreter.variables(), kind_of);
        let pairs = found.into_iter().map(|one| Pair {
            display: one.label,
            replacement: one.text,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, _context: &rustyline::Context<'_>) -> Option<String> {
        (at == line.len()).then(|| self.completer.hint(line))?
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let is_command = input.starts_with("help ");
        Ok(
            match !is_command && self.conversation.borrow().interpreter().is_incomplete(input) {
                true => ValidationResult::Incomplete,
                false => ValidationResult::Valid(None),
            },
        )
    }
}
