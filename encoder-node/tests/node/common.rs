//! A clip cut into tasks by hand, and what came of them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use vtp_encoder_node::{Equipment, Error, Extractors, Observer, OpenEncoder, PacketSource, encode_chunk};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition};
use vtp_engine::index::FrameEntry;
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::limits::Limits;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{CodecParameters, Demuxer, Medium, SourcePacket};
use vtp_engine::media::{self, Picture};
use vtp_engine::nal;
use vtp_engine::source::{HdrMetadata, VideoInfo};
use vtp_engine::units::{Attempt, BitRate, ChunkIndex, PacketIndex, Ratio, Size};

/// A clip whose frames were found by decoding it once.
pub(crate) struct Clip {
    pub(crate) path: PathBuf,
    pub(crate) video: VideoInfo,
    pub(crate) parameters: CodecParameters,
    pub(crate) packets: u32,
    pub(crate) keys: Vec<u32>,
    pub(crate) frames: Vec<FrameEntry>,
    /// Of every frame's samples.
    pub(crate) hashes: Vec<u32>,
}

/// A real clip of the shared media folder; `None`, with a word about it, where that is not there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|folder| Some(folder.join("shared/media").join(name)).filter(|path| path.exists()));
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not here");
    }
    found
}

/// A clip made by the `ffmpeg` command; `None`, with a word about it, where there is none.
pub(crate) fn generate(folder: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let path = folder.join(name);
    match Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(&path).status() {
        Ok(status) => {
            assert!(status.success(), "ffmpeg makes {name}");
            Some(path)
        }
        Err(error) => {
            eprintln!("SKIPPED: no ffmpeg command to make {name} with ({error})");
            None
        }
    }
}

impl Clip {
    pub(crate) fn open(path: &Path) -> Self {
        media::silence_log();
        let mut demuxer = Demuxer::open(path).unwrap();
        let stream = demuxer.streams().into_iter().find(|s| s.medium == Medium::Video).unwrap();
        let parameters = demuxer.parameters(stream.index).unwrap();
        let mut decoder = VideoDecoder::new(&parameters, stream.time_base, &Limits::DEFAULT).unwrap();
        let (mut times, mut keys, mut pictures, mut first) = (HashMap::new(), Vec::new(), Vec::new(), None);
        let mut count = 0;
        let mut keep = |picture: Picture| -> Result<(), media::Error> {
            pictures.push((picture.packet().unwrap(), picture.checksum()));
            first.get_or_insert(picture);
            Ok(())
        };
        while let Some(packet) = demuxer.read().unwrap() {
            if packet.stream() == stream.index {
                times.insert(PacketIndex(count), packet.pts().or(packet.dts()).unwrap());
                keys.extend(packet.is_key().then_some(count));
                decoder.send(PacketIndex(count), packet, &mut keep).unwrap();
                count += 1;
            }
        }
        decoder.finish(&mut keep).unwrap();
        let frames = pictures.iter().map(|(packet, _)| FrameEntry { packet: *packet, pts: times[packet] }).collect();
        let hashes = pictures.iter().map(|(_, hash)| *hash).collect();
        let first: Picture = first.unwrap();
        let video = VideoInfo {
            stream: stream.index,
            codec: stream.codec,
            time_base: stream.time_base,
            size: first.size(),
            sample_aspect: first.sample_aspect(),
            picture_aspect: None,
            rotation: stream.rotation,
            pixel_format: first.pixel_format().0,
            color: first.color(),
            hdr: HdrMetadata::default(),
            interlaced: first.is_interlaced(),
            top_field_first: first.is_top_field_first(),
            frame_rate: stream.frame_rate.unwrap_or(Ratio::new(25, 1).unwrap()),
        };
        Self { path: path.to_owned(), video, parameters, packets: count, keys, frames, hashes }
    }

    /// A task for the frames that come from `packets`, which start at a key frame, with a segment every
    /// `segment` frames.
    pub(crate) fn task(&self, index: u32, packets: std::ops::Range<u32>, segment: u32, spool: &Path) -> EncodeTask {
        let frames: Vec<_> = self.frames.iter().filter(|f| packets.contains(&f.packet.0)).copied().collect();
        let spool = spool.join(format!("chunk{index}"));
        std::fs::create_dir_all(&spool).unwrap();
        EncodeTask {
            chunk: ChunkIndex(index),
            last: false,
            attempt: Attempt(1),
            video: self.video.clone(),
            segment_starts: (0..frames.len() as u32).step_by(segment as usize).collect(),
            frames,
            one_frame_a_packet: true,
            hidden: Vec::new(),
            concealed: false,
            context: (Vec::new(), Vec::new()),
            renditions: Vec::new(),
            check: None,
            spool,
        }
    }

