//! What a node has in hand: tasks that it is at, and those that are made ready for the next free slot. Never: more of either
//! than it was set.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::work::{Outcome, Work};
use crate::bus::{Band, Receipt};
use crate::messages::{AttemptId, Offer, Why};
use crate::metrics::PREPARE_TIME;

/// What has become of a task that a node had in hand; `None` if it was put down.
pub(super) type Done = Result<(Id, Option<Outcome>), JoinError>;

/// The tasks that a node has in hand.
pub(super) struct Hand<W, R> {
    work: W,
    slots: usize,
    ahead: usize,
    tasks: HashMap<AttemptId, Task<R>>,
    /// Those that wait for a slot, the next one first.
    held: VecDeque<AttemptId>,
    running: JoinSet<Option<Outcome>>,
    /// Which attempt each of them is at.
    at: HashMap<Id, AttemptId>,
}

/// A task in hand.
pub(super) struct Task<R> {
    stop: Arc<Notify>,
    /// Lets it begin; gone when it has.
    begin: Option<oneshot::Sender<Instant>>,
    since: Option<Instant>,
    /// More than one where the bus has delivered it again meanwhile.
    receipts: Vec<R>,
}

/// What of the tasks on the bus there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// Slots that nothing waits for.
    Slots(usize),
    /// A slot is free, and what is held begins unless something urgent is there.
    Next(usize),
    /// All slots are busy, and this many more can be held.
    Ahead(usize),
    /// None.
    None,
}

/// What is held for the next free slot. What is urgent is not: it goes to whichever node has a slot first.
pub(super) const PATIENT: [Band; 2] = [Band::Normal, Band::Low];

impl<R> Task<R> {
    /// Since when it has a slot.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn into_receipts(self) -> Vec<R> {
        self.receipts
    }
}

impl<W: Work, R: Receipt> Hand<W, R> {
    pub(super) fn new(work: W, slots: u16, ahead: u16) -> Self {
        Self {
            work,
            slots: slots.into(),
            ahead: ahead.into(),
            tasks: HashMap::new(),
            held: VecDeque::new(),
            running: JoinSet::new(),
            at: HashMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many have a slot.
    pub(super) fn begun(&self) -> usize {
        self.tasks.len() - self.held.len()
    }

    pub(super) fn room(&self) -> Room {
        let (free, ahead) = (self.slots.saturating_sub(self.begun()), self.ahead.saturating_sub(self.held.len()));
        match (free, ahead) {
            (0, 0) => Room::None,
            (0, ahead) => Room::Ahead(ahead),
            (free, _) if self.held.is_empty() => Room::Slots(free),
            (free, _) => Room::Next(free),
        }
    }

    /// All, those that have a slot first.
    pub(super) fn all(&self) -> Vec<AttemptId> {
        let begun = self.tasks.iter().filter(|(_, task)| task.begin.is_none()).map(|(id, _)| *id);
        begun.chain(self.held.iter().copied()).collect()
    }

    /// What they are acknowledged with.
    pub(super) fn receipts(&self) -> impl Iterator<Item = &R> {
        self.tasks.values().flat_map(|task| &task.receipts)
    }

    /// Takes a task in hand, if it is not, and has it made ready. Whether it is new.
    pub(super) fn take(&mut self, offer: Offer, receipt: R) -> bool {
        let id = offer.id;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.receipts.push(receipt);
            return false;
        }
        let (stop, (begin, begun)) = (Arc::new(Notify::new()), oneshot::channel());
        let (stopped, work) = (Arc::clone(&stop), self.work.clone());
        let handle = self.running.spawn(async move {
            tokio::select! {
                outcome = carry_out(work, Arc::new(offer), begun) => Some(outcome),
                () = stopped.notified() => None,
            }
        });
        self.at.insert(handle.id(), id);
        self.tasks.insert(id, Task { stop, begin: Some(begin), since: None, receipts: vec![receipt] });
        self.held.push_back(id);
        true
    }

    /// Gives a free slot to the task that is next: one that has just been taken before what was held.
    pub(super) fn begin(&mut self, first: Option<AttemptId>) -> Option<AttemptId> {
        if self.begun() >= self.slots {
            return None;
        }
        let place = first.and_then(|id| self.held.iter().position(|it| *it == id)).unwrap_or_default();
        let id = self.held.remove(place)?;
        let task = self.tasks.get_mut(&id)?;
        let now = Instant::now();
        task.since = Some(now);
        if let Some(begin) = task.begin.take() {
            // It may have come to nothing while it was made ready.
            let _ = begin.send(now);
        }
        Some(id)
    }

    /// Puts a task down; it is done then.
    pub(super) fn stop(&self, id: AttemptId) {
        if let Some(task) = self.tasks.get(&id) {
            task.stop.notify_one();
        }
    }

    /// Puts down what is held.
    pub(super) fn drop_held(&self) {
        self.held.iter().for_each(|id| self.stop(*id));
    }

    /// Puts down everything.
    pub(super) fn drop_all(&self) {
        self.tasks.values().for_each(|task| task.stop.notify_one());
    }

    /// The next that is done. Cancel safe.
    pub(super) async fn next_done(&mut self) -> Option<Done> {
        self.running.join_next_with_id().await
    }

    pub(super) fn try_done(&mut self) -> Option<Done> {
        self.running.try_join_next_with_id()
    }

    /// Lets go of a task that is done.
    pub(super) fn let_go(&mut self, done: Done) -> Option<(AttemptId, Option<Outcome>, Task<R>)> {
        let (place, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                let message = format!("the task's work ended abruptly: {error}");
                (error.id(), Some(Outcome::Failed { why: Why::Crash, message }))
            }
        };
        let id = self.at.remove(&place)?;
        self.held.retain(|it| *it != id);
        Some((id, outcome, self.tasks.remove(&id)?))
    }
}

/// Makes a task ready, and does it when it has a slot.
async fn carry_out(work: impl Work, offer: Arc<Offer>, begun: oneshot::Receiver<Instant>) -> Outcome {
    let ready = match work.prepare(Arc::clone(&offer)).await {
        Ok(ready) => ready,
        Err(outcome) => return outcome,
    };
    let at = Instant::now();
    // Whoever drops the sender drops this as well.
    let since = begun.await.unwrap_or(at);
    metrics::histogram!(PREPARE_TIME, "pool" => offer.pool.to_string()).record(at.saturating_duration_since(since));
    work.run(offer, ready).await
}
