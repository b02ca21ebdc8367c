//! Why a run ended without a ladder, before a person is told.

use vtp_encoder_node as node;
use vtp_engine::ladder;

use crate::child::{self, Failure};

/// Why a run ended without a ladder.
#[derive(Debug)]
pub enum EncodeFailure {
    /// The source is unusable.
    Input {
        /// 1001: not a video that is read. 1005: corrupt.
        code: u16,
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
        match error.code() {
            Some(code) => Self::Input { code, message: error.to_string() },
            None => Self::Internal(error.into()),
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
                Self::Input { code: 1005, message }
            }
            child::Error::Place(trouble) if trouble.is_of_the_place() => {
                Self::Input { code: 1001, message: trouble.to_string() }
            }
            child::Error::Unread(error @ vtp_store::Error::Changed) => {
                Self::Input { code: 1001, message: format!("the source can't be read on: {error}") }
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
            Self::Input { code: 1001, message: error.to_string() }
        }
    }
}
