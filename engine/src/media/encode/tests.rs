use std::path::Path;

use ffmpeg_next::format::Pixel;

use super::*;
use crate::ladder::Search;
use crate::media::testing::{bytes, decode_file, moving, size, video};
use crate::nal::{self, avc};
use crate::units::{BitRate, Ratio, Size};

fn capped(size: Size, max_rate: u64, speed: &str) -> Rendition {
    let method = Method::h264(23.0, BitRate(max_rate), 2 * max_rate, speed);
    Rendition { name: "test".to_owned(), size, sample_aspect: Ratio::ONE, method }
}

fn lossless(size: Size) -> Rendition {
    let method = Method::Lossless { speed: "veryfast".to_owned() };
    Rendition { method, ..capped(size, 1_000_000, "medium") }
}

fn shape(frames: u32, first: bool) -> ChunkShape {
    ChunkShape { first, last: false, frames, seconds: f64::from(frames) * 0.04, longest_segment: frames }
}

/// What came out of one encoder: its configuration and (pts, sync, sample).
struct Encoded {
    config: Vec<u8>,
    samples: Vec<(i64, bool, Vec<u8>)>,
}

impl Encoded {
    fn units(&self) -> impl Iterator<Item = u8> {
        self.samples
            .iter()
            .flat_map(|(_, _, sample)| nal::length_prefixed(sample, 4))
            .map(|unit| avc::unit_type(unit.unwrap()).unwrap())
    }
}

fn encode(
    video: &VideoInfo,
    rendition: &Rendition,
    chunk: ChunkShape,
    pictures: impl Iterator<Item = (i64, Picture)>,
    idrs: &[i64],
) -> Encoded {
    let mut encoder = open(video, rendition, chunk).unwrap();
    let mut samples = Vec::new();
    let mut sink = |e: EncodedPicture<'_>| {
        samples.push((e.pts, e.sync, e.sample.to_vec()));
        Ok(())
    };
    for (pts, picture) in pictures {
        encoder.send(&picture, pts, idrs.contains(&pts), &mut sink).unwrap();
    }
    encoder.finish(&mut sink).unwrap();
    Encoded { config: encoder.config().to_vec(), samples }
}

/// Writes samples as a byte stream with the parameter sets of `config` in front.
fn write_stream(path: &Path, config: &[u8], chunks: &[&Encoded]) {
    let mut stream = Vec::new();
    let mut push = |unit: &[u8]| {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
    };
    let sps_size = usize::from(u16::from_be_bytes([config[6], config[7]]));
    push(&config[8..8 + sps_size]);
    let pps = &config[8 + sps_size + 1..];
    let pps_size = usize::from(u16::from_be_bytes([pps[0], pps[1]]));
    push(&pps[2..2 + pps_size]);
    for (_, _, sample) in chunks.iter().flat_map(|chunk| &chunk.samples) {
        nal::length_prefixed(sample, 4).for_each(|unit| push(unit.unwrap()));
    }
    std::fs::write(path, stream).unwrap();
}

/// Whatever preset a rendition has, its chunks may be searched harder one by one.
#[test]
fn a_thorough_search_finds_more_under_the_same_parameter_sets() {
    let (size, video) = (size(320, 192), video(size(320, 192), "yuv420p"));
    let pictures = || (0..24).map(|n| (n as i64, moving(size, Pixel::YUV420P, n)));
    for speed in ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] {
        let rendition = capped(size, 5_000_000, speed);
        let plain = encode(&video, &rendition, shape(24, true), pictures(), &[0]);
        let thorough = rendition.searched(Search::Thorough);
        let searched = encode(&video, &thorough, shape(24, true), pictures(), &[0]);
        assert_eq!(plain.config, searched.config, "{speed}");
        assert_eq!(speed == "slower", plain.samples == searched.samples, "{speed}");
    }
}

