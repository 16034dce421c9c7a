//! Sockets. Those of TCP are the standard library's, waited for so that the wait can be ended; Unix sockets carry whole messages, and descriptors sent over them (`SOCK_SEQPACKET` and `SCM_RIGHTS`, unix(7)).

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    recvmsg, sendmsg, setsockopt, socketpair, sockopt,
};

/// Two connected sockets that carry whole messages, which an `execve` closes.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

fn endpoint() -> nix::Result<OwnedFd> {
    nix::sys::socket::socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Makes a socket at a path of at most 107 bytes, and waits for connections there.
pub fn listen(path: &Path) -> nix::Result<OwnedFd> {
    let listener = endpoint()?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    nix::sys::socket::listen(&listener, Backlog::MAXCONN)?;
    Ok(listener)
}

/// Connects to a socket at a path of at most 107 bytes.
pub fn connect(path: &Path) -> nix::Result<OwnedFd> {
    let connection = endpoint()?;
    nix::sys::socket::connect(connection.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(connection)
}

/// Waits for a connection.
pub fn accept(listener: impl AsFd) -> nix::Result<OwnedFd> {
    loop {
        match accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
            accepted => return accepted.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }
}

/// Waits for a client of a TCP server; `None` once `wake` hangs up, or after so long.
pub fn accept_within(
    listener: &TcpListener,
    wake: BorrowedFd<'_>,
    limit: Duration,
) -> std::io::Result<Option<TcpStream>> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut fds = [
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        PollFd::new(wake, PollFlags::POLLIN),
    ];
    match poll(&mut fds, limit) {
        Err(Errno::EINTR) => return Ok(None),
        other => other?,
    };
    if fds[1].any().unwrap_or(true) || !fds[0].any().unwrap_or(false) {
        return Ok(None);
    }
    listener.accept().map(|(stream, _)| Some(stream))
}

/// Sends part of a file: the kernel hands its pages to the socket, and no byte is copied (sendfile(2)). The file must not change while it
/// is on its way. Gives how many bytes went; fewer than asked for only where the file ends.
pub fn send_file(socket: &TcpStream, file: &File, from: u64, length: u64) -> std::io::Result<u64> {
    let mut offset = i64::try_from(from).map_err(std::io::Error::other)?;
    let mut left = length;
    while left > 0 {
        // More than this a call does not send.
        let count = usize::try_from(left.min(0x7fff_f000)).unwrap_or(usize::MAX);
        match sendfile64(socket, file, Some(&mut offset), count) {
            Ok(0) => break,
            Ok(sent) => left -= sent as u64,
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(length - left)
}

/// The most descriptors that come with one message.
const MOST_FDS: usize = 3;

/// Sends a message and descriptors with it, three at most.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> nix::Result<()> {
    let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let rights = if fds.is_empty() { &[] } else { &rights[..] };
    let (socket, parts) = (socket.as_fd().as_raw_fd(), [IoSlice::new(message)]);
    loop {
        match sendmsg::<()>(socket, &parts, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Takes a message and the descriptors that came with it: how long it is, 0 if the other end is gone.
pub fn receive(socket: impl AsFd, message: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; MOST_FDS]);
    let mut parts = [IoSliceMut::new(message)];
    let socket = socket.as_fd().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    let rights = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = rights.into_iter().flatten();
    // SAFETY: the kernel made these descriptors for this process as it took the message, so they are open and nobody else owns them.
    let fds = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    Ok((message.bytes, fds))
}

/// Sends a descriptor, with a byte that carries it.
pub fn send_fd(socket: impl AsFd, fd: BorrowedFd<'_>) -> nix::Result<()> {
    send(socket, &[0], &[fd])
}

/// Takes a descriptor that was sent; `None` if nothing was and the other end is gone.
pub fn receive_fd(socket: impl AsFd) -> nix::Result<Option<OwnedFd>> {
    receive(socket, &mut [0]).map(|(_, fds)| fds.into_iter().next())
}

/// Lets so many bytes wait for the other end of a connection, if that is allowed (`CAP_NET_ADMIN`).
pub fn give_room(socket: impl AsFd, bytes: usize) -> nix::Result<()> {
    setsockopt(&socket.as_fd(), sockopt::SndBufForce, &bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_and_the_end_is_told() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send_fd(&a, writer.as_fd()).unwrap();
        drop((a, writer));
        let mut received = std::fs::File::from(receive_fd(&b).unwrap().unwrap());
        received.write_all(b"x").unwrap();
        drop(received);
        assert_eq!(std::io::read_to_string(&mut reader).unwrap(), "x");
        assert!(receive_fd(&b).unwrap().is_none());
    }

    #[test]
    fn messages_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert_eq!(connect(&path).unwrap_err(), Errno::ENOENT);
        let listener = listen(&path).unwrap();
        let one = connect(&path).unwrap();
        let other = accept(&listener).unwrap();
        nix::unistd::write(&one, b"a").unwrap();
        nix::unistd::write(&one, b"bc").unwrap();
        let mut read = [0; 8];
        assert_eq!(nix::unistd::read(&other, &mut read), Ok(1));
        assert_eq!(nix::unistd::read(&other, &mut read), Ok(2));
    }
}
