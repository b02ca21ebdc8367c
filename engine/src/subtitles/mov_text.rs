//! 3GPP timed text (TS 26.245, 5.17), as MP4 carries it: a length, the text, and boxes of styles.

use super::bytes::decode;
use super::faces::{Faces, runs};
use super::markup::{Marked, Writer};

/// Bits of a style's face flags (5.16), and the tags they become.
const FACES: [(u8, &str); 3] = [(1, "b"), (2, "i"), (4, "u")];

/// The text of a sample, and whether its bytes were doubtful.
pub(super) fn read(sample: &[u8]) -> (Marked, Option<&'static str>) {
    let Some((length, rest)) = sample.split_first_chunk::<2>() else { return (Marked::default(), None) };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (text, boxes) = rest.split_at(length);
    let decoded = decode(text);
    let styles = styles(boxes);
    let mut writer = Writer::default();
    for (place, c) in decoded.text.chars().enumerate() {
        let faces = styles.iter().find(|style| style.covers(place)).map_or(0, |style| style.faces);
        for (bit, name) in FACES {
            if faces & bit == 0 { writer.close(name) } else { writer.open(name, format!("<{name}>")) }
        }
        writer.push(c);
    }
    (Marked { text: writer.finish(), settings: String::new() }, decoded.doubt)
}

/// Whether a sample description (5.16) says that all samples are forced.
pub(super) fn is_forced(description: &[u8]) -> bool {
    description.first_chunk::<4>().is_some_and(|flags| u32::from_be_bytes(*flags) & 0x8000_0000 != 0)
}

/// The sample that shows these cue texts, one below the other; with none of them that of an empty screen. `font` are the
/// identifier and the size that the description of the track tells. What is beyond 65,535 bytes is left out, cue by cue: that is
/// what the length can tell, and more than any screen shows.
pub fn sample<'a>(texts: impl IntoIterator<Item = &'a str>, font: (u16, u8)) -> Vec<u8> {
    let (mut text, mut characters) = (String::new(), 0_usize);
    let mut styles: Vec<Style> = Vec::new();
    for cue in texts {
        let runs = runs(cue);
        let length: usize = runs.iter().map(|run| run.text.len() + 1).sum();
        if text.len() + length + 1 > u16::MAX.into() {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
            characters += 1;
        }
        for run in runs {
            let start = characters as u16;
            characters += run.text.chars().count();
            text.push_str(&run.text);
            let Faces { bold, italic, underlined } = run.faces;
            let faces = u8::from(bold) | u8::from(italic) << 1 | u8::from(underlined) << 2;
            if faces != 0 {
                styles.push(Style { start, end: characters as u16, faces });
            }
        }
    }
    let mut sample = (text.len() as u16).to_be_bytes().to_vec();
    sample.extend(text.as_bytes());
    if !styles.is_empty() {
        sample.extend((10 + 12 * styles.len() as u32).to_be_bytes());
        sample.extend(b"styl");
        sample.extend((styles.len() as u16).to_be_bytes());
        for style in styles {
            sample.extend([style.start, style.end, font.0].map(u16::to_be_bytes).concat());
            sample.extend([style.faces, font.1, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
    }
    sample
}

struct Style {
    start: u16,
    end: u16,
    faces: u8,
}

impl Style {
    fn covers(&self, place: usize) -> bool {
        (usize::from(self.start)..usize::from(self.end)).contains(&place)
    }
}

/// The records of the first `styl` box (5.17.1.1); of what is behind a broken box there are none.
fn styles(mut boxes: &[u8]) -> Vec<Style> {
    while let Some((head, rest)) = boxes.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *head;
        let Some(size) = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok().and_then(|size| size.checked_sub(8))
        else {
            break;
        };
        let Some((body, after)) = rest.split_at_checked(size) else { break };
        if &kind == b"styl" {
            let records = body.get(2..).unwrap_or_default().chunks_exact(12);
            let number = |a: u8, b: u8| u16::from_be_bytes([a, b]);
            return records
                .map(|it| Style { start: number(it[0], it[1]), end: number(it[2], it[3]), faces: it[6] })
                .collect();
        }
        boxes = after;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::markup;
    use super::*;

    fn text(sample: &[u8]) -> String {
        read(sample).0.text
    }

    #[test]
    fn a_sample_is_a_length_and_a_text() {
        assert_eq!(text(&[0, 4, b'b', b'o', b'o', b'p', 0, 0]), "boop");
        assert_eq!(text(&[0, 0]), "");
        assert_eq!(text(&[0, 200, b'x', b'<']), "x&lt;");
        assert_eq!(text(&[0, 6, 0xFE, 0xFF, 0, b'a', 0, 0xE9]), "aé");
        assert_eq!(text(&[7]), "");
    }

    #[test]
    fn styles_count_characters_and_not_bytes() {
        let style = [0, 1, 0, 2, 0, 1, 2, 18, 255, 255, 255, 255];
        let sample = [&[0, 4, 0xC3, 0xA9, b'x', b'y'][..], &[0, 0, 0, 22], b"styl", &[0, 1], &style].concat();
        assert_eq!(text(&sample), "é<i>x</i>y");
        assert_eq!(text(&sample[..20]), "éxy");
    }

    #[test]
    fn a_description_can_force_all_samples() {
        assert!(is_forced(&[0xC0, 0, 0, 0, 1]));
        assert!(!is_forced(&[0x40, 0, 0, 0, 1]) && !is_forced(&[]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(texts in prop::collection::vec("[a-z &<>/ibué]{0,20}", 0..4)) {
            let cues: Vec<String> = texts.iter().map(|text| markup::srt(text).text).filter(|it| !it.is_empty()).collect();
            let sample = sample(cues.iter().map(String::as_str), (1, 18));
            let (found, doubt) = read(&sample);
            prop_assert_eq!(runs(&found.text), runs(&cues.join("\n")));
            prop_assert_eq!(doubt, None);
        }
    }

    #[test]
    fn an_empty_screen_has_no_text_and_a_crowded_one_what_its_length_can_tell() {
        assert_eq!(sample([], (1, 18)), [0, 0]);
        let long = "x".repeat(40_000);
        assert_eq!(sample([long.as_str(), "y"], (1, 18)).len(), 2 + 40_002);
        assert_eq!(sample([long.as_str(), long.as_str()], (1, 18)).len(), 2 + 40_000);
    }
}
