//! What chunks of every codec must do to join.

use std::collections::BTreeMap;

use ffmpeg_next::format::Pixel;

use super::*;
use crate::format;
use crate::ladder::{Look, Search};
use crate::limits::Limits;
use crate::media::decode::VideoDecoder;
use crate::media::demux::{CodecParameters, SourcePacket};
use crate::media::testing::{moving, size, video};
use crate::source::{Color, ContentLight, HdrMetadata, MasteringDisplay};
use crate::units::{BitRate, PacketIndex, Ratio, Size};

const SIZE: Size = Size { width: 160, height: 96 };

/// Every codec in every depth that it is made in.
const KINDS: [(VideoCodec, u8); 7] = [
    (VideoCodec::H264, 8),
    (VideoCodec::Hevc, 8),
    (VideoCodec::Hevc, 10),
    (VideoCodec::Vp9, 8),
    (VideoCodec::Vp9, 10),
    (VideoCodec::Av1, 8),
    (VideoCodec::Av1, 10),
];

fn rendition(codec: VideoCodec, depth: u8) -> Rendition {
    let method = Method::Capped {
        codec,
        depth,
        look: Look::Kept,
        crf: codec.default_crf(),
        max_rate: BitRate(400_000),
        buffer_bits: 800_000,
        speed: "veryfast".to_owned(),
        search: Search::Preset,
    };
    Rendition { name: codec.name().to_owned(), size: SIZE, sample_aspect: Ratio::ONE, method }
}

fn source(depth: u8) -> VideoInfo {
    video(SIZE, if depth > 8 { "yuv420p10le" } else { "yuv420p" })
}

fn format_of(depth: u8) -> Pixel {
    if depth > 8 { Pixel::YUV420P10LE } else { Pixel::YUV420P }
}

/// A configuration, and samples with their times and whether decoding can start there.
type Encoded = (Vec<u8>, Vec<(i64, bool, Vec<u8>)>);

/// Pictures `from..from + frames`, with segments that start at the first and at those of `segments`.
fn encode(
    video: &VideoInfo,
    rendition: &Rendition,
    depth: u8,
    from: usize,
    frames: usize,
    segments: &[usize],
) -> Encoded {
    let shape = ChunkShape {
        first: from == 0,
        last: false,
        frames: frames as u32,
        seconds: frames as f64 * 0.04,
        longest_segment: frames as u32,
    };
    let mut encoder = open(video, rendition, shape).unwrap();
    let mut samples = Vec::new();
    let mut sink = |it: EncodedPicture<'_>| {
        samples.push((it.pts, it.sync, it.sample.to_vec()));
        Ok(())
    };
    for n in from..from + frames {
        let starts = n == from || segments.contains(&n);
        encoder.send(&moving(SIZE, format_of(depth), n), n as i64 * 40, starts, &mut sink).unwrap();
    }
    encoder.finish(&mut sink).unwrap();
    (encoder.config().to_vec(), samples)
}

/// The checksums of what a decoder of these samples shows, by their times, and the first picture.
fn decode(codec: VideoCodec, config: &[u8], samples: &[(i64, bool, Vec<u8>)]) -> (BTreeMap<i64, u32>, Picture) {
    let base = video(SIZE, "yuv420p").time_base;
    let parameters = CodecParameters::video(codec, config);
    let mut decoder = VideoDecoder::new(&parameters, base, &Limits::DEFAULT).unwrap();
    let (mut shown, mut first) = (BTreeMap::new(), None);
    let mut keep = |picture: Picture| -> Result<(), Error> {
        let at = picture.packet().unwrap().0 as usize;
        shown.insert(samples[at].0, picture.checksum());
        first.get_or_insert(picture);
        Ok(())
    };
    for (at, (_, _, sample)) in samples.iter().enumerate() {
        decoder.send(PacketIndex(at as u32), SourcePacket::of(sample).unwrap(), &mut keep).unwrap();
    }
    decoder.finish(&mut keep).unwrap();
    assert_eq!(decoder.damaged(), 0);
    (shown, first.unwrap())
}

#[test]
fn chunks_of_every_codec_join_into_one_stream_that_decodes_as_they_do_alone() {
    for (codec, depth) in KINDS {
        let (video, rendition) = (source(depth), rendition(codec, depth));
        let chunk = |from, frames| encode(&video, &rendition, depth, from, frames, &[20]);
        let (config, first) = chunk(0, 45);
        let (other, second) = chunk(45, 17);
        assert_eq!(config, other, "{codec}: the headers differ");
        let whole = [first.clone(), second.clone()].concat();
        let (joined, picture) = decode(codec, &config, &whole);
        assert_eq!(picture.pixel_format().0, video.pixel_format, "{codec}");
        assert_eq!(joined.keys().copied().collect::<Vec<_>>(), (0..62).map(|n| n * 40).collect::<Vec<_>>(), "{codec}");
        let mut alone = decode(codec, &config, &first).0;
        alone.extend(decode(codec, &config, &second).0);
        assert_eq!(joined, alone, "{codec} in {depth} bits");
        // A player that seeks to the second segment needs nothing of the first.
        let cut = first.iter().position(|&(pts, sync, _)| sync && pts == 20 * 40).unwrap();
        assert!(first[cut..].iter().all(|(pts, ..)| *pts >= 20 * 40), "{codec}");
        let from_there = decode(codec, &config, &first[cut..]).0;
        assert!(from_there.iter().all(|(pts, sum)| joined[pts] == *sum), "{codec} in {depth} bits");
    }
}

