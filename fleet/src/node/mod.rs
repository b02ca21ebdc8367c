//! A node's end of the bus: step: pull tasks as long as slots are free, have them done, say so. In: the bus, someone who
//! does the [`Work`]. Out: reports. Never: a look into a task; a second copy of an attempt that it is at.
//!
//! ```text
//!   bus ── a slot is free ──────────────► made ready, begun ──► done ──► reported, acknowledged
//!     └─── all are busy ──► held, made ready ──┘ a slot is free, and nothing urgent is on the bus
//! ```
//!
//! A task that is *held* is this node's: it is kept from others, and heartbeats speak of it. What is held is what nobody
//! else waited for when it was taken, and never anything urgent. Should another node have a slot free later, the driver
//! takes it back. A node that is told to leave puts down at once what it holds, and what it has asked for; so does one that
//! finds itself unable, until it has rested.

mod hand;
mod reporter;
mod rest;
mod work;

use std::time::Duration;

use futures_util::future::{Fuse, FusedFuture, FutureExt};
use tokio::sync::watch;
use tokio::time::Instant;

use self::hand::{Done, Hand, PATIENT, Room};
use self::reporter::{ReceiptOf, Reporter, send};
use self::rest::Rest;
pub use self::work::{Outcome, Work};
use crate::bus::{Band, Bus, Controls, Delivery, Error, Receipt, Tasks};
use crate::messages::{AttemptId, Control, Happened, NodeId, Pool};
use crate::metrics::{SLOTS, SLOTS_BUSY, TASK_TIME};

/// How long a free slot waits for word whether something urgent is there, at most.
const URGENT: Duration = Duration::from_millis(500);
/// How long a node that has put down what it was told to says so to a bus that is not there, before it leaves without a word.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long it takes at most to say to the bus that all tasks are being worked on.
const BEAT: Duration = Duration::from_secs(1);
/// How long a node that leaves tries to give back what it has asked for, at most.
const GIVE_BACK: Duration = Duration::from_millis(500);
/// How long a node that could hold more waits until it looks again whether there is something, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A node's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, which no other node of the fleet has.
    pub node: NodeId,
    /// What it can do.
    pub pool: Pool,
    /// How many tasks at a time.
    pub slots: u16,
    /// How many tasks it holds besides, and makes ready, for when a slot is free.
    pub ahead: u16,
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

struct Node<B: Bus, W> {
    settings: Settings,
    hand: Hand<W, ReceiptOf<B>>,
    reporter: Reporter<ReceiptOf<B>>,
    /// When it looks again for something to hold, and how long it waits after that.
    look: (Instant, Duration),
    rest: Rest,
    draining: bool,
    /// When what is not done is handed back.
    until: Option<Instant>,
    /// When it leaves, whatever it has not said.
    end: Option<Instant>,
    left: bool,
    unfit: Option<String>,
}

/// Is a node until `leave` says true or its sender is gone: then it pulls nothing more, finishes what it has or hands it
/// back, and leaves.
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
    let mut asks = true;
    loop {
        if !node.takes_none() {
            asks = true;
        } else if std::mem::take(&mut asks) {
            // Where nobody answers, the bus delivers it to others after its time.
            let _ = tokio::time::timeout(GIVE_BACK, give_back(&mut tasks)).await;
        }
        node.leave_if_done();
        let mut due = None;
        if sending.is_terminated() {
            due = node.reporter.due();
            match node.reporter.next() {
                Some((report, receipts)) => sending = Box::pin(send(bus.clone(), report, receipts)).fuse(),
                None if node.left && due.is_none() => return node.ended(),
                None => {}
            }
        }
        let room = node.room();
        tokio::select! {
            () = &mut sending, if !sending.is_terminated() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && sending.is_terminated() => {}
            Some(done) = node.hand.next_done(), if !node.hand.is_empty() => node.done(done),
            pulled = pull(&mut tasks, room, node.look.0), if room != Room::None => node.take(room, pulled).await?,
            control = controls.next() => node.control(control)?,
            _ = beat.tick() => node.beat().await,
            () = tokio::time::sleep_until(node.rest.until().unwrap_or_else(Instant::now)), if node.rest.until().is_some() => {
                node.rest.end();
            }
            () = tokio::time::sleep_until(node.until.unwrap_or_else(Instant::now)), if node.until.is_some() => {
                node.until = None;
                node.end = Some(Instant::now() + FAREWELL);
                node.hand.drop_all();
            }
            () = tokio::time::sleep_until(node.end.unwrap_or_else(Instant::now)), if node.end.is_some() => {
                tracing::warn!("the bus is not there: the node leaves without having said all");
                return node.ended();
            }
            changed = leave.changed(), if !node.draining => {
                if changed.is_err() || *leave.borrow() {
                    node.drain();
                }
            }
        }
        while let Some(done) = node.hand.try_done() {
            node.done(done);
        }
    }
}

