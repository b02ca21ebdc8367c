//! Captions inside the video: CEA-608 and CEA-708 in caption data (ATSC A/53 Part 4, 6.2.3), which H.264 and HEVC carry
//! in SEI messages, MPEG-2 in user data and AV1 in metadata. Finds out which there are; it reads no caption.

use serde::{Deserialize, Serialize};

use super::{avc, units};
use crate::format::av1;
use crate::nal::{self, Delimiting};

/// What a viewer can choose of the captions in a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// A channel of CEA-608, 1 to 4: two in each field.
    Cea608(u8),
    /// A service of CEA-708, from 1.
    Cea708(u8),
}

/// `itu_t_t35_country_code` of the United States, the provider code of ATSC, and `ATSC_identifier` with the type of
/// caption data.
pub(crate) const IN_SEI: [u8; 8] = [0xB5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3];
/// Behind the start code of user data in MPEG-2.
const IN_USER_DATA: [u8; 9] = [0, 0, 1, 0xB2, b'G', b'A', b'9', b'4', 3];

/// `payloadType` of `user_data_registered_itu_t_t35` (ITU-T H.264, D.1.6).
const REGISTERED: usize = 4;
/// `metadata_type` of METADATA_TYPE_ITUT_T35 (AV1 Bitstream & Decoding Process Specification, 6.7.1).
pub(crate) const ITUT_T35: u8 = 4;

/// Looks for captions in the packets of one stream.
#[derive(Clone, Debug)]
pub struct CaptionFinder {
    codec: Codec,
    found: Found,
}

#[derive(Clone, Copy, Debug)]
enum Codec {
    Avc(Delimiting),
    Hevc(Delimiting),
    Mpeg2,
    Av1,
    Other,
}

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    channels: [bool; 4],
    services: [bool; 7],
}

impl CaptionFinder {
    /// A finder for the codec of FFmpeg's name `codec` with its `extradata`.
    pub fn new(codec: &str, extradata: &[u8]) -> Self {
        let codec = match codec {
            "h264" => Codec::Avc(Delimiting::of_avc(extradata)),
            "hevc" => Codec::Hevc(Delimiting::of_hevc(extradata)),
            "mpeg2video" => Codec::Mpeg2,
            "av1" => Codec::Av1,
            _ => Codec::Other,
        };
        Self { codec, found: Found::default() }
    }

    /// Takes the next packet.
    pub fn look(&mut self, packet: &[u8]) {
        let found = &mut self.found;
        caption_data(self.codec, packet, &mut |data| found.read(data));
    }

    /// Those seen so far. Where there is any of CEA-608, the same text in CEA-708 is not told.
    pub fn channels(&self) -> Vec<Channel> {
        let seen = |flags: &[bool]| -> Vec<u8> {
            (0..).zip(flags).filter(|(_, seen)| **seen).map(|(place, _)| place).collect()
        };
        match &seen(&self.found.channels)[..] {
            [] => seen(&self.found.services).into_iter().map(Channel::Cea708).collect(),
            channels => channels.iter().map(|place| Channel::Cea608(place + 1)).collect(),
        }
    }
}

/// Hands the caption data of a packet's pictures to `sink`, as they follow their type.
fn caption_data(codec: Codec, packet: &[u8], sink: &mut dyn FnMut(&[u8])) {
    match codec {
        Codec::Avc(delimiting) => {
            // Messages stand before the slices.
            for unit in units(delimiting, packet).take_while(|unit| !is_avc_slice(unit)) {
                if nal::avc::unit_type(unit) == Some(nal::avc::SEI) {
                    messages(&nal::unescaped(unit), 1, sink);
                }
            }
        }
        Codec::Hevc(delimiting) => {
            let kind = nal::hevc::unit_type;
            let is_slice = |unit: &[u8]| kind(unit).is_some_and(|kind| kind < nal::hevc::FIRST_NOT_VCL);
            for unit in units(delimiting, packet).take_while(|unit| !is_slice(unit)) {
                if kind(unit) == Some(nal::hevc::PREFIX_SEI) {
                    messages(&nal::unescaped(unit), 2, sink);
                }
            }
        }
        Codec::Mpeg2 => {
            let mut rest = packet;
            while let Some(at) = rest.windows(IN_USER_DATA.len()).position(|window| window == IN_USER_DATA) {
                rest = &rest[at + IN_USER_DATA.len()..];
                sink(rest);
            }
        }
        Codec::Av1 => av1::each_metadata(packet, &mut |payload| {
            if let Some(data) = payload.strip_prefix(&[ITUT_T35]).and_then(|data| data.strip_prefix(&IN_SEI)) {
                sink(data);
            }
        }),
        Codec::Other => {}
    }
}

