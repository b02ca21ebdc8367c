//! What a compressed packet says of itself: whether decoding may start at it, and whether it shows a picture.
//!
//! A container's key frame flag is not enough to cut at (an H.264 I picture flagged as key may be referenced
//! across, a TS may flag nothing), so the bitstream itself is read, as far as its headers. Pure; it decodes no
//! picture and keeps no packet.

mod avc;
pub mod captions;
mod hevc;
mod mpeg;
mod vpx;

use crate::nal::Delimiting;

/// Whether decoding may start at a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may not.
    None,
    /// It may, but the decoder's state is not reset: pictures before it in presentation order need what came
    /// before, and so may the stream's syntax.
    Recovery,
    /// It may, and nothing decoded after it refers to anything before it (IDR and its like), save leading
    /// pictures that are shown before it.
    Reset,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketClass {
    /// Whether decoding may start here.
    pub access: Access,
    /// Whether the packet is known to show no picture of its own (an alternate reference frame, a leading picture
    /// whose references are gone).
    pub hidden: bool,
}

/// Classifies the packets of one stream, in decode order.
#[derive(Debug)]
pub struct Classifier {
    codec: Codec,
}

#[derive(Debug)]
enum Codec {
    Avc(Delimiting),
    Hevc {
        delimiting: Delimiting,
        leading: hevc::Leading,
    },
    Mpeg12,
    Mpeg4,
    Vp8,
    Vp9,
    /// Every picture stands alone.
    Intra,
    /// The container's flag is believed.
    Flagged,
    /// Nothing is known: only the first packet is a place to start.
    Unknown {
        first: bool,
    },
}

impl Classifier {
    /// A classifier for the codec of FFmpeg's name `codec` with its `extradata`.
    pub fn new(codec: &str, extradata: &[u8]) -> Self {
        let codec = match codec {
            "h264" => Codec::Avc(Delimiting::of_avc(extradata)),
            "hevc" => Codec::Hevc { delimiting: Delimiting::of_hevc(extradata), leading: hevc::Leading::START },
            "mpeg1video" | "mpeg2video" => Codec::Mpeg12,
            "mpeg4" => Codec::Mpeg4,
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            name if is_intra_only(name) => Codec::Intra,
            "av1" | "flv1" | "h263" | "h263p" | "h263i" | "theora" | "vp6" | "vp6f" | "vp6a" | "wmv1" | "wmv2"
            | "msmpeg4v1" | "msmpeg4v2" | "msmpeg4v3" | "svq1" | "cinepak" | "qtrle" | "rpza" | "ffv1" | "gif" => {
                Codec::Flagged
            }
            _ => Codec::Unknown { first: true },
        };
        Self { codec }
    }

    /// Whether no other picture is predicted from those in the packet: left out, nothing else is missed. `false` where
    /// that is not known.
    pub fn is_disposable(&self, packet: &[u8]) -> bool {
        match &self.codec {
            Codec::Avc(delimiting) => avc::is_disposable(units(*delimiting, packet)),
            Codec::Mpeg12 => mpeg::is_disposable_mpeg12(packet),
            _ => false,
        }
    }

    /// Classifies the next packet; `flagged` is the container's key frame flag.
    pub fn classify(&mut self, packet: &[u8], flagged: bool) -> PacketClass {
        let shown = |access| PacketClass { access, hidden: false };
        let reset_if = |yes| shown(if yes { Access::Reset } else { Access::None });
        match &mut self.codec {
            Codec::Avc(delimiting) => shown(avc::access(units(*delimiting, packet))),
            Codec::Hevc { delimiting, leading } => hevc::classify(units(*delimiting, packet), leading),
            Codec::Mpeg12 => shown(mpeg::access_mpeg12(packet)),
            Codec::Mpeg4 => shown(mpeg::access_mpeg4(packet)),
            Codec::Vp8 => vpx::classify_vp8(packet),
            Codec::Vp9 => vpx::classify_vp9(packet, flagged),
            Codec::Intra => reset_if(true),
            Codec::Flagged => reset_if(flagged),
            Codec::Unknown { first } => reset_if(std::mem::take(first)),
        }
    }
}

fn is_intra_only(codec: &str) -> bool {
    matches!(
        codec,
        "mjpeg"
            | "mjpegb"
            | "prores"
            | "dnxhd"
            | "dvvideo"
            | "rawvideo"
            | "v210"
            | "v308"
            | "v408"
            | "v410"
            | "huffyuv"
            | "ffvhuff"
            | "utvideo"
            | "jpeg2000"
            | "cfhd"
            | "hap"
            | "png"
            | "tiff"
            | "bmp"
            | "magicyuv"
            | "wrapped_avframe"
            | "y41p"
            | "yuv4"
            | "r210"
            | "r10k"
            | "asv1"
            | "asv2"
    )
}

