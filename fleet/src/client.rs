//! Whoever wants jobs done: it has the driver take them, and waits until they have ended, whatever happens to the driver and the
//! bus meanwhile. In: submissions. Out: how they ended. Never: a job that is lost, or done twice under one number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bus::{Error as BusError, Talk, Topic, Whom};
use crate::ledger::Submission;
use crate::messages::{self, Ended, JobNumber, NodeId, Pool, Reply, Request, Standing};

/// How often the driver is asked how jobs stand: well below the time after which it gives up those that nobody tends.
const TEND: Duration = Duration::from_secs(2);

/// How long somebody tries again before it is said that the driver does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is waited before the next try.
const AGAIN: Duration = Duration::from_millis(300);

/// Jobs that are asked about at a time.
const MOST: usize = 1_000;

/// Why a job is not taken, or nobody can be a client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver doesn't take it.
    #[error("{0}")]
    Refused(String),
    /// The bus, for a reason that does not pass.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// A client in this life of it. Jobs with its numbers are given up when it is gone.
#[derive(Debug)]
pub struct Client<T: Talk> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    talk: T,
    name: NodeId,
    session: u32,
    count: AtomicU32,
    waiting: Mutex<HashMap<u64, Waiting>>,
    /// How many have waited so far.
    waits: AtomicU64,
    /// The driver has answered when it was asked last.
    is_answered: AtomicBool,
    /// What the driver is being told of jobs that nobody waits for any longer.
    farewells: Mutex<JoinSet<()>>,
    /// Why the driver wants nothing of this client any more, if so.
    refused: OnceLock<String>,
    /// Told of that.
    is_refused: Notify,
}

#[derive(Debug)]
struct Waiting {
    /// Which of those that ever waited.
    wait: u64,
    submission: Submission,
    tell: oneshot::Sender<Standing>,
}

impl<T: Talk> Client<T> {
    /// A client of this name, which nobody else has: what an earlier life of it has wanted is given up.
    ///
    /// # Errors
    /// [`Error::Bus`]. A driver that does not answer is none: it may come.
    pub async fn start(talk: T, name: NodeId) -> Result<Self, Error> {
        let session = fastrand::u32(1..1 << 31);
        let (count, waits, waiting) = (AtomicU32::new(1), AtomicU64::new(0), Mutex::default());
        let heard = talk.listen(Topic::EndedOf(session)).await?;
        let (is_answered, farewells) = (AtomicBool::new(false), Mutex::default());
        let (refused, is_refused) = (OnceLock::new(), Notify::new());
        let shared = Shared { talk, name, session, count, waiting, waits, is_answered, farewells, refused, is_refused };
        let shared = Arc::new(shared);
        tokio::spawn(tend(Arc::downgrade(&shared), heard));
        Ok(Self { shared })
    }

    /// Whether the driver has answered lately: it is asked every two seconds.
    pub fn is_answered(&self) -> bool {
        self.shared.is_answered.load(Ordering::Relaxed)
    }

    /// Waits until the driver refuses this client, for ever perhaps. Why it does: another process has its name.
    pub async fn refused(&self) -> String {
        loop {
            let told = self.shared.is_refused.notified();
            if let Some(why) = self.shared.refused.get() {
                return why.clone();
            }
            told.await;
        }
    }

    /// This life of it.
    pub fn session(&self) -> u32 {
        self.shared.session
    }

    /// A number for a job that is given up when this client is gone.
    pub fn number(&self) -> u64 {
        JobNumber::tended(self.shared.session, self.shared.count.fetch_add(1, Ordering::Relaxed)).0
    }

    /// Has the job done, and tells how it ended: never [`Standing::Unknown`] or [`Standing::Active`]. One whose number is of this
    /// client is forgotten then, and given up if this is dropped before. One that is kept goes on, and how it ended is remembered
    /// until [`forget`](Self::forget): whoever asks for it again hears that, and it is not done twice.
    ///
    /// # Errors
    /// [`Error::Refused`], also for whatever a client wants whose name another process has. While there is no driver it waits for one.
    pub async fn carry_out(&self, submission: Submission) -> Result<Standing, Error> {
        let job = submission.job;
        if let Some(why) = self.shared.refused.get() {
            return Err(Error::Refused(why.clone()));
        }
        let (tell, told) = oneshot::channel();
        let wait = self.shared.waits.fetch_add(1, Ordering::Relaxed);
        self.shared.waiting().insert(job, Waiting { wait, submission: submission.clone(), tell });
        let mut guard = Guard { shared: Arc::clone(&self.shared), job, wait, ended: false };
        let heard = match JobNumber(job).session() {
            // Its own are heard of together.
            Some(_) => None,
            None => Some(self.shared.talk.listen(Topic::Ended(job)).await?),
        };
        self.shared.done(&Request::Submit(submission)).await?;
        let told = async { told.await.map_err(|_| self.shared.unheard()) };
        let standing = tokio::select! {
            standing = told => standing?,
            never = self.shared.hear(heard) => match never {},
        };
        guard.ended = true;
        Ok(standing)
    }

