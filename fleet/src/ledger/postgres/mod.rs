//! A ledger that is tables of Postgres: `fleet_driver`, `fleet_jobs`, `fleet_tasks` and `fleet_attempts`, which people can look into.
//!
//! Several drivers may have it. One leads: it has a lease, by the database's time alone, and renews it five times in that; the
//! others are refused with [`Error::Led`]. A claim counts the epoch up, and every transaction begins by reading it under a lock that
//! no claim passes: whoever stood still for so long that another has taken over writes nothing. So the leader is the only one who
//! writes, has in memory what the tables say (`load.rs`), compares with that, and writes the rows that records come to
//! (`changes.rs`, pure) with a statement a table (`write.rs`). Whoever opens it brings the tables up (`migrations/`).

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Epoch, Error, Ledger, Record, State};

mod changes;
mod load;
#[cfg(test)]
mod tests;
mod write;

/// How long a driver that says nothing is still taken to lead.
const LEASE: Duration = Duration::from_secs(5);
/// How long the records of one call may take to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to hear whether somebody leads.
const LOOKING: Duration = Duration::from_secs(2);
/// How long it may take to read everything.
const READING: Duration = Duration::from_secs(120);
/// How long the words at the end may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Appending, renewing, and one to look.
const CONNECTIONS: u32 = 3;

/// What every connection is set to. A driver that stands still in a transaction is not to hold others up for longer than its lease.
/// Tables grow from nothing, and a call has one row or thousands: statements are planned for what is there.
const SETTINGS: [(&str, &str); 5] = [
    ("application_name", "vtp-driver"),
    ("idle_in_transaction_session_timeout", "4s"),
    ("lock_timeout", "8s"),
    ("plan_cache_mode", "force_custom_plan"),
    ("jit", "off"),
];

/// A ledger in Postgres. Clones are the same driver's.
#[derive(Clone, Debug)]
pub struct PostgresLedger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: PgPool,
    /// This life of the driver.
    holder: Uuid,
    /// What others call it.
    name: String,
    lease: Duration,
    held: tokio::sync::Mutex<Held>,
    /// Until when nobody else can have claimed it, as far as is known here.
    lasts: Arc<Mutex<Option<Instant>>>,
    renewing: Mutex<Option<AbortHandle>>,
}

/// What the newest claim has brought, and what was written since.
#[derive(Debug, Default)]
struct Held {
    state: State,
    /// Whether it is what the tables say.
    whole: bool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop_renewing();
    }
}

impl PostgresLedger {
    /// The ledger in the database at `url`, for a driver that others call `name`. It connects when it has to; it needs a
    /// runtime from now on.
    ///
    /// # Errors
    /// [`Error::Database`]: no address of a database.
    pub fn at(url: &str, name: &str) -> Result<Self, Error> {
        Self::with_lease(url, name, LEASE)
    }

    /// One that leads for so long after it was last heard of.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn with_lease(url: &str, name: &str, lease: Duration) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)?.options(SETTINGS);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE / 2);
        let (db, holder, name) = (pool.connect_lazy_with(options), Uuid::new_v4(), name.to_owned());
        let (held, lasts, renewing) = Default::default();
        Ok(Self(Arc::new(Shared { db, holder, name, lease, held, lasts, renewing })))
    }

    /// Its database, for whoever brings the tables up.
    pub fn database(&self) -> &PgPool {
        &self.0.db
    }
}

impl Ledger for PostgresLedger {
    const IS_SHARED: bool = true;

    async fn claim(&mut self) -> Result<(Epoch, State), Error> {
        let mut held = self.0.held.lock().await;
        self.0.stop_renewing();
        *held = Held::default();
        let (until, epoch) = within(PATIENCE, self.0.take_over()).await?;
        // Renewed from now on: reading may take longer than the lease.
        self.0.renew_from(until, epoch);
        let state = within(READING, self.0.read(epoch)).await.inspect_err(|_| self.0.stop_renewing())?;
        *held = Held { state, whole: true };
        Ok((epoch, held.state.clone()))
    }

    async fn append(&mut self, epoch: Epoch, records: Vec<Record>) -> Result<(), Error> {
        let mut held = self.0.held.lock().await;
        if !held.whole {
            return Err(Error::Broken);
        }
        if epoch != held.state.epoch() {
            return Err(Error::Fenced { yours: epoch, current: held.state.epoch() });
        }
        if records.is_empty() && self.0.surely_leads() {
            return Ok(());
        }
        super::check::check(&held.state, &records)?;
        // Unless it ends well it is unknown what the tables say.
        held.whole = false;
        let changes = changes::fold(&mut held.state, &records);
        within(PATIENCE, self.0.write(epoch, &changes)).await?;
        held.whole = true;
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), Error> {
        self.0.stop_renewing();
        let left = sqlx::query("UPDATE fleet_driver SET holder = NULL, leased_until = '-infinity' WHERE holder = $1");
        within(FAREWELL, async { Ok(left.bind(self.0.holder).execute(&self.0.db).await?) }).await.map(drop)
    }
}

/// What takes longer than that has failed as what was cut off.
async fn within<T>(patience: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer"));
    timeout(patience, work).await.unwrap_or_else(|_| Err(late().into()))
}

