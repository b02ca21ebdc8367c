//! Why a run ended without a ladder, before a person is told.

use vtp_encoder_node as node;
use vtp_engine::ladder;

use crate::child::{self, Failure};
use crate::exit::InputFault;

/// Why a run ended without a ladder.
#[derive(Debug)]
pub enum EncodeFailure {
    /// The source is unusable.
    Input {
        /// Which way.
        fault: InputFault,
        /// What is wrong and what to do.
        message: String,
    },
    /// The request cannot be met; the sentence says what to change.
    Usage(String),
    /// `cancel` became true.
    Cancelled,
    /// A fault of the product or of the machine.
    Internal(anyhow::Error),
}

impl From<vtp_splitter::Error> for EncodeFailure {
    fn from(error: vtp_splitter::Error) -> Self {
        match error.code().and_then(InputFault::of) {
            Some(fault) => Self::Input { fault, message: error.to_string() },
            None => Self::Internal(error.into()),
        }
    }
}

impl From<vtp_stitcher::Error> for EncodeFailure {
    fn from(error: vtp_stitcher::Error) -> Self {
        match error {
            vtp_stitcher::Error::Cancelled => Self::Cancelled,
            vtp_stitcher::Error::Refused(refusal) => Self::Usage(refusal.to_string()),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<child::Error> for EncodeFailure {
    fn from(error: child::Error) -> Self {
        match error {
            child::Error::Cancelled => Self::Cancelled,
            child::Error::Failed(Failure::Source(error)) => error.into(),
            child::Error::Failed(Failure::Media(error) | Failure::Node(node::Error::Media(error))) => {
                vtp_splitter::Error::from(error).into()
            }
            child::Error::Failed(Failure::Node(error @ node::Error::Copy(_))) => Self::Usage(error.to_string()),
            child::Error::Died(death) if death.cause.is_own() => {
                let message = format!("{death}; the source is damaged, or made to do harm: get another copy of it");
                Self::Input { fault: InputFault::Corrupt, message }
            }
            child::Error::Place(trouble) if trouble.is_of_the_place() => {
                Self::Input { fault: InputFault::NotAVideo, message: trouble.to_string() }
            }
            child::Error::Unread(error @ vtp_store::Error::Changed) => {
                let message = format!("the source can't be read on: {error}");
                Self::Input { fault: InputFault::NotAVideo, message }
            }
            error => Self::Internal(error.into()),
        }
    }
}

impl From<ladder::Error> for EncodeFailure {
    fn from(error: ladder::Error) -> Self {
        if error.is_usage() {
            Self::Usage(error.to_string())
        } else {
            Self::Input { fault: InputFault::NotAVideo, message: error.to_string() }
        }
    }
}
