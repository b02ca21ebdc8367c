//! Why a transfer failed, and whether trying again may help.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::protocol::{ObjectId, Refusal};

/// Why an object did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side does not know it.
    #[error("{0} is not there")]
    NotFound(ObjectId),
    /// The other side does not do that for this peer, or is not who it should be.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody else is receiving it.
    #[error("it is being received by another already")]
    Busy,
    /// What arrived is not what was sent.
    #[error("block {0} is damaged")]
    Damaged(u64),
    /// All blocks arrived as they were sent, but they are not the whole.
    #[error("the blocks do not make the whole that was announced")]
    NotWhole,
    /// It is larger than anything may be here.
    #[error("it has {length} bytes, more than the {most} that are allowed")]
    TooLarge {
        /// Its size in bytes.
        length: u64,
        /// What is allowed.
        most: u64,
    },
    /// There is something else under its name.
    #[error("{0} is there already, and is something else")]
    Conflict(ObjectId),
    /// The other side does not speak as it should.
    #[error("the peer does not keep to the protocol: {0}")]
    Protocol(String),
    /// What is to be sent can't be read.
    #[error("it can't be read: {0}")]
    Reading(io::Error),
    /// What arrives can't be written.
    #[error("{}: {source}", path.display())]
    Writing {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The other side can't read or write at present.
    #[error("the peer can't go on at present")]
    Unable,
    /// There is no connection, or no more.
    #[error("{0}")]
    Lost(String),
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    /// It was tried again and again.
    #[error("no progress for {after:?}: {cause}")]
    GaveUp {
        /// How long nothing new arrived.
        after: Duration,
        /// What went wrong last.
        cause: Box<Self>,
    },
}

impl Error {
    /// Whether the same may succeed if it is tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy
            | Self::Damaged(_)
            | Self::NotWhole
            | Self::Unable
            | Self::Lost(_)
            | Self::Stalled(_)
            | Self::GaveUp { .. } => true,
            Self::NotFound(_)
            | Self::Forbidden(_)
            | Self::TooLarge { .. }
            | Self::Conflict(_)
            | Self::Protocol(_)
            | Self::Reading(_)
            | Self::Writing { .. } => false,
        }
    }

    /// What the other side is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::NotFound(_) => Refusal::NotFound,
            Self::Forbidden(_) => Refusal::Forbidden,
            Self::Busy => Refusal::Busy,
            Self::Damaged(block) => Refusal::Damaged { block: *block },
            Self::NotWhole => Refusal::NotWhole,
            Self::TooLarge { most, .. } => Refusal::TooLarge { most: *most },
            Self::Conflict(_) => Refusal::Conflict,
            Self::Protocol(_) => Refusal::Misspoken,
            Self::Reading(_)
            | Self::Writing { .. }
            | Self::Unable
            | Self::Lost(_)
            | Self::Stalled(_)
            | Self::GaveUp { .. } => Refusal::Unable,
        }
    }

    /// What a refusal by the other side comes to, for an object of so many bytes.
    pub(crate) fn refused(refusal: Refusal, id: ObjectId, length: u64) -> Self {
        match refusal {
            Refusal::NotFound => Self::NotFound(id),
            Refusal::Forbidden => Self::Forbidden("the peer's role, or this one, does not allow it".to_owned()),
            Refusal::Busy => Self::Busy,
            Refusal::Damaged { block } => Self::Damaged(block),
            Refusal::NotWhole => Self::NotWhole,
            Refusal::TooLarge { most } => Self::TooLarge { length, most },
            Refusal::Conflict => Self::Conflict(id),
            Refusal::Misspoken => Self::Protocol("the peer says so of this one".to_owned()),
            Refusal::Unable => Self::Unable,
        }
    }
}
