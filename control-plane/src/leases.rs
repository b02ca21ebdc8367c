//! The leases of this replica: renewed together, in one statement, however many there are. Whoever drives a job hears how its lease
//! stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;

use crate::db::jobs::{self, Lease};
use crate::ids::JobId;

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
        let mut ticks = tokio::time::interval(Duration::from_secs_f64((lease_s as f64 / 3.0).max(0.2)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let held = self.held();
            if held.is_empty() {
                continue;
            }
            match jobs::renew(db, &held, lease_s).await {
                Ok(renewed) => self.tell(&held, &renewed.into_iter().collect()),
                Err(error) => tracing::warn!(%error, "leases are not renewed"),
            }
        }
    }

    /// Tells those whose leases were to be renewed what came of it; what was not renewed is lost.
    fn tell(&self, asked: &[(JobId, i64)], renewed: &HashMap<JobId, Lease>) {
        let all = self.all();
        for (job, epoch) in asked {
            if let Some(held) = all.get(job).filter(|held| held.epoch == *epoch) {
                held.tell.send_replace(renewed.get(job).copied().unwrap_or(Lease::Lost));
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
