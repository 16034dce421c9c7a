//! Registries as servers, to clients that do nothing with what they get.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::REST;
use crate::arena::{Arena, text};
use crate::compare::{Contestant, compare};

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;
/// Bytes of the blob.
const BLOB: u64 = 1 << 30;
const HEADS: usize = 10_000;
/// `docker-registry` has no such manifest for those who do not say that they take one.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Bytes a client reads or writes at once.
const PIECE: usize = 1 << 20;
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);

/// A registry that runs, and the repository `bench/it` in it.
struct Registry {
    child: Child,
    port: u16,
    blob: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Registry {
    fn start(mut command: Command, port: u16) -> Registry {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begin.elapsed() < START, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let blob = String::new();
        let mut registry = Registry { child, port, blob };
        registry.fill();
        registry
    }

    fn hoist(arena: &Arena) -> Registry {
        arena.fresh_hoist();
        let port = free_port();
        let mut command = Command::new(text(&arena.program));
        command.args(["--root", &arena.path("hoist"), "--run-root", &arena.path("hoist-run")]);
        command.args(["serve", "registry", "--write", "--listen", &format!("127.0.0.1:{port}")]);
        Registry::start(command, port)
    }

    /// Debian's `docker-registry`, where this machine has it.
    fn docker(arena: &Arena) -> Option<Registry> {
        let program = arena.path("docker-registry-program");
        if std::fs::metadata(&program).unwrap().len() == 0 {
            return None;
        }
        let (dir, port) = (arena.fresh_dir("docker-registry"), free_port());
        let config = format!("{dir}/config.yml");
        let lines = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {dir}}}\n  \
             cache: {{blobdescriptor: inmemory}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        );
        std::fs::write(&config, lines).unwrap();
        let mut command = Command::new(program);
        command.args(["serve", &config]);
        Some(Registry::start(command, port))
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap()
    }

    /// Sends a request, and gives the answer's headers; of its body nothing is read.
    fn ask(wire: &mut BufReader<TcpStream>, line: &str, headers: &str, mut body: impl Read) -> Vec<(String, String)> {
        let head = format!("{line} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
        wire.get_mut().write_all(head.as_bytes()).unwrap();
        std::io::copy(&mut body, wire.get_mut()).unwrap();
        let mut answer = Vec::new();
        let mut first = String::new();
        wire.read_line(&mut first).unwrap();
        assert!(first.starts_with("HTTP/1.1 2"), "{line}: {first}");
        loop {
            let mut text = String::new();
            wire.read_line(&mut text).unwrap();
            let Some((name, value)) = text.split_once(':') else {
                return answer;
            };
            answer.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn push(&self, digest: &str, length: u64, body: impl Read) {
        let mut wire = BufReader::new(self.connect());
        let empty = "Content-Length: 0\r\n";
        let answer = Registry::ask(&mut wire, "POST /v2/bench/it/blobs/uploads/", empty, std::io::empty());
        let (_, place) = answer.into_iter().find(|(name, _)| name == "location").unwrap();
        // With the host or without it.
        let path = &place[place.find("/v2/").unwrap()..];
        let mark = if path.contains('?') { '&' } else { '?' };
        let line = format!("PUT {path}{mark}digest={digest}");
        let headers = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
        Registry::ask(&mut wire, &line, &headers, body);
    }

    /// Pushes the blob, and a manifest that names it.
    fn fill(&mut self) {
        let mut hasher = hoist::model::Hasher::new();
        let piece: Vec<u8> = (0..PIECE).map(|at| (at * 31 % 251) as u8).collect();
        (0..BLOB / PIECE as u64).for_each(|_| hasher.update(&piece));
        self.blob = hasher.finish().to_string();
        self.push(&self.blob, BLOB, Repeated { bytes: &piece, at: 0 }.take(BLOB));
        let config = hoist::model::Digest::of(b"{}").to_string();
        self.push(&config, 2, &b"{}"[..]);
        let kind = MANIFEST;
        let blob = &self.blob;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{blob}","size":{BLOB}}}]}}"#
        );
        let headers = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", manifest.len());
        let mut wire = BufReader::new(self.connect());
        Registry::ask(&mut wire, "PUT /v2/bench/it/manifests/1", &headers, manifest.as_bytes());
    }

    /// All clients get the blob at once.
    fn blobs(&self) {
        let get = || {
            let mut wire = BufReader::new(self.connect());
            let line = format!("GET /v2/bench/it/blobs/{}", self.blob);
            Registry::ask(&mut wire, &line, "", std::io::empty());
            let (mut left, mut buffer) = (BLOB - wire.buffer().len() as u64, vec![0; PIECE]);
            while left > 0 {
                let length = wire.get_mut().read(&mut buffer).unwrap() as u64;
                assert!(length > 0, "{left} bytes are missing");
                left -= length;
            }
        };
        std::thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(get))));
    }

    /// All clients ask for the manifest's head, each by one connection.
    fn heads(&self) {
        let accept = format!("Accept: {MANIFEST}\r\n");
        let ask = || {
            let mut wire = BufReader::new(self.connect());
            for _ in 0..HEADS / CLIENTS {
                Registry::ask(&mut wire, "HEAD /v2/bench/it/manifests/1", &accept, std::io::empty());
            }
        };
        std::thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(ask))));
    }
}

/// The same bytes for ever.
struct Repeated<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = &self.bytes[self.at..];
        let length = buffer.len().min(left.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.at = (self.at + length) % self.bytes.len();
        Ok(length)
    }
}

pub(crate) fn serve(arena: &Arena) {
    let (hoist, docker) = (&Registry::hoist(arena), &Registry::docker(arena));
    let sides = |run: fn(&Registry), times: usize| {
        let own = Contestant::new("hoist", move || run(hoist)).times(times);
        let other = docker.as_ref();
        let other = other.map(|docker| Contestant::new("registry", move || run(docker)).times(times));
        [own].into_iter().chain(other).collect::<Vec<_>>()
    };
    let title = format!("serve: a blob of 1 GiB to {CLIENTS} clients");
    compare(&title, ROUNDS, REST, &sides(Registry::blobs, 1));
    let title = format!("serve: {HEADS} HEADs of a manifest by {CLIENTS} clients, each");
    compare(&title, ROUNDS, REST, &sides(Registry::heads, HEADS));
}
