//! `vtp bench ladder`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::ladder;
use vtp_engine::ladder::VideoCodec;

use super::NamedLadder;
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
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto", value_parser = super::named_ladder)]
    ladder: NamedLadder,
    /// The codecs
    #[arg(long, value_name = "CODECS", value_delimiter = ',', default_value = "h264")]
    codec: Vec<VideoCodec>,
    /// Encoder preset
    #[arg(long, value_name = "PRESET", default_value = "medium")]
    speed: String,
    /// Length of a segment
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = crate::parse::segment_s)]
    segment: f64,
    /// Chunks encoded at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Runs of each side, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = crate::parse::at_least_one)]
    runs: usize,
    /// Also measure the bare CPU: decoding, scaling and each encoder alone on one thread
    #[arg(long)]
    bare: bool,
    /// Also encode the source in one chunk: what still differs from the peer comes from the settings, the rest from chunks
    #[arg(long)]
    whole: bool,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    super::require_clips(&arguments.clips)?;
    let options = ladder::Options {
        vtp,
        ffmpeg: arguments.peer.clone(),
        clips: arguments.clips.clone(),
        ladder: arguments.ladder.request.clone(),
        ladder_name: arguments.ladder.name.clone(),
        codecs: arguments.codec.clone(),
        speed: arguments.speed.clone(),
        segment_s: arguments.segment,
        workers: super::workers(arguments.workers),
        runs: arguments.runs,
        bare: arguments.bare,
        whole: arguments.whole,
    };
    print(&ladder::run(&options).map_err(Failure::Internal)?)
}
