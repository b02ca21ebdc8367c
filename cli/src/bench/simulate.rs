//! `vtp bench simulate`.

use clap::Args;
use vtp_benches::simulate::{self, Trouble};

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Nodes, each of which does one task at a time
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    nodes: u64,
    /// Jobs at a time; where one ends another comes
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    jobs: u64,
    /// Jobs in all [default: three times as many]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    total: Option<u64>,
    /// How many worlds, each with its own seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first world's seed; the same seed gives the same world again
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print every event and what the coordinator answers, also those of a world that fails
    #[arg(long)]
    trace: bool,
    /// No second attempts beside stragglers
    #[arg(long)]
    no_speculation: bool,
    /// Nothing is stopped for the sake of what is more urgent
    #[arg(long)]
    no_preemption: bool,
    /// The coordinator is not told when jobs are due
    #[arg(long)]
    no_deadlines: bool,
    /// Everything at once that can go wrong, and much of it
    #[arg(long)]
    harsh: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { nodes, jobs, total, seeds, seed, trace, no_speculation, no_preemption, no_deadlines, harsh } =
        *arguments;
    let options = simulate::Options {
        nodes,
        jobs,
        total: total.unwrap_or(3 * jobs),
        seeds,
        seed,
        trace,
        speculation: !no_speculation,
        preemption: !no_preemption,
        deadlines: !no_deadlines,
        trouble: if harsh { Trouble::harsh() } else { Trouble::usual() },
    };
    print(&simulate::run(&options).map_err(Failure::Internal)?)
}
