//! A store that somebody watches, for tests: before each call they are told of it, and may have it fail instead.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::{About, Body, Error, Found, Key, Store};

/// What a store is about to do.
#[derive(Clone, Debug)]
pub enum Call<'a> {
    /// [`Store::head`].
    Head(&'a Key),
    /// [`Store::get`].
    Get(&'a Key, Range<u64>),
    /// [`Store::put`].
    Put(&'a Key),
    /// [`Store::join`].
    Join(&'a Key),
    /// [`Store::list`].
    List(&'a str),
    /// [`Store::delete`].
    Delete(&'a [Key]),
}

/// Whoever watches.
type Watcher = dyn Fn(&Call<'_>) -> Result<(), Error> + Send + Sync;

/// Another store, watched.
#[derive(Clone)]
pub struct Watched<S> {
    store: S,
    watcher: Arc<Watcher>,
}

impl<S: Store> Watched<S> {
    /// Has `watcher` told of what `store` is about to do.
    pub fn new(store: S, watcher: impl Fn(&Call<'_>) -> Result<(), Error> + Send + Sync + 'static) -> Self {
        Self { store, watcher: Arc::new(watcher) }
    }
}

impl<S: Store> Store for Watched<S> {
    async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
        (self.watcher)(&Call::Head(key))?;
        self.store.head(key).await
    }

    async fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> Result<Bytes, Error> {
        (self.watcher)(&Call::Get(key, range.clone()))?;
        self.store.get(key, range, found).await
    }

    async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
        (self.watcher)(&Call::Put(key))?;
        self.store.put(key, body, about).await
    }

    async fn join(&self, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
        (self.watcher)(&Call::Join(into))?;
        self.store.join(parts, into, about).await
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
        (self.watcher)(&Call::List(prefix))?;
        self.store.list(prefix, most).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        (self.watcher)(&Call::Delete(keys))?;
        self.store.delete(keys).await
    }
}
