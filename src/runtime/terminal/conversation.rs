//! What is connected to this process's standard streams, commonly a person at a terminal, and a container's program: one loop that
//! carries on what is typed, what is shown, signals, and the size of the terminal.

use std::collections::VecDeque;
use std::io::{Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{read, write};

use crate::error::{Context, Error, Result};
use crate::model;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::detach_keys::{DetachKeys, Matcher};
use crate::runtime::raw::Raw;
use crate::runtime::{Bundle, Exit, LogLine, Stream, follow, kill, state::state};
use crate::sys::pty;

/// What reaches the person's process, and is meant for the program.
const SIGNALS: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];
/// So many requests to end that a program did not follow end the conversation.
const PATIENCE: u32 = 3;
/// What a pipe has room for when it has any (pipe(7)).
const PIECE: usize = 4096;
/// The most output that waits to be shown before no more is taken.
const FULL: usize = 1 << 20;
/// The same where nobody waits for this process: it is let go when more has come.
const FULL_AS_VISITOR: usize = 64 << 20;

/// A conversation of this process with a program of a container.
pub struct Conversation {
    /// Whether what this process reads is passed on.
    pub input: bool,
    /// Whether the program has a terminal.
    pub tty: bool,
    /// Whether signals to this process are passed on to a program without a terminal.
    pub proxy: bool,
    /// What is typed to part from the program.
    pub keys: DetachKeys,
    signals: SignalFd,
    before: SigSet,
}

/// How a conversation went.
#[derive(Debug)]
pub enum Outcome {
    /// The program ended.
    Ended(Exit),
    /// It goes on: the person typed the keys for that, or this process got a signal.
    Left(Option<i32>),
}

impl Conversation {
    /// One that takes the signals sent to this process from now on; call it before any thread is started. Nothing is passed on yet.
    pub fn new(keys: DetachKeys) -> Result<Conversation> {
        let show = || "watch for signals";
        let (mut set, mut before) = (SigSet::empty(), SigSet::empty());
        SIGNALS.iter().for_each(|signal| set.add(*signal));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).during(show)?;
        Ok(Conversation {
            input: false,
            tty: false,
            proxy: true,
            keys,
            signals: SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).during(show)?,
            before,
        })
    }

    /// The rows and columns of the terminal, if there is one.
    pub(in crate::runtime) fn size(&self) -> Option<(u16, u16)> {
        let size = pty::size(stdout()).or_else(|| pty::size(stdin()));
        size.filter(|_| self.tty).map(|size| (size.rows, size.columns))
    }

    /// Holds it, over a connection to whoever watches the program. A `visitor` is not waited for by the program.
    pub(in crate::runtime) fn hold(&self, ctx: &model::Context, channel: &Channel, visitor: bool) -> Result<Outcome> {
        let mut talk = Talk {
            with: self,
            channel,
            _raw: Raw::enter(self.tty && self.input)?,
            reads: self.input,
            typed: VecDeque::new(),
            keys: self.keys.matcher(),
            shown: VecDeque::new(),
            done: 0,
            waiting: 0,
            most: if visitor { FULL_AS_VISITOR } else { FULL },
            requests: 0,
        };
        if visitor && let Some((rows, columns)) = self.size() {
            // Another size, and then the one it has: a program that fills the screen draws it anew.
            talk.say(&Message::Resize(rows, columns.saturating_add(1)));
            talk.say(&Message::Resize(rows, columns));
        }
        talk.go_on(ctx)
    }
}

impl Conversation {
    /// Shows what a program writes from now on, by its log, and passes signals on: nobody types to it.
    pub(in crate::runtime) fn overhear(&self, ctx: &model::Context, bundle: &Bundle) -> Result<Outcome> {
        let mut follower = follow(bundle, true)?;
        let mut requests = 0;
        loop {
            while let Some(line) = follower.written()? {
                if !show_line(&line) {
                    return Ok(Outcome::Left(Some(Signal::SIGPIPE as i32)));
                }
            }
            if follower.is_over() {
                let exit = state(bundle)?.exit;
                return exit.map(Outcome::Ended).ok_or_else(|| kill::ended(bundle));
            }
            while let Ok(Some(taken)) = self.signals.read_signal() {
                let number = i32::try_from(taken.ssi_signo).unwrap_or_default();
                let signal = Signal::try_from(number).ok();
                if matches!(signal, Some(Signal::SIGWINCH | Signal::SIGCONT)) {
                    continue;
                }
                requests += u32::from(matches!(signal, Some(Signal::SIGINT | Signal::SIGTERM)));
                if !self.proxy || requests >= PATIENCE {
                    return Ok(Outcome::Left(Some(number)));
                }
                kill::kill(bundle, number.to_string().parse()?)?;
            }
            follower.wait(ctx, Some(self.signals.as_fd()))?;
        }
    }
}

