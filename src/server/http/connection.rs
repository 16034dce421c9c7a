//! A connection: bytes in through a buffer, bytes out, plain or by TLS.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::sys::socket;

/// Bytes of a request's head.
pub(super) const HEAD: usize = 64 << 10;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// One client's connection.
pub(super) struct Connection {
    wire: Wire,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// What came of waiting for a request.
pub(super) enum Next {
    /// The bytes of its head.
    Head(Vec<u8>),
    /// The client has nothing more to say.
    End,
    /// The head is longer than any should be.
    TooLong,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Connection> {
        let wire = match tls {
            None => Wire::Plain(socket),
            Some(tls) => {
                let session = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
                Wire::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Connection {
            wire,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
        })
    }

    fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// How long a read may take.
    pub(super) fn patience(&self, limit: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(limit))
    }

    /// Waits for a byte, or for the end of the connection; whether one came.
    pub(super) fn wait(&mut self) -> io::Result<bool> {
        Ok(self.start < self.end || self.fill()? > 0)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let length = self.wire.read(&mut self.buffer)?;
        (self.start, self.end) = (0, length);
        Ok(length)
    }

    /// Reads the head of a request, which must be here by then: who sends a byte at a time does not keep a thread for ever.
    pub(super) fn head(&mut self, deadline: Instant) -> io::Result<Next> {
        let mut head = Vec::new();
        while self.wait()? {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let new = &self.buffer[self.start..self.end];
            // The end may be half in what came before.
            let from = head.len().saturating_sub(3);
            head.extend_from_slice(new);
            let end = head[from..].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end.map(|at| from + at + 4) {
                self.start = self.end - (head.len() - end);
                head.truncate(end);
                return Ok(if end > HEAD { Next::TooLong } else { Next::Head(head) });
            }
            self.start = self.end;
            if head.len() > HEAD {
                return Ok(Next::TooLong);
            }
        }
        match head.is_empty() {
            true => Ok(Next::End),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// A line without its end, of at most so many bytes.
    pub(super) fn line(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            if !self.wait()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let byte = self.buffer[self.start];
            self.start += 1;
            match byte {
                b'\n' if line.last() == Some(&b'\r') => {
                    line.pop();
                    return Ok(line);
                }
                _ if line.len() > most => return Err(io::ErrorKind::InvalidData.into()),
                byte => line.push(byte),
            }
        }
    }

    /// Reads some bytes; large buffers are filled without a detour.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            if buffer.len() >= BUFFER {
                return self.wire.read(buffer);
            }
            self.fill()?;
        }
        let length = buffer.len().min(self.end - self.start);
        buffer[..length].copy_from_slice(&self.buffer[self.start..self.start + length]);
        self.start += length;
        Ok(length)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    fn pass_over(&mut self) -> io::Result<usize> {
        let mut socket = match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        };
        socket.read(&mut self.buffer)
    }

    /// Says that nothing more will come, and passes over what the client still sends: to close at once would reset the connection, and
    /// with that take away the answer that the client has not read yet.
    pub(super) fn linger(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        let _ = self.socket().shutdown(Shutdown::Write);
        let _ = self.patience(limit);
        while Instant::now() < end && matches!(self.pass_over(), Ok(1..)) {}
    }

    /// Sends part of a file.
    pub(super) fn send_file(&mut self, mut file: File, from: u64, length: u64) -> io::Result<()> {
        if let Wire::Plain(socket) = &self.wire {
            return whole(socket::send_file(socket, &file, from, length)?, length);
        }
        file.seek(SeekFrom::Start(from))?;
        self.send_stream(file.take(length), length)
    }

    /// Sends a stream of so many bytes.
    pub(super) fn send_stream(&mut self, mut stream: impl Read, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut sent = 0;
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                count => {
                    self.wire.write_all(&buffer[..count])?;
                    sent += count as u64;
                }
            }
        }
        self.wire.flush()?;
        whole(sent, length)
    }
}

/// What is shorter than was announced ends the connection, so that nobody takes it for whole.
fn whole(sent: u64, length: u64) -> io::Result<()> {
    if sent == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Wire::Plain(socket) => socket.read(buffer),
                Wire::Tls(stream) => stream.read(buffer),
            };
            match read {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}
