//! Images that come and go by the network, and what is told of it meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bindings::console::Level;
use crate::bindings::session::Session;
use crate::error::Result;
use crate::host::{Image, PullOptions};
use crate::images::Watcher;
use crate::model::{ByteSize, Digest, format_duration};

/// Pulls an image and tells of it.
pub fn pull_from(session: &Session, name: &str, options: &PullOptions) -> Result<Image> {
    let watcher = Progress::new(session, name);
    let pulled = session.host()?.pull_image(&session.context(), name, options, &watcher);
    drop(watcher);
    let pulled = pulled?;
    pulled
        .warnings
        .iter()
        .for_each(|warning| session.log(Level::Warn, warning));
    for tag in &pulled.tags {
        session.log(Level::Info, &tag.to_string());
    }
    if pulled.again > 0 {
        session.log(
            Level::Info,
            &format!("{} had to be fetched again", ByteSize(pulled.again)),
        );
    }
    Ok(pulled.image)
}

/// How far a transfer is: a line that changes where somebody looks on, a line for each layer elsewhere.
struct Progress<'a> {
    session: &'a Session,
    name: &'a str,
    state: Mutex<State>,
}

struct State {
    sizes: HashMap<Digest, u64>,
    /// Bytes of each that are here.
    came: HashMap<Digest, u64>,
    done: usize,
    /// When the first came, and how many were here then.
    started: Option<(Instant, u64)>,
    shown: Instant,
}

/// How often a line changes.
const OFTEN: Duration = Duration::from_millis(100);

impl<'a> Progress<'a> {
    fn new(session: &'a Session, name: &'a str) -> Progress<'a> {
        let state = State {
            sizes: HashMap::new(),
            came: HashMap::new(),
            done: 0,
            started: None,
            shown: Instant::now(),
        };
        Progress {
            session,
            name,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `3 of 7 layers, 12MB of 48MB, 6MB/s, 6s left`.
    fn line(&self, now: Instant) -> String {
        let (here, all) = (self.came.values().sum::<u64>(), self.sizes.values().sum::<u64>());
        let mut line = format!(
            "{} of {} layers, {} of {}",
            self.done,
            self.sizes.len(),
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
}

impl Watcher for Progress<'_> {
    fn layers(&self, layers: &[(Digest, u64)]) {
        let mut state = self.state();
        state.sizes = layers.iter().cloned().collect();
        (state.done, state.started) = (0, None);
        state.came.clear();
        let size = ByteSize(state.sizes.values().sum());
        let line = format!("`{}` has {} layers of {size}", self.name, layers.len());
        self.session.log(Level::Info, &line);
    }

    fn came(&self, blob: &Digest, bytes: u64) {
        let mut state = self.state();
        state.came.insert(blob.clone(), bytes);
        let now = Instant::now();
        let here = state.came.values().sum();
        state.started.get_or_insert((now, here));
        if now.duration_since(state.shown) >= OFTEN {
            state.shown = now;
            self.session.status(&format!("{}: {}", self.name, state.line(now)));
        }
    }

    fn done(&self, blob: &Digest, was_here: bool) {
        let mut state = self.state();
        state.done += 1;
        let size = state.sizes.get(blob).copied().unwrap_or_default();
        state.came.insert(blob.clone(), size);
        let how = if was_here { "was here" } else { "is here" };
        let line = format!("{} {how} ({} of {})", blob.short(), state.done, state.sizes.len());
        match self.session.has_status() {
            true => self
                .session
                .status(&format!("{}: {}", self.name, state.line(Instant::now()))),
            false => self.session.log(Level::Info, &line),
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.session.status("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_there_is_and_what_is_left() {
        let start = Instant::now();
        let blob = |name: &str| Digest::of(name.as_bytes());
        let state = State {
            sizes: HashMap::from([(blob("a"), 40_000_000), (blob("b"), 8_000_000)]),
            came: HashMap::from([(blob("a"), 20_000_000), (blob("b"), 8_000_000)]),
            done: 1,
            started: Some((start, 8_000_000)),
            shown: start,
        };
        assert_eq!(state.line(start), "1 of 2 layers, 28.0MB of 48.0MB");
        let line = state.line(start + Duration::from_secs(2));
        assert_eq!(line, "1 of 2 layers, 28.0MB of 48.0MB, 10.0MB/s, 2s left");
    }
}
