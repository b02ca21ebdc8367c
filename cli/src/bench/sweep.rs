//! `vtp bench sweep`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vtp_benches::sweep;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
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
    /// x264's preset [default: as `vtp encode` has it]
    #[arg(long)]
    speed: Option<String>,
    /// Rows known to be wrong for a file: lines of file, group/row and reason, parted by tabs
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// A run that takes longer counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u64,
}

pub(super) fn run(vtp: PathBuf, arguments: &Arguments) -> Outcome {
    let options = sweep::Options {
        vtp,
        folders: arguments.folders.clone(),
        only: arguments.only.clone(),
        checker: arguments.checker.clone(),
        ladder: arguments.ladder.clone(),
        speed: arguments.speed.clone(),
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
