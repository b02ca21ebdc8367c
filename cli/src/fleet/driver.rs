//! `vtp driver`: keeps the truth about jobs and says who does what. In: jobs of clients, news of nodes. Out: tasks. Never: a byte
//! of a video.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::watch;
use vtp_control_plane::db;
use vtp_engine::coordinator::{Skill, Skills};
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::driver::{self, Config, Turn};
use vtp_fleet::ledger::{FileLedger, Ledger, PostgresLedger};

use super::access::{AHEAD, LoginArguments, NODES, SPLITTERS, STITCHERS, pool};
use super::member::{self, MetricsArguments};
use super::skills;
use crate::Outcome;
use crate::telemetry::DriverSpans;

/// The ledger's database, in the environment.
pub(crate) const LEDGER: &str = "VTP_LEDGER";
/// How long it is waited before a database is asked again that is not there when the driver is started.
const AGAIN: Duration = Duration::from_secs(1);

/// Drive a fleet: keep a ledger of its jobs, and hand out their tasks to splitters, nodes and stitchers, until ^C or SIGTERM
#[derive(Debug, Args)]
pub struct Arguments {
    /// NATS servers, such as nats://nats-1:4222, parted by commas
    #[arg(long, value_name = "URLS")]
    cluster: String,

    /// The ledger is in this database, such as postgres://USER:PASSWORD@HOST/NAME; on a command line others see the password, in the
    /// environment they don't. Of several drivers that have it one leads, and
    /// the others stand by; each goes on where the one before has ended, however that was
    #[arg(long, value_name = "URL", env = LEDGER, hide_env_values = true, required_unless_present = "data")]
    ledger: Option<String>,

    /// The ledger is in this folder, made if it is not there: for one driver, where there is no Postgres; it counts before --ledger
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

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
        if let Some(url) = arguments.ledger.as_ref().filter(|_| arguments.data.is_none()) {
            let ledger = PostgresLedger::at(url, &own_name()).context("--ledger")?;
            let ready = tokio::select! {
                ready = bring_up(&ledger) => ready,
                _ = leave.changed() => return Ok(()),
            };
            ready?;
            return drive(bus, ledger, leave).await;
        }
        let folder = arguments.data.as_deref().context("--ledger or --data is missing")?;
        let ledger = FileLedger::open(folder)?;
        driver::alone(&bus).await?;
        drive(bus, ledger, leave).await
    })
}

/// What others call this driver.
fn own_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}, process {}", std::process::id())
}

/// Brings the tables up. A database that is away is waited for.
async fn bring_up(ledger: &PostgresLedger) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let error = match db::migrate(ledger.database()).await {
            Ok(()) => return Ok(()),
            Err(error) if db::may_migrate_later(&error) => error,
            Err(error) => return Err(error).context("the tables of --ledger can't be made"),
        };
        if !std::mem::replace(&mut told, true) {
            eprintln!("the ledger's database can't be reached, and is waited for: {error}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn drive<L: Ledger + Clone>(bus: NatsBus, mut ledger: L, mut leave: watch::Receiver<bool>) -> anyhow::Result<()> {
    let told = |turn: Turn<'_>| match turn {
        Turn::Leads => eprintln!("the driver is there"),
        Turn::StandsBy(why) => eprintln!("the driver stands by: {why}"),
    };
    let ended = tokio::select! {
        ended = driver::take_turns(bus, ledger.clone(), config()?, DriverSpans::begin, told) => ended,
        // What it knows is in its ledger.
        _ = leave.changed() => Ok(()),
    };
    if let Err(error) = ledger.leave().await {
        tracing::warn!(%error, "whoever stands by waits until the lease has run out");
    }
    Ok(ended?)
}

fn config() -> anyhow::Result<Config> {
    let only = |skill| Skills::NONE.with(skill);
    let pools =
        [(pool(NODES)?, skills()), (pool(SPLITTERS)?, only(Skill::Split)), (pool(STITCHERS)?, only(Skill::Stitch))];
    Ok(Config { ahead: [(pool(NODES)?, AHEAD)].into(), ..Config::fleet(pools.into()) })
}