    /// Says that nobody will ask any longer how a job has ended. One that goes on stays as it is.
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn forget(&self, job: u64) -> Result<(), Error> {
        self.shared.done(&Request::Forget { job }).await
    }

    /// Waits until the driver has been told which jobs nobody waits for any longer, for so long at most. Whoever ends without it
    /// leaves that to the driver, which remembers for a day how a job ended.
    pub async fn settle(&self, patience: Duration) {
        let mut farewells = std::mem::take(&mut *self.shared.farewells());
        if tokio::time::timeout(patience, async { while farewells.join_next().await.is_some() {} }).await.is_err() {
            tracing::debug!("the driver was not told of everything");
        }
    }

    /// How jobs stand, whoever's they are; of some, where they have much to tell.
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn standings(&self, jobs: &[u64]) -> Result<Vec<(u64, Standing)>, Error> {
        let mut all = Vec::new();
        for part in jobs.chunks(MOST) {
            match self.shared.answered(&self.shared.question(part)).await? {
                Reply::Standings(standings) => all.extend(part.iter().copied().zip(standings)),
                Reply::Done | Reply::Refused { .. } | Reply::Slots(_) => return Err(otherwise()),
            }
        }
        Ok(all)
    }

    /// How many tasks the nodes of each pool can be at, at a time.
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn slots(&self) -> Result<Vec<(Pool, u32)>, Error> {
        match self.shared.answered(&Request::Slots).await? {
            Reply::Slots(slots) => Ok(slots),
            Reply::Done | Reply::Refused { .. } | Reply::Standings(_) => Err(otherwise()),
        }
    }

    /// Gives a job up: it ends as [`Standing::Cancelled`] where it has not ended before.
    ///
    /// # Errors
    /// As [`carry_out`](Self::carry_out).
    pub async fn cancel(&self, job: u64) -> Result<(), Error> {
        self.shared.done(&Request::Cancel { job }).await
    }
}

fn otherwise() -> Error {
    Error::Refused("the driver says something else than it was asked".to_owned())
}

/// Whoever waits for a job. With it goes the job, if it is this client's own.
struct Guard<T: Talk> {
    shared: Arc<Shared<T>>,
    job: u64,
    wait: u64,
    ended: bool,
}

impl<T: Talk> Drop for Guard<T> {
    fn drop(&mut self) {
        let (shared, job, ended) = (Arc::clone(&self.shared), self.job, self.ended);
        // Who waits for it instead goes on.
        let mut waiting = shared.waiting();
        if waiting.get(&job).is_some_and(|it| it.wait == self.wait) {
            waiting.remove(&job);
        }
        drop(waiting);
        let is_own = JobNumber(job).session() == Some(shared.session);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !is_own {
            return;
        }
        let telling = async move {
            let requests = [Request::Cancel { job }, Request::Forget { job }];
            for request in requests.iter().skip(usize::from(ended)) {
                // The driver gives it up by itself when this client is gone, or lets go of it after a day.
                if let Err(error) = shared.done(request).await {
                    tracing::debug!(%error, job, "the driver was not told that nobody waits for a job");
                }
            }
        };
        let mut farewells = self.shared.farewells();
        while farewells.try_join_next().is_some() {}
        farewells.spawn_on(telling, &runtime);
    }
}

