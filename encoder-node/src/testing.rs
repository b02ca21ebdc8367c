//! Tasks and encodings for tests that encode nothing.

use std::path::Path;

use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition, Sample, StageCpu};
use vtp_engine::index::FrameEntry;
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::quality::{Check, FrameScore};
use vtp_engine::source::{Color, HdrMetadata, Rotation, VideoInfo};
use vtp_engine::units::{Attempt, BitRate, ChunkIndex, PacketIndex, Ratio, Size, TimeBase};

/// A rendition whose size is that of its name.
pub(crate) fn rendition(name: &str) -> Rendition {
    let (width, height) = if name == "large" { (64, 36) } else { (32, 18) };
    Rendition {
        name: name.to_owned(),
        size: Size { width, height },
        sample_aspect: Ratio::ONE,
        method: Method::h264(23.0, BitRate(1_000_000), 2_000_000, "medium"),
    }
}

/// One second of film for the renditions `large` and `small`.
pub(crate) fn task(spool: &Path, check: Option<Check>) -> EncodeTask {
    let video = VideoInfo {
        stream: 0,
        codec: "h264".to_owned(),
        time_base: TimeBase(Ratio::new(1, 25).unwrap()),
        size: Size { width: 64, height: 36 },
        sample_aspect: Ratio::ONE,
        picture_aspect: None,
        rotation: Rotation::default(),
        pixel_format: "yuv420p".to_owned(),
        color: Color { primaries: 1, transfer: 1, matrix: 1, full_range: None, chroma_location: 0 },
        hdr: HdrMetadata::default(),
        interlaced: false,
        top_field_first: None,
        frame_rate: Ratio::new(25, 1).unwrap(),
    };
    EncodeTask {
        chunk: ChunkIndex(0),
        last: true,
        attempt: Attempt(1),
        video,
        frames: (0..25).map(|at| FrameEntry { packet: PacketIndex(at), pts: at.into() }).collect(),
        one_frame_a_packet: true,
        hidden: Vec::new(),
        concealed: false,
        context: (Vec::new(), Vec::new()),
        segment_starts: vec![0],
        renditions: vec![rendition("large"), rendition("small")],
        check,
        spool: spool.to_owned(),
    }
}

/// What an encoder makes of `task` whose encodings have the score that `score` has for their name and rate factor.
pub(crate) fn encoded_chunk(task: &EncodeTask, score: impl Fn(&str, f64) -> f64) -> EncodedChunk {
    let encoded = |rendition: &Rendition| {
        let Method::Capped { crf, search, .. } = rendition.method else { panic!("only capped ones are encoded") };
        let spool = task.spool.join(format!("{}-{crf}", rendition.name));
        let samples = format!("samples of {} at {crf}", rendition.name);
        std::fs::write(&spool, &samples).unwrap();
        let score = score(&rendition.name, crf.into());
        EncodedRendition {
            rendition: rendition.name.clone(),
            config: vec![1],
            samples: vec![Sample { pts: 0, size: samples.len() as u32, sync: true }],
            spool,
            encoder: "fake".to_owned(),
            crf: Some(crf),
            search,
            fidelity: task.check.map(|_| vec![FrameScore { position: 0, score, weight: 25.0 }]),
            vmaf: None,
            outcome: None,
            encodings: 1,
        }
    };
    let cpu = StageCpu { encode_s: 1.0, ..StageCpu::default() };
    let renditions = task.renditions.iter().map(encoded).collect();
    EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions, cpu }
}
