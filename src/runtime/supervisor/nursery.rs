//! A process from which helpers come as copies, for a caller that starts several.
//!
//! To execute this program once more for each container costs more than all its namespaces. A caller that starts a second helper
//! therefore gets a process beside it that has one thread, has seen nothing of any container, and has done once what every helper
//! begins with. For each order it copies itself; the copy takes the descriptors that came with the order and is the helper. It is a
//! child of the caller, as if that had started it, and nothing of one helper is ever in another.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::error::{Context, Error, Result};
use crate::runtime::{Role, launch, namespaces, overlay, seccomp, supervise};
use crate::sys::process::Arguments;
use crate::sys::{clone, pidfd, process, socket};

/// The name under which the program is one.
pub(in crate::runtime) const NURSERY: &str = "hoist-nursery";

/// Longer than any order: two paths and four words.
const LONGEST_ORDER: usize = 16 << 10;
/// Room for what copies show as their command line.
const ROOM: usize = 1 << 10;

/// What this process knows of one.
enum Nursery {
    /// No helper was started yet.
    Unneeded,
    /// There will be one for the next.
    Wanted,
    /// The connection to it.
    There(OwnedFd),
}

static NURSERY_OF_THIS: Mutex<Nursery> = Mutex::new(Nursery::Unneeded);

/// The three standard streams of a helper, where they are not to be empty.
pub(in crate::runtime) type Streams<'a> = [Option<BorrowedFd<'a>>; 3];

/// Has a helper made that is called by these words; `None` where it must be started anew. It is a child of this process.
pub(in crate::runtime) fn make(words: &[&OsStr], streams: Streams<'_>) -> Option<Result<OwnedFd>> {
    let order = Order::new(words, streams)?;
    let mut nursery = NURSERY_OF_THIS.lock().unwrap_or_else(PoisonError::into_inner);
    match *nursery {
        Nursery::Unneeded => *nursery = Nursery::Wanted,
        Nursery::Wanted => *nursery = Nursery::There(start().ok()?),
        Nursery::There(_) => {}
    }
    let Nursery::There(connection) = &*nursery else {
        return None;
    };
    match order.place(connection) {
        Ok(answer) => {
            let was_killed = answer.is_none();
            let answer = answer.ok_or_else(|| Error::internal("the process that makes helpers was killed"));
            if was_killed {
                *nursery = Nursery::Wanted;
            }
            Some(answer.and_then(|answer| answer.during(|| "make a process").and_then(found)))
        }
        // It was killed before, and has not taken the order.
        Err(_) => {
            *nursery = Nursery::Wanted;
            None
        }
    }
}

/// A child that nobody has waited for, so the number is still its own.
fn found(pid: i32) -> Result<OwnedFd> {
    pidfd::open(pid).during(|| "find a process just made")
}

fn start() -> Result<OwnedFd> {
    let (ours, theirs) = socket::pair().during(|| "make a socket pair")?;
    let room = " ".repeat(ROOM);
    let child = launch::execute(&[NURSERY.as_ref(), room.as_ref()], [None, Some(theirs.as_fd()), None])?;
    launch::leave(child);
    Ok(ours)
}

/// What a helper is to be.
struct Order<'a> {
    /// Which streams come with it, a bit for each; then the words, each with a zero byte at its end.
    text: Vec<u8>,
    streams: Vec<BorrowedFd<'a>>,
}

impl<'a> Order<'a> {
    /// `None` for one that is longer than an order may be.
    fn new(words: &[&OsStr], streams: Streams<'a>) -> Option<Order<'a>> {
        let given = streams.iter().enumerate().filter(|(_, stream)| stream.is_some());
        let mut text = vec![given.fold(0, |bits, (number, _)| bits | 1 << number)];
        for word in words {
            text.extend_from_slice(word.as_bytes());
            text.push(0);
        }
        let streams = streams.into_iter().flatten().collect();
        (text.len() <= LONGEST_ORDER).then_some(Order { text, streams })
    }

    /// The helper's number, or why it could not be made; `None` if there is no answer. An error if nobody takes orders there.
    fn place(&self, connection: &OwnedFd) -> nix::Result<Option<nix::Result<i32>>> {
        socket::send(connection, &self.text, &self.streams)?;
        let mut answer = [0; 4];
        let length = socket::receive(connection, &mut answer).map(|(length, _)| length);
        Ok((length == Ok(answer.len())).then(|| match i32::from_le_bytes(answer) {
            pid @ 1.. => Ok(pid),
            errno => Err(Errno::from_raw(-errno)),
        }))
    }
}

/// Its whole life, which is that of the caller; returns its exit code.
pub(in crate::runtime) fn main(connection: OwnedFd, _: Vec<OsString>) -> u8 {
    let served = serve(&connection);
    // Whoever waits for an answer knows by this that there is none.
    drop(connection);
    u8::from(served.is_err())
}

fn serve(connection: &OwnedFd) -> Result<()> {
    let arguments = Arguments::find();
    overlay::prepare();
    seccomp::prepare();
    let mut text = vec![0; LONGEST_ORDER];
    loop {
        let (length, streams) = socket::receive(connection, &mut text).during(|| "take an order")?;
        let Some((given, words)) = text[..length].split_first() else {
            return Ok(());
        };
        // A child of the caller, which waits for it.
        let made = clone::clone(CloneFlags::CLONE_PARENT, None, || {
            process::close(connection.as_fd());
            match take_on(*given, streams, words, arguments.as_ref()) {
                Ok((role, caller, words)) => i32::from(role(caller, words)),
                Err(_) => 2,
            }
        });
        let answer = match made {
            Ok(child) => child.pid,
            Err(errno) => -(errno as i32),
        };
        socket::send(connection, &answer.to_le_bytes(), &[]).during(|| "answer an order")?;
        if words.starts_with(launch::SUPERVISOR.as_bytes()) {
            namespaces::forget_prepared();
            namespaces::prepare()?;
        }
    }
}

/// Has this copy be what was ordered, as far as `execve` would have done it; returns its role, the connection to its caller and its words.
fn take_on(
    given: u8,
    streams: Vec<OwnedFd>,
    words: &[u8],
    arguments: Option<&Arguments>,
) -> Result<(Role, OwnedFd, Vec<OsString>)> {
    let mut caller = None;
    let numbers = (0..3).filter(|number| given >> number & 1 == 1);
    for (number, stream) in numbers.zip(streams) {
        match number {
            1 => caller = Some(stream),
            number => process::replace_stream(number, stream.as_fd()).during(|| "take the streams")?,
        }
    }
    let shown = words.strip_suffix(b"\0").unwrap_or(words);
    if let Some(arguments) = arguments {
        arguments.replace(shown);
    }
    let mut words = shown
        .split(|byte| *byte == 0)
        .map(|word| OsString::from_vec(word.to_vec()));
    let role = words.next().and_then(|name| crate::runtime::role(name.to_str()?));
    let (Some(role), Some(caller)) = (role, caller) else {
        return Err(Error::internal("an order that nobody can follow"));
    };
    supervise::start_session()?;
    Ok((role, caller, words.collect()))
}
