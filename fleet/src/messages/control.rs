//! The driver says something to one node. It may get lost: what matters is said again with the node's next report.

use rkyv::{Archive, Deserialize, Serialize};

use super::{AttemptId, Kind, Message};

/// A word to one node.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Control {
    /// Put this attempt down and say that it is handed back: it counts no longer.
    Stop {
        /// Which.
        id: AttemptId,
    },
    /// Say again who you are and what you are at work on: the driver doesn't know you.
    JoinAgain,
    /// Go away, if this is your life: others of the same name may hear this, too.
    Refused {
        /// Which life of the node.
        session: u64,
        /// A sentence for whoever runs the node.
        reason: String,
    },
}

impl Message for Control {
    const KIND: Kind = Kind::Control;

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
