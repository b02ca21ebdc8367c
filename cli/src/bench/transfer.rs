//! `vtp bench transfer`.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use vtp_benches::transfer::{self, Chunks};

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
    /// Chunks that a node fetches while it encodes others
    #[arg(long, value_name = "N", default_value_t = 12)]
    chunks: u32,
    /// Size of the packets of each
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    packets: ByteSize,
    /// How long a slot takes for each
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = crate::parse::duration)]
    encode: Duration,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { scratch, runs, single, each, far, chunks, packets, encode } = arguments;
    let chunks = Chunks { count: *chunks, packets: packets.as_u64() as usize, encode: *encode };
    let memory = PathBuf::from("/dev/shm");
    let usual = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let options = transfer::Options {
        scratch: scratch.clone().unwrap_or(usual),
        runs: *runs,
        single: single.as_u64() as usize,
        each: each.as_u64() as usize,
        far: far.as_u64() as usize,
        chunks,
    };
    print(&transfer::run(&options).map_err(Failure::Internal)?)
}
