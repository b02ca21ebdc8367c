//! The cache with an encoder that only writes what it is told to, and counts.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use proptest::prelude::*;
use vtp_engine::ladder::Method;
use vtp_engine::media::demux::SourcePacket;
use vtp_engine::quality::{Check, Sampling, Target};
use vtp_engine::units::{ChunkIndex, PacketIndex};

use super::*;
use crate::testing::{encoded_chunk, rendition, task};
use crate::{Error, PacketSource};

/// Packets with these bytes.
struct Packets<'a>(std::iter::Enumerate<std::slice::Iter<'a, &'a [u8]>>);

impl PacketSource for Packets<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
        let next = self.0.next().map(|(at, data)| Ok((PacketIndex(at as u32), SourcePacket::of(data)?)));
        next.transpose()
    }
}

fn source(packets: &[&[u8]]) -> SourceHash {
    SourceHash::of(&mut Packets(packets.iter().enumerate())).unwrap()
}

struct Scene {
    folder: tempfile::TempDir,
    cache: Cache,
    /// Names of the renditions that were encoded, a call a line.
    encoded: RefCell<Vec<String>>,
    runs: Cell<u32>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        Self { folder, cache, encoded: RefCell::default(), runs: Cell::new(0) }
    }

    /// A task whose spool folder is new.
    fn task(&self) -> EncodeTask {
        self.runs.set(self.runs.get() + 1);
        let spool = self.folder.path().join(format!("spool-{}", self.runs.get()));
        fs::create_dir(&spool).unwrap();
        task(&spool, Some(Check { sampling: Sampling::DEFAULT, target: Target::default() }))
    }

    fn run(&self, source: &SourceHash, task: &EncodeTask) -> EncodedChunk {
        let encode = |task: &EncodeTask| {
            let names: Vec<&str> = task.renditions.iter().map(|it| it.name.as_str()).collect();
            self.encoded.borrow_mut().push(names.join(" "));
            Ok::<_, Infallible>(encoded_chunk(task, |_, crf| 100.0 - crf))
        };
        self.cache.encode(source, b"headers", task, &(), encode).unwrap()
    }

    fn encoded(&self) -> Vec<String> {
        std::mem::take(&mut *self.encoded.borrow_mut())
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn entries(&self) -> Vec<PathBuf> {
        let mut entries = files(&self.folder(), |_| true).unwrap();
        entries.sort();
        entries
    }
}

/// All but where it is spooled.
fn without_spool(chunk: EncodedChunk) -> Vec<EncodedRendition> {
    let clear = |it| EncodedRendition { spool: PathBuf::new(), ..it };
    chunk.renditions.into_iter().map(clear).collect()
}

#[test]
fn what_was_encoded_once_is_not_encoded_again() {
    let scene = Scene::new();
    let first = scene.run(&source(&[b"packet"]), &scene.task());
    let second = scene.run(&source(&[b"packet"]), &scene.task());
    assert_eq!(scene.encoded(), ["large small"]);
    assert_eq!((scene.cache.reused(), scene.cache.trouble()), (2, None));
    for (one, other) in first.renditions.iter().zip(&second.renditions) {
        assert_ne!(one.spool, other.spool);
        assert!(fs::read(&other.spool).unwrap().starts_with(format!("samples of {} at 23", one.rendition).as_bytes()));
    }
    assert_eq!(without_spool(first), without_spool(second));
}

#[test]
fn a_new_rung_is_all_that_is_encoded() {
    let scene = Scene::new();
    let hash = source(&[b"packet"]);
    scene.run(&hash, &scene.task());
    let mut task = scene.task();
    let mut middle = rendition("middle");
    middle.size.width = 48;
    task.renditions.insert(1, middle);
    let chunk = scene.run(&hash, &task);
    assert_eq!(scene.encoded(), ["large small", "middle"]);
    let names: Vec<&str> = chunk.renditions.iter().map(|it| it.rendition.as_str()).collect();
    assert_eq!(names, ["large", "middle", "small"]);
}