/// `false` if nobody looks any more.
fn show_line(line: &LogLine) -> bool {
    let end: &[u8] = if line.partial { b"" } else { b"\n" };
    let text = [&line.text, end].concat();
    let shown = match line.stream {
        Stream::Stdout => stdout().lock().write_all(&text).and_then(|()| stdout().flush()),
        Stream::Stderr => stderr().lock().write_all(&text),
    };
    shown.is_ok()
}

impl Drop for Conversation {
    fn drop(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// A conversation under way.
struct Talk<'a> {
    with: &'a Conversation,
    channel: &'a Channel,
    _raw: Option<Raw>,
    /// Whether there may be more to read.
    reads: bool,
    /// What was typed and is not sent yet.
    typed: VecDeque<Message>,
    keys: Matcher<'a>,
    /// What is still to be shown, in order.
    shown: VecDeque<(Stream, Vec<u8>)>,
    /// How much of the first of it is done.
    done: usize,
    /// How many bytes it is.
    waiting: usize,
    most: usize,
    /// How often the person asked for the end.
    requests: u32,
}

#[derive(Default)]
struct Ready {
    channel: bool,
    signals: bool,
    input: bool,
    output: bool,
}

impl Talk<'_> {
    fn go_on(&mut self, ctx: &model::Context) -> Result<Outcome> {
        loop {
            if let Err(ended) = ctx.check() {
                self.say(&Message::Kill);
                return Err(ended);
            }
            let ready = self.wait(ctx)?;
            if ready.signals
                && let Some(left) = self.take_signals()
            {
                return Ok(left);
            }
            if ready.input && self.read()? {
                self.say(&Message::Leave);
                return Ok(Outcome::Left(None));
            }
            self.send_typed();
            if ready.output && !self.show() {
                return Ok(Outcome::Left(Some(Signal::SIGPIPE as i32)));
            }
            if ready.channel
                && let Some(exit) = self.hear()?
            {
                self.show_rest();
                return Ok(Outcome::Ended(exit));
            }
        }
    }

