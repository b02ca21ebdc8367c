//! From bytes to text, where nobody says how it is encoded.

use encoding_rs::{Encoding, WINDOWS_1252};

/// A text, and what was assumed of its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text, with `\n` between its lines, without a byte order mark.
    pub text: String,
    /// What a user should know of it, in half a sentence.
    pub doubt: Option<&'static str>,
}

/// Decodes a whole text: UTF-8, or UTF-16 where a byte order mark says so, or else Windows-1252, which contains Latin-1
/// and gives every byte a character.
pub fn decode(bytes: &[u8]) -> Decoded {
    let (text, doubt) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => {
            let (text, damaged) = encoding.decode_without_bom_handling(&bytes[mark..]);
            (text, damaged.then_some("parts of it are no text in the encoding that it declares"))
        }
        None => match std::str::from_utf8(bytes) {
            Ok(text) => (text.into(), None),
            Err(_) => {
                let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
                (text, Some("it is not UTF-8, so it was read as Windows-1252; check its accents"))
            }
        },
    };
    Decoded { text: unix(&text), doubt }
}

/// The same with `\n` for every end of a line.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> (String, bool) {
        let decoded = decode(bytes);
        (decoded.text, decoded.doubt.is_some())
    }

    #[test]
    fn utf8_and_utf16_are_known_by_their_marks_and_the_rest_is_taken_for_windows_1252() {
        let expected = "aé\n€".to_owned();
        assert_eq!(text("aé\r\n€".as_bytes()), (expected.clone(), false));
        assert_eq!(text("\u{FEFF}aé\r€".as_bytes()), (expected.clone(), false));
        let units: Vec<u16> = "\u{FEFF}aé\n€".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(text(&little), (expected.clone(), false));
        assert_eq!(text(&big), (expected.clone(), false));
        assert_eq!(text(b"a\xE9\n\x80"), (expected, true));
    }

    #[test]
    fn half_a_character_in_utf16_is_told() {
        assert_eq!(text(&[0xFF, 0xFE, b'a', 0, 0x00, 0xD8]), ("a\u{FFFD}".to_owned(), true));
    }
}
