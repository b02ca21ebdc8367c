//! How chunk bytes travel: QUIC against HTTP/1.1 over TCP with TLS on the loopback device, and QUIC over a bad
//! network. All in this process: both sides of every run share the machine's cores.

mod ahead;
mod far;
mod http;
mod loopback;
mod scene;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use vtp_fleet::transfer::quic::{Congestion, Tuning};

use crate::measured::median;
use crate::table::Table;
pub use ahead::Chunks;
use ahead::Link;
use loopback::Pair;
use scene::Scene;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder that objects arrive below; best in memory, as what is measured is not the disk.
    pub scratch: PathBuf,
    /// Runs of each side.
    pub runs: usize,
    /// Bytes of the object that travels alone.
    pub single: usize,
    /// Bytes of each of the 64 objects that travel at once.
    pub each: usize,
    /// Bytes of the object over the bad network.
    pub far: usize,
    /// What a node fetches ahead.
    pub chunks: Chunks,
}

/// Objects that travel at once.
const AT_ONCE: u32 = 64;

/// What crosses the relay: 50 ms later in each direction, one datagram in a hundred lost, 25 MB/s (200 Mb/s) at most.
const DELAY: Duration = Duration::from_millis(50);
const LOSS_PERMILLE: u32 = 10;
const RATE: u64 = 25_000_000;

/// Measures, and returns tables in Markdown.
///
/// # Errors
/// Anything that does not arrive as it was sent.
pub fn run(options: &Options) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime
        .block_on(async { Ok(format!("{}\n{}\n{}", near(options).await?, far(options).await?, ahead(options).await?)) })
}

/// Runs of both kinds take turns.
async fn ahead(options: &Options) -> Result<String> {
    let scene = Arc::new(Scene::new(&options.scratch)?);
    let Chunks { count, packets, encode } = options.chunks;
    let head = format!("{count} chunks of {} MiB, {} s each", packets >> 20, encode.as_secs_f64());
    let mut table =
        Table::new(&[&head, "slots", "fetched when begun, s", "while others are encoded, s", "encoding alone, s"]);
    for (link, name) in [(Link::Loopback, "loopback"), (Link::Far, "the bad network")] {
        for slots in [1, 2] {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..options.runs.div_ceil(3) {
                for (ahead, times) in (0..).zip(&mut times) {
                    times.push(ahead::run(&scene, options.chunks, link, slots, ahead).await?);
                }
            }
            let [without, with] = times.map(|times| format!("{:.1}", median(times.into_iter())));
            let least = encode.as_secs_f64() * f64::from(count.div_ceil(slots.into()));
            table.row(vec![name.to_owned(), slots.to_string(), without, with, format!("{least:.1}")]);
        }
    }
    Ok(table.text())
}

async fn near(options: &Options) -> Result<String> {
    let Options { scratch, runs, single, each, .. } = options;
    let scene = Scene::new(scratch)?;
    let usual = Tuning::default();
    // As between two machines on Ethernet, but for TCP, whose packets the loopback device takes whole.
    let small = Tuning { loopback_payload: None, largest_payload: 1452, ..usual };
    let mut table = Table::new(&[
        "objects at once",
        "UDP payload",
        "QUIC MB/s",
        "HTTP MB/s",
        "ratio (median of pairs)",
        "QUIC CPU s/GB",
        "HTTP CPU s/GB",
    ]);
    for (at_once, size) in [(1, *single), (AT_ONCE, *each)] {
        for (tuning, payload) in [(usual, "as shipped"), (small, "at most 1452")] {
            let pairs = loopback::run(&scene, at_once, size, *runs, tuning).await?;
            let figure = |of: fn(&Pair) -> f64| median(pairs.iter().map(of));
            table.row(vec![
                at_once.to_string(),
                payload.to_owned(),
                format!("{:.0}", figure(|pair| pair.quic.speed)),
                format!("{:.0}", figure(|pair| pair.http.speed)),
                format!("{:.2}", figure(|pair| pair.quic.speed / pair.http.speed)),
                format!("{:.2}", figure(|pair| pair.quic.cpu)),
                format!("{:.2}", figure(|pair| pair.http.cpu)),
            ]);
        }
    }
    Ok(table.text())
}

async fn far(options: &Options) -> Result<String> {
    let scene = Scene::new(&options.scratch)?;
    let mut table = Table::new(&[
        "congestion control",
        "objects at once",
        "cuts",
        "seconds",
        "MB/s",
        "longest gap s",
        "datagrams lost",
        "bytes in vain",
    ]);
    for (congestion, name) in [(Congestion::Bbr, "BBR"), (Congestion::Cubic, "Cubic")] {
        // Cubic would take minutes for as much.
        let bytes = match congestion {
            Congestion::Bbr => options.far,
            Congestion::Cubic => options.far / 8,
        };
        for (at_once, cuts) in [(1, 0), (8, 0), (1, 2)] {
            let run = far::run(&scene, congestion, at_once, bytes / at_once as usize, cuts).await?;
            table.row(vec![
                name.to_owned(),
                at_once.to_string(),
                cuts.to_string(),
                format!("{:.1}", run.seconds),
                format!("{:.2}", run.bytes as f64 / 1e6 / run.seconds),
                format!("{:.2}", run.longest_gap),
                format!("{} of {}", run.lost, run.arrived),
                run.in_vain.to_string(),
            ]);
        }
    }
    Ok(table.text())
}
