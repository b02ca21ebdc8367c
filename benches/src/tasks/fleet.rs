//! A server, a driver and nodes that have nothing to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_fleet::bus::nats::{Access, NatsBus};
use vtp_fleet::driver::{Config, Driver, Handle, Notice};
use vtp_fleet::ledger::{FileLedger, Ledger, PostgresLedger, Row, Submission};
use vtp_fleet::messages::{NodeId, Offer, Pool, TraceContext};
use vtp_fleet::node::{self, Outcome, Work};
use vtp_fleet::server::{NatsServer, Sync};

use super::Options;
use super::timed::{Stamps, Timed};

/// How long a fleet may take to do anything at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// All of it.
pub(super) struct Fleet {
    handle: Handle,
    /// How long each accepted task took since it was submitted.
    accepted: mpsc::UnboundedReceiver<Duration>,
    stamps: Stamps,
    submitted: Submitted,
    jobs: u64,
    bytes: usize,
    leave: watch::Sender<bool>,
    running: JoinSet<Result<()>>,
    // In this order: the server goes before its folder.
    _server: NatsServer,
    _folder: TempDir,
}

/// When each job was submitted.
type Submitted = Arc<Mutex<HashMap<u64, Instant>>>;

/// How often the driver has done something.
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) turns: u64,
}

/// Is done before it begins.
#[derive(Clone, Debug)]
struct Null;

impl Work for Null {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Outcome> {
        Ok(())
    }

    async fn run(&self, _offer: Arc<Offer>, (): ()) -> Outcome {
        Outcome::Finished { result: Vec::new() }
    }
}

/// Looks at the clock when a task is accepted; lets go of jobs that are done.
async fn listen(
    mut notices: mpsc::UnboundedReceiver<Notice>,
    handle: Handle,
    submitted: Submitted,
    accepted: mpsc::UnboundedSender<Duration>,
) -> Result<()> {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Accepted { id, .. } => {
                let submitted = submitted.lock().unwrap_or_else(PoisonError::into_inner).get(&id.job).copied();
                accepted.send(submitted.context("a task of no job")?.elapsed())?;
            }
            Notice::Failed { message, .. } => bail!("a job has failed: {message}"),
            Notice::Done { job } => handle.forget(job).await?,
            Notice::Cancelled { .. }
            | Notice::Progress { .. }
            | Notice::NobodyCan { .. }
            | Notice::DeadlineMissed { .. } => {}
        }
    }
    Ok(())
}

/// The ledger in this database, once nobody else leads.
async fn of_our_own(url: &str) -> Result<PostgresLedger> {
    let mut ledger = PostgresLedger::at(url, "vtp bench tasks")?;
    let started = Instant::now();
    while let Err(error) = ledger.claim().await {
        if !error.is_passing() || started.elapsed() > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(ledger)
}

/// Starts a driver beside what runs.
async fn drive<L: Ledger>(
    bus: Timed<NatsBus>,
    ledger: L,
    config: Config,
    running: &mut JoinSet<Result<()>>,
) -> Result<(Handle, mpsc::UnboundedReceiver<Notice>)> {
    let (driver, handle, notices) = Driver::start(bus, ledger, config).await?;
    running.spawn(async move { Ok(driver.run().await?) });
    Ok((handle, notices))
}

impl Fleet {
    pub(super) async fn start(options: &Options, sync: Sync) -> Result<Self> {
        let folder = tempfile::tempdir_in(&options.folder)?;
        let server = NatsServer::start(&options.server, folder.path(), sync)?;
        let pool = Pool::new("null")?;
        let stamps = Stamps::default();
        let bus = async |name: String| -> Result<_> {
            let bus = NatsBus::connect(&Access::anonymous(server.url(), name), Default::default(), 1).await?;
            Ok(Timed { bus, stamps: stamps.clone() })
        };
        // Tasks that take no time say nothing about which of them are slow.
        let mut config = Config::fleet(BTreeMap::from([(pool.clone(), Skills::NONE.with(Skill::Cpu))]));
        config.coordinator.speculation = None;
        let mut running = JoinSet::new();
        let driver = bus("driver".to_owned()).await?;
        let (handle, notices) = match &options.ledger {
            Some(url) => drive(driver, of_our_own(url).await?, config, &mut running).await?,
            None => drive(driver, FileLedger::open(&folder.path().join("ledger"))?, config, &mut running).await?,
        };
        let (leave, left) = watch::channel(false);
        for number in 0..options.nodes {
            let name = format!("node-{number}");
            let node = NodeId::new(name.clone())?;
            let heartbeat = Duration::from_secs(5);
            let drain = Duration::ZERO;
            let settings =
                node::Settings { node, pool: pool.clone(), slots: options.slots, ahead: 0, heartbeat, drain };
            let (bus, left) = (bus(name).await?, left.clone());
            running.spawn(async move { Ok(node::run(bus, settings, Null, left).await?) });
        }
        let (submitted, bytes) = (Submitted::default(), options.bytes);
        let (sender, accepted) = mpsc::unbounded_channel();
        running.spawn(listen(notices, handle.clone(), Arc::clone(&submitted), sender));
        Ok(Self {
            handle,
            accepted,
            stamps,
            submitted,
            jobs: 1,
            bytes,
            leave,
            running,
            _server: server,
            _folder: folder,
        })
    }

    /// Submits a job of so many tasks.
    pub(super) async fn submit(&mut self, tasks: u32) -> Result<()> {
        let job = self.jobs;
        self.jobs += 1;
        let needs = Skills::NONE.with(Skill::Cpu);
        let row = |chunk| Row::new(chunk, Cost(1_000), needs, vec![0; self.bytes]);
        let submission = Submission {
            job,
            user: 1,
            weight: 1,
            priority: 5,
            deadline_ms: None,
            fetch: vec!["quic://splitter:4433".to_owned()],
            deliver: vec!["quic://stitcher:4433".to_owned()],
            trace: TraceContext::NONE,
            tasks: (0..tasks).map(row).collect(),
        };
        self.submitted.lock().unwrap_or_else(PoisonError::into_inner).insert(job, Instant::now());
        Ok(self.handle.submit(submission).await?)
    }

    /// Waits until so many tasks more are accepted, and says how long each took since it was submitted, sorted.
    pub(super) async fn accepted(&mut self, tasks: u32) -> Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(tasks as usize);
        while took.len() < tasks as usize {
            tokio::select! {
                one = tokio::time::timeout(PATIENCE, self.accepted.recv()) => {
                    took.push(one.context("nothing is accepted any more")?.context("nobody listens any more")?);
                }
                Some(ended) = self.running.join_next() => {
                    ended??;
                    bail!("a node or the driver has ended before its time");
                }
            }
        }
        took.sort_unstable();
        Ok(took)
    }

    pub(super) fn counts(&self) -> Counts {
        let counts = self.handle.counts();
        Counts { events: counts.events.load(Ordering::Relaxed), turns: counts.turns.load(Ordering::Relaxed) }
    }

    pub(super) fn latencies(&self) -> Vec<Duration> {
        self.stamps.take()
    }

    pub(super) fn forget_latencies(&self) {
        drop(self.stamps.take());
    }

    /// Has nodes leave, and ends.
    pub(super) async fn stop(mut self) {
        // Whoever has ended already does not listen.
        let _ = self.leave.send(true);
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.running.shutdown().await;
    }
}
