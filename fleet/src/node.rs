//! A node's end of the bus: step: pull tasks as long as slots are free, have them done, say so. In: the bus, someone who
//! does the [`Work`]. Out: reports. Never: a look into a task; a second copy of an attempt that it is at.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture, FutureExt};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::bus::{Bus, Controls, Delivery, Error, Receipt, Tasks};
use crate::messages::{AttemptId, Control, Happened, NodeId, Offer, Pool, Report, Why};
use crate::metrics::{SLOTS, SLOTS_BUSY, TASK_TIME};

/// How long a report waits for more to say. A report costs the server a sync, and a task takes seconds.
const LINGER: Duration = Duration::from_millis(3);

/// Who does a node's tasks.
pub trait Work: Clone + Send + Sync + 'static {
    /// Does a task. When it says [`Outcome::Finished`], the result is where it belongs, durably. Dropped when the task
    /// counts no longer.
    fn run(&self, offer: Arc<Offer>) -> impl Future<Output = Outcome> + Send;
}

/// What became of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done.
    Finished {
        /// What the driver is to know of it.
        result: Vec<u8>,
    },
    /// It came to nothing.
    Failed {
        /// Whether trying again can help.
        why: Why,
        /// A sentence for the user.
        message: String,
    },
    /// This node can do none of these tasks. It puts this one down, which costs the task nothing, and leaves.
    Unfit {
        /// A sentence for whoever runs the node.
        message: String,
    },
}

/// A node's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, which no other node of the fleet has.
    pub node: NodeId,
    /// What it can do.
    pub pool: Pool,
    /// How many tasks at a time.
    pub slots: u16,
    /// How many tasks more than that are to wait on the bus for this node: then there is one at once when another is done, and
    /// nobody waits until the driver has heard of that. Whoever of the pool has a free slot first takes them.
    pub queued: u16,
    /// How often it says that it is alive: well below the driver's lease and the bus's `ack_wait`.
    pub heartbeat: Duration,
    /// How long it may take to finish what it has once it is told to leave; what is not done then is handed back.
    pub drain: Duration,
}

/// Why a node ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The driver doesn't want it.
    #[error("the driver refuses this node: {0}")]
    Refused(String),
    /// It can do none of the tasks.
    #[error("{0}")]
    Unfit(String),
    /// The bus, for a reason that does not pass.
    #[error(transparent)]
    Bus(#[from] Error),
}

struct Busy<R> {
    stop: Arc<Notify>,
    since: Instant,
    /// More than one where the bus has delivered it again meanwhile.
    receipts: Vec<R>,
}

/// What is to be reported, and acknowledged once it is.
struct Reporter<R> {
    node: NodeId,
    session: u64,
    sequence: u64,
    happened: Vec<Happened>,
    receipts: Vec<R>,
    due: Option<Instant>,
    /// As many words as make waiting for more pointless: what all slots have to say.
    enough: usize,
}

struct Node<B: Bus, W> {
    work: W,
    settings: Settings,
    busy: HashMap<AttemptId, Busy<ReceiptOf<B>>>,
    running: JoinSet<(AttemptId, Option<Outcome>)>,
    /// Which attempt each of them is at.
    at: HashMap<tokio::task::Id, AttemptId>,
    reporter: Reporter<ReceiptOf<B>>,
    draining: bool,
    /// When what is not done is handed back.
    until: Option<Instant>,
    left: bool,
    unfit: Option<String>,
}

type ReceiptOf<B> = <<B as Bus>::Tasks as Tasks>::Receipt;