/// What there is room for. Cancel safe.
async fn pull<T: Tasks>(tasks: &mut T, room: Room, look: Instant) -> Result<Vec<Delivery<T::Receipt>>, Error> {
    match room {
        Room::None => Ok(Vec::new()),
        Room::Slots(free) => tasks.pull(free, Duration::from_secs(30)).await,
        Room::Next(free) => {
            let urgent = tokio::time::timeout(URGENT, tasks.glean(&[Band::Urgent], free)).await;
            // Where nobody answers, nothing urgent is known of.
            urgent.unwrap_or_else(|_| Ok(Vec::new()))
        }
        Room::Ahead(most) => {
            tokio::time::sleep_until(look).await;
            tasks.glean(&PATIENT, most).await
        }
    }
}

/// Takes back what the bus was asked for, and gives back what has come and was not taken in hand.
async fn give_back<T: Tasks>(tasks: &mut T) {
    if let Err(error) = tasks.pull(0, Duration::ZERO).await {
        tracing::debug!(%error, "what was asked for is not taken back");
    }
    let left = tasks.glean(&[], usize::MAX).await.unwrap_or_default();
    for Delivery { receipt, .. } in left {
        // Where it is lost, it is delivered to another after its time.
        let _ = receipt.nak(Duration::ZERO).await;
    }
}

impl<B: Bus, W: Work> Node<B, W> {
    fn new(settings: Settings, work: W) -> Self {
        let reporter = Reporter::new(settings.node.clone(), settings.slots);
        let hand = Hand::new(work, settings.slots, settings.ahead);
        let look = (Instant::now(), LOOK.0);
        Self {
            settings,
            hand,
            reporter,
            look,
            rest: Rest::default(),
            draining: false,
            until: None,
            end: None,
            left: false,
            unfit: None,
        }
    }

    fn room(&self) -> Room {
        if self.takes_none() { Room::None } else { self.hand.room() }
    }

    /// Whether it takes no task, whatever room there is.
    fn takes_none(&self) -> bool {
        self.draining || self.rest.until().is_some()
    }

    /// Takes nothing more, and puts down what it has not begun.
    fn drain(&mut self) {
        self.draining = true;
        self.until = Some(Instant::now() + self.settings.drain);
        self.reporter.say(Happened::Draining);
        self.hand.drop_held();
    }

    /// How it ends when it has left.
    fn ended(self) -> Result<(), Ended> {
        self.unfit.map_or(Ok(()), |why| Err(Ended::Unfit(why)))
    }

    fn leave_if_done(&mut self) {
        if self.draining && self.hand.is_empty() && !self.left {
            self.left = true;
            self.reporter.say(Happened::Left);
        }
    }

    fn join(&mut self) {
        let Settings { pool, slots, .. } = &self.settings;
        self.reporter.say(Happened::Joined { pool: pool.clone(), slots: *slots, doing: self.hand.all() });
        if self.draining {
            self.reporter.say(Happened::Draining);
        }
    }

