//! What outputs say of their codecs: decoder configuration records, the codecs' names in manifests (RFC 6381), and how
//! samples are stored in ISO/IEC 14496-12 files. Pure.

pub mod av1;
pub mod captions;
pub mod dolby;
pub mod ffv1;
pub mod flac;
pub mod hevc;
pub mod vp9;

use crate::ladder::VideoCodec;
use crate::nal::{self, avc};

/// Whether a sample, as it is stored in a file beside the record `config`, is a picture that decoding can start at whatever
/// came before. `None` where the sample can't be read.
pub fn is_key(codec: VideoCodec, config: &[u8], sample: &[u8]) -> Option<bool> {
    match codec {
        VideoCodec::H264 => {
            let size = usize::from(config.get(4)? & 3) + 1;
            all_slices(nal::length_prefixed(sample, size), |unit| match avc::unit_type(unit)? {
                avc::IDR => Some(true),
                1..=4 => Some(false),
                _ => None,
            })
        }
        VideoCodec::Hevc => {
            let size = usize::from(config.get(21)? & 3) + 1;
            all_slices(nal::length_prefixed(sample, size), |unit| match nal::hevc::unit_type(unit)? {
                kind if nal::hevc::IDR.contains(&kind) => Some(true),
                kind if kind < nal::hevc::FIRST_NOT_VCL => Some(false),
                _ => None,
            })
        }
        VideoCodec::Vp9 => vp9::is_key(sample),
        VideoCodec::Av1 => av1::is_key(sample),
    }
}

/// Whether there are slices and `is_key` says so of each; it says nothing of other units.
fn all_slices<'a>(
    units: impl Iterator<Item = Result<&'a [u8], nal::Error>>,
    is_key: impl Fn(&[u8]) -> Option<bool>,
) -> Option<bool> {
    let mut any = false;
    for unit in units {
        match is_key(unit.ok()?) {
            Some(true) => any = true,
            Some(false) => return Some(false),
            None => {}
        }
    }
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slices_of_idr_pictures_make_a_key_picture() {
        let avc = [1, 0x64, 0, 0x1F, 0xFF];
        let sei_and = |kind: u8| vec![0, 0, 0, 2, 6, 0xFF, 0, 0, 0, 3, kind, 1, 2];
        let is = |sample: &[u8]| is_key(VideoCodec::H264, &avc, sample);
        assert_eq!(is(&sei_and(0x65)), Some(true));
        assert_eq!(is(&sei_and(0x41)), Some(false));
        assert_eq!(is(&[0, 0, 0, 1, 6]), Some(false));
        assert_eq!(is(&[0, 0, 0, 9, 0x65]), None);
        let mut hevc = [0; 23];
        hevc[21] = 3;
        let is =
            |kind: u8| is_key(VideoCodec::Hevc, &hevc, &[0, 0, 0, 3, 39 << 1, 1, 0, 0, 0, 0, 3, kind << 1, 1, 0x80]);
        assert_eq!([is(19), is(20), is(21), is(1)], [Some(true), Some(true), Some(false), Some(false)]);
    }
}
