//! Tasks that are nothing, from submission to acceptance, through a real nats-server: how fast work can be handed out.
//!
//! Server, driver and nodes are on this machine; the driver's ledger is a journal on the disk or in a Postgres, the nodes have a
//! connection each and answer at once. First everything at once, for the throughput; then half of that rate, for the latency.

mod fleet;
mod timed;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vtp_fleet::server::Sync;

use crate::table::Table;
use fleet::Fleet;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// nats-server.
    pub server: PathBuf,
    /// Where server and ledger keep what they keep; a folder that exists.
    pub folder: PathBuf,
    /// The database of the ledger, whose tables are there; without one it is a journal.
    pub ledger: Option<String>,
    /// How many nodes.
    pub nodes: usize,
    /// How many tasks a node has at a time.
    pub slots: u16,
    /// How many tasks for the throughput.
    pub tasks: u32,
    /// Bytes of a task.
    pub bytes: usize,
    /// For how long the latency is measured.
    pub latency_for: Duration,
    /// At how many tasks a second; half of the throughput, if nothing is said.
    pub rate: Option<f64>,
}

/// Tasks of a job when everything is submitted at once.
const JOB: u32 = 1_000;
/// How often a job is submitted when the latency is measured.
const PACE: Duration = Duration::from_millis(20);

/// Measures with both ways to sync, and returns a table in Markdown.
///
/// # Errors
/// A server that does not start, or a fleet that does not do its work.
pub fn run(options: &Options) -> Result<String> {
    let mut table = Table::new(&[
        "nats-server",
        "nodes × slots",
        "tasks",
        "tasks/s",
        "coordinator events/s",
        "tasks a sync of the ledger",
        "latency at tasks/s",
        "dispatch p50",
        "dispatch p99",
        "submitted to accepted p50",
        "p99",
    ]);
    for (sync, name) in [(Sync::Always, "`sync_interval: always`"), (Sync::Default, "default")] {
        table.row(measure(options, sync, name)?);
    }
    Ok(table.text())
}

fn measure(options: &Options, sync: Sync, name: &str) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut fleet = Fleet::start(options, sync).await.with_context(|| format!("a fleet with {name}"))?;
        let throughput = throughput(options, &mut fleet).await?;
        let rate = options.rate.unwrap_or(throughput.tasks_per_s / 2.0);
        let latency = latency(options, &mut fleet, rate).await?;
        fleet.stop().await;
        let ms = |it: Duration| format!("{:.1} ms", it.as_secs_f64() * 1e3);
        Ok(vec![
            name.to_owned(),
            format!("{} × {}", options.nodes, options.slots),
            options.tasks.to_string(),
            format!("{:.0}", throughput.tasks_per_s),
            format!("{:.0}", throughput.events_per_s),
            format!("{:.1}", throughput.tasks_per_turn),
            format!("{rate:.0}"),
            ms(percentile(&latency.dispatch, 50)),
            ms(percentile(&latency.dispatch, 99)),
            ms(percentile(&latency.whole, 50)),
            ms(percentile(&latency.whole, 99)),
        ])
    })
}

struct Throughput {
    tasks_per_s: f64,
    events_per_s: f64,
    tasks_per_turn: f64,
}

struct Latency {
    /// From the call that publishes to the node that has it.
    dispatch: Vec<Duration>,
    /// From the submission to the acceptance, in the ledger.
    whole: Vec<Duration>,
}

async fn throughput(options: &Options, fleet: &mut Fleet) -> Result<Throughput> {
    let before = fleet.counts();
    let start = Instant::now();
    let mut left = options.tasks;
    while left > 0 {
        let tasks = left.min(JOB);
        left -= tasks;
        fleet.submit(tasks).await?;
    }
    fleet.accepted(options.tasks).await?;
    let seconds = start.elapsed().as_secs_f64();
    let after = fleet.counts();
    fleet.forget_latencies();
    Ok(Throughput {
        tasks_per_s: f64::from(options.tasks) / seconds,
        events_per_s: (after.events - before.events) as f64 / seconds,
        tasks_per_turn: f64::from(options.tasks) / (after.turns - before.turns).max(1) as f64,
    })
}

async fn latency(options: &Options, fleet: &mut Fleet, rate: f64) -> Result<Latency> {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (mut submitted, mut due) = (0, 0.0);
    let start = Instant::now();
    while start.elapsed() < options.latency_for {
        pace.tick().await;
        due += rate * PACE.as_secs_f64();
        let tasks = due as u32;
        due -= f64::from(tasks);
        if tasks > 0 {
            fleet.submit(tasks).await?;
            submitted += tasks;
        }
    }
    let whole = fleet.accepted(submitted).await?;
    Ok(Latency { dispatch: fleet.latencies(), whole })
}

/// Nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
