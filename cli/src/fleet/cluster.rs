//! A run whose chunks are encoded by a fleet: step: this process has the source, drives the nodes, hands out packets, takes in
//! what was encoded, and stitches. In: a run's orders. Out: what the nodes made of them. Never: a chunk that two nodes made.
//!
//! ```text
//!  order ─► packets into an archive ─► origin ── QUIC ──► node: encodes
//!        ─► job of one task ─► driver ── NATS ──► node       │
//!        ◄─ accepted ◄──────── driver ◄─ NATS ── node ◄──────┘── QUIC ──► spool
//! ```
//! What a fleet can't do is done here once more, so that what is wrong is told as always.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::runtime::Runtime;
use vtp_encoder_node::Observer;
use vtp_engine::chunk::{EncodeTask, EncodedChunk};
use vtp_engine::coordinator::{Cost, JobId, Skill, Skills};
use vtp_engine::units::{Attempt, ChunkIndex};
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::driver::{self, Driver, Handle, Notice};
use vtp_fleet::ledger::{FileLedger, Row, Submission};
use vtp_fleet::messages::AttemptId;
use vtp_fleet::transfer::quic::{Server, Serves, Tuning};
use vtp_fleet::transfer::{self, FileObject, FolderSpool, Kind, Nothing, ObjectId, Origin, Spool as _};

use super::access::{ClusterArguments, POOL};
use super::encoder::MOST;
use super::{body, skills};
use crate::child;
use crate::encode::driver::{ChunkError, Fleet, Pack};
use crate::exit::Failure;
use crate::work::{self, ChunkOrder};

/// How urgent orders are: repairs are before others, which wait for them.
const ORDER: u8 = 5;
const REPAIR: u8 = 2;
/// How often somebody who waits for the fleet looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// How long a run that ends tries to tell the nodes.
const FAREWELL: Duration = Duration::from_secs(2);
/// Chunks that are packed at the same time.
const PACKING: usize = 2;

/// A fleet that works for this run.
pub(crate) struct Cluster {
    runtime: Runtime,
    bus: NatsBus,
    handle: Handle,
    waiting: Arc<Waiting>,
    packets: Arc<Packets>,
    spool: FolderSpool,
    origin_at: String,
    spool_at: String,
    jobs: AtomicU64,
    packing: (Sender<()>, Receiver<()>),
    /// They serve as long as they are there.
    _servers: [Server; 2],
}

/// Who waits for which job.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, Sender<Ended>>>);

/// How a job has ended.
enum Ended {
    Accepted(AttemptId),
    Failed(String),
}

/// The archives of the jobs that are under way.
#[derive(Default)]
struct Packets(Mutex<HashMap<u64, PathBuf>>);

impl Origin for Packets {
    type Object = FileObject;

    async fn open(&self, id: ObjectId) -> Result<FileObject, transfer::Error> {
        let path = locked(&self.0).get(&id.job.0).filter(|_| id.kind == Kind::Packets).cloned();
        let path = path.ok_or(transfer::Error::NotFound(id))?;
        FileObject::open(&path).map_err(transfer::Error::Reading)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiting {
    fn tell(&self, job: u64, ended: Ended) {
        // Whoever waited may have given up.
        if let Some(waiting) = locked(&self.0).remove(&job) {
            let _ = waiting.send(ended);
        }
    }

    /// What the driver says, until it ends; then nobody waits in vain.
    async fn listen(self: Arc<Self>, mut notices: tokio::sync::mpsc::UnboundedReceiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Accepted { id, .. } => self.tell(id.job, Ended::Accepted(id)),
                Notice::Failed { job, message, .. } => self.tell(job, Ended::Failed(message)),
                Notice::NobodyCan { job, .. } => {
                    tracing::warn!(job, "no node is there that can do this; waiting for one");
                }
                Notice::Progress { .. }
                | Notice::DeadlineMissed { .. }
                | Notice::Done { .. }
                | Notice::Cancelled { .. } => {}
            }
        }
        locked(&self.0).clear();
    }
}