#[test]
fn a_sample_says_itself_whether_decoding_can_start_there() {
    for (codec, depth) in KINDS {
        let (config, samples) = encode(&source(depth), &rendition(codec, depth), depth, 0, 30, &[15]);
        for (pts, sync, sample) in samples {
            assert_eq!(format::is_key(codec, &config, &sample), Some(sync), "{codec} at {pts}");
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn every_codec_gives_the_same_bytes_again_whatever_lay_in_memory_before() {
    for (codec, depth) in KINDS {
        let again = |byte: u8| {
            // SAFETY: the call changes what uninitialised memory holds, which nothing may rely on.
            assert_eq!(unsafe { libc::mallopt(libc::M_PERTURB, i32::from(byte)) }, 1);
            encode(&source(depth), &rendition(codec, depth), depth, 0, 40, &[])
        };
        let clean = again(0);
        assert!([1, 170].into_iter().all(|byte| again(byte) == clean), "{codec} in {depth} bits");
        again(0);
    }
}

#[test]
fn codecs_are_told_by_name_profile_level_and_depth() {
    let config = |codec, depth| encode(&source(depth), &rendition(codec, depth), depth, 0, 2, &[]).0;
    assert_eq!(format::hevc::name(&config(VideoCodec::Hevc, 8)).unwrap(), "hvc1.1.6.L60.90");
    assert_eq!(format::hevc::name(&config(VideoCodec::Hevc, 10)).unwrap(), "hvc1.2.4.L60.90");
    assert_eq!(format::av1::name(&config(VideoCodec::Av1, 8)).unwrap(), "av01.0.00M.08");
    assert_eq!(format::av1::name(&config(VideoCodec::Av1, 10)).unwrap(), "av01.0.00M.10");
    assert!(format::vp9::name(&config(VideoCodec::Vp9, 10)).unwrap().starts_with("vp09.02.11.10."));
}

#[test]
fn colours_and_what_they_were_mastered_for_reach_the_decoder_of_hevc() {
    let mut hdr = source(10);
    hdr.color = Color { primaries: 9, transfer: 16, matrix: 9, full_range: Some(false), chroma_location: 3 };
    hdr.hdr = HdrMetadata {
        mastering: Some(MasteringDisplay {
            primaries: [[35_400, 14_600], [8_500, 39_850], [6_550, 2_300]],
            white: [15_635, 16_450],
            most: 10_000_000,
            least: 50,
        }),
        light: Some(ContentLight { most: 1000, most_mean: 400 }),
    };
    let (config, samples) = encode(&hdr, &rendition(VideoCodec::Hevc, 10), 10, 0, 5, &[]);
    let (_, picture) = decode(VideoCodec::Hevc, &config, &samples);
    assert_eq!(picture.hdr(), hdr.hdr);
    for codec in [VideoCodec::Hevc, VideoCodec::Av1, VideoCodec::Vp9] {
        let (config, samples) = encode(&hdr, &rendition(codec, 10), 10, 0, 5, &[]);
        let (_, picture) = decode(codec, &config, &samples);
        let told = (picture.color().primaries, picture.color().transfer, picture.color().matrix);
        // A VP9 stream has one number for all three, which says no more than BT.2020; the rest stands in its container.
        let due = if codec == VideoCodec::Vp9 {
            (picture.color().primaries, picture.color().transfer, 9)
        } else {
            (9, 16, 9)
        };
        assert_eq!(told, due, "{codec}");
    }
}

#[test]
fn a_small_picture_is_no_trouble() {
    for (codec, small) in
        [(VideoCodec::Hevc, size(16, 16)), (VideoCodec::Vp9, size(16, 16)), (VideoCodec::Av1, size(64, 64))]
    {
        let video = video(small, "yuv420p");
        let rendition = Rendition { size: small, ..rendition(codec, 8) };
        let shape = ChunkShape { first: true, last: true, frames: 3, seconds: 0.12, longest_segment: 3 };
        let mut encoder = open(&video, &rendition, shape).unwrap();
        let mut count = 0;
        let mut sink = |_: EncodedPicture<'_>| {
            count += 1;
            Ok(())
        };
        for n in 0..3 {
            encoder.send(&moving(small, Pixel::YUV420P, n), n as i64 * 40, n == 0, &mut sink).unwrap();
        }
        encoder.finish(&mut sink).unwrap();
        assert_eq!(count, 3, "{codec}");
    }
}
