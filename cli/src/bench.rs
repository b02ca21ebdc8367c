//! `vtp bench`: step: measure, print tables. In: clips, a peer's binary. Out: Markdown on stdout. Never: a verdict by
//! timing in the tests.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use vtp_benches::{copy, ladder, sweep};
use vtp_engine::ladder::LadderRequest;

use crate::Outcome;
use crate::exit::Failure;
use crate::print;

/// Measure this machine, and this program against its peers.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The whole pipeline against one ffmpeg command that makes the same ladder
    Ladder(LadderArguments),
    /// `--ladder copy` against `ffmpeg -c copy -f hls`
    Copy(CopyArguments),
    /// Every file of some folders through `vtp encode` and an independent checker
    Sweep(SweepArguments),
}

#[derive(Debug, Args)]
struct LadderArguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The peer
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    ladder: String,
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
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Also measure the bare CPU: decoding, scaling and each encoder alone on one thread
    #[arg(long)]
    bare: bool,
}

#[derive(Debug, Args)]
struct CopyArguments {
    /// The clips
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// The peer
    #[arg(long, value_name = "FFMPEG", default_value = "ffmpeg")]
    peer: PathBuf,
    /// Runs of each side, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 9)]
    runs: usize,
}

#[derive(Debug, Args)]
struct SweepArguments {
    /// Folders of files
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// The checker: called as CHECKER SOURCE OUT --json
    #[arg(long, value_name = "PROGRAM")]
    checker: PathBuf,
    /// Only files whose name contains this
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    ladder: String,
    /// Rows known to be wrong for a file: lines of file, group/row and reason, parted by tabs
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// A run that takes longer counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u64,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`], also when a sweep has failures.
pub fn run(arguments: &Arguments) -> Outcome {
    let vtp = std::env::current_exe().map_err(|error| Failure::Internal(error.into()))?;
    match &arguments.what {
        What::Ladder(arguments) => run_ladder(vtp, arguments),
        What::Copy(CopyArguments { clips, peer, runs }) => {
            let options = copy::Options { vtp, ffmpeg: peer.clone(), clips: clips.clone(), runs: *runs };
            print(&copy::run(&options).map_err(Failure::Internal)?)
        }
        What::Sweep(arguments) => run_sweep(vtp, arguments),
    }
}

fn run_ladder(vtp: PathBuf, arguments: &LadderArguments) -> Outcome {
    let ladder: LadderRequest =
        arguments.ladder.parse().map_err(|error| Failure::Usage(format!("--ladder: {error}")))?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let options = ladder::Options {
        vtp,
        ffmpeg: arguments.peer.clone(),
        clips: arguments.clips.clone(),
        ladder,
        ladder_name: arguments.ladder.clone(),
        speed: arguments.speed.clone(),
        segment_s: arguments.segment,
        workers: arguments.workers.unwrap_or_else(cores),
        runs: arguments.runs,
        bare: arguments.bare,
    };
    print(&ladder::run(&options).map_err(Failure::Internal)?)
}

fn run_sweep(vtp: PathBuf, arguments: &SweepArguments) -> Outcome {
    let options = sweep::Options {
        vtp,
        folders: arguments.folders.clone(),
        only: arguments.only.clone(),
        checker: arguments.checker.clone(),
        ladder: arguments.ladder.clone(),
        exceptions: arguments.exceptions.clone(),
        limit: Duration::from_secs(arguments.limit),
    };
    let (table, failed) = sweep::run(&options).map_err(Failure::Internal)?;
    print(&table)?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Internal(anyhow::anyhow!("{failed} files failed; see the table"))),
    }
}
