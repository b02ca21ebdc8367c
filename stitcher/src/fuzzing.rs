//! What the fuzz targets call: the readers of published files. Each function takes any bytes at all, and panics where a
//! reader breaks a promise. Not part of the product.

use std::collections::BTreeMap;
use std::io::Cursor;

use vtp_engine::format::{ffv1, flac};
use vtp_engine::fuzzing::Reader;
use vtp_engine::ladder::VideoCodec;

use crate::boxes::codec::{VideoConfig, mpeg4_audio_name};
use crate::check::stream::{Absent, Found};
use crate::check::{self, files, load};
use crate::proof::read::{read_init, read_picture, read_segment};

/// An initialization segment, a decoder configuration, each behind its length, and a media segment.
pub fn published(data: &[u8]) {
    let mut data = Reader(data);
    let init = read_init(&mut Cursor::new(data.block()));
    let config = VideoConfig::new(VideoCodec::H264, data.block()).ok();
    let (Ok(init), file) = (init, data.0) else { return };
    let length = file.len() as u64;
    let Ok(segment) = read_segment(&mut Cursor::new(file), length, init, config.as_ref()) else { return };
    let samples: u64 = segment.samples.iter().map(|sample| u64::from(sample.size)).sum();
    assert_eq!(segment.head_bytes + samples, length);
    assert!(segment.end() >= segment.start);
    // The first fragment as an I-frame playlist would name it.
    let styp = 8 + 4 + 4 + 3 * 4;
    if let (Some(range), Some(config)) = (file.get(styp..), config)
        && let Ok(picture) = read_picture(range, init, &config)
    {
        assert_eq!(Some(picture.shown), segment.samples.first().map(|first| first.shown));
    }
}

/// Segments of a transport stream of ours, each behind its length.
pub fn transport(data: &[u8]) {
    crate::transport::read_any(data);
}

/// A decoder configuration behind its length, and a sample.
pub fn configuration(data: &[u8]) {
    let mut data = Reader(data);
    let record = data.block();
    if let Ok(name) = mpeg4_audio_name(record) {
        assert!(name.starts_with("mp4a.40."));
    }
    if let Some(info) = flac::StreamInfo::read(record) {
        assert!(info.channels <= 8 && flac::metadata(record, u32::MAX).len() >= 4 + record.len());
    }
    ffv1::is_record(record);
    if let Some(slices) = ffv1::slices(data.0) {
        assert!(slices as usize * 8 < data.0.len());
    }
    for codec in VideoCodec::ALL {
        if let Ok(config) = VideoConfig::new(codec, record) {
            assert!(config.name().is_ascii());
            config.is_key(data.0);
        }
    }
}

/// A stream of somebody's making: a multivariant playlist, a media playlist, an MPD and an initialization segment, each
/// behind its length, and a media segment. Whatever they name is one of these.
pub fn stream(data: &[u8]) {
    struct Files<'a>(BTreeMap<&'static str, &'a [u8]>, &'a [u8]);
    impl<'a> files::Files for Files<'a> {
        type File = Cursor<&'a [u8]>;
        fn open(&self, path: &str) -> Found<(Self::File, u64)> {
            if path.ends_with("missing") {
                return Err(Absent::Missing);
            }
            let named = self.0.iter().find(|(end, _)| path.ends_with(*end));
            let bytes = named.map_or(self.1, |(_, bytes)| *bytes);
            Ok((Cursor::new(bytes), bytes.len() as u64))
        }
    }
    let mut data = Reader(data);
    let named = ["master.m3u8", "index.m3u8", ".mpd", "init.mp4"].map(|end| (end, data.block()));
    let files = Files(named.into(), data.0);
    let Ok(stream) = load::load_from(&files, Some("master.m3u8"), Some("manifest.mpd")) else { return };
    let report = check::check(&stream);
    assert_eq!(report.rules.len(), check::rules().count());
    let told = |rule: &check::Judged| rule.verdict.is_fail() != rule.verdict.failures().is_empty();
    assert!(report.rules.iter().all(told), "a rule that is broken says where, and no other does");
}

#[cfg(test)]
mod tests {
    use vtp_engine::fuzzing::each_damaged;
    use vtp_engine::ladder::AudioCodec;
    use vtp_engine::source::{Color, HdrMetadata, Rotation};
    use vtp_engine::units::{Ratio, Size};

    use super::*;
    use crate::boxes::{AudioInit, FragmentSamples, VideoInit, audio_init, fragment_head, segment_type, video_init};
    use crate::cut::TimedSample;

    const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

    fn block(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
    }

