//! `vtp bench kill`.

use std::path::PathBuf;

use clap::Args;
use vtp_benches::kill;
use vtp_engine::ladder::SPEEDS;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The clip
    clip: PathBuf,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    ladder: String,
    /// x264's preset
    #[arg(long, value_name = "PRESET", default_value = "veryfast", value_parser = SPEEDS)]
    speed: String,
    /// Kills in all, over as many encodes as it takes
    #[arg(long, value_name = "N", default_value_t = 100)]
    kills: u32,
    /// Where the random moments come from [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Kill child processes of a run, rather than the run
    #[arg(long)]
    children: bool,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    let Arguments { clip, ladder, speed, kills, seed, children } = arguments.clone();
    crate::probe::require_file(&clip)?;
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let options = kill::Options { vtp, clip, ladder, speed, kills, seed, children };
    print(&kill::run(&options).map_err(Failure::Internal)?)
}