    async fn beat(&mut self) {
        self.reporter.say(Happened::Alive { doing: self.hand.all() });
        let said = futures_util::future::join_all(self.hand.receipts().map(Receipt::progress));
        // Where it is lost, the task is delivered to another, who is told to stop.
        let _ = tokio::time::timeout(BEAT, said).await;
    }

    async fn take(&mut self, room: Room, pulled: Result<Vec<Delivery<ReceiptOf<B>>>, Error>) -> Result<(), Ended> {
        let deliveries = match pulled {
            Ok(deliveries) => deliveries,
            Err(error) if error.is_retryable() => {
                tracing::debug!(%error, "nothing can be pulled");
                if matches!(room, Room::Slots(_)) {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        if deliveries.is_empty() && matches!(room, Room::Ahead(_)) {
            self.look = (Instant::now() + self.look.1, (2 * self.look.1).min(LOOK.1));
        }
        let mut holds_more = false;
        for Delivery { offer, receipt, .. } in deliveries {
            let id = offer.id;
            if self.hand.take(offer, receipt) {
                holds_more |= !self.begin(Some(id));
            }
        }
        while self.begin(None) {}
        if holds_more {
            // So that the driver knows where it is.
            self.reporter.say(Happened::Alive { doing: self.hand.all() });
        }
        Ok(())
    }

    /// Begins with a task that it has, if a slot is free. Whether it did.
    fn begin(&mut self, first: Option<AttemptId>) -> bool {
        let Some(id) = self.hand.begin(first) else { return false };
        self.look = (Instant::now(), LOOK.0);
        self.show();
        self.reporter.say(Happened::Started { id });
        true
    }

    fn done(&mut self, done: Done) {
        let Some((id, outcome, task)) = self.hand.let_go(done) else { return };
        let (happened, how) = match outcome {
            Some(Outcome::Finished { result }) => {
                self.rest.is_well();
                (Happened::Finished { id, result }, "finished")
            }
            Some(Outcome::Failed { why, message }) => (Happened::Failed { id, why, message }, "failed"),
            Some(Outcome::PutDown { message }) => {
                tracing::info!(%id, message, "a task is handed back");
                (Happened::HandedBack { id }, "handed back")
            }
            Some(Outcome::Unable { message }) => {
                let rest = self.rest.begin(Instant::now());
                tracing::warn!(%id, message, rest_s = rest.as_secs(), "this node can do no task at the moment, and rests");
                self.hand.drop_held();
                (Happened::Unable { id }, "handed back")
            }
            Some(Outcome::Unfit { message }) => {
                // What a node puts down that is about to leave counts as nothing.
                self.reporter.say(Happened::Draining);
                self.hand.drop_held();
                (self.draining, self.unfit) = (true, Some(message));
                (Happened::HandedBack { id }, "handed back")
            }
            None => (Happened::HandedBack { id }, "handed back"),
        };
        if let Some(since) = task.since() {
            let pool = self.settings.pool.to_string();
            metrics::histogram!(TASK_TIME, "pool" => pool, "outcome" => how).record(since.elapsed());
        }
        self.reporter.say_of(happened, task.into_receipts());
        self.show();
    }

    /// How much there is to do.
    fn show(&self) {
        let pool = || self.settings.pool.to_string();
        metrics::gauge!(SLOTS, "pool" => pool()).set(f64::from(self.settings.slots));
        metrics::gauge!(SLOTS_BUSY, "pool" => pool()).set(self.hand.begun() as f64);
    }

    fn control(&mut self, control: Option<Control>) -> Result<(), Ended> {
        match control {
            Some(Control::Stop { id }) => self.hand.stop(id),
            Some(Control::JoinAgain) => self.join(),
            Some(Control::Refused { session, reason }) if session == self.reporter.session() => {
                return Err(Ended::Refused(reason));
            }
            Some(Control::Refused { .. }) => {}
            None => return Err(Error::Unavailable("the connection is closed".to_owned()).into()),
        }
        Ok(())
    }
}
