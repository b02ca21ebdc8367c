//! Who waits for news of which job, or of all jobs of whom. One connection to the database listens for all; whoever waits is woken, and reads for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long the database is left alone when it is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes those who wait. Clones share them.
#[derive(Clone)]
pub(crate) struct News(Arc<Listening>);

struct Listening {
    waiting: Arc<Mutex<HashMap<Uuid, Weak<Notify>>>>,
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
        let waiting: Arc<Mutex<HashMap<Uuid, Weak<Notify>>>> = Arc::default();
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

    /// What is notified when the job, or user, of this number has news. What happened before somebody waits for it is not told again.
    pub(crate) fn of(&self, whose: Uuid) -> Arc<Notify> {
        let mut waiting = locked(&self.0.waiting);
        if let Some(notify) = waiting.get(&whose).and_then(Weak::upgrade) {
            return notify;
        }
        if waiting.len() >= 2 * waiting.values().filter(|it| it.strong_count() > 0).count() + 64 {
            waiting.retain(|_, it| it.strong_count() > 0);
        }
        let notify = Arc::new(Notify::new());
        waiting.insert(whose, Arc::downgrade(&notify));
        notify
    }
}

/// Wakes whoever waits, until the database is away.
async fn listen(db: &PgPool, channel: &str, waiting: &Mutex<HashMap<Uuid, Weak<Notify>>>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(db).await?;
    listener.listen(channel).await?;
    // What happened meanwhile was not heard.
    let all: Vec<Arc<Notify>> = locked(waiting).values().filter_map(Weak::upgrade).collect();
    all.iter().for_each(|notify| notify.notify_waiters());
    loop {
        let Some(told) = listener.try_recv().await? else { return Ok(()) };
        let whose: Option<Uuid> = told.payload().parse().ok();
        let notify = whose.and_then(|it| locked(waiting).get(&it).and_then(Weak::upgrade));
        if let Some(notify) = notify {
            notify.notify_waiters();
        }
    }
}
