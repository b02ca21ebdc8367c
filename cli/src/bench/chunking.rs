//! `vtp bench chunking`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::chunking;
use vtp_engine::ladder::SPEEDS;

use super::NamedLadder;
use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The ffmpeg whose filters psnr and libvmaf are used
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "mobile", value_parser = super::named_ladder)]
    ladder: NamedLadder,
    /// Encoder preset
    #[arg(long, value_name = "PRESET", default_value = "medium", value_parser = SPEEDS)]
    speed: String,
    /// Length of a segment
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = crate::parse::segment_s)]
    segment: f64,
    /// Constant rate factors of the curves' points, at least four
    #[arg(long, value_name = "N,N,...", default_value = "19,23,27,31", value_delimiter = ',',
          value_parser = crate::parse::crf_of_x264)]
    crfs: Vec<f32>,
}

/// With fewer points a curve says little (VCEG-M33 asks for four).
const LEAST_POINTS: usize = 4;

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    let mut crfs = arguments.crfs.clone();
    crfs.sort_by(f32::total_cmp);
    crfs.dedup();
    if crfs.len() < LEAST_POINTS {
        return Err(Failure::Usage(format!("--crfs: give at least {LEAST_POINTS} different rate factors")));
    }
    super::require_clips(&arguments.clips)?;
    let options = chunking::Options {
        vtp,
        ffmpeg: arguments.peer.clone(),
        clips: arguments.clips.clone(),
        ladder: arguments.ladder.request.clone(),
        ladder_name: arguments.ladder.name.clone(),
        speed: arguments.speed.clone(),
        segment_s: arguments.segment,
        crfs,
    };
    print(&chunking::run(&options).map_err(Failure::Internal)?)
}
