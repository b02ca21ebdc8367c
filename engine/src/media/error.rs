//! What can go wrong in the media layer, and whose fault it is.

use std::ffi::CStr;

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
            // Encoders that are libraries of their own say no more than that they failed, mostly for lack of memory.
            ffmpeg::Error::Other { errno: ffmpeg::ffi::ENOMEM | ffmpeg::ffi::EIO | ffmpeg::ffi::ENOSPC }
            | ffmpeg::Error::External => Kind::Retryable,
            _ => Kind::Internal,
        };
        Self::new(kind, format!("{verb}: {}", words(error)))
    }

    /// What FFmpeg answered to `verb`, as its negative integer.
    pub(crate) fn code(verb: &str, code: i32) -> Self {
        Self::ffmpeg(verb, ffmpeg::Error::from(code))
    }
}

/// What FFmpeg calls an error. (The wrapper knows the words only once all of FFmpeg is initialised.)
pub(in crate::media) fn words(error: ffmpeg::Error) -> String {
    let mut text = [0_u8; 128];
    // SAFETY: the text has the size that is told, and is ended by the callee.
    unsafe { ffmpeg::ffi::av_strerror(error.into(), text.as_mut_ptr().cast(), text.len()) };
    let words = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy).unwrap_or_default().into_owned();
    match error {
        ffmpeg::Error::External => format!("{words} (is there enough memory?)"),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ffmpeg_have_words() {
        let said = |error| Error::ffmpeg("encoding a picture", error).to_string();
        assert_eq!(
            said(ffmpeg::Error::External),
            "encoding a picture: Generic error in an external library (is there enough memory?)"
        );
        assert_eq!(said(ffmpeg::Error::InvalidData), "encoding a picture: Invalid data found when processing input");
        assert_eq!(
            said(ffmpeg::Error::Other { errno: ffmpeg::ffi::ENOMEM }),
            "encoding a picture: Cannot allocate memory"
        );
    }
}
