//! What comes of a source, gathered to parts and kept: as much as a part in memory, whatever comes.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ring::digest;
use vtp_store::{About, Body, Store as _};

use super::patience::{self, Watch};
use super::{Fetch, Stop, taken, too_large};
use crate::db::fetches::{self, Part};
use crate::problem::Problem;
use crate::storage::Object;

/// Gathers what comes behind what is kept already.
pub(super) struct Parts<'a> {
    fetch: &'a mut Fetch,
    gathered: BytesMut,
    watch: Watch,
}

impl<'a> Parts<'a> {
    pub(super) fn new(fetch: &'a mut Fetch) -> Self {
        Self { fetch, gathered: BytesMut::new(), watch: Watch::begin(Instant::now()) }
    }

    /// Takes what comes next; a part that is whole by then is kept.
    pub(super) async fn take(&mut self, mut bytes: Bytes) -> Result<(), Stop> {
        let chunk = self.chunk();
        self.bound(bytes.len() as u64)?;
        while !bytes.is_empty() {
            let some = bytes.split_to(bytes.len().min(chunk - self.gathered.len()));
            self.gathered.extend_from_slice(&some);
            if self.gathered.len() == chunk {
                self.keep().await?;
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    pub(super) async fn end(mut self) -> Result<(), Stop> {
        let (received, size) = (self.received(), self.fetch.of.file_size.map(i64::unsigned_abs));
        if size.is_some_and(|size| received < size) {
            return Err(Stop::later("the transfer broke off"));
        }
        if received == 0 {
            return Err(Stop::useless(Some(1001), "it is empty"));
        }
        if self.gathered.is_empty() { Ok(()) } else { self.keep().await }
    }

    fn chunk(&self) -> usize {
        usize::try_from(self.fetch.of.chunk_size).unwrap_or(usize::MAX)
    }

    fn received(&self) -> u64 {
        self.fetch.kept() + self.gathered.len() as u64
    }

    /// Whether so much more may come, and has come soon enough.
    fn bound(&mut self, more: u64) -> Result<(), Stop> {
        let (most, of) = (self.fetch.app.config.largest_source(), &self.fetch.of);
        let received = self.received() + more;
        match of.file_size.map(i64::unsigned_abs) {
            Some(size) if received > size => return Err(Stop::Anew),
            None if received > most => return Err(too_large(most)),
            _ => {}
        }
        let allowed = patience::allowed(received);
        if of.fetch_spent_s + self.fetch.unnoted_s() > allowed.as_secs_f64() {
            let message = format!("it comes too slowly: {received} bytes in {} s", allowed.as_secs());
            return Err(Stop::useless(None, message));
        }
        if self.watch.is_too_slow(Instant::now(), more) {
            return Err(Stop::later("it comes too slowly"));
        }
        Ok(())
    }

    async fn keep(&mut self) -> Result<(), Stop> {
        let bytes = self.gathered.split().freeze();
        let (fetch, size) = (&mut *self.fetch, bytes.len() as i64);
        let number = i32::try_from(fetch.of.fetched_bytes / fetch.of.chunk_size);
        let number = number.map_err(|error| Problem::internal(&error))?;
        let key = Object::Fetched(fetch.of.id, fetch.of.fetch_epoch, number).key();
        let key = key.map_err(|error| Problem::internal(&error))?;
        let sha256 = digest::digest(&digest::SHA256, &bytes);
        fetch.app.store.put(&key, &Body::Bytes(bytes), About::default()).await?;
        let spent_s = fetch.unnoted_s();
        let part = Part { number, size, sha256: sha256.as_ref(), spent_s };
        taken(fetches::arrived(&fetch.app.drive, &fetch.of, part).await?)?;
        fetch.since = Instant::now();
        // How long our own store takes is none of the source's.
        self.watch = Watch::begin(fetch.since);
        fetch.of.fetch_spent_s += spent_s;
        fetch.of.fetched_bytes += size;
        fetch.of.fetch_failures = 0;
        Ok(())
    }
}
