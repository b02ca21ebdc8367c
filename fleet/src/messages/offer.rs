//! A task is offered to the nodes of a pool.

use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::Variant;

use super::{AttemptId, Kind, Message, Pool, TraceContext};

/// A task for whoever of its pool takes it first.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Offer {
    /// Which try of which task.
    pub id: AttemptId,
    /// Who can do it.
    pub pool: Pool,
    /// How urgent it is, from 1, the most urgent, to 10.
    pub priority: u8,
    /// With which settings it is tried.
    pub settings: Settings,
    /// For how long a node may be silent about it, in milliseconds.
    pub lease_ms: u64,
    /// Estimated work, in thousandths of a frame encoded.
    pub cost: u64,
    /// Where the chunk's packets are, the first choice first.
    pub fetch: Vec<String>,
    /// Where the result goes, the first choice first.
    pub deliver: Vec<String>,
    /// The driver's span of this try; what a node does for it is below.
    pub trace: TraceContext,
    /// What is to be done, for the node alone to read.
    pub body: Vec<u8>,
}

/// With which settings a task is tried; [`Variant`] on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Settings {
    /// As planned.
    Usual,
    /// With less memory and fewer threads at a time.
    Cautious,
    /// The job fails with this attempt.
    Last,
}

impl From<Variant> for Settings {
    fn from(variant: Variant) -> Self {
        match variant {
            Variant::Usual => Self::Usual,
            Variant::Cautious => Self::Cautious,
            Variant::Last => Self::Last,
        }
    }
}

impl Message for Offer {
    const KIND: Kind = Kind::Offer;

    fn check(&self) -> Result<(), &'static str> {
        if !self.pool.is_valid() {
            return Err("the pool's name can't be one");
        }
        if !(1..=10).contains(&self.priority) {
            return Err("priorities go from 1 to 10");
        }
        if self.id.attempt == 0 {
            return Err("attempts are counted from 1");
        }
        Ok(())
    }
}
