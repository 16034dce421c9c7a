//! Pseudoterminals (pty(7)), and what a process does with its terminal.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// The rows and columns of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Lets the other end of a master just opened be opened.
pub fn unlock(master: impl AsFd) -> nix::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: the descriptor is open during the call, and the kernel reads one number.
    Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSPTLCK as _, &raw const locked) })
        .map(drop)
}

/// Opens the other end of a master: the very one, whatever lies at its path (TIOCGPTPEER, Linux 4.13).
pub fn open_peer(master: impl AsFd) -> nix::Result<File> {
    let flags = (OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits();
    // SAFETY: the descriptor is open during the call, which takes the flags as a number.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER as _, flags) })?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Makes a terminal that of this process's session, whose leader it is.
pub fn make_controlling(terminal: impl AsFd) -> nix::Result<()> {
    // SAFETY: the descriptor is open during the call; 0 takes no terminal away from another session.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) }).map(drop)
}

/// Tells a terminal its size; the programs in its foreground get `SIGWINCH` if it is another one.
pub fn set_size(terminal: impl AsFd, size: Size) -> nix::Result<()> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open during the call, and the kernel reads a structure of its own layout.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) })
        .map(drop)
}

/// The size of a terminal, if that is one and knows it.
pub fn size(terminal: impl AsFd) -> Option<Size> {
    // SAFETY: an all-zero `winsize` is a valid value of plain numbers.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open during the call, and the kernel writes a structure of its own layout.
    let asked = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) };
    (asked == 0 && size.ws_row > 0 && size.ws_col > 0).then_some(Size {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Asks, and reads a line that is typed at a terminal, which shows nothing of it; `None` when `wake` can be read before there is one.
pub fn read_hidden(terminal: impl AsFd, wake: BorrowedFd<'_>, ask: impl FnOnce()) -> nix::Result<Option<Vec<u8>>> {
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    // What was typed before the question is no answer to it.
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent)?;
    // Whoever sees the question may type at once.
    ask();
    let line = read_line(&terminal, wake);
    tcsetattr(&terminal, SetArg::TCSANOW, &before)?;
    line
}

/// Reads what one key sends, without showing it; `None` when `wake` can be read before there is one.
pub fn read_key(terminal: impl AsFd, wake: BorrowedFd<'_>) -> nix::Result<Option<Vec<u8>>> {
    let before = tcgetattr(&terminal)?;
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
    tcsetattr(&terminal, SetArg::TCSADRAIN, &raw)?;
    let key = read_some(&terminal, wake);
    tcsetattr(&terminal, SetArg::TCSADRAIN, &before)?;
    key
}

fn read_some(terminal: impl AsFd, wake: BorrowedFd<'_>) -> nix::Result<Option<Vec<u8>>> {
    let mut bytes = [0; 16];
    loop {
        let mut fds = [terminal.as_fd(), wake].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) if fds[1].any().unwrap_or(true) => return Ok(None),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        }
        match nix::unistd::read(&terminal, &mut bytes) {
            Ok(length) => return Ok(Some(bytes[..length].to_vec())),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn read_line(terminal: impl AsFd, wake: BorrowedFd<'_>) -> nix::Result<Option<Vec<u8>>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        let mut fds = [terminal.as_fd(), wake].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) if fds[1].any().unwrap_or(true) => return Ok(None),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        }
        match nix::unistd::read(&terminal, &mut byte) {
            Ok(0) => return Ok(Some(line)),
            Ok(_) if byte == *b"\n" => return Ok(Some(line)),
            Ok(_) => line.push(byte[0]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn both_ends_are_one_terminal() {
        let mut master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        unlock(&master).unwrap();
        let mut peer = open_peer(&master).unwrap();
        assert_eq!(size(&peer), None);
        let wanted = Size { rows: 7, columns: 9 };
        set_size(&master, wanted).unwrap();
        assert_eq!(size(&peer), Some(wanted));
        assert_eq!(size(File::open("/dev/null").unwrap()), None);
        peer.write_all(b"x\n").unwrap();
        let mut read = [0; 3];
        master.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"x\r\n");
    }
}