/// Is a node until `leave` says true or its sender is gone: then it pulls nothing more, finishes what it has or hands it back,
/// and leaves.
///
/// # Errors
/// [`Ended`].
pub async fn run<B: Bus>(
    bus: B,
    settings: Settings,
    work: impl Work,
    mut leave: watch::Receiver<bool>,
) -> Result<(), Ended> {
    let mut controls = bus.controls(&settings.node).await?;
    let mut tasks = bus.tasks(std::slice::from_ref(&settings.pool)).await?;
    let mut node = Node::<B, _>::new(settings, work);
    node.join();
    node.show();
    let mut beat = tokio::time::interval(node.settings.heartbeat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sending = Fuse::terminated();
    loop {
        node.leave_if_done();
        let mut due = None;
        if sending.is_terminated() {
            due = node.reporter.due();
            match node.reporter.next() {
                Some((report, receipts)) => sending = Box::pin(send(bus.clone(), report, receipts)).fuse(),
                None if node.left && due.is_none() => return node.unfit.map_or(Ok(()), |why| Err(Ended::Unfit(why))),
                None => {}
            }
        }
        let free = if node.draining { 0 } else { usize::from(node.settings.slots).saturating_sub(node.busy.len()) };
        tokio::select! {
            () = &mut sending, if !sending.is_terminated() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && sending.is_terminated() => {}
            Some(done) = node.running.join_next_with_id(), if !node.running.is_empty() => node.done(done),
            pulled = tasks.pull(free, Duration::from_secs(30)), if free > 0 => node.take(pulled).await?,
            control = controls.next() => node.control(control)?,
            _ = beat.tick() => node.beat().await,
            () = tokio::time::sleep_until(node.until.unwrap_or_else(Instant::now)), if node.until.is_some() => {
                node.hand_back();
            }
            changed = leave.changed(), if !node.draining => {
                if changed.is_err() || *leave.borrow() {
                    node.draining = true;
                    node.until = Some(Instant::now() + node.settings.drain);
                    node.reporter.happened.push(Happened::Draining);
                }
            }
        }
        while let Some(done) = node.running.try_join_next_with_id() {
            node.done(done);
        }
    }
}

/// Reports, however often it takes, and acknowledges what the report is about.
async fn send<B: Bus>(bus: B, report: Report, receipts: Vec<ReceiptOf<B>>) {
    let mut patience = Duration::from_millis(100);
    while let Err(error) = bus.report(&report).await {
        // At first it may be that the driver is not there yet, who makes the streams.
        if patience > Duration::from_secs(1) {
            tracing::warn!(%error, "a report does not get through, and is sent again");
        }
        if !error.is_retryable() {
            tracing::error!(%error, "a report is of no use, and lost");
            break;
        }
        tokio::time::sleep(patience).await;
        patience = (patience * 2).min(Duration::from_secs(5));
    }
    for receipt in receipts {
        // Where it is lost, the task comes again, and whoever gets it is told to stop.
        let _ = receipt.ack().await;
    }
}

impl<R> Reporter<R> {
    /// When the next report is to be sent, if there is something to say.
    fn due(&mut self) -> Option<Instant> {
        if self.happened.is_empty() {
            return None;
        }
        Some(*self.due.get_or_insert_with(|| Instant::now() + LINGER))
    }

    /// The next report, if it is due or has become long.
    fn next(&mut self) -> Option<(Report, Vec<R>)> {
        let due = self.due.is_some_and(|due| due <= Instant::now());
        if self.happened.is_empty() || !(due || self.happened.len() >= self.enough) {
            return None;
        }
        self.due = None;
        self.sequence += 1;
        let happened = std::mem::take(&mut self.happened);
        let report = Report { node: self.node.clone(), session: self.session, sequence: self.sequence, happened };
        Some((report, std::mem::take(&mut self.receipts)))
    }
}

impl<B: Bus, W: Work> Node<B, W> {
    fn new(settings: Settings, work: W) -> Self {
        let reporter = Reporter {
            node: settings.node.clone(),
            session: fastrand::u64(..),
            sequence: 0,
            happened: Vec::new(),
            receipts: Vec::new(),
            due: None,
            enough: 2 * usize::from(settings.slots),
        };
        let (busy, running, at) = (HashMap::new(), JoinSet::new(), HashMap::new());
        Self { work, settings, busy, running, at, reporter, draining: false, until: None, left: false, unfit: None }
    }

    /// Puts down all that is under way.
    fn hand_back(&mut self) {
        self.until = None;
        self.busy.values().for_each(|busy| busy.stop.notify_one());
    }

    fn leave_if_done(&mut self) {
        if self.draining && self.busy.is_empty() && !self.left {
            self.left = true;
            self.reporter.happened.push(Happened::Left);
        }
    }

    fn doing(&self) -> Vec<AttemptId> {
        self.busy.keys().copied().collect()
    }

    fn join(&mut self) {
        let Settings { pool, slots, queued, .. } = &self.settings;
        let (pool, slots, doing) = (pool.clone(), slots.saturating_add(*queued), self.doing());
        self.reporter.happened.push(Happened::Joined { pool, slots, doing });
        if self.draining {
            self.reporter.happened.push(Happened::Draining);
        }
    }

    async fn beat(&mut self) {
        self.reporter.happened.push(Happened::Alive { doing: self.doing() });
        for receipt in self.busy.values().flat_map(|busy| &busy.receipts) {
            // Where it is lost, the task is delivered to another, who is told to stop.
            let _ = receipt.progress().await;
        }
    }

    async fn take(&mut self, pulled: Result<Vec<Delivery<ReceiptOf<B>>>, Error>) -> Result<(), Ended> {
        let deliveries = match pulled {
            Ok(deliveries) => deliveries,
            Err(error) if error.is_retryable() => {
                tracing::debug!(%error, "nothing can be pulled");
                tokio::time::sleep(Duration::from_millis(200)).await;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for Delivery { offer, receipt, .. } in deliveries {
            match self.busy.get_mut(&offer.id) {
                Some(busy) => busy.receipts.push(receipt),
                None => self.begin(offer, receipt),
            }
        }
        Ok(())
    }

    fn begin(&mut self, offer: Offer, receipt: ReceiptOf<B>) {
        let (id, stop, work) = (offer.id, Arc::new(Notify::new()), self.work.clone());
        let stopped = Arc::clone(&stop);
        let handle = self.running.spawn(async move {
            tokio::select! {
                outcome = work.run(Arc::new(offer)) => (id, Some(outcome)),
                () = stopped.notified() => (id, None),
            }
        });
        self.at.insert(handle.id(), id);
        self.busy.insert(id, Busy { stop, since: Instant::now(), receipts: vec![receipt] });
        self.show();
        self.reporter.happened.push(Happened::Started { id });
    }

    fn done(&mut self, done: Result<(tokio::task::Id, (AttemptId, Option<Outcome>)), JoinError>) {
        let (task, outcome) = match done {
            Ok((task, (_, outcome))) => (task, outcome),
            Err(error) => {
                let message = format!("the task's work ended abruptly: {error}");
                (error.id(), Some(Outcome::Failed { why: Why::Crash, message }))
            }
        };
        let Some(id) = self.at.remove(&task) else { return };
        let (happened, how) = match outcome {
            Some(Outcome::Finished { result }) => (Happened::Finished { id, result }, "finished"),
            Some(Outcome::Failed { why, message }) => (Happened::Failed { id, why, message }, "failed"),
            Some(Outcome::Unfit { message }) => {
                // What a node puts down that is about to leave counts as nothing.
                self.reporter.happened.push(Happened::Draining);
                (self.draining, self.unfit) = (true, Some(message));
                (Happened::HandedBack { id }, "handed back")
            }
            None => (Happened::HandedBack { id }, "handed back"),
        };
        self.reporter.happened.push(happened);
        if let Some(busy) = self.busy.remove(&id) {
            let pool = self.settings.pool.to_string();
            metrics::histogram!(TASK_TIME, "pool" => pool, "outcome" => how).record(busy.since.elapsed());
            self.reporter.receipts.extend(busy.receipts);
        }
        self.show();
    }

    /// How much there is to do.
    fn show(&self) {
        let pool = || self.settings.pool.to_string();
        metrics::gauge!(SLOTS, "pool" => pool()).set(f64::from(self.settings.slots));
        metrics::gauge!(SLOTS_BUSY, "pool" => pool()).set(self.busy.len() as f64);
    }

    fn control(&mut self, control: Option<Control>) -> Result<(), Ended> {
        match control {
            Some(Control::Stop { id }) => {
                if let Some(busy) = self.busy.get(&id) {
                    busy.stop.notify_one();
                }
            }
            Some(Control::JoinAgain) => self.join(),
            Some(Control::Refused { reason }) => return Err(Ended::Refused(reason)),
            None => return Err(Error::Unavailable("the connection is closed".to_owned()).into()),
        }
        Ok(())
    }
}
