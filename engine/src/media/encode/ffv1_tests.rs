//! What archives need of FFV1: the very samples, frames that stand alone, chunks that join, damage that is found.

use ffmpeg_next::format::Pixel;

use super::*;
use crate::format;
use crate::ladder::ffv1;
use crate::limits::Limits;
use crate::media::decode::VideoDecoder;
use crate::media::demux::{CodecParameters, SourcePacket};
use crate::media::testing::{bytes, moving, picture, size, video};
use crate::units::{PacketIndex, Ratio, Size};

/// A configuration and frames.
type Encoded = (Vec<u8>, Vec<Vec<u8>>);

fn encode(video: &VideoInfo, chunk: u32, pictures: &[Picture]) -> Encoded {
    let frames = pictures.len() as u32;
    let shape = ChunkShape { first: chunk == 0, last: false, frames, seconds: 1.0, longest_segment: frames };
    let mut encoder = open(video, &ffv1::rendition(video).unwrap(), shape).unwrap();
    let mut samples = Vec::new();
    let mut sink = |it: EncodedPicture<'_>| {
        assert!(it.sync && it.pts == samples.len() as i64 * 40);
        samples.push(it.sample.to_vec());
        Ok(())
    };
    for (n, picture) in pictures.iter().enumerate() {
        encoder.send(picture, n as i64 * 40, n == 0, &mut sink).unwrap();
    }
    encoder.finish(&mut sink).unwrap();
    (encoder.config().to_vec(), samples)
}

/// What a decoder shows that gets one frame and no other.
fn decode(config: &[u8], size: Size, frame: &[u8]) -> Picture {
    let base = video(size, "yuv420p").time_base;
    let mut decoder = VideoDecoder::new(&CodecParameters::ffv1(config, size), base, &Limits::DEFAULT).unwrap();
    let mut shown = Vec::new();
    let mut keep = |picture: Picture| -> Result<(), Error> {
        shown.push(picture);
        Ok(())
    };
    decoder.send(PacketIndex(0), SourcePacket::of(frame).unwrap(), &mut keep).unwrap();
    decoder.finish(&mut keep).unwrap();
    assert_eq!((decoder.damaged(), shown.len()), (0, 1));
    shown.remove(0)
}

/// A picture of noise with as many bits as its format has.
fn noise(size: Size, format: Pixel, n: usize) -> Picture {
    let name = format.descriptor().unwrap().name();
    let bits = ["9", "10", "12", "14"].into_iter().find(|bits| name.ends_with(&format!("{bits}le")));
    let high: u8 = bits.map_or(0xFF, |bits| ((1_u32 << (bits.parse::<u32>().unwrap() - 8)) - 1) as u8);
    let deep = name.ends_with("le");
    picture(size, format, &|plane, row, column| {
        let byte = (row * 7919 + column * 104_729 + plane * 31 + n * 131) as u8;
        if deep && column % 2 == 1 { byte & high } else { byte }
    })
}

#[test]
fn every_format_that_is_held_comes_back_as_it_was() {
    let formats = [
        Pixel::YUV420P,
        Pixel::YUV422P,
        Pixel::YUV444P,
        Pixel::YUV411P,
        Pixel::YUVA420P,
        Pixel::YUVA444P,
        Pixel::GRAY8,
        Pixel::YA8,
        Pixel::YUV420P10LE,
        Pixel::YUV422P10LE,
        Pixel::YUV444P10LE,
        Pixel::YUVA444P10LE,
        Pixel::YUV420P12LE,
        Pixel::YUV422P12LE,
        Pixel::YUV444P12LE,
        Pixel::YUV420P16LE,
        Pixel::YUV444P16LE,
        Pixel::YUVA422P16LE,
        Pixel::GRAY10LE,
        Pixel::GRAY12LE,
        Pixel::GRAY16LE,
        Pixel::GBRP10LE,
        Pixel::GBRP16LE,
        Pixel::GBRAP12LE,
        Pixel::BGRA,
    ];
    for (format, size) in formats.into_iter().flat_map(|format| [(format, size(161, 121)), (format, size(64, 48))]) {
        let video = video(size, format.descriptor().unwrap().name());
        let pictures: Vec<Picture> = (0..3).map(|n| noise(size, format, n)).collect();
        let (config, frames) = encode(&video, 0, &pictures);
        for (sent, frame) in pictures.iter().zip(&frames) {
            let back = decode(&config, size, frame);
            assert_eq!(back.pixel_format().0, video.pixel_format);
            assert!(bytes(&back) == bytes(sent), "{} {size}", video.pixel_format);
        }
    }
}

