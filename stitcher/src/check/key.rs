//! Whether a sample is a picture that decoding can start at whatever came before. Pure; takes any bytes.

use vtp_engine::bitstream::{Access, Classifier};

/// Whether a sample of sample entries of this `kind`, with this decoder configuration, is a key picture: IDR in H.264 and HEVC, a key frame in AV1 and VP9. `None` where the codec is
/// none of these.
pub(super) fn is_key(kind: &str, config: &[u8], sample: &[u8]) -> Option<bool> {
    match kind {
        "avc1" | "avc3" => Some(resets("h264", config, sample)),
        "hvc1" | "hev1" => Some(resets("hevc", config, sample)),
        "av01" => Some(opens_with_av1_key(sample)),
        "vp09" => Some(is_vp9_key(sample)),
        _ => None,
    }
}

/// The same of an access unit of a byte stream.
pub(super) fn resets(codec: &str, config: &[u8], sample: &[u8]) -> bool {
    Classifier::new(codec, config).classify(sample, false).access == Access::Reset
}

/// AV1 5.3, 5.9.2: the first frame header shows no older frame, and is of a key frame.
fn opens_with_av1_key(mut unit: &[u8]) -> bool {
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    while let Some((&head, rest)) = unit.split_first() {
        let rest = rest.get(usize::from(head >> 2 & 1)..).unwrap_or_default();
        let (body, after) = if head & 2 == 0 { (rest, &[][..]) } else { sized(rest).unwrap_or_default() };
        if matches!(head >> 3 & 15, FRAME_HEADER | FRAME) {
            return body.first().is_some_and(|first| first >> 5 == 0);
        }
        unit = after;
    }
    false
}

/// What stands behind its leb128 length (AV1 4.10.5), and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut size, mut rest) = (0_u64, bytes);
    for place in 0..8 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        size |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.split_at_checked(usize::try_from(size).ok()?)
}

/// VP9 6.2: frame marker, profile, no older frame shown, key frame.
fn is_vp9_key(frame: &[u8]) -> bool {
    let Some(&first) = frame.first() else { return false };
    let reserved = u8::from(first >> 4 & 3 == 3);
    first >> 6 == 2 && first >> (2 - reserved) & 3 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_av1_key_frame_is_found_behind_the_sequence_header() {
        let unit = |frame: u8| [0x12, 0, 0x0A, 2, 9, 9, 0x32, 1, frame];
        assert!(opens_with_av1_key(&unit(0b0001_0000)));
        assert!(!opens_with_av1_key(&unit(0b0011_0000)), "an inter frame");
        assert!(!opens_with_av1_key(&unit(0b1001_0000)), "an older frame shown again");
        assert!(!opens_with_av1_key(&[0x12, 0]), "no frame");
        assert!(!opens_with_av1_key(&[0x32, 0xFF]), "cut short");
    }

    #[test]
    fn a_vp9_key_frame_is_told_by_two_bits() {
        assert!(is_vp9_key(&[0b1000_0010]));
        assert!(!is_vp9_key(&[0b1000_0110]), "an inter frame");
        assert!(!is_vp9_key(&[0b1000_1010]), "an older frame shown again");
        assert!(is_vp9_key(&[0b1011_0001]), "profile 3 has a reserved bit more");
        assert!(!is_vp9_key(&[]));
    }
}
