//! `vtp bench copy`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::copy;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The peer
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// Runs of each side, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = crate::parse::at_least_one)]
    runs: usize,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    let Arguments { clips, peer, runs } = arguments;
    super::require_clips(clips)?;
    let options = copy::Options { vtp, ffmpeg: peer.clone(), clips: clips.clone(), runs: *runs };
    print(&copy::run(&options).map_err(Failure::Internal)?)
}
