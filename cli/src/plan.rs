//! `vtp plan`: step: show how a source would be encoded. In: a video and the options that shape a ladder. Out:
//! renditions, chunks, reason. Never: encodes.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde::Serialize;
use vtp_control_plane::fleet::{Making, Outline, PlannedChunk, PlannedRendition};
use vtp_control_plane::template::Codec;
use vtp_engine::index::Index;
use vtp_engine::ladder::{self, Ladder, LadderRequest, Look, Method, Rendition, VideoCodec};
use vtp_engine::plan::{self, ChunkPlan, Plan, PlanSettings};
use vtp_engine::source::SourceInfo;
use vtp_engine::units::{FrameIndex, Size};
use vtp_splitter::Source;

use crate::encode::arguments::{Arguments as EncodeArguments, ShapeArguments};
use crate::encode::driver;
use crate::exit::Failure;
use crate::limits::LimitArguments;
use crate::place::{self, Place};
use crate::report::{duration_s, source_warnings};
use crate::text::{self, Align, Table};
use crate::{Outcome, print};

/// Show how a source would be encoded, without doing it.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The video
    #[arg(value_parser = place::parser())]
    input: Place,

    #[command(flatten)]
    shape: ShapeArguments,

    #[command(flatten)]
    limits: LimitArguments,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// All that is known before the first frame is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The probed source.
    pub info: &'a SourceInfo,
    /// Its index.
    pub index: &'a Index,
    /// What would be made.
    pub ladder: &'a Ladder,
    /// Where it would be cut.
    pub plan: &'a Plan,
}

impl Planned<'_> {
    /// Where a chunk begins, from the first frame's start, and how long it is, in seconds.
    fn span(&self, chunk: &ChunkPlan) -> (f64, f64) {
        let start = self.index.pts(FrameIndex(0));
        let time = |frame| self.info.video.time_base.seconds(self.index.pts(FrameIndex(frame)) - start);
        let from = time(chunk.frames.start);
        (from, time(chunk.frames.end) - from)
    }
}

