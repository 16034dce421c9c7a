//! `cli::`: what commands can do that scripts cannot. Commands are scripts, too (`stdlib/commands`, and those of users); only they see
//! this namespace, since it takes over the streams and signals of the process.
//!
//! What it does to containers goes through the rules of the functions that scripts call for the same.

mod columns;
mod complaint;
mod flags;
mod logs;
mod objects;
mod talk;
mod words;

use std::sync::{Mutex, PoisonError};

use rhai::{Engine, export_module, exported_module};

use crate::runtime::Conversation;

pub use complaint::said;
pub use flags::{options, parameters};

/// The command that runs.
pub struct Invoked {
    /// What people call the program: `hoist`, or `docker` where Docker's command line is taken.
    pub program: &'static str,
    /// The command's name.
    pub name: String,
    /// The signals of this process, where the command is to pass them on.
    pub conversation: Mutex<Option<Conversation>>,
}

impl Invoked {
    /// A command.
    pub fn new(program: &'static str, name: &str, conversation: Option<Conversation>) -> Invoked {
        Invoked {
            program,
            name: name.to_owned(),
            conversation: Mutex::new(conversation),
        }
    }

    /// Whether Docker's own command line was given.
    pub fn is_docker(&self) -> bool {
        self.program == "docker"
    }

    /// Whether it passes signals on.
    pub fn converses(&self) -> bool {
        self.conversation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn take_conversation(&self) -> Option<Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The namespace that only commands see.
pub const NAMESPACE: &str = "cli";

/// Gives an engine the namespace.
pub fn register(engine: &mut Engine) {
    engine.register_static_module(NAMESPACE, exported_module!(functions).into());
}

/// The names of its functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    functions::RHAI_MANIFEST.functions.iter().map(|function| function.name)
}

/// What commands can do.
#[export_module(manifest)]
pub mod functions {
    use super::{columns, complaint, logs, objects, talk, words};
    use crate::bindings::closure;
    use crate::bindings::duration::Duration;
    use crate::bindings::prelude::*;
    use crate::bindings::subject;
    use crate::bindings::time::Time;
    use crate::bindings::value::to_json;
    use crate::host::Container;

    /// Prints rows, maps by the names of Docker's templates, as `format` says: `()` or `table` for columns, `json` for a document
    /// each, or a template. `headers` has the heading of each name, `usual` the template of the columns.
    #[rhai_fn(return_raw)]
    pub fn table(ctx: NativeCallContext, rows: Array, headers: Map, usual: &str, format: Dynamic) -> Scripted<()> {
        native(&ctx, |session| columns::table(session, &rows, headers, usual, &format))
    }

    /// Whether a template names a field, or is not given; what takes long is looked up only then.
    pub fn wants(format: Dynamic, field: &str) -> bool {
        format
            .into_string()
            .is_ok_and(|format| format.contains(field) || format == "json")
    }

    /// Prints what a template makes of a value; the value as JSON where there is none.
    #[rhai_fn(return_raw)]
    pub fn render(ctx: NativeCallContext, value: Dynamic, format: Dynamic) -> Scripted<()> {
        native(&ctx, |session| columns::render(session, &value, &format))
    }

