//! `vtp driver`: keeps the truth about jobs and says who does what. In: jobs of clients, news of nodes. Out: tasks. Never: a byte
//! of a video.

use std::path::PathBuf;

use clap::Args;
use vtp_engine::coordinator::{Skill, Skills};
use vtp_fleet::driver::{self, Driver};
use vtp_fleet::ledger::FileLedger;

use super::access::{AHEAD, LoginArguments, NODES, SPLITTERS, STITCHERS, pool};
use super::member::{self, MetricsArguments};
use super::skills;
use crate::Outcome;
use crate::telemetry::DriverSpans;

/// Drive a fleet: keep a ledger of its jobs, and hand out their tasks to splitters, nodes and stitchers, until ^C or SIGTERM
#[derive(Debug, Args)]
pub struct Arguments {
    /// NATS servers, such as nats://nats-1:4222, parted by commas
    #[arg(long, value_name = "URLS")]
    cluster: String,

    /// Folder of the ledger; made if it is not there. With it a driver goes on where one before has ended, however that was
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// On how many NATS servers streams are kept: 3 on a cluster of three, of which one may be lost then
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,

    #[command(flatten)]
    login: LoginArguments,

    #[command(flatten)]
    metrics: MetricsArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`](crate::exit::Failure::Usage) for what can't be reached or is set wrongly.
pub fn run(arguments: &Arguments) -> Outcome {
    member::live(8, |mut leave| async move {
        arguments.metrics.serve()?;
        let bus = arguments.login.connect(&arguments.cluster, "driver", arguments.replicas.into()).await?;
        let ledger = FileLedger::open(&arguments.data)?;
        driver::alone(&bus).await?;
        let only = |skill| Skills::NONE.with(skill);
        let pools =
            [(pool(NODES)?, skills()), (pool(SPLITTERS)?, only(Skill::Split)), (pool(STITCHERS)?, only(Skill::Stitch))];
        let ahead = [(pool(NODES)?, AHEAD)].into();
        let config = driver::Config { ahead, ..driver::Config::fleet(pools.into()) };
        let (mut driver, handle, notices) = Driver::start(bus.clone(), ledger, config).await?;
        if let Some(spans) = DriverSpans::begin() {
            driver.trace_to(spans);
        }
        let desk = driver.take_desk();
        eprintln!("the driver is there");
        tokio::select! {
            ended = driver.run() => ended?,
            ended = driver::serve(bus, handle, desk, notices) => ended?,
            // What it knows is in its ledger.
            _ = leave.changed() => {}
        }
        Ok(())
    })
}
