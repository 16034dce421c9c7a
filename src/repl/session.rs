//! What the prompt does with a line: evaluates it, or follows an order such as `:plan on`. It needs no terminal.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::command::{self, Order};
use super::completer::{Suggestion, World};
use super::docker;
use super::names::{Named, Names};
use super::pager::Pager;
use super::record::Record;
use crate::bindings::object::Object;
use crate::bindings::{Session, duration, table};
use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use crate::script::catalogue::catalogue;
use crate::script::interactive::{Interactive, LAST, Reply, Value};
use crate::script::runner::Source;
use crate::script::{masked, reference};

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
    /// What lines go to while they are only told.
    planning: Option<Planning>,
    record: Record,
    /// The script that the record was written to.
    saved: Option<PathBuf>,
    names: Names,
    pager: Option<Pager>,
}

/// A dry run beside the conversation.
struct Planning {
    session: Session,
    interpreter: Interactive,
    /// How many of its actions were told.
    told: usize,
}

impl Conversation {
    pub(super) fn new(session: &Session, pager: Option<Pager>) -> Conversation {
        Conversation {
            session: session.clone(),
            interpreter: Interactive::new(session),
            planning: None,
            record: Record::default(),
            saved: None,
            names: Names::default(),
            pager,
        }
    }

    /// What was said so far, for completion and for input of several lines.
    pub(super) fn interpreter(&self) -> &Interactive {
        self.planning
            .as_ref()
            .map_or(&self.interpreter, |planning| &planning.interpreter)
    }

    fn session(&self) -> &Session {
        self.planning
            .as_ref()
            .map_or(&self.session, |planning| &planning.session)
    }

    /// Whether lines are only told.
    pub(super) fn is_planning(&self) -> bool {
        self.planning.is_some()
    }

