//! Those who come to a running program to see what it writes and to type what it reads: any number, for as long as they like.
//!
//! Nobody waits for them: one who does not read what comes is let go.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::error::{Context, Result};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::channel::{Channel, Message, Stream};
use crate::sys::socket;

/// The name of the socket in the container's run directory.
const SOCKET: &str = "attach";
/// The most who may be there at once.
const MOST: usize = 64;
/// How many bytes may wait for one of them.
const ROOM: usize = 4 << 20;

/// The door, and those who are there.
pub(in crate::runtime) struct Visitors {
    door: OwnedFd,
    present: Vec<Channel>,
}

impl Visitors {
    /// Opens the door. What a run before this one left of it is replaced.
    pub(in crate::runtime) fn expect(bundle: &Bundle) -> Result<Visitors> {
        let show = || "listen for those who attach";
        let path = bundle.run_dir.join(SOCKET);
        bundle::remove_file(&path)?;
        let dir = File::open(&bundle.run_dir).during(show)?;
        let door = socket::listen(&near(&dir)).during(show)?;
        // Nobody else comes as far as the directory.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).during(show)?;
        Ok(Visitors {
            door,
            present: Vec::new(),
        })
    }

    /// What to wait for: the door first, then those present.
    pub(in crate::runtime) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.door.as_fd()).chain(self.present.iter().map(AsFd::as_fd))
    }

    /// Hears those of whom something is to be heard, by the order of [`Visitors::watched`], and lets in who waits.
    pub(in crate::runtime) fn attend(&mut self, ready: &[bool], mut hear: impl FnMut(Message)) {
        let mut at = 0;
        self.present.retain(|visitor| {
            at += 1;
            if ready.get(at) != Some(&true) {
                return true;
            }
            match visitor.receive() {
                Ok(None | Some(Message::Leave)) | Err(_) => false,
                Ok(Some(message)) => {
                    hear(message);
                    true
                }
            }
        });
        if ready.first() == Some(&true)
            && let Ok(socket) = socket::accept(&self.door)
            && self.present.len() < MOST
        {
            // The usual room will do otherwise.
            let _ = socket::give_room(&socket, ROOM);
            self.present.push(Channel::from_fd(socket));
        }
    }

    /// Shows all of them what the program wrote.
    pub(in crate::runtime) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        self.present
            .retain(|visitor| visitor.try_send_output(stream, bytes).is_ok());
    }

    /// Tells all of them something, last of all.
    pub(in crate::runtime) fn part(self, message: &Message) {
        for visitor in self.present {
            let _ = visitor.try_send(message);
        }
    }
}

/// The path of the socket in an open directory: short, however long the directory's own is.
fn near(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

/// Goes to a running program. `None` if nobody is expected there.
pub(in crate::runtime) fn visit(bundle: &Bundle) -> Result<Option<Channel>> {
    let show = || format!("attach to container `{}`", bundle.id.short());
    let Ok(dir) = File::open(&bundle.run_dir) else {
        return Ok(None);
    };
    match socket::connect(&near(&dir)) {
        Ok(socket) => Ok(Some(Channel::from_fd(socket))),
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ECONNREFUSED) => Ok(None),
        Err(errno) => Err(errno).during(show),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_is_found_below_a_long_path_and_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let bundle = Bundle {
            id: "ab".repeat(32).parse().unwrap(),
            dir: long.clone(),
            run_dir: long.clone(),
        };
        assert!(visit(&bundle).unwrap().is_none());
        let mut visitors = Visitors::expect(&bundle).unwrap();
        assert_eq!(
            fs::metadata(long.join(SOCKET)).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let visitor = visit(&bundle).unwrap().unwrap();
        visitors.attend(&[true], |_| {});
        visitors.show(Stream::Stdout, b"x");
        assert_eq!(
            visitor.receive().unwrap(),
            Some(Message::Output(Stream::Stdout, b"x".to_vec()))
        );
        // One who does not read is let go, and nobody waits.
        let piece = vec![0; 60_000];
        while visitors.present.len() == 1 {
            visitors.show(Stream::Stdout, &piece);
        }
        drop(visitors);
        assert!(visit(&bundle).unwrap().is_none());
    }
}
