//! `vtp stitcher`: makes ladders: `vtp encode`, whose source is looked into by splitters and whose chunks are encoded by nodes. step:
//! pull, run, publish. In: what `vtp encode` was asked for, and encoded chunks. Out: ladders, proven. Never: two runs into one
//! folder.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::bus::{Talk as _, Topic};
use vtp_fleet::client::Client;
use vtp_fleet::messages::{AttemptId, Offer, Standing, Why};
use vtp_fleet::node::{self, Outcome as Done, Settings, Work};
use vtp_fleet::transfer::quic::{Server, Serves, Tuning};
use vtp_fleet::transfer::{FolderSpool, Nothing};

use super::access::{ListenArguments, MOST, MemberArguments, STITCHERS, pool};
use super::deliveries::{self, Deliveries};
use super::member::{self, HEARTBEAT, Stop};
use super::orders::{self, EncodeOrder, Encoded, LONGEST_REPORT};
use super::remote::{Remote, Yard};
use super::told::Told;
use crate::encode;
use crate::encode::made::Made;
use crate::exit::Failure;
use crate::progress::ProgressEvent;
use crate::telemetry::span;
use crate::{Outcome, parse};

/// What a run that nobody has begun again for so long has kept is removed.
const FORGOTTEN: Duration = Duration::from_secs(2 * 24 * 3600);
/// How often it is looked for what is kept and nobody wants any more; also when a run has ended without its ladder.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long that waits for more, and for the driver to know how the run's job stands.
const SETTLED: Duration = Duration::from_secs(10);
/// How long somebody else may hold a ladder's folder before another ladder has the slot, and how often it is looked whether they do.
const BUSY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));
/// Progress that was not told yet; more of it is lost.
const UNTOLD: usize = 256;

/// Make ladders for a fleet, until ^C or SIGTERM; what is under way is handed back then, and goes on where it was
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    member: MemberArguments,

    #[command(flatten)]
    listen: ListenArguments,

    /// Ladders made at the same time
    #[arg(long, value_name = "N", default_value = "4")]
    slots: NonZeroUsize,

    /// Folder for encoded chunks; made if it is not there. With it a stitcher that was killed goes on where it was
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// How long it may take to finish what is under way before that is handed back
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse::duration)]
    drain: Duration,
}

