//! A fleet, as a run in the stitcher has it: step: have the source looked into and chunks encoded, take in what is delivered, and
//! keep it until the run has ended, however often that is begun again. In: a run's orders. Out: what the fleet made of them. Never: a
//! chunk that two nodes made.
//!
//! ```text
//!  order ─► driver ── NATS ──► node ◄── QUIC ── splitter ── NATS ──► which packets? ─► here
//!        ◄─ ended ◄─ driver ◄─ node ── QUIC ──► spool, here
//! ```
//! What a fleet can't do is done here once more, so that what is wrong is told as always.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use vtp_engine::chunk::{EncodeTask, EncodedChunk};
use vtp_engine::coordinator::{Cost, JobId, Skill, Skills};
use vtp_engine::limits::Limits;
use vtp_engine::units::{Attempt, ChunkIndex};
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::bus::{Talk as _, Whom};
use vtp_fleet::client::{self, Client};
use vtp_fleet::ledger::{Row, Submission};
use vtp_fleet::messages::{self, Found, Lookup, Made, Standing, TraceContext};
use vtp_fleet::transfer::{Kind, ObjectId, Spool as _};
use vtp_splitter::Source;

use super::deliveries::{Awaited, Deliveries};
use super::orders::{self, IndexOrder, Indexed, PacketsOrder, SplitOrder};
use crate::child;
use crate::encode::driver::{ChunkError, Fleet, Pack};
use crate::encode::failure::EncodeFailure;
use crate::place::Place;
use crate::telemetry::span;
use crate::work::{self, ChunkOrder};

/// How urgent orders are: repairs are before others, which wait for them, and an index is before both.
const ORDER: u8 = 5;
const REPAIR: u8 = 4;
const INDEX: u8 = 3;
/// How often somebody who waits for the fleet looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// What is said of a job that is not under way.
const NOTHING: Found = Found { packets: None, trace: TraceContext::NONE };

/// What all runs of a stitcher share.
pub(super) struct Yard {
    runtime: Handle,
    client: Client<NatsBus>,
    spool: Deliveries,
    /// How nodes and splitters reach the spool.
    spool_at: String,
    /// Which packets each job is made from that is under way.
    packets: Mutex<HashMap<u64, Found>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a job has ended.
enum Outcome {
    /// What was delivered is there as long as the first of these.
    Made(Awaited, ObjectId, Vec<u8>),
    Failed(String),
    /// Nobody wants it any more.
    Stopped,
}

impl Yard {
    /// Answers splitters from now on. Needs a runtime.
    pub(super) async fn open(
        bus: &NatsBus,
        client: Client<NatsBus>,
        spool: Deliveries,
        spool_at: String,
    ) -> anyhow::Result<Arc<Self>> {
        let mut questions = bus.questions(Whom::Session(client.session())).await?;
        let yard = Arc::new(Self { runtime: Handle::current(), client, spool, spool_at, packets: Mutex::default() });
        let answers = Arc::downgrade(&yard);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let Some(yard) = answers.upgrade() else { return };
                let found = messages::decode(&question.bytes)
                    .map(|Lookup { job, .. }| locked(&yard.packets).get(&job).cloned().unwrap_or(NOTHING));
                match found.and_then(|found| messages::encode(&found)) {
                    Ok(answer) => question.answer(answer),
                    Err(error) => tracing::warn!(%error, "a splitter's question is not understood"),
                }
            }
        });
        Ok(yard)
    }

    /// Waits until the driver refuses this stitcher, for ever perhaps; and why it does.
    pub(super) async fn refused(&self) -> String {
        self.client.refused().await
    }

    /// How jobs stand, whoever's they are.
    pub(super) async fn standings(&self, jobs: &[u64]) -> Result<Vec<(u64, Standing)>, client::Error> {
        self.client.standings(jobs).await
    }

    /// Has the task done, in one job after the other while the driver takes us for gone; `packets` are told to splitters.
    fn carry_out(&self, task: &Task, fetch: &[String], stop: &AtomicBool) -> Result<Outcome, String> {
        loop {
            let job = self.client.number();
            let awaited = self.spool.awaits(JobId(job));
            let trace = span::current();
            if task.packets.is_some() {
                locked(&self.packets).insert(job, Found { packets: task.packets.clone(), trace });
            }
            let submission = Submission {
                job,
                user: task.user,
                weight: 1,
                priority: task.priority,
                deadline_ms: None,
                fetch: fetch.to_vec(),
                deliver: vec![self.spool_at.clone()],
                trace,
                tasks: vec![Row::new(task.chunk, task.cost, Skills::NONE.with(task.needs), task.body.clone())],
            };
            let ended = self.runtime.block_on(async {
                tokio::select! {
                    ended = self.client.carry_out(submission) => Some(ended),
                    () = stopped(stop) => None,
                }
            });
            locked(&self.packets).remove(&job);
            return Ok(match ended {
                None => Outcome::Stopped,
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(Standing::Done { made })) => match made.into_iter().next() {
                    Some(made) => {
                        let (id, result) = task.object(job, made);
                        Outcome::Made(awaited, id, result)
                    }
                    None => Outcome::Failed("the driver says nothing of what was made".to_owned()),
                },
                Some(Ok(Standing::Failed { message, .. })) => Outcome::Failed(message),
                Some(Ok(Standing::Cancelled | Standing::Unknown | Standing::Active)) => continue,
            });
        }
    }
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// A task for the fleet.
struct Task {
    user: u64,
    priority: u8,
    chunk: u32,
    cost: Cost,
    needs: Skill,
    kind: Kind,
    body: Vec<u8>,
    packets: Option<Vec<u8>>,
}

