//! The listening socket, the threads of its connections, and their end.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::body::Body;
use super::connection::{Connection, Next};
use super::head::Head;
use super::reply::Reply;
use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use crate::sys::socket;

/// Connections at once.
const MOST: usize = 512;
/// How long a client may take to say anything of a request, or to take or give the next bytes.
const IDLE: Duration = Duration::from_secs(60);
/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(30);

/// How long what a client still sends is passed over once it has been refused.
const LINGER: Duration = Duration::from_secs(5);

/// Who answers requests.
pub(in crate::server) trait Handler: Send + Sync + 'static {
    /// The answer to a request. What it leaves of the body is passed over.
    fn answer(&self, ctx: &Context, head: &Head, body: &mut Body<'_>) -> Reply;

    /// The answer to what is no request that can be understood.
    fn refuse(&self, status: u16, message: &str) -> Reply;

    /// Called now and then.
    fn tick(&self);
}

/// A server that listens.
pub(in crate::server) struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    /// Ends what waits for connections.
    accepting: Context,
    /// Ends what is being done for clients.
    working: Context,
    handler: Box<dyn Handler>,
    tls: Option<Arc<ServerConfig>>,
    roll: Arc<Roll>,
}

/// Who is here. Whoever leaves is taken off it last of all, so that where nobody is left nobody has hold of the handler either.
#[derive(Default)]
struct Roll {
    clients: Mutex<Clients>,
    left: Condvar,
}

#[derive(Default)]
struct Clients {
    next: u64,
    open: HashMap<u64, Client>,
    is_ending: bool,
}

struct Client {
    socket: TcpStream,
    is_busy: bool,
}

