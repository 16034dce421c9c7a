//! Telling a service manager how a server is (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::config::variable;
use crate::runtime::monotonic;

/// How long a manager may take to make room for what it is told.
const PATIENCE: Duration = Duration::from_millis(200);

/// It works.
pub(super) fn ready() {
    say("READY=1");
}

/// It looks at its settings anew, as of now: what the manager asked for before is seen to; `READY=1` follows (`Type=notify-reload`).
pub(super) fn reloading() {
    say(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
}

/// It is about to end.
pub(super) fn stopping() {
    say("STOPPING=1");
}

/// It does not hang.
pub(super) fn alive() {
    say("WATCHDOG=1");
}

/// How often to say that it does not hang: twice in the time after which the manager takes it to (sd_watchdog_enabled(3)).
pub(super) fn watch() -> Option<Duration> {
    let own = std::process::id().to_string();
    if variable("WATCHDOG_PID").is_some_and(|pid| pid != own) {
        return None;
    }
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    Some(Duration::from_micros(micros / 2)).filter(|span| !span.is_zero())
}

/// A manager that cannot be told does without; one that does not listen holds nobody up for long.
fn say(words: &str) {
    let Some(name) = variable("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let _ = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to_addr(words.as_bytes(), &address)
    });
}
