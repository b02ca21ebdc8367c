//! WebVTT (W3C WebVTT): reads files, and writes those that players are given. Styles and regions are left out.

use std::fmt::Write as _;

use super::clock::timing;
use super::{Cue, Cues, ShownCue, markup};
use crate::limits::{Exceeded, Limit, Limits};

/// What the first line of every file begins with.
pub const SIGNATURE: &str = "WEBVTT";
/// The line that ties cue times to media times (RFC 8216, 3.5): both begin at 0.
pub const TIMESTAMP_MAP: &str = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000";

/// Whether `text` begins as a WebVTT file does.
pub fn is_signed(text: &str) -> bool {
    text.strip_prefix(SIGNATURE).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']))
}

/// The cues of a file.
///
/// # Errors
/// [`Exceeded`] if there are too many, or one is too long.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Cue>, Exceeded> {
    let mut cues = Cues::new(*limits);
    let mut lines = text.lines().peekable();
    // The header goes on to the first blank line.
    skip_block(&mut lines);
    while let Some(line) = lines.next() {
        if let Some((start, end, settings)) = timing(line) {
            let mut text = String::new();
            while let Some(line) = lines.next_if(|line| !line.trim_ascii().is_empty() && !line.contains("-->")) {
                text.push_str(line);
                text.push('\n');
            }
            cues.limits().check(Limit::Cue, text.len() as u64)?;
            cues.push(start, end, markup::vtt(&text, settings))?;
        } else if ["NOTE", "STYLE", "REGION"].iter().any(|block| is_block(line, block)) {
            skip_block(&mut lines);
        }
    }
    Ok(cues.into_vec())
}

fn is_block(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn skip_block<'a>(lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) {
    while lines.next_if(|line| !line.trim_ascii().is_empty() && !line.contains("-->")).is_some() {}
}

/// A file of these cues.
pub fn file<'a>(cues: impl IntoIterator<Item = &'a ShownCue>) -> String {
    let mut out = format!("{SIGNATURE}\n{TIMESTAMP_MAP}\n");
    for cue in cues {
        let space = if cue.settings.is_empty() { "" } else { " " };
        let (start, end) = (timestamp(cue.start_ms), timestamp(cue.end_ms));
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{start} --> {end}{space}{}\n{}\n", cue.settings, cue.text);
    }
    out
}

/// Milliseconds as a WebVTT timestamp.
fn timestamp(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cues(text: &str) -> Vec<Cue> {
        parse(text, &Limits::DEFAULT).unwrap()
    }

    fn cue(start_ms: i64, end_ms: i64, settings: &str, text: &str) -> Cue {
        let (settings, text) = (settings.to_owned(), text.to_owned());
        Cue { start_us: start_ms * 1000, end_us: end_ms * 1000, settings, text }
    }

    #[test]
    fn cues_are_read_with_their_settings_and_without_names_notes_styles_and_regions() {
        let text = "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:fred\n\n\
                    NOTE one\ntwo\n\nfirst\n00:01.000 --> 00:02.000 line:0 region:fred\nHi\n  there\n\n\
                    00:00:03.000 --> 00:00:04.000\nBye\n00:00:05.000 --> 00:00:06.000\nno blank line before\n";
        let expected = [
            cue(1000, 2000, "line:0", "Hi\nthere"),
            cue(3000, 4000, "", "Bye"),
            cue(5000, 6000, "", "no blank line before"),
        ];
        assert_eq!(cues(text), expected);
    }

    #[test]
    fn a_signature_is_a_word_of_its_own() {
        assert!(is_signed("WEBVTT") && is_signed("WEBVTT\n") && is_signed("WEBVTT x"));
        assert!(!is_signed("WEBVTTX") && !is_signed(" WEBVTT") && !is_signed(""));
    }

    #[test]
    fn times_are_written_in_hours_of_any_number() {
        assert_eq!(timestamp(3_723_004), "01:02:03.004");
        assert_eq!(timestamp(360_000_000), "100:00:00.000");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            times in prop::collection::vec((0_u64..400_000_000, 0_u64..100_000, "[ -~\n]{0,40}", "[ -~]{0,20}"), 0..10),
        ) {
            let shown: Vec<ShownCue> = times.into_iter().filter_map(|(start_ms, length, text, settings)| {
                let marked = markup::srt(&text);
                let settings = markup::vtt("", &settings).settings;
                (!marked.text.is_empty()).then_some(ShownCue { start_ms, end_ms: start_ms + length, settings, text: marked.text })
            }).collect();
            let read = cues(&file(&shown));
            prop_assert_eq!(read.len(), shown.len());
            for (read, shown) in read.iter().zip(&shown) {
                let times = (read.start_us as u64 / 1000, read.end_us as u64 / 1000);
                prop_assert_eq!(times, (shown.start_ms, shown.end_ms));
                prop_assert_eq!((&read.settings, &read.text), (&shown.settings, &shown.text));
            }
        }
    }
}
