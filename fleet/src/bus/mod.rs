//! The bus: it hands tasks to nodes and reports to the driver. It dispatches and remembers nothing that matters: what is
//! true stands in the ledger, and what the bus loses is published again.
//!
//! [`Bus`] is the trait; [`LocalBus`] is within one process, [`nats::NatsBus`] is JetStream, [`Faulty`] spoils another's
//! work by a seed. All of them pass the tests in `tests/bus/suite.rs`. [`Talk`] is what else processes say to each other.

use std::future::Future;
use std::time::Duration;

use crate::messages::{Control, NoMessage, NodeId, Offer, Pool, Report};

mod faulty;
mod local;
pub mod nats;
mod talk;

pub use faulty::{Faults, Faulty};
pub use local::LocalBus;
pub use talk::{Question, Talk, Topic, Whom};

/// Limits of deliveries, on any bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// For how long whoever pulled a task may be silent about it before it is delivered again.
    pub ack_wait: Duration,
    /// How often a task is delivered before the driver is told of it instead; at least once.
    pub max_deliver: u32,
    /// For how long a task that was published is known, and not published again.
    pub duplicate_window: Duration,
}

impl Default for Terms {
    /// 30 s, as long as a lease; five deliveries; two minutes.
    fn default() -> Self {
        Self { ack_wait: Duration::from_secs(30), max_deliver: 5, duplicate_window: Duration::from_secs(120) }
    }
}

/// Carries tasks to nodes, reports to the driver and words to single nodes.
///
/// *Durable*: a task or report is kept by the bus when the call returns, as far as the bus keeps anything. *At least
/// once*: everything may be delivered twice, late, and to two nodes at a time; a task only until it is acknowledged, and
/// [`Terms::max_deliver`] times at most. An acknowledgement is taken from anyone who was ever given the task, however
/// late, so it proves nothing: what counts is decided by attempts, in the ledger. *Idempotent*: a task is known by its
/// [`AttemptId`](crate::messages::AttemptId), a report by node, session and sequence; published again within the
/// duplicate window, neither is there twice. *Order*: of tasks that wait, those of a more urgent band are pulled first;
/// nothing else is promised. *Unknown after an error*, or after a future was dropped: whether it was done. Do it again.
pub trait Bus: Clone + Send + Sync + 'static {
    /// What a node pulls from.
    type Tasks: Tasks;
    /// What the driver reads from.
    type News: News;
    /// What a node listens to.
    type Controls: Controls;

    /// Makes what is needed for these pools, and corrects what is there but otherwise. For the driver, at its start.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for what can't be corrected without losing something.
    fn prepare(&self, pools: &[Pool]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Offers tasks to whoever pulls from their pools.
    ///
    /// # Errors
    /// [`Error`]; some of them may have been published.
    fn publish(&self, offers: Vec<Offer>) -> impl Future<Output = Result<(), Error>> + Send;

    /// The tasks of these pools, for a node.
    ///
    /// # Errors
    /// [`Error`].
    fn tasks(&self, pools: &[Pool]) -> impl Future<Output = Result<Self::Tasks, Error>> + Send;

    /// Tells the driver.
    ///
    /// # Errors
    /// [`Error`].
    fn report(&self, report: &Report) -> impl Future<Output = Result<(), Error>> + Send;

    /// What nodes and the bus itself have to tell, from what was last acknowledged on. For one driver at a time.
    ///
    /// # Errors
    /// [`Error`].
    fn news(&self) -> impl Future<Output = Result<Self::News, Error>> + Send;

    /// Says something to a node. It is lost where the node doesn't listen at this moment.
    ///
    /// # Errors
    /// [`Error`].
    fn control(&self, node: &NodeId, control: &Control) -> impl Future<Output = Result<(), Error>> + Send;

    /// What is said to a node from now on.
    ///
    /// # Errors
    /// [`Error`].
    fn controls(&self, node: &NodeId) -> impl Future<Output = Result<Self::Controls, Error>> + Send;
}

