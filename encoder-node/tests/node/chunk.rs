//! What a chunk's encoding promises, on real and generated clips.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Clip, Packets, archive, capped, decode_joined, generate, shared};
use vtp_encoder_node::{Class, Error, Observer, PacketSource};
use vtp_engine::chunk::{EncodeTask, EncodedChunk};
use vtp_engine::index::FrameEntry;
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::media::demux::SourcePacket;
use vtp_engine::units::{PacketIndex, Ratio, Size};

fn encode(clip: &Clip, task: &EncodeTask, packets: std::ops::Range<u32>) -> Result<EncodedChunk, Error> {
    clip.encode(task, &mut clip.source(packets), &(), &AtomicBool::new(false))
}

fn assert_times(task: &EncodeTask, chunk: &EncodedChunk) {
    for rendition in &chunk.renditions {
        let mut times: Vec<_> = rendition.samples.iter().map(|sample| sample.pts).collect();
        times.sort_unstable();
        let expected: Vec<_> = task.frames.iter().map(|frame| frame.pts).collect();
        assert_eq!(times, expected, "{}", rendition.rendition);
    }
}

#[test]
fn two_chunks_of_a_real_clip_join_into_one_clean_stream() {
    let Some(path) = shared("main/motorway_540p60.mp4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::open(&path);
    let (cut, end) = (clip.keys[2], clip.keys[3]);
    let mut chunks = Vec::new();
    for (index, packets) in [0..cut, cut..end].into_iter().enumerate() {
        let mut task = clip.task(index as u32, packets.clone(), 25, folder.path());
        task.renditions = vec![capped("own", 960, 540, 1_500_000), capped("small", 426, 240, 400_000)];
        let chunk = encode(&clip, &task, packets).unwrap();
        assert_eq!((chunk.chunk, chunk.attempt), (task.chunk, task.attempt));
        assert_times(&task, &chunk);
        assert!(chunk.cpu.decode_s > 0.0 && chunk.cpu.scale_s > 0.0 && chunk.cpu.encode_s > 0.0);
        chunks.push(chunk);
    }
    for rendition in 0..2 {
        let joined: Vec<_> = chunks.iter().map(|chunk| &chunk.renditions[rendition]).collect();
        assert_eq!(decode_joined(folder.path(), &joined).len(), end as usize);
    }
}

#[test]
fn a_lossless_chunk_decodes_to_the_very_samples_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["torture/d_h264_hi422_10bit_1080i.mp4", "torture/d_h264_vfr_dropped.mp4", "torture/av1.mkv"];
    for path in names.into_iter().filter_map(shared) {
        let clip = Clip::open(&path);
        let packets = 0..clip.packets.min(40);
        let mut task = clip.task(0, packets.clone(), 10, folder.path());
        task.renditions = vec![archive(clip.video.size)];
        let chunk = encode(&clip, &task, packets.clone()).unwrap();
        assert_times(&task, &chunk);
        let all = clip.frames.iter().zip(&clip.hashes);
        let of_chunk: Vec<_> = all.filter(|(f, _)| packets.contains(&f.packet.0)).map(|(_, hash)| *hash).collect();
        let hashes = decode_joined(folder.path(), &[&chunk.renditions[0]]);
        assert_eq!(hashes, of_chunk, "{}", path.display());
    }
}

#[test]
fn an_interlaced_source_comes_out_with_as_many_frames() {
    let folder = tempfile::tempdir().unwrap();
    let made = ["-f", "lavfi", "-i", "testsrc2=s=720x576:r=50:d=1.2", "-vf", "interlace", "-c:v", "mpeg2video"];
    let made: Vec<_> = made.into_iter().chain(["-flags", "+ildct+ilme", "-bf", "2", "-q:v", "2"]).collect();
    let Some(path) = generate(folder.path(), "interlaced.ts", &made) else { return };
    let clip = Clip::open(&path);
    assert!(clip.video.interlaced);
    let mut task = clip.task(0, 0..clip.packets, 25, folder.path());
    task.renditions = vec![capped("small", 360, 288, 400_000), archive(clip.video.size)];
    let chunk = encode(&clip, &task, 0..clip.packets).unwrap();
    assert_times(&task, &chunk);
    assert_eq!(decode_joined(folder.path(), &[&chunk.renditions[0]]).len(), 30);
    assert_eq!(decode_joined(folder.path(), &[&chunk.renditions[1]]), clip.hashes);
}

#[test]
fn the_same_task_gives_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let made = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-c:v", "libx264", "-bf", "2"];
    let Some(path) = generate(folder.path(), "clip.mp4", &made) else { return };
    let clip = Clip::open(&path);
    let mut task = clip.task(0, 0..clip.packets, 20, folder.path());
    task.renditions = vec![capped("own", 320, 240, 300_000), capped("small", 160, 120, 100_000)];
    let bytes = |chunk: &EncodedChunk| -> Vec<Vec<u8>> {
        chunk.renditions.iter().map(|rendition| std::fs::read(&rendition.spool).unwrap()).collect()
    };
    let first = bytes(&encode(&clip, &task, 0..clip.packets).unwrap());
    assert_eq!(bytes(&encode(&clip, &task, 0..clip.packets).unwrap()), first);
}

/// Counts frames, and raises a flag at the tenth.
struct Tenth<'a> {
    frames: AtomicU32,
    raise: &'a AtomicBool,
    raised: Mutex<Option<Instant>>,
}

