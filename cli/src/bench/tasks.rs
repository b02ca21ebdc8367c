//! `vtp bench tasks`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use vtp_benches::tasks;
use vtp_control_plane::db;
use vtp_fleet::ledger::PostgresLedger;

use crate::exit::Failure;
use crate::{Outcome, print};

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// nats-server [default: the one that `make nats` installed here or above, or the one on the path]
    #[arg(long, value_name = "FILE", env = "NATS_SERVER")]
    server: Option<PathBuf>,
    /// Where server and ledger write; on the disk that is to be measured [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// A database for the ledger, such as postgres://USER:PASSWORD@HOST/NAME, that nothing else uses [default: a journal in the folder]
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Nodes, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = crate::parse::at_least_one)]
    nodes: usize,
    /// Tasks that a node has at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
    /// Tasks for the throughput
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Bytes of a task
    #[arg(long, value_name = "N", default_value_t = 512)]
    bytes: usize,
    /// Seconds for the latency
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Tasks a second for the latency [default: half of the throughput]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { server, folder, ledger, nodes, slots, tasks, bytes, seconds, rate } = arguments.clone();
    let missing = || anyhow!("no nats-server: put one on the path, name it by --server, or run make nats");
    let server = server.or_else(vtp_fleet::server::binary).ok_or_else(|| Failure::Usage(missing().to_string()))?;
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    let latency_for = Duration::from_secs(seconds);
    if let Some(url) = &ledger {
        bring_up(url).map_err(Failure::Internal)?;
    }
    let rate = rate.map(f64::from);
    let options = tasks::Options { server, folder, ledger, nodes, slots, tasks, bytes, latency_for, rate };
    print(&tasks::run(&options).map_err(Failure::Internal)?)
}

/// Makes the tables of the ledger.
fn bring_up(url: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(db::migrate(PostgresLedger::at(url, "vtp bench tasks")?.database()).await?) })
}
