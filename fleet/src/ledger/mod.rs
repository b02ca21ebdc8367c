//! The ledger: what is true of jobs. The bus may lose anything; what the ledger holds is dispatched again.
//!
//! [`Ledger`] is the trait; [`FileLedger`] is a journal on a disk, [`MemoryLedger`] is for tests. Both run the tests of
//! `suite.rs`. A ledger takes [`Record`]s and folds them into a [`State`], by which it refuses what contradicts it.

use std::future::Future;
use std::path::PathBuf;

mod check;
mod file;
mod frame;
mod memory;
mod record;
mod state;
#[cfg(test)]
mod suite;

pub use file::FileLedger;
pub use memory::MemoryLedger;
pub use record::{KeptJob, KeptTask, Outcome, Record, Row, Running, Submission};
pub(crate) use state::due;
pub use state::{Job, State, Task};

/// The right to write: the number of a claim. A later claim ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub u64);

/// Where the truth about jobs is kept.
///
/// *Durable*: what [`append`](Self::append) has returned for survives the process, and with a file the machine.
/// *Whole*: of the records of one call all are kept, or none. *Fenced*: whoever claims ends the right of those before.
/// *Compared*: a record that contradicts what is known is refused with [`Error::Conflict`], so a task is accepted once
/// and a job ends once, whoever asks. *Cancel safety*: after a call whose future was dropped, it is unknown whether the
/// records are kept; claim anew. After any error but [`Error::Conflict`] and [`Error::Fenced`], too.
pub trait Ledger: Send + 'static {
    /// Takes the right to write, and says what is known.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn claim(&mut self) -> impl Future<Output = Result<(Epoch, State), Error>> + Send;

    /// Keeps these records, in this order.
    ///
    /// # Errors
    /// [`Error`]; none of them is kept then, but see the trait for what is unknown.
    fn append(&mut self, epoch: Epoch, records: Vec<Record>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why a ledger doesn't do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another driver has claimed it since.
    #[error("another driver has taken over: this one's epoch is {}, the ledger's {}", .yours.0, .current.0)]
    Fenced {
        /// The epoch of whoever asks.
        yours: Epoch,
        /// The newest.
        current: Epoch,
    },
    /// The record contradicts what is known.
    #[error("the ledger refuses a record: {0}")]
    Conflict(String),
    /// Another process has it open.
    #[error("{0} is in use by another process: one driver at a time")]
    InUse(PathBuf),
    /// Something in the middle of the journal is not what was written.
    #[error("{path} is damaged at byte {at}, and goes on behind it: restore it from a backup", path = .path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where the damage begins.
        at: u64,
    },
    /// Another release wrote it, or what is to be written is too long.
    #[error(transparent)]
    Message(#[from] crate::messages::NoMessage),
    /// The disk.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It has failed before, and what is on the disk is unknown.
    #[error("the journal failed before, and what it holds is unknown: start the driver again")]
    Broken,
}
