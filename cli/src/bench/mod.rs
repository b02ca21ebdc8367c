//! `vtp bench`: step: measure, print tables. In: clips, a peer's binary. Out: Markdown on stdout. Never: a verdict by
//! timing in the tests.

mod ab_av1;
mod api;
mod chunking;
mod copy;
mod drill;
mod events;
mod faults;
mod gate;
mod kill;
mod ladder;
mod mutate;
mod outages;
mod simulate;
mod sweep;
mod tasks;
mod transfer;
mod truth;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vtp_engine::ladder::LadderRequest;

use crate::Outcome;
use crate::exit::Failure;

/// Measure this machine, and this program against its peers.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The whole pipeline against one ffmpeg command that makes the same ladder
    Ladder(ladder::Arguments),
    /// `--ladder copy` against `ffmpeg -c copy -f hls`
    Copy(copy::Arguments),
    /// What the quality gate costs, against an ffmpeg that makes the ladder and then measures it
    Gate(gate::Arguments),
    /// Our scores against those of ffmpeg's filter libvmaf
    Truth(truth::Arguments),
    /// What encoding in chunks costs in bits: Bjøntegaard's delta rate against one encode of the whole
    Chunking(chunking::Arguments),
    /// `--quality T --save` against `ab-av1 auto-encode --min-vmaf T`
    AbAv1(ab_av1::Arguments),
    /// Runs that are killed at random moments and started again, against one that is not disturbed
    Kill(kill::Arguments),
    /// A fleet under a batch of jobs, whose processes are killed at random moments
    Faults(faults::Arguments),
    /// Every file of some folders through `vtp encode` and an independent checker
    Sweep(sweep::Arguments),
    /// Damaged copies of files through `vtp encode`: each has to be proven or refused
    Mutate(mutate::Arguments),
    /// The coordinator of a fleet in virtual time: nodes that die, are slow, cut off and heard late
    Simulate(simulate::Arguments),
    /// How many events a second the coordinator of a fleet takes on one core
    Events(events::Arguments),
    /// Chunk bytes by QUIC: against HTTP/1.1 over TCP with TLS, and over a bad network
    Transfer(transfer::Arguments),
    /// Tasks that are nothing through a real nats-server: how fast work can be handed out
    Tasks(tasks::Arguments),
    /// The API with its database: requests at a rate, streams that hear nothing, batches
    Api(api::Arguments),
    /// Batches of the API, while its control plane, database, NATS and driver are killed at random moments
    Outages(outages::Arguments),
}

/// A ladder by its name on the command line, and that name.
#[derive(Clone, Debug)]
struct NamedLadder {
    request: LadderRequest,
    name: String,
}

/// # Errors
/// A sentence, for a rung that is not known.
fn named_ladder(name: &str) -> Result<NamedLadder, String> {
    let request = name.parse().map_err(|error: vtp_engine::ladder::UnknownPreset| error.to_string())?;
    Ok(NamedLadder { request, name: name.to_owned() })
}

/// Runs the command.
///
/// # Errors
/// [`Failure`], also when a sweep has failures.
pub fn run(arguments: &Arguments) -> Outcome {
    let stop = || {
        vtp_benches::kill_all();
        std::process::exit(crate::exit::INTERRUPTED.into());
    };
    ctrlc::set_handler(stop).map_err(|error| Failure::Internal(error.into()))?;
    let vtp = std::env::current_exe().map_err(|error| Failure::Internal(error.into()))?;
    match &arguments.what {
        What::Ladder(arguments) => ladder::run(vtp, arguments),
        What::Copy(arguments) => copy::run(vtp, arguments),
        What::Gate(arguments) => gate::run(vtp, arguments),
        What::Truth(arguments) => truth::run(vtp, arguments),
        What::Chunking(arguments) => chunking::run(vtp, arguments),
        What::AbAv1(arguments) => ab_av1::run(vtp, arguments),
        What::Kill(arguments) => kill::run(vtp, arguments),
        What::Faults(arguments) => faults::run(&vtp, arguments),
        What::Sweep(arguments) => sweep::run(vtp, arguments),
        What::Mutate(arguments) => mutate::run(vtp, arguments),
        What::Simulate(arguments) => simulate::run(arguments),
        What::Events(arguments) => events::run(arguments),
        What::Transfer(arguments) => transfer::run(arguments),
        What::Tasks(arguments) => tasks::run(arguments),
        What::Api(arguments) => api::run(arguments),
        What::Outages(arguments) => outages::run(arguments),
    }
}

/// What was asked for, or one a core.
fn workers(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The clips that exist; every benchmark looks before it starts, for it may take long to come to the last one.
fn require_clips(clips: &[PathBuf]) -> Outcome {
    clips.iter().try_for_each(|clip| crate::probe::require_file(clip))
}
