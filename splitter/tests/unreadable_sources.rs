//! Sources whose bytes can't all be read, at once or after a while.

#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vtp_engine::ladder::AudioCodec;
use vtp_engine::media::audio::{AudioMode, AudioRequest, AudioTask, Speakers};
use vtp_engine::media::demux::{ReadAt, SourceFile};
use vtp_engine::media::{self, Kind};
use vtp_engine::pcm::Moment;
use vtp_engine::units::TimeBase;
use vtp_splitter::{ChunkReader, Error, Source};

use common::generate;

/// A file on a disk that fails from one byte on.
#[derive(Debug)]
struct Flaky {
    bytes: Vec<u8>,
    readable: Arc<AtomicU64>,
}

impl ReadAt for Flaky {
    fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<usize> {
        let readable = self.readable.load(Ordering::Relaxed);
        if place >= readable {
            return Err(io::Error::from_raw_os_error(5));
        }
        let end = self.size()?.min(readable);
        let rest = &self.bytes[place.min(end) as usize..end as usize];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

/// The file at `path`, all of which is readable until the value beside it says otherwise.
fn flaky(path: &Path) -> (SourceFile, Arc<AtomicU64>) {
    media::silence_log();
    let readable = Arc::new(AtomicU64::new(u64::MAX));
    let file = Flaky { bytes: std::fs::read(path).unwrap(), readable: Arc::clone(&readable) };
    (SourceFile::of(file, path).unwrap(), readable)
}

/// Ten seconds of picture and sound, too large to be read in one go.
fn clip(folder: &Path, name: &str) -> Option<PathBuf> {
    let streams = "-f lavfi -i testsrc2=s=480x270:r=25:d=10 -f lavfi -i sine=440:r=48000:d=10";
    generate(folder, name, &format!("{streams} -c:v mpeg2video -g 12 -q:v 2 -c:a mp2 -movflags +faststart"))
}

fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Internal(error) if error.kind() == Kind::Retryable)
}

#[test]
fn a_source_of_which_a_part_cannot_be_read_has_no_index_and_may_have_one_later() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["clip.ts", "clip.mp4", "clip.mkv", "clip.avi"] {
        let Some(path) = clip(folder.path(), name) else { return };
        let (file, readable) = flaky(&path);
        for share in [0.0, 0.25, 0.5, 0.75, 0.999] {
            readable.store((file.size() as f64 * share) as u64, Ordering::Relaxed);
            let error = Source::read(&file, &mut || {}).expect_err(name);
            assert!(may_pass(&error), "{name} at {share}: {error:?}");
        }
        readable.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(Source::read(&file, &mut || {}).unwrap().index.frames.len(), 250, "{name}");
    }
}

#[test]
fn frames_are_not_listed_by_decoding_a_source_that_cannot_be_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = clip(folder.path(), "clip.ts") else { return };
    let (file, readable) = flaky(&path);
    let source = Source::read(&file, &mut || {}).unwrap();
    readable.store(file.size() / 2, Ordering::Relaxed);
    let error = source.with_census(&file, "a test", &mut || {}).unwrap_err();
    assert!(may_pass(&error), "{error:?}");
}

#[test]
fn a_chunk_that_could_not_be_read_is_read_when_it_can_be_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["clip.ts", "clip.mp4", "clip.mkv", "clip.avi"] {
        let Some(path) = clip(folder.path(), name) else { return };
        let (file, readable) = flaky(&path);
        let source = Source::read(&file, &mut || {}).unwrap();
        let (packets, index) = (source.index.packets.len() as u32, Arc::new(source.index.clone()));
        let mut reader = ChunkReader::new(&file, &source, index).unwrap();
        let mut read = |from: u32| {
            reader.start(from..packets)?;
            let mut places = Vec::new();
            while let Some((place, _)) = reader.next_packet(&mut || {})? {
                places.push(place.0);
            }
            Ok(places)
        };
        readable.store(file.size() / 2, Ordering::Relaxed);
        let error = read(0).unwrap_err();
        assert!(may_pass(&error), "{name}: {error:?}");
        readable.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(read(packets - 30).unwrap(), (packets - 30..packets).collect::<Vec<_>>(), "{name}");
        assert_eq!(read(0).unwrap(), (0..packets).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn sound_that_cannot_be_read_to_its_end_is_not_made_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = clip(folder.path(), "clip.mkv") else { return };
    for loudness in [None, Some(-23.0)] {
        let (file, readable) = flaky(&path);
        let source = Source::read(&file, &mut || {}).unwrap();
        let request = AudioRequest {
            info: source.info.audio[0].clone(),
            shifts: source.audio_shifts[0].clone(),
            mode: AudioMode::Encode,
            codec: AudioCodec::Aac,
            speakers: Speakers::Stereo,
            loudness,
            until: None,
        };
        let origin = Moment { ticks: 0, time_base: TimeBase::per_second(1000).unwrap() };
        let task = AudioTask::open(&source.container(&file), &[request], origin).unwrap();
        readable.store(file.size() / 2, Ordering::Relaxed);
        let made = task.run::<media::Error>(&AtomicBool::new(false), &mut |_| {}, &mut |_, _| Ok(()));
        assert!(matches!(&made, Err(error) if error.kind() == Kind::Retryable), "{loudness:?}: {made:?}");
    }
}

#[test]
fn a_source_that_was_cut_short_since_it_was_indexed_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = clip(folder.path(), "clip.ts") else { return };
    let file = SourceFile::open(&path).unwrap();
    let source = Source::read(&file, &mut || {}).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(file.size() / 2).unwrap();
    assert_eq!(source.with_census(&file, "a test", &mut || {}), Err(Error::Changed));
}
