//! Who uses what of the API: step: gather, keep together. In: answers as they are given. Out: rows, a statement a second. Never: a
//! request that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};

use crate::db::usage::{self, Used};
use crate::metrics::USAGE_LOST;

/// Rows that wait at most.
const WAITING: usize = 20_000;
/// How long they are gathered.
const BREATH: Duration = Duration::from_secs(1);
/// Rows of one statement.
const TOGETHER: usize = 5_000;

/// Takes rows. Clones share it.
#[derive(Clone)]
pub(crate) struct Usage {
    rows: mpsc::Sender<Used>,
    /// Rows that were taken and are not kept yet.
    waiting: Arc<AtomicUsize>,
    kept: Arc<Notify>,
}

impl Usage {
    /// Keeps rows in `db` from now on, until all clones are gone.
    pub(crate) fn start(db: PgPool) -> Self {
        let (rows, come) = mpsc::channel(WAITING);
        let (waiting, kept): (Arc<AtomicUsize>, Arc<Notify>) = Default::default();
        tokio::spawn(keep(db, come, Arc::clone(&waiting), Arc::clone(&kept)));
        Self { rows, waiting, kept }
    }

    /// Takes a row, if there is room for it.
    pub(crate) fn add(&self, used: Used) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.rows.try_send(used).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!(USAGE_LOST).increment(1);
        }
    }

    /// Waits until what was taken is kept, for so long at most.
    pub(crate) async fn settle(&self, patience: Duration) {
        let kept = async {
            loop {
                let kept = self.kept.notified();
                if self.waiting.load(Ordering::Relaxed) == 0 {
                    return;
                }
                kept.await;
            }
        };
        if tokio::time::timeout(patience, kept).await.is_err() {
            tracing::warn!("some of what was used last is not kept");
        }
    }
}

async fn keep(db: PgPool, mut come: mpsc::Receiver<Used>, waiting: Arc<AtomicUsize>, kept: Arc<Notify>) {
    let mut rows = Vec::new();
    while come.recv_many(&mut rows, TOGETHER).await > 0 {
        if let Err(error) = usage::add(&db, &rows).await {
            tracing::warn!(%error, rows = rows.len(), "what was used is not kept");
            metrics::counter!(USAGE_LOST).increment(rows.len() as u64);
        }
        waiting.fetch_sub(rows.len(), Ordering::Relaxed);
        rows.clear();
        kept.notify_waiters();
        tokio::time::sleep(BREATH).await;
    }
}
