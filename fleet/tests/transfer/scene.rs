//! A deployment for tests: an authority, an origin with objects, a spool, and peers with certificates.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use vtp_engine::coordinator::JobId;
use vtp_engine::units::{Attempt, ChunkIndex};
use vtp_fleet::ca::{Authority, Issued, Request};
use vtp_fleet::credentials::Credentials;
use vtp_fleet::identity::{Identity, Role};
use vtp_fleet::transfer::quic::{Address, Client, Server, Serves, Tuning};
use vtp_fleet::transfer::{Error, FolderSpool, Kind, Nothing, Object, ObjectId, Origin};

/// Most bytes of an object, for origin and spool.
pub(crate) const MOST: u64 = 64 << 20;

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) shelf: Shelf,
    authority: Authority,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(&folder.path().join("ca"), 30).unwrap();
        Self { folder, shelf: Shelf::default(), authority }
    }

    pub(crate) fn spool(&self) -> FolderSpool {
        FolderSpool { folder: self.folder.path().join("spool"), most: MOST }
    }

    /// Where a node keeps what it fetched.
    pub(crate) fn place(&self, chunk: u32) -> PathBuf {
        self.folder.path().join(format!("node/{chunk}.packets"))
    }

    pub(crate) fn credentials(&self, role: Role) -> Credentials {
        self.credentials_for(role, "127.0.0.1")
    }

    pub(crate) fn credentials_for(&self, role: Role, host: &str) -> Credentials {
        Credentials::new(&self.issue(role, host)).unwrap()
    }

    pub(crate) fn issue(&self, role: Role, host: &str) -> Issued {
        let identity = Identity { role, name: "one".parse().unwrap() };
        self.authority.issue(&Request { identity, hosts: vec![host.to_owned()], days: 1 }).unwrap()
    }

    pub(crate) fn origin(&self, tuning: Tuning) -> Server {
        let serves = Serves { origin: self.shelf.clone(), spool: Nothing };
        Server::start(anywhere(), &self.credentials(Role::Splitter), serves, tuning).unwrap()
    }

    pub(crate) fn stitcher(&self, tuning: Tuning) -> Server {
        let serves = Serves { origin: Nothing, spool: self.spool() };
        Server::start(anywhere(), &self.credentials(Role::Stitcher), serves, tuning).unwrap()
    }

    pub(crate) fn node(&self, origin: impl Into<Address>, spool: impl Into<Address>, tuning: Tuning) -> Client {
        Client::new(&self.credentials(Role::Node), origin.into(), spool.into(), MOST, tuning).unwrap()
    }
}

pub(crate) fn anywhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Windows so small that they matter, and times so short that a test can wait for them.
pub(crate) fn small() -> Tuning {
    Tuning {
        stream_window: 512 << 10,
        connection_window: 1 << 20,
        idle: Duration::from_millis(600),
        keep_alive: Duration::from_millis(150),
        stall: Duration::from_secs(5),
        patience: Duration::from_secs(30),
        loopback_payload: None,
        ..Tuning::default()
    }
}

pub(crate) fn packets(chunk: u32) -> ObjectId {
    ObjectId { job: JobId(7), chunk: ChunkIndex(chunk), attempt: Attempt(1), kind: Kind::Packets }
}

pub(crate) fn encoded(chunk: u32) -> ObjectId {
    ObjectId { kind: Kind::Encoded, ..packets(chunk) }
}

pub(crate) fn some_bytes(length: u64, seed: u64) -> Bytes {
    let mut bytes = vec![0; length as usize];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// An origin of what was put there, which counts the bytes that are read.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    objects: Arc<Mutex<HashMap<ObjectId, Bytes>>>,
    read: Arc<AtomicU64>,
}

impl Shelf {
    pub(crate) fn put(&self, id: ObjectId, object: Bytes) {
        self.objects.lock().unwrap().insert(id, object);
    }

    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }
}

impl Origin for Shelf {
    type Object = Counted;

    async fn open(&self, id: ObjectId) -> Result<Counted, Error> {
        let object = self.objects.lock().unwrap().get(&id).cloned();
        Ok(Counted { bytes: object.ok_or(Error::NotFound(id))?, read: Arc::clone(&self.read) })
    }
}

pub(crate) struct Counted {
    pub(crate) bytes: Bytes,
    pub(crate) read: Arc<AtomicU64>,
}

impl Object for Counted {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read(&self, offset: u64, size: usize) -> io::Result<Bytes> {
        self.read.fetch_add(size as u64, Ordering::SeqCst);
        self.bytes.read(offset, size).await
    }
}

/// Does it again until it succeeds, or fails for good.
pub(crate) async fn persist<T, F: Future<Output = Result<T, Error>>>(mut work: impl FnMut() -> F) -> Result<T, Error> {
    for _ in 0..1000 {
        match work().await {
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(2)).await,
            result => return result,
        }
    }
    panic!("a thousand tries were too few");
}

/// Waits, but not for ever.
pub(crate) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("it took more than {seconds} s"),
    }
}
