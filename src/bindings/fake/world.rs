//! What a test has in the place of the outside: who answers for containers, and what was asked.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhai::{Array, Dynamic, FnPtr, Map};
use serde::Deserialize;

use super::outside::Doubles;
use crate::bindings::failure::{Failure, Scripted};
use crate::bindings::session::Session;
use crate::bindings::value::type_phrase;
use crate::bindings::{options, subject};
use crate::error::{Error, Kind, Result};
use crate::host::{Container, Played};
use crate::model::{Bytes, Pattern};
use crate::runtime::HealthStatus;

/// How a script ended that a test ran.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code.
    pub code: u8,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

/// How a test's script is run, which only the script host knows.
pub type RunScript = Box<dyn Fn(&Session, &Path, Vec<String>, bool) -> Result<Ran> + Send + Sync>;

/// Calls a closure of the test file, wherever its answer is wanted.
pub type CallClosure = Box<dyn Fn(&FnPtr, Dynamic) -> Scripted<Dynamic> + Send + Sync>;

/// The world of one test.
pub struct World {
    directory: PathBuf,
    run_script: RunScript,
    call_closure: Mutex<Option<CallClosure>>,
    fakes: Mutex<Vec<Fake>>,
    calls: Mutex<Array>,
    missing: Mutex<Option<String>>,
    /// Who answers for programs of this machine.
    pub(super) programs: Doubles,
    /// Who answers for other machines.
    pub(super) requests: Doubles,
    /// Closures of a test share its variables: one at a time is called.
    turn: Mutex<()>,
}

/// Who answers.
struct Fake {
    image: (String, Pattern),
    command: (String, Pattern),
    answer: Dynamic,
    /// How often it has answered.
    count: usize,
}

/// What is answered.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Answer {
    code: Option<i32>,
    stdout: Bytes,
    stderr: Bytes,
    health: Option<HealthStatus>,
}

