//! The shell around [`Core`]: a loop with a clock, a ledger and a bus.
//!
//! One turn: wait for something; take all that is there; one step of it; one sync of the ledger; let the bus and the
//! listeners know. Tasks are published beside the next turns: if that fails, they are published again after a while. The
//! more there is to do, the more a turn does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc, oneshot};
use vtp_engine::coordinator::RestoreError;

use super::clock::Clock;
use super::core::{Core, Refused};
use super::spans::{Span, SpanSink, Spans};
use super::tally::{Open, Tally, Tick};
use super::upkeep::Upkeep;
use super::{Action, Config, Desk, Notice, Step};
use crate::bus::{self, Bus, News, Piece};
use crate::ledger::{self, Epoch, Ledger, Submission};
use crate::messages::{Offer, Pool, Why};
use crate::metrics::{
    ATTEMPTS, ATTEMPTS_FAILED, JOBS_ACTIVE, JOBS_ENDED, NODES, QUEUE_WAIT, TASKS_ACCEPTED, TASKS_RUNNING, TASKS_WAITING,
};

/// How much news one turn takes.
const MOST_NEWS: usize = 2_048;
/// How long it is put off to look who is silent, while there is more news than one turn takes: they may speak in it.
const PUT_OFF: Duration = Duration::from_secs(10);
/// How many batches of tasks are being published at a time; the next turn waits for one of them.
const PUBLISHING: usize = 8;

/// A driver that is about to run.
#[derive(Debug)]
pub struct Driver<B, L> {
    bus: B,
    ledger: L,
    epoch: Epoch,
    core: Core,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    notices: mpsc::UnboundedSender<Notice>,
    counts: Arc<Counts>,
    publishing: Arc<Semaphore>,
    desk: Desk,
    tally: Tally,
    spans: Spans,
    sink: Option<Box<dyn SpanSink>>,
}

/// What a driver is asked through. Clones ask the same driver.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    counts: Arc<Counts>,
}

/// What a driver has done since it was started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Turns of its loop.
    pub turns: AtomicU64,
    /// The bus can't be reached, and nobody can be heard of.
    pub is_cut_off: AtomicBool,
    /// Events that the coordinator was told of.
    pub events: AtomicU64,
    /// Events that changed nothing that they were meant to.
    pub ignored: AtomicU64,
    /// Records kept.
    pub records: AtomicU64,
    /// Tasks published, some of them again.
    pub published: AtomicU64,
}

/// Why a driver ends, or a request comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger. The driver ends by it: what it knows may be ahead of what is kept.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The bus, for a reason that does not pass.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// The ledger contradicts itself.
    #[error("the ledger contradicts itself: {0}")]
    Restore(#[from] RestoreError),
    /// The request makes no sense.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The driver has ended.
    #[error("the driver has ended")]
    Gone,
}

#[derive(Debug)]
struct Command {
    what: What,
    reply: oneshot::Sender<Result<(), Refused>>,
}

/// What the driver is asked for.
#[derive(Debug)]
pub(super) enum What {
    Submit(Submission),
    Cancel(u64),
    Forget(u64),
    Slots(oneshot::Sender<BTreeMap<Pool, u32>>),
}

/// What will come of something that the driver was asked for; nothing, where it has ended.
#[derive(Debug)]
pub(super) struct Answer(Option<oneshot::Receiver<Result<(), Refused>>>);

impl Answer {
    /// Waits for it.
    pub(super) async fn wait(self) -> Result<(), Error> {
        self.0.ok_or(Error::Gone)?.await.map_err(|_| Error::Gone)?.map_err(Error::Refused)
    }
}

impl Handle {
    /// Takes a job. When this returns, the ledger has it.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Gone`], and then it is unknown whether the ledger has it.
    pub async fn submit(&self, submission: Submission) -> Result<(), Error> {
        self.ask(What::Submit(submission)).await.wait().await
    }

    /// Gives a job up.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn cancel(&self, job: u64) -> Result<(), Error> {
        self.ask(What::Cancel(job)).await.wait().await
    }

    /// Lets go of a job that has ended.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn forget(&self, job: u64) -> Result<(), Error> {
        self.ask(What::Forget(job)).await.wait().await
    }

    /// How many tasks the nodes of each pool can be at, at a time.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub async fn slots(&self) -> Result<BTreeMap<Pool, u32>, Error> {
        let (tell, told) = oneshot::channel();
        self.ask(What::Slots(tell)).await.wait().await?;
        told.await.map_err(|_| Error::Gone)
    }

    /// What the driver has done.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Asks, as soon as there is room: the driver is asked in the order in which these return.
    pub(super) async fn ask(&self, what: What) -> Answer {
        let (reply, answer) = oneshot::channel();
        Answer(self.commands.send(Command { what, reply }).await.is_ok().then_some(answer))
    }
}