fn is_avc_slice(unit: &[u8]) -> bool {
    matches!(nal::avc::unit_type(unit), Some(nal::avc::SLICE..=nal::avc::IDR))
}

/// The caption data among the messages of an unescaped SEI unit with a header of so many bytes.
fn messages(unit: &[u8], header: usize, sink: &mut dyn FnMut(&[u8])) {
    let mut rest = unit.get(header..).unwrap_or_default();
    while let Some((kind, size, after)) = avc::message(rest) {
        let Some((body, next)) = after.split_at_checked(size) else { return };
        if let (REGISTERED, Some(data)) = (kind, body.strip_prefix(&IN_SEI)) {
            sink(data);
        }
        rest = next;
    }
}

impl Found {
    /// Reads `cc_data` (A/53 Part 4, table 6.10).
    fn read(&mut self, data: &[u8]) {
        let Some((&[flags, _], rest)) = data.split_first_chunk::<2>() else { return };
        if flags & 0x40 == 0 {
            return;
        }
        for it in rest.chunks_exact(3).take(usize::from(flags & 0x1F)) {
            let (valid, kind, first, second) = (it[0] & 4 != 0, it[0] & 3, it[1], it[2]);
            match kind {
                _ if !valid => {}
                0 | 1 => self.line21(kind, first & 0x7F),
                // A packet begins with its header, and goes on with that of a service block.
                3 if second & 0x1F > 0 => {
                    if let Some(service @ false) = self.services.get_mut(usize::from(second >> 5)) {
                        *service = second >> 5 > 0;
                    }
                }
                _ => {}
            }
        }
    }

    /// A pair of CEA-608 in a field: control codes tell which of its channels goes on (CEA-608, table 50).
    fn line21(&mut self, field: u8, first: u8) {
        let channel = match first {
            0x10..=0x17 => 0,
            0x18..=0x1F => 1,
            _ => return,
        };
        self.channels[usize::from(2 * field + channel)] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "resume caption loading" of the first channel, in field 1.
    const CC1: [u8; 3] = [0xFC, 0x94, 0x20];
    const PADDING: [u8; 3] = [0xFC, 0x80, 0x80];

    fn data(pairs: &[[u8; 3]]) -> Vec<u8> {
        [&[0x40 | pairs.len() as u8, 0xFF], pairs.concat().as_slice(), &[0xFF]].concat()
    }

    fn avc(pairs: &[[u8; 3]]) -> Vec<u8> {
        let body = [&IN_SEI[..], &data(pairs)].concat();
        [&[0, 0, 1, 6, 4, body.len() as u8], body.as_slice(), &[0x80, 0, 0, 1, 0x65, 0x88]].concat()
    }

    fn found(codec: &str, packet: &[u8]) -> Vec<Channel> {
        let mut finder = CaptionFinder::new(codec, &[]);
        finder.look(packet);
        finder.channels()
    }

    #[test]
    fn channels_are_found_in_h264_hevc_and_mpeg2() {
        assert_eq!(found("h264", &avc(&[PADDING, CC1])), [Channel::Cea608(1)]);
        let body = [&IN_SEI[..], &data(&[CC1])].concat();
        let hevc = [&[0, 0, 1, 39 << 1, 1, 4, body.len() as u8], body.as_slice(), &[0x80, 0, 0, 1, 0x26, 1]].concat();
        assert_eq!(found("hevc", &hevc), [Channel::Cea608(1)]);
        let mpeg = [&[0, 0, 1, 0, 0, 8][..], &IN_USER_DATA, &data(&[CC1])].concat();
        assert_eq!(found("mpeg2video", &mpeg), [Channel::Cea608(1)]);
        assert_eq!(found("vp9", &mpeg), []);
    }

    #[test]
    fn the_second_channel_and_the_second_field_are_channels_of_their_own() {
        let pairs = [[0xFC, 0x1C, 0x20], [0xFD, 0x15, 0x2C], [0xFD, 0x9D, 0x20]];
        assert_eq!(found("h264", &avc(&pairs)), [2, 3, 4].map(Channel::Cea608));
    }

    #[test]
    fn padding_and_what_is_marked_invalid_is_no_caption() {
        assert_eq!(found("h264", &avc(&[PADDING, [0xF8, 0x94, 0x20]])), []);
        assert_eq!(found("h264", &avc(&[])), []);
    }

    #[test]
    fn services_of_cea_708_are_told_where_they_stand_alone() {
        let service_2 = [0xFF, 0x02, 0x41];
        assert_eq!(found("h264", &avc(&[service_2])), [Channel::Cea708(2)]);
        assert_eq!(found("h264", &avc(&[service_2, CC1])), [Channel::Cea608(1)]);
    }
}