#[test]
fn separately_encoded_chunks_join_into_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (size, video) = (size(320, 240), video(size(320, 240), "yuv420p"));
    let chunk = |from: usize, frames: usize, rate| {
        let pictures = (from..from + frames).map(|n| (n as i64 * 40, moving(size, Pixel::YUV420P, n)));
        let shape = ChunkShape { seconds: frames as f64 * rate, ..shape(frames as u32, from == 0) };
        encode(&video, &capped(size, 300_000, "medium"), shape, pictures, &[from as i64 * 40, 30 * 40])
    };
    let chunks = [chunk(0, 60, 0.04), chunk(60, 1, 0.04), chunk(61, 23, 0.03)];
    assert!(chunks.iter().all(|chunk| chunk.config == chunks[0].config), "parameter sets differ");
    assert!(chunks.iter().all(|chunk| chunk.samples[0].1), "every chunk begins with an IDR picture");
    assert!(chunks[0].samples.iter().any(|&(pts, sync, _)| sync && pts == 30 * 40), "a segment starts inside");

    let mut times: Vec<_> = chunks.iter().flat_map(|c| &c.samples).map(|(pts, ..)| *pts).collect();
    assert!(!times.is_sorted(), "there are B-frames");
    times.sort_unstable();
    assert_eq!(times, (0..84).map(|n| n * 40).collect::<Vec<_>>());

    let path = folder.path().join("joined.h264");
    write_stream(&path, &chunks[0].config, &chunks.iter().collect::<Vec<_>>());
    assert_eq!(decode_file(&path).len(), 84);
}

#[test]
fn samples_hold_pictures_and_nothing_that_stands_elsewhere() {
    let (size, video) = (size(64, 48), video(size(64, 48), "yuv420p"));
    let pictures = (0..5).map(|n| (n as i64, moving(size, Pixel::YUV420P, n)));
    let encoded = encode(&video, &capped(size, 300_000, "medium"), shape(5, true), pictures, &[0]);
    assert!(encoded.units().all(|unit| matches!(unit, avc::SLICE | avc::IDR)));
    assert_eq!(encoded.units().filter(|&unit| unit == avc::IDR).count(), 1);
}

#[test]
fn the_level_is_ours_whatever_the_preset() {
    for (size, speed) in [(size(1280, 720), "ultrafast"), (size(1280, 720), "slow"), (size(1280, 720), "veryslow")] {
        let encoder = open(&video(size, "yuv420p"), &capped(size, 2_500_000, speed), shape(10, true)).unwrap();
        assert_eq!(encoder.config()[3], 31, "{speed}");
    }
}

#[test]
fn what_a_picture_was_in_the_source_does_not_bind_the_encoder() {
    let (size, video) = (size(64, 48), video(size(64, 48), "yuv420p"));
    let pictures = (0..20).map(|n| {
        let mut picture = moving(size, Pixel::YUV420P, n);
        picture.frame_mut().set_kind(ffmpeg_next::picture::Type::I);
        (n as i64, picture)
    });
    let encoded = encode(&video, &capped(size, 300_000, "medium"), shape(20, true), pictures, &[0]);
    assert_eq!(encoded.samples.iter().filter(|sample| sample.1).count(), 1);
}

/// Encodes, writes and decodes again.
fn lossless_round_trip(video: &VideoInfo, size: Size, pictures: &[Picture]) -> Vec<Picture> {
    let folder = tempfile::tempdir().unwrap();
    let sent = pictures.iter().enumerate().map(|(n, picture)| (n as i64 * 40, picture.share().unwrap()));
    let encoded = encode(video, &lossless(size), shape(pictures.len() as u32, true), sent, &[0]);
    let path = folder.path().join("lossless.h264");
    write_stream(&path, &encoded.config, &[&encoded]);
    decode_file(&path)
}

#[test]
fn a_lossless_rendition_decodes_to_the_very_samples() {
    let formats = [
        Pixel::YUV420P,
        Pixel::YUV422P,
        Pixel::YUV444P,
        Pixel::GRAY8,
        Pixel::YUV420P10LE,
        Pixel::YUV422P10LE,
        Pixel::YUV444P10LE,
        Pixel::GBRP,
    ];
    for format in formats {
        for interlaced in [false, true] {
            let name = format.descriptor().unwrap().name();
            let mut video = video(size(64, 48), name);
            video.interlaced = interlaced;
            let pictures: Vec<_> = (0..6).map(|n| moving(video.size, format, n)).collect();
            let decoded = lossless_round_trip(&video, video.size, &pictures);
            assert_eq!(decoded.len(), pictures.len());
            for (sent, back) in pictures.iter().zip(&decoded) {
                let (sent, back) = (bytes(sent), bytes(back));
                assert!(back[..sent.len()] == sent, "{name}, interlaced: {interlaced}");
            }
        }
    }
}

