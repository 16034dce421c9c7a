//! The line editor around a conversation: history, several lines, completion, hints and colours.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustyline::completion::{Completer as Completion, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Editor, Helper};

use super::completer::{self, World as _};
use super::hinter::{self, Hint};
use super::kinds::Types;
use super::manual::Manual;
use super::pager::Pager;
use super::session::{Conversation, Next};
use super::{command, highlighter};
use crate::bindings::{Level, Session};
use crate::config::{Config, variable};
use crate::error::{Error, Result};
use crate::model::Context;
use crate::script::masked;
use crate::sys::file;

const PROMPT: &str = "hoist> ";
/// The prompt of lines that are only told.
const PLAN_PROMPT: &str = "plan> ";
/// How many lines are kept.
const HISTORY: usize = 10_000;

type LineEditor = Editor<Assistant, DefaultHistory>;

/// Talks with a person until they leave, and returns the exit code. `interrupt` is told what the next Ctrl-C cancels.
pub fn run(session: &Session, interrupt: &dyn Fn(Context)) -> Result<u8> {
    let conversation = Rc::new(RefCell::new(Conversation::new(session, Pager::new())));
    let mut editor = editor(&conversation).map_err(|cause| broken(&cause))?;
    let mut history = History::of(session, &mut editor);
    let code = converse(&mut editor, &mut history, &conversation, session, interrupt)?;
    editor.set_helper(None);
    if let Some(conversation) = Rc::into_inner(conversation) {
        conversation.into_inner().close();
    }
    Ok(code)
}

fn editor(conversation: &Rc<RefCell<Conversation>>) -> rustyline::Result<LineEditor> {
    let is_plain = variable("NO_COLOR").is_some() || !io::stdout().is_terminal();
    let settings = rustyline::Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .color_mode(if is_plain {
            ColorMode::Disabled
        } else {
            ColorMode::Enabled
        })
        .build();
    let mut editor = Editor::with_config(settings)?;
    editor.set_helper(Some(Assistant {
        manual: OnceCell::new(),
        conversation: conversation.clone(),
        history: HistoryHinter::new(),
        is_plain,
    }));
    Ok(editor)
}

fn broken(cause: &ReadlineError) -> Error {
    Error::internal(format!("failed to read from the terminal: {cause}"))
}

/// The file of what was typed, which several conversations add to, each line as it comes.
struct History {
    path: Option<PathBuf>,
    session: Session,
}

impl History {
    /// What a person types at a terminal is kept; what comes from a pipe is not.
    fn of(session: &Session, editor: &mut LineEditor) -> History {
        let path = Config::history_file().filter(|_| io::stdin().is_terminal());
        let mut history = History {
            session: session.clone(),
            path: None,
        };
        if let Some(path) = path {
            match open(editor, &path) {
                Ok(()) => history.path = Some(path),
                Err(cause) => history.give_up(&path, &cause),
            }
        }
        history
    }

    fn give_up(&mut self, path: &Path, cause: &ReadlineError) {
        let words = format!("failed to keep the history in `{}`: {cause}", path.display());
        self.session.log(Level::Warn, &words);
        self.path = None;
    }

    /// Adds a line, without its passwords.
    fn add(&mut self, editor: &mut LineEditor, line: &str) {
        let is_new = editor.add_history_entry(masked(line)).unwrap_or(false);
        let Some(path) = self.path.clone().filter(|_| is_new) else {
            return;
        };
        if let Err(cause) = editor.append_history(&path) {
            self.give_up(&path, &cause);
        }
    }
}

/// Reads the file, which is made first if it is not there: who adds to a file that is there leaves the lines of others in it.
fn open(editor: &mut LineEditor, path: &Path) -> rustyline::Result<()> {
    if let Some(directory) = path.parent() {
        file::make_private_dir(directory)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    editor.load_history(path)
}

fn converse(
    editor: &mut LineEditor,
    history: &mut History,
    conversation: &RefCell<Conversation>,
    session: &Session,
    interrupt: &dyn Fn(Context),
) -> Result<u8> {
    loop {
        let prompt = match io::stdin().is_terminal() {
            true if conversation.borrow().is_planning() => PLAN_PROMPT,
            true => PROMPT,
            // Nobody reads it.
            false => "",
        };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(cause) => return Err(broken(&cause)),
        };
        history.add(editor, &line);
        let context = session.root_context().child();
        interrupt(context.clone());
        let next = conversation.borrow_mut().feed(&line, &context);
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
    manual: OnceCell<Manual>,
    conversation: Rc<RefCell<Conversation>>,
    history: HistoryHinter,
    is_plain: bool,
}

impl Assistant {
    fn manual(&self) -> &Manual {
        self.manual.get_or_init(Manual::read)
    }
}

impl Helper for Assistant {}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, at: usize) -> Cow<'l, str> {
        if self.is_plain || line.starts_with(':') {
            return Cow::Borrowed(line);
        }
        Cow::Owned(highlighter::highlight(line, at))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.is_plain {
            true => Cow::Borrowed(hint),
            false => Cow::Owned(highlighter::faint(hint)),
        }
    }

    fn highlight_char(&self, _line: &str, _at: usize, _kind: CmdKind) -> bool {
        !self.is_plain
    }
}

impl Completion for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let conversation = self.conversation.borrow();
        let (start, found) = completer::complete(self.manual(), &*conversation, &line[..at]);
        let pairs = found.into_iter().map(|one| Pair {
            display: one.label,
            replacement: one.text,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = Hint;

    fn hint(&self, line: &str, at: usize, context: &rustyline::Context<'_>) -> Option<Hint> {
        // Without colours a hint cannot be told from what was typed.
        if at < line.len() || line.trim().is_empty() || self.is_plain {
            return None;
        }
        let typed_before = self.history.hint(line, at, context).filter(|rest| !rest.contains('\n'));
        if let Some(text) = typed_before {
            return Some(Hint { text, is_input: true });
        }
        let conversation = self.conversation.borrow();
        let variable = |name: &str| conversation.variable(name);
        let types = Types {
            manual: self.manual(),
            variable: &variable,
        };
        hinter::signature(self.manual(), line, |cursor, call| {
            completer::callee(&types, &cursor.before, call)
        })
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let is_complete =
            command::parse(input).is_some() || !self.conversation.borrow().interpreter().is_incomplete(input);
        Ok(match is_complete {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}
