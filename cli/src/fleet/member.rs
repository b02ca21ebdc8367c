//! What all processes of a fleet have in common: a runtime, a folder to work in, and how they are told to leave.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use vtp_fleet::metrics::BYTES;
use vtp_fleet::transfer::quic::Server;

use crate::exit::Failure;
use crate::held::{Held, Tried};
use crate::scratch::Scratch;
use crate::{Outcome, interrupt};

/// How often a process says that it is alive: far below a lease, and often enough for a driver that has just been started.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a process waits for the one before it to leave: what most of them are given to drain, and some.
const LEAVES: Duration = Duration::from_secs(130);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// A folder to work in, of which only what is below one name is touched, and gone at the end if it is not the user's.
pub(super) struct Workplace {
    /// What is under way lies here; empty at the start.
    pub(super) work: PathBuf,
    _held: Held,
    _own: Option<Scratch>,
}

impl Workplace {
    /// Below `folder`, or where the system keeps temporary files, as a `role`'s. What an earlier life has left is of no use, and
    /// removed; nobody else works there from now on.
    pub(super) fn prepare(folder: Option<&Path>, name: &str, role: &str) -> Result<Self, Failure> {
        let own = match folder {
            Some(_) => None,
            None => Some(Scratch::new(role)),
        };
        let own = own.transpose().map_err(|error| Failure::Internal(error.into()))?;
        let folder = folder.or(own.as_ref().map(Scratch::path)).unwrap_or(Path::new("."));
        let work = folder.join(name);
        let held = occupy(&work, "--folder")?;
        clear(&work).map_err(|error| unusable(&work, &error))?;
        Ok(Self { work, _held: held, _own: own })
    }
}

fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn unusable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", folder.display()))
}

/// Makes `folder`, if it is not there, and holds it against other processes. One that had it before and is about to leave is waited
/// for; `option` is what tells two that are to stay apart.
///
/// # Errors
/// [`Failure::Usage`]: another one stays, or there can be no such folder.
pub(super) fn occupy(folder: &Path, option: &str) -> Result<Held, Failure> {
    occupy_within(LEAVES, folder, option)
}

fn occupy_within(patience: Duration, folder: &Path, option: &str) -> Result<Held, Failure> {
    let (begun, mut is_told) = (Instant::now(), false);
    loop {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        match Held::take(folder).map_err(|error| unusable(folder, &error))? {
            Tried::Held(held) => return Ok(held),
            Tried::Busy | Tried::Gone if begun.elapsed() >= patience => {
                let folder = folder.display();
                return Err(Failure::Usage(format!(
                    "{folder} is in use by another process: end that one, or give each a {option} of its own"
                )));
            }
            Tried::Busy if !is_told => {
                eprintln!("waiting for the process that works in {}", folder.display());
                is_told = true;
            }
            Tried::Busy | Tried::Gone => std::thread::sleep(LOOK.min(patience)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_in_the_same_folder_is_told_what_to_do_and_touches_nothing() {
        let root = tempfile::tempdir().unwrap();
        let place = Workplace::prepare(Some(root.path()), "work", "node").unwrap();
        std::fs::write(place.work.join("chunk"), "under way").unwrap();
        let told = occupy_within(Duration::ZERO, &place.work, "--folder").unwrap_err();
        assert_eq!(told.code(), 2);
        let told = told.sentence().unwrap();
        assert!(
            told.ends_with("is in use by another process: end that one, or give each a --folder of its own"),
            "{told}"
        );
        assert!(place.work.join("chunk").exists());
        drop(place);
        let place = Workplace::prepare(Some(root.path()), "work", "node").unwrap();
        assert_eq!(std::fs::read_dir(&place.work).unwrap().count(), 0, "what an earlier life has left");
    }

    #[test]
    fn whoever_is_about_to_leave_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        let before = occupy(&folder, "--data").unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| occupy(&folder, "--data"));
            std::thread::sleep(Duration::from_millis(300));
            assert!(!next.is_finished());
            drop(before);
            next.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_place_of_ones_own_is_gone_at_the_end() {
        let place = Workplace::prepare(None, "work", "node").unwrap();
        let work = place.work.clone();
        assert!(work.is_dir());
        drop(place);
        assert!(!work.parent().unwrap().exists());
    }
}
