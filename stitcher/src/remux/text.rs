//! Subtitles in whole files: 3GPP timed text (TS 26.245) in MP4 and MOV, SubRip in Matroska, WebVTT in WebM. Each keeps bold,
//! italics and underlines; where a cue stands only WebVTT does. Pure.

use mp4_atom::{FontEntry, Ftab, Matrix, Mdhd, RgbaColor, Tkhd, Tx3g};
use vtp_engine::subtitles::{ShownCue, faces, mov_text};
use vtp_engine::units::Size;

use super::{Container, Kind, Track};
use crate::boxes::{Error, boxed};
use crate::language::Language;
use crate::proof::read::ReadSample;

const MILLISECONDS: u32 = 1000;
/// The one font: its identifier, and what players take for it.
const FONT: (u16, &str) = (1, "Sans-Serif");
/// The share of a picture's height that text takes up, from below, as one in so many.
const SHARE: u32 = 5;
/// The share of it that is a line's height.
const LINE: u32 = 18;
/// All samples are forced (5.16).
const FORCED: u32 = 0xC000_0000;

/// A track of subtitles that is to stand in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// In order.
    pub(crate) cues: &'a [ShownCue],
    pub(crate) language: &'a Language,
    pub(crate) name: &'a str,
    pub(crate) default: bool,
    pub(crate) forced: bool,
    pub(crate) hearing_impaired: bool,
}

/// A track, and the bytes of each of its samples.
type WithBytes = (Track, Vec<Vec<u8>>);

/// The track that a file gets. `None` where it shows nothing. `display` is the size of the picture.
pub(super) fn track(container: Container, text: &Text<'_>, display: Size) -> Result<Option<WithBytes>, Error> {
    let font = (FONT.0, u8::try_from(display.height / LINE).unwrap_or(u8::MAX));
    let (times, samples): (Vec<_>, Vec<_>) = match container {
        Container::Mp4 | Container::Mov => stretches(text.cues, font).into_iter().unzip(),
        Container::Mkv => cues(text.cues, |cue| faces::srt(&cue.text).into_bytes()),
        Container::WebM => cues(text.cues, |cue| format!("\n{}\n{}", cue.settings, cue.text).into_bytes()),
    };
    if text.cues.is_empty() {
        return Ok(None);
    }
    let too_large = |_| Error::Range { what: "a sample of text" };
    let sample = |((start, end), bytes): (&(u64, u64), &Vec<u8>)| {
        Ok::<_, Error>(ReadSample {
            decoded: *start,
            shown: start.cast_signed(),
            duration: u32::try_from(end - start).map_err(too_large)?,
            size: u32::try_from(bytes.len()).map_err(too_large)?,
            sync: true,
        })
    };
    let track = Track {
        kind: Kind::Text { forced: text.forced, hearing_impaired: text.hearing_impaired },
        entry: boxed(&entry(text.forced, font))?,
        tkhd: place(display)?,
        mdhd: Mdhd { timescale: MILLISECONDS, language: text.language.three_letters().to_owned(), ..Mdhd::default() },
        samples: times.iter().zip(&samples).map(sample).collect::<Result<_, _>>()?,
        language: text.language.clone(),
        priming: 0,
        name: text.name.to_owned(),
        default: text.default,
    };
    Ok(Some((track, samples)))
}

/// A sample for each cue.
fn cues(cues: &[ShownCue], bytes: impl Fn(&ShownCue) -> Vec<u8>) -> (Vec<(u64, u64)>, Vec<Vec<u8>>) {
    cues.iter().map(|cue| ((cue.start_ms, cue.end_ms), bytes(cue))).unzip()
}

