//! Whatever fails at random, packets, encoder or spool: a chunk comes out as it would have otherwise, or not at all, with an
//! error that says whether to try again. Each run prints its seed.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use crate::common::{Clip, capped, generate};
use vtp_encoder_node::{
    Class, Equipment, Error, Extractors, PacketSource, Spool, SpoolFolder, SpoolWriter, encode_chunk,
};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, Sample};
use vtp_engine::ladder::Rendition;
use vtp_engine::media::demux::SourcePacket;
use vtp_engine::media::encode::{self, SampleSink, VideoEncoder};
use vtp_engine::media::{self, Kind, Picture};
use vtp_engine::units::PacketIndex;

/// Fails now and then.
struct Chance {
    random: Mutex<fastrand::Rng>,
    one_in: u32,
}

impl Chance {
    fn new(seed: u64, one_in: u32) -> Self {
        Self { random: Mutex::new(fastrand::Rng::with_seed(seed)), one_in }
    }

    fn strikes(&self) -> bool {
        self.random.lock().unwrap().u32(0..self.one_in) == 0
    }

    fn io(&self) -> io::Result<()> {
        if self.strikes() { Err(io::Error::other("by chance")) } else { Ok(()) }
    }
}

/// A spool that fails by chance.
struct FaultySpool<'a>(SpoolFolder, &'a Chance);

impl Spool for FaultySpool<'_> {
    fn begin(&self, task: &EncodeTask, rendition: &Rendition) -> io::Result<Box<dyn SpoolWriter + '_>> {
        self.1.io()?;
        Ok(Box::new(FaultyWriter(self.0.begin(task, rendition)?, self.1)))
    }
}

struct FaultyWriter<'a>(Box<dyn SpoolWriter + 'a>, &'a Chance);

impl SpoolWriter for FaultyWriter<'_> {
    fn write(&mut self, sample: Sample, bytes: &[u8]) -> io::Result<()> {
        self.1.io()?;
        self.0.write(sample, bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<PathBuf> {
        self.1.io()?;
        self.0.finish()
    }
}

/// Packets that fail by chance.
struct FaultyPackets<'a>(Box<dyn PacketSource + 'a>, &'a Chance);

impl PacketSource for FaultyPackets<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
        match self.1.strikes() {
            true => Err(Error::Packets { message: "by chance".to_owned(), class: Class::Retryable }),
            false => self.0.next(),
        }
    }
}

/// An encoder that fails by chance.
struct FaultyEncoder<'a>(Box<dyn VideoEncoder>, &'a Chance);

impl FaultyEncoder<'_> {
    fn strike(&self) -> Result<(), media::Error> {
        match self.1.strikes() {
            true => Err(media::Error::new(Kind::Retryable, "by chance")),
            false => Ok(()),
        }
    }
}

impl VideoEncoder for FaultyEncoder<'_> {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), media::Error> {
        self.strike()?;
        self.0.send(picture, pts, force_idr, sink)
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), media::Error> {
        self.strike()?;
        self.0.finish(sink)
    }

    fn config(&self) -> &[u8] {
        self.0.config()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

fn bytes(chunk: &EncodedChunk) -> Vec<Vec<u8>> {
    chunk.renditions.iter().map(|rendition| std::fs::read(&rendition.spool).unwrap()).collect()
}

#[test]
fn whatever_fails_by_chance_the_chunk_is_right_or_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=0.6", "-c:v", "libx264", "-g", "15"];
    let Some(path) = generate(folder.path(), "in.mp4", &arguments) else { return };
    let clip = Clip::open(&path);
    let mut task = clip.task(0, 0..clip.packets, 15, folder.path());
    task.renditions = vec![capped("large", 160, 90, 1_000_000), capped("small", 80, 44, 300_000)];
    let (extractors, never) = (Extractors::for_workers(std::num::NonZeroUsize::MIN), AtomicBool::new(false));
    let plain = Equipment::new(&clip.parameters, &extractors, &never);
    let expected = bytes(&encode_chunk(&task, &mut clip.source(0..clip.packets), &plain).unwrap());
    let (mut made, mut failed) = (0, 0);
    for seed in 0..120 {
        eprintln!("seed {seed}");
        let chance = Chance::new(seed, 60);
        let open = |video: &_, rendition: &_, shape| -> Result<Box<dyn VideoEncoder>, media::Error> {
            // Encoders outlive what opens them in their type alone: the chance is leaked for the test's length.
            let chance: &'static Chance = Box::leak(Box::new(Chance::new(seed ^ 1, 60)));
            Ok(Box::new(FaultyEncoder(encode::open(video, rendition, shape)?, chance)))
        };
        let equipment = Equipment { spool: &FaultySpool(SpoolFolder::Buffered, &chance), open: &open, ..plain };
        let mut packets = FaultyPackets(Box::new(clip.source(0..clip.packets)), &chance);
        match encode_chunk(&task, &mut packets, &equipment) {
            Ok(chunk) => {
                assert_eq!(bytes(&chunk), expected, "seed {seed}");
                made += 1;
            }
            Err(error) => {
                assert_eq!(error.class(), Class::Retryable, "seed {seed}: {error}");
                assert!(error.to_string().contains("by chance"), "seed {seed}: {error}");
                failed += 1;
            }
        }
    }
    assert!(made > 5 && failed > 5, "{made} were made, {failed} failed");
}
