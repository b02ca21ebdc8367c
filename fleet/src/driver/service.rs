//! The driver's door: it answers what clients ask, tells them how their jobs ended, and gives up what nobody tends. A thin
//! shell around [`Desk`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::Instant;
use vtp_engine::coordinator::Now;

use super::clock::STILL;
use super::desk::{Desk, Unwanted};
use super::lives;
use super::shell::{Answer, What};
use super::{Error, Handle, Notice, Refused};
use crate::bus::{self, Question, Talk, Topic, Whom};
use crate::ledger::Submission;
use crate::messages::{self, Ended, JobNumber, Reply, Request, Standing};

/// How often it is looked whether there is something that nobody tends.
const LOOK: Duration = Duration::from_secs(2);

/// How long whoever drives already may take to answer.
const ALONE: Duration = Duration::from_secs(2);

/// How many answers are waited for at a time. Whoever asks beyond that waits until the driver has answered others.
const MOST_WAITING: usize = 4_096;

#[derive(Clone)]
struct Service<T> {
    talk: T,
    handle: Handle,
    desk: Arc<Mutex<Desk>>,
    waiting: Arc<Semaphore>,
    started: Instant,
}

/// What comes of a request, if the driver answers.
type Coming = BoxFuture<'static, Option<Reply>>;

/// Makes sure that nobody else drives the nodes of this bus. Two that ask at the same moment may both go on; their jobs get in
/// each other's way then, and none is made wrongly, for attempts have numbers.
///
/// # Errors
/// [`bus::Error::Misconfigured`] if somebody does.
pub async fn alone<T: Talk>(talk: &T) -> Result<(), bus::Error> {
    let question = messages::encode(&Request::Forget { job: 0 })?;
    match tokio::time::timeout(ALONE, talk.ask(Whom::Driver, question)).await {
        Ok(Ok(_)) => Err(bus::Error::Misconfigured("another driver drives its nodes".to_owned())),
        Ok(Err(bus::Error::Unavailable(_))) | Err(_) => Ok(()),
        Ok(Err(error)) => Err(error),
    }
}

/// Serves clients of the driver behind `handle`, until that has ended.
///
/// # Errors
/// The bus can't be listened to.
pub async fn serve<T: Talk>(
    talk: T,
    handle: Handle,
    desk: Desk,
    mut notices: mpsc::UnboundedReceiver<Notice>,
) -> Result<(), bus::Error> {
    let mut questions = talk.questions(Whom::Driver).await?;
    let (desk, waiting) = (Arc::new(Mutex::new(desk)), Arc::new(Semaphore::new(MOST_WAITING)));
    let service = Service { talk, handle, desk, waiting, started: Instant::now() };
    let mut looked = Instant::now();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // What is known is told before it is asked for.
            biased;
            notice = notices.recv() => match notice {
                Some(notice) => service.notice(notice).await,
                None => return Ok(()),
            },
            question = questions.recv() => match question {
                Some(question) => service.answer(question).await,
                None => return Err(bus::Error::Unavailable("the connection is closed".to_owned())),
            },
            _ = look.tick() => {
                let mut desk = service.desk.lock().await;
                let stood = std::mem::replace(&mut looked, Instant::now()).elapsed() > LOOK + STILL;
                if stood || service.handle.counts().is_cut_off.load(Ordering::Relaxed) {
                    desk.stand_still(service.now());
                }
                let unwanted = desk.tick(service.now());
                drop(desk);
                service.give_up(unwanted);
            }
        }
    }
}

impl<T: Talk> Service<T> {
    fn now(&self) -> Now {
        Now(self.started.elapsed())
    }

    async fn notice(&self, notice: Notice) {
        if let Notice::NobodyCan { job, needs } = &notice {
            tracing::warn!(job, ?needs, "no node is there that can do this; waiting for one");
        }
        let Some((job, standing)) = self.desk.lock().await.notice(notice, self.now()) else { return };
        let topic = JobNumber(job).session().map_or(Topic::Ended(job), Topic::EndedOf);
        self.tell(topic, job, standing).await;
    }