/// A sample for each stretch of time in which the same cues are shown, from 0 on without a gap.
fn stretches(cues: &[ShownCue], font: (u16, u8)) -> Vec<((u64, u64), Vec<u8>)> {
    let mut times: Vec<u64> = cues.iter().flat_map(|cue| [cue.start_ms, cue.end_ms]).chain([0]).collect();
    times.sort_unstable();
    times.dedup();
    let (mut active, mut rest) = (Vec::<&ShownCue>::new(), cues);
    let mut stretches = Vec::with_capacity(times.len());
    for span in times.windows(2) {
        let begun = rest.partition_point(|cue| cue.start_ms <= span[0]);
        active.extend(&rest[..begun]);
        rest = &rest[begun..];
        active.retain(|cue| cue.end_ms > span[0]);
        let texts = active.iter().map(|cue| cue.text.as_str());
        stretches.push(((span[0], span[1]), mov_text::sample(texts, font)));
    }
    stretches
}

/// The sample description (5.16): white, in the middle of the lowest line.
fn entry(forced: bool, (font, size): (u16, u8)) -> Tx3g {
    let [high, low] = font.to_be_bytes();
    Tx3g {
        data_reference_index: 1,
        display_flags: if forced { FORCED } else { 0 },
        horizontal_justification: 1,
        vertical_justification: -1,
        bg_color_rgba: RgbaColor { red: 0, green: 0, blue: 0, alpha: 0 },
        box_record: [0; 4],
        style_record: [0, 0, 0, 0, high, low, 0, size, 0xFF, 0xFF, 0xFF, 0xFF],
        ftab: Some(Ftab { font_entries: vec![FontEntry { font_id: FONT.0, font: FONT.1.to_owned() }] }),
        disp: None,
    }
}

/// The lowest part of the picture.
fn place(display: Size) -> Result<Tkhd, Error> {
    let pixels = |count: u32| u16::try_from(count).map_err(|_| Error::Range { what: "the picture's size" });
    let height = display.height / SHARE;
    let top = i32::from(pixels(display.height - height)?) << 16;
    Ok(Tkhd {
        enabled: true,
        in_movie: true,
        width: pixels(display.width)?.into(),
        height: pixels(height)?.into(),
        matrix: Matrix { y: top, ..Matrix::default() },
        ..Tkhd::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start_ms: u64, end_ms: u64, text: &str) -> ShownCue {
        ShownCue { start_ms, end_ms, settings: "line:0".to_owned(), text: text.to_owned() }
    }

    /// When samples begin and how long they last, and their bytes.
    type Seen = (Vec<(u64, u32)>, Vec<Vec<u8>>);

    fn made(container: Container, cues: &[ShownCue]) -> Option<Seen> {
        let language = Language::of(Some("de"));
        let text = Text { cues, language: &language, name: "", default: false, forced: false, hearing_impaired: false };
        let made = track(container, &text, Size { width: 640, height: 360 }).unwrap();
        made.map(|(track, samples)| (track.samples.iter().map(|it| (it.decoded, it.duration)).collect(), samples))
    }

    #[test]
    fn timed_text_fills_the_time_and_shows_together_what_overlaps() {
        let (times, samples) = made(Container::Mp4, &[cue(500, 2000, "a"), cue(1000, 3000, "<i>b</i>")]).unwrap();
        assert_eq!(times, [(0, 500), (500, 500), (1000, 1000), (2000, 1000)]);
        assert_eq!(samples[0], [0, 0]);
        assert_eq!(samples[1], [0, 1, b'a']);
        assert_eq!(&samples[2][..13], b"\0\x03a\nb\0\0\0\x16styl");
        assert_eq!(&samples[2][13..25], [0, 1, 0, 2, 0, 3, 0, 1, 2, 20, 0xFF, 0xFF]);
    }

    #[test]
    fn matroska_has_a_sample_a_cue() {
        let cues = [cue(500, 2000, "a &amp; b"), cue(1000, 3000, "<i>c</i>")];
        let (times, samples) = made(Container::Mkv, &cues).unwrap();
        assert_eq!(times, [(500, 1500), (1000, 2000)]);
        assert_eq!(samples, [&b"a & b"[..], b"<i>c</i>"]);
        let (_, samples) = made(Container::WebM, &cues).unwrap();
        assert_eq!(samples[0], b"\nline:0\na &amp; b");
    }

    #[test]
    fn a_track_without_cues_is_none() {
        assert!(Container::ALL.iter().all(|container| made(*container, &[]).is_none()));
    }
}
