//! Tracks for tests of the writers.

use mp4_atom::{Mdhd, Tkhd};
use vtp_engine::ladder::{AudioCodec, VideoCodec};
use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::units::{Ratio, Size};

use super::{Kind, Track};
use crate::boxes::codec::VideoConfig;
use crate::boxes::{AudioInit, VideoInit, audio_init, video_init};
use crate::language::Language;
use crate::proof::read::ReadSample;

const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

/// So many pictures at 25 a second, one in `gop` a key picture and every other one shown a picture later than it is decoded,
/// behind a delay of one.
pub(super) fn video(count: u32, gop: u32) -> Track {
    let samples = (0..count).map(|n| {
        let shown = i64::from(n)
            + match n % gop {
                0 => 0,
                odd if odd % 2 == 1 => 1,
                _ => -1,
            };
        ReadSample { decoded: n.into(), shown, duration: 1, size: 1000, sync: n % gop == 0 }
    });
    let init = VideoInit {
        timescale: 25,
        size: Size { width: 640, height: 360 },
        sample_aspect: Ratio::ONE,
        color: Color::BT709,
        hdr: HdrMetadata::default(),
        rotation: Rotation::default(),
        config: VideoConfig::new(VideoCodec::H264, &RECORD).unwrap(),
        delay: 1,
    };
    let entry = super::entry::of(&video_init(&init).unwrap()).unwrap();
    track(Kind::Video(Box::new((&init).into())), entry, samples.collect(), (25, 0))
}

/// So many frames of AAC at 48 kHz, of which the first is priming.
pub(super) fn audio(count: u32) -> Track {
    let samples = (0..count).map(|n| ReadSample {
        decoded: u64::from(n) * 1024,
        shown: (i64::from(n) - 1) * 1024,
        duration: 1024,
        size: 300 + n % 7,
        sync: true,
    });
    let init = AudioInit {
        sample_rate: 48_000,
        channels: 2,
        priming: 1024,
        language: "deu".to_owned(),
        codec: AudioCodec::Aac,
        config: vec![0x11, 0x90],
    };
    let entry = super::entry::of(&audio_init(&init).unwrap()).unwrap();
    track(Kind::Audio { channels: 2, sample_rate: 48_000 }, entry, samples.collect(), (48_000, 1024))
}

fn track(kind: Kind, entry: Vec<u8>, samples: Vec<ReadSample>, (timescale, priming): (u32, u64)) -> Track {
    Track {
        kind,
        entry,
        tkhd: Tkhd { track_id: 1, enabled: true, in_movie: true, ..Tkhd::default() },
        mdhd: Mdhd { timescale, language: "deu".to_owned(), ..Mdhd::default() },
        samples,
        language: Language::of(Some("de")),
        priming,
        name: "German".to_owned(),
        default: true,
    }
}