    /// Does what a complete input says under `context`.
    pub(super) fn feed(&mut self, input: &str, context: &Context) -> Next {
        match command::parse(input) {
            _ if input.trim().is_empty() => Next::Continue,
            None => self.evaluate(input, context),
            Some(Ok(Order::Quit)) => Next::Leave(0),
            Some(Ok(Order::Time(line))) => {
                let start = Instant::now();
                let next = self.feed(&line, context);
                let took = i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX);
                self.talk(&format!("took {}", duration::Duration::from_micros(took).text()));
                next
            }
            Some(Ok(Order::Load(path))) => self.load(&path, context),
            Some(order) => {
                if let Err(error) = order.and_then(|order| self.follow(order, context)) {
                    self.complain(&error);
                }
                Next::Continue
            }
        }
    }

    fn evaluate(&mut self, input: &str, context: &Context) -> Next {
        self.names.forget();
        self.session.begin_run();
        let reply = match &mut self.planning {
            Some(planning) => planning.interpreter.evaluate(input, context.clone()),
            None => self.interpreter.evaluate(input, context.clone()),
        };
        if let (Reply::Value(value), None) = (&reply, &self.planning) {
            self.record.add(input, !value.is_nothing());
        }
        self.answer(input, reply, context)
    }

    fn load(&mut self, path: &str, context: &Context) -> Next {
        let source = match Source::file(Path::new(path)) {
            Ok(source) => source,
            Err(error) => {
                self.complain(&error);
                return Next::Continue;
            }
        };
        let reply = match &mut self.planning {
            Some(planning) => planning.interpreter.run(&source, context.clone()),
            None => self.interpreter.run(&source, context.clone()),
        };
        if let (Reply::Value(value), None) = (&reply, &self.planning) {
            self.record.add(&source.code, !value.is_nothing());
        }
        self.answer("", reply, context)
    }

    fn answer(&mut self, input: &str, reply: Reply, context: &Context) -> Next {
        match reply {
            Reply::Value(value) => self.print_value(context, &value),
            Reply::Error(report) => {
                self.talk(&report);
                if let Some(line) = docker::command(input).or_else(|| docker::missing(&report).map(str::to_owned)) {
                    self.talk(&format!("help: here that is {line}"));
                }
            }
            Reply::Exit(code) => return Next::Leave(code),
        }
        self.tell_plan();
        Next::Continue
    }

    fn print_value(&self, context: &Context, value: &Value) {
        match value.show(self.session.settings().format) {
            Ok(text) => self.print(context, &text),
            Err(error) => self.complain(&error),
        }
    }

    fn print(&self, context: &Context, text: &str) {
        match self.pager.as_ref().map(|pager| pager.show(context, text)) {
            Some(Ok(true)) => {}
            Some(Err(error)) => {
                self.complain(&error);
                self.session.print(text);
            }
            _ => self.session.print(text),
        }
    }

    fn follow(&mut self, order: Order, context: &Context) -> Result<()> {
        match order {
            Order::Help(name) => self.help(&name, context)?,
            Order::Plan(true) => self.start_planning()?,
            Order::Plan(false) => self.end_planning()?,
            Order::Save(path) => self.save(&path)?,
            Order::Reset => self.reset(),
            Order::Time(_) | Order::Load(_) | Order::Quit => {}
        }
        Ok(())
    }

    /// Help for what has a manual; for a variable, for what it is.
    fn help(&self, name: &str, context: &Context) -> Result<()> {
        if name == "docker" {
            self.print(context, &docker::list());
            return Ok(());
        }
        if let Some(line) = docker::meaning(name) {
            self.session.print(&format!("Docker's `{name}` is {line}\n"));
            if !catalogue().functions().iter().any(|function| function.name == name) {
                return Ok(());
            }
        }
        let kind = self.interpreter().variable(name).map(|value| value.kind());
        let found = match &kind {
            Some(kind) => reference::help(kind),
            None => reference::help(name),
        };
        let text = found.map_err(|error| match error.way_out() {
            Some(hint) => {
                let hint = hint.replace("`hoist doc`", "`help`");
                Error::new(error.kind(), error.message()).hint(hint)
            }
            None => error,
        })?;
        let text = text.replace("`hoist doc ", "`help ");
        let commands = if name.is_empty() {
            command::list() + "\n"
        } else {
            String::new()
        };
        self.print(context, &format!("{commands}{text}\n"));
        Ok(())
    }

    fn start_planning(&mut self) -> Result<()> {
        if self.session.plan().is_some() {
            return Err(Error::conflict("all of this is a dry run already"));
        }
        if self.planning.is_none() {
            let session = self.session.imagined();
            self.planning = Some(Planning {
                interpreter: self.interpreter.moved(&session)?,
                session,
                told: 0,
            });
        }
        self.talk(
            "what lines would do is told, and not done; `:plan off` ends that, and forgets what was defined meanwhile",
        );
        Ok(())
    }

    fn end_planning(&mut self) -> Result<()> {
        let Some(planning) = self.planning.take() else {
            return Err(Error::conflict("lines are done as they are").hint("`:plan on` has them only told"));
        };
        if let Some(report) = planning.interpreter.close() {
            self.talk(&report);
        }
        self.talk("lines are done again");
        Ok(())
    }

    /// Tells what the line just run would have done.
    fn tell_plan(&mut self) {
        let Some(planning) = &mut self.planning else { return };
        let actions = planning
            .session
            .plan()
            .map(crate::host::Plan::actions)
            .unwrap_or_default();
        let new = &actions[planning.told.min(actions.len())..];
        let text = (!new.is_empty()).then(|| format!("would be done:\n{}", table::show_plan(new).trim_end()));
        planning.told = actions.len();
        if let Some(text) = text {
            self.talk(&text);
        }
    }

    fn save(&mut self, path: &str) -> Result<()> {
        if self.record.len() == 0 {
            return Err(Error::not_found("no line has worked yet"));
        }
        let script = self.record.script();
        let what = || format!("write the script `{path}`");
        let is_own = self.saved.as_deref() == Some(Path::new(path));
        let mut options = OpenOptions::new();
        // There may be a password in it.
        options
            .write(true)
            .mode(0o600)
            .truncate(is_own)
            .create(is_own)
            .create_new(!is_own);
        let mut file = options.open(path).during(what)?;
        file.write_all(script.as_bytes()).during(what)?;
        self.saved = Some(PathBuf::from(path));
        self.talk(&format!(
            "{} lines are in `{path}`: `hoist run {path}` runs them",
            self.record.len()
        ));
        if masked(&script) != script {
            self.talk("warn: there is a password in it");
        }
        Ok(())
    }

    fn reset(&mut self) {
        let fresh = Interactive::new(self.session());
        let old = match &mut self.planning {
            Some(planning) => std::mem::replace(&mut planning.interpreter, fresh),
            None => {
                self.record.clear();
                std::mem::replace(&mut self.interpreter, fresh)
            }
        };
        if let Some(report) = old.close() {
            self.talk(&report);
        }
    }

    fn complain(&self, error: &Error) {
        self.talk(&format!("error: {error}"));
        if let Some(hint) = error.way_out() {
            self.talk(&format!("help: {hint}"));
        }
    }

    fn talk(&self, line: &str) {
        self.session.settings().console.talk(line);
    }

    /// Runs what was deferred and removes temporary files.
    pub(super) fn close(self) {
        let console = self.session.settings().console.clone();
        let planned = self.planning.and_then(|planning| planning.interpreter.close());
        for report in planned.into_iter().chain(self.interpreter.close()) {
            console.talk(&report);
        }
    }
}