impl Shared {
    /// Claims the ledger if nobody leads, or we do: until when the lease lasts, by our time, and the new epoch.
    async fn take_over(&self) -> Result<(Instant, Epoch), Error> {
        // Without a lock: whoever stands by often is to be in nobody's way.
        let leader =
            "SELECT name FROM fleet_driver WHERE leased_until > clock_timestamp() AND holder IS DISTINCT FROM $1";
        let looked = async { Ok(sqlx::query_scalar(leader).bind(self.holder).fetch_optional(&self.db).await?) };
        if let Some(name) = within(LOOKING, looked).await? {
            return Err(Error::Led(name));
        }
        let until = Instant::now() + self.lease;
        let mut transaction = self.db.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
        let claim = sqlx::query_scalar(
            "INSERT INTO fleet_driver AS it (epoch, holder, name, led_since, leased_until)
             VALUES (1, $1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3))
             ON CONFLICT (one) DO UPDATE SET epoch = it.epoch + 1, holder = EXCLUDED.holder, name = EXCLUDED.name,
                 led_since = EXCLUDED.led_since, leased_until = EXCLUDED.leased_until
             WHERE it.leased_until <= clock_timestamp() OR it.holder = $1
             RETURNING epoch",
        );
        let claim = claim.bind(self.holder).bind(&self.name).bind(self.lease.as_secs_f64());
        let claimed: Option<i64> = claim.fetch_optional(&mut *transaction).await?;
        let Some(epoch) = claimed else { return Err(Error::Led("another that was quicker".to_owned())) };
        // Nobody asks any longer how these have ended.
        let old = "DELETE FROM fleet_jobs WHERE state <> 'active' AND ended_at < clock_timestamp() - interval '1 day'";
        sqlx::query(old).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((until, Epoch(epoch.cast_unsigned())))
    }

    /// Reads all of it, under a claim that is kept. What those before have written is there: their transactions had a lock on the row
    /// that this claim has waited for. It locks nothing, so a driver that stands still here holds nobody up.
    async fn read(&self, epoch: Epoch) -> Result<State, Error> {
        let mut transaction = self.db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let current =
            sqlx::query_scalar::<_, i64>("SELECT epoch FROM fleet_driver").fetch_one(&mut *transaction).await?;
        let current = Epoch(current.cast_unsigned());
        if current != epoch {
            return Err(Error::Fenced { yours: epoch, current });
        }
        let state = load::load(&mut transaction, epoch.0).await?;
        transaction.commit().await?;
        Ok(state)
    }

    /// Writes it in one transaction, if this epoch is the newest.
    async fn write(&self, epoch: Epoch, changes: &[changes::Changes]) -> Result<(), Error> {
        let began = Instant::now();
        let mut transaction = self.db.begin().await?;
        let current = sqlx::query_scalar::<_, i64>("SELECT epoch FROM fleet_driver FOR NO KEY UPDATE");
        let current = Epoch(current.fetch_one(&mut *transaction).await?.cast_unsigned());
        if current != epoch {
            return Err(Error::Fenced { yours: epoch, current });
        }
        for changes in changes {
            write::write(&mut transaction, changes).await?;
        }
        if began.elapsed() > self.lease / 5 {
            // Nobody could renew it meanwhile.
            self.extend(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Renews the lease in a transaction that has the row.
    async fn extend(&self, db: &mut PgConnection) -> Result<(), Error> {
        let renewal =
            sqlx::query("UPDATE fleet_driver SET leased_until = clock_timestamp() + make_interval(secs => $1)");
        Ok(renewal.bind(self.lease.as_secs_f64()).execute(db).await.map(drop)?)
    }

    /// Whether nobody else can lead yet.
    fn surely_leads(&self) -> bool {
        self.lasts.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }

    /// Renews the lease from now on, for as long as it is ours.
    fn renew_from(&self, until: Instant, epoch: Epoch) {
        let (db, holder, lease, lasts) = (self.db.clone(), self.holder, self.lease, Arc::clone(&self.lasts));
        *lasts.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(lease / 5).await;
                // The database counts from later on.
                let until = Instant::now() + lease;
                let renewed = within(lease, renew(&db, holder, epoch, lease)).await;
                let mut lasts = lasts.lock().unwrap_or_else(PoisonError::into_inner);
                match renewed {
                    Ok(true) => *lasts = Some(until),
                    // The driver is told when it next asks.
                    Ok(false) => return *lasts = None,
                    Err(error) => tracing::debug!(%error, "the lease is not renewed, and will be"),
                }
            }
        });
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = Some(renewing.abort_handle());
    }

    fn stop_renewing(&self) {
        let renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner).take();
        renewing.iter().for_each(AbortHandle::abort);
        *self.lasts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Whether it is still ours.
async fn renew(db: &PgPool, holder: Uuid, epoch: Epoch, lease: Duration) -> Result<bool, Error> {
    let renewal = sqlx::query(
        // Not synced: lost, it has shortened a lease, and nobody waits for a disk that is slow.
        "UPDATE fleet_driver SET leased_until = clock_timestamp() + make_interval(secs => $1)
         FROM (SELECT set_config('synchronous_commit', 'off', true)) AS it WHERE holder = $2 AND epoch = $3",
    );
    let renewal = renewal.bind(lease.as_secs_f64()).bind(holder).bind(epoch.0.cast_signed());
    Ok(renewal.execute(db).await?.rows_affected() == 1)
}
