//! How far long work is, as a person at a terminal, a log, or a program is told: bars, few lines, or JSON.
//!
//! All that is under way at once shares a [`Board`], so that the console has one block of lines to show.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::console::{Format, Level};
use super::session::Session;
use crate::error::Result;
use crate::model::{ByteSize, Context, Watcher, format_duration};

/// How often what is shown changes.
const OFTEN: Duration = Duration::from_millis(100);
/// How long work takes before those without a terminal are told of it.
const LONG: Duration = Duration::from_secs(10);
/// Characters of a bar.
const WIDTH: usize = 20;
/// Parts under way that are shown, at most.
const PARTS: usize = 5;

/// The lines of all that is under way.
#[derive(Default)]
pub struct Board {
    lines: Mutex<BTreeMap<u64, Vec<String>>>,
    next: AtomicU64,
}

impl Board {
    /// A place of its own for something.
    pub(super) fn place(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn show(&self, session: &Session, place: u64, lines: Vec<String>) {
        let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match lines.is_empty() {
            true => all.remove(&place).is_some(),
            false => all.insert(place, lines.clone()) != Some(lines),
        };
        if changed {
            let lines: Vec<String> = all.values().flatten().cloned().collect();
            session.settings().console.status(&lines);
        }
    }
}

impl Session {
    /// Does work that those who look on are told of; `verb` and `name` say what it is.
    pub fn watched<T>(&self, verb: &'static str, name: &str, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let transfer = Arc::new(Transfer::new(self, verb, name));
        let result = work(&self.context().watched(transfer.clone()));
        transfer.end(result.is_ok());
        result
    }

    /// Who is told how far work is.
    fn audience(&self) -> Audience {
        match () {
            () if Level::Info < self.settings().level => Audience::Nobody,
            () if self.settings().format == Format::JsonLines => Audience::Program,
            () if self.has_status() => Audience::Person,
            () => Audience::Log,
        }
    }

    fn tell_program(&self, event: &Value) {
        self.settings().console.talk(&event.to_string());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Nobody,
    Program,
    Person,
    Log,
}

/// A bar of so many hundredths.
fn bar(part: u64, whole: u64) -> String {
    let width = WIDTH as u64;
    let full = part.min(whole) * width / whole.max(1);
    let full = if whole == 0 {
        WIDTH
    } else {
        usize::try_from(full).unwrap_or(WIDTH)
    };
    format!("[{}{}]", "#".repeat(full), "-".repeat(WIDTH - full))
}

/// Bytes that come or go in parts.
struct Transfer {
    session: Session,
    audience: Audience,
    verb: &'static str,
    name: String,
    place: u64,
    state: Mutex<State>,
}

struct State {
    /// The parts in their order, with their bytes.
    parts: Vec<(String, u64)>,
    came: HashMap<String, u64>,
    done: HashSet<String>,
    begun: Instant,
    /// When the first bytes came, and how many were there then.
    started: Option<(Instant, u64)>,
    shown: Instant,
}

impl State {
    fn new(now: Instant) -> State {
        State {
            parts: Vec::new(),
            came: HashMap::new(),
            done: HashSet::new(),
            begun: now,
            started: None,
            shown: now,
        }
    }

    fn size(&self, part: &str) -> u64 {
        self.parts
            .iter()
            .find(|known| known.0 == part)
            .map_or(0, |known| known.1)
    }

    fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.1).sum()
    }

    fn here(&self) -> u64 {
        self.parts
            .iter()
            .map(|(name, size)| self.came.get(name).map_or(0, |came| (*came).min(*size)))
            .sum()
    }

