//! `vtp bench ab-av1`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::ab_av1;
use vtp_engine::ladder::{Preset, SPEEDS};

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The peer
    #[arg(long, value_name = "PROGRAM", default_value = "ab-av1")]
    ab_av1: PathBuf,
    /// The ffmpeg that the peer works with; it has to have the filter libvmaf, and measures what both deliver
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// VMAF that both are asked for
    #[arg(long, value_name = "VMAF", default_value_t = 93.0, value_parser = crate::parse::score)]
    target: f64,
    /// The one rung that is made [default: the highest that is not above the source]
    #[arg(long, value_name = "RUNG", value_parser = scaled)]
    rung: Option<Preset>,
    /// Encoder preset
    #[arg(long, value_name = "PRESET", default_value = "medium", value_parser = SPEEDS)]
    speed: String,
    /// Have the peer keep our rate cap and our distance of key frames
    #[arg(long)]
    alike: bool,
    /// Runs of each side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = crate::parse::at_least_one)]
    runs: usize,
}

/// A rung that is encoded at a size of its own.
fn scaled(name: &str) -> Result<Preset, String> {
    let preset: Preset = name.parse().map_err(|error: vtp_engine::ladder::UnknownPreset| error.to_string())?;
    preset.height().map(|_| preset).ok_or_else(|| format!("{name} has no quality to ask for"))
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    super::require_clips(&arguments.clips)?;
    let options = ab_av1::Options {
        vtp,
        ab_av1: arguments.ab_av1.clone(),
        ffmpeg: arguments.peer.clone(),
        clips: arguments.clips.clone(),
        target: arguments.target,
        rung: arguments.rung,
        speed: arguments.speed.clone(),
        alike: arguments.alike,
        runs: arguments.runs,
    };
    print(&ab_av1::run(&options).map_err(Failure::Internal)?)
}
