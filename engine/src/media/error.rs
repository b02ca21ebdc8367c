//! What can go wrong in the media layer, and whose fault it is.

use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

use crate::limits::Exceeded;

/// Whose fault an [`Error`] is; it decides what the job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The input is not something we read (code 1001). Trying again is useless.
    Unsupported,
    /// The input is damaged (code 1005). Trying again is useless.
    Corrupt,
    /// The machine's fault (memory, disk); another attempt may succeed.
    Retryable,
    /// Ours.
    Internal,
}

/// An error of the media layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(Kind::Unsupported, exceeded.to_string())
    }
}

impl Error {
    /// An error of `kind` with a sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What FFmpeg answered to `verb` (such as "opening the decoder").
    pub(crate) fn ffmpeg(verb: &str, error: ffmpeg::Error) -> Self {
        let kind = match error {
            ffmpeg::Error::InvalidData | ffmpeg::Error::Eof => Kind::Corrupt,
            ffmpeg::Error::DemuxerNotFound
            | ffmpeg::Error::DecoderNotFound
            | ffmpeg::Error::PatchWelcome
            | ffmpeg::Error::ProtocolNotFound => Kind::Unsupported,
            ffmpeg::Error::Other { errno: ffmpeg::ffi::ENOMEM | ffmpeg::ffi::EIO | ffmpeg::ffi::ENOSPC } => {
                Kind::Retryable
            }
            _ => Kind::Internal,
        };
        Self::new(kind, format!("{verb}: {error}"))
    }

    /// What FFmpeg answered to `verb`, as its negative integer.
    pub(crate) fn code(verb: &str, code: i32) -> Self {
        Self::ffmpeg(verb, ffmpeg::Error::from(code))
    }
}
