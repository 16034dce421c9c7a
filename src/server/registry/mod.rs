//! A registry over the store (OCI distribution-spec 1.1): what is in it is handed out as it lies there, what comes is checked and kept.

mod access;
mod blobs;
mod lists;
mod manifests;
mod proxy;
mod refusal;
mod route;
mod uploads;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;

use super::http::{Body, Handler, Head, Listener, Reply, address, server_config};
use crate::error::{Error, Result};
use crate::host::{Host, Proxy};
use crate::model::{ByteSize, Context, TimeSpan};
use access::Access;
use manifests::Cache;
use refusal::Refusal;
use route::Route;
use uploads::Uploads;

/// Where a registry listens unless it is told otherwise.
const ADDRESS: &str = "127.0.0.1:5000";
/// How long unfinished business is kept.
const EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long what a tag of another registry stands for is taken to hold.
const TTL: Duration = Duration::from_secs(60);
/// How long requests under way may take once the registry is to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Options of `registry::serve`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryOptions {
    /// Address and port; `127.0.0.1:5000` by default, and port 0 is any that is free.
    pub listen: Option<String>,
    /// Take pushes.
    pub write: bool,
    /// Take deletions.
    pub delete: bool,
    /// A file of users with passwords hashed by bcrypt, as `htpasswd -B` writes it.
    pub auth: Option<PathBuf>,
    /// Certificate and key.
    pub tls: Option<TlsOption>,
    /// Bytes that all that was pushed may have, or all that is kept of the other registry.
    pub quota: Option<ByteSize>,
    /// How long an upload nobody goes on with is kept, and a blob that no manifest came to name; a day by default.
    pub expiry: Option<TimeSpan>,
    /// Stand before this registry: hand out what it has, and keep it.
    pub proxy: Option<String>,
    /// How long what a tag of that registry stands for is taken to hold; a minute by default.
    pub ttl: Option<TimeSpan>,
}

/// What a registry proves itself with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOption {
    /// A PEM file with the certificate and those that lead to a root.
    pub cert: PathBuf,
    /// A PEM file with the key.
    pub key: PathBuf,
}

/// A registry that is being served. It stops when the last handle to it is gone.
#[derive(Clone)]
pub struct Server(Arc<Serving>);

struct Serving {
    listener: Listener,
    is_tls: bool,
    warnings: Vec<String>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.listener.address()
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        let scheme = if self.0.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// What the person who started it should know.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Takes no more requests, and lets those under way end.
    pub fn stop(&self) {
        self.0.listener.stop(GRACE);
    }
}

/// Serves a store as a registry from threads of its own, or another registry through what is kept of it; `tell` is told when that gives no
/// answer.
///
/// Errors: `invalid` for options that make no sense; `already_exists` or `denied` if the address cannot be had.
pub fn serve(host: &Host, options: &RegistryOptions, tell: impl Fn(&str) + Send + Sync + 'static) -> Result<Server> {
    options.check()?;
    let ttl = options.ttl.map_or(TTL, |span| span.0);
    let proxy = options.proxy.as_deref().map(|upstream| host.proxy(upstream, ttl, tell));
    let proxy = proxy.transpose()?;
    let address = address(options.listen.as_deref().unwrap_or(ADDRESS))?;
    if let Some(upstream) = options.proxy.as_deref().filter(|upstream| is_own(address, upstream)) {
        let text = format!("`{upstream}` is where this registry itself is to listen: it would stand before itself");
        return Err(Error::invalid(text).hint("name the registry that is stood before, or listen on another port"));
    }
    let tls = options
        .tls
        .as_ref()
        .map(|tls| server_config(&tls.cert, &tls.key))
        .transpose()?;
    let is_tls = tls.is_some();
    let expiry = options.expiry.map_or(EXPIRY, |span| span.0);
    let registry = Registry {
        access: options.auth.as_deref().map(Access::read).transpose()?,
        uploads: Uploads::new(host, expiry)?,
        host: host.clone(),
        write: options.write,
        delete: options.delete,
        quota: options.quota.map(|size| size.0),
        manifests: Mutex::new(Cache::default()),
        proxy,
    };
    let tick = (expiry / 4).clamp(Duration::from_millis(50), Duration::from_secs(60));
    let listener = Listener::start(address, tls, Box::new(registry), tick)?;
    let warnings = warnings(listener.address(), options);
    Ok(Server(Arc::new(Serving {
        listener,
        is_tls,
        warnings,
    })))
}

impl RegistryOptions {
    fn check(&self) -> Result<()> {
        let bad = |message| Err(Error::invalid(message));
        match self.proxy {
            Some(_) if self.write || self.delete => {
                bad("a registry that stands before another takes neither pushes nor deletions")
            }
            None if self.ttl.is_some() => bad("`ttl` is for a registry that stands before another: `proxy` says which"),
            _ => Ok(()),
        }
    }
}

