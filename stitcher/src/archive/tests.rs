use std::fs;

use vtp_engine::chunk::Sample;
use vtp_engine::index::FrameEntry;
use vtp_engine::ladder::{AudioCodec, Method, Search, ffv1 as held};
use vtp_engine::plan::Plan;
use vtp_engine::source::{AudioPurpose, Color, HdrMetadata, Rotation};
use vtp_engine::units::{ChunkIndex, PacketIndex, TimeBase};

use super::*;
use crate::proof::Violation;

/// Frames of a source whose clock ticks with 90 kHz.
const TIMES: [i64; 4] = [0, 3003, 6006, 30_000];

/// Behind bytes, what makes their checksum zero (RFC 9043 4.9.3).
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let step = |crc: u32, bit| if (crc >> 31) as u8 ^ bit == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 };
    [bytes, &bits.fold(0, step).to_be_bytes()].concat()
}

/// A frame of one slice of such bytes.
fn frame(byte: u8) -> Vec<u8> {
    with_checksum(&[&[byte; 100][..], &[0, 0, 100, 0]].concat())
}

fn video() -> VideoInfo {
    VideoInfo {
        stream: 0,
        codec: "rawvideo".to_owned(),
        time_base: TimeBase::per_second(90_000).unwrap(),
        size: Size { width: 720, height: 576 },
        sample_aspect: Ratio::new(16, 11).unwrap(),
        picture_aspect: None,
        rotation: Rotation { quarter_turns: 3, mirrored: true },
        pixel_format: "yuv422p10le".to_owned(),
        color: Color::BT709,
        hdr: HdrMetadata::default(),
        interlaced: true,
        top_field_first: Some(false),
        frame_rate: Ratio::new(30, 1).unwrap(),
    }
}

struct Scene {
    folder: tempfile::TempDir,
    index: Index,
    plan: Plan,
    archive: Archive,
}

impl Scene {
    /// Two chunks of two frames, and a track of sound.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let frames = TIMES.map(|pts| FrameEntry { packet: PacketIndex(0), pts });
        let index = Index::of(Vec::new(), frames.to_vec(), 3003);
        let chunk = |n: u32| ChunkPlan {
            index: ChunkIndex(n),
            frames: 2 * n..2 * n + 2,
            segments: n..n + 1,
            packets: 0..0,
            cost: 2.0,
        };
        let plan = Plan { segments: vec![0..2, 2..4], chunks: vec![chunk(0), chunk(1)], reason: None };
        let sound = AudioTrack {
            version_of: None,
            surround: false,
            codec: AudioCodec::Flac,
            language: Some("de".to_owned()),
            title: Some("Ton".to_owned()),
            default: false,
            purpose: AudioPurpose::Programme,
            sample_rate: 48_000,
            channels: 2,
            priming: 0,
            config: Vec::new(),
        };
        let rendition = held::rendition(&video()).unwrap();
        assert_eq!(rendition.method, Method::Ffv1);
        let spool = folder.path().to_owned();
        let archive = Archive::new(ArchiveSpec { rendition, video: video(), sound: vec![sound], spool });
        Self { folder, index, plan, archive }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A chunk as an encoder delivers it.
    fn chunk(&self, n: usize) -> EncodedRendition {
        let (frames, spool) = ([frame(n as u8), frame(n as u8 + 10)], self.path(&format!("chunk-{n}")));
        fs::write(&spool, frames.concat()).unwrap();
        let pts = |at: usize| TIMES[2 * n + at];
        let samples = frames.iter().enumerate();
        let samples = samples.map(|(at, frame)| Sample { pts: pts(at), size: frame.len() as u32, sync: true });
        EncodedRendition {
            rendition: held::NAME.to_owned(),
            config: with_checksum(b"configuration"),
            samples: samples.collect(),
            spool,
            encoder: "ffv1".to_owned(),
            crf: None,
            search: Search::Preset,
            fidelity: None,
            vmaf: None,
            outcome: None,
            encodings: 1,
        }
    }

    fn append(&mut self, n: usize, of: &EncodedRendition) -> Result<(), Error> {
        self.archive.append(&self.plan.chunks[n], of, &self.index)
    }

    /// 5000 samples, of which the header tells `told`.
    fn sound(&self, told: u64) -> ArchivedSound {
        let mut sound = self.archive.sound(0).unwrap();
        sound.frame(&[1; 300]).unwrap();
        sound.frame(&[2; 100]).unwrap();
        let packed: u64 = 48_000 << 44 | 1 << 41 | 15 << 36 | told;
        let streaminfo = [&[16, 0, 16, 0, 0, 0, 0, 0, 0, 0][..], &packed.to_be_bytes(), &[7; 16]].concat();
        sound.finish(5000, [&[0x80, 0, 0, 34][..], &streaminfo].concat()).unwrap()
    }

