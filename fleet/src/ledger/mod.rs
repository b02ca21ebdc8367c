//! The ledger: what is true of jobs. The bus may lose anything; what the ledger holds is dispatched again.
//!
//! [`Ledger`] is the trait; [`PostgresLedger`] is tables that several drivers share, of which one leads; [`FileLedger`] is a journal
//! on a disk, for one driver; [`MemoryLedger`] is for tests. All run the tests of `suite.rs`. A ledger takes [`Record`]s and folds
//! them into a [`State`], by which it refuses what contradicts it.

use std::future::Future;
use std::path::PathBuf;

mod check;
mod file;
mod frame;
mod memory;
mod postgres;
mod record;
mod state;
#[cfg(test)]
mod suite;

pub use file::FileLedger;
pub use memory::MemoryLedger;
pub use postgres::PostgresLedger;
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
/// records are kept; claim anew. After any error but [`Error::Conflict`] and [`Error::Fenced`], too. *Shared*: where several
/// drivers have it, one leads until its lease runs out, and a claim of another is refused with [`Error::Led`] before.
pub trait Ledger: Send + 'static {
    /// Whether several drivers may have it.
    const IS_SHARED: bool = false;

    /// Takes the right to write, and says what is known.
    ///
    /// # Errors
    /// [`Error::Led`], [`Error::Io`], [`Error::Database`].
    fn claim(&mut self) -> impl Future<Output = Result<(Epoch, State), Error>> + Send;

    /// Keeps these records, in this order. Without any it says whether the right to write lasts, as far as that is known.
    ///
    /// # Errors
    /// [`Error`]; none of them is kept then, but see the trait for what is unknown.
    fn append(&mut self, epoch: Epoch, records: Vec<Record>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Gives the right to write back, so that another driver need not wait for the end of a lease. Where there is none it does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Database`]; the lease runs out by itself then.
    fn leave(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }
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
    /// Another driver leads, and its lease lasts.
    #[error("the fleet is driven by {0}")]
    Led(String),
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
    /// The database.
    #[error("the ledger's database: {0}")]
    Database(#[from] sqlx::Error),
    /// It has failed before, and what it holds is unknown.
    #[error("the ledger failed before, and what it holds is unknown: start the driver again")]
    Broken,
}

/// Classes of SQLSTATE that pass by themselves: connections, collisions of transactions, too little of something, a server that
/// starts or is shut down; a transaction that stood still, a lock that somebody has, a statement that took too long.
const PASSING: [&str; 7] = ["08", "40", "53", "57P", "25P03", "55P03", "57014"];

impl Error {
    /// Whether a driver that claims anew may go on: it is another's turn, or the database is away.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Fenced { .. } | Self::Led(_) => true,
            Self::Database(sqlx::Error::Database(said)) => {
                said.code().is_some_and(|code| PASSING.into_iter().any(|class| code.starts_with(class)))
            }
            Self::Database(error) => matches!(
                error,
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_)
            ),
            Self::Conflict(_)
            | Self::InUse(_)
            | Self::Damaged { .. }
            | Self::Message(_)
            | Self::Io { .. }
            | Self::Broken => false,
        }
    }
}