/// Whether another registry by its name is what listens at an address of this machine.
fn is_own(address: SocketAddr, upstream: &str) -> bool {
    let plain = upstream.split_once("://").map_or(upstream, |(_, rest)| rest);
    let host = plain.split('/').next().unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    if address.port() == 0 || port != Some(address.port()) {
        return false;
    }
    // What can be bound is an address of this machine.
    let is_here = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    let meant = host.to_socket_addrs().into_iter().flatten().map(|found| found.ip());
    let mut meant = meant.filter(|ip| *ip == address.ip() || address.ip().is_unspecified());
    meant.any(is_here)
}

fn warnings(address: SocketAddr, options: &RegistryOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    if address.ip().is_loopback() {
        return warnings;
    }
    if options.auth.is_none() {
        let acts = match (options.write, options.delete) {
            (false, false) => "read",
            (true, false) => "read and write",
            (_, true) => "read, write and delete",
        };
        warnings.push(format!(
            "the registry at {address} asks for no password: whoever reaches it can {acts}"
        ));
    }
    if options.tls.is_none() {
        warnings.push(format!(
            "the registry at {address} is not encrypted: on the way all can be read and changed, passwords too"
        ));
    }
    warnings
}

/// What requests are answered from.
struct Registry {
    host: Host,
    access: Option<Access>,
    write: bool,
    delete: bool,
    quota: Option<u64>,
    uploads: Uploads,
    manifests: Mutex<Cache>,
    /// Present where it stands before another.
    proxy: Option<Proxy>,
}

type Answer = std::result::Result<Reply, Refusal>;

impl Handler for Registry {
    fn answer(&self, ctx: &Context, head: &Head, body: &mut Body<'_>) -> Reply {
        let reply = self.reply(ctx, head, body).unwrap_or_else(Refusal::reply);
        // By this header clients tell a registry from other servers.
        reply.header("Docker-Distribution-API-Version", "registry/2.0")
    }

    fn refuse(&self, status: u16, message: &str) -> Reply {
        Refusal::new(status, "UNSUPPORTED", message).reply()
    }

    fn tick(&self) {
        self.uploads.expire();
        self.tidy();
        let Ok(span) = jiff::SignedDuration::try_from(self.uploads.expiry()) else {
            return;
        };
        if let Ok(before) = jiff::Timestamp::now().checked_sub(span) {
            // What cannot be removed now is tried again.
            let _ = self.host.expire_blobs(before);
        }
    }
}

impl Registry {
    fn reply(&self, ctx: &Context, head: &Head, body: &mut Body<'_>) -> Answer {
        if let Some(access) = &self.access {
            access.check(head)?;
        }
        let route = Route::find(&head.path)?;
        if let Some(proxy) = &self.proxy {
            return self.proxied(proxy, ctx, head, &route);
        }
        match (head.method.as_str(), route) {
            ("GET" | "HEAD", Route::Root) => Ok(Reply::new(200).json(&serde_json::json!({}))),
            ("GET", Route::Catalog) => self.catalog(head),
            ("GET", Route::Tags(name)) => self.tags(head, &name),
            ("GET", Route::Referrers(name, digest)) => self.referrers(head, &name, &digest),
            ("GET" | "HEAD", Route::Blob(name, digest)) => self.blob(head, &name, &digest),
            ("DELETE", Route::Blob(name, digest)) => self.delete_blob(&name, &digest),
            ("GET" | "HEAD", Route::Manifest(name, manifest)) => self.manifest(head, &name, &manifest),
            ("PUT", Route::Manifest(name, manifest)) => self.push_manifest(ctx, head, body, &name, &manifest),
            ("DELETE", Route::Manifest(name, manifest)) => self.delete_manifest(&name, &manifest),
            ("POST", Route::Uploads(name)) => self.start_upload(ctx, head, body, &name),
            ("GET" | "HEAD", Route::Upload(name, id)) => self.upload_status(ctx, &name, &id),
            ("PATCH", Route::Upload(name, id)) => self.go_on_with_upload(ctx, head, body, &name, &id),
            ("PUT", Route::Upload(name, id)) => self.end_upload(ctx, head, body, &name, &id),
            ("DELETE", Route::Upload(name, id)) => self.cancel_upload(ctx, &name, &id),
            (method, _) => Err(Refusal::unsupported(format!(
                "`{}` cannot be done here",
                method.escape_debug()
            ))),
        }
    }

    fn must_write(&self) -> std::result::Result<(), Refusal> {
        match self.write {
            true => Ok(()),
            false => Err(Refusal::unsupported("this registry takes no pushes")),
        }
    }

    fn must_delete(&self) -> std::result::Result<(), Refusal> {
        match self.delete {
            true => Ok(()),
            false => Err(Refusal::unsupported("this registry deletes nothing")),
        }
    }
}
