//! Why a store did not do what it was asked for, and whether asking again can help.

use std::io;
use std::path::{Path, PathBuf};

use crate::Key;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever asks may not do that.
    #[error("the store refuses access: {0}")]
    Denied(String),
    /// There is no such bucket, or it can't be reached by what is configured.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// This process has no credentials.
    #[error(
        "there are no credentials for the store, as in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile: {0}"
    )]
    NoCredentials(String),
    /// The object's contents are others than they were.
    #[error("the object was written anew, or removed, since it was looked at")]
    Changed,
    /// Fewer bytes came than were promised.
    #[error("{got} bytes came instead of {wanted}")]
    Short {
        /// How many came.
        got: u64,
        /// How many there are.
        wanted: u64,
    },
    /// Nobody answered, or what answered has no time.
    #[error("the store can't be reached: {0}")]
    Unreachable(String),
    /// A name that this store has no place for.
    #[error("this store keeps nothing called {0}")]
    Name(Key),
    /// A file on this machine.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl Error {
    /// Whether the same may be done another time.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Short { .. } | Self::Unreachable(_) => true,
            Self::Denied(_)
            | Self::Refused(_)
            | Self::NoCredentials(_)
            | Self::Changed
            | Self::Name(_)
            | Self::File { .. } => false,
        }
    }

    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}