/// A command that is to be played.
struct Call<'a> {
    /// The function that a script called.
    function: &'static str,
    container: &'a Container,
    command: &'a [String],
    options: &'a Map,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call<'_> {
    /// The command as a person writes it: the line given to a shell, or the words.
    fn line(&self) -> String {
        match self.command {
            [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => line.clone(),
            words => words.join(" "),
        }
    }

    fn map(&self) -> Map {
        let words: Array = self.command.iter().cloned().map(Dynamic::from).collect();
        Map::from([
            ("function".into(), self.function.into()),
            ("image".into(), self.container.image().to_owned().into()),
            ("name".into(), self.container.name().to_owned().into()),
            ("cmd".into(), words.into()),
            ("line".into(), self.line().into()),
            ("options".into(), self.options.clone().into()),
        ])
    }
}

impl World {
    /// A world in which nothing is faked. Paths of scripts are taken from `directory`.
    pub fn new(directory: &Path, run_script: RunScript) -> World {
        World {
            directory: directory.to_owned(),
            run_script,
            call_closure: Mutex::default(),
            fakes: Mutex::default(),
            calls: Mutex::default(),
            missing: Mutex::default(),
            programs: Doubles::default(),
            requests: Doubles::default(),
            turn: Mutex::default(),
        }
    }

    /// Says how closures of the test are called; `None` at its end.
    pub fn set_caller(&self, caller: Option<CallClosure>) {
        *lock(&self.call_closure) = caller;
    }

    /// The first call that nobody answered.
    pub fn missing(&self) -> Option<String> {
        lock(&self.missing).clone()
    }

    /// Whether containers are played.
    pub(in crate::bindings) fn plays(&self) -> bool {
        !lock(&self.fakes).is_empty()
    }

    /// Who plays the commands of a function that was called with these options.
    pub(in crate::bindings) fn player<'a>(
        &'a self,
        function: &'static str,
        options: &'a Map,
    ) -> impl Fn(&Container, &[String]) -> Result<Played> + 'a {
        move |container, command| {
            self.play(&Call {
                function,
                container,
                command,
                options,
            })
        }
    }

    pub(super) fn add(&self, image: &str, command: &str, answer: Dynamic) -> Result<()> {
        let fake = Fake {
            image: (image.to_owned(), Pattern::new(image)?),
            command: (command.to_owned(), Pattern::new(command)?),
            answer,
            count: 0,
        };
        if !fake.answer.is::<FnPtr>() {
            said(&fake.answer, 0)?;
        }
        lock(&self.fakes).push(fake);
        Ok(())
    }

    pub(super) fn calls(&self) -> Array {
        lock(&self.calls).clone()
    }

    pub(super) fn run(&self, session: &Session, path: &str, args: Vec<String>, dry_run: bool) -> Result<Ran> {
        (self.run_script)(session, &self.directory.join(path), args, dry_run)
    }

    /// What is played of a command. Errors: `unsupported` where nobody answers for it; what a closure throws.
    fn play(&self, call: &Call<'_>) -> Result<Played> {
        self.note(call.map());
        let found = self.answer_for(call);
        let (answer, number) = found.ok_or_else(|| self.nobody(call))?;
        let Some(closure) = answer.clone().try_cast::<FnPtr>() else {
            return said(&answer, number);
        };
        said(&self.called(&closure, call.map(), &call.line())?, 0)
    }

    /// What a closure of the test answers to a call.
    pub(super) fn called(&self, closure: &FnPtr, call: Map, line: &str) -> Result<Dynamic> {
        let _turn = lock(&self.turn);
        let caller = lock(&self.call_closure);
        let caller = caller
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Cancelled, "the test has ended"))?;
        caller(closure, call.into()).map_err(|thrown| {
            let failure = Failure::of(&thrown);
            let error = failure.error();
            let place = failure.position();
            Error::new(error.kind(), error.message()).during(match place.is_none() {
                true => format!("play `{line}`"),
                false => format!("play `{line}` by the closure at {place}"),
            })
        })
    }

    /// Notes what was asked.
    pub(super) fn note(&self, call: Map) {
        lock(&self.calls).push(call.into());
    }

    /// Notes what nobody answered, which fails the test.
    pub(super) fn miss(&self, message: &str) {
        lock(&self.missing).get_or_insert_with(|| message.to_owned());
    }

    /// The answer of the fake that was added last of those that fit, and how often it has answered before.
    fn answer_for(&self, call: &Call<'_>) -> Option<(Dynamic, usize)> {
        let line = call.line();
        let image = call.container.image();
        let with_tag = format!("{image}:latest");
        let mut fakes = lock(&self.fakes);
        let fake = fakes.iter_mut().rev().find(|fake| {
            let is_image = [image, &with_tag].iter().any(|name| fake.image.1.matches(name));
            is_image && fake.command.1.matches(&line)
        })?;
        fake.count += 1;
        Some((fake.answer.clone(), fake.count - 1))
    }

    fn nobody(&self, call: &Call<'_>) -> Error {
        let (function, image, line) = (call.function, call.container.image(), call.line());
        let message = format!("no fake answers for `{function}` of `{image}` with `{line}`");
        self.miss(&message);
        let known: Vec<String> = lock(&self.fakes)
            .iter()
            .map(|fake| format!("{:?}, {:?}", fake.image.0, fake.command.0))
            .collect();
        Error::unsupported(message).hint(format!(
            "add `fake::container({image:?}, {line:?}, #{{ stdout: \"…\" }})`; there are fakes for ({})",
            known.join("), (")
        ))
    }
}

/// An answer: text for standard output, a map, nothing, or an array of answers, one after another, of which the last stays.
pub(super) fn said(answer: &Dynamic, number: usize) -> Result<Played> {
    if let Some(answers) = answer.read_lock::<Array>() {
        let last = answers.len().saturating_sub(1);
        return match answers.get(number.min(last)) {
            Some(answer) if !answer.is_array() => said(answer, 0),
            _ => Err(Error::invalid(
                "an array of answers has one answer or more, none of them an array",
            )),
        };
    }
    if answer.is_unit() {
        return Ok(Played::default());
    }
    if answer.is_string() {
        return Ok(Played {
            stdout: subject::content(answer)?,
            ..Played::default()
        });
    }
    let Some(map) = answer.read_lock::<Map>() else {
        return Err(Error::invalid(format!(
            "an answer is text, a map, () or an array of these, got {}",
            type_phrase(answer)
        )));
    };
    let said: Answer = options::parse(map.clone())?;
    Ok(Played {
        code: said.code,
        stdout: said.stdout.0,
        stderr: said.stderr.0,
        health: said.health,
    })
}
