//! What a test has in the place of programs of this machine and of other machines.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rhai::{Array, Dynamic, FnPtr, Map};
use serde::Deserialize;

use super::world::{World, lock, said};
use crate::bindings::options::Options;
use crate::bindings::value::to_json;
use crate::bindings::{options, subject};
use crate::error::{Error, Result};
use crate::host::{Answer, Ran};
use crate::model::{Bytes, Pattern};

/// Those who answer for one kind of thing.
#[derive(Default)]
pub(super) struct Doubles(Mutex<Vec<Double>>);

/// Who answers.
struct Double {
    pattern: (String, Pattern),
    answer: Dynamic,
    /// How often it has answered.
    count: usize,
}

/// What another machine answers.
#[derive(Deserialize)]
#[serde(default)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            status: 200,
            headers: BTreeMap::new(),
            body: Bytes::default(),
        }
    }
}

impl Doubles {
    fn add(&self, pattern: &str, answer: Dynamic) -> Result<()> {
        let pattern = (pattern.to_owned(), Pattern::new(pattern)?);
        lock(&self.0).push(Double {
            pattern,
            answer,
            count: 0,
        });
        Ok(())
    }

    /// Whether anybody answers: then nothing real is asked.
    fn are_there(&self) -> bool {
        !lock(&self.0).is_empty()
    }

    /// The answer of the one that was added last of those that fit; of an array the one whose turn it is.
    fn answer(&self, line: &str) -> Option<Dynamic> {
        let mut all = lock(&self.0);
        let double = all.iter_mut().rev().find(|double| double.pattern.1.matches(line))?;
        let turn = double.count;
        double.count += 1;
        let of_several = double.answer.read_lock::<Array>().map(|answers| {
            let last = answers.len().saturating_sub(1);
            answers.get(turn.min(last)).cloned().unwrap_or_default()
        });
        Some(of_several.unwrap_or_else(|| double.answer.clone()))
    }

    fn known(&self) -> String {
        let all = lock(&self.0);
        let known: Vec<String> = all.iter().map(|double| format!("{:?}", double.pattern.0)).collect();
        known.join(", ")
    }
}

impl World {
    pub(super) fn add_program(&self, pattern: &str, answer: Dynamic) -> Result<()> {
        if !answer.is::<FnPtr>() && !answer.is_array() {
            said(&answer, 0)?;
        }
        self.programs.add(pattern, answer)
    }

    pub(super) fn add_request(&self, pattern: &str, answer: Dynamic) -> Result<()> {
        if !answer.is::<FnPtr>() && !answer.is_array() {
            reply(&answer)?;
        }
        self.requests.add(pattern, answer)
    }

    /// What is played of a program; `None` where programs are real. Errors: `unsupported` where nobody answers for it.
    pub(in crate::bindings) fn program(&self, function: &str, words: &[String], options: &Map) -> Result<Option<Ran>> {
        if !self.programs.are_there() {
            return Ok(None);
        }
        let line = match words {
            [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => line.clone(),
            words => words.join(" "),
        };
        let call = Map::from([
            ("function".into(), function.into()),
            (
                "cmd".into(),
                words.iter().cloned().map(Dynamic::from).collect::<Array>().into(),
            ),
            ("line".into(), line.clone().into()),
            ("options".into(), options.clone().into()),
        ]);
        let answer = self.answered(&self.programs, "exec", function, &line, call)?;
        let played = said(&answer, 0)?;
        Ok(Some(Ran {
            code: played.code.unwrap_or(0),
            stdout: played.stdout,
            stderr: played.stderr,
            duration: Duration::ZERO,
        }))
    }

    /// What another machine is said to answer; `None` where others are asked. Errors: `unsupported` where nobody answers for it.
    pub(in crate::bindings) fn request(
        &self,
        function: &str,
        method: &str,
        url: &str,
        options: &Map,
    ) -> Result<Option<Answer>> {
        if !self.requests.are_there() {
            return Ok(None);
        }
        let line = format!("{method} {url}");
        let call = Map::from([
            ("function".into(), function.into()),
            ("method".into(), method.into()),
            ("url".into(), url.into()),
            ("line".into(), line.clone().into()),
            ("options".into(), options.clone().into()),
        ]);
        let answer = self.answered(&self.requests, "http", function, &line, call)?;
        reply(&answer).map(Some)
    }

    fn answered(&self, doubles: &Doubles, kind: &str, function: &str, line: &str, call: Map) -> Result<Dynamic> {
        self.note(call.clone());
        let Some(answer) = doubles.answer(line) else {
            let message = format!("no fake answers for `{function}` of `{line}`");
            self.miss(&message);
            let known = doubles.known();
            return Err(Error::unsupported(message).hint(format!(
                "add `fake::{kind}({line:?}, \"…\")`; there are fakes for {known}"
            )));
        };
        match answer.clone().try_cast::<FnPtr>() {
            Some(closure) => self.called(&closure, call, line),
            None => Ok(answer),
        }
    }
}

/// An answer: text for the body, or a map of `status`, `headers`, and `body` or `json`.
fn reply(answer: &Dynamic) -> Result<Answer> {
    let reply = match answer.read_lock::<Map>() {
        Some(map) => {
            let mut given = Options::new(map.clone());
            let json = given.take("json");
            let mut reply: Reply = given.parse()?;
            if let Some(json) = json {
                reply.body = Bytes(to_json(&json)?.to_string().into_bytes());
            }
            reply
        }
        None if answer.is_unit() => Reply::default(),
        None => Reply {
            body: Bytes(subject::content(answer)?),
            ..options::parse(Map::new())?
        },
    };
    let headers = reply
        .headers
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value));
    Ok(Answer {
        status: reply.status,
        headers: headers.collect(),
        body: reply.body.0,
        host: "fake".to_owned(),
    })
}
