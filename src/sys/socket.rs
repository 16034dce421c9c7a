//! Descriptors sent from process to process, over a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

/// Two connected sockets that carry whole messages, which an `execve` closes.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Sends a descriptor, with a byte that carries it.
pub fn send_fd(socket: impl AsFd, fd: BorrowedFd<'_>) -> nix::Result<()> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let socket = socket.as_fd().as_raw_fd();
    sendmsg::<()>(socket, &[IoSlice::new(&[0])], &rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// Takes a descriptor that was sent; `None` if nothing was and the other end is gone.
pub fn receive_fd(socket: impl AsFd) -> nix::Result<Option<OwnedFd>> {
    let (mut byte, mut space) = ([0], cmsg_space!(RawFd));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let socket = socket.as_fd().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    let rights = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel made this descriptor for this process as it took the message, so it is open and nobody else owns it. There
    // was room for one only.
    Ok(rights.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
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
}
