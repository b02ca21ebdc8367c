//! What the tests share.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use vtp_fleet::bus::nats::{Access, NatsBus};
use vtp_fleet::bus::{Bus, Delivery, News, Piece, Tasks, Terms};
use vtp_fleet::messages::{AttemptId, NodeId, Offer, Pool, Settings, TraceContext};
use vtp_fleet::server::{self, NatsServer, Sync};

/// Short, so that tests are.
pub(crate) const TERMS: Terms =
    Terms { ack_wait: Duration::from_millis(2500), max_deliver: 3, duplicate_window: Duration::from_secs(20) };

/// nats-server, or a word that a test is skipped; with `VTP_NATS=required` that is a failure.
pub(crate) fn binary() -> Option<PathBuf> {
    let found = server::binary();
    if found.is_none() {
        let required = std::env::var("VTP_NATS").is_ok_and(|it| it == "required");
        assert!(!required, "no nats-server: put one on the path, name it by NATS_SERVER, or run make nats");
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the test harness, which hides what a passing test prints.
        let said = writeln!(std::io::stderr().lock(), "SKIPPED {name}: no nats-server: run make nats");
        said.expect("there is a stderr");
    }
    found
}

/// A server of this test's own.
pub(crate) struct Server {
    pub(crate) server: NatsServer,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        Self::syncing(Sync::Always)
    }

    pub(crate) fn syncing(sync: Sync) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let server = NatsServer::start(&binary()?, folder.path(), sync).expect("the server starts");
        Some(Self { server, _folder: folder })
    }

    pub(crate) async fn bus(&self, name: &str) -> NatsBus {
        let access = Access::anonymous(self.server.url(), name);
        NatsBus::connect(&access, TERMS, 1).await.expect("the server lets us in")
    }
}

pub(crate) fn pool(name: &str) -> Pool {
    Pool::new(name).expect("a name")
}

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a name")
}

pub(crate) fn id(chunk: u32, attempt: u32) -> AttemptId {
    AttemptId { job: 1, chunk, attempt }
}

pub(crate) fn offer(pool: &Pool, chunk: u32, priority: u8) -> Offer {
    Offer {
        id: id(chunk, 1),
        pool: pool.clone(),
        priority,
        settings: Settings::Usual,
        lease_ms: 30_000,
        cost: 1,
        fetch: Vec::new(),
        deliver: Vec::new(),
        trace: TraceContext::NONE,
        body: format!("chunk {chunk}").into_bytes(),
    }
}

/// Everything that is pulled, `free` at a time, until nothing has come for `quiet`.
pub(crate) async fn drain<T: Tasks>(tasks: &mut T, free: usize, quiet: Duration) -> Vec<Delivery<T::Receipt>> {
    let mut all = Vec::new();
    loop {
        let more = tasks.pull(free, quiet).await.expect("it can be pulled");
        if more.is_empty() {
            return all;
        }
        assert!(more.len() <= free, "no more than there is room for");
        all.extend(more);
    }
}

/// News until `done` says that it is enough; at most 20 s.
pub(crate) async fn read_until(news: &mut impl News, mut done: impl FnMut(&[Piece]) -> bool) -> Vec<Piece> {
    let mut all = Vec::new();
    for _ in 0..200 {
        all.extend(news.next(100, Duration::from_millis(100)).await.expect("it can be read"));
        if done(&all) {
            return all;
        }
    }
    panic!("that is all there was: {all:?}");
}

/// A bus that is ready for these pools.
pub(crate) async fn prepared<B: Bus>(bus: B, pools: &[Pool]) -> B {
    bus.prepare(pools).await.expect("it can be prepared");
    bus
}