impl Observer for Tenth<'_> {
    fn frames_encoded(&self, _rendition: &str, frames: u32) {
        if self.frames.fetch_add(frames, Ordering::Relaxed) == 9 {
            *self.raised.lock().unwrap() = Some(Instant::now());
            self.raise.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_cancelled_chunk_returns_within_a_few_frames() {
    let Some(path) = shared("main/motorway_540p60.mp4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::open(&path);
    let mut task = clip.task(0, 0..clip.packets, 60, folder.path());
    task.renditions = vec![capped("own", 960, 540, 1_500_000), capped("small", 426, 240, 400_000)];
    let cancel = AtomicBool::new(false);
    let observer = Tenth { frames: AtomicU32::new(0), raise: &cancel, raised: Mutex::new(None) };
    let result = clip.encode(&task, &mut clip.source(0..clip.packets), &observer, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    let raised = observer.raised.lock().unwrap().expect("ten frames were encoded");
    assert!(raised.elapsed() < Duration::from_secs(30), "{:?}", raised.elapsed());
    assert!(observer.frames.load(Ordering::Relaxed) < 200);
}

fn small_clip(folder: &std::path::Path) -> Option<Clip> {
    let made = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2", "-c:v", "libx264", "-g", "25"];
    generate(folder, "clip.mp4", &made).map(|path| Clip::open(&path))
}

#[test]
fn a_frame_that_does_not_come_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let mut task = clip.task(0, 0..25, 25, folder.path());
    task.renditions = vec![capped("own", 160, 120, 300_000)];
    let last = *task.frames.last().unwrap();
    task.frames.push(FrameEntry { packet: PacketIndex(9999), pts: last.pts + 1 });
    match encode(&clip, &task, 0..25) {
        Err(error @ Error::FrameMismatch { .. }) => {
            assert_eq!(error.class(), Class::Permanent);
            assert!(error.to_string().contains("9999"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_picture_of_a_packet_that_the_index_calls_hidden_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let mut task = clip.task(0, 0..25, 25, folder.path());
    task.renditions = vec![capped("own", 160, 120, 300_000)];
    let shown = task.frames.pop().unwrap();
    assert!(encode(&clip, &task, 0..25).is_ok(), "it belongs to another chunk");
    task.hidden = vec![shown.packet];
    match encode(&clip, &task, 0..25) {
        Err(Error::FrameMismatch { missing_count: 0, extra, .. }) => assert_eq!(extra, [shown.packet]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spool_that_can_not_be_written_ends_the_chunk_and_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let mut task = clip.task(0, 0..clip.packets, 25, folder.path());
    task.renditions = vec![capped("own", 160, 120, 300_000), capped("small", 80, 60, 100_000)];
    task.spool = folder.path().join("nowhere");
    let error = encode(&clip, &task, 0..clip.packets).unwrap_err();
    assert!(matches!(error, Error::Spool { .. }), "{error}");
    assert_eq!(error.class(), Class::Retryable);
}

/// Fails after some packets.
struct Failing(Packets, u32);

impl PacketSource for Failing {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
        if self.1 == 0 {
            return Err(Error::Packets { message: "the origin is gone".to_owned(), class: Class::Retryable });
        }
        self.1 -= 1;
        self.0.next()
    }
}

fn stills(name: &str, width: u32, height: u32, positions: &[u32]) -> Rendition {
    let method = Method::Stills { positions: positions.to_vec() };
    Rendition { name: name.to_owned(), size: Size { width, height }, sample_aspect: Ratio::ONE, method }
}

#[test]
fn pictures_by_themselves_are_made_of_the_wanted_frames_alone_or_beside_an_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let mut task = clip.task(0, 0..clip.packets, 25, folder.path());
    task.renditions = vec![stills("thumbnails", 40, 30, &[0, 7, 49])];
    let alone = encode(&clip, &task, 0..clip.packets).unwrap();
    let [made] = &alone.renditions[..] else { panic!("{alone:?}") };
    let told: Vec<_> = made.samples.iter().map(|it| (it.pts, it.size, it.sync)).collect();
    assert_eq!(told, [0, 7, 49].map(|position: usize| (task.frames[position].pts, 40 * 30 * 3, true)));
    let bytes = std::fs::read(&made.spool).unwrap();
    assert_eq!(bytes.len(), 3 * 40 * 30 * 3);
    assert_ne!(bytes[..3600], bytes[3600..7200], "the clip moves");
    task.renditions.insert(0, capped("own", 160, 120, 300_000));
    task.renditions.push(stills("poster", 160, 120, &[25]));
    let beside = encode(&clip, &task, 0..clip.packets).unwrap();
    assert_eq!(beside.renditions[0].samples.len(), task.frames.len());
    assert_eq!(std::fs::read(&beside.renditions[1].spool).unwrap(), bytes);
    assert_eq!(beside.renditions[2].samples.len(), 1);
}

#[test]
fn a_failing_packet_source_ends_the_chunk_with_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let mut task = clip.task(0, 0..clip.packets, 25, folder.path());
    task.renditions = vec![capped("own", 160, 120, 300_000)];
    let mut source = Failing(clip.source(0..clip.packets), 20);
    let error = clip.encode(&task, &mut source, &(), &AtomicBool::new(false)).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.class()), ("the origin is gone", Class::Retryable));
}

#[test]
fn a_task_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = small_clip(folder.path()) else { return };
    let good = clip.task(0, 0..clip.packets, 25, folder.path());
    let changes: [fn(&mut EncodeTask); 7] = [
        |task| task.frames.clear(),
        |task| task.frames.swap(0, 1),
        |task| task.segment_starts = vec![1],
        |task| task.segment_starts = vec![0, 20, 20],
        |task| task.segment_starts.push(5000),
        |task| task.renditions = vec![stills("thumbnails", 40, 30, &[3, 3])],
        |task| task.renditions = vec![stills("thumbnails", 40, 30, &[5000])],
    ];
    for change in changes {
        let mut task = good.clone();
        change(&mut task);
        assert!(matches!(encode(&clip, &task, 0..clip.packets), Err(Error::Task { .. })));
    }
}
