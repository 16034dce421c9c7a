//! Uploads: blobs that come at once, in two steps, or in pieces, and blobs of another repository.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use super::route::{self, Named};
use super::{Answer, Registry};
use crate::error::{Kind, Result};
use crate::host::{Host, Receiving};
use crate::images::Incoming;
use crate::model::{Context, Digest, Repository, random_hex};
use crate::server::http::{Body, Head, Reply};

/// Uploads under way at once.
const MOST: usize = 1000;
/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// All uploads under way. Those that come in several steps outlive the server: the next one goes on with them.
pub(super) struct Uploads {
    place: Receiving,
    open: Mutex<HashMap<String, Arc<Upload>>>,
    /// Held by who looks for one that an earlier server began.
    resuming: Mutex<()>,
    /// Bytes of them all.
    bytes: AtomicU64,
    expiry: Duration,
}

struct Upload {
    repository: Repository,
    /// Nothing once it has ended.
    incoming: Mutex<Option<Incoming>>,
    touched: Mutex<Instant>,
}

impl Uploads {
    pub(super) fn new(host: &Host, expiry: Duration) -> Result<Uploads> {
        Ok(Uploads {
            place: host.receiving()?,
            open: Mutex::default(),
            resuming: Mutex::default(),
            bytes: AtomicU64::new(0),
            expiry,
        })
    }

    pub(super) fn expiry(&self) -> Duration {
        self.expiry
    }

    /// Ends those that nobody goes on with.
    pub(super) fn expire(&self) {
        let mut old = Vec::new();
        lock(&self.open).retain(|_, upload| {
            let is_old = lock(&upload.touched).elapsed() > self.expiry;
            old.extend(is_old.then(|| upload.clone()));
            !is_old
        });
        for upload in old {
            // One that is being written to right now goes with who writes.
            if let Ok(mut incoming) = upload.incoming.try_lock()
                && let Some(incoming) = incoming.take()
            {
                self.forget(incoming);
            }
        }
        // What cannot be removed now is tried again.
        let _ = self.place.expire(self.expiry);
    }

    fn forget(&self, incoming: Incoming) {
        self.bytes.fetch_sub(incoming.size(), Ordering::Relaxed);
        incoming.discard();
    }

    /// Begins one; what comes at once needs no place that outlives the server.
    fn begin(
        &self,
        repository: &Repository,
        algorithm: Option<&str>,
        is_at_once: bool,
    ) -> std::result::Result<String, Refusal> {
        let id = random_hex(16)?;
        self.check_count()?;
        let incoming = match is_at_once {
            true => self.place.start(algorithm)?,
            false => self.place.begin(repository, &id, algorithm)?,
        };
        self.open(&id, repository, incoming);
        Ok(id)
    }

    fn check_count(&self) -> std::result::Result<(), Refusal> {
        match lock(&self.open).len() >= MOST {
            true => {
                Err(Refusal::new(429, "TOOMANYREQUESTS", "too many uploads are under way").header("Retry-After", "60"))
            }
            false => Ok(()),
        }
    }

    fn open(&self, id: &str, repository: &Repository, incoming: Incoming) -> Arc<Upload> {
        let upload = Arc::new(Upload {
            repository: repository.clone(),
            incoming: Mutex::new(Some(incoming)),
            touched: Mutex::new(Instant::now()),
        });
        lock(&self.open).insert(id.to_owned(), upload.clone());
        upload
    }

    /// One under way in a repository: its number is no secret that opens others'.
    fn find(&self, ctx: &Context, repository: &Repository, id: &str) -> std::result::Result<Arc<Upload>, Refusal> {
        if let Some(upload) = self.known(id) {
            return upload.of(repository);
        }
        let is_number = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_number {
            return Err(unknown());
        }
        let _one = lock(&self.resuming);
        if let Some(upload) = self.known(id) {
            return upload.of(repository);
        }
        self.check_count()?;
        let incoming = self.place.resume(ctx, repository, id)?.ok_or_else(unknown)?;
        self.bytes.fetch_add(incoming.size(), Ordering::Relaxed);
        Ok(self.open(id, repository, incoming))
    }