#[test]
fn packed_formats_are_repacked_sample_by_sample() {
    for (format, video_size) in [(Pixel::UYVY422, size(64, 48)), (Pixel::YUYV422, size(64, 48))] {
        let video = video(video_size, format.descriptor().unwrap().name());
        let sent = moving(video.size, format, 1);
        let back = lossless_round_trip(&video, video.size, &[sent.share().unwrap()]).remove(0);
        let (packed, luma_at) = (bytes(&sent), usize::from(format == Pixel::UYVY422));
        let planar = bytes(&back);
        let luma: Vec<_> = packed.iter().skip(luma_at).step_by(2).copied().collect();
        let chroma: Vec<_> = packed.iter().skip(1 - luma_at).step_by(2).copied().collect();
        assert!(planar[..64 * 48] == luma);
        let blue: Vec<_> = chroma.iter().step_by(2).copied().collect();
        assert!(planar[64 * 48..64 * 48 * 3 / 2] == blue);
    }
}

#[test]
fn odd_sizes_are_kept_where_no_chroma_is_subsampled() {
    for format in [Pixel::YUV444P, Pixel::YUV444P10LE, Pixel::GRAY8, Pixel::GRAY10LE, Pixel::GBRP] {
        let video = video(size(33, 21), format.descriptor().unwrap().name());
        let sent = moving(video.size, format, 3);
        let back = lossless_round_trip(&video, video.size, &[sent.share().unwrap()]).remove(0);
        assert_eq!(back.size(), video.size);
        let (sent, back) = (bytes(&sent), bytes(&back));
        assert!(back[..sent.len()] == sent, "{format:?}");
    }
}

#[test]
fn what_h264_can_not_hold_without_loss_is_refused_with_a_sentence() {
    for format in ["yuva420p", "yuv411p", "yuv420p12le", "gbrp10le", "bgra", "pal8"] {
        let Err(error) = open(&video(size(64, 48), format), &lossless(size(64, 48)), shape(1, true)) else {
            panic!("{format} is accepted");
        };
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(format), "{error}");
    }
}

#[test]
fn a_lossless_rendition_refuses_a_change_of_size() {
    let video = video(size(64, 48), "yuv420p");
    let mut encoder = open(&video, &lossless(size(64, 48)), shape(2, true)).unwrap();
    encoder.send(&moving(size(64, 48), Pixel::YUV420P, 0), 0, true, &mut |_| Ok(())).unwrap();
    let error = encoder.send(&moving(size(32, 48), Pixel::YUV420P, 1), 1, false, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn colour_tags_and_sample_shape_reach_the_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let mut video = video(size(64, 48), "yuv420p");
    video.color.primaries = 9;
    video.color.transfer = 16;
    video.color.matrix = 9;
    video.color.full_range = Some(true);
    video.color.chroma_location = 3;
    let mut rendition = capped(video.size, 300_000, "medium");
    rendition.sample_aspect = Ratio::new(64, 45).unwrap();
    let pictures = (0..3).map(|n| (n as i64, moving(size(64, 48), Pixel::YUV420P, n)));
    let encoded = encode(&video, &rendition, shape(3, true), pictures, &[0]);
    let path = folder.path().join("tagged.h264");
    write_stream(&path, &encoded.config, &[&encoded]);
    let picture = decode_file(&path).remove(0);
    assert_eq!(picture.color(), video.color);
    assert_eq!(picture.sample_aspect(), rendition.sample_aspect);
}

/// Has the allocator fill memory with `byte` before it hands it out.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn dirty_memory(byte: u8) {
    // SAFETY: the call changes what uninitialised memory holds, which nothing may rely on.
    let done = unsafe { libc::mallopt(libc::M_PERTURB, i32::from(byte)) };
    assert_eq!(done, 1);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_bytes_do_not_depend_on_what_lay_in_memory_before() {
    for size in [size(426, 240), size(160, 120)] {
        let video = video(size, "yuv420p");
        let encode_over = |byte| {
            dirty_memory(byte);
            let pictures = (0..60).map(|n| (n as i64 * 40, moving(size, Pixel::YUV420P, n)));
            encode(&video, &capped(size, 200_000, "veryfast"), shape(60, true), pictures, &[0]).samples
        };
        let clean = encode_over(0);
        assert!([1, 85, 170].into_iter().all(|byte| encode_over(byte) == clean), "{size}");
        dirty_memory(0);
    }
}
