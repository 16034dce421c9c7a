//! The program as a registry, and a client that says exactly what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;

use super::hoist::Running;
use super::{Hoist, PATIENCE};

/// `hoist serve registry` on a store of a test.
pub(crate) struct Served {
    running: Option<Running>,
    url: String,
}

impl Served {
    /// Starts it on a free port with further flags, and waits until it listens.
    pub(crate) fn start(hoist: &Hoist, flags: &[&str]) -> Served {
        let listen = match flags.contains(&"--listen") {
            true => &[][..],
            false => &["--listen", "127.0.0.1:0"],
        };
        let words = [&["serve", "registry"], listen, flags].concat();
        let mut running = hoist.command(&words).spawn();
        let url = running.line();
        Served {
            running: Some(running),
            url,
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn name(&self) -> &str {
        self.url.split("//").nth(1).unwrap()
    }

    /// The URL it printed.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.name().parse().unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.running.as_ref().unwrap().signal(signal);
    }

    /// Waits until it has ended after a signal; gives what it said on standard error, and its code.
    pub(crate) fn wait(mut self) -> (String, Option<i32>) {
        let (stderr, status) = self.running.take().unwrap().wait();
        (stderr, status.code())
    }

    /// Stops it, and gives what it said on standard error, and its code.
    pub(crate) fn stop(mut self) -> (String, Option<i32>) {
        let running = self.running.take().unwrap();
        running.signal(Signal::SIGTERM);
        let (stderr, status) = running.wait();
        (stderr, status.code())
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        let running = self.running.take().unwrap();
        running.signal(Signal::SIGKILL);
        running.wait();
    }

    /// A request by a connection of its own, without a body.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Answered {
        self.send(method, target, &[], b"")
    }

    /// A request with headers and a body.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        let mut wire = self.connect();
        wire.write_all(&request(method, target, headers, body)).unwrap();
        Answered::read(&mut wire, method == "HEAD")
    }

    /// A connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let wire = TcpStream::connect(self.address()).unwrap();
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        wire
    }

    /// Pushes a blob in one request; gives its digest.
    #[track_caller]
    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.send("POST", &target, &[], bytes).is(201);
        digest
    }

    /// Pushes a manifest under a tag or digest; gives its digest.
    #[track_caller]
    pub(crate) fn push_manifest(&self, repository: &str, name: &str, media_type: &str, text: &str) -> String {
        let target = format!("/v2/{repository}/manifests/{name}");
        let answer = self
            .send("PUT", &target, &[("Content-Type", media_type)], text.as_bytes())
            .is(201);
        answer.header("Docker-Content-Digest").unwrap().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::SIGTERM);
            running.wait();
        }
    }
}

/// The SHA-256 of bytes as registries write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hoist::model::Digest::of(bytes).to_string()
}

/// The bytes of a request, after which the connection may go.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !has("Content-Length") && !has("Transfer-Encoding") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// Reads one; of the answer to a `HEAD` its head alone.
    #[track_caller]
    pub(crate) fn read(wire: &mut impl Read, is_head: bool) -> Answered {
        let mut wire = BufReader::new(wire);
        let mut next = || {
            let mut line = String::new();
            wire.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let first = next();
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut headers = Vec::new();
        while let Some((name, value)) = next().split_once(": ") {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answered {
            status: status.unwrap_or_else(|| panic!("no answer: `{first}`")),
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("Content-Length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        if !is_head {
            wire.take(length).read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Itself, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answered {
        assert_eq!(
            self.status,
            status,
            "{:?}\n{}",
            self.headers,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// The code of the first error.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