/// What `vtp plan --json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    duration_s: f64,
    frames: u32,
    renditions: &'a [Rendition],
    plan: &'a Plan,
    warnings: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Input`] if the source is unusable, [`Failure::Usage`] if the ladder does not fit it.
pub fn run(arguments: &Arguments) -> Outcome {
    crate::probe::require_video(&arguments.input)?;
    let (_, source) = arguments.limits.children()?.index(&arguments.input, &AtomicBool::new(false))?;
    let (ladder, plan) = shaped(&source, &arguments.shape)?;
    let planned = Planned { info: &source.info, index: &source.index, ladder: &ladder, plan: &plan };
    print(&if arguments.json { json(planned)? } else { render(planned) })
}

/// What would be made of a source, and in which parts, by the options that shape it.
fn shaped(source: &Source, shape: &ShapeArguments) -> Result<(Ladder, Plan), Failure> {
    let mut ladder = ladder::ladder(&shape.ladder, &source.info, &shape.options())?;
    if shape.ladder == LadderRequest::Smart {
        let word = "smart leaves out what a trial finds this content not to need; vtp encode makes that trial";
        ladder.warnings.push(word.to_owned());
    }
    driver::copied(source, &ladder.renditions)?;
    let settings = settings(&source.info, &ladder.renditions, shape.segment, shape.chunk.0);
    let plan = plan::plan(&source.index, source.info.video.time_base, &settings);
    Ok((ladder, plan))
}

/// What these arguments of `vtp encode` would make of a source, as the API tells it.
///
/// # Errors
/// As [`run`].
pub(crate) fn outline(source: &Source, arguments: &EncodeArguments) -> Result<Outline, Failure> {
    let (ladder, plan) = shaped(source, arguments.shape())?;
    let planned = Planned { info: &source.info, index: &source.index, ladder: &ladder, plan: &plan };
    arguments.check_files(&source.info, &ladder.renditions)?;
    let chunks = plan.chunks.iter().map(|chunk| {
        let (start_s, duration_s) = planned.span(chunk);
        let (start_s, duration_s) = (microseconds(start_s), microseconds(duration_s));
        let (frames, segments) = (chunk.frames.len() as u32, chunk.segments.len() as u32);
        PlannedChunk { start_s, duration_s, frames, segments, cost: chunk.cost }
    });
    Ok(Outline {
        duration_s: duration_s(&source.info, &source.index),
        frames: source.index.frame_count(),
        renditions: ladder.renditions.iter().filter_map(rendition).collect(),
        segments: u32::try_from(plan.segments.len()).unwrap_or(u32::MAX),
        chunks: chunks.collect(),
        reason: plan.reason.as_ref().map(ToString::to_string),
        warnings: warnings(planned),
    })
}

/// Seconds without what differences leave behind the sixth decimal.
fn microseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// As the API tells it; what is in no ladder is not told.
fn rendition(of: &Rendition) -> Option<PlannedRendition> {
    let (making, codec, most_bits_per_s) = match &of.method {
        Method::Capped { codec, max_rate, .. } => (Making::Capped, Some(*codec), Some(max_rate.0)),
        Method::Lossless { .. } => (Making::Lossless, Some(VideoCodec::H264), None),
        Method::Copy => (Making::Copied, None, None),
        Method::Ffv1 | Method::Stills { .. } => return None,
    };
    let codec = codec.map(|codec| match codec {
        VideoCodec::H264 => Codec::H264,
        VideoCodec::Hevc => Codec::Hevc,
        VideoCodec::Vp9 => Codec::Vp9,
        VideoCodec::Av1 => Codec::Av1,
    });
    let Size { width, height } = of.size;
    Some(PlannedRendition { name: of.name.clone(), width, height, codec, making, most_bits_per_s })
}

/// What the plan of this ladder depends on, with segments of `segment_s` and chunks of `chunk_s` seconds.
pub fn settings(info: &SourceInfo, renditions: &[Rendition], segment_s: f64, chunk_s: Option<f64>) -> PlanSettings {
    let any = |wanted: fn(&Method) -> bool| renditions.iter().any(|rendition| wanted(&rendition.method));
    let deinterlaces = info.video.interlaced && any(|method| matches!(method, Method::Capped { .. }));
    PlanSettings {
        segment_s,
        chunk_s,
        copies_packets: any(|method| matches!(method, Method::Copy)),
        context_frames: u32::from(deinterlaces),
    }
}

fn warnings(planned: Planned<'_>) -> Vec<String> {
    let mut warnings = source_warnings(planned.info, planned.index);
    warnings.extend(planned.ladder.warnings.iter().cloned());
    warnings
}

/// The plan as JSON, version 1.
///
/// # Errors
/// [`Failure::Internal`] if it cannot be serialised.
pub fn json(planned: Planned<'_>) -> Result<String, Failure> {
    let document = Document {
        version: 1,
        duration_s: duration_s(planned.info, planned.index),
        frames: planned.index.frame_count(),
        renditions: &planned.ladder.renditions,
        plan: planned.plan,
        warnings: warnings(planned),
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| Failure::Internal(error.into()))?;
    Ok(text + "\n")
}

/// The plan for a person.
pub fn render(planned: Planned<'_>) -> String {
    let Planned { info, index, ladder, plan } = planned;
    let mut out = renditions(&ladder.renditions).render("");
    out.push('\n');
    out.push_str(&chunks(planned).render(""));
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n{} in {}, {}, {}",
        text::plural(index.frame_count().into(), "frame"),
        text::span(duration_s(info, index)),
        text::plural(plan.chunks.len() as u64, "chunk"),
        text::plural(plan.segments.len() as u64, "segment"),
    );
    if let Some(reason) = &plan.reason {
        let _ = writeln!(out, "note: {reason}");
    }
    for warning in warnings(planned) {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}

fn renditions(renditions: &[Rendition]) -> Table {
    let mut table = Table::new(&[("rendition", Align::Left), ("size", Align::Right), ("made by", Align::Left)]);
    for rendition in renditions {
        table.row([rendition.name.clone(), rendition.size.to_string(), method(&rendition.method)]);
    }
    table
}

fn method(method: &Method) -> String {
    match method {
        Method::Capped { codec, depth, look, crf, max_rate, speed, .. } => {
            let encoder = codec.encoder_name();
            let bits = if *depth > 8 { format!(", {depth} bits") } else { String::new() };
            let tones = if *look == Look::Sdr { ", HDR mapped to SDR" } else { "" };
            format!("{encoder} {speed}, crf {crf}, at most {}{bits}{tones}", text::bit_rate(max_rate.0))
        }
        Method::Lossless { speed } => format!("x264 {speed}, lossless"),
        Method::Ffv1 => "FFV1, lossless".to_owned(),
        Method::Copy => "copying the source's packets".to_owned(),
        Method::Stills { positions } => text::plural(positions.len() as u64, "picture"),
    }
}

fn chunks(planned: Planned<'_>) -> Table {
    let mut table = Table::new(&[
        ("chunk", Align::Right),
        ("start", Align::Right),
        ("length", Align::Right),
        ("frames", Align::Right),
        ("segments", Align::Right),
        ("packets", Align::Right),
        ("cost", Align::Right),
    ]);
    for chunk in &planned.plan.chunks {
        let (from, length) = planned.span(chunk);
        table.row([
            chunk.index.0.to_string(),
            format!("{from:.3} s"),
            format!("{length:.3} s"),
            text::count(chunk.frames.len() as u64),
            text::count(chunk.segments.len() as u64),
            text::count(chunk.packets.len() as u64),
            format!("{:.0}", chunk.cost),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{BitRate, Ratio, Size};

    use super::*;
    use crate::report::tests::{index, info, plan};

    fn ladder() -> Ladder {
        let rendition = |name: &str, width, height, method| Rendition {
            name: name.to_owned(),
            size: Size { width, height },
            sample_aspect: Ratio::ONE,
            method,
        };
        let capped = Method::h264(23.0, BitRate(2_500_000), 5_000_000, "medium");
        Ladder {
            renditions: vec![rendition("copy", 1280, 720, Method::Copy), rendition("standard", 1280, 720, capped)],
            warnings: vec!["hd is left out".to_owned()],
        }
    }

    #[test]
    fn only_renditions_that_deinterlace_need_the_frames_around_a_chunk() {
        let mut info = info();
        assert_eq!(settings(&info, &ladder().renditions, 4.0, None).context_frames, 0);
        info.video.interlaced = true;
        assert_eq!(settings(&info, &ladder().renditions, 4.0, None).context_frames, 1);
        let copies = Ladder { renditions: ladder().renditions[..1].to_vec(), warnings: Vec::new() };
        let settings = settings(&info, &copies.renditions, 4.0, None);
        assert_eq!((settings.context_frames, settings.copies_packets), (0, true));
    }

    #[test]
    fn a_person_reads_ladder_chunks_reason_and_warnings() {
        let expected = "\
rendition      size  made by
copy       1280x720  copying the source's packets
standard   1280x720  x264 medium, crf 23, at most 2.5 Mb/s

chunk    start   length  frames  segments  packets  cost
    0  0.000 s  0.080 s       2         1        2     2
    1  0.080 s  0.080 s       2         1        2     2

4 frames in 0.2 s, 2 chunks, 2 segments
note: short
warning: stream 2 (subtitles) is left out
warning: one packet is damaged
warning: timestamps jump at 0.040 s; everything after it was shifted by -2.500 s
warning: hd is left out
";
        let planned = Planned { info: &info(), index: &index(), ladder: &ladder(), plan: &plan() };
        assert_eq!(render(planned), expected);
    }

    #[test]
    fn the_json_form_has_a_version_and_all_chunks() {
        let planned = Planned { info: &info(), index: &index(), ladder: &ladder(), plan: &plan() };
        let value: serde_json::Value = serde_json::from_str(&json(planned).unwrap()).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["plan"]["chunks"].as_array().unwrap().len(), 2);
        assert_eq!(value["renditions"][1]["name"], "standard");
    }
}
