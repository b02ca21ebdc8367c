//! Connections to S3, made when they are first needed: whoever works with paths alone has none. Here asynchronous calls become
//! blocking ones; they are made from threads that run no other future.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use vtp_store::{Attending, Error, Found, Key, Location, NoKey, Reader, S3, Store as _};

/// Threads that talk to stores. They wait far more than they work.
const THREADS: usize = 2;
/// For how long a store that can't be reached is asked again; whoever needs it waits meanwhile, and no attempt is lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long something is waited for in all, also of a store that takes connections and does not answer.
const HANGS: Duration = Duration::from_secs(180);
/// How long it is left alone between, in milliseconds.
const PAUSE: Range<u64> = 200..2_000;

/// Why a place in a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// What the store says.
    #[error("{location}: {error}")]
    Store {
        /// Which place.
        location: Location,
        /// Why.
        #[source]
        error: Error,
    },
    /// It names no object.
    #[error("{location}: {error}")]
    Name {
        /// Which place.
        location: Location,
        /// Why.
        #[source]
        error: NoKey,
    },
    /// There is no such object.
    #[error("there is no object {0}")]
    Nothing(Location),
    /// No connection can be begun.
    #[error("no connection to a store can be made: {0}")]
    Start(#[from] io::Error),
}

impl Trouble {
    /// Whether the place is at fault, and not the way there.
    pub(crate) fn is_of_the_place(&self) -> bool {
        match self {
            Self::Nothing(_) | Self::Name { .. } => true,
            // Who we are to the store is no matter of the place; another process may be somebody there.
            Self::Store { error, .. } => matches!(error, Error::Denied(_) | Error::Refused(_)),
            Self::Start(_) => false,
        }
    }
}

/// The stores of this process. Clones share connections.
#[derive(Clone, Default)]
pub(crate) struct Stores(Arc<Mutex<Option<Arc<Connected>>>>);

struct Connected {
    client: vtp_store::Client,
    threads: Handle,
    _runtime: Background,
}

impl Connected {
    fn new(client: vtp_store::Client, runtime: Runtime) -> Arc<Self> {
        let threads = runtime.handle().clone();
        Arc::new(Self { client, threads, _runtime: Background(Some(runtime)) })
    }
}

fn threads() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(THREADS).thread_name("stores").enable_all().build()
}

/// A runtime that is not waited for when it goes: nothing that is under way is wanted then, and whoever drops it may be in another.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stores {
    fn connected(&self) -> io::Result<Arc<Connected>> {
        let mut connected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &*connected {
            return Ok(Arc::clone(connected));
        }
        let runtime = threads()?;
        let client = runtime.block_on(S3::client());
        Ok(Arc::clone(connected.insert(Connected::new(client, runtime))))
    }

    /// Those of this client.
    #[cfg(test)]
    pub(crate) fn with(client: vtp_store::Client) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Some(Connected::new(client, threads()?))))))
    }

    /// The bucket of `location`.
    ///
    /// # Errors
    /// [`Trouble::Start`].
    pub(crate) fn bucket(&self, location: &Location) -> Result<Bucket, Trouble> {
        let connected = self.connected()?;
        Ok(Bucket { store: S3::bucket(connected.client.clone(), &location.bucket), connected })
    }

    /// What is at `location` by now.
    ///
    /// # Errors
    /// [`Trouble`]; nothing is one.
    pub(crate) fn find(&self, location: &Location) -> Result<Found, Trouble> {
        let (bucket, key) = (self.bucket(location)?, key(location)?);
        let found = bucket.block_on(patiently(|| false, || bucket.store.head(&key)));
        let found = found.map_err(|error| Trouble::Store { location: location.clone(), error })?;
        found.ok_or_else(|| Trouble::Nothing(location.clone()))
    }

    /// Opens the object at `location`.
    ///
    /// # Errors
    /// [`Trouble`]; nothing is one.
    pub(crate) fn open(&self, location: &Location) -> Result<StoreFile, Trouble> {
        let found = self.find(location)?;
        let (bucket, key) = (self.bucket(location)?, key(location)?);
        Ok(StoreFile { reader: Reader::new(bucket.store.clone(), key, found), bucket })
    }
}

/// Makes a call again as long as it may help, and is wanted.
///
/// # Errors
/// Those of the call.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    is_stopped: impl Fn() -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, Error> {
    let began = Instant::now();
    loop {
        match call().await {
            Err(error) if error.is_retryable() && began.elapsed() < PATIENCE && !is_stopped() => {
                tracing::warn!(%error, "a store does not do what it is asked for, and is asked again");
                tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE))).await;
            }
            done => return done,
        }
    }
}

fn key(location: &Location) -> Result<Key, Trouble> {
    Key::new(location.key.clone()).map_err(|error| Trouble::Name { location: location.clone(), error })
}

/// A bucket, and the threads that talk to it.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) store: S3,
    connected: Arc<Connected>,
}

impl Bucket {
    /// Waits for what a call comes to.
    pub(crate) fn block_on<T>(&self, call: impl Future<Output = T>) -> T {
        self.connected.threads.block_on(call)
    }
}

/// An object that is read like a file.
pub(crate) struct StoreFile {
    reader: Reader<S3>,
    bucket: Bucket,
}

impl StoreFile {
    /// What it is.
    pub(crate) fn found(&self) -> &Found {
        self.reader.found()
    }

    /// Somebody begins to read.
    pub(crate) fn attend(&self) -> Attending<S3> {
        self.reader.attend()
    }

    /// Bytes from `place` on, as [`Reader::read_at`]. A store that can't be reached is waited for.
    ///
    /// # Errors
    /// Those of the store, and that it can't be reached for minutes.
    pub(crate) fn read(&self, place: u64, most: usize) -> Result<bytes::Bytes, Error> {
        let read = || self.reader.read_at(place, most);
        self.bucket.block_on(async {
            let read = tokio::time::timeout(HANGS, patiently(|| false, read)).await;
            read.unwrap_or_else(|_| Err(Error::Unreachable("it does not answer".to_owned())))
        })
    }
}
