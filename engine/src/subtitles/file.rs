//! Subtitle files that are given beside a source: SubRip, WebVTT or ASS, told apart by what they say.

use super::{Cue, ass, decode, srt, vtt};
use crate::limits::{Exceeded, Limit, Limits};

/// The files we read, for messages.
pub const FORMATS: &str = "SubRip (.srt), WebVTT (.vtt) or ASS (.ass, .ssa)";

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its cues, in its order, their times from the start of the presentation.
    pub cues: Vec<Cue>,
    /// What is doubtful about its bytes, in half a sentence.
    pub doubt: Option<&'static str>,
}

/// Why a file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is more than is taken on.
    #[error("{0}")]
    Exceeded(Exceeded),
    /// Nothing in it is a cue.
    #[error("it has no cue in it; give {FORMATS}")]
    NoCues,
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

/// Reads a whole file.
///
/// # Errors
/// See [`Error`].
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, Error> {
    limits.check(Limit::Subtitles, bytes.len() as u64)?;
    let decoded = decode(bytes);
    let text = decoded.text.as_str();
    let cues = match () {
        () if vtt::is_signed(text) => vtt::parse(text, limits)?,
        () if ass::is_signed(text) => ass::parse(text, limits)?,
        () => srt::parse(text, limits)?,
    };
    if cues.is_empty() { Err(Error::NoCues) } else { Ok(Parsed { cues, doubt: decoded.doubt }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_what_they_say_and_not_by_their_names() {
        let cues = |text: &str| parse(text.as_bytes(), &Limits::DEFAULT).map(|parsed| parsed.cues.len());
        assert_eq!(cues("\u{FEFF}WEBVTT\n\n00:01.000 --> 00:02.000\nx"), Ok(1));
        assert_eq!(cues("1\n00:00:01,000 --> 00:00:02,000\nx\n"), Ok(1));
        let ass = "[Script Info]\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,x";
        assert_eq!(cues(ass), Ok(1));
        assert_eq!(cues("hello"), Err(Error::NoCues));
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_before_it_is_read() {
        let limits = Limits::DEFAULT.with(&"subtitles=3".parse().unwrap());
        assert!(matches!(parse(b"1234", &limits), Err(Error::Exceeded(_))));
    }
}
