//! Tracks on disk for tests of the writer and of the proof.

use std::fs;
use std::path::Path;

use vtp_engine::ladder::{AudioCodec, VideoCodec};
use vtp_engine::source::{AudioPurpose, Color, HdrMetadata, Rotation};
use vtp_engine::units::{Ratio, Size};

use crate::boxes::codec::VideoConfig;
use crate::boxes::{AudioInit, FragmentSamples, VideoInit, audio_init, fragment_head, segment_type, video_init};
use crate::cut::TimedSample;
use crate::language::Language;
use crate::layout::Durability;
use crate::listing::{
    AudioListing, FrameRate, INIT, KeyPicture, Listing, Presentation, SubtitleListing, VideoListing, Written,
    segment_name,
};
use crate::subtitles::{self, Ruler};

const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];
/// Pictures of a segment.
const PICTURES: u32 = 25;
/// By how much the edit list moves them, in pictures.
const DELAY: u32 = 2;

fn put(dir: &Path, folder: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(dir.join(folder)).unwrap();
    fs::write(dir.join(folder).join(name), bytes).unwrap();
}

/// One second of pictures in two segments each, I P B B and so on, of sizes that differ, from `start` seconds on.
fn video(dir: &Path, folder: &str, segments: u32, start: u64) -> VideoListing {
    let init = VideoInit {
        timescale: 25,
        size: Size { width: 64, height: 36 },
        sample_aspect: Ratio::ONE,
        color: Color::BT709,
        hdr: HdrMetadata::default(),
        rotation: Rotation::default(),
        config: VideoConfig::new(VideoCodec::H264, &RECORD).unwrap(),
        delay: DELAY.into(),
    };
    put(dir, folder, INIT, &video_init(&init).unwrap());
    let (mut written, mut pictures) = (Vec::new(), Vec::new());
    for place in 0..segments {
        // Shown when: the first, then each third before the two between.
        let shown = |n: u32| match n {
            0 => 0,
            n if n % 3 == 1 => (n + 2).min(PICTURES - 1),
            n if n % 3 == 2 => n - 1,
            n => n - 1,
        };
        let samples: Vec<TimedSample> = (0..PICTURES)
            .map(|n| TimedSample {
                size: 5 + 97 * (n % 7) + place,
                duration: 1,
                composition: i32::try_from(shown(n)).unwrap() - i32::try_from(n).unwrap(),
                sync: n == 0,
            })
            .collect();
        let from = start * 25 + u64::from(place * PICTURES);
        let kind = FragmentSamples::Video { samples: &samples, delay: DELAY.into() };
        let mut bytes = [segment_type().unwrap(), fragment_head(place + 1, from, kind).unwrap()].concat();
        for sample in &samples {
            bytes.extend((sample.size - 4).to_be_bytes());
            bytes.push(if sample.sync { 0x65 } else { 0x41 });
            bytes.extend((5..sample.size).map(|n| (n % 251) as u8 + 1));
        }
        put(dir, folder, &segment_name(place), &bytes);
        let size = bytes.len() as u64;
        written.push(Written { start: from, ticks: PICTURES.into(), bytes: size, samples: PICTURES });
        pictures.push(KeyPicture { segment: place, range: 0..size, shown: from });
    }
    VideoListing {
        listing: Listing::new(folder.to_owned(), "avc1.64001F".to_owned(), 25, &written, 0),
        size: init.size,
        display: init.size,
        sample_aspect: Ratio::ONE,
        codec: VideoCodec::H264,
        frame_rate: FrameRate::new(1, 1, 25),
        transfer: 1,
        pictures,
    }
}

/// So many segments of 48 frames of AAC, the first of which is priming.
fn audio(dir: &Path, folder: &str, segments: u32, default: bool) -> AudioListing {
    let init = AudioInit {
        sample_rate: 48_000,
        channels: 2,
        priming: 1024,
        language: "deu".to_owned(),
        codec: AudioCodec::Aac,
        config: vec![0x11, 0x90],
    };
    put(dir, folder, INIT, &audio_init(&init).unwrap());
    let mut written = Vec::new();
    for place in 0..segments {
        let sizes: Vec<u32> = (0..48).map(|n| 100 + 13 * (n % 11) + place).collect();
        let start = u64::from(place) * 48 * 1024;
        let kind = FragmentSamples::Audio { sizes: &sizes, duration: 1024, preroll: 1 };
        let head = fragment_head(place + 1, start, kind).unwrap();
        let payload = sizes.iter().flat_map(|size| (0..*size).map(move |n| (n * size) as u8));
        let bytes: Vec<u8> = segment_type().unwrap().into_iter().chain(head).chain(payload).collect();
        put(dir, folder, &segment_name(place), &bytes);
        written.push(Written { start, ticks: 48 * 1024, bytes: bytes.len() as u64, samples: 48 });
    }
    AudioListing {
        listing: Listing::new(folder.to_owned(), "mp4a.40.2".to_owned(), 48_000, &written, 1024),
        name: folder.to_owned(),
        language: Language::of(Some("de")),
        default,
        surround: false,
        muxed: false,
        purpose: AudioPurpose::Programme,
        codec: AudioCodec::Aac,
        channels: 2,
        objects: None,
        sample_rate: 48_000,
    }
}

fn subtitles(dir: &Path) -> SubtitleListing {
    let track = crate::layout::SubtitleTrack {
        language: None,
        title: None,
        default: false,
        forced: false,
        hearing_impaired: false,
        cues: Vec::new(),
    };
    let ruler = Ruler { bounds: vec![0, 25, 50], timescale: 25 };
    let written = subtitles::write(dir, "text", &track, &ruler, Durability::Buffered).unwrap();
    let list = |segments: &[Written]| Listing::new("text".to_owned(), "wvtt".to_owned(), 25, segments, 0);
    SubtitleListing {
        files: list(&written.files),
        fragments: list(&written.fragments),
        name: "text".to_owned(),
        language: Language::of(None),
        default: false,
        forced: false,
        hearing_impaired: false,
    }
}

/// A rendition of three segments that starts after `start` seconds, two tracks of sound of four, and subtitles.
pub(super) fn presentation(dir: &Path, start: u64) -> Presentation {
    Presentation {
        video: vec![video(dir, "video", 3, start)],
        audio: vec![audio(dir, "other", 4, false), audio(dir, "sound", 4, true)],
        subtitles: vec![subtitles(dir)],
        captions: Vec::new(),
        sheets: None,
        told_target_s: 0,
    }
}