#[test]
fn samples_in_another_order_are_only_put_in_order() {
    let size = size(64, 48);
    let through = |format: Pixel| {
        let sent = noise(size, format, 1);
        let (config, frames) = encode(&video(size, format.descriptor().unwrap().name()), 0, &[sent.share().unwrap()]);
        (bytes(&sent), bytes(&decode(&config, size, &frames[0])))
    };
    let (packed, planar) = through(Pixel::UYVY422);
    assert!(planar[..64 * 48].iter().eq(packed.iter().skip(1).step_by(2)), "luma");
    assert!(planar[64 * 48..][..32 * 48].iter().eq(packed.iter().step_by(4)), "blue");
    let (nv12, planar) = through(Pixel::NV12);
    assert!(planar[..64 * 48] == nv12[..64 * 48]);
    assert!(planar[64 * 48..][..32 * 24].iter().eq(nv12[64 * 48..].iter().step_by(2)), "blue");
    let (rgb, bgr0) = through(Pixel::RGB24);
    assert!(rgb.chunks(3).zip(bgr0.chunks(4)).all(|(rgb, bgr)| rgb.iter().eq(bgr[..3].iter().rev())));
    let (gbr, bgr0) = through(Pixel::GBRP);
    assert!(bgr0.iter().step_by(4).eq(gbr[64 * 48..][..64 * 48].iter()), "blue");
    let (p010, planar) = through(Pixel::P010LE);
    let words = |bytes: &[u8]| bytes.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect::<Vec<_>>();
    let luma: Vec<u16> = words(&p010).iter().take(64 * 48).map(|word| word >> 6).collect();
    assert!(words(&planar)[..64 * 48] == luma);
    let (rgb, gbr) = through(Pixel::RGB48LE);
    assert!(words(&gbr)[..64 * 48].iter().eq(words(&rgb).iter().skip(1).step_by(3)), "green");
}

#[test]
fn chunks_have_one_configuration_and_their_bytes_depend_on_nothing_but_their_pictures() {
    for (size, slices) in [(size(1280, 720), 16), (size(640, 360), 4), (size(161, 121), 4), (size(16, 16), 4)] {
        let video = video(size, "yuv420p");
        let pictures = |from: usize| (from..from + 2).map(|n| moving(size, Pixel::YUV420P, n)).collect::<Vec<_>>();
        let (first, later) = (encode(&video, 0, &pictures(0)), encode(&video, 7, &pictures(1)));
        assert_eq!(first.0, later.0);
        assert!(format::ffv1::is_record(&first.0));
        assert_eq!(first.1[1], later.1[0], "what came before does not matter");
        assert_eq!(format::ffv1::slices(&first.1[0]), Some(slices), "{size}");
    }
}

#[test]
fn fewer_slices_are_tried_only_where_the_encoder_refuses_their_number() {
    let open = |refuses: &[u32], kind: Kind| {
        first_taken([36, 4, 1, 0], |slices| match refuses.contains(&slices) {
            true => Err(Error::new(kind, format!("{slices} slices"))),
            false => Ok(slices),
        })
    };
    assert_eq!(open(&[36, 4], Kind::Internal), Ok(1));
    assert_eq!(open(&[36, 4, 1, 0], Kind::Internal).unwrap_err().to_string(), "0 slices");
    for kind in [Kind::Retryable, Kind::Unsupported, Kind::Corrupt] {
        assert_eq!(open(&[36], kind), Err(Error::new(kind, "36 slices")));
    }
}

#[test]
fn shape_and_fields_of_a_picture_are_told_by_its_frame() {
    let size = size(64, 48);
    let mut video = video(size, "yuv422p10le");
    video.sample_aspect = Ratio::new(64, 45).unwrap();
    for first in [None, Some(true), Some(false)] {
        let mut sent = noise(size, Pixel::YUV422P10LE, 0);
        // SAFETY: the frame is valid and owned.
        unsafe {
            let raw = &mut *sent.frame_mut().as_mut_ptr();
            (raw.interlaced_frame, raw.top_field_first) = (first.is_some().into(), (first == Some(true)).into());
        }
        let (config, frames) = encode(&video, 0, &[sent]);
        let back = decode(&config, size, &frames[0]);
        assert_eq!((back.is_top_field_first(), back.sample_aspect()), (first, video.sample_aspect));
    }
}

#[test]
fn what_can_not_be_held_is_refused_with_a_sentence() {
    for format in ["pal8", "monob", "yuv422p10be"] {
        let video = video(size(64, 48), format);
        assert!(ffv1::rendition(&video).unwrap_err().to_string().contains(format));
        let held = ffv1::rendition(&VideoInfo { pixel_format: "gray".to_owned(), ..video.clone() }).unwrap();
        let shape = ChunkShape { first: true, last: true, frames: 1, seconds: 1.0, longest_segment: 1 };
        assert_eq!(open(&video, &held, shape).err().unwrap().kind(), Kind::Unsupported);
    }
}