#[test]
fn another_name_or_target_or_attempt_changes_nothing() {
    let scene = Scene::new();
    let hash = source(&[b"packet"]);
    scene.run(&hash, &scene.task());
    scene.encoded();
    let mut task = scene.task();
    task.renditions[0].name = "big".to_owned();
    task.attempt.0 = 3;
    task.check = task.check.map(|check| Check { target: Target { mean: 50.0, ..check.target }, ..check });
    let chunk = scene.run(&hash, &task);
    assert_eq!(scene.encoded(), [""; 0]);
    assert_eq!(chunk.renditions[0].rendition, "big");
}

/// A change to a task, or to its source.
type Change = fn(&mut EncodeTask);

#[test]
fn whatever_decides_the_bytes_or_the_scores_is_part_of_the_key() {
    let changes: [(&str, Change); 13] = [
        ("size", |task| task.renditions.iter_mut().for_each(|it| it.size.height = 40)),
        ("factor", |task| task.renditions.iter_mut().for_each(|it| *it = it.at_factor(20.0))),
        ("cap", |task| {
            task.renditions.iter_mut().for_each(|it| {
                if let Method::Capped { max_rate, .. } = &mut it.method {
                    max_rate.0 += 1;
                }
            });
        }),
        ("place", |task| task.chunk = ChunkIndex(1)),
        ("end", |task| task.last = false),
        ("time", |task| task.frames[3].pts += 1),
        ("number of frames", |task| task.frames.truncate(24)),
        ("neighbours", |task| task.context.0 = task.frames[..1].to_vec()),
        ("segments", |task| task.segment_starts.push(12)),
        ("colour", |task| task.video.color.matrix = 5),
        ("decoding", |task| task.one_frame_a_packet = false),
        ("pictures that are made up", |task| task.concealed = true),
        ("sampling", |task| task.check = Some(Check { sampling: Sampling::FULL, target: Target::default() })),
    ];
    let scene = Scene::new();
    let hash = source(&[b"packet"]);
    scene.run(&hash, &scene.task());
    for (what, change) in changes {
        scene.encoded();
        let mut task = scene.task();
        change(&mut task);
        scene.run(&hash, &task);
        assert_eq!(scene.encoded(), ["large small"], "{what}");
    }
    for other in [source(&[b"packed"]), source(&[b"packet", b""]), source(&[b"pack", b"et"])] {
        scene.encoded();
        scene.run(&other, &scene.task());
        assert_eq!(scene.encoded(), ["large small"]);
    }
}

#[test]
fn a_failed_encode_keeps_nothing() {
    let scene = Scene::new();
    let failed = scene.cache.encode(&source(&[b"packet"]), b"headers", &scene.task(), &(), |_| Err("failed"));
    assert_eq!(failed.unwrap_err(), "failed");
    assert_eq!(usage(&scene.folder()).unwrap(), Usage::default());
}

#[test]
fn an_encoding_that_cannot_be_kept_is_delivered_and_told() {
    let scene = Scene::new();
    fs::remove_dir(scene.folder()).unwrap();
    fs::write(scene.folder(), "a file").unwrap();
    let chunk = scene.run(&source(&[b"packet"]), &scene.task());
    assert_eq!(chunk.renditions.len(), 2);
    assert!(chunk.renditions.iter().all(|it| fs::read(&it.spool).unwrap().starts_with(b"samples of ")));
    assert!(scene.cache.trouble().is_some());
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let scene = Scene::new();
    let hashes = [source(&[b"a"]), source(&[b"b"]), source(&[b"c"])];
    for hash in &hashes {
        scene.run(hash, &scene.task());
        std::thread::sleep(Duration::from_millis(20));
    }
    scene.run(&hashes[0], &scene.task());
    scene.encoded();
    let Usage { entries, bytes } = usage(&scene.folder()).unwrap();
    assert_eq!(entries, 6);
    assert_eq!(trim(&scene.folder(), bytes).unwrap(), Usage::default());
    assert_eq!(trim(&scene.folder(), bytes * 2 / 3).unwrap().entries, 2);
    hashes.iter().for_each(|hash| drop(scene.run(hash, &scene.task())));
    assert_eq!(scene.encoded(), ["large small"], "only b had to be made again");
    assert_eq!(trim(&scene.folder(), 0).unwrap().entries, 6);
    assert_eq!(usage(&scene.folder()).unwrap(), Usage::default());
}