impl Listener {
    /// Listens at an address and answers from threads of its own; `tick` is how often the handler is called meanwhile.
    pub(in crate::server) fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        handler: Box<dyn Handler>,
        tick: Duration,
    ) -> Result<Listener> {
        let what = || format!("listen at `{address}`");
        let listener = TcpListener::bind(address).during(what)?;
        let address = listener.local_addr().during(what)?;
        let shared = Arc::new(Shared {
            accepting: Context::new(),
            working: Context::new(),
            handler,
            tls,
            roll: Arc::default(),
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("listener".to_owned());
        let thread = thread.spawn(move || accept(&own, &listener, tick));
        let thread = thread.map_err(|cause| Error::internal(format!("failed to start a thread: {cause}")))?;
        Ok(Listener {
            address,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Where it listens.
    pub(in crate::server) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens no more, lets requests under way end within this time, and ends them then.
    pub(in crate::server) fn stop(&self, grace: Duration) {
        self.shared.accepting.cancel();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let roll = &self.shared.roll;
        let mut clients = roll.clients();
        clients.is_ending = true;
        let idle = clients.open.values().filter(|client| !client.is_busy);
        idle.for_each(|client| drop(client.socket.shutdown(Shutdown::Both)));
        let clients = roll.until_empty(clients, grace);
        self.shared.working.cancel();
        clients
            .open
            .values()
            .for_each(|client| drop(client.socket.shutdown(Shutdown::Both)));
        // What was ended comes to its end by itself; a disk that hangs is not waited for.
        drop(roll.until_empty(clients, grace));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// An address and a port, such as `localhost:5000`, as where to listen. Errors: `invalid`.
pub(in crate::server) fn address(text: &str) -> Result<SocketAddr> {
    let bad = || Error::invalid(format!("`{}` is no address to listen at", text.escape_debug()));
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| bad().hint("write an address and a port, such as `127.0.0.1:5000` or `[::1]:5000`"))
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, tick: Duration) {
    let mut ticked = Instant::now();
    while let Ok(wake) = shared.accepting.wake_fd() {
        if ticked.elapsed() >= tick {
            shared.handler.tick();
            ticked = Instant::now();
        }
        match socket::accept_within(listener, wake, tick) {
            Ok(Some(stream)) => shared.clone().welcome(stream),
            Ok(None) if shared.accepting.is_done() => return,
            Ok(None) => {}
            // Such as too many open files: those who are here will go.
            Err(_) => drop(shared.accepting.sleep(Duration::from_millis(50))),
        }
    }
}

impl Roll {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until_empty<'a>(&'a self, clients: MutexGuard<'a, Clients>, limit: Duration) -> MutexGuard<'a, Clients> {
        let waited = self
            .left
            .wait_timeout_while(clients, limit, |clients| !clients.open.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Shared {
    fn welcome(self: Arc<Self>, stream: TcpStream) {
        let Ok(socket) = stream.try_clone() else { return };
        let mut clients = self.roll.clients();
        if clients.open.len() >= MOST {
            drop(clients);
            let busy =
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = io::Write::write_all(&mut &stream, busy.as_bytes());
            return;
        }
        clients.next += 1;
        let number = clients.next;
        clients.open.insert(number, Client { socket, is_busy: false });
        drop(clients);
        let (roll, again) = (self.roll.clone(), self.roll.clone());
        let thread = std::thread::Builder::new().name("client".to_owned());
        let spawned = thread.spawn(move || {
            let _guard = Guard { roll, number };
            // Let go of before the guard is.
            let own = self;
            // An error is a client that went away, or that said nothing sensible.
            let _ = own.serve(stream, number);
        });
        if spawned.is_err() {
            again.clients().open.remove(&number);
        }
    }

    /// Marks a client as one for whom something is done, or not; false if the server is ending.
    fn busy(&self, number: u64, is_busy: bool) -> bool {
        let mut clients = self.roll.clients();
        let is_ending = clients.is_ending;
        if let Some(client) = clients.open.get_mut(&number) {
            client.is_busy = is_busy;
        }
        !is_ending
    }

    fn serve(&self, stream: TcpStream, number: u64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(IDLE))?;
        stream.set_read_timeout(Some(IDLE))?;
        let mut connection = Connection::new(stream, self.tls.as_ref())?;
        while connection.wait()? {
            let takes_more = self.busy(number, true);
            let goes_on = self.exchange(&mut connection, takes_more)?;
            if !goes_on || !self.busy(number, false) {
                break;
            }
        }
        Ok(())
    }

    /// Reads a request and answers it; whether another one can follow.
    fn exchange(&self, connection: &mut Connection, takes_more: bool) -> io::Result<bool> {
        let refuse = |connection: &mut Connection, status, message: &str| {
            let reply = self.handler.refuse(status, message);
            reply.send(connection, false, false)?;
            connection.linger(LINGER);
            Ok(false)
        };
        connection.patience(HEAD)?;
        let bytes = match connection.head(Instant::now() + HEAD)? {
            Next::Head(bytes) => bytes,
            Next::End => return Ok(false),
            Next::TooLong => return refuse(connection, 431, "the head of the request is too long"),
        };
        connection.patience(IDLE)?;
        let parsed = Head::parse(&bytes).and_then(|head| Ok((head.framing()?, head)));
        let (framing, head) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return refuse(connection, 400, error.message()),
        };
        let waits = head
            .header("expect")
            .is_some_and(|text| text.eq_ignore_ascii_case("100-continue"));
        let mut body = Body::new(connection, framing, waits);
        let reply = self.handler.answer(&self.working, &head, &mut body);
        let is_read = body.finish();
        let goes_on = is_read && head.goes_on && takes_more;
        reply.send(connection, head.method == "HEAD", goes_on)?;
        if !is_read {
            connection.linger(LINGER);
        }
        // What is left of a body is waited for less long.
        connection.patience(IDLE)?;
        Ok(goes_on)
    }
}

/// Takes a client off the list, however its thread ends.
struct Guard {
    roll: Arc<Roll>,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.roll.clients().open.remove(&self.number);
        self.roll.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Says that it is gone.
    struct Witness(Arc<AtomicBool>);

    impl Handler for Witness {
        fn answer(&self, _: &Context, _: &Head, _: &mut Body<'_>) -> Reply {
            Reply::new(204)
        }

        fn refuse(&self, status: u16, _: &str) -> Reply {
            Reply::new(status)
        }

        fn tick(&self) {}
    }

    impl Drop for Witness {
        fn drop(&mut self) {
            // What it has to take away takes its time.
            std::thread::yield_now();
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// What the handler has on the disk goes with it, and the process ends right after the listener.
    #[test]
    fn with_the_listener_goes_what_it_answers_from() {
        for _ in 0..300 {
            let is_gone = Arc::new(AtomicBool::new(false));
            let handler = Box::new(Witness(is_gone.clone()));
            let address = "127.0.0.1:0".parse().unwrap();
            let listener = Listener::start(address, None, handler, Duration::from_secs(60)).unwrap();
            let mut wire = TcpStream::connect(listener.address()).unwrap();
            wire.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
            wire.read_to_end(&mut Vec::new()).unwrap();
            listener.stop(Duration::from_secs(60));
            drop(listener);
            assert!(is_gone.load(Ordering::SeqCst));
        }
    }
}
