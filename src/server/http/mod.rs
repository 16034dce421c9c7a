//! A small server of HTTP/1.1 (RFC 9112): a thread for each connection, and files handed to the kernel (`sendfile`).

mod body;
mod connection;
mod head;
mod listener;
mod reply;
mod tls;

pub(super) use body::Body;
pub(super) use head::Head;
pub(super) use listener::{Handler, Listener, address};
pub(super) use reply::{Content, Reply};
pub(super) use tls::server_config;
