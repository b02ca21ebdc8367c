//! `vtp bench truth`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::truth;
use vtp_engine::ladder::SPEEDS;

use super::NamedLadder;
use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The peer; it has to have the filter libvmaf
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto", value_parser = super::named_ladder)]
    ladder: NamedLadder,
    /// Encoder preset
    #[arg(long, value_name = "PRESET", default_value = "medium", value_parser = SPEEDS)]
    speed: String,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    super::require_clips(&arguments.clips)?;
    let options = truth::Options {
        vtp,
        ffmpeg: arguments.peer.clone(),
        clips: arguments.clips.clone(),
        ladder: arguments.ladder.request.clone(),
        ladder_name: arguments.ladder.name.clone(),
        speed: arguments.speed.clone(),
    };
    print(&truth::run(&options).map_err(Failure::Internal)?)
}