/// The tasks that a node may pull.
pub trait Tasks: Send + 'static {
    /// What a pulled task is acknowledged with.
    type Receipt: Receipt;

    /// Up to `free` tasks, as soon as there is one, the most urgent first; none if there is none for as long as `wait`.
    /// Ask for as many as there are free slots and no more: what is pulled is kept from others. While slots are free,
    /// call again at once. Cancel safe.
    ///
    /// # Errors
    /// [`Error`].
    fn pull(
        &mut self,
        free: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery<Self::Receipt>>, Error>> + Send;

    /// Up to `most` tasks of these bands, the most urgent first: those that nobody waits for at this moment. Whoever waits
    /// in [`pull`](Self::pull) has had each before it can be here. Cancel safe.
    ///
    /// # Errors
    /// [`Error`].
    fn glean(
        &mut self,
        bands: &[Band],
        most: usize,
    ) -> impl Future<Output = Result<Vec<Delivery<Self::Receipt>>, Error>> + Send;
}

/// A task that was pulled.
#[derive(Debug)]
pub struct Delivery<R> {
    /// The task.
    pub offer: Offer,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// What it is acknowledged with.
    pub receipt: R,
}

/// What a pulled task is acknowledged with. None of this is certain to arrive.
pub trait Receipt: Send + Sync + 'static {
    /// It is done, or counts no longer: nobody is to have it again.
    ///
    /// # Errors
    /// [`Error`].
    fn ack(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Somebody else is to have it, after `delay`.
    ///
    /// # Errors
    /// [`Error`].
    fn nak(&self, delay: Duration) -> impl Future<Output = Result<(), Error>> + Send;

    /// It is being worked on: the time until it is delivered again begins anew.
    ///
    /// # Errors
    /// [`Error`].
    fn progress(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What the driver is told.
pub trait News: Send + 'static {
    /// Up to `most` pieces, as soon as there is one; none if there is none for as long as `wait`. Cancel safe.
    ///
    /// # Errors
    /// [`Error`]; the next call gives again what this one would have.
    fn next(&mut self, most: usize, wait: Duration) -> impl Future<Output = Result<Vec<Piece>, Error>> + Send;

    /// All that was given so far is in the ledger, and won't be given again.
    ///
    /// # Errors
    /// [`Error`]; it may be given again.
    fn ack(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One piece of news.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A node reports.
    Report(Report),
    /// A task was delivered as often as it may be, and nobody has acknowledged it.
    Exhausted {
        /// The task.
        offer: Offer,
        /// How often it was delivered.
        deliveries: u32,
    },
}

/// What is said to a node.
pub trait Controls: Send + 'static {
    /// The next word; `None` when the bus is gone for good. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Control>> + Send;
}

/// Why the bus doesn't do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or doesn't answer.
    #[error("the bus doesn't answer: {0}")]
    Unavailable(String),
    /// It is set up otherwise than it has to be.
    #[error("the bus is set up wrongly: {0}")]
    Misconfigured(String),
    /// A message that is none.
    #[error(transparent)]
    Message(#[from] NoMessage),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Misconfigured(_) | Self::Message(_) => false,
        }
    }
}

/// How urgent tasks are, as far as a bus tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Band {
    /// Priorities 1 to 3.
    Urgent,
    /// Priorities 4 to 7.
    Normal,
    /// Priorities 8 to 10.
    Low,
}

impl Band {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Low];

    /// The band of a priority.
    pub fn of(priority: u8) -> Self {
        match priority {
            ..=3 => Self::Urgent,
            4..=7 => Self::Normal,
            8.. => Self::Low,
        }
    }

    /// Its priorities.
    pub fn priorities(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Urgent => 1..=3,
            Self::Normal => 4..=7,
            Self::Low => 8..=10,
        }
    }

    /// Its name in streams.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}
