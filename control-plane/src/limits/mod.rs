//! How often somebody may come, the same over all replicas. `rules.rs` says how much, `scope.rs` for what, `address.rs` of whom,
//! `gcra.rs` reckons, the database keeps (`db/rate_limits.rs`), `memory.rs` knows what is refused anyway, and `guard.rs` stands at the
//! door. A request is never refused because the database is away: it fails by itself then, or needs none.

pub mod address;
pub mod gcra;
mod guard;
mod headers;
mod memory;
pub mod rules;
mod scope;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::auth::Role;
use crate::config::Config;
use crate::db::rate_limits;
use crate::ids::UserId;
use gcra::{Left, Micros};
pub(crate) use guard::{guard, tell};
use headers::Told;
use memory::Memory;
use rules::{Policy, Rules};

/// Connections of its own, so that requests that take long do not hold up those that are to be refused.
const CONNECTIONS: u32 = 4;
/// How long the database has to say whether a request passes; after that it does. It is as long as requests wait for it themselves: one
/// that is slow for all the requests that come is not to let all of them pass.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often rows that say nothing any longer are removed.
const TIDY: Duration = Duration::from_secs(60);
/// How long it is known whose it is what somebody shows who was refused. It is longer than most are refused.
const REMEMBERED: Micros = 60_000_000;

/// The limits, as a replica keeps to them. Clones share them.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Kept>);

struct Kept {
    rules: Rules,
    db: PgPool,
    began: Instant,
    /// Until when something is refused, by what is refused.
    used_up: Mutex<Memory<String, Micros>>,
    /// Who was refused, by what they show.
    refused: Mutex<Memory<guard::Shown, (UserId, Role)>>,
    tidying: Option<JoinHandle<()>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.tidying.iter().for_each(JoinHandle::abort);
    }
}

/// What came of a request's taking one of what a limit allows.
struct Taken {
    told: Told,
    is_allowed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Keeps to the limits of `config` from now on.
    ///
    /// # Errors
    /// The database's address is none.
    pub(crate) fn start(config: &Config) -> sqlx::Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        // A connection that is broken is found so by its use, and lets a request through.
        let (rules, began) = (config.limits.clone(), Instant::now());
        let pool = pool.min_connections(if rules.on { CONNECTIONS } else { 0 });
        let db = pool.test_before_acquire(false).connect_lazy(&config.database)?;
        let (used_up, refused) = (Mutex::new(Memory::new()), Mutex::new(Memory::new()));
        let tidying = rules.on.then(|| tokio::spawn(tidy(db.clone())));
        Ok(Self(Arc::new(Kept { rules, db, began, used_up, refused, tidying })))
    }

    fn are_on(&self) -> bool {
        self.0.rules.on
    }

    /// On this replica's clock, which no other knows.
    fn now(&self) -> Micros {
        Micros::try_from(self.0.began.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    /// What is known without asking: that nothing is left; `None` if there may be.
    fn known(&self, policy: Policy, who: &str) -> Option<Taken> {
        let (quota, now) = (self.0.rules.quota(policy)?, self.now());
        let until = locked(&self.0.used_up).of(&*key(policy, who), now)?;
        let left = Left { requests: 0, next: until - now };
        Some(Taken { told: Told { policy, quota, left }, is_allowed: false })
    }

    /// Takes one of what `who` may; `None` if there is no such limit, or nobody can say.
    async fn take(&self, policy: Policy, who: &str) -> Option<Taken> {
        let quota = self.0.rules.quota(policy)?;
        let (key, before) = (key(policy, who), self.now());
        let taken = timeout(PATIENCE, rate_limits::take(&self.0.db, &key, quota)).await;
        let taken = taken.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        let (verdict, now) = taken
            .inspect_err(|error| tracing::warn!(%error, limit = policy.name(), "a request is let through uncounted"))
            .ok()?;
        let left = gcra::left(quota, verdict.tat, now);
        if left.requests == 0 {
            // The database looked at its clock at some time between these: what is told is surely enough, and nothing is refused
            // here that it would not refuse.
            let (until, enough, here) = (before + left.next, self.now() + left.next, self.now());
            locked(&self.0.used_up).learn(key, enough, here, until);
        }
        Some(Taken { told: Told { policy, quota, left }, is_allowed: verdict.is_allowed })
    }

    /// Notes who it was that was refused.
    fn refused(&self, shown: guard::Shown, user: UserId, role: Role) {
        let now = self.now();
        locked(&self.0.refused).learn(shown, (user, role), now, now + REMEMBERED);
    }

    /// Who it was that showed this and was refused.
    fn refused_lately(&self, shown: &guard::Shown) -> Option<(UserId, Role)> {
        locked(&self.0.refused).of(shown, self.now())
    }
}

fn key(policy: Policy, who: &str) -> String {
    format!("{}:{who}", policy.name())
}

/// Removes what says nothing any longer, now and then.
async fn tidy(db: PgPool) {
    loop {
        tokio::time::sleep(TIDY).await;
        if let Err(error) = rate_limits::tidy(&db).await {
            tracing::warn!(%error, "limits that are past are not removed yet");
        }
    }
}