impl<B: Bus, L: Ledger> Driver<B, L> {
    /// Takes the ledger over and makes the bus ready. [`run`](Self::run) is to be called next. The notices wait until they
    /// are read.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(
        bus: B,
        mut ledger: L,
        config: Config,
    ) -> Result<(Self, Handle, mpsc::UnboundedReceiver<Notice>), Error> {
        // Whoever stands by leaves the bus as it is.
        let (epoch, state) = ledger.claim().await?;
        let pools: Vec<_> = config.pools.keys().cloned().collect();
        bus.prepare(&pools).await?;
        let core = Core::restore(config, &state, unix_ms())?;
        let (sender, commands) = mpsc::channel(1_024);
        let (notices, listener) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let handle = Handle { commands: sender, counts: Arc::clone(&counts) };
        let publishing = Arc::new(Semaphore::new(PUBLISHING));
        let clock = Clock::default();
        let (desk, tally) =
            (Desk::restore(&state, clock.now()), Tally::restore(&core.config.pools, &state, clock.now()));
        let (spans, sink) = (Spans::restore(&state, SystemTime::now()), None);
        let driver =
            Self { bus, ledger, epoch, core, clock, commands, notices, counts, publishing, desk, tally, spans, sink };
        Ok((driver, handle, listener))
    }

    /// Tells `sink` of the spans of jobs and attempts. Without one there are none.
    pub fn trace_to(&mut self, sink: Box<dyn SpanSink>) {
        self.sink = Some(sink);
    }

    /// What clients may ask about: what the ledger knew of jobs when the driver was started. Once; then it is empty.
    pub fn take_desk(&mut self) -> Desk {
        std::mem::take(&mut self.desk)
    }

    /// Drives until every handle is dropped, or something fails that does not pass.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(mut self) -> Result<(), Error> {
        let mut news = self.bus.news().await?;
        let upkeep = Upkeep::begin(self.bus.clone(), self.core.config.pools.keys().cloned().collect());
        loop {
            let now = self.clock.now();
            let wait = self.core.next_wakeup().0.saturating_sub(now.0);
            // What is asked for is whoever's who leads.
            self.ledger.append(self.epoch, Vec::new()).await?;
            let mut step = Step::default();
            let mut replies = Vec::new();
            let mut is_behind = false;
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.clock.turn();
                        replies.push(self.command(command, &mut step));
                    }
                    None => return Ok(()),
                },
                pieces = news.next(MOST_NEWS, wait) => {
                    self.clock.turn();
                    is_behind = pieces.as_ref().is_ok_and(|pieces| pieces.len() >= MOST_NEWS);
                    self.take(pieces, &upkeep, &mut step).await?;
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                replies.push(self.command(command, &mut step));
            }
            let put_off = if is_behind { PUT_OFF } else { Duration::ZERO };
            if !self.clock.is_stopped() && self.core.next_wakeup().0 + put_off <= self.clock.now().0 {
                self.core.tick(self.clock.now(), &mut step);
            }
            self.keep(&mut step).await?;
            self.carry_out(step.actions, &upkeep).await;
            for (reply, outcome) in replies {
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
            }
            if let Err(error) = news.ack().await {
                tracing::debug!(%error, "news is not acknowledged, and will come again");
            }
        }
    }

    /// While the bus can't be reached nobody can be heard of, so time stands still.
    async fn take(
        &mut self,
        pieces: Result<Vec<Piece>, bus::Error>,
        upkeep: &Upkeep,
        step: &mut Step,
    ) -> Result<(), Error> {
        match pieces {
            Ok(pieces) => {
                self.clock.go_on();
                self.counts.is_cut_off.store(false, Ordering::Relaxed);
                let now = self.clock.now();
                pieces.into_iter().for_each(|piece| self.core.hear(now, piece, step));
                Ok(())
            }
            Err(error) if error.is_retryable() => {
                if !self.clock.is_stopped() {
                    tracing::warn!(%error, "the bus is lost; time stands still until it is back");
                }
                self.clock.stop();
                upkeep.wanted().notify_one();
                self.counts.is_cut_off.store(true, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn command(
        &mut self,
        command: Command,
        step: &mut Step,
    ) -> (oneshot::Sender<Result<(), Refused>>, Result<(), Refused>) {
        let now = self.clock.now();
        let outcome = match command.what {
            What::Submit(submission) => self.core.submit(now, submission, unix_ms(), step),
            What::Cancel(job) => self.core.cancel(now, job, step),
            What::Forget(job) => self.core.forget(now, job, step),
            What::Slots(tell) => {
                // Whoever asked may have gone.
                drop(tell.send(self.core.slots()));
                Ok(())
            }
        };
        (command.reply, outcome)
    }

    /// The spans that end by this step, once it is kept.
    fn spans(&mut self, step: &Step) -> Vec<Span> {
        if self.sink.is_none() {
            return Vec::new();
        }
        let now = SystemTime::now();
        let mut spans: Vec<Span> = step.records.iter().flat_map(|record| self.spans.take(record, now)).collect();
        spans.extend(step.put_down.iter().filter_map(|id| self.spans.put_down(*id, now)));
        spans
    }

    async fn keep(&mut self, step: &mut Step) -> Result<(), Error> {
        let spans = self.spans(step);
        let Step { records, put_down, events, ignored, .. } = step;
        self.counts.turns.fetch_add(1, Ordering::Relaxed);
        self.counts.events.fetch_add(*events, Ordering::Relaxed);
        self.counts.ignored.fetch_add(*ignored, Ordering::Relaxed);
        self.counts.records.fetch_add(records.len() as u64, Ordering::Relaxed);
        let now = self.clock.now();
        records.iter().flat_map(|record| self.tally.take(record, now)).for_each(|tick| count(&tick));
        put_down.iter().for_each(|id| self.tally.end(*id));
        self.tally.pools().for_each(|(pool, open)| show(pool, open));
        metrics::gauge!(JOBS_ACTIVE).set(self.tally.jobs() as f64);
        metrics::gauge!(NODES).set(self.core.nodes() as f64);
        // Without records, too: whoever does not lead any longer is to do and answer nothing.
        self.ledger.append(self.epoch, std::mem::take(records)).await?;
        if let Some(sink) = &self.sink {
            spans.into_iter().for_each(|span| sink.ended(span));
        }
        Ok(())
    }

    async fn carry_out(&mut self, actions: Vec<Action>, upkeep: &Upkeep) {
        let mut offers = Vec::new();
        for action in actions {
            match action {
                Action::Publish(offer) => offers.push(offer),
                Action::Control(node, control) => {
                    if let Err(error) = self.bus.control(&node, &control).await {
                        tracing::debug!(%error, %node, "a word to a node is lost, and will be said again");
                    }
                }
                // Nobody has to listen.
                Action::Tell(notice) => drop(self.notices.send(notice)),
            }
        }
        if !offers.is_empty() {
            self.publish(offers, upkeep).await;
        }
    }

    async fn publish(&mut self, offers: Vec<Offer>, upkeep: &Upkeep) {
        self.counts.published.fetch_add(offers.len() as u64, Ordering::Relaxed);
        let Ok(permit) = Arc::clone(&self.publishing).acquire_owned().await else { return };
        let (bus, wanted) = (self.bus.clone(), Arc::clone(upkeep.wanted()));
        tokio::spawn(async move {
            if let Err(error) = bus.publish(offers).await {
                tracing::debug!(%error, "tasks are not published, and will be again");
                wanted.notify_one();
            }
            drop(permit);
        });
    }
}

fn show(pool: &str, open: Open) {
    metrics::gauge!(TASKS_WAITING, "pool" => pool.to_owned()).set(open.waiting as f64);
    metrics::gauge!(TASKS_RUNNING, "pool" => pool.to_owned()).set(open.running as f64);
}

impl<B, L> Drop for Driver<B, L> {
    /// Whoever leads next shows what there is.
    fn drop(&mut self) {
        self.tally.pools().for_each(|(pool, _)| show(pool, Open::default()));
        metrics::gauge!(JOBS_ACTIVE).set(0.0);
        metrics::gauge!(NODES).set(0.0);
    }
}

fn count(tick: &Tick) {
    match tick {
        Tick::Waited { pool, time } => metrics::histogram!(QUEUE_WAIT, "pool" => pool.clone()).record(*time),
        Tick::Leased => metrics::counter!(ATTEMPTS).increment(1),
        Tick::Accepted => metrics::counter!(TASKS_ACCEPTED).increment(1),
        Tick::Ended(outcome) => metrics::counter!(JOBS_ENDED, "outcome" => *outcome).increment(1),
        Tick::Failed(why) => {
            let why = match why {
                Why::Permanent => "permanent",
                Why::Retryable => "retryable",
                Why::Crash => "crash",
            };
            metrics::counter!(ATTEMPTS_FAILED, "why" => why).increment(1);
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
