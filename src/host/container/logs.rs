//! What a container wrote.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Deserialize;

use super::Container;
use crate::error::{Error, Result};
use crate::model::{ByteSize, Context, Moment, unknown};
use crate::runtime::{self, LogBounds, LogLine, Stream};

/// A line that is longer is not waited for any longer.
const LONGEST_JOINED: usize = 1 << 20;

/// Options of a container's `logs` and `follow`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// The last so many lines only.
    pub tail: Option<u64>,
    /// Lines written since then.
    pub since: Option<Moment>,
    /// Lines written until then.
    pub until: Option<Moment>,
    /// `stdout`, `stderr` or `all` (the default).
    pub stream: Option<String>,
    /// Put each line's time before it.
    pub timestamps: bool,
}

/// How much of its log a container is to keep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOption {
    /// What one file may have; 0 for as much as comes.
    pub max_size: Option<ByteSize>,
    /// How many files there may be.
    pub max_files: Option<u32>,
}

impl LogOption {
    /// The bounds this means.
    pub(super) fn bounds(&self) -> Result<LogBounds> {
        let usual = LogBounds::default();
        match self.max_files {
            Some(0) => Err(Error::invalid("a log cannot be kept in no file").hint("`max_files` is 1 or more")),
            files => Ok(LogBounds {
                max_size: self.max_size.map_or(usual.max_size, |size| size.0),
                max_files: files.unwrap_or(usual.max_files),
            }),
        }
    }
}

/// What is read of a log.
#[derive(Debug)]
pub enum Logged<'a> {
    /// A line, or a part of one.
    Line(&'a LogLine),
    /// There is no more at the moment.
    Pause,
}

/// Takes what is read; `false` if that is enough.
type Take<'a> = &'a mut dyn FnMut(Logged<'_>) -> Result<bool>;

impl LogOptions {
    /// Which lines are wanted.
    fn wanted(&self) -> Result<impl Fn(&LogLine) -> bool + use<>> {
        let stream = match self.stream.as_deref() {
            None | Some("all") => None,
            Some("stdout") => Some(Stream::Stdout),
            Some("stderr") => Some(Stream::Stderr),
            Some(other) => return Err(unknown("stream", other, &["stdout", "stderr", "all"])),
        };
        let now = Timestamp::now();
        let (since, until) = (self.since.map(|m| m.resolve(now)), self.until.map(|m| m.resolve(now)));
        Ok(move |line: &LogLine| {
            let in_time = since.is_none_or(|since| line.time >= since) && until.is_none_or(|until| line.time <= until);
            in_time && stream.is_none_or(|stream| line.stream == stream)
        })
    }

    /// Hands on the lines that are there; `false` if that was enough.
    fn hand_on(&self, lines: impl Iterator<Item = Result<LogLine>>, take: Take<'_>) -> Result<bool> {
        let Some(tail) = self.tail else {
            // Others may come as fast as they are read: enough is enough.
            for line in lines {
                if !take(Logged::Line(&line?))? {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut last = VecDeque::new();
        for line in lines {
            last.push_back(line?);
            if last.len() > tail {
                last.pop_front();
            }
        }
        for line in &last {
            if !take(Logged::Line(line))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Container {
    /// What it wrote so far, in the order of writing; bytes that are no text are replaced.
    pub fn logs(&self, options: &LogOptions) -> Result<String> {
        if let Some(played) = self.played_log(options.stream.as_deref(), options.tail) {
            return Ok(played);
        }
        let (mut text, mut at_start) = (Vec::new(), true);
        self.read_log(options, &mut |logged| {
            if let Logged::Line(line) = logged {
                if options.timestamps && at_start {
                    text.extend_from_slice(format!("{} ", line.time).as_bytes());
                }
                text.extend_from_slice(&line.text);
                at_start = !line.partial;
                if at_start {
                    text.push(b'\n');
                }
            }
            Ok(true)
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Reads what it wrote so far, piece by piece.
    pub fn read_log(&self, options: &LogOptions, take: Take<'_>) -> Result<()> {
        let wanted = options.wanted()?;
        let is_wanted = |line: &Result<LogLine>| line.as_ref().map_or(true, &wanted);
        let goes_on = match options.tail {
            None => options.hand_on(runtime::logs(&self.bundle())?.filter(is_wanted), take)?,
            Some(tail) => {
                let tail = usize::try_from(tail).unwrap_or(usize::MAX);
                let last = runtime::logs_backward(&self.bundle())?.filter(is_wanted).take(tail);
                let last: Vec<_> = last.collect::<Result<_>>()?;
                options.hand_on(last.into_iter().rev().map(Ok), take)?
            }
        };
        if goes_on {
            take(Logged::Pause)?;
        }
        Ok(())
    }

    /// Reads what it wrote and what it writes, as it comes, until it ends. Errors: `cancelled`, `timeout`.
    pub fn follow_log(&self, ctx: &Context, options: &LogOptions, take: Take<'_>) -> Result<()> {
        let wanted = options.wanted()?;
        let mut follower = runtime::follow(&self.bundle(), false)?;
        // What was written before this; a container that writes without end has no other end of that.
        let (now, mut first) = (Timestamp::now(), None);
        let written = std::iter::from_fn(|| match follower.written() {
            Ok(Some(line)) if line.time > now => {
                first = Some(line);
                None
            }
            other => other.transpose(),
        });
        let written = written.filter(|line| line.as_ref().map_or(true, &wanted));
        let mut goes_on = options.hand_on(written, take)?;
        if let Some(line) = first.filter(&wanted) {
            goes_on = goes_on && take(Logged::Line(&line))?;
        }
        goes_on = goes_on && take(Logged::Pause)?;
        while goes_on && let Some(line) = follower.next(ctx)? {
            // Whoever looks shall see it, before the next is waited for.
            goes_on = !wanted(&line) || (take(Logged::Line(&line))? && take(Logged::Pause)?);
        }
        Ok(())
    }

    /// The same line by line, as text; `each` says whether to go on.
    pub fn follow(
        &self,
        ctx: &Context,
        options: &LogOptions,
        each: &mut dyn FnMut(String) -> Result<bool>,
    ) -> Result<()> {
        if let Some(played) = self.played_log(options.stream.as_deref(), options.tail) {
            for line in played.lines() {
                if !each(line.to_owned())? {
                    break;
                }
            }
            return Ok(());
        }
        let mut begun: [Option<(Timestamp, Vec<u8>)>; 2] = [None, None];
        let shown = |(time, text): (Timestamp, Vec<u8>)| {
            let text = String::from_utf8_lossy(&text).into_owned();
            if options.timestamps {
                format!("{time} {text}")
            } else {
                text
            }
        };
        let mut is_enough = false;
        self.follow_log(ctx, options, &mut |logged| {
            let Logged::Line(line) = logged else { return Ok(true) };
            let held = &mut begun[line.stream as usize];
            let (_, text) = held.get_or_insert_with(|| (line.time, Vec::new()));
            text.extend_from_slice(&line.text);
            if line.partial && text.len() < LONGEST_JOINED {
                return Ok(true);
            }
            is_enough = match held.take() {
                Some(whole) => !each(shown(whole))?,
                None => false,
            };
            Ok(!is_enough)
        })?;
        // What came after the last newline.
        for rest in begun.into_iter().flatten() {
            is_enough = is_enough || !each(shown(rest))?;
        }
        Ok(())
    }
}
