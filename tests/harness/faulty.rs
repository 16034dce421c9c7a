//! A registry that fails as it is told: it stands between a client and a real registry, and does to single answers what networks, proxies
//! and bad servers do to them. It keeps all it was sent, so that a test can look for what should not have been.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;

/// Bytes of a request's body that are kept.
const KEPT: usize = 1 << 20;

/// What happens to an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The real registry is not asked: this is the answer.
    Answer(Answer),
    /// The connection is reset (RST) before a byte of the answer.
    Drop,
    /// The connection is reset after this many bytes of the answer's body.
    Reset(u64),
    /// The connection is reset after this many bytes of the request's body were read, and nobody is asked.
    ResetUpload(u64),
    /// The request's body is read in pieces of this many bytes, with this time between them.
    Sip(usize, Duration),
    /// The connection is closed, as if all were said, after this many bytes of the answer's body.
    Truncate(u64),
    /// The answer says that its body is longer by this than it is, or shorter.
    Length(i64),
    /// The byte at this place of the body is another.
    Flip(u64),
    /// A request for a range is answered with the whole, as 200.
    NoRange,
    /// A request for a range is answered as 206, with the start of the blob.
    WrongRange,
    /// The body comes in pieces of this many bytes, with this time between them.
    Drip(usize, Duration),
    /// The body never ends; its head says nothing of a length.
    Endless,
    /// Nothing is ever said.
    Hang,
    /// The real registry is asked, and its answer comes only when a request that fits the pattern has come, and this time has passed.
    Late(&'static str, Duration),
    /// The answer has this header, in the place of those of its name.
    Header(&'static str, String),
    /// The answer lacks headers of this name.
    NoHeader(&'static str),
}

/// An answer made up by the test.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    /// The error body of the distribution specification.
    #[must_use]
    pub(crate) fn error(self, code: &str, message: &str) -> Answer {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        self.header("Content-Type", "application/json").body(body.to_string())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The body's first MiB.
    pub(crate) body: Vec<u8>,
    /// Bytes of the whole body.
    pub(crate) length: u64,
}

impl Request {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Whether a pattern such as `GET /blobs/` fits: the method, or `*`, and a part of the target.
    pub(crate) fn fits(&self, pattern: &str) -> bool {
        let (method, part) = pattern.split_once(' ').expect("a pattern is `METHOD PART`");
        (method == "*" || method == self.method) && self.target.contains(part)
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text + "\n" + String::from_utf8_lossy(&self.body).as_ref()
    }
}

struct Rule {
    pattern: String,
    times: usize,
    fault: Fault,
}

struct Shared {
    upstream: Option<SocketAddr>,
    tls: Option<Arc<ServerConfig>>,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
    stopped: Mutex<bool>,
    stopping: Condvar,
    /// Connections that are there.
    open: Mutex<usize>,
    closing: Condvar,
}

/// The registry; it ends when this is dropped.
pub(crate) struct Faulty {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Faulty {
    /// One that hands on to a real registry what no fault is for.
    pub(crate) fn before(upstream: SocketAddr) -> Faulty {
        Faulty::start(Some(upstream), None)
    }

    /// One that answers 404 to what no fault is for.
    pub(crate) fn alone() -> Faulty {
        Faulty::start(None, None)
    }

    /// The same by TLS.
    pub(crate) fn with_tls(upstream: Option<SocketAddr>, tls: Arc<ServerConfig>) -> Faulty {
        Faulty::start(upstream, Some(tls))
    }

    fn start(upstream: Option<SocketAddr>, tls: Option<Arc<ServerConfig>>) -> Faulty {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            tls,
            rules: Mutex::default(),
            seen: Mutex::default(),
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
            open: Mutex::new(0),
            closing: Condvar::new(),
        });
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if *own.stopped.lock().unwrap() {
                    return;
                }
                let (Ok(stream), own) = (stream, own.clone()) else {
                    return;
                };
                *own.open.lock().unwrap() += 1;
                // Whoever is cut off in the middle of something is what this is about.
                std::thread::spawn(move || {
                    own.serve(stream);
                    *own.open.lock().unwrap() -= 1;
                    own.closing.notify_all();
                });
            }
        });
        Faulty { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a registry's name, such as `127.0.0.1:40123`.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// The next request that fits the pattern, `METHOD PART`, has this fault. Of several rules that fit, the first is used up first.
    pub(crate) fn once(&self, pattern: &str, fault: Fault) {
        self.times(1, pattern, fault);
    }

    /// The next requests have it.
    pub(crate) fn times(&self, times: usize, pattern: &str, fault: Fault) {
        let pattern = pattern.to_owned();
        self.shared.rules.lock().unwrap().push(Rule { pattern, times, fault });
    }

    /// All that come have it.
    pub(crate) fn always(&self, pattern: &str, fault: Fault) {
        self.times(usize::MAX, pattern, fault);
    }

    /// No fault any more.
    pub(crate) fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// Waits until the last word of clients that are gone was heard, handed on, and answered.
    pub(crate) fn settle(&self) {
        // Connections are taken in the order in which they were made: once this one ends, those before it are counted.
        let mut last = TcpStream::connect(self.address).unwrap();
        last.set_read_timeout(Some(PATIENCE)).unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        let _ = last.read_to_end(&mut Vec::new()).unwrap();
        let open = self.shared.open.lock().unwrap();
        let closing = &self.shared.closing;
        let (open, _) = closing.wait_timeout_while(open, PATIENCE, |open| *open > 0).unwrap();
        assert_eq!(*open, 0, "connections of clients that are gone");
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests fitted a pattern.
    pub(crate) fn count(&self, pattern: &str) -> usize {
        self.seen().iter().filter(|request| request.fits(pattern)).count()
    }

    /// Fails if anything it was sent has this text in it: a request's line, header or body.
    #[track_caller]
    pub(crate) fn assert_never_sent(&self, secret: &str) {
        for request in self.seen() {
            assert!(
                !request.text().contains(secret),
                "`{secret}` was sent:\n{}",
                request.text()
            );
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        *self.shared.stopped.lock().unwrap() = true;
        self.shared.stopping.notify_all();
        // It wakes whoever waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// A client's connection.
trait Wire: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

impl Shared {
    fn serve(&self, socket: TcpStream) {
        let _ = socket.set_read_timeout(Some(PATIENCE));
        match &self.tls {
            None => self.converse(socket),
            Some(tls) => match ServerConnection::new(tls.clone()) {
                Ok(connection) => self.converse(StreamOwned::new(connection, socket)),
                Err(error) => panic!("TLS as the test set it up: {error}"),
            },
        }
    }

    fn converse<W: Wire>(&self, wire: W) {
        let mut wire = BufReader::new(wire);
        // An error is a client that went away.
        while let Ok(true) = self.exchange(&mut wire) {}
    }

    /// One request and its answer; whether the connection goes on.
    fn exchange<W: Wire>(&self, wire: &mut BufReader<W>) -> io::Result<bool> {
        let (line, headers) = read_head(wire)?;
        let mut words = line.split(' ').map(str::to_owned);
        let request = Request {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers,
            body: Vec::new(),
            length: 0,
        };
        if request.header("Expect").is_some() {
            wire.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let fault = self.fault_for(&request);
        let mut body = Vec::new();
        if let Some(Fault::ResetUpload(most)) = fault {
            let _ = body_of(&request.headers, Some(0), wire)
                .take(most)
                .read_to_end(&mut body);
            self.note(request, &body);
            reset(wire.get_ref().socket());
            return Ok(false);
        }
        let read = match fault {
            Some(Fault::Sip(size, pause)) => {
                self.sip(&mut *body_of(&request.headers, Some(0), wire), (size, pause), &mut body)
            }
            _ => body_of(&request.headers, Some(0), wire)
                .read_to_end(&mut body)
                .map(drop),
        };
        self.note(request.clone(), &body);
        read?;
        let goes_on = request
            .header("Connection")
            .is_none_or(|word| !word.eq_ignore_ascii_case("close"));
        Ok(self.answer(wire, &request, &body, fault)? && goes_on)
    }

    fn sip(&self, input: &mut dyn Read, (size, pause): (usize, Duration), body: &mut Vec<u8>) -> io::Result<()> {
        while input.take(size as u64).read_to_end(body)? > 0 && !self.until_stopped(pause) {}
        Ok(())
    }

    /// Whether the connection can go on after it.
    fn answer<W: Wire>(
        &self,
        wire: &mut BufReader<W>,
        request: &Request,
        body: &[u8],
        fault: Option<Fault>,
    ) -> io::Result<bool> {
        match fault {
            Some(Fault::Answer(answer)) => self.made_up(wire.get_mut(), request, &answer),
            Some(Fault::Drop) => {
                reset(wire.get_ref().socket());
                Ok(false)
            }
            Some(Fault::Hang) => {
                self.until_stopped(PATIENCE);
                Ok(false)
            }
            Some(Fault::Endless) => self.endless(wire.get_mut()),
            fault => match self.upstream {
                Some(upstream) => self.hand_on(wire.get_mut(), upstream, request, body, fault.as_ref()),
                None => {
                    let answer = Answer::status(404).error("NAME_UNKNOWN", "no fault is for this");
                    self.made_up(wire.get_mut(), request, &answer)
                }
            },
        }
    }

    fn note(&self, mut request: Request, body: &[u8]) {
        request.length = body.len() as u64;
        request.body = body[..body.len().min(KEPT)].to_vec();
        self.seen.lock().unwrap().push(request);
    }

    fn fault_for(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && request.fits(&rule.pattern))?;
        rule.times = if rule.times == usize::MAX {
            rule.times
        } else {
            rule.times - 1
        };
        Some(rule.fault.clone())
    }

    /// Waits for the end of the test, or for so long; whether the test has ended.
    fn until_stopped(&self, limit: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap();
        let (stopped, _) = self
            .stopping
            .wait_timeout_while(stopped, limit, |stopped| !*stopped)
            .unwrap();
        *stopped
    }

    fn made_up(&self, wire: &mut impl Wire, request: &Request, answer: &Answer) -> io::Result<bool> {
        let mut headers = answer.headers.clone();
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        {
            headers.push(("Content-Length".to_owned(), answer.body.len().to_string()));
        }
        write_head(wire, &format!("HTTP/1.1 {} Said", answer.status), &headers)?;
        if request.method != "HEAD" {
            wire.write_all(&answer.body)?;
        }
        wire.flush()?;
        Ok(true)
    }

    fn endless(&self, wire: &mut impl Wire) -> io::Result<bool> {
        let headers = [("Transfer-Encoding".to_owned(), "chunked".to_owned())];
        write_head(wire, "HTTP/1.1 200 OK", &headers)?;
        let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        while !*self.stopped.lock().unwrap() {
            wire.write_all(&piece)?;
        }
        Ok(false)
    }

    /// Asks the real registry, and does to its answer what the fault says.
    fn hand_on(
        &self,
        wire: &mut impl Wire,
        upstream: SocketAddr,
        request: &Request,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> io::Result<bool> {
        let mut real = BufReader::new(TcpStream::connect(upstream)?);
        let dropped = |name: &str| {
            let no_range = matches!(fault, Some(Fault::NoRange | Fault::WrongRange));
            let mut gone = vec!["Connection", "Expect", "Transfer-Encoding", "Content-Length"];
            gone.extend(no_range.then_some("Range"));
            gone.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| !dropped(name))
            .cloned()
            .collect();
        headers.push(("Connection".to_owned(), "close".to_owned()));
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        write_head(
            real.get_mut(),
            &format!("{} {} HTTP/1.1", request.method, request.target),
            &headers,
        )?;
        real.get_mut().write_all(body)?;
        let (mut line, mut headers) = read_head(&mut real)?;
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Connection"));
        let has_body = request.method != "HEAD" && !["204", "304"].iter().any(|code| line.contains(code));
        let mut answer = Vec::new();
        if has_body {
            body_of(&headers, None, &mut real).read_to_end(&mut answer)?;
            set(&mut headers, "Content-Length", answer.len().to_string());
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Transfer-Encoding"));
        }
        change(&mut line, &mut headers, &mut answer, request, fault);
        if let Some(Fault::Late(pattern, time)) = fault {
            let has_come = || self.seen.lock().unwrap().iter().any(|request| request.fits(pattern));
            while !has_come() && !self.until_stopped(Duration::from_millis(5)) {}
            self.until_stopped(*time);
        }
        write_head(wire, &line, &headers)?;
        self.write_body(wire, &answer, fault)
    }

    fn write_body(&self, wire: &mut impl Wire, body: &[u8], fault: Option<&Fault>) -> io::Result<bool> {
        let first = |most: u64| &body[..body.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
        match fault {
            Some(Fault::Reset(most)) => {
                wire.write_all(first(*most))?;
                wire.flush()?;
                reset(wire.socket());
                Ok(false)
            }
            Some(Fault::Truncate(most)) => {
                wire.write_all(first(*most))?;
                wire.flush()?;
                Ok(false)
            }
            Some(Fault::Drip(size, pause)) => {
                for piece in body.chunks(*size) {
                    wire.write_all(piece)?;
                    wire.flush()?;
                    if self.until_stopped(*pause) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Some(Fault::Length(_)) => {
                wire.write_all(body)?;
                wire.flush()?;
                Ok(false)
            }
            _ => {
                wire.write_all(body)?;
                wire.flush()?;
                Ok(true)
            }
        }
    }
}

/// Does to an answer what changes it as a whole.
fn change(
    line: &mut String,
    headers: &mut Vec<(String, String)>,
    body: &mut Vec<u8>,
    request: &Request,
    fault: Option<&Fault>,
) {
    match fault {
        Some(Fault::Length(more)) => {
            let length = (body.len() as u64).saturating_add_signed(*more);
            set(headers, "Content-Length", length.to_string());
        }
        Some(Fault::Flip(at)) => {
            if let Some(byte) = usize::try_from(*at).ok().and_then(|at| body.get_mut(at)) {
                *byte ^= 1;
            }
        }
        Some(Fault::WrongRange) if request.header("Range").is_some() => {
            let whole = body.len();
            body.truncate(whole / 2);
            *line = "HTTP/1.1 206 Partial Content".to_owned();
            set(headers, "Content-Length", body.len().to_string());
            let last = body.len().saturating_sub(1);
            set(headers, "Content-Range", format!("bytes 0-{last}/{whole}"));
        }
        Some(Fault::Header(name, value)) => set(headers, name, value.clone()),
        Some(Fault::NoHeader(name)) => headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name)),
        _ => {}
    }
}

fn set(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    headers.push((name.to_owned(), value));
}

/// The first line and the headers.
fn read_head(input: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let mut next = || {
        let mut line = String::new();
        match input.read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let first = next()?;
    let mut headers = Vec::new();
    loop {
        let line = next()?;
        let Some((name, value)) = line.split_once(':') else {
            return Ok((first, headers));
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn write_head(output: &mut impl Write, line: &str, headers: &[(String, String)]) -> io::Result<()> {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    output.write_all(text.as_bytes())
}

/// The body that these headers announce; without a word of its length it has `without` bytes, or goes on to the end.
fn body_of<'a>(headers: &[(String, String)], without: Option<u64>, input: &'a mut impl BufRead) -> Box<dyn Read + 'a> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    if header("Transfer-Encoding").is_some() {
        return Box::new(Chunked {
            input,
            left: 0,
            ended: false,
        });
    }
    let length = header("Content-Length").and_then(|value| value.parse().ok());
    Box::new(input.take(length.or(without).unwrap_or(u64::MAX)))
}

/// A body in chunks (RFC 9112, 7.1).
struct Chunked<'a, R> {
    input: &'a mut R,
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = String::new();
        if self.left == 0 && !self.ended {
            self.input.read_line(&mut line)?;
            let size = line.trim().split(';').next().unwrap_or_default();
            self.left = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if self.left == 0 {
                self.ended = true;
                self.input.read_line(&mut line)?;
            }
        }
        if self.ended {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let length = self.input.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length;
        if self.left == 0 {
            self.input.read_line(&mut line)?;
        }
        Ok(length)
    }
}

/// Ends a connection by a reset.
fn reset(socket: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
    let _ = socket.shutdown(std::net::Shutdown::Read);
}