impl Cluster {
    /// Connects, and drives the fleet from now on. `folder`, which exists, has what travels.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what can't be reached or is set wrongly.
    pub(crate) fn start(arguments: &ClusterArguments, folder: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Internal(error.into()))?;
        let (packets, waiting) = (Arc::new(Packets::default()), Arc::new(Waiting::default()));
        let spool = FolderSpool { folder: folder.join("delivered"), most: MOST };
        let started = runtime.block_on(async {
            let bus = NatsBus::connect(&arguments.access("driver")?, super::access::terms(), 1).await?;
            bus.claim_alone().await?;
            let ledger = FileLedger::open(&folder.join("ledger"))?;
            let config = driver::Config::fleet([(super::access::pool(POOL)?, skills())].into());
            let (driver, handle, notices) = Driver::start(bus.clone(), ledger, config).await?;
            let (splitter, stitcher) = (arguments.credentials("splitter")?, arguments.credentials("stitcher")?);
            let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
            let port = |port: u16| SocketAddr::new(any.ip(), port);
            let [first, second] = arguments.ports();
            let serves = Serves { origin: Arc::clone(&packets), spool: Nothing };
            let origin = Server::start(port(first), &splitter, serves, Tuning::default())?;
            let serves = Serves { origin: Nothing, spool: spool.clone() };
            let taker = Server::start(port(second), &stitcher, serves, Tuning::default())?;
            Ok::<_, anyhow::Error>((bus, driver, handle, notices, [origin, taker]))
        });
        let (bus, driver, handle, notices, servers) = started.map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let at = |server: &Server| {
            let port = server.address().map_err(|error| Failure::Internal(error.into()))?.port();
            Ok::<_, Failure>(arguments.reached_at(port))
        };
        let (origin_at, spool_at) = (at(&servers[0])?, at(&servers[1])?);
        runtime.spawn(Arc::clone(&waiting).listen(notices));
        runtime.spawn(async move {
            if let Err(error) = driver.run().await {
                tracing::error!(%error, "the fleet is driven no more");
            }
        });
        let packing = bounded(PACKING);
        // Numbers that no other run has, which tasks left by one might be known by.
        let jobs = AtomicU64::new(fastrand::u64(1..1 << 62));
        let _servers = servers;
        Ok(Self { runtime, bus, handle, waiting, packets, spool, origin_at, spool_at, jobs, packing, _servers })
    }

    /// Packs the chunk; a few at a time, for each takes a process.
    fn pack(&self, pack: &Pack<'_>, archive: &Path) -> Result<(), child::Error> {
        let (take, give) = &self.packing;
        // The other end is held here, too.
        let _ = take.send(());
        let packed = pack(archive);
        let _ = give.try_recv();
        packed
    }

    /// Has `order`, whose packets are in an archive under this number, made; tells by which attempt.
    fn submit(&self, job: u64, order: &ChunkOrder, stop: &AtomicBool) -> Result<AttemptId, ChunkError> {
        let (tell, told) = bounded(1);
        locked(&self.waiting.0).insert(job, tell);
        let body = body::write(order).map_err(|error| ChunkError::Elsewhere(error.to_string()))?;
        let cost = Cost::from_frames(order.task.frames.len() as f64);
        let submission = Submission {
            job,
            user: 0,
            weight: 1,
            priority: if order.until_good { ORDER } else { REPAIR },
            deadline_ms: None,
            fetch: vec![self.origin_at.clone()],
            deliver: vec![self.spool_at.clone()],
            tasks: vec![Row::new(order.task.chunk.0, cost, Skills::NONE.with(Skill::Cpu), body)],
        };
        let elsewhere = |error: driver::Error| ChunkError::Elsewhere(error.to_string());
        self.runtime.block_on(self.handle.submit(submission)).map_err(elsewhere)?;
        loop {
            match told.recv_timeout(LOOK) {
                Ok(Ended::Accepted(id)) => return Ok(id),
                Ok(Ended::Failed(message)) => return Err(ChunkError::Elsewhere(message)),
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    // A driver that has ended drives nothing either.
                    let _ = self.runtime.block_on(self.handle.cancel(job));
                    return Err(child::Error::Cancelled.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ChunkError::Elsewhere("the fleet is driven no more".to_owned()));
                }
            }
        }
    }

    /// Takes in what the attempt `id` has delivered for `task`.
    fn take_in(&self, id: AttemptId, task: &EncodeTask) -> Result<EncodedChunk, ChunkError> {
        let object = ObjectId {
            job: JobId(id.job),
            chunk: ChunkIndex(id.chunk),
            attempt: Attempt(id.attempt),
            kind: Kind::Encoded,
        };
        let place = self.spool.place(object).map_err(|error| ChunkError::Elsewhere(error.to_string()))?;
        let chunk = work::unpack(&place, task)?;
        if let Some(folder) = place.parent()
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            tracing::debug!(%error, path = %folder.display(), "left behind until the run ends");
        }
        Ok(chunk)
    }
}

impl Drop for Cluster {
    /// Nodes that work on what is not wanted any more have been told to stop when this returns; otherwise they would look for
    /// this process for a while.
    fn drop(&mut self) {
        let ids: Vec<u64> = locked(&self.waiting.0).keys().copied().collect();
        let told = async {
            for job in ids {
                self.handle.cancel(job).await?;
            }
            // What was asked before is done when this is answered: no job has the number 0.
            if let Err(driver::Error::Gone) = self.handle.forget(0).await {
                return Err(driver::Error::Gone);
            }
            self.bus.flush().await.map_err(driver::Error::Bus)
        };
        let told = self.runtime.block_on(async { tokio::time::timeout(FAREWELL, told).await });
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!("the nodes were not told that this run has ended");
        }
    }
}

impl Fleet for Cluster {
    fn carry_out(
        &self,
        order: &ChunkOrder,
        pack: &Pack<'_>,
        observer: &dyn Observer,
        stop: &AtomicBool,
    ) -> Result<EncodedChunk, ChunkError> {
        let task = &order.task;
        let archive = task.spool.join("packets");
        self.pack(pack, &archive)?;
        let job = self.jobs.fetch_add(1, Ordering::Relaxed);
        locked(&self.packets.0).insert(job, archive.clone());
        let travels = ChunkOrder { task: EncodeTask { spool: PathBuf::new(), ..task.clone() }, ..order.clone() };
        let made = self.submit(job, &travels, stop);
        locked(&self.packets.0).remove(&job);
        let chunk = made.and_then(|id| self.take_in(id, task));
        if let Err(error) = std::fs::remove_file(&archive) {
            tracing::debug!(%error, path = %archive.display(), "left behind until the run ends");
        }
        let chunk = chunk?;
        for rendition in &chunk.renditions {
            let frames = u32::try_from(task.frames.len()).unwrap_or(u32::MAX);
            observer.frames_encoded(&rendition.rendition, frames);
        }
        Ok(chunk)
    }
}