impl<T: Talk> Shared<T> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is said of how jobs ended, for ever.
    async fn hear(&self, heard: Option<mpsc::Receiver<bytes::Bytes>>) -> std::convert::Infallible {
        if let Some(mut heard) = heard {
            while let Some(word) = heard.recv().await {
                self.word(&word);
            }
        }
        // What is not heard is asked for.
        std::future::pending().await
    }

    fn word(&self, word: &[u8]) {
        match messages::decode(word) {
            Ok(Ended { job, standing }) => self.ended(job, standing),
            Err(error) => tracing::warn!(%error, "a word from the driver is not understood"),
        }
    }

    fn farewells(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.farewells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, job: u64, standing: Standing) {
        if let Some(waiting) = self.waiting().remove(&job) {
            // Whoever waited may have gone.
            drop(waiting.tell.send(standing));
        }
    }

    /// Why nobody will say how a job ended.
    fn unheard(&self) -> Error {
        let why = self.refused.get().map_or("it is waited for by somebody else", String::as_str);
        Error::Refused(why.to_owned())
    }

    /// The driver wants nothing of this client any more, so there is nothing to wait for.
    fn end(&self, why: String) {
        // It may have been told before.
        drop(self.refused.set(why));
        self.waiting().clear();
        self.is_refused.notify_waiters();
    }

    async fn ask(&self, request: &Request) -> Result<Reply, BusError> {
        let answer = self.talk.ask(Whom::Driver, messages::encode(request)?).await?;
        Ok(messages::decode(&answer)?)
    }

    /// Asks until the driver has answered.
    async fn answered(&self, request: &Request) -> Result<Reply, Error> {
        let (started, mut told) = (Instant::now(), false);
        loop {
            match self.ask(request).await {
                Ok(Reply::Refused { reason }) => return Err(Error::Refused(reason)),
                Ok(reply) => return Ok(reply),
                Err(error) if !error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    if !told && started.elapsed() > PATIENCE {
                        tracing::warn!(%error, "the driver does not answer; waiting for it");
                        told = true;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn done(&self, request: &Request) -> Result<(), Error> {
        self.answered(request).await.map(drop)
    }

    /// That this client is there, and how these jobs stand.
    fn question(&self, jobs: &[u64]) -> Request {
        Request::Tend { client: self.name.clone(), session: self.session, jobs: jobs.to_vec() }
    }

    /// Says that this client is there, and asks how its jobs stand.
    async fn tend(&self) -> Result<(), BusError> {
        let jobs: Vec<u64> = self.waiting().keys().copied().collect();
        // Also one without jobs is there.
        let parts: Vec<&[u64]> = if jobs.is_empty() { vec![&[]] } else { jobs.chunks(MOST).collect() };
        for part in parts {
            let standings = match self.ask(&self.question(part)).await? {
                Reply::Standings(standings) => standings,
                Reply::Refused { reason } => {
                    self.end(reason);
                    return Ok(());
                }
                Reply::Done | Reply::Slots(_) => continue,
            };
            for (job, standing) in part.iter().zip(standings) {
                match standing {
                    Standing::Active => {}
                    Standing::Unknown => self.again(*job).await?,
                    standing => self.ended(*job, standing),
                }
            }
        }
        Ok(())
    }

    /// A driver that does not know a job has lost it, or has not got it yet.
    async fn again(&self, job: u64) -> Result<(), BusError> {
        let submission = self.waiting().get(&job).map(|waiting| waiting.submission.clone());
        let Some(submission) = submission else { return Ok(()) };
        match self.ask(&Request::Submit(submission)).await? {
            Reply::Refused { reason } => self.ended(job, Standing::Failed { chunk: 0, message: reason }),
            Reply::Done | Reply::Standings(_) | Reply::Slots(_) => {}
        }
        Ok(())
    }
}

/// Tends the jobs, and hears how they ended, for as long as the client is there.
async fn tend<T: Talk>(shared: Weak<Shared<T>>, mut heard: mpsc::Receiver<bytes::Bytes>) {
    let mut look = tokio::time::interval(TEND);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut deaf = false;
    loop {
        let word = tokio::select! {
            word = heard.recv(), if !deaf => Some(word),
            _ = look.tick() => None,
        };
        let Some(shared) = shared.upgrade() else { return };
        match word {
            Some(Some(word)) => shared.word(&word),
            // What is not heard is asked for.
            Some(None) => deaf = true,
            None => {
                let tended = shared.tend().await;
                shared.is_answered.store(tended.is_ok(), Ordering::Relaxed);
                if let Err(error) = tended {
                    tracing::debug!(%error, "the driver is not asked how jobs stand, and will be");
                }
            }
        }
    }
}