    pub(crate) fn encode(
        &self,
        task: &EncodeTask,
        packets: &mut dyn PacketSource,
        observer: &dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<EncodedChunk, Error> {
        let extractors = Extractors::for_workers(NonZeroUsize::MIN);
        let equipment = Equipment { observer, ..Equipment::new(&self.parameters, &extractors, cancel) };
        encode_chunk(task, packets, &equipment)
    }

    /// As [`Self::encode`], of the whole clip, with encoders from elsewhere.
    pub(crate) fn encode_with(&self, task: &EncodeTask, open: &OpenEncoder<'_>) -> Result<EncodedChunk, Error> {
        let extractors = Extractors::for_workers(NonZeroUsize::MIN);
        let cancel = AtomicBool::new(false);
        let equipment = Equipment { open, ..Equipment::new(&self.parameters, &extractors, &cancel) };
        encode_chunk(task, &mut self.source(0..self.packets), &equipment)
    }

    pub(crate) fn source(&self, packets: std::ops::Range<u32>) -> Packets {
        Packets { demuxer: Demuxer::open(&self.path).unwrap(), stream: self.video.stream, next: 0, packets }
    }
}

/// Reads a range of a clip's video packets.
pub(crate) struct Packets {
    demuxer: Demuxer,
    stream: usize,
    next: u32,
    packets: std::ops::Range<u32>,
}

impl PacketSource for Packets {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
        while let Some(packet) = self.demuxer.read()?.filter(|_| self.next < self.packets.end) {
            if packet.stream() != self.stream {
                continue;
            }
            self.next += 1;
            if self.packets.contains(&(self.next - 1)) {
                return Ok(Some((PacketIndex(self.next - 1), packet)));
            }
        }
        Ok(None)
    }
}

pub(crate) fn capped(name: &str, width: u32, height: u32, rate: u64) -> Rendition {
    let speed = "veryfast".to_owned();
    let method = Method::h264(23.0, BitRate(rate), rate * 2, &speed);
    Rendition { name: name.to_owned(), size: Size { width, height }, sample_aspect: Ratio::ONE, method }
}

pub(crate) fn archive(size: Size) -> Rendition {
    let size = Size { width: size.width.next_multiple_of(2), height: size.height.next_multiple_of(2) };
    let method = Method::Lossless { speed: "ultrafast".to_owned() };
    Rendition { name: "archive".to_owned(), size, sample_aspect: Ratio::ONE, method }
}

/// Joins a rendition's chunks to one byte stream and decodes it: the hashes of its pictures.
pub(crate) fn decode_joined(folder: &Path, chunks: &[&EncodedRendition]) -> Vec<u32> {
    let mut stream = Vec::new();
    let mut push = |unit: &[u8]| {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
    };
    parameter_sets(&chunks[0].config).iter().for_each(|unit| push(unit));
    for chunk in chunks {
        assert_eq!(chunk.config, chunks[0].config, "the chunks' parameter sets are equal");
        let bytes = std::fs::read(&chunk.spool).unwrap();
        let size: u64 = chunk.samples.iter().map(|sample| u64::from(sample.size)).sum();
        assert_eq!(size, bytes.len() as u64);
        nal::length_prefixed(&bytes, 4).for_each(|unit| push(unit.unwrap()));
    }
    let path = folder.join("joined.h264");
    std::fs::write(&path, stream).unwrap();
    let mut demuxer = Demuxer::open(&path).unwrap();
    let parameters = demuxer.parameters(0).unwrap();
    let mut decoder = VideoDecoder::new(&parameters, demuxer.streams()[0].time_base, &Limits::DEFAULT).unwrap();
    let (mut hashes, mut count) = (Vec::new(), 0);
    let mut keep = |picture: Picture| -> Result<(), media::Error> {
        hashes.push(picture.checksum());
        Ok(())
    };
    while let Some(packet) = demuxer.read().unwrap() {
        decoder.send(PacketIndex(count), packet, &mut keep).unwrap();
        count += 1;
    }
    decoder.finish(&mut keep).unwrap();
    assert_eq!(decoder.damaged(), 0, "the joined stream decodes cleanly");
    hashes
}

/// The parameter sets in a decoder configuration record (ISO/IEC 14496-15, 5.3.3.1) of one of each.
fn parameter_sets(config: &[u8]) -> [&[u8]; 2] {
    let sized = |at: usize| {
        let size = usize::from(u16::from_be_bytes([config[at], config[at + 1]]));
        &config[at + 2..at + 2 + size]
    };
    let sps = sized(6);
    [sps, sized(6 + 2 + sps.len() + 1)]
}
