//! `cli::logs`: the two outputs of a container, each on its own here, in the order of writing.

use std::io::ErrorKind;

use rhai::Map;
use serde::Deserialize;

use crate::bindings::options;
use crate::bindings::session::Session;
use crate::error::{Error, Result};
use crate::host::{LogOptions, Logged};
use crate::model::Moment;
use crate::runtime::{LogLine, Stream};

/// How much is kept before it is shown.
const PIECE: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    follow: bool,
    tail: Option<u64>,
    since: Option<Moment>,
    until: Option<Moment>,
    #[serde(default)]
    timestamps: bool,
}

pub(super) fn show(session: &Session, name: &str, wish: Map) -> Result<()> {
    let wish: Wish = options::parse(wish)?;
    let logged = LogOptions {
        tail: wish.tail,
        since: wish.since,
        until: wish.until,
        timestamps: wish.timestamps,
        ..LogOptions::default()
    };
    session.perform("Container.logs", &[name.into()], || {
        let container = session.host()?.container(name)?;
        let mut sheet = Sheet::new(session, wish.timestamps);
        let take = &mut |logged: Logged<'_>| sheet.take(&logged);
        match wish.follow {
            true => container.follow_log(&session.context(), &logged, take)?,
            false => container.read_log(&logged, take)?,
        }
        sheet.end()
    })
}

struct Sheet<'a> {
    session: &'a Session,
    text: Vec<u8>,
    stream: Stream,
    timestamps: bool,
    /// Whether a line is to begin, for each of the two.
    at_start: [bool; 2],
}

impl<'a> Sheet<'a> {
    fn new(session: &'a Session, timestamps: bool) -> Sheet<'a> {
        Sheet {
            session,
            text: Vec::new(),
            stream: Stream::Stdout,
            timestamps,
            at_start: [true, true],
        }
    }

    /// Takes a piece; `false` once nobody reads any more.
    fn take(&mut self, logged: &Logged<'_>) -> Result<bool> {
        let written = match logged {
            Logged::Line(line) => self.write(line),
            Logged::Pause => self.flush(),
        };
        match written {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(cause) => Err(Error::internal(format!("failed to show the log: {cause}"))),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.take(&Logged::Pause).map(drop)
    }

    fn write(&mut self, line: &LogLine) -> std::io::Result<()> {
        if self.stream != line.stream || self.text.len() > PIECE {
            self.flush()?;
            self.stream = line.stream;
        }
        let at_start = &mut self.at_start[line.stream as usize];
        if self.timestamps && *at_start {
            self.text.extend_from_slice(format!("{} ", line.time).as_bytes());
        }
        *at_start = !line.partial;
        self.text.extend_from_slice(&line.text);
        if *at_start {
            self.text.push(b'\n');
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let text = std::mem::take(&mut self.text);
        match text.is_empty() {
            true => Ok(()),
            false => self
                .session
                .settings()
                .console
                .raw(self.stream == Stream::Stderr, &text),
        }
    }
}