impl Arguments {
    /// What the process is called.
    pub(crate) fn name(&self) -> &str {
        &self.member.name
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for what can't be reached or is set wrongly.
pub fn run(arguments: &Arguments) -> Outcome {
    let slots = arguments.slots.get();
    // Until the end: what lies there is of one life.
    let _held = member::occupy(&arguments.data, "--data")?;
    let (delivered, kept) = (arguments.data.join("delivered"), arguments.data.join("kept"));
    tidy(&delivered, &kept).map_err(|error| Failure::Usage(format!("{}: {error}", arguments.data.display())))?;
    member::live(slots + 16, |leave| async move {
        let member = &arguments.member;
        member.metrics.serve()?;
        let (credentials, bus) = (member.credentials()?, member.connect().await?);
        let spool = Deliveries::new(FolderSpool { folder: delivered, most: MOST });
        let serves = Serves { origin: Nothing, spool: spool.clone() };
        let server = Server::start(arguments.listen.socket(), &credentials, serves, Tuning::default())?;
        let server = Arc::new(server);
        member::show_traffic(&server);
        let spool_at = arguments.listen.reached_at(&server)?;
        let client = Client::start(bus.clone(), member.node()?).await?;
        eprintln!("{} is there, at {spool_at}", member.name);
        let yard = Yard::open(&bus, client, spool.clone(), spool_at).await?;
        let settings = Settings {
            node: member.node()?,
            pool: pool(STITCHERS)?,
            slots: u16::try_from(slots).unwrap_or(u16::MAX),
            ahead: 0,
            heartbeat: HEARTBEAT,
            drain: arguments.drain,
        };
        let shared =
            Shared { bus: bus.clone(), yard: Arc::clone(&yard), kept, turns: Mutex::default(), ended: Notify::new() };
        let shared = Arc::new(shared);
        let sweeping = tokio::spawn(sweep(Arc::clone(&shared), spool));
        tokio::select! {
            ended = node::run(bus, settings, Stitches(shared), leave) => ended?,
            why = yard.refused() => bail!("the driver refuses this stitcher: {why}"),
        }
        sweeping.abort();
        server.close().await;
        Ok(())
    })
}

/// What was delivered to an earlier life and not taken in is of no use; what was taken in is, for a while.
fn tidy(delivered: &Path, kept: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(delivered) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(delivered)?,
    }
    std::fs::create_dir_all(kept)?;
    tidy_kept(kept, &|_| false)
}

/// Removes what was kept for too long by jobs that are not `at_work`.
fn tidy_kept(kept: &Path, at_work: &dyn Fn(&Path) -> bool) -> std::io::Result<()> {
    for entry in std::fs::read_dir(kept)? {
        let entry = entry?;
        let facts = match entry.metadata() {
            // Its job has ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            facts => facts?,
        };
        let age = SystemTime::now().duration_since(facts.modified()?).unwrap_or_default();
        if age > FORGOTTEN && !at_work(&entry.path()) {
            deliveries::remove(&entry.path());
        }
    }
    Ok(())
}

/// Removes what nobody wants any more, now and then.
async fn sweep(shared: Arc<Shared>, spool: Deliveries) {
    loop {
        tokio::select! {
            () = shared.ended.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
        tokio::time::sleep(SETTLED).await;
        if let Err(error) = shared.sweep().await {
            tracing::warn!(%error, "what is kept for nobody is looked for again later");
        }
        if let Err(error) = spool.sweep() {
            tracing::warn!(%error, "what was delivered for nobody is looked for again later");
        }
    }
}

/// Makes ladders.
#[derive(Clone)]
struct Stitches(Arc<Shared>);

struct Shared {
    bus: NatsBus,
    yard: Arc<Yard>,
    /// Where each run keeps what was delivered.
    kept: PathBuf,
    /// Whoever makes a job's ladder: the next waits until the one before has ended, and let go of its folder.
    turns: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
    /// Told when a run has ended and may have left something.
    ended: Notify,
}

impl Work for Stitches {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Done> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> Done {
        let end = Instant::now() + BUSY.0;
        loop {
            match self.attempt(&offer).await {
                Ok(done) => return done,
                Err(Busy(message)) if Instant::now() >= end => return Done::PutDown { message },
                Err(Busy(message)) => tracing::info!(job = offer.id.job, message, "waiting for whoever has the folder"),
            }
            tokio::time::sleep(BUSY.1).await;
        }
    }
}

/// Somebody else has what a ladder needs: as this sentence says.
struct Busy(String);

impl Stitches {
    async fn attempt(&self, offer: &Arc<Offer>) -> Result<Done, Busy> {
        let (tell, told) = mpsc::channel(UNTOLD);
        let telling = tokio::spawn(announce(self.0.bus.clone(), offer.id, told));
        let stop = Stop(Arc::default());
        let (shared, stopped, job) = (Arc::clone(&self.0), Arc::clone(&stop.0), Arc::clone(offer));
        let turn = self.0.turn(offer.id.job).lock_owned().await;
        let made = tokio::task::spawn_blocking(move || {
            let done = shared.make(&job, &tell, &stopped);
            drop(turn);
            shared.leave(job.id.job);
            done
        });
        let made = made.await;
        // It ends with what it is told.
        drop(telling.await);
        made.unwrap_or_else(|error| Ok(Done::Failed { why: Why::Crash, message: error.to_string() }))
    }
}

/// Tells whoever watches how a job goes on.
async fn announce(bus: NatsBus, id: AttemptId, mut told: mpsc::Receiver<ProgressEvent>) {
    while let Some(event) = told.recv().await {
        let told = match serde_json::to_vec(&Told { attempt: id.attempt, event }) {
            Ok(words) => bus.announce(Topic::Progress(id.job), words.into()).await.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "progress is not told");
        }
    }
}

#[derive(Debug, Parser)]
#[command(name = "vtp encode", no_binary_name = true)]
struct Line {
    #[command(flatten)]
    arguments: encode::arguments::Arguments,
}

impl Shared {
    fn turn(&self, job: u64) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(job).or_default())
    }

    /// Lets go of a job's turns where nobody waits for one.
    fn leave(&self, job: u64) {
        self.ended.notify_one();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.get(&job).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&job);
        }
    }

    fn make(&self, offer: &Offer, tell: &mpsc::Sender<ProgressEvent>, stop: &AtomicBool) -> Result<Done, Busy> {
        let order = match orders::read(&offer.body) {
            Err(error @ orders::Error::OtherBuild) => return Ok(Done::Unfit { message: error.to_string() }),
            order => order.context("the job").map_err(Failure::Internal),
        };
        let made = order.and_then(|order: EncodeOrder| {
            let (arguments, attempt) = (order.arguments()?, i64::from(offer.id.attempt));
            let span = tracing::info_span!("ladder", input = encode::name(arguments.input()), attempt);
            span::within(span::below(span, offer.trace), || self.ladder(offer.id.job, &arguments, tell, stop))
        });
        let encoded = match made {
            Ok(encoded) => encoded,
            Err(Failure::Busy(message)) => return Err(Busy(message)),
            // Another time it may go well.
            Err(failure @ (Failure::Internal(_) | Failure::Interrupted(_))) => {
                let message = failure.sentence().unwrap_or_default();
                tracing::warn!(job = offer.id.job, message, "a ladder was not made");
                return Ok(Done::Failed { why: Why::Retryable, message });
            }
            Err(failure) => {
                let fault = match &failure {
                    Failure::Input { fault, .. } => Some(*fault),
                    _ => None,
                };
                Encoded::Failed { exit: failure.code(), fault, message: failure.sentence().unwrap_or_default() }
            }
        };
        self.forget(offer.id.job);
        Ok(match orders::write(&encoded) {
            Ok(result) => Done::Finished { result },
            Err(error) => Done::Failed { why: Why::Permanent, message: error.to_string() },
        })
    }

    fn ladder(
        &self,
        job: u64,
        arguments: &encode::arguments::Arguments,
        tell: &mpsc::Sender<ProgressEvent>,
        stop: &AtomicBool,
    ) -> Result<Encoded, Failure> {
        let kept = self.kept.join(job.to_string());
        let made = std::fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()));
        made.map_err(Failure::Internal)?;
        let fleet = Remote::new(Arc::clone(&self.yard), job, arguments.limits(), kept);
        // Whoever watches may be slower than this.
        let progress = |event| drop(tell.try_send(event));
        let Made { report, folder } = encode::make(arguments, Some(&fleet), &progress, stop)?;
        let report = serde_json::to_string(&report).context("cannot write the report").map_err(Failure::Internal)?;
        let report = Some(report).filter(|report| report.len() <= LONGEST_REPORT);
        Ok(Encoded::Made { folder: folder.into(), report })
    }

    /// What a run has kept that has ended.
    fn forget(&self, job: u64) {
        deliveries::remove(&self.kept.join(job.to_string()));
    }

    fn is_at_work(&self, job: u64) -> bool {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get(&job).is_some_and(|turn| Arc::strong_count(turn) > 1)
    }

    /// Removes what jobs have kept that have ended, wherever they did, or that the driver does not know.
    async fn sweep(&self) -> anyhow::Result<()> {
        let job = |path: &Path| path.file_name()?.to_str()?.parse().ok();
        let mut idle = Vec::new();
        for entry in std::fs::read_dir(&self.kept)? {
            idle.extend(job(&entry?.path()).filter(|job| !self.is_at_work(*job)));
        }
        if !idle.is_empty() {
            let standings = self.yard.standings(&idle).await?;
            let ended = standings.into_iter().filter(|(_, standing)| *standing != Standing::Active);
            ended.filter(|(job, _)| !self.is_at_work(*job)).for_each(|(job, _)| self.forget(job));
        }
        Ok(tidy_kept(&self.kept, &|path| job(path).is_some_and(|job| self.is_at_work(job)))?)
    }
}