    fn write(&self, sound: &[ArchivedSound]) -> Result<FileReport, Error> {
        let clock = Clock { timescale: 90_000, multiplier: 1, origin: 0 };
        self.archive.write(Stop(&|| false), self.folder.path(), Durability::Buffered, (&self.index, clock), sound)
    }
}

#[test]
fn what_came_in_chunks_becomes_one_file_and_what_waited_is_gone() {
    let mut scene = Scene::new();
    for n in 0..2 {
        let chunk = scene.chunk(n);
        scene.append(n, &chunk).unwrap();
    }
    let report = scene.write(&[scene.sound(5000)]).unwrap();
    assert_eq!(
        (report.name.as_str(), report.video.as_str(), &report.audio[..]),
        (FILE, "ffv1", &["flac-de".to_owned()][..])
    );
    let bytes = fs::read(scene.path(FILE)).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    let has = |what: &[u8]| bytes.windows(what.len()).any(|it| it == what);
    assert!([0, 10, 1, 11].iter().all(|byte| has(&frame(*byte))) && has(&[1; 300]) && has(&[2; 100]));
    assert!(has(b"V_FFV1") && has(&with_checksum(b"configuration")) && has(b"A_FLAC") && has(b"fLaC\x80\0\0\x22"));
    assert!(has(&[0x2A, 0xD7, 0xB1, 0x82, 0x27, 0x10]), "ticks of 10 microseconds");
    assert!(has(&[0x9A, 0x81, 1, 0x9D, 0x81, 14]), "fields, the lower one first");
    assert!(has(&[0x54, 0xB0, 0x81, 20, 0x54, 0xBA, 0x81, 11, 0x54, 0xB2, 0x81, 3]), "20:11");
    assert!(has(&[&[0x76, 0x75, 0x88][..], &90.0_f64.to_be_bytes()].concat()), "three quarters clockwise");
    let left: Vec<_> = fs::read_dir(scene.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [FILE]);
}

#[test]
fn other_frames_another_configuration_and_missing_chunks_are_refused() {
    let mut scene = Scene::new();
    let mut chunk = scene.chunk(0);
    chunk.samples.swap(0, 1);
    assert!(matches!(
        scene.append(0, &chunk),
        Err(Error::Cut { source: cut::Error::Frame { got: 3003, due: 0, .. }, .. })
    ));
    chunk.samples.pop();
    assert!(matches!(scene.append(0, &chunk), Err(Error::Cut { source: cut::Error::Count { .. }, .. })));
    let chunk = EncodedRendition { config: b"configuration".to_vec(), ..scene.chunk(0) };
    assert!(matches!(scene.append(0, &chunk), Err(Error::Boxes { .. })), "a record without its checksum");
    let chunk = scene.chunk(0);
    scene.append(0, &chunk).unwrap();
    let chunk = EncodedRendition { config: with_checksum(b"another"), ..scene.chunk(1) };
    assert!(matches!(scene.append(1, &chunk), Err(Error::Config { .. })));
    assert!(matches!(scene.write(&[scene.sound(5000)]), Err(Error::Layout(_))));
    assert!(matches!(scene.write(&[]), Err(Error::MissingAudio { .. })));
}

#[test]
fn a_frame_that_is_damaged_and_sound_of_another_length_are_not_published() {
    let mut scene = Scene::new();
    for n in 0..2 {
        let chunk = scene.chunk(n);
        scene.append(n, &chunk).unwrap();
    }
    assert!(matches!(scene.write(&[scene.sound(4999)]), Err(Error::Boxes { .. })));
    let mut bytes = fs::read(scene.path("chunk-1")).unwrap();
    bytes[30] ^= 1;
    fs::write(scene.path("chunk-1"), bytes).unwrap();
    let refused = scene.write(&[scene.sound(5000)]);
    assert!(
        matches!(&refused, Err(Error::NotProved(Violation::Unreadable { reason, .. })) if reason.contains("checksum")),
        "{refused:?}"
    );
    assert!(!scene.path(FILE).exists());
}

#[test]
fn shapes_are_told_in_pixels_where_that_is_exact() {
    let size = Size { width: 720, height: 576 };
    let of = |num, den| display(size, Ratio::new(num, den).unwrap());
    assert_eq!(of(1, 1), Display::Pixels(size));
    assert_eq!(of(64, 45), Display::Pixels(Size { width: 1024, height: 576 }));
    assert_eq!(of(16, 11), Display::Aspect(Size { width: 20, height: 11 }));
}

#[test]
fn ticks_are_no_longer_than_the_sources_own_and_at_most_a_millisecond() {
    let tick = |num, den| tick_ns(TimeBase(Ratio::new(num, den).unwrap()));
    assert_eq!([tick(1, 25), tick(1, 1000), tick(1001, 30_000)], [1_000_000; 3]);
    assert_eq!([tick(1, 12_800), tick(1, 90_000), tick(1, 48_000)], [10_000; 3]);
    assert_eq!([tick(1, 1_000_000), tick(1, 10_000_000)], [1000; 2]);
}
