//! Subtitles as text: cues out of SubRip, WebVTT, ASS and 3GPP timed text, and what of them is shown. Pure; nothing here
//! reads a container or writes a file.
//!
//! Whatever the form they come in, the text of cues is kept as WebVTT cue text (W3C WebVTT, 3.4): `<`, `>` and `&` are
//! escaped, tags are well nested, no line is blank. So any cue can be written into a WebVTT file as it is.
//!
//! Reading order: [`markup`] turns marked up text into such text; [`srt`], [`vtt`] and [`ass`] read files, by [`file`];
//! [`packet`] reads the payloads of containers; [`shown`] decides what of the cues an output shows; [`vtt`], [`mov_text`] and
//! [`faces`] write them.

pub mod ass;
mod bytes;
mod clock;
pub mod faces;
pub mod file;
pub mod markup;
pub mod mov_text;
pub mod packet;
mod settings;
mod shown;
pub mod srt;
pub mod vtt;

use serde::{Deserialize, Serialize};

pub use bytes::{Decoded, decode};
pub use shown::{MOST_AT_ONCE, Shown, ShownCue, shown};

use crate::limits::{Exceeded, Limit, Limits};

/// A text that is shown for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cue {
    /// When it appears, in microseconds.
    pub start_us: i64,
    /// When it is gone, in microseconds. A cue may claim to end before it begins.
    pub end_us: i64,
    /// WebVTT cue settings (where it stands), parted by spaces; often empty.
    pub settings: String,
    /// WebVTT cue text, never empty.
    pub text: String,
}

/// Cues of one track that are being collected, within the limits.
#[derive(Clone, Debug)]
pub struct Cues {
    limits: Limits,
    bytes: u64,
    cues: Vec<Cue>,
}

impl Cues {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, cues: Vec::new() }
    }

    /// Takes a cue whose text and settings `marked` are; one without a text is none.
    ///
    /// # Errors
    /// [`Exceeded`] if these are too many cues, or too much text.
    pub fn push(&mut self, start_us: i64, end_us: i64, marked: markup::Marked) -> Result<(), Exceeded> {
        let markup::Marked { text, settings } = marked;
        if text.is_empty() {
            return Ok(());
        }
        self.bytes += (text.len() + settings.len() + size_of::<Cue>()) as u64;
        self.limits.check(Limit::Cue, text.len() as u64)?;
        self.limits.check(Limit::Cues, self.cues.len() as u64 + 1)?;
        self.limits.check(Limit::Subtitles, self.bytes)?;
        self.cues.push(Cue { start_us, end_us, settings, text });
        Ok(())
    }

    /// Bytes that they take in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The limits that they are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The cues collected, in the order they came.
    pub fn into_vec(self) -> Vec<Cue> {
        self.cues
    }
}
