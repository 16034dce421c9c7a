//! An uncaught error as a person reads it: what, where, the line with a caret, and the way out.

use std::fmt;

use rhai::{Engine, EvalAltResult, Position};
use serde_json::Value;

use super::runner::Source;
use super::{explain, mask};
use crate::bindings::failure::Failure;
use crate::error::Error;

/// Characters of a source line that are shown.
const WIDEST: usize = 100;
/// Calls that are shown of a trace.
const LONGEST_TRACE: usize = 10;

/// A report about one error.
#[derive(Debug)]
pub struct Diagnostic {
    title: String,
    kind: &'static str,
    message: String,
    place: Option<Place>,
    trace: Vec<String>,
    hint: Option<String>,
}

#[derive(Debug)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    /// The line as it is shown, and the column in it.
    text: Option<(String, usize)>,
}

impl Diagnostic {
    /// The report for an error that a script did not catch.
    pub fn of(thrown: &EvalAltResult, source: &Source, engine: &Engine) -> Diagnostic {
        let (inner, mut file, trace) = unwind(thrown, &source.name);
        let own = own_failure(inner);
        if let Some(script) = own.as_ref().and_then(Failure::script) {
            script.clone_into(&mut file);
        }
        let code = match file == source.name {
            true => Some(source.code.clone()),
            false => std::fs::read_to_string(&file).ok(),
        };
        let position = own
            .as_ref()
            .map(Failure::position)
            .filter(|position| !position.is_none());
        let place = place(position.unwrap_or_else(|| inner.position()), &file, code.as_deref());
        let mut diagnostic = match own {
            Some(failure) => Diagnostic::error(failure.error()),
            None => {
                let (message, hint) = explain::explain(inner, engine, code.as_deref().unwrap_or_default());
                Diagnostic::new("error", kind(inner), &message, hint)
            }
        };
        diagnostic.place = place;
        diagnostic.trace = trace;
        diagnostic
    }

    /// The report for an error that is in no script.
    pub fn error(error: &Error) -> Diagnostic {
        let title = format!("error[{}]", error.kind());
        let hint = error.way_out().map(str::to_owned);
        Diagnostic::new(&title, error.kind().name(), error.message(), hint)
    }

    pub(super) fn new(title: &str, kind: &'static str, message: &str, hint: Option<String>) -> Diagnostic {
        Diagnostic {
            title: title.to_owned(),
            kind,
            message: message.to_owned(),
            place: None,
            trace: Vec::new(),
            hint,
        }
    }

    /// The same, at a place in a script.
    pub(super) fn at(mut self, source: &Source, line: usize, column: usize) -> Diagnostic {
        self.place = Some(shown(&source.name, Some(&source.code), line, column));
        self
    }

    /// It as one object: `kind`, `message`, `file`, `line`, `column`, `hint`, and `chain`, the calls that led there.
    pub fn json(&self) -> Value {
        let place = self.place.as_ref();
        serde_json::json!({
            "kind": self.kind,
            "message": self.message,
            "file": place.map(|place| &place.file),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "hint": self.hint,
            "chain": self.trace,
        })
    }
}

/// The word for an error that is not one of ours.
fn kind(thrown: &EvalAltResult) -> &'static str {
    match thrown {
        EvalAltResult::ErrorParsing(..) => "syntax",
        EvalAltResult::ErrorRuntime(..) => "thrown",
        _ => "script",
    }
}

/// The error of ours that was thrown, if it is one.
fn own_failure(thrown: &EvalAltResult) -> Option<Failure> {
    match thrown {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => value.clone().try_cast(),
        _ => None,
    }
}

/// The innermost error, the file it is in, and the calls that led there, innermost first.
fn unwind<'a>(thrown: &'a EvalAltResult, main: &str) -> (&'a EvalAltResult, String, Vec<String>) {
    let mut file = main.to_owned();
    let mut trace = Vec::new();
    let mut error = thrown;
    loop {
        let (step, next_file, inner, position) = match error {
            EvalAltResult::ErrorInFunctionCall(name, source, inner, position) => {
                let step = if name.starts_with("anon$") {
                    "the closure".to_owned()
                } else {
                    format!("`{name}`")
                };
                (step, source, inner, position)
            }
            EvalAltResult::ErrorInModule(path, inner, position) => {
                (format!("the import of `{path}`"), path, inner, position)
            }
            _ => break,
        };
        if let Some(line) = position.line() {
            trace.insert(
                0,
                format!(
                    "in {step}, called at {file}:{line}:{}",
                    position.position().unwrap_or(1)
                ),
            );
        }
        if !next_file.is_empty() {
            file.clone_from(next_file);
        }
        error = inner;
    }
    (error, file, trace)
}

fn place(position: Position, file: &str, code: Option<&str>) -> Option<Place> {
    Some(shown(file, code, position.line()?, position.position().unwrap_or(1)))
}

fn shown(file: &str, code: Option<&str>, line: usize, column: usize) -> Place {
    let text = code.and_then(|code| mask::line(code, line, column));
    Place {
        file: file.to_owned(),
        line,
        column,
        text: text.map(|(text, place)| (text.replace('\t', " "), place)),
    }
}

