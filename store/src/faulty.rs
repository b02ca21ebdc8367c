//! A store whose calls fail now and then by a seed: before anything was done, or after it was, when nobody can tell. For tests of
//! whatever uses a store.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::{About, Body, Error, Found, Key, Store};

/// How often which fault comes, from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// A call that does nothing, and fails.
    pub before: f64,
    /// A call that is carried out, and fails.
    pub after: f64,
}

/// Another store, spoilt.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    store: S,
    faults: Faults,
    chance: Arc<Mutex<fastrand::Rng>>,
}

impl<S: Store> Faulty<S> {
    /// Spoils `store`, with the chances that follow from `seed`.
    pub fn new(store: S, faults: Faults, seed: u64) -> Self {
        Self { store, faults, chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))) }
    }

    async fn spoil<T>(&self, call: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let (before, after) = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            (chance.f64() < self.faults.before, chance.f64() < self.faults.after)
        };
        let fault = || Err(Error::Unreachable("a fault that was ordered".to_owned()));
        if before {
            return fault();
        }
        let done = call.await;
        if after { fault() } else { done }
    }
}

impl<S: Store> Store for Faulty<S> {
    async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
        self.spoil(self.store.head(key)).await
    }

    async fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> Result<Bytes, Error> {
        self.spoil(self.store.get(key, range, found)).await
    }

    async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
        self.spoil(self.store.put(key, body, about)).await
    }

    async fn join(&self, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
        self.spoil(self.store.join(parts, into, about)).await
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
        self.spoil(self.store.list(prefix, most)).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        self.spoil(self.store.delete(keys)).await
    }
}
