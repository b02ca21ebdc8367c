//! What can end a chunk without a result, and whether another attempt may help.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vtp_engine::media;
use vtp_engine::units::{ChunkIndex, PacketIndex};

/// Whether another attempt at the same task may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// It can't: the input or the task is at fault.
    Permanent,
    /// It may: the machine is at fault, or nobody.
    Retryable,
}

/// Why a chunk was not encoded. It crosses processes.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// Decoding, conditioning or encoding failed.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// Decoding gave other frames than the index promised. An index made by decoding (a census) may know better. Decoding
    /// ends where that is noticed, so there may be more.
    #[error(
        "chunk {}: of {expected} frames expected, at least {missing_count} did not come out of the decoder (the first from \
         packets {missing:?}), and at least {extra_count} came out twice or out of turn (the first from packets {extra:?})",
        chunk.0
    )]
    FrameMismatch {
        /// The chunk.
        chunk: ChunkIndex,
        /// Frames that the task lists.
        expected: u32,
        /// How many of them were found not to come.
        missing_count: u32,
        /// The packets of the first of them.
        missing: Vec<PacketIndex>,
        /// How many had come that could not be used.
        extra_count: u32,
        /// The packets of the first of those.
        extra: Vec<PacketIndex>,
    },
    /// The packets could not be had.
    #[error("{message}")]
    Packets {
        /// Why not.
        message: String,
        /// Whether they may be had later.
        class: Class,
    },
    /// The samples could not be spooled.
    #[error("writing {}: {message}", path.display())]
    Spool {
        /// The file; the name of the rendition where its samples go to another process.
        path: PathBuf,
        /// Why not.
        message: String,
        /// Whether they can be when it is tried again.
        class: Class,
    },
    /// The task contradicts itself.
    #[error("chunk {}: the task is malformed: {what}", chunk.0)]
    Task {
        /// The chunk.
        chunk: ChunkIndex,
        /// What is wrong with it.
        what: String,
    },
    /// There are other samples of a rendition than it has frames.
    #[error("rendition {rendition}: {what}")]
    Samples {
        /// The rendition.
        rendition: String,
        /// What is wrong with them.
        what: String,
    },
    /// What the encoder of a rendition gave does not show the source.
    #[error("rendition {rendition} does not show the source: {why}")]
    Unfaithful {
        /// The rendition.
        rendition: String,
        /// In what it differs.
        why: String,
    },
    /// The thread of a rendition panicked.
    #[error("the encoder of rendition {rendition} panicked")]
    Panicked {
        /// The rendition.
        rendition: String,
    },
    /// The packets can't be copied into a rendition.
    #[error(transparent)]
    Copy(#[from] crate::copy::CopyRefused),
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Samples could not be spooled to `path`.
    pub fn spool(path: PathBuf, error: &io::Error) -> Self {
        Self::Spool { path, message: error.to_string(), class: spool_class(error) }
    }

    /// Whether another attempt at the same task may succeed. A cancelled task is as good as it was.
    pub fn class(&self) -> Class {
        match self {
            Self::Media(error) => match error.kind() {
                media::Kind::Unsupported | media::Kind::Corrupt | media::Kind::Internal => Class::Permanent,
                media::Kind::Retryable => Class::Retryable,
            },
            Self::Packets { class, .. } | Self::Spool { class, .. } => *class,
            Self::Copy(_) | Self::FrameMismatch { .. } | Self::Task { .. } | Self::Samples { .. } => Class::Permanent,
            Self::Unfaithful { .. } | Self::Panicked { .. } | Self::Cancelled => Class::Retryable,
        }
    }
}

/// A disk that is full or may not be written to is so for the next attempt, too.
fn spool_class(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied => Class::Permanent,
        _ => Class::Retryable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_tried_again() {
        let spool = |kind: io::ErrorKind| Error::spool(PathBuf::from("a"), &kind.into()).class();
        assert_eq!(spool(io::ErrorKind::StorageFull), Class::Permanent);
        assert_eq!(spool(io::ErrorKind::Interrupted), Class::Retryable);
    }
}
