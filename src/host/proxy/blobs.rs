//! Blobs of another registry: fetched once, however many want them, and handed on while they come.

use std::fs::File;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Proxy, Source, is_worth_noting, lock};
use crate::error::{Error, Kind, Result};
use crate::images::Relay;
use crate::model::{Context, Digest, Repository};
use crate::store::CachedRow;

/// A blob for a client.
pub enum ProxiedBlob {
    /// One that is here.
    File(File, u64),
    /// One that is on its way.
    Coming(Arc<Relay>),
}

impl Proxy {
    /// A blob of a repository; `None` if the other registry has none.
    ///
    /// Errors: those of the registry, as long as nothing has come.
    pub fn blob(&self, ctx: &Context, name: &str, digest: &Digest) -> Result<Option<ProxiedBlob>> {
        let source = self.source(ctx, name)?;
        if let Some((file, size)) = self.kept_blob(&source, digest)? {
            return Ok(Some(ProxiedBlob::File(file, size)));
        }
        let Some(size) = self.size(ctx, &source, digest)? else {
            return Ok(None);
        };
        let relay = match self.relay(ctx, &source, digest, size)? {
            ProxiedBlob::Coming(relay) => relay,
            here @ ProxiedBlob::File(..) => return Ok(Some(here)),
        };
        match relay.begun() {
            Ok(()) => Ok(Some(ProxiedBlob::Coming(relay))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a blob, for one who does not want the blob itself.
    pub fn blob_size(&self, ctx: &Context, name: &str, digest: &Digest) -> Result<Option<u64>> {
        let source = self.source(ctx, name)?;
        match self.kept_blob(&source, digest)? {
            Some((_, size)) => Ok(Some(size)),
            None => self.stated_size(ctx, &source, digest),
        }
    }

    fn kept_blob(&self, source: &Source, digest: &Digest) -> Result<Option<(File, u64)>> {
        let (store, content) = (self.0.host.store(), self.0.host.content());
        let Some(row) = store.read(|tx| tx.cached_blob(&source.repository, digest))? else {
            return Ok(None);
        };
        // One that is gone is fetched again.
        let Ok(file) = content.open_blob(digest) else {
            return Ok(None);
        };
        let (now, size) = (Timestamp::now(), row.size);
        if is_worth_noting(row.used, now) {
            store.write(|tx| match tx.cached_blob(&row.repository, digest)? {
                Some(_) => tx.insert_cached_blob(&CachedRow { used: now, ..row }),
                None => Ok(()),
            })?;
        }
        Ok(Some((file, size)))
    }

    /// A blob's size: as a manifest says, or as the other registry says where no manifest was seen.
    fn size(&self, ctx: &Context, source: &Source, digest: &Digest) -> Result<Option<u64>> {
        let store = self.0.host.store();
        match store.read(|tx| tx.cached_part_size(&source.repository, digest))? {
            Some(size) => Ok(Some(size)),
            None => self.stated_size(ctx, source, digest),
        }
    }

    fn stated_size(&self, ctx: &Context, source: &Source, digest: &Digest) -> Result<Option<u64>> {
        source.registry.blob_size(ctx, &source.path, digest)
    }

    /// Joins those who wait for a blob, or is the first of them.
    fn relay(&self, ctx: &Context, source: &Source, digest: &Digest, size: u64) -> Result<ProxiedBlob> {
        let key = (source.repository.clone(), digest.clone());
        let mut relays = lock(&self.0.relays);
        if let Some(relay) = relays.get(&key) {
            return Ok(ProxiedBlob::Coming(relay.clone()));
        }
        // One that has come since it was looked for is no longer on its way.
        if let Some((file, size)) = self.kept_blob(source, digest)? {
            return Ok(ProxiedBlob::File(file, size));
        }
        let relay = Arc::new(Relay::new(digest, size));
        relays.insert(key.clone(), relay.clone());
        drop(relays);
        let under_way = UnderWay {
            proxy: self.clone(),
            key,
            relay: relay.clone(),
        };
        let (ctx, source) = (ctx.clone(), source.clone());
        let thread = std::thread::Builder::new().name("fetch".to_owned());
        let spawned = thread.spawn(move || under_way.run(&ctx, &source));
        spawned.map_err(|cause| Error::internal(format!("failed to start a thread: {cause}")))?;
        Ok(ProxiedBlob::Coming(relay))
    }

    /// Brings a blob here. It goes on when nobody waits any more: somebody wanted it.
    fn bring(&self, ctx: &Context, source: &Source, relay: &Relay, digest: &Digest) -> Result<()> {
        let host = &self.0.host;
        let relayed = relay.fetch(ctx, host.content(), &source.registry, &source.path)?;
        let hold = host.hold()?;
        hold.hold(std::slice::from_ref(digest))?;
        host.content().publish_relayed(relayed)?;
        let row = CachedRow {
            repository: source.repository.clone(),
            digest: digest.clone(),
            media_type: None,
            size: relay.size(),
            used: Timestamp::now(),
        };
        host.store().write(|tx| tx.insert_cached_blob(&row))
    }
}

/// A fetch under way, of which the others hear however it ends.
struct UnderWay {
    proxy: Proxy,
    key: (Repository, Digest),
    relay: Arc<Relay>,
}

impl UnderWay {
    fn run(self, ctx: &Context, source: &Source) {
        let outcome = self.proxy.bring(ctx, source, &self.relay, &self.key.1);
        match &outcome {
            Ok(()) => self.proxy.answered(),
            Err(error) if error.kind() == Kind::NoSpace => {
                (self.proxy.0.tell)(&format!("a blob cannot be kept, and so not handed out: {error}"));
            }
            Err(error) => drop(self.proxy.is_no_answer(ctx, error)),
        }
        self.end(&outcome);
    }

    fn end(&self, outcome: &Result<()>) {
        // Who comes from here on finds the blob, or tries anew.
        let mut relays = lock(&self.proxy.0.relays);
        if relays
            .get(&self.key)
            .is_some_and(|relay| Arc::ptr_eq(relay, &self.relay))
        {
            relays.remove(&self.key);
        }
        drop(relays);
        self.relay.end(outcome);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.end(&Err(Error::internal("the transfer ended without a word")));
    }
}
