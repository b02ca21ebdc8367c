//! Who does a node's tasks, and what became of them.

use std::future::Future;
use std::sync::Arc;

use crate::messages::{Offer, Why};

/// Who does a node's tasks. A task is made ready, which may happen while all slots are busy with others, and then carried
/// out. Either future is dropped when the task counts no longer, and what is ready as well: it is to leave nothing behind.
pub trait Work: Clone + Send + Sync + 'static {
    /// What is at hand when a task can be begun, such as its packets.
    type Ready: Send;

    /// Brings what a task needs. It takes no slot, so nothing that the node is at is to suffer by it.
    ///
    /// # Errors
    /// What became of the task in its place.
    fn prepare(&self, offer: Arc<Offer>) -> impl Future<Output = Result<Self::Ready, Outcome>> + Send;

    /// Does a task. When it says [`Outcome::Finished`], the result is where it belongs, durably.
    fn run(&self, offer: Arc<Offer>, ready: Self::Ready) -> impl Future<Output = Outcome> + Send;
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
    /// It can't be done at the moment, for a reason that is not the task's, and may be done later, here or elsewhere. It counts as if
    /// the node had been lost with it.
    PutDown {
        /// A sentence for the log.
        message: String,
    },
    /// This node can do no task at the moment, for a reason of its own: its disk is full, nobody accepts its certificate. It puts this
    /// one down, which costs the task nothing, and rests for a while, longer each time.
    Unable {
        /// A sentence for whoever runs the node.
        message: String,
    },
    /// This node can do none of these tasks. It puts this one down, which costs the task nothing, and leaves.
    Unfit {
        /// A sentence for whoever runs the node.
        message: String,
    },
}
