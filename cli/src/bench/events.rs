//! `vtp bench events`.

use std::time::Duration;

use clap::Args;
use vtp_benches::simulate::{self, EventLoad};

use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Workers, all of which are busy
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    workers: u64,
    /// Jobs at a time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    jobs: u64,
    /// Tasks of each job
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tasks: u32,
    /// How long each measurement takes, in seconds of a core's time
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { workers, jobs, tasks, seconds } = *arguments;
    print(&simulate::events(&EventLoad { workers, jobs, tasks, seconds: Duration::from_secs(seconds) }))
}
