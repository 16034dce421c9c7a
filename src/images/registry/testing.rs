//! A server in the test's own process that speaks whatever bytes a test wants, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Credential, Endpoint, Registry, Settings, Transport};
use crate::model::Secret;
use crate::web::Retry;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Head and body, as text.
    pub(crate) text: String,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Bytes to answer with.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection ends after them.
    pub(crate) is_last: bool,
}

/// A whole answer.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    Reply {
        bytes: [head.as_bytes(), b"\r\n", body].concat(),
        is_last: false,
    }
}

impl Reply {
    /// The same, cut off this many bytes before its end.
    pub(crate) fn cut(mut self, before_end: usize) -> Reply {
        self.bytes.truncate(self.bytes.len() - before_end);
        self.is_last = true;
        self
    }
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// A server that answers by this function; what a registry is first asked for is answered by 200.
    pub(crate) fn new(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let server = Server {
            address,
            asked: Arc::clone(&asked),
            is_over: Arc::clone(&is_over),
        };
        let answers: Arc<Answers> = Arc::new(answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
                std::thread::spawn(move || talk(stream, &asked, &*answers));
            }
        });
        server
    }

    /// Its registry, under a name that is this machine's.
    pub(crate) fn registry(&self, credential: Credential) -> Registry {
        self.registry_named(&self.address.to_string(), credential)
    }

    pub(crate) fn registry_named(&self, name: &str, credential: Credential) -> Registry {
        Registry::new(&Transport::new(quick()), Endpoint::new(name, None).unwrap(), credential)
    }

    /// What it was asked, but for the first look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path != "/v2/").cloned().collect()
    }

    /// Everything it was sent.
    pub(crate) fn heard(&self) -> String {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|asked| asked.text.clone())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Settings under which nothing rests long.
pub(crate) fn quick() -> Settings {
    Settings {
        retry: Retry {
            first: Duration::from_millis(1),
            longest: Duration::from_secs(2),
            ..Retry::default()
        },
        ..Settings::default()
    }
}

/// Whom the tests log in as.
pub(crate) fn user() -> Credential {
    Credential::Basic {
        user: "ann".into(),
        secret: Secret::new("hunter2"),
    }
}

fn talk(mut stream: TcpStream, asked: &Mutex<Vec<Asked>>, answers: &Answers) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = request(&mut reader) {
        asked.lock().unwrap().push(request.clone());
        let reply = match request.path.as_str() {
            "/v2/" => reply(200, &[], b""),
            _ => answers(&request),
        };
        let is_head = request.method == "HEAD";
        let head = reply
            .bytes
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .map_or(reply.bytes.len(), |at| at + 4);
        let bytes = if is_head {
            &reply.bytes[..head]
        } else {
            &reply.bytes[..]
        };
        if stream.write_all(bytes).is_err() || reply.is_last {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
    }
    let mut words = text.split(' ').map(str::to_owned);
    let mut asked = Asked {
        method: words.next()?,
        path: words.next()?,
        text,
    };
    let length = asked
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.text.push_str(&String::from_utf8_lossy(&body));
    Some(asked)
}
