//! The leases of this replica: renewed together, in one statement, however many there are. Whoever drives a job hears how its lease
//! stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::db::jobs::{self, Lease};
use crate::ids::JobId;

/// How often it is tried, one after another, to renew the lease of a job that somebody is at.
const TRIES: u32 = 5;
/// How long it is waited in between.
const BREATH: Duration = Duration::from_millis(50);

/// The leases of this replica. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<JobId, Held>>>);

struct Held {
    epoch: i64,
    tell: watch::Sender<Lease>,
}

/// A lease that is renewed until this is dropped.
pub(crate) struct Hold {
    leases: Leases,
    job: JobId,
    epoch: i64,
    told: watch::Receiver<Lease>,
}

impl Leases {
    fn all(&self) -> MutexGuard<'_, HashMap<JobId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the lease of a job that was claimed just now renewed.
    pub(crate) fn hold(&self, job: JobId, epoch: i64) -> Hold {
        let (tell, told) = watch::channel(Lease::Held);
        self.all().insert(job, Held { epoch, tell });
        Hold { leases: self.clone(), job, epoch, told }
    }

    /// The jobs that are held, and their epochs.
    pub(crate) fn held(&self) -> Vec<(JobId, i64)> {
        self.all().iter().map(|(job, held)| (*job, held.epoch)).collect()
    }

    /// Renews all leases three times in each, for ever. While the database is away they stay as they are: until they have run out
    /// they are ours, and longer if nobody else can reach it either.
    pub(crate) async fn renew(&self, db: &PgPool, lease_s: i64) {
        let third = Duration::from_secs_f64((lease_s as f64 / 3.0).max(0.2));
        let mut ticks = tokio::time::interval(third);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A database that is gone without a word is not waited for, either.
            match timeout(third, self.renew_once(db, lease_s)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "leases are not renewed"),
                Err(_) => tracing::warn!("leases are not renewed: the database does not answer"),
            }
        }
    }

    /// Renews all leases. Jobs that somebody is at are asked for again a moment later, some times.
    async fn renew_once(&self, db: &PgPool, lease_s: i64) -> sqlx::Result<()> {
        let mut asked = self.held();
        for _ in 0..TRIES {
            if asked.is_empty() {
                break;
            }
            let renewed: HashMap<JobId, Lease> = jobs::renew(db, &asked, lease_s).await?.into_iter().collect();
            self.tell(&asked, &renewed);
            asked.retain(|(job, _)| renewed.get(job) == Some(&Lease::Busy));
            if !asked.is_empty() {
                sleep(BREATH).await;
            }
        }
        Ok(())
    }

    /// Tells those whose leases were to be renewed what came of it; of which nothing is told is lost.
    fn tell(&self, asked: &[(JobId, i64)], renewed: &HashMap<JobId, Lease>) {
        let all = self.all();
        for (job, epoch) in asked {
            let lease = renewed.get(job).copied().unwrap_or(Lease::Lost);
            if let Some(held) = all.get(job).filter(|held| held.epoch == *epoch && lease != Lease::Busy) {
                held.tell.send_replace(lease);
            }
        }
    }
}

impl Hold {
    /// How the lease stands, once it was renewed again.
    pub(crate) async fn next(&mut self) -> Lease {
        match self.told.changed().await {
            Ok(()) => *self.told.borrow_and_update(),
            // Somebody else has claimed the job since, on this replica.
            Err(_) => Lease::Lost,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut all = self.leases.all();
        // Where it was claimed again since, that stays.
        if all.get(&self.job).is_some_and(|held| held.epoch == self.epoch) {
            all.remove(&self.job);
        }
    }
}
