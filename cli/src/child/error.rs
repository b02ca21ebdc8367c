//! Why a child did not do what it was asked for.

use std::io;
use std::path::PathBuf;

use super::death::Death;
use super::messages::Failure;
use crate::stores::Trouble;

/// Why a child did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It said why.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It is dead.
    #[error("{0}")]
    Died(Death),
    /// What it made could not be written.
    #[error("writing {}: {error}", path.display())]
    Spool {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The source could not be read on.
    #[error("the source could not be read: {0}")]
    Unread(#[source] vtp_store::Error),
    /// The place of the source can't be used.
    #[error(transparent)]
    Place(#[from] Trouble),
    /// There is none.
    #[error("a process to work in can't be started: {0}")]
    Start(#[source] io::Error),
    /// What it is to do can't be told to it.
    #[error("what is to be worked on can't be told to a process: {0}")]
    Untold(#[source] io::Error),
    /// What it may take can't be bounded.
    #[error("what a process may take can't be bounded: {0}")]
    Unbounded(#[source] io::Error),
    /// It was not wanted any more.
    #[error("cancelled")]
    Cancelled,
}
