//! HLS in transport streams (ISO/IEC 13818-1), for devices that know no fragmented MP4: the samples of the proven segments,
//! wrapped anew and cut at the same places. Nothing is encoded again.
//!
//! One track of sound is in the segments of the pictures, for players of that age know no other; the others are streams of
//! their own. Reading order: [`clock`] counts at 90 kHz; [`units`] are what a stream carries of a sample; [`packet`] and
//! [`mux`] make bytes of them; [`share`] says which segment gets which; [`source`] brings the samples, and [`feed`] makes
//! units of them; [`read`] finds in a stream what it carries, and [`proof`] holds that against the samples; [`run`] writes
//! files; [`playlists`] name them.

mod clock;
mod feed;
mod mux;
mod packet;
mod playlists;
mod proof;
mod read;
pub(crate) mod run;
mod share;
mod source;
#[cfg(test)]
mod testing;
mod units;

use vtp_engine::ladder::{AudioCodec, Method, Rendition, VideoCodec};
use vtp_engine::source::Rotation;

pub(crate) use playlists::{MASTER, all as playlists};
pub use units::Error;

/// The folder of a rendition's transport streams, within its own.
const FOLDER: &str = "/ts";

/// The folder of the streams of the rendition in `folder`.
fn folder(folder: &str) -> String {
    format!("{folder}{FOLDER}")
}

/// The folder of the rendition whose streams are in `folder`.
pub(crate) fn rendition(folder: &str) -> &str {
    folder.strip_suffix(FOLDER).unwrap_or(folder)
}

/// The file of a segment counted from 0.
pub(crate) fn segment_name(place: u32) -> String {
    format!("seg-{:05}.ts", u64::from(place) + 1)
}

/// Whether devices that know no fragmented MP4 can be expected to show this: H.264 of eight bits in 4:2:0. A stream says of
/// no picture that it is to be turned. `rotation` and `pixel_format` (FFmpeg's name) are the source's, for copies.
pub fn takes(rendition: &Rendition, rotation: Rotation, pixel_format: &str) -> bool {
    match rendition.method {
        Method::Capped { codec, depth, .. } => codec == VideoCodec::H264 && depth == 8,
        Method::Copy => rotation == Rotation::default() && matches!(pixel_format, "yuv420p" | "yuvj420p"),
        Method::Lossless { .. } | Method::Ffv1 | Method::Stills { .. } => false,
    }
}

/// Refuses an output of which such devices would play nothing, or only half. `audio` is of every track which sound it is a
/// version of, and what it is made with.
///
/// # Errors
/// [`Refusal`] with what to do.
pub(crate) fn check(takes: &[bool], audio: &[(usize, AudioCodec)], sealed_by_samples: bool) -> Result<(), Refusal> {
    if sealed_by_samples {
        return Err(Refusal::Samples);
    }
    if !takes.contains(&true) {
        return Err(Refusal::Video);
    }
    if audio.iter().any(|(sound, _)| !audio.contains(&(*sound, AudioCodec::Aac))) {
        return Err(Refusal::Audio);
    }
    Ok(())
}

/// Why there can't be transport streams; each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing that is made can be shown by old devices.
    #[error(
        "--hls-ts takes H.264 in 8 bits, upright, and none is made; add h264 to --codec and a rung with a rate cap to \
         --ladder, or leave out --hls-ts"
    )]
    Video,
    /// Nor heard.
    #[error("--hls-ts takes sound in AAC, and not all is made in it; add aac to --audio, or leave out --hls-ts")]
    Audio,
    /// Sealed samples of transport streams are another format, which we don't write.
    #[error("--hls-ts is not encrypted by cbcs; take --encrypt aes-128, or leave out --hls-ts")]
    Samples,
}

/// Reads any bytes as segments of a stream, each behind its length. Not part of the product.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(data: &[u8]) {
    let mut data = vtp_engine::fuzzing::Reader(data);
    let mut reader = read::Reader::default();
    while !data.0.is_empty() {
        let bytes = data.block();
        let Ok(found) = reader.segment(bytes) else { return };
        assert!(found.clocks > 0 || found.units.is_empty(), "a unit without a clock before it");
        assert!(found.units.iter().all(|unit| unit.range.end <= bytes.len() && unit.bytes.len() < unit.range.len()));
    }
}

/// Two segments of a stream, for tests.
#[cfg(test)]
pub(crate) fn segments() -> Vec<Vec<u8>> {
    use mux::{Muxer, Unit};
    let unit =
        |video, at: i64, key| Unit { video, pts: at + 3_000, dts: at, turn: at, key, alone: key, bytes: vec![5; 300] };
    let mut muxer = Muxer::new(packet::Program { video: true, audio: Some(*b"deu") }, 0);
    let segment = |from| {
        muxer
            .segment(vec![unit(true, from, true), unit(false, from + 1, false), unit(true, from + 20_000, false)])
            .bytes
    };
    [900_000, 940_000].map(segment).to_vec()
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{BitRate, Ratio, Size};

    use super::*;

    fn rendition(method: Method) -> Rendition {
        let size = Size { width: 640, height: 360 };
        Rendition { name: "mobile".to_owned(), size, sample_aspect: Ratio::ONE, method }
    }

    #[test]
    fn what_old_devices_may_not_show_is_left_out() {
        let upright = Rotation::default();
        let turned = Rotation { quarter_turns: 1, mirrored: false };
        let taken = |method: Method, rotation, format| takes(&rendition(method), rotation, format);
        let capped = Method::h264(23.0, BitRate(800_000), 1_600_000, "medium");
        assert!(taken(capped.clone(), turned, "yuv420p10le"), "what is scaled is upright and of eight bits");
        assert!(taken(Method::Copy, upright, "yuv420p"));
        assert!(!taken(Method::Copy, turned, "yuv420p"));
        assert!(!taken(Method::Copy, upright, "yuv422p"));
        assert!(!taken(Method::Lossless { speed: "veryfast".to_owned() }, upright, "yuv420p"));
        for (other, bits) in [(VideoCodec::Hevc, 8), (VideoCodec::H264, 10)] {
            let mut method = capped.clone();
            if let Method::Capped { codec, depth, .. } = &mut method {
                (*codec, *depth) = (other, bits);
            }
            assert!(!taken(method, upright, "yuv420p"));
        }
    }

    #[test]
    fn what_would_play_in_part_is_refused_in_a_sentence() {
        let told = |takes: &[bool], audio: &[(usize, AudioCodec)], sealed| {
            check(takes, audio, sealed).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(told(&[false, true], &[(0, AudioCodec::Opus), (0, AudioCodec::Aac)], false), Ok(()));
        assert_eq!(told(&[true], &[], false), Ok(()));
        assert!(told(&[false], &[], false).unwrap_err().contains("add h264 to --codec"));
        assert!(told(&[true], &[(0, AudioCodec::Opus)], false).unwrap_err().contains("add aac to --audio"));
        let half = [(0, AudioCodec::Aac), (1, AudioCodec::Ac3)];
        assert!(told(&[true], &half, false).unwrap_err().contains("add aac to --audio"));
        assert!(told(&[true], &[], true).unwrap_err().contains("aes-128"));
    }
}