    /// `3 of 7 layers, 12MB of 48MB, 6MB/s, 6s left`.
    fn line(&self, now: Instant) -> String {
        let (here, all) = (self.here(), self.total());
        let mut line = format!(
            "{} of {} layers, {} of {}",
            self.done.len(),
            self.parts.len(),
            ByteSize(here),
            ByteSize(all)
        );
        if let Some((start, before)) = self.started {
            let millis = u64::try_from(now.duration_since(start).as_millis()).unwrap_or(u64::MAX);
            let speed = (here.saturating_sub(before)).saturating_mul(1000) / millis.max(1);
            if speed > 0 && millis > 500 {
                let left = Duration::from_secs(all.saturating_sub(here) / speed);
                line += &format!(", {}/s, {} left", ByteSize(speed), format_duration(left));
            }
        }
        line
    }

    /// The whole, and below it the parts that are under way.
    fn lines(&self, what: &str, now: Instant) -> Vec<String> {
        let whole = format!("{what}: {} {}", bar(self.here(), self.total()), self.line(now));
        let is_moving = |name: &String| self.came.get(name).is_some_and(|came| *came > 0) && !self.done.contains(name);
        let moving = self.parts.iter().filter(|(name, _)| is_moving(name)).take(PARTS);
        let part = |(name, size): &(String, u64)| {
            let came = self.came[name].min(*size);
            format!(
                "  {name} {} {} of {}",
                bar(came, *size),
                ByteSize(came),
                ByteSize(*size)
            )
        };
        std::iter::once(whole).chain(moving.map(part)).collect()
    }
}

