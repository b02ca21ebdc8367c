//! What all processes of a fleet have in common: a runtime, a folder to work in, and how they are told to leave.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use vtp_fleet::metrics::BYTES;
use vtp_fleet::transfer::quic::Server;

use crate::exit::Failure;
use crate::{Outcome, interrupt};

/// How often a process says that it is alive: far below a lease, and often enough for a driver that has just been started.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// A folder to work in, of which only what is below one name is touched, and gone at the end if it is not the user's.
pub(super) struct Workplace {
    /// What is under way lies here; empty at the start.
    pub(super) work: PathBuf,
    _own: Option<tempfile::TempDir>,
}

impl Workplace {
    /// Below `folder`, or where the system keeps temporary files. What an earlier life has left is of no use, and removed.
    pub(super) fn prepare(folder: Option<&Path>, name: &str) -> Result<Self, Failure> {
        let own = match folder {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix(name).tempdir()),
        };
        let own = own.transpose().map_err(|error| Failure::Internal(error.into()))?;
        let folder = folder.or(own.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
        let work = folder.join(name);
        let cleared = match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir_all(&work),
        };
        cleared.map_err(|error| Failure::Usage(format!("{}: {error}", work.display())))?;
        Ok(Self { work, _own: own })
    }
}

/// Where Prometheus may ask what a process of a fleet counts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(crate) struct MetricsArguments {
    /// Serve metrics for Prometheus at this address, such as 127.0.0.1:9100; any path gives them
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

/// How often what was measured is put into its buckets where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of all histograms, in seconds.
const BUCKETS: [f64; 14] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0];

impl MetricsArguments {
    /// Serves them from now on, if it is to. Needs a runtime.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub(crate) fn serve(&self) -> anyhow::Result<()> {
        let Some(address) = self.metrics else { return Ok(()) };
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.with_http_listener(address);
        builder.install().with_context(|| format!("--metrics {address}"))?;
        vtp_fleet::metrics::describe();
        Ok(())
    }

    /// Keeps them from now on for whoever has an address of its own to show them at. Needs a runtime.
    ///
    /// # Errors
    /// Somebody keeps them already.
    pub(crate) fn gather() -> anyhow::Result<Written> {
        let kept = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
        let tidied = kept.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                tidied.run_upkeep();
            }
        });
        vtp_fleet::metrics::describe();
        Ok(Arc::new(move || kept.render()))
    }
}

/// What writes metrics down, for whoever shows them at an address of its own.
pub(crate) type Written = Arc<dyn Fn() -> String + Send + Sync>;

/// Tells the metrics every second what a server has sent and received.
pub(super) fn show_traffic(server: &Arc<Server>) {
    let server = Arc::downgrade(server);
    tokio::spawn(async move {
        while let Some(server) = server.upgrade() {
            metrics::counter!(BYTES, "direction" => "sent").absolute(server.traffic().sent());
            metrics::counter!(BYTES, "direction" => "received").absolute(server.traffic().received());
            drop(server);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Lets this process, and those that it starts, have as many files and connections open as the system allows: what is usual, 1,024, is
/// too few for a server. Where it can't be, it is as it was.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "no more files can be open than before");
    }
}

pub(super) fn runtime(blocking: usize) -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(blocking).build();
    runtime.map_err(|error| Failure::Internal(error.into()))
}

/// Lives as `life` says, which ends after it was told to leave, or fails.
pub(crate) fn live<F>(blocking: usize, life: impl FnOnce(watch::Receiver<bool>) -> F) -> Outcome
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (leave, runtime) = (interrupt::listen()?, runtime(blocking)?);
    let done = runtime.block_on(async { life(leaving(&leave)).await });
    // Whoever still works is of no use any longer.
    runtime.shutdown_timeout(Duration::from_secs(5));
    done.map_err(|error| Failure::Usage(crate::exit::with_causes(&error)))
}

/// Whether the process is to leave, as it can be waited for.
fn leaving(flag: &Arc<AtomicBool>) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let flag = Arc::clone(flag);
    tokio::spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("leaving; again to end at once");
        // It may be gone.
        let _ = tell.send(true);
        std::future::pending::<()>().await;
    });
    told
}

/// Raises a flag when it is dropped: whoever works for what counts no longer is to end.
pub(super) struct Stop(pub(super) Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
