//! Who waits for news of which job. One connection to the database listens for all; whoever waits is woken, and reads for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ids::JobId;

/// How long the database is left alone when it is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes those who wait. Clones share them.
#[derive(Clone)]
pub(crate) struct News(Arc<Listening>);

struct Listening {
    waiting: Arc<Mutex<HashMap<JobId, Weak<Notify>>>>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    /// Listens from now on, to what is told on `channel`.
    pub(crate) fn start(db: PgPool, channel: &'static str) -> Self {
        let waiting: Arc<Mutex<HashMap<JobId, Weak<Notify>>>> = Arc::default();
        let woken = Arc::clone(&waiting);
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = listen(&db, channel, &woken).await {
                    tracing::warn!(%error, "news of jobs are not heard");
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self(Arc::new(Listening { waiting, task }))
    }

    /// What is notified when this job has news. What happened before somebody waits for it is not told again.
    pub(crate) fn of(&self, job: JobId) -> Arc<Notify> {
        let mut waiting = locked(&self.0.waiting);
        if let Some(notify) = waiting.get(&job).and_then(Weak::upgrade) {
            return notify;
        }
        if waiting.len() >= 2 * waiting.values().filter(|it| it.strong_count() > 0).count() + 64 {
            waiting.retain(|_, it| it.strong_count() > 0);
        }
        let notify = Arc::new(Notify::new());
        waiting.insert(job, Arc::downgrade(&notify));
        notify
    }
}

/// Wakes whoever waits, until the database is away.
async fn listen(db: &PgPool, channel: &str, waiting: &Mutex<HashMap<JobId, Weak<Notify>>>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(db).await?;
    listener.listen(channel).await?;
    // What happened meanwhile was not heard.
    let all: Vec<Arc<Notify>> = locked(waiting).values().filter_map(Weak::upgrade).collect();
    all.iter().for_each(|notify| notify.notify_waiters());
    loop {
        let Some(told) = listener.try_recv().await? else { return Ok(()) };
        let job = told.payload().parse().map(JobId).ok();
        let notify = job.and_then(|job| locked(waiting).get(&job).and_then(Weak::upgrade));
        if let Some(notify) = notify {
            notify.notify_waiters();
        }
    }
}