impl World for Conversation {
    fn variables(&self) -> Vec<String> {
        let mut names = self.interpreter().variables();
        names.retain(|name| name != LAST);
        names
    }

    fn variable(&self, name: &str) -> Option<Value> {
        self.interpreter().variable(name)
    }

    fn names(&self, named: Named, word: &str) -> Vec<Suggestion> {
        self.names.find(self.session(), named, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn talk(lines: &[&str]) -> (String, Vec<String>, Next) {
        let (session, console) = testing::session(false);
        let mut conversation = Conversation::new(&session, None);
        let mut next = Next::Continue;
        for line in lines {
            next = conversation.feed(line, &Context::new());
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
            "_ + 1",
        ];
        let (data, talk, _) = talk(&lines);
        assert_eq!((data.as_str(), talk), ("42\n22\n23\n", vec![]));
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
        assert!(talk[1].contains("let y = ;\n") && talk[1].contains('^'), "{talk:?}");
        assert_eq!(next, Next::Continue);
    }

    #[test]
    fn leaving_and_help() {
        assert_eq!(talk(&["exit"]).2, Next::Leave(0));
        assert_eq!(talk(&[":quit"]).2, Next::Leave(0));
        assert_eq!(talk(&["exit(3)"]).2, Next::Leave(3));
        for line in ["help fs::read", "help(fs::read)", ":help fs::read", ":doc fs::read"] {
            assert!(talk(&[line]).0.contains("The text of a file."), "{line}");
        }
        let overview = talk(&[":help"]).0;
        assert!(
            overview.contains(":plan on|off") && overview.contains("`help fs`"),
            "{overview}"
        );
        assert!(
            talk(&["let since = 1.hours;", "help since"])
                .0
                .contains("Duration.days")
        );
        assert!(
            talk(&["help fs::raed"])
                .1
                .contains(&"help: did you mean `fs::read`?".to_owned())
        );
        assert_eq!(talk(&["defer(|| print(\"bye\"))", "exit"]).0, "bye\n");
    }

    #[test]
    fn words_of_docker_lead_to_what_they_are_here() {
        assert!(talk(&["help docker"]).0.contains("  ps        container::list()"));
        assert!(talk(&["help ps"]).0.starts_with("Docker's `ps` is container::list()"));
        for (line, help) in [
            (
                "docker ps -a",
                "help: here that is container::list(), container::list(#{all: true})",
            ),
            ("rmi x", "help: here that is image::remove(\"IMAGE\")"),
            (
                "container::logs(\"x\")",
                "help: here that is container::get(\"NAME\").logs(), .follow(|line| print(line))",
            ),
            ("[1].rm()", "help: here that is container::get(\"NAME\").remove()"),
        ] {
            assert!(
                talk(&[line]).1.contains(&help.to_owned()),
                "{line}: {:?}",
                talk(&[line]).1
            );
        }
    }

    #[test]
    fn a_cancelled_line_leaves_the_next_one_alone() {
        let (session, console) = testing::session(false);
        let mut conversation = Conversation::new(&session, None);
        let cancelled = Context::new();
        cancelled.cancel();
        conversation.feed("loop {}", &cancelled);
        conversation.feed("1 + 1", &Context::new());
        assert_eq!(console.data(), "2\n");
    }

    #[test]
    fn under_a_plan_files_stay_and_so_do_variables() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new");
        let write = format!("fs::write(\"{}\", \"text\"); let x = x + 1; x", file.display());
        let read = format!("fs::read(\"{}\")", file.display());
        let (data, talk, _) = talk(&["let x = 1;", ":plan on", &write, &read, ":plan off", "x", ":plan off"]);
        assert_eq!(data, "2\ntext\n1\n");
        assert!(!file.exists());
        assert!(
            talk[1].starts_with("would be done:\n") && talk[1].contains("fs::write"),
            "{talk:?}"
        );
        assert_eq!(talk.len(), 5, "{talk:?}");
    }

    #[test]
    fn lines_are_saved_loaded_timed_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("saved.rhai");
        let (save, load) = (format!(":save {}", file.display()), format!(":load {}", file.display()));
        let (data, talk, _) = talk(&[
            "let x = 20;",
            "nonsense",
            "x + 1",
            "_ * 2",
            &save,
            ":reset",
            "x",
            &load,
            "x",
            ":time x",
        ]);
        assert_eq!(data, "21\n42\n42\n20\n20\n");
        assert!(talk[1].contains("3 lines are in"), "{talk:?}");
        assert!(talk[2].contains("no variable `x`"), "{talk:?}");
        assert!(talk[3].starts_with("took "), "{talk:?}");
        let script = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            script,
            "let last_value = ();\nlet x = 20;\nlast_value = x + 1;\nlast_value * 2;\n"
        );
    }
}
