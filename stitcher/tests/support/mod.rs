//! A small job: an index, a plan, and chunks as an encoder node would deliver them.

use std::fs;
use std::path::{Path, PathBuf};

use vtp_engine::chunk::{EncodedChunk, EncodedRendition, Sample, StageCpu};
use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::ladder::{Method, Rendition, Search};
use vtp_engine::plan::{ChunkPlan, Plan};
use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::stills::Stills;
use vtp_engine::units::{Attempt, BitRate, ChunkIndex, PacketIndex, Ratio, Size, TimeBase};
use vtp_stitcher::{AudioTrack, Durability, OutputLayout, VideoTimeline};

/// An index of frames at these times, the last one as long as the one before.
pub(crate) fn index(times: &[i64]) -> Index {
    let frames = times.iter().map(|&pts| FrameEntry { packet: PacketIndex(0), pts }).collect();
    Index::of(Vec::new(), frames, times.windows(2).last().map_or(1, |pair| pair[1] - pair[0]))
}

/// Segments that start at these frames, so many to a chunk.
pub(crate) fn plan(starts: &[u32], frames: u32, segments_a_chunk: usize) -> Plan {
    let ends = starts.iter().copied().skip(1).chain([frames]);
    let segments: Vec<_> = starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();
    let places: Vec<u32> = (0..segments.len() as u32).collect();
    let chunks = places.chunks(segments_a_chunk).zip(0..).map(|(own, index)| {
        let (first, last) = (own[0], own[own.len() - 1]);
        let frames = segments[first as usize].start..segments[last as usize].end;
        let cost = f64::from(frames.end - frames.start);
        ChunkPlan { index: ChunkIndex(index), packets: frames.clone(), frames, segments: first..last + 1, cost }
    });
    Plan { chunks: chunks.collect(), segments, reason: None }
}

pub(crate) fn rendition(name: &str, width: u32, height: u32) -> Rendition {
    let method = Method::h264(23.0, BitRate(1_000_000), 2_000_000, "medium");
    Rendition { name: name.to_owned(), size: Size { width, height }, sample_aspect: Ratio::ONE, method }
}

pub(crate) fn layout(
    renditions: Vec<Rendition>,
    audio: Vec<AudioTrack>,
    plan: Plan,
    time_base: (u32, u32),
    origin: i64,
) -> OutputLayout {
    let time_base = TimeBase(Ratio::new(time_base.0, time_base.1).unwrap());
    let video = VideoTimeline {
        time_base,
        origin,
        color: Color::UNSPECIFIED,
        made_color: Color::UNSPECIFIED,
        hdr: HdrMetadata::default(),
        rotation: Rotation::default(),
    };
    OutputLayout {
        video,
        renditions,
        audio,
        subtitles: Vec::new(),
        captions: Vec::new(),
        plan,
        target_segment_s: 2.0,
        stills: Stills::default(),
        durability: Durability::Buffered,
    }
}

/// A rendition of a chunk: its name, its configuration, and its samples with their bytes.
pub(crate) type Encoded<'a> = (&'a str, Vec<u8>, Vec<(Sample, Vec<u8>)>);

/// A chunk whose samples of each rendition lie in a spool file of their own.
pub(crate) fn chunk(spool: &Path, index: u32, renditions: Vec<Encoded<'_>>) -> EncodedChunk {
    let encoded = renditions.into_iter().map(|(name, config, samples)| {
        let path: PathBuf = spool.join(format!("{name}-{index}"));
        let bytes: Vec<u8> = samples.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        fs::write(&path, bytes).unwrap();
        EncodedRendition {
            rendition: name.to_owned(),
            config,
            samples: samples.into_iter().map(|(sample, _)| sample).collect(),
            spool: path,
            encoder: "libx264".to_owned(),
            crf: Some(23.0),
            search: Search::Preset,
            fidelity: None,
            vmaf: None,
            outcome: None,
            encodings: 1,
        }
    });
    let cpu = StageCpu::default();
    EncodedChunk { chunk: ChunkIndex(index), attempt: Attempt(1), renditions: encoded.collect(), cpu }
}