impl EncodeOrder {
    /// The command that was given elsewhere.
    pub(super) fn arguments(self) -> Result<encode::arguments::Arguments, Failure> {
        let line = Line::try_parse_from(self.words).map_err(|error| Failure::Usage(error.to_string()))?;
        line.arguments.given_in(Path::new(&self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_long_ago(kept: &Path, jobs: [&str; 3]) {
        for job in jobs {
            std::fs::create_dir(kept.join(job)).unwrap();
            let long_ago = SystemTime::now() - 2 * FORGOTTEN;
            std::fs::File::open(kept.join(job)).unwrap().set_modified(long_ago).unwrap();
        }
    }

    #[test]
    fn what_goes_while_it_is_looked_for_what_was_kept_for_too_long_keeps_nothing_else() {
        let kept = tempfile::tempdir().unwrap();
        kept_long_ago(kept.path(), ["1", "2", "3"]);
        // Whichever is looked at first, another goes at that moment.
        let first = std::cell::RefCell::new(None);
        let at_work = |path: &Path| {
            if first.replace(Some(path.to_owned())).is_none() {
                let mut others = std::fs::read_dir(kept.path()).unwrap().map(|entry| entry.unwrap().path());
                std::fs::remove_dir(others.find(|other| other != path).unwrap()).unwrap();
            }
            false
        };
        tidy_kept(kept.path(), &at_work).unwrap();
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
    }

    #[test]
    fn what_a_job_keeps_that_is_at_work_stays_however_long_ago_it_was() {
        let kept = tempfile::tempdir().unwrap();
        kept_long_ago(kept.path(), ["1", "2", "3"]);
        tidy_kept(kept.path(), &|path| path.ends_with("2")).unwrap();
        assert!(kept.path().join("2").is_dir());
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1);
    }
}