    /// Prints text without adding a line break.
    #[rhai_fn(return_raw)]
    pub fn write(ctx: NativeCallContext, text: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.print(text);
            Ok(())
        })
    }

    /// Says a line on standard error.
    #[rhai_fn(return_raw)]
    pub fn say(ctx: NativeCallContext, line: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.settings().console.talk(line);
            Ok(())
        })
    }

    /// Says a line on standard error if a person reads it there.
    #[rhai_fn(return_raw)]
    pub fn hint(ctx: NativeCallContext, line: &str) -> Scripted<()> {
        native(&ctx, |session| {
            let console = &session.settings().console;
            if console.has_status() {
                console.talk(line);
            }
            Ok(())
        })
    }

    /// Says what is wrong and ends the command with 1.
    #[rhai_fn(return_raw)]
    pub fn fail(ctx: NativeCallContext, line: &str) -> Scripted<()> {
        fail_with(ctx, line, 1)
    }

    /// Says what is wrong and ends the command with this code.
    #[rhai_fn(name = "fail", return_raw)]
    pub fn fail_with(ctx: NativeCallContext, line: &str, code: INT) -> Scripted<()> {
        let session = Session::of(&ctx);
        session.settings().console.talk(line);
        Err(complaint::end(&session, u8::try_from(code).unwrap_or(1)))
    }

    /// Says an error in Docker's words.
    #[rhai_fn(return_raw)]
    pub fn complain(ctx: NativeCallContext, error: Dynamic) -> Scripted<()> {
        native(&ctx, |session| {
            complaint::complain(session, &error);
            Ok(())
        })
    }

    /// Calls a closure with each item; says what goes wrong with one, goes on with the next, and then ends the command with 1.
    #[rhai_fn(return_raw)]
    pub fn each(ctx: NativeCallContext, items: Array, closure: FnPtr) -> Scripted<()> {
        let session = Session::of(&ctx);
        let mut failed = None;
        for item in items {
            if let Err(thrown) = closure::call(&ctx, &closure, (item,)) {
                failed = failed.max(Some(complaint::code(&thrown, 1)));
                complaint::or_unwind(&session, thrown, false)?;
            }
        }
        match failed {
            Some(code) => Err(complaint::end(&session, code)),
            None => Ok(()),
        }
    }

    /// Calls a closure; says what goes wrong, and ends the command with Docker's code for it: 127 and 126 for a program that is not
    /// there or cannot be executed, `code` for all else.
    #[rhai_fn(return_raw)]
    pub fn guard(ctx: NativeCallContext, code: INT, closure: FnPtr) -> Scripted<Dynamic> {
        let session = Session::of(&ctx);
        closure::call(&ctx, &closure, ()).or_else(|thrown| {
            let usual = u8::try_from(code).unwrap_or(1);
            let code = complaint::code(&thrown, usual);
            complaint::or_unwind(&session, thrown, usual == complaint::NOT_REACHED)?;
            Err(complaint::end(&session, code))
        })
    }

    /// What people call the program: `hoist` or `docker`.
    #[rhai_fn(return_raw)]
    pub fn program(ctx: NativeCallContext) -> Scripted<String> {
        native(&ctx, |session| Ok(session.invoked()?.program.to_owned()))
    }

    /// Conditions such as `status=exited`, as a map of names and arrays of values. Throws `invalid` for a name not among `known`.
    #[rhai_fn(return_raw)]
    pub fn filters(ctx: NativeCallContext, conditions: Array, known: Array) -> Scripted<Map> {
        native(&ctx, |_| words::filters(&conditions, &known))
    }

    /// Whether labels have `name` or `name=value`.
    pub fn has_label(labels: Map, condition: &str) -> bool {
        words::has_label(&labels, condition)
    }

    /// Labels as `a=1,b=2`.
    pub fn labels(labels: Map) -> String {
        words::labels(&labels)
    }

    /// How long ago: `3 minutes ago`.
    pub fn ago(time: Time) -> String {
        words::ago(time)
    }

    /// `Up 3 minutes (healthy)`, `Exited (1) 2 hours ago`.
    pub fn status(container: Container) -> String {
        words::status(&container)
    }

    /// A command in one line, in quotes, cut short unless told otherwise.
    pub fn command(command: Array, whole: bool) -> String {
        words::command(&command, whole)
    }

    /// The beginning of a text.
    pub fn short(text: &str, length: INT) -> String {
        words::short(text, usize::try_from(length).unwrap_or(0))
    }

    /// Bytes with so many digits: `2.065MB`.
    pub fn size(bytes: INT, digits: INT) -> String {
        words::size(u64::try_from(bytes).unwrap_or(0), usize::try_from(digits).unwrap_or(3))
    }

    /// Whether a person says yes; `true` without being asked if `already`.
    #[rhai_fn(return_raw)]
    pub fn confirm(ctx: NativeCallContext, warning: &str, already: bool) -> Scripted<bool> {
        native(&ctx, |session| complaint::confirm(session, warning, already))
    }

    /// A password or a token: what standard input has, or what is typed after a question and not shown.
    #[rhai_fn(return_raw)]
    pub fn secret(ctx: NativeCallContext, question: Dynamic) -> Scripted<String> {
        native(&ctx, |session| {
            let question = question.into_string().ok();
            session
                .settings()
                .console
                .secret(&session.context(), question.as_deref())
        })
    }

    /// Whether data goes to a terminal.
    #[rhai_fn(return_raw)]
    pub fn is_terminal(ctx: NativeCallContext) -> Scripted<bool> {
        native(&ctx, |session| Ok(session.settings().console.shows_data()))
    }

    /// Whether JSON is asked for, by the command's flag or the program's.
    #[rhai_fn(return_raw)]
    pub fn wants_json(ctx: NativeCallContext, format: Dynamic) -> Scripted<bool> {
        native(&ctx, |session| {
            Ok(matches!(columns::wish(session, &format).as_str(), "json" | "jsonl"))
        })
    }

    /// Whether a command shows its usual columns alone; what the others would have need not be looked up then.
    #[rhai_fn(return_raw)]
    pub fn is_usual(ctx: NativeCallContext, format: Dynamic) -> Scripted<bool> {
        native(&ctx, |session| Ok(columns::wish(session, &format).is_empty()))
    }

    /// Prints what is known of containers and images by their names, those of one kind if it is named, as `format` says.
    #[rhai_fn(return_raw)]
    pub fn inspect(ctx: NativeCallContext, names: Array, kind: &str, format: Dynamic) -> Scripted<()> {
        let session = Session::of(&ctx);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        match native(&ctx, |session| objects::inspect(session, &names, kind, &format))? {
            true => Ok(()),
            false => Err(complaint::end(&session, 1)),
        }
    }

    /// The repository and the tag of an image's name.
    pub fn parts(name: &str) -> Array {
        words::parts(name)
    }

    /// The whole name of an image.
    #[rhai_fn(return_raw)]
    pub fn full_name(ctx: NativeCallContext, name: &str) -> Scripted<String> {
        native(&ctx, |_| Ok(name.parse::<crate::model::Reference>()?.to_string()))
    }

    /// Variables as they were given, or for a name alone as they are here.
    pub fn environment(given: Array) -> Array {
        let set = given
            .iter()
            .filter_map(|word| crate::config::setting(&word.to_string()));
        set.map(Dynamic::from).collect()
    }

    /// An amount of time as `hours:minutes:seconds`.
    pub fn clock(time: Duration) -> String {
        let seconds = time.signed().as_secs();
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// A share of a hundred.
    pub fn percent(share: FLOAT) -> String {
        format!("{share:.2}%")
    }

    /// Bytes in powers of 1024: `23.54GiB`.
    pub fn memory(bytes: INT) -> String {
        words::memory(u64::try_from(bytes).unwrap_or(0))
    }

    /// A time as nanoseconds since 1970.
    pub fn nanos(time: Time) -> INT {
        INT::try_from(time.timestamp().as_nanosecond()).unwrap_or(INT::MAX)
    }

    /// The version of the program.
    pub fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// The processor's kind, as registries name it.
    pub fn architecture() -> String {
        crate::model::Platform::host().architecture.clone()
    }

    /// What is typed after a question. Throws `invalid` where nobody is there.
    #[rhai_fn(return_raw)]
    pub fn ask(ctx: NativeCallContext, question: &str) -> Scripted<String> {
        native(&ctx, |session| complaint::ask(session, question))
    }

    /// Runs a command in a new container in front of the person, and returns its exit code.
    #[rhai_fn(return_raw)]
    pub fn run(ctx: NativeCallContext, image: &str, command: Dynamic, options: Map, manner: Map) -> Scripted<INT> {
        native(&ctx, |session| {
            talk::run(session, image, subject::command(&command)?, options, manner)
        })
    }

    /// Runs a command in a container in front of the person, and returns its exit code.
    #[rhai_fn(return_raw)]
    pub fn exec(ctx: NativeCallContext, name: &str, command: Dynamic, options: Map, manner: Map) -> Scripted<INT> {
        native(&ctx, |session| {
            talk::exec(session, name, subject::command(&command)?, options, manner)
        })
    }

    /// Talks with the program of a container, and returns its exit code.
    #[rhai_fn(return_raw)]
    pub fn attach(ctx: NativeCallContext, name: &str, manner: Map) -> Scripted<INT> {
        native(&ctx, |session| talk::attach(session, name, manner))
    }

    /// Starts a container and talks with its program, and returns its exit code.
    #[rhai_fn(return_raw)]
    pub fn start(ctx: NativeCallContext, name: &str, manner: Map) -> Scripted<INT> {
        native(&ctx, |session| talk::start(session, name, manner))
    }

    /// Shows what a container wrote, each output on its own here.
    #[rhai_fn(return_raw)]
    pub fn logs(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| logs::show(session, name, options))
    }

    /// A value as a line of JSON, as Docker writes it.
    #[rhai_fn(return_raw)]
    pub fn json(ctx: NativeCallContext, value: Dynamic) -> Scripted<String> {
        native(&ctx, |_| Ok(columns::line(&to_json(&value)?)))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_is_told_of() {
        let docs = include_str!("../../../docs/commands.md");
        let own = include_str!("mod.rs");
        let names = regex::Regex::new(r"(?m)^    pub fn (\w+)\(").unwrap();
        let functions = own.split("pub mod functions").nth(1).unwrap();
        for name in names.captures_iter(functions).map(|found| found[1].to_owned()) {
            let name = name.trim_end_matches("_with");
            assert!(
                docs.contains(&format!("cli::{name}(")),
                "docs/commands.md does not tell of `cli::{name}`"
            );
        }
    }
}