    fn known(&self, id: &str) -> Option<Arc<Upload>> {
        lock(&self.open).get(id).cloned()
    }

    fn close(&self, id: &str) {
        lock(&self.open).remove(id);
    }
}

impl Upload {
    fn of(self: Arc<Self>, repository: &Repository) -> std::result::Result<Arc<Upload>, Refusal> {
        match self.repository == *repository {
            true => Ok(self),
            false => Err(unknown()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown() -> Refusal {
    Refusal::unknown("BLOB_UPLOAD_UNKNOWN", "there is no such upload under way here")
}

impl Registry {
    pub(super) fn start_upload(&self, ctx: &Context, head: &Head, body: &mut Body<'_>, named: &Named) -> Answer {
        self.must_write()?;
        if let Some(text) = head.parameter("mount") {
            let digest = route::digest(text)?;
            if self.mount(head, named, &digest)? {
                return Ok(created(named, &digest));
            }
        } else if let Some(text) = head.parameter("digest") {
            let digest = route::digest(text)?;
            let id = self.uploads.begin(&named.repository, Some(digest.algorithm()), true)?;
            let answer = self.complete(ctx, head, body, named, &id, &digest);
            // The client has not heard of the upload's number.
            return answer.inspect_err(|_| drop(self.cancel_upload(ctx, named, &id)));
        }
        let algorithm = head.parameter("digest-algorithm");
        if algorithm.is_some_and(|name| !["sha256", "sha512"].contains(&name)) {
            return Err(Refusal::new(400, "DIGEST_INVALID", "digests are by sha256 or sha512"));
        }
        let id = self.uploads.begin(&named.repository, algorithm, false)?;
        Ok(progress(202, named, &id, 0))
    }

    /// Whether a blob could be had from another repository. What is wrong with that one's name is no reason to refuse: the client sends
    /// the blob then.
    fn mount(&self, head: &Head, named: &Named, digest: &Digest) -> Result<bool> {
        let from = match head.parameter("from").map(Repository::parse) {
            Some(Err(_)) => return Ok(false),
            Some(Ok(from)) => Some(from),
            None => None,
        };
        self.host.mount_blob(&named.repository, digest, from.as_ref())
    }

    pub(super) fn upload_status(&self, ctx: &Context, named: &Named, id: &str) -> Answer {
        self.must_write()?;
        let upload = self.uploads.find(ctx, &named.repository, id)?;
        let size = lock(&upload.incoming).as_ref().map(Incoming::size);
        Ok(progress(204, named, id, size.ok_or_else(unknown)?))
    }

    pub(super) fn go_on_with_upload(
        &self,
        ctx: &Context,
        head: &Head,
        body: &mut Body<'_>,
        named: &Named,
        id: &str,
    ) -> Answer {
        self.must_write()?;
        let upload = self.uploads.find(ctx, &named.repository, id)?;
        let mut incoming = lock(&upload.incoming);
        let incoming = incoming.as_mut().ok_or_else(unknown)?;
        self.append(head, body, named, id, (&upload, incoming))?;
        Ok(progress(202, named, id, incoming.size()))
    }

    pub(super) fn end_upload(
        &self,
        ctx: &Context,
        head: &Head,
        body: &mut Body<'_>,
        named: &Named,
        id: &str,
    ) -> Answer {
        self.must_write()?;
        let text = head.parameter("digest");
        let text = text.ok_or_else(|| Refusal::new(400, "DIGEST_INVALID", "the upload ends without a digest"))?;
        let digest = route::digest(text)?;
        self.complete(ctx, head, body, named, id, &digest)
    }

    /// Takes the last bytes, and the blob if it is what it should be; otherwise the upload is over.
    fn complete(
        &self,
        ctx: &Context,
        head: &Head,
        body: &mut Body<'_>,
        named: &Named,
        id: &str,
        digest: &Digest,
    ) -> Answer {
        let upload = self.uploads.find(ctx, &named.repository, id)?;
        let mut place = lock(&upload.incoming);
        let incoming = place.as_mut().ok_or_else(unknown)?;
        self.append(head, body, named, id, (&upload, incoming))?;
        let whole = place.take().ok_or_else(unknown)?;
        self.uploads.close(id);
        let size = whole.size();
        let taken = self.host.take_blob(ctx, &named.repository, whole.finish(), digest);
        self.uploads.bytes.fetch_sub(size, Ordering::Relaxed);
        taken.map_err(|error| Refusal::of(&error, &[Kind::Corrupt], 400, "DIGEST_INVALID"))?;
        Ok(created(named, digest))
    }

    pub(super) fn cancel_upload(&self, ctx: &Context, named: &Named, id: &str) -> Answer {
        self.must_write()?;
        let upload = self.uploads.find(ctx, &named.repository, id)?;
        self.uploads.close(id);
        if let Some(incoming) = lock(&upload.incoming).take() {
            self.uploads.forget(incoming);
        }
        Ok(Reply::new(204))
    }

    /// Adds a request's body to an upload. What came of one that breaks off is kept: the client asks how far it got.
    fn append(
        &self,
        head: &Head,
        body: &mut Body<'_>,
        named: &Named,
        id: &str,
        (upload, incoming): (&Upload, &mut Incoming),
    ) -> std::result::Result<(), Refusal> {
        if let Some(text) = head.header("content-range") {
            let (first, last) = piece(text).ok_or_else(|| invalid("`Content-Range` is not `FIRST-LAST`"))?;
            if first != incoming.size() {
                let refusal = Refusal::new(
                    416,
                    "BLOB_UPLOAD_INVALID",
                    format!("the upload goes on at {}", incoming.size()),
                );
                return Err(refusal
                    .header("Location", location(named, id))
                    .header("Range", extent(incoming.size())));
            }
            let length = last.checked_sub(first).and_then(|length| length.checked_add(1));
            if length.is_none() || body.length().is_some_and(|own| Some(own) != length) {
                return Err(invalid("`Content-Range` says another length than the body has"));
            }
        }
        let under_way = self.uploads.bytes.load(Ordering::Relaxed);
        self.check_quota(under_way.saturating_add(body.length().unwrap_or(0)))?;
        let mut buffer = vec![0; PIECE];
        loop {
            let length = body
                .read(&mut buffer)
                .map_err(|_| invalid("the body did not come whole"))?;
            *lock(&upload.touched) = Instant::now();
            if length == 0 {
                return Ok(());
            }
            if body.length().is_none() {
                self.check_quota(self.uploads.bytes.load(Ordering::Relaxed) + length as u64)?;
            }
            self.uploads.bytes.fetch_add(length as u64, Ordering::Relaxed);
            incoming.write(&buffer[..length])?;
        }
    }

    /// Refuses more than the registry may hold.
    pub(super) fn check_quota(&self, more: u64) -> std::result::Result<(), Refusal> {
        let Some(quota) = self.quota else { return Ok(()) };
        match self.host.pushed_size()?.saturating_add(more) > quota {
            true => Err(Refusal::new(
                403,
                "DENIED",
                format!("the registry's quota of {quota} bytes is used up"),
            )),
            false => Ok(()),
        }
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "BLOB_UPLOAD_INVALID", message)
}

/// First and last byte of a piece; some clients write the unit, as HTTP has it.
fn piece(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let (first, last) = text.split('/').next()?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn location(named: &Named, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", named.name)
}

/// The bytes that are there, as the specification writes it: nothing is the same as one.
fn extent(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn progress(status: u16, named: &Named, id: &str, size: u64) -> Reply {
    Reply::new(status)
        .header("Location", location(named, id))
        .header("Range", extent(size))
        .header("Docker-Upload-UUID", id)
}

fn created(named: &Named, digest: &Digest) -> Reply {
    Reply::new(201)
        .header("Location", format!("/v2/{}/blobs/{digest}", named.name))
        .header("Docker-Content-Digest", digest.as_str())
}
