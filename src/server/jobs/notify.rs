//! Telling a service manager how a server is (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::variable;

/// It works.
pub(super) fn ready() {
    say("READY=1");
}

/// It looks at its settings anew; `READY=1` follows. The time is what systemd asks for of `Type=notify-reload`.
pub(super) fn reloading() {
    say("RELOADING=1");
}

/// It is about to end.
pub(super) fn stopping() {
    say("STOPPING=1");
}

/// A manager that cannot be told does without.
fn say(words: &str) {
    let Some(name) = variable("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let _ = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address));
}
