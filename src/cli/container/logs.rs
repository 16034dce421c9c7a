//! `hoist logs CONTAINER`.

use std::io::{self, BufWriter, ErrorKind, Write};

use clap::Args;

use crate::cli::App;
use crate::cli::run::Told;
use crate::error::{Error, Result};
use crate::host::{LogOptions, Logged};
use crate::model::Moment;
use crate::runtime::{LogLine, Stream};

/// Show what a container wrote
///
/// What it wrote to standard output and standard error goes to the same here.
#[derive(Args)]
pub(in crate::cli) struct Logs {
    /// Go on until the container ends
    #[arg(long, short)]
    follow: bool,

    /// Only the last N lines
    #[arg(long, short = 'n', value_name = "N", default_value = "all", value_parser = tail)]
    tail: Tail,

    /// Only lines written since: an age such as 10m, or a time
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,

    /// Only lines written until then
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,

    /// Put its time before each line
    #[arg(long, short)]
    timestamps: bool,

    /// The container
    #[arg(value_name = "CONTAINER")]
    name: String,
}

#[derive(Clone, Copy)]
struct Tail(Option<u64>);

fn tail(text: &str) -> std::result::Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => number
            .parse()
            .map(|number| Tail(Some(number)))
            .map_err(|_| "it is neither a number nor `all`".to_owned()),
    }
}

impl Logs {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let options = LogOptions {
            tail: self.tail.0,
            since: self.since,
            until: self.until,
            timestamps: self.timestamps,
            ..LogOptions::default()
        };
        let container = session.host()?.container(&self.name)?;
        let mut sheet = Sheet::new(self.timestamps);
        let take = &mut |logged: Logged<'_>| sheet.take(&logged);
        match self.follow {
            true => container.follow_log(&session.context(), &options, take)?,
            false => container.read_log(&options, take)?,
        }
        Ok(0)
    }
}

/// The two outputs, each after the other in the order of writing.
struct Sheet {
    out: BufWriter<io::Stdout>,
    err: BufWriter<io::Stderr>,
    last: Option<Stream>,
    timestamps: bool,
    /// Whether a line is to begin, for each of the two.
    at_start: [bool; 2],
}

impl Sheet {
    fn new(timestamps: bool) -> Sheet {
        Sheet {
            out: BufWriter::new(io::stdout()),
            err: BufWriter::new(io::stderr()),
            last: None,
            timestamps,
            at_start: [true, true],
        }
    }

    /// Writes it; `false` once nobody reads any more.
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

    fn write(&mut self, line: &LogLine) -> io::Result<()> {
        if self.last != Some(line.stream) {
            self.flush()?;
            self.last = Some(line.stream);
        }
        let to: &mut dyn Write = match line.stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        let at_start = &mut self.at_start[line.stream as usize];
        if self.timestamps && *at_start {
            write!(to, "{} ", line.time)?;
        }
        *at_start = !line.partial;
        to.write_all(&line.text)?;
        if *at_start {
            to.write_all(b"\n")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().and_then(|()| self.err.flush())
    }
}