#[test]
fn a_folder_that_is_not_there_holds_nothing() {
    let scene = Scene::new();
    let nowhere = scene.folder.path().join("nowhere");
    assert_eq!(usage(&nowhere).unwrap(), Usage::default());
    assert_eq!(trim(&nowhere, 0).unwrap(), Usage::default());
}

#[test]
fn a_delivered_spool_file_may_be_deleted_and_one_that_is_made_again_leaves_the_kept_one_alone() {
    let scene = Scene::new();
    let hash = source(&[b"packet"]);
    let first = scene.run(&hash, &scene.task());
    first.renditions.iter().for_each(|it| fs::remove_file(&it.spool).unwrap());
    let task = scene.task();
    let again = scene.run(&hash, &task);
    assert_eq!(without_spool(again), without_spool(scene.run(&hash, &task)), "into the same folder twice");
    assert_eq!(scene.encoded(), ["large small"]);
}

#[test]
fn an_entry_that_holds_another_encoding_is_made_again() {
    let scene = Scene::new();
    let whole = without_spool(scene.run(&source(&[b"packet"]), &scene.task()));
    scene.encoded();
    let entries = scene.entries();
    let [one, other] = &*entries else { panic!("{entries:?}") };
    let (ours, theirs) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    for (entry, bytes) in [(one, theirs), (other, ours)] {
        fs::remove_file(entry).unwrap();
        fs::write(entry, bytes).unwrap();
    }
    assert_eq!(without_spool(scene.run(&source(&[b"packet"]), &scene.task())), whole);
    assert_eq!(scene.encoded(), ["large small"]);
}

#[test]
fn what_another_process_of_the_same_number_has_half_copied_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let halves: Vec<_> =
        (0..1000).map(|count| folder.path().join(format!("{TEMPORARY}{}-{count}", std::process::id()))).collect();
    halves.iter().for_each(|half| fs::write(half, "half").unwrap());
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, "whole").unwrap();
    Cache::open(folder.path()).unwrap();
    copy(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"whole");
    assert!(halves.iter().all(|half| fs::read(half).unwrap() == b"half"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), halves.len() + 2);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&to), mode(&from));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A torn tail, a flipped bit, bytes too many: wherever an entry is damaged, it is told and made again.
    #[test]
    fn a_damaged_entry_is_never_used(at in 0.0..1.0_f64, kind in 0..3) {
        let scene = Scene::new();
        let hash = source(&[b"packet"]);
        let whole = without_spool(scene.run(&hash, &scene.task()));
        scene.encoded();
        for entry in scene.entries() {
            let mut bytes = fs::read(&entry).unwrap();
            let place = (bytes.len() as f64 * at) as usize;
            match kind {
                0 => bytes.truncate(place),
                1 => bytes[place] ^= 0x10,
                _ => bytes.insert(place, 0),
            }
            // As another file: spool files that share the old one are not touched.
            fs::remove_file(&entry).unwrap();
            fs::write(&entry, bytes).unwrap();
        }
        prop_assert_eq!(without_spool(scene.run(&hash, &scene.task())), whole);
        prop_assert_eq!(scene.encoded(), ["large small"]);
        scene.run(&hash, &scene.task());
        prop_assert_eq!(scene.encoded(), [""; 0], "it is whole again");
    }
}
