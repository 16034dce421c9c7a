//! The answer to a request.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use super::connection::Connection;

/// An answer.
pub(in crate::server) struct Reply {
    pub(in crate::server) status: u16,
    headers: Vec<(&'static str, String)>,
    content: Content,
}

/// What an answer carries.
pub(in crate::server) enum Content {
    Nothing,
    Bytes(Arc<Vec<u8>>),
    /// Part of a file: from where, and how many bytes.
    File(File, u64, u64),
    /// A stream of which so many bytes are passed over, and so many sent.
    Stream(Box<dyn Read + Send>, u64, u64),
}

impl Content {
    fn length(&self) -> u64 {
        match self {
            Content::Nothing => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(_, _, length) | Content::Stream(_, _, length) => *length,
        }
    }
}

impl Reply {
    /// An answer without content.
    pub(in crate::server) fn new(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            content: Content::Nothing,
        }
    }

    /// With a header. A value that could end the header is left out.
    #[must_use]
    pub(in crate::server) fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        let value = value.into();
        if !value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            self.headers.push((name, value));
        }
        self
    }

    /// With content.
    #[must_use]
    pub(in crate::server) fn content(mut self, content: Content) -> Reply {
        self.content = content;
        self
    }

    /// With a JSON document.
    #[must_use]
    pub(in crate::server) fn json(self, value: &serde_json::Value) -> Reply {
        self.json_as("application/json", value)
    }

    /// With a JSON document of this media type.
    #[must_use]
    pub(in crate::server) fn json_as(self, media_type: &str, value: &serde_json::Value) -> Reply {
        self.header("Content-Type", media_type)
            .content(Content::Bytes(Arc::new(value.to_string().into_bytes())))
    }

    /// Sends it; to a `HEAD` its head alone.
    pub(super) fn send(self, connection: &mut Connection, is_head: bool, goes_on: bool) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        // RFC 9110, 8.6: none where there can be no content.
        if self.status != 204 && self.status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", self.content.length()));
        }
        head.push_str(if goes_on { "\r\n" } else { "Connection: close\r\n\r\n" });
        if is_head {
            return connection.write(head.as_bytes());
        }
        match self.content {
            Content::Nothing => connection.write(head.as_bytes()),
            // One packet for what fits into one.
            Content::Bytes(bytes) if bytes.len() < 16 << 10 => connection.write(&[head.as_bytes(), &bytes].concat()),
            Content::Bytes(bytes) => {
                connection.write(head.as_bytes())?;
                connection.write(&bytes)
            }
            Content::File(file, from, length) => {
                connection.write(head.as_bytes())?;
                connection.send_file(file, from, length)
            }
            Content::Stream(mut stream, passed, length) => {
                connection.write(head.as_bytes())?;
                io::copy(&mut (&mut stream).take(passed), &mut io::sink())?;
                connection.send_stream(stream.take(length), length)
            }
        }
    }
}

/// The words for a status (RFC 9110, 15), which nobody reads but people.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Said",
    }
}
