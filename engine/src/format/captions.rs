//! Puts caption data (ATSC A/53 Part 4, 6.2.3) beside pictures, where an encoder does not do it: in SEI messages of HEVC
//! (ITU-T H.265, D.2.6), in metadata of AV1 (AV1 Bitstream & Decoding Process Specification, 6.7.2).

use super::av1;
use crate::bitstream::captions::{IN_SEI, ITUT_T35};
use crate::ladder::VideoCodec;
use crate::nal::{self, hevc};

/// `payloadType` of `user_data_registered_itu_t_t35`.
const REGISTERED: u8 = 4;
/// A message holds no more pairs: `cc_count` has five bits.
const MOST_PAIRS: usize = 31;

/// Whether pictures of this codec can have captions beside them in a way that players know.
pub fn carries(codec: VideoCodec) -> bool {
    match codec {
        VideoCodec::H264 | VideoCodec::Hevc | VideoCodec::Av1 => true,
        VideoCodec::Vp9 => false,
    }
}

/// A sample of this codec with caption data, triples of `cc_data`, in front of its picture. `None` where the codec holds
/// none, or the sample can't be read.
pub fn insert(codec: VideoCodec, sample: &[u8], triples: &[u8]) -> Option<Vec<u8>> {
    let data = registered(triples);
    match codec {
        VideoCodec::Hevc => hevc_with(sample, &data),
        VideoCodec::Av1 => {
            let payload = [&[ITUT_T35], &data[..], &[0x80]].concat();
            av1::with_metadata(sample, &payload).ok()
        }
        VideoCodec::H264 | VideoCodec::Vp9 => None,
    }
}

/// From the country code on.
fn registered(triples: &[u8]) -> Vec<u8> {
    let pairs = (triples.len() / 3).min(MOST_PAIRS);
    let count = 0x40 | u8::try_from(pairs).unwrap_or(0);
    [&IN_SEI[..], &[count, 0xFF], &triples[..3 * pairs], &[0xFF]].concat()
}

fn hevc_with(sample: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    // At most 8 + 2 + 3 * 31 + 1 bytes, which one byte tells.
    let size = u8::try_from(data.len()).ok()?;
    let message = [&[hevc::PREFIX_SEI << 1, 1, REGISTERED, size], data, &[0x80]].concat();
    let (mut out, mut is_in) = (Vec::with_capacity(sample.len() + message.len() + 8), false);
    for unit in nal::length_prefixed(sample, 4) {
        let unit = unit.ok()?;
        if !is_in && hevc::unit_type(unit)? < hevc::FIRST_NOT_VCL {
            nal::push_length_prefixed(&mut out, &nal::escaped(&message)).ok()?;
            is_in = true;
        }
        nal::push_length_prefixed(&mut out, unit).ok()?;
    }
    is_in.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitstream::captions::{CaptionFinder, Channel};

    const CC1: [u8; 3] = [0xFC, 0x94, 0x20];

    #[test]
    fn captions_stand_before_the_first_slice_of_hevc_and_are_found_again() {
        let sample = [&[0, 0, 0, 3, 39 << 1, 1, 0x80][..], &[0, 0, 0, 3, 19 << 1, 1, 0x80]].concat();
        // Zeros, so that bytes have to be put in between.
        let with = insert(VideoCodec::Hevc, &sample, &[CC1, [0xF8, 0, 0], [0, 0, 0], [1, 0, 0]].concat()).unwrap();
        let kinds: Vec<u8> = nal::length_prefixed(&with, 4).map(|unit| unit.unwrap()[0] >> 1).collect();
        assert_eq!(kinds, [39, 39, 19]);
        let mut record = [0; 23];
        (record[0], record[21]) = (1, 3);
        let mut finder = CaptionFinder::new("hevc", &record);
        finder.look(&with);
        assert_eq!(finder.channels(), [Channel::Cea608(1)]);
        assert_eq!(insert(VideoCodec::Hevc, &sample[..7], &CC1), None, "no picture");
    }

    #[test]
    fn captions_stand_before_the_frame_that_av1_shows() {
        let sample = [0x0A, 1, 0, 0x32, 2, 0x10, 0];
        let with = insert(VideoCodec::Av1, &sample, &CC1).unwrap();
        assert_eq!(with[..3], sample[..3]);
        assert_eq!(with[3], 5 << 3 | 2);
        assert_eq!(with[4], 16, "type, identifier, two bytes, a triple, a byte, and the trailing bit");
        assert_eq!(with[5..14], [&[4][..], &IN_SEI].concat());
        assert_eq!(with[4 + 16..], [&[0x80][..], &sample[3..]].concat());
        let mut finder = CaptionFinder::new("av1", &[]);
        finder.look(&with);
        assert_eq!(finder.channels(), [Channel::Cea608(1)]);
        assert_eq!(insert(VideoCodec::Vp9, &sample, &CC1), None);
    }

    #[test]
    fn no_message_holds_more_than_its_counter_counts() {
        assert_eq!(registered(&CC1.repeat(40)).len(), 8 + 2 + 3 * 31 + 1);
    }
}