/// The NAL units of a packet, up to the first that is damaged.
fn units(delimiting: Delimiting, packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    delimiting.units(packet).map_while(Result::ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(codec: &str, extradata: &[u8], packet: &[u8]) -> Access {
        Classifier::new(codec, extradata).classify(packet, false).access
    }

    #[test]
    fn an_idr_picture_resets_whatever_the_container_says() {
        assert_eq!(access("h264", &[], &[0, 0, 1, 0x65, 0x88]), Access::Reset);
        assert_eq!(access("h264", &[1, 100, 0, 31, 0xFF], &[0, 0, 0, 2, 0x65, 0x88]), Access::Reset);
        assert_eq!(Classifier::new("h264", &[]).classify(&[0, 0, 1, 0x41, 0x9A], true).access, Access::None);
    }

    #[test]
    fn start_codes_are_read_also_where_lengths_were_promised() {
        assert_eq!(access("h264", &[1, 100, 0, 31, 0xFF], &[0, 0, 0, 1, 0x65, 0x88]), Access::Reset);
    }

    #[test]
    fn a_unit_of_one_byte_before_a_picture_is_no_start_code() {
        let ended = [0, 0, 0, 1, 0x0A, 0, 0, 0, 2, 0x65, 0x88];
        assert_eq!(access("h264", &[1, 100, 0, 31, 0xFF], &ended), Access::Reset);
    }

    #[test]
    fn a_recovery_point_counts_only_when_it_is_immediate_and_exact() {
        // SEI 6, one byte: recovery_frame_cnt ue(v), exact_match_flag, broken_link_flag, changing_slice_group_idc.
        let packet = |payload: u8| [0, 0, 1, 0x06, 6, 1, payload, 0x80, 0, 0, 1, 0x41, 0x9A];
        assert_eq!(access("h264", &[], &packet(0b1100_0000)), Access::Recovery);
        assert_eq!(access("h264", &[], &packet(0b1000_0000)), Access::None, "not exact");
        assert_eq!(access("h264", &[], &packet(0b0101_0000)), Access::None, "one frame later");
    }

    #[test]
    fn leading_pictures_of_the_first_cra_show_nothing_and_those_of_a_later_one_do() {
        let mut classifier = Classifier::new("hevc", &[]);
        let mut unit = |kind: u8| classifier.classify(&[0, 0, 1, kind << 1, 1, 0x80], false);
        assert_eq!(unit(21).access, Access::Recovery);
        assert!(unit(8).hidden);
        assert!(!unit(1).hidden);
        assert_eq!(unit(21), PacketClass { access: Access::Recovery, hidden: false });
        assert!(!unit(9).hidden);
        assert_eq!(unit(19).access, Access::Reset);
    }

    #[test]
    fn leading_pictures_of_a_cra_show_something_unless_a_sequence_begins_with_it() {
        let mut classifier = Classifier::new("hevc", &[]);
        let mut packet = |kinds: &[u8]| {
            let units = kinds.iter().flat_map(|kind| [0, 0, 1, kind << 1, 1, 0x80]).collect::<Vec<_>>();
            classifier.classify(&units, false)
        };
        assert_eq!(packet(&[19]).access, Access::Reset);
        packet(&[21]);
        assert!(!packet(&[8]).hidden, "straight after an IDR picture");
        packet(&[21]);
        assert!(!packet(&[9]).hidden, "no trailing picture between");
        packet(&[1, 36]);
        packet(&[21]);
        assert!(packet(&[8]).hidden, "the sequence ended before it");
        packet(&[1]);
        packet(&[37, 21]);
        assert!(packet(&[8]).hidden, "it ends in the same packet");
        packet(&[21]);
        assert!(!packet(&[8]).hidden);
        packet(&[16]);
        assert!(packet(&[8]).hidden, "a broken link");
    }

    #[test]
    fn every_picture_of_an_intra_codec_is_a_place_to_start_and_of_an_unknown_one_only_the_first() {
        assert_eq!(access("prores", &[], &[1]), Access::Reset);
        let mut unknown = Classifier::new("vc1", &[]);
        assert_eq!(unknown.classify(&[1], true).access, Access::Reset);
        assert_eq!(unknown.classify(&[1], true).access, Access::None);
    }

    #[test]
    fn pictures_that_none_is_predicted_from_are_known_in_h264_and_mpeg2() {
        let avc = Classifier::new("h264", &[]);
        assert!(avc.is_disposable(&[0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x01, 0x9A]));
        assert!(!avc.is_disposable(&[0, 0, 1, 0x01, 0x9A, 0, 0, 1, 0x41, 0x9A]), "one slice is referred to");
        assert!(!avc.is_disposable(&[0, 0, 1, 0x09, 0x10]), "no slice at all");
        let mpeg = Classifier::new("mpeg2video", &[]);
        assert!(mpeg.is_disposable(&[0, 0, 1, 0, 0x00, 3 << 3]));
        assert!(!mpeg.is_disposable(&[0, 0, 1, 0, 0x00, 2 << 3]));
        assert!(!Classifier::new("vp9", &[]).is_disposable(&[0x80, 0]));
    }

    #[test]
    fn mpeg_intra_pictures_are_recovery_points() {
        assert_eq!(access("mpeg2video", &[], &[0, 0, 1, 0, 0x00, 0x08]), Access::Recovery);
        assert_eq!(access("mpeg2video", &[], &[0, 0, 1, 0, 0x00, 0x10]), Access::None);
        assert_eq!(access("mpeg4", &[], &[0, 0, 1, 0xB6, 0x10]), Access::Recovery);
        assert_eq!(access("mpeg4", &[], &[0, 0, 1, 0xB6, 0x50]), Access::None);
    }

    #[test]
    fn vp8_and_vp9_tell_hidden_frames() {
        assert!(Classifier::new("vp8", &[]).classify(&[0b0000_0001], false).hidden);
        assert_eq!(access("vp8", &[], &[0b0001_0000]), Access::Reset);
        let mut vp9 = Classifier::new("vp9", &[]);
        // frame_marker 2, profile 0, show_existing_frame 0, frame_type, show_frame
        assert!(vp9.classify(&[0b1000_0100], false).hidden);
        assert_eq!(vp9.classify(&[0b1000_0010], true), PacketClass { access: Access::Reset, hidden: false });
    }
}
