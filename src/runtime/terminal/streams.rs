//! What a program's standard streams are connected to: pipes, or a terminal. The two sides of it are in two processes.

use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Context, Error, Result};
use crate::runtime::IdMaps;
use crate::runtime::channel::Stream;
use crate::runtime::console::{self, Console};
use crate::runtime::input::Input;
use crate::runtime::program;
use crate::runtime::pump::Outputs;
use crate::sys::{pty, socket};

/// The side of the program, which takes it along into the container.
pub(in crate::runtime) enum Streams {
    /// Pipes; without one to read from, it reads what the process that made it reads.
    Pipes {
        stdin: Option<PipeReader>,
        stdout: PipeWriter,
        stderr: PipeWriter,
    },
    /// A terminal of this size, which is made inside; its master goes back over this connection.
    Terminal(OwnedFd, pty::Size),
    /// What the process that made it has.
    Inherited,
}

/// The side of the process that watches it.
pub(in crate::runtime) enum Ends {
    /// The other ends of the pipes.
    Pipes { input: Option<Input>, outputs: Outputs },
    /// Where a terminal comes from, and what is to be typed into it.
    Terminal {
        from: OwnedFd,
        typed: Vec<u8>,
        kept_open: bool,
    },
}

/// Both sides: of a terminal if it is to have one of some size, else of pipes. The program reads what this process was given to read and then the
/// end, unless what it reads is `kept_open` for whoever comes.
pub(in crate::runtime) fn make(size: Option<pty::Size>, kept_open: bool) -> Result<(Streams, Ends)> {
    match size {
        Some(size) => terminal(size, kept_open),
        None => pipes(kept_open),
    }
}

fn pipes(kept_open: bool) -> Result<(Streams, Ends)> {
    let pipe = || std::io::pipe().during(|| "make a pipe");
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (stdin, input) = match kept_open {
        true => {
            let (stdin, input) = pipe()?;
            (Some(stdin), Some(Input::pipe(input)))
        }
        false => (None, None),
    };
    let outputs = vec![
        (Stream::Stdout, OwnedFd::from(stdout).into()),
        (Stream::Stderr, OwnedFd::from(stderr).into()),
    ];
    let streams = Streams::Pipes {
        stdin,
        stdout: their_stdout,
        stderr: their_stderr,
    };
    Ok((streams, Ends::Pipes { input, outputs }))
}

/// The terminal is made later. What this process was given to read will be typed into it.
fn terminal(size: pty::Size, kept_open: bool) -> Result<(Streams, Ends)> {
    let (from, to) = socket::pair().during(|| "make a socket pair")?;
    let mut typed = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut typed).during(|| "read standard input")?;
    let ends = Ends::Terminal { from, typed, kept_open };
    Ok((Streams::Terminal(to, size), ends))
}

impl Streams {
    /// Lets the root of a user namespace, for whom the owner of pipes made here is nobody, hand them on. A terminal is made by it.
    pub(in crate::runtime) fn hand_over(&self, maps: &IdMaps) -> Result<()> {
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        match self {
            Streams::Pipes { stdin, stdout, stderr } => {
                let stdin = stdin.as_ref().map_or(input.as_fd(), AsFd::as_fd);
                program::stdio(&stdin, stdout, stderr).hand_over(maps.root())
            }
            Streams::Inherited => program::stdio(&input, &output, &error).hand_over(maps.root()),
            Streams::Terminal(..) => Ok(()),
        }
    }

    /// Makes them the standard streams of this process, in the container; `root` is its root, `owner` its user.
    pub(in crate::runtime) fn install(&self, root: &OwnedFd, owner: u32, is_first: bool) -> Result<()> {
        match self {
            Streams::Pipes { stdin, stdout, stderr } => {
                let inherited = std::io::stdin();
                let stdin = stdin.as_ref().map_or(inherited.as_fd(), AsFd::as_fd);
                program::stdio(&stdin, stdout, stderr).install(owner)
            }
            Streams::Inherited => {
                let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
                program::stdio(&input, &output, &error).install(owner)
            }
            Streams::Terminal(to, size) => {
                let console = console::open(root, *size)?;
                if is_first {
                    console.show_as_console(root)?;
                }
                let Console { master, .. } = &console;
                socket::send_fd(to, master.as_fd()).during(|| "pass the terminal on")?;
                console.install(owner)
            }
        }
    }
}

impl Ends {
    /// What can be watched, once the program runs.
    pub(in crate::runtime) fn connect(self) -> Result<(Option<Input>, Outputs)> {
        let (from, typed, kept_open) = match self {
            Ends::Pipes { input, outputs } => return Ok((input, outputs)),
            Ends::Terminal { from, typed, kept_open } => (from, typed, kept_open),
        };
        let show = || "take the terminal";
        let master = socket::receive_fd(&from).during(show)?;
        let master = master.ok_or_else(|| Error::internal("the program has no terminal"))?;
        // As long as one has the other end open, the terminal does not hang up when no program of the container has.
        let peer = pty::open_peer(&master).during(show)?;
        let output = File::from(master.try_clone().during(show)?);
        let mut input = Input::terminal(master.into(), peer, typed);
        if !kept_open {
            input.type_end();
        }
        Ok((Some(input), vec![(Stream::Stdout, output)]))
    }
}
