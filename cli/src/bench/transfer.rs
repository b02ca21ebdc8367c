//! `vtp bench transfer`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use vtp_benches::transfer;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder that objects arrive below [default: /dev/shm, or where there is none, the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Runs of each side, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = crate::parse::at_least_one)]
    runs: usize,
    /// Size of the object that travels alone
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    single: ByteSize,
    /// Size of each of the 64 objects that travel at once
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    each: ByteSize,
    /// Size of what crosses the bad network
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    far: ByteSize,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { scratch, runs, single, each, far } = arguments;
    let memory = PathBuf::from("/dev/shm");
    let usual = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let options = transfer::Options {
        scratch: scratch.clone().unwrap_or(usual),
        runs: *runs,
        single: single.as_u64() as usize,
        each: each.as_u64() as usize,
        far: far.as_u64() as usize,
    };
    print(&transfer::run(&options).map_err(Failure::Internal)?)
}