impl Task {
    fn object(&self, job: u64, made: Made) -> (ObjectId, Vec<u8>) {
        let (job, chunk, attempt) = (JobId(job), ChunkIndex(made.chunk), Attempt(made.attempt));
        (ObjectId { job, chunk, attempt, kind: self.kind }, made.result)
    }
}

/// The fleet of one run.
pub(super) struct Remote {
    yard: Arc<Yard>,
    /// Whose tasks these are: fairness is between runs.
    user: u64,
    limits: Limits,
    /// What was delivered lies here until the run has ended.
    kept: PathBuf,
    looked: Mutex<Option<Looked>>,
}

/// What is known of the source.
#[derive(Clone)]
struct Looked {
    order: IndexOrder,
    origin: String,
    stamp: orders::Stamp,
}

impl Remote {
    /// The fleet of the run `user`, which keeps what is delivered in the folder `kept`, which exists.
    pub(super) fn new(yard: Arc<Yard>, user: u64, limits: Limits, kept: PathBuf) -> Self {
        Self { yard, user, limits, kept, looked: Mutex::default() }
    }

    /// What came of `order`, as it is kept: what was delivered before is not made again.
    fn kept(&self, order: &ChunkOrder, stop: &AtomicBool) -> Result<PathBuf, ChunkError> {
        let elsewhere = |error: &dyn Display| ChunkError::Elsewhere(error.to_string());
        let looked = locked(&self.looked).clone().ok_or_else(|| elsewhere(&"nobody has looked into the source"))?;
        let packets = PacketsOrder { source: looked.order, stamp: looked.stamp, packets: order.packets.clone() };
        let packets = orders::write(&packets).map_err(|error| elsewhere(&error))?;
        let task = EncodeTask { spool: PathBuf::new(), ..order.task.clone() };
        let body = orders::write(&ChunkOrder { task, ..order.clone() }).map_err(|error| elsewhere(&error))?;
        let kept = self.kept.join(blake3::hash(&[&packets[..], &body].concat()).to_hex().as_str());
        if kept.exists() {
            return Ok(kept);
        }
        let task = Task {
            user: self.user,
            priority: if order.until_good { ORDER } else { REPAIR },
            chunk: order.task.chunk.0,
            cost: Cost::from_frames(order.task.frames.len() as f64),
            needs: Skill::Cpu,
            kind: Kind::Encoded,
            body,
            packets: Some(packets),
        };
        match self.yard.carry_out(&task, &[looked.origin], stop).map_err(|error| elsewhere(&error))? {
            Outcome::Made(_awaited, id, _) => {
                let place = self.yard.spool.place(id).map_err(|error| elsewhere(&error))?;
                std::fs::rename(&place, &kept).map_err(|error| elsewhere(&error))?;
                Ok(kept)
            }
            Outcome::Failed(message) => Err(ChunkError::Elsewhere(message)),
            Outcome::Stopped => Err(child::Error::Cancelled.into()),
        }
    }
}

impl Fleet for Remote {
    fn run(&self) -> Option<u64> {
        Some(self.user)
    }

    fn index(&self, input: &Place, doubt: Option<&str>, cancel: &AtomicBool) -> Result<Option<Source>, EncodeFailure> {
        let internal = |error: &dyn Display| EncodeFailure::Internal(anyhow::anyhow!("the fleet: {error}"));
        let order = IndexOrder { input: input.clone(), limits: self.limits, doubt: doubt.map(str::to_owned) };
        let task = Task {
            user: self.user,
            priority: INDEX,
            chunk: 0,
            cost: Cost::from_frames(1.0),
            needs: Skill::Split,
            kind: Kind::Index,
            body: orders::write(&SplitOrder::Index(order.clone())).map_err(|error| internal(&error))?,
            packets: None,
        };
        let (_awaited, id, result) = match self.yard.carry_out(&task, &[], cancel).map_err(|error| internal(&error))? {
            Outcome::Made(awaited, id, result) => (awaited, id, result),
            Outcome::Failed(message) => return Err(internal(&message)),
            Outcome::Stopped => return Err(EncodeFailure::Cancelled),
        };
        let (origin, stamp) = match orders::read(&result).map_err(|error| internal(&error))? {
            Indexed::Found { origin, stamp } => (origin, stamp),
            Indexed::Told(_) | Indexed::Planned(_) | Indexed::Unfit(_) => {
                return Err(internal(&"the splitter tells what it should deliver"));
            }
            Indexed::Unusable { fault, message } => return Err(EncodeFailure::Input { fault, message }),
        };
        let place = self.yard.spool.place(id).map_err(|error| internal(&error))?;
        let found = std::fs::read(&place).map_err(|error| internal(&error))?;
        let source = postcard::from_bytes(&found).map_err(|error| internal(&error))?;
        *locked(&self.looked) = Some(Looked { order, origin, stamp });
        Ok(Some(source))
    }

    fn carry_out(&self, order: &ChunkOrder, _: &Pack<'_>, stop: &AtomicBool) -> Result<EncodedChunk, ChunkError> {
        let task = &order.task;
        let kept = self.kept(order, stop)?;
        let unpacked = work::unpack(&kept, task).inspect_err(|_| {
            // It is of no use the next time either.
            drop(std::fs::remove_file(&kept));
        });
        Ok(unpacked?)
    }
}