impl Transfer {
    fn new(session: &Session, verb: &'static str, name: &str) -> Transfer {
        Transfer {
            session: session.clone(),
            audience: session.audience(),
            verb,
            name: name.to_owned(),
            place: session.board().place(),
            state: Mutex::new(State::new(Instant::now())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn what(&self) -> String {
        format!("{} {}", self.verb, self.name)
    }

    fn event(&self, state: &State, word: &str, part: Option<&str>) {
        self.session.tell_program(&json!({
            "event": "progress",
            "work": self.verb,
            "name": self.name,
            "state": word,
            "part": part,
            "bytes": state.here(),
            "total": state.total(),
            "parts_done": state.done.len(),
            "parts": state.parts.len(),
        }));
    }

    fn draw(&self, state: &State) {
        let lines = state.lines(&self.what(), Instant::now());
        self.session.board().show(&self.session, self.place, lines);
    }

    fn end(&self, is_good: bool) {
        let state = self.state();
        match self.audience {
            Audience::Person => self.session.board().show(&self.session, self.place, Vec::new()),
            Audience::Program => self.event(&state, if is_good { "done" } else { "failed" }, None),
            _ => {}
        }
    }
}

impl Watcher for Transfer {
    fn parts(&self, parts: &[(String, u64)]) {
        let mut state = self.state();
        let is_first = state.parts.is_empty();
        for part in parts {
            if !state.parts.iter().any(|known| known.0 == part.0) {
                state.parts.push(part.clone());
            }
        }
        let size = ByteSize(parts.iter().map(|part| part.1).sum());
        match self.audience {
            Audience::Program => self.event(&state, if is_first { "begun" } else { "more" }, None),
            _ if self.verb == "pull" => {
                let layers = if parts.len() == 1 { "layer" } else { "layers" };
                let line = format!("`{}` has {} {layers} of {size}", self.name, parts.len());
                self.session.log(Level::Info, &line);
            }
            _ => {}
        }
    }

    fn came(&self, part: &str, bytes: u64) {
        if self.audience == Audience::Nobody {
            return;
        }
        let mut state = self.state();
        state.came.insert(part.to_owned(), bytes);
        let now = Instant::now();
        if state.started.is_none() {
            state.started = Some((now, state.here()));
        }
        let since = now.duration_since(state.shown);
        match self.audience {
            Audience::Person if since >= OFTEN => {
                state.shown = now;
                self.draw(&state);
            }
            Audience::Program if since >= OFTEN => {
                state.shown = now;
                self.event(&state, "moving", Some(part));
            }
            Audience::Log if since >= LONG && now.duration_since(state.begun) >= LONG => {
                state.shown = now;
                self.session
                    .log(Level::Info, &format!("{}: {}", self.what(), state.line(now)));
            }
            _ => {}
        }
    }

    fn done(&self, part: &str, was_there: bool) {
        let mut state = self.state();
        if !state.done.insert(part.to_owned()) {
            return;
        }
        let size = state.size(part);
        state.came.insert(part.to_owned(), size);
        match self.audience {
            Audience::Person => self.draw(&state),
            Audience::Program => self.event(&state, if was_there { "was_there" } else { "part" }, Some(part)),
            _ if self.verb == "pull" => {
                let how = if was_there { "was here" } else { "is here" };
                let line = format!("{part} {how} ({} of {})", state.done.len(), state.parts.len());
                self.session.log(Level::Info, &line);
            }
            _ => {}
        }
    }
}

/// Work of a script that it counts itself. Clones are the same.
#[derive(Clone)]
pub struct Progress(Arc<Counted>);

struct Counted {
    session: Session,
    audience: Audience,
    place: u64,
    count: Mutex<Count>,
}

struct Count {
    label: String,
    at: u64,
    whole: u64,
    begun: Instant,
    /// Quarters that a log was told of.
    quarters: u64,
    is_over: bool,
}

impl Count {
    /// `copying: [#####---------------] 3 of 12, 4s left`.
    fn line(&self, now: Instant) -> String {
        let mut line = format!(
            "{}: {} {} of {}",
            self.label,
            bar(self.at, self.whole),
            self.at,
            self.whole
        );
        let millis = u64::try_from(now.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        if self.at > 0 && self.at < self.whole && millis > 500 {
            let left = Duration::from_millis(millis.saturating_mul(self.whole - self.at) / self.at);
            line += &format!(", {} left", format_duration(Duration::from_secs(left.as_secs())));
        }
        line
    }
}

impl Progress {
    /// Work of so many steps.
    pub(super) fn new(session: &Session, whole: u64, label: &str) -> Progress {
        let progress = Progress(Arc::new(Counted {
            session: session.clone(),
            audience: session.audience(),
            place: session.board().place(),
            count: Mutex::new(Count {
                label: label.to_owned(),
                at: 0,
                whole,
                begun: Instant::now(),
                quarters: 0,
                is_over: false,
            }),
        }));
        progress.tell("begun");
        progress
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many steps further.
    pub(super) fn step(&self, steps: u64) {
        let mut count = self.count();
        count.at = count.at.saturating_add(steps).min(count.whole);
        drop(count);
        self.tell("moving");
    }

    pub(super) fn set_label(&self, label: &str) {
        label.clone_into(&mut self.count().label);
        self.tell("moving");
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let was_over = std::mem::replace(&mut self.count().is_over, true);
        if !was_over {
            self.tell("done");
        }
    }

    fn tell(&self, word: &str) {
        let Counted {
            session,
            audience,
            place,
            ..
        } = &*self.0;
        let mut count = self.count();
        match audience {
            Audience::Nobody => {}
            Audience::Program => session.tell_program(&json!({
                "event": "progress",
                "work": "script",
                "name": count.label,
                "state": word,
                "steps": count.at,
                "total": count.whole,
            })),
            Audience::Person => {
                let lines = if count.is_over {
                    Vec::new()
                } else {
                    vec![count.line(Instant::now())]
                };
                session.board().show(session, *place, lines);
            }
            Audience::Log => {
                let quarters = count.at * 4 / count.whole.max(1);
                if quarters > count.quarters {
                    count.quarters = quarters;
                    session.log(
                        Level::Info,
                        &format!("{}: {} of {}", count.label, count.at, count.whole),
                    );
                }
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.session.board().show(&self.session, self.place, Vec::new());
    }
}

impl PartialEq for Progress {
    fn eq(&self, other: &Progress) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl super::object::Object for Progress {
    const NAME: &'static str = "Progress";
    const COLUMNS: &'static [&'static str] = &["LABEL", "STEPS", "TOTAL"];

    fn text(&self) -> String {
        let count = self.count();
        format!("{}: {} of {}", count.label, count.at, count.whole)
    }

    fn cells(&self) -> Vec<String> {
        let count = self.count();
        vec![count.label.clone(), count.at.to_string(), count.whole.to_string()]
    }

    fn json(&self) -> Value {
        let count = self.count();
        json!({ "label": count.label, "steps": count.at, "total": count.whole })
    }
}

/// What a script does with work that it counts.
#[rhai::export_module(manifest)]
pub mod methods {
    use super::Progress;
    use crate::bindings::prelude::*;

    /// Counts one step.
    ///
    /// ```rhai
    /// let work = progress(2, "copying");
    /// work.step();
    /// assert::eq(work.to_string(), "copying: 1 of 2");
    /// ```
    #[rhai_fn(name = "step", pure)]
    pub fn step(this: &mut Progress) {
        this.step(1);
    }

    /// Counts several steps.
    ///
    /// ```rhai
    /// let work = progress(100, "copying");
    /// work.step(30);
    /// assert::eq(work.to_string(), "copying: 30 of 100");
    /// ```
    #[rhai_fn(name = "step", return_raw, pure)]
    pub fn step_by(ctx: NativeCallContext, this: &mut Progress, steps: INT) -> Scripted<()> {
        native(&ctx, |_| {
            let steps = u64::try_from(steps);
            this.step(steps.map_err(|_| Error::invalid("work does not go back: steps are counted from 0 on"))?);
            Ok(())
        })
    }

    /// Says what is being done now.
    ///
    /// ```rhai
    /// let work = progress(2, "copying");
    /// work.label("checking");
    /// assert::eq(work.to_string(), "checking: 0 of 2");
    /// ```
    #[rhai_fn(pure)]
    pub fn label(this: &mut Progress, text: &str) {
        this.set_label(text);
    }

    /// Says that it is over, whatever was counted: the bar goes.
    ///
    /// ```rhai
    /// progress(2, "copying").done();
    /// ```
    #[rhai_fn(pure)]
    pub fn done(this: &mut Progress) {
        this.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    #[test]
    fn lines_tell_what_there_is_and_what_is_left() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.parts = [("a", 40_000_000), ("b", 8_000_000)]
            .map(|(name, size)| (name.to_owned(), size))
            .to_vec();
        state.came = HashMap::from([("a".to_owned(), 20_000_000), ("b".to_owned(), 8_000_000)]);
        state.done.insert("b".to_owned());
        state.started = Some((start, 8_000_000));
        assert_eq!(
            state.lines("pull x", start),
            [
                "pull x: [###########---------] 1 of 2 layers, 28.0MB of 48.0MB",
                "  a [##########----------] 20.0MB of 40.0MB"
            ]
        );
        let line = state.line(start + Duration::from_secs(2));
        assert_eq!(line, "1 of 2 layers, 28.0MB of 48.0MB, 10.0MB/s, 2s left");
    }

    #[test]
    fn bars_are_full_at_the_end_and_for_nothing() {
        assert_eq!(bar(0, 10), "[--------------------]");
        assert_eq!(bar(5, 10), "[##########----------]");
        assert_eq!(bar(12, 10), bar(0, 0));
    }

    #[test]
    fn a_log_is_told_of_quarters_and_of_no_more() {
        let (session, console) = testing::session(false);
        let script = "let work = progress(100, \"copying\"); parallel_map([1, 2, 3, 4], |x| for i in 0..25 { work.step() }); work.done()";
        crate::script::engine(&session).run(script).unwrap();
        let talk = console.talk();
        assert_eq!(talk.len(), 4, "{talk:?}");
        assert!(talk[3].ends_with("copying: 100 of 100"), "{talk:?}");
    }
}
