//! `vtp bench api`: the whole platform on this machine, under load.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use vtp_benches::api;

use crate::exit::Failure;
use crate::fleet::up::{Api, Machine, Options};
use crate::place::{self, Place};
use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// A short video, for the jobs that are ordered and never made
    clip: PathBuf,
    /// Users
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = crate::parse::at_least_one)]
    users: usize,
    /// How many of them have a video
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = crate::parse::at_least_one)]
    writers: usize,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// For how many seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Streams of events that are open at once
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    listeners: usize,
    /// Videos of the batches
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "500,10000")]
    batches: Vec<usize>,
    /// Where sources are: a folder, or s3://BUCKET/PREFIX [default: a folder that is removed at the end]
    #[arg(long, value_name = "PLACE", value_parser = place::parser())]
    store: Option<Place>,
    /// Where chance begins [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// The nats-server to run
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    super::require_clips(std::slice::from_ref(&arguments.clip))?;
    print(&measure(arguments).map_err(Failure::Internal)?)
}

fn measure(arguments: &Arguments) -> Result<String> {
    let Arguments { clip, users, writers, rate, seconds, listeners, batches, store, seed, server } = arguments.clone();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("--seed {seed}");
    crate::fleet::member::raise_file_limit();
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("platform");
    // Nothing is encoded: it is the API that is measured.
    let settings =
        vec![("VTP_CONTROL_TRUSTED_PROXIES", r#"["127.0.0.1"]"#.to_owned()), ("VTP_CONTROL_JOBS", "0".to_owned())];
    let platform = Api { port: 0, store, settings };
    let options = Options { nodes: 1, slots: 1, port: 0, server, log: None, api: Some(platform) };
    let machine = Machine::start(&home, &options)?;
    let url = machine.api()?.context("there is no API")?.to_owned();
    let pid = machine.processes.iter().find(|it| it.name() == "control-plane").and_then(|it| it.pid());
    let lasts = Duration::from_secs(seconds);
    let rate = f64::from(rate);
    let told = api::run(&api::Options { url, pid, clip, users, writers, rate, lasts, listeners, batches, seed });
    machine.leave();
    told
}