    fn wait(&self, ctx: &model::Context) -> Result<Ready> {
        let (input, output) = (stdin(), self.screen());
        let mut to_channel = PollFlags::empty();
        to_channel.set(PollFlags::POLLIN, self.waiting < self.most);
        to_channel.set(PollFlags::POLLOUT, !self.typed.is_empty());
        let mut fds = vec![
            PollFd::new(self.channel.as_fd(), to_channel),
            PollFd::new(self.with.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
        ];
        let reads = self.reads && self.typed.is_empty();
        if reads {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        if let Some(output) = &output {
            fds.push(PollFd::new(output.as_fd(), PollFlags::POLLOUT));
        }
        match poll(
            &mut fds,
            PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno).during(|| "wait for the container"),
        }
        let is = |at: usize| fds[at].revents().is_some_and(|events| !events.is_empty());
        let heard = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        Ok(Ready {
            channel: fds[0].revents().is_some_and(|events| events.intersects(heard)),
            signals: is(1),
            input: reads && is(3),
            output: output.is_some() && is(fds.len() - 1),
        })
    }

    /// Where the next of what is to be shown goes.
    fn screen(&self) -> Option<Screen> {
        self.shown.front().map(|(stream, _)| Screen::of(*stream))
    }

    /// Passes signals on, or tells that they end the conversation.
    fn take_signals(&mut self) -> Option<Outcome> {
        while let Ok(Some(taken)) = self.with.signals.read_signal() {
            let number = i32::try_from(taken.ssi_signo).unwrap_or_default();
            match Signal::try_from(number) {
                Ok(Signal::SIGWINCH) => self.tell_size(),
                Ok(Signal::SIGCONT) => {
                    // Whoever had the terminal meanwhile left it in a state of theirs.
                    if let Some(raw) = &self._raw {
                        raw.again();
                    }
                    self.tell_size();
                }
                Ok(signal) => {
                    self.requests += u32::from(matches!(signal, Signal::SIGINT | Signal::SIGTERM));
                    if self.with.tty || !self.with.proxy || self.requests >= PATIENCE {
                        return Some(Outcome::Left(Some(number)));
                    }
                    self.typed.push_back(Message::Signal(number));
                }
                Err(_) => {}
            }
        }
        None
    }

    fn tell_size(&mut self) {
        if let Some((rows, columns)) = self.with.size() {
            self.typed.push_back(Message::Resize(rows, columns));
        }
    }

    /// Reads what is typed; whether it is that the person leaves.
    fn read(&mut self) -> Result<bool> {
        let mut bytes = vec![0; PIECE];
        match read(stdin(), &mut bytes) {
            Ok(0) | Err(Errno::EIO) => {
                self.reads = false;
                self.typed.push_back(Message::End);
            }
            Ok(length) if self._raw.is_some() => {
                let (typed, leaves) = self.keys.take(&bytes[..length]);
                self.typed.push_back(Message::Input(typed));
                return Ok(leaves);
            }
            Ok(length) => {
                bytes.truncate(length);
                self.typed.push_back(Message::Input(bytes));
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno).during(|| "read standard input"),
        }
        Ok(false)
    }

    fn send_typed(&mut self) {
        while let Some(message) = self.typed.front() {
            match self.channel.try_send(message) {
                Err(Errno::EAGAIN) => return,
                // One that is gone reads nothing more; that it went is heard.
                _ => drop(self.typed.pop_front()),
            }
        }
    }

    /// Says something that comes before all that was typed.
    fn say(&self, message: &Message) {
        let _ = self.channel.send(message);
    }

    /// Writes a piece of what came; `false` if nobody looks any more.
    fn show(&mut self) -> bool {
        let Some((stream, bytes)) = self.shown.front() else {
            return true;
        };
        let left = &bytes[self.done..];
        match write(Screen::of(*stream), &left[..left.len().min(PIECE)]) {
            Ok(length) => {
                self.waiting -= length;
                self.done += length;
                if self.done == bytes.len() {
                    self.shown.pop_front();
                    self.done = 0;
                }
                true
            }
            Err(Errno::EINTR | Errno::EAGAIN) => true,
            Err(_) => false,
        }
    }

    /// Writes all that came.
    fn show_rest(&mut self) {
        while let Some(screen) = self.screen() {
            let _ = poll(
                &mut [PollFd::new(screen.as_fd(), PollFlags::POLLOUT)],
                PollTimeout::NONE,
            );
            if !self.show() {
                return;
            }
        }
    }

    /// Takes what the other side says; how the program ended, if that is it.
    fn hear(&mut self) -> Result<Option<Exit>> {
        match self.channel.receive()? {
            Some(Message::Output(stream, bytes)) => {
                self.waiting += bytes.len();
                self.shown.push_back((stream, bytes));
                Ok(None)
            }
            Some(Message::Exited(exit)) => Ok(Some(exit)),
            Some(Message::Failed(failure)) => Err(failure.into_error()),
            Some(_) => Ok(None),
            None => Err(Error::new(
                crate::error::Kind::Conflict,
                "the container's supervisor is gone, or did not wait for what it sent to be read",
            )),
        }
    }
}

/// Where output is shown.
enum Screen {
    Out(std::io::Stdout),
    Err(std::io::Stderr),
}

impl Screen {
    fn of(stream: Stream) -> Screen {
        match stream {
            Stream::Stdout => Screen::Out(stdout()),
            Stream::Stderr => Screen::Err(stderr()),
        }
    }
}

impl AsFd for Screen {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Screen::Out(out) => out.as_fd(),
            Screen::Err(err) => err.as_fd(),
        }
    }
}
