//! `vtp bench mutate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vtp_benches::mutate;
use vtp_engine::ladder::SPEEDS;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The files; they are only read
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Cases in all
    #[arg(long, value_name = "N", default_value_t = 2000)]
    count: u64,
    /// Only the case of this number
    #[arg(long, value_name = "N")]
    case: Option<u64>,
    /// Where the random damage comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A run that takes longer counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// Most memory that a run may use with all its processes
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "mobile")]
    ladder: String,
    /// x264's preset
    #[arg(long, value_name = "PRESET", default_value = "ultrafast", value_parser = SPEEDS)]
    speed: String,
    /// Cases at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// A folder that gets the damaged files of cases that fail; with --case, that one, whatever becomes of it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    super::require_clips(&arguments.files)?;
    let Arguments { files, count, case, seed, limit, memory, ladder, speed, jobs, keep } = arguments.clone();
    let (limit, jobs) = (Duration::from_secs(limit), super::workers(jobs));
    let options =
        mutate::Options { vtp, files, count, case, seed, limit, memory_mib: memory, ladder, speed, jobs, keep };
    let (tables, failed) = mutate::run(&options).map_err(Failure::Internal)?;
    print(&tables)?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Internal(anyhow::anyhow!("{failed} cases failed; see the list"))),
    }
}
