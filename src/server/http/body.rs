//! The body of a request, read as it comes.

use std::io::{self, Read};
use std::time::Duration;

use super::connection::Connection;
use super::head::Framing;

/// Bytes of a line that says how long a chunk is, and of the trailers together.
const LINE: usize = 4096;
/// Bytes that are read of a body nobody wanted, so that the connection can go on.
const UNWANTED: u64 = 1 << 20;
/// How long the next of them may take.
const BRIEFLY: Duration = Duration::from_secs(2);

/// A body, and what is left of it.
pub(in crate::server) struct Body<'a> {
    connection: &'a mut Connection,
    left: Left,
    /// Whether the client waits to be told to go on (RFC 9110, 10.1.1).
    waits: bool,
    length: Option<u64>,
    has_begun: bool,
}

enum Left {
    Bytes(u64),
    /// Of the chunk under way.
    Chunk(u64),
    Nothing,
}

impl<'a> Body<'a> {
    pub(super) fn new(connection: &'a mut Connection, framing: Framing, waits: bool) -> Body<'a> {
        let (left, length) = match framing {
            Framing::Length(0) => (Left::Nothing, Some(0)),
            Framing::Length(length) => (Left::Bytes(length), Some(length)),
            Framing::Chunked => (Left::Chunk(0), None),
        };
        Body {
            connection,
            left,
            waits,
            length,
            has_begun: false,
        }
    }

    /// Its bytes, where the head says how many.
    pub(in crate::server) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Reads what is left if that is sure to be little; whether the connection can go on. The answer waits for it meanwhile.
    pub(super) fn finish(mut self) -> bool {
        match self.left {
            Left::Nothing => true,
            // Nobody told the client to send it, if it waits.
            Left::Bytes(left) if left <= UNWANTED && !self.waits => {
                let _ = self.connection.patience(BRIEFLY);
                io::copy(&mut self, &mut io::sink()).is_ok()
            }
            _ => false,
        }
    }

    /// The length of the next chunk; of the last one, which is empty, the trailers are read as well.
    fn next_chunk(&mut self) -> io::Result<u64> {
        // Each chunk ends with a line end of its own.
        if std::mem::replace(&mut self.has_begun, true) && !self.connection.line(LINE)?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let line = self.connection.line(LINE)?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let text = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = text.and_then(|text| u64::from_str_radix(text, 16).ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        if length == 0 {
            let mut most = LINE;
            loop {
                let trailer = self.connection.line(most)?;
                if trailer.is_empty() {
                    break;
                }
                most = most.saturating_sub(trailer.len());
            }
        }
        Ok(length)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.left, Left::Nothing) || buffer.is_empty() {
            return Ok(0);
        }
        if std::mem::take(&mut self.waits) {
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Left::Chunk(0) = self.left {
            self.left = match self.next_chunk()? {
                0 => Left::Nothing,
                length => Left::Chunk(length),
            };
        }
        let left = match self.left {
            Left::Bytes(left) | Left::Chunk(left) => left,
            Left::Nothing => return Ok(0),
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.connection.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - length as u64;
        self.left = match self.left {
            Left::Bytes(_) if left == 0 => Left::Nothing,
            Left::Bytes(_) => Left::Bytes(left),
            _ => Left::Chunk(left),
        };
        Ok(length)
    }
}
