//! A driver and nodes on any bus, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_fleet::bus::Bus;
use vtp_fleet::driver::{Config, Driver, Error, Handle, Notice, SpanSink};
use vtp_fleet::ledger::{Ledger, Row, Submission};
use vtp_fleet::messages::{AttemptId, Offer, TraceContext};
use vtp_fleet::node::{self, Outcome, Work};

use crate::support::{node as node_id, pool};

/// A fleet's, but no task is started twice for being slow, and nodes are given as many tasks as they have slots.
pub(crate) fn config() -> Config {
    config_with(0)
}

/// One whose nodes are given so many tasks more.
pub(crate) fn config_with(ahead: u16) -> Config {
    let mut config = Config::fleet(BTreeMap::from([(pool("cpu"), Skills::NONE.with(Skill::Cpu))]));
    config.ahead = BTreeMap::from([(pool("cpu"), ahead)]);
    config.republish = Duration::from_secs(2);
    config.coordinator.speculation = None;
    config
}

pub(crate) fn submission(job: u64, tasks: u32) -> Submission {
    let needs = Skills::NONE.with(Skill::Cpu);
    Submission {
        job,
        user: 1,
        weight: 1,
        priority: 5,
        deadline_ms: None,
        fetch: vec!["here".to_owned()],
        deliver: vec!["there".to_owned()],
        trace: TraceContext::new(9, job + 1, true),
        tasks: (0..tasks).map(|chunk| Row::new(chunk, Cost(1000), needs, vec![chunk as u8])).collect(),
    }
}

/// Takes its time, and says which chunk it was.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) time: Duration,
    pub(crate) begun: Arc<AtomicU64>,
}

impl Slow {
    pub(crate) fn of_ms(ms: u64) -> Self {
        Self { time: Duration::from_millis(ms), begun: Arc::default() }
    }
}

impl Work for Slow {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Outcome> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> Outcome {
        self.begun.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.time).await;
        Outcome::Finished { result: offer.body.clone() }
    }
}

/// How long nodes finish what they have once they are told to leave.
const DRAIN: Duration = Duration::from_secs(60);

/// A node that runs.
pub(crate) struct Node {
    pub(crate) running: JoinHandle<Result<(), node::Ended>>,
    pub(crate) leave: watch::Sender<bool>,
}

impl Node {
    pub(crate) fn start(bus: &impl Bus, name: &str, slots: u16, work: impl Work) -> Self {
        Self::in_pool(bus, name, "cpu", slots, work)
    }

    pub(crate) fn in_pool(bus: &impl Bus, name: &str, its: &str, slots: u16, work: impl Work) -> Self {
        Self::of(bus, name, its, (slots, 0), DRAIN, work)
    }

    /// One that hands back after so long what it has not done, once it is told to leave.
    pub(crate) fn draining(bus: &impl Bus, name: &str, slots: u16, drain: Duration, work: impl Work) -> Self {
        Self::of(bus, name, "cpu", (slots, 0), drain, work)
    }

    /// One that holds so many tasks besides.
    pub(crate) fn with_ahead(bus: &impl Bus, name: &str, slots: u16, ahead: u16, work: impl Work) -> Self {
        Self::of(bus, name, "cpu", (slots, ahead), DRAIN, work)
    }

    fn of(bus: &impl Bus, name: &str, its: &str, (slots, ahead): (u16, u16), drain: Duration, work: impl Work) -> Self {
        let heartbeat = Duration::from_millis(300);
        let settings = node::Settings { node: node_id(name), pool: pool(its), slots, ahead, heartbeat, drain };
        let (leave, left) = watch::channel(false);
        Self { running: tokio::spawn(node::run(bus.clone(), settings, work, left)), leave }
    }

    /// As kill -9 does: not a word is said.
    pub(crate) fn kill(self) {
        self.running.abort();
        // Its sender must live as long, or the node would leave politely.
        std::mem::forget(self.leave);
    }
}

/// A driver that runs.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    running: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) async fn start(bus: &impl Bus, ledger: impl Ledger) -> Self {
        Self::with(bus, ledger, config()).await
    }

    pub(crate) async fn with(bus: &impl Bus, ledger: impl Ledger, config: Config) -> Self {
        Self::traced(bus, ledger, config, None).await
    }

    pub(crate) async fn traced(
        bus: &impl Bus,
        ledger: impl Ledger,
        config: Config,
        sink: Option<Box<dyn SpanSink>>,
    ) -> Self {
        let (mut driver, handle, notices) = Driver::start(bus.clone(), ledger, config).await.expect("it starts");
        sink.into_iter().for_each(|sink| driver.trace_to(sink));
        Self { handle, notices, running: tokio::spawn(driver.run()) }
    }

    pub(crate) async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Waits until these jobs have ended, and gives what was accepted.
    pub(crate) async fn ended(&mut self, jobs: &[u64]) -> (BTreeSet<AttemptId>, Vec<Notice>) {
        let mut open: BTreeSet<u64> = jobs.iter().copied().collect();
        let (mut accepted, mut ends) = (BTreeSet::new(), Vec::new());
        while !open.is_empty() {
            let notice = tokio::time::timeout(Duration::from_secs(600), self.notices.recv()).await;
            match notice.expect("jobs end").expect("the driver lives") {
                Notice::Accepted { id, result } => {
                    assert_eq!(result, [id.chunk as u8]);
                    assert!(accepted.insert(id), "{id} is accepted once");
                }
                end @ (Notice::Done { job } | Notice::Failed { job, .. } | Notice::Cancelled { job }) => {
                    assert!(open.remove(&job), "job {job} ends once");
                    ends.push(end);
                }
                Notice::Progress { .. } | Notice::NobodyCan { .. } | Notice::DeadlineMissed { .. } => {}
            }
        }
        (accepted, ends)
    }
}