    /// A published file as [`published`] reads it: of video, or of sound.
    fn files() -> [Vec<u8>; 2] {
        let size = Size { width: 64, height: 36 };
        let video = VideoInit {
            timescale: 12_800,
            size,
            sample_aspect: Ratio::new(4, 3).unwrap(),
            color: Color { primaries: 1, transfer: 1, matrix: 1, full_range: None, chroma_location: 0 },
            hdr: HdrMetadata::default(),
            rotation: Rotation::default(),
            config: VideoConfig::new(VideoCodec::H264, &RECORD).unwrap(),
            delay: 1024,
        };
        let config = vec![0x11, 0x90];
        let audio = AudioInit {
            sample_rate: 48_000,
            channels: 2,
            priming: 1024,
            language: "eng".to_owned(),
            codec: AudioCodec::Aac,
            config,
        };
        let samples = [(8, true), (6, false), (5, false)].map(|(size, sync)| TimedSample {
            size,
            duration: 512,
            composition: 512,
            sync,
        });
        let key = [0, 0, 0, 4, 0x65, 1, 2, 3];
        let alone = fragment_head(1, 0, FragmentSamples::Video { samples: &samples[..1], delay: 1024 }).unwrap();
        let rest = fragment_head(2, 512, FragmentSamples::Video { samples: &samples[1..], delay: 1024 }).unwrap();
        let shown = [segment_type().unwrap(), alone, key.to_vec(), rest, vec![0; 11]].concat();
        let heard =
            fragment_head(2, 1024, FragmentSamples::Audio { sizes: &[9, 10], duration: 1024, preroll: 0 }).unwrap();
        let heard = [segment_type().unwrap(), heard].concat();
        [
            [block(&video_init(&video).unwrap()), block(&RECORD), shown].concat(),
            [block(&audio_init(&audio).unwrap()), block(&[]), heard, vec![7; 19]].concat(),
        ]
    }

    #[test]
    fn the_seeds_are_whole_files() {
        for file in files() {
            let mut data = Reader(&file);
            let init = read_init(&mut Cursor::new(data.block())).unwrap();
            let config = VideoConfig::new(VideoCodec::H264, data.block()).ok();
            let segment = read_segment(&mut Cursor::new(data.0), data.0.len() as u64, init, config.as_ref()).unwrap();
            assert_eq!(segment.opens_with_key, config.as_ref().map(|_| true));
            assert_eq!(segment.fragments, if config.is_some() { 2 } else { 1 });
            // What the edit list takes out stands in the offsets of the pictures, and in the first decode time of the sound.
            assert_eq!(segment.samples[0].shown, if config.is_some() { 512 } else { 0 });
        }
    }

    #[test]
    fn no_damage_makes_the_readers_of_published_files_panic() {
        each_damaged(&files(), 20_000, published);
    }

    #[test]
    fn no_damage_makes_the_reader_of_transport_streams_panic() {
        let segments = crate::transport::segments();
        assert!(segments.len() > 1);
        let seeds = [segments.iter().flat_map(|segment| block(segment)).collect::<Vec<u8>>(), block(&segments[0])];
        each_damaged(&seeds, 20_000, transport);
    }

    #[test]
    fn no_damage_makes_the_readers_of_configurations_panic() {
        let sample = [0, 0, 0, 2, 6, 0xFF, 0, 0, 0, 3, 0x65, 1, 2];
        // STREAMINFO of 48 kHz stereo, and two slices of FFV1 of nothing but zeros.
        let sound = [&[16, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0xB8, 0x02, 0xF0][..], &[0; 20]].concat();
        let slices = [&[0; 2][..], &[0, 0, 2, 0, 0xA0, 0xF2, 0x9E, 0x0F]].concat().repeat(2);
        assert!(flac::StreamInfo::read(&sound).is_some() && ffv1::slices(&slices) == Some(2));
        let archived = [block(&sound), slices].concat();
        let seeds = [[block(&RECORD), sample.to_vec()].concat(), archived, block(&[0x12, 0x10]), block(&[0xF9, 0x40])];
        each_damaged(&seeds, 20_000, configuration);
    }

    #[test]
    fn no_damage_makes_the_readers_of_streams_panic() {
        let files = crate::check::tests::good();
        let seeds = ["a", "b", "s"].map(|folder| {
            let names = ["master.m3u8".to_owned(), format!("{folder}/index.m3u8"), "manifest.mpd".to_owned()];
            let heads = names.into_iter().chain([format!("{folder}/init.mp4")]).flat_map(|name| block(&files.0[&name]));
            heads.chain(files.0[&format!("{folder}/1.m4s")].iter().copied()).collect::<Vec<u8>>()
        });
        let transport = crate::check::tests::transport_segment(0, 0);
        let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nx.ts\n#EXTINF:6,\ny.ts\n";
        let vtt = b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n00:01.000 --> 00:02.000\nHi\n";
        let plain = [&transport[..], vtt]
            .map(|body| [block(&files.0["master.m3u8"]), block(text), block(b""), block(b""), body.to_vec()].concat());
        each_damaged(&[&seeds[..], &plain].concat(), 3_000, stream);
    }
}