    /// Lost, it is asked for.
    async fn tell(&self, topic: Topic, job: u64, standing: Standing) {
        let told = match messages::encode(&Ended { job, standing }) {
            Ok(words) => self.talk.announce(topic, words).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = told {
            tracing::debug!(%error, job, "nobody was told how a job ended, and will ask");
        }
    }

    /// Asks the driver what is asked, in its turn: what a client asks for after something else is done after it. Whoever asked is
    /// answered later.
    async fn answer(&self, question: Question) {
        let Ok(permit) = Arc::clone(&self.waiting).acquire_owned().await else { return };
        let coming = match messages::decode(&question.bytes) {
            Ok(request) => self.ask(request).await,
            Err(error) => said(Reply::Refused { reason: error.to_string() }),
        };
        tokio::spawn(async move {
            match coming.await.map(|reply| messages::encode(&reply)) {
                Some(Ok(bytes)) => question.answer(bytes),
                Some(Err(error)) => tracing::warn!(%error, "an answer can't be given"),
                // The driver has ended; the next one is asked again.
                None => {}
            }
            drop(permit);
        });
    }

    async fn ask(&self, request: Request) -> Coming {
        let service = self.clone();
        match request {
            Request::Slots => Box::pin(async move {
                match service.handle.slots().await {
                    Ok(slots) => Some(Reply::Slots(slots.into_iter().collect())),
                    Err(error) => reply(Err(error)),
                }
            }),
            Request::Submit(submission) => self.submit(submission).await,
            Request::Cancel { job } => {
                self.desk.lock().await.given_up(job, self.now());
                let answer = self.handle.ask(What::Cancel(job)).await;
                Box::pin(async move { reply(answer.wait().await) })
            }
            Request::Forget { job } => {
                let answer = self.handle.ask(What::Forget(job)).await;
                Box::pin(async move {
                    let done = answer.wait().await;
                    if done.is_ok() {
                        service.desk.lock().await.forgotten(job);
                    }
                    reply(done)
                })
            }
            Request::Tend { client, session, jobs } => {
                let mut desk = self.desk.lock().await;
                let Some(unwanted) = desk.tend(&client, session, self.now()) else {
                    return said(Reply::Refused { reason: lives::sentence(&client) });
                };
                self.give_up(unwanted);
                said(Reply::Standings(fitting(jobs.iter().map(|job| desk.standing(*job)))))
            }
        }
    }

    async fn submit(&self, submission: Submission) -> Coming {
        let job = submission.job;
        let mut desk = self.desk.lock().await;
        if desk.is_given_up(job) {
            // Whoever waits for it hears that it is cancelled.
            return said(Reply::Done);
        }
        // Before the ledger has it: it may be done before this goes on.
        let is_new = desk.standing(job) == Standing::Unknown;
        desk.taken(job, self.now());
        drop(desk);
        let (service, answer) = (self.clone(), self.handle.ask(What::Submit(submission)).await);
        Box::pin(async move { service.submitted(job, is_new, answer).await })
    }

    async fn submitted(&self, job: u64, is_new: bool, answer: Answer) -> Option<Reply> {
        reply(match answer.wait().await {
            Err(Error::Refused(Refused::Known(_))) => Ok(()),
            Err(error) if is_new => {
                self.desk.lock().await.untaken(job);
                Err(error)
            }
            done => done,
        })
    }

    fn give_up(&self, unwanted: Unwanted) {
        let Unwanted { active, ended } = unwanted;
        if active.is_empty() && ended.is_empty() {
            return;
        }
        let service = self.clone();
        tokio::spawn(async move {
            for job in active {
                tracing::info!(job, "cancelled, for nobody tends it");
                // One that has ended meanwhile is forgotten with the next look.
                drop(service.handle.cancel(job).await);
            }
            for job in ended {
                if service.handle.forget(job).await.is_ok() {
                    service.desk.lock().await.forgotten(job);
                }
            }
        });
    }
}

/// What is known already.
fn said(reply: Reply) -> Coming {
    Box::pin(std::future::ready(Some(reply)))
}

/// What is said of something that the driver was asked for; nothing, where it has ended.
fn reply(done: Result<(), Error>) -> Option<Reply> {
    match done {
        // What is not under way is not to be cancelled, and what is not known not to be forgotten.
        Ok(()) | Err(Error::Refused(Refused::NotNow(_))) => Some(Reply::Done),
        Err(Error::Refused(refused)) => Some(Reply::Refused { reason: refused.to_string() }),
        Err(error) => {
            tracing::warn!(%error, "a request comes to nothing");
            None
        }
    }
}

/// As many as fit into a message; the others are asked about again.
fn fitting(standings: impl Iterator<Item = Standing>) -> Vec<Standing> {
    let mut left = messages::LIMIT / 2;
    let size = |standing: &Standing| match standing {
        Standing::Done { made } => made.iter().map(|it| it.result.len() + 64).sum(),
        Standing::Failed { message, .. } => message.len() + 64,
        Standing::Unknown | Standing::Active | Standing::Cancelled => 64,
    };
    let fits = |standing: &Standing| {
        let size: usize = size(standing);
        let first = left == messages::LIMIT / 2;
        left = left.saturating_sub(size);
        first || left > 0
    };
    standings.take_while(fits).collect()
}