/// How many characters the caret underlines: the word at the position, with its `::` parts and what it is called on.
fn width(text: &str, column: usize) -> usize {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let letters: Vec<char> = text.chars().skip(column - 1).collect();
    let mut width = letters.iter().take_while(|c| is_name(c)).count();
    while letters[width..].starts_with(&[':', ':']) {
        width += 2 + letters[width + 2..].iter().take_while(|c| is_name(c)).count();
    }
    width.max(1)
}

/// The part of a long line around a column, and the column in it.
fn window(text: &str, column: usize) -> (String, usize) {
    let start = if text.chars().count() > WIDEST {
        (column - 1).saturating_sub(WIDEST / 2)
    } else {
        0
    };
    (text.chars().skip(start).take(WIDEST).collect(), column - start)
}

/// The trace without the middle of a long one, as a recursion leaves it.
fn shortened(trace: &[String]) -> Vec<String> {
    if trace.len() <= LONGEST_TRACE {
        return trace.to_vec();
    }
    let (first, last) = (&trace[..LONGEST_TRACE / 2], &trace[trace.len() - LONGEST_TRACE / 2..]);
    let left_out = format!("… {} more calls …", trace.len() - first.len() - last.len());
    [first, &[left_out], last].concat()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.message)?;
        if let Some(place) = &self.place {
            place.fmt(f)?;
        }
        for step in shortened(&self.trace) {
            write!(f, "\n  {step}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhelp: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        write!(f, "\n{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        if let Some((text, column)) = &self.text {
            let (text, column) = window(text, *column);
            let indent = " ".repeat(column - 1);
            let carets = "^".repeat(width(&text, column));
            write!(f, "\n{gutter} |\n{} | {text}\n{gutter} | {indent}{carets}", self.line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::script::{runner, testing};

    fn report(code: &str) -> String {
        let (session, _) = testing::session(false);
        runner::run(&session, &runner::Source::text("test.rhai", code))
            .report
            .unwrap()
    }

    #[test]
    fn an_error_of_ours_shows_kind_place_and_way_out() {
        let expected = "error[invalid]: `soon` is not a duration
 --> test.rhai:2:9
  |
2 | let d = duration(\"soon\");
  |         ^^^^^^^^
help: a duration is numbers with units `w d h m s ms us`, such as `7d`, `1h30m` or `500ms`";
        assert_eq!(report("// x\nlet d = duration(\"soon\");"), expected);
    }

    #[test]
    fn the_calls_that_led_there_are_listed() {
        let report = report("fn inner() {\n  throw \"no\"\n}\nfn outer() { inner() }\nouter()");
        let expected = "error: no
 --> test.rhai:2:3
  |
2 |   throw \"no\"
  |   ^^^^^
  in `inner`, called at test.rhai:4:14
  in `outer`, called at test.rhai:5:1";
        assert_eq!(report, expected);
    }

    #[test]
    fn long_lines_and_long_traces_are_cut() {
        let line = report(&format!("let a = [{} nope];", "1, ".repeat(400)));
        assert!(line.lines().all(|line| line.chars().count() < 120), "{line}");
        let rows: Vec<&str> = line.lines().collect();
        let caret = rows[4].find('^').unwrap();
        assert_eq!(&rows[3][caret..caret + 4], "nope", "{line}");
        let deep = report("fn f(n) { f(n + 1) } f(0)");
        assert!(deep.starts_with("error: functions call each other more than"), "{deep}");
        assert!(deep.lines().count() < 20, "{deep}");
    }

    #[test]
    fn a_syntax_error_is_shown_where_it_is() {
        let report = report("let x = 1;\nlet y = ;");
        assert!(report.contains("test.rhai:2:9"), "{report}");
        assert!(report.contains("2 | let y = ;\n  |         ^"), "{report}");
    }

    /// `tests/errors.txt` has scripts and what is said of each, whole. Paths of modules are below the directory of the file.
    #[test]
    fn bad_scripts_are_told_what_is_wrong_with_them() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors.txt");
        let kept = std::fs::read_to_string(&path).unwrap();
        let modules = tempfile::tempdir().unwrap();
        let outer = "import \"inner\" as inner;\nfn read_it(x) {\n    inner::fail(x)\n}\n";
        std::fs::write(modules.path().join("outer.rhai"), outer).unwrap();
        std::fs::write(modules.path().join("inner.rhai"), "fn fail(x) {\n    fs::read(x)\n}\n").unwrap();
        std::fs::write(modules.path().join("broken.rhai"), "let x = 1;\nlet y = ;\n").unwrap();
        let place = format!("{}/", modules.path().display());
        let scripts = kept.split("=== script\n").skip(1);
        let mut now = kept.split("=== script\n").next().unwrap().to_owned();
        for script in scripts.map(|part| part.split("--- error\n").next().unwrap()) {
            let (session, _) = testing::session(false);
            let name = format!("{place}bad.rhai");
            let finished = runner::run(&session, &runner::Source::text(&name, script.trim_end()));
            let report = finished.report.unwrap_or_else(|| "nothing is wrong".to_owned());
            now += &format!("=== script\n{script}--- error\n{}\n", report.replace(&place, ""));
        }
        if now != kept {
            let written = std::env::temp_dir().join("hoist-errors.txt");
            std::fs::write(&written, now).unwrap();
            panic!(
                "errors are told otherwise than tests/errors.txt says: compare it with {}",
                written.display()
            );
        }
    }
}
