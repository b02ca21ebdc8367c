//! 3GPP timed text (TS 26.245, 5.17), as MP4 carries it: a length, the text, and boxes of styles.

use super::bytes::decode;
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
}
