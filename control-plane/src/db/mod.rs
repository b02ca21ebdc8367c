//! The database: a file a table, functions named by what they are for. Whatever belongs to somebody is asked for with its owner, so
//! what is somebody else's is not found.

pub mod api_keys;
pub mod audit;
mod backlog;
pub mod batches;
pub mod deliveries;
pub mod events;
pub mod fetches;
pub mod idempotency;
pub mod jobs;
mod outbox;
pub mod outputs;
pub mod rate_limits;
pub mod sessions;
pub mod tus;
pub mod usage;
pub mod users;
pub mod videos;
mod waiting;
pub mod webhooks;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr as _;
use std::time::Duration;

/// What makes the tables, in order. Each has its way back.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every connection is set to. Whoever stands still in a transaction, or is gone without a word, is not to hold others up for longer
/// than a lease lasts; and nobody waits for ever for those who hold something.
const SETTINGS: [(&str, &str); 6] = [
    ("application_name", "vtp-control-plane"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("lock_timeout", "20s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];
/// The longest that whoever is answered waits for a statement: after that nobody waits for the answer any longer.
const LONGEST_ANSWER: &str = "55s";
/// The longest that a statement takes for which nobody waits: after an outage much may have to be forgotten at once.
const LONGEST: &str = "5min";

/// Connects to the database, for whatever takes long.
///
/// # Errors
/// It can't be reached.
pub async fn connect(url: &str, most: u32) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).connect(url).await
}

/// Connects to the database for what is asked of it while somebody waits for an answer: no statement takes longer than that.
///
/// # Errors
/// It can't be reached.
pub async fn connect_for_answers(url: &str, most: u32) -> Result<PgPool, sqlx::Error> {
    connect_bounded(url, most, LONGEST_ANSWER).await
}

/// Connects to the database for what is done for which nobody waits.
///
/// # Errors
/// It can't be reached.
pub async fn connect_for_driving(url: &str, most: u32) -> Result<PgPool, sqlx::Error> {
    connect_bounded(url, most, LONGEST).await
}

async fn connect_bounded(url: &str, most: u32, longest: &str) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.options(SETTINGS).options([("statement_timeout", longest)]);
    PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).connect_with(options).await
}

/// Brings the tables up to this build. Several may do it at the same time.
///
/// # Errors
/// [`MigrateError`]; what was done is kept.
pub async fn migrate(db: &PgPool) -> Result<(), MigrateError> {
    MIGRATIONS.run(db).await
}

/// Whether the tables may be brought up later: the database is away, or somebody else is at it.
pub fn may_migrate_later(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => is_passing(error),
        _ => false,
    }
}

/// Whether an error passes by itself: what it was about may do later, as it is. 08, 25P03, 40, 53, 55P03 and 57P are classes of SQLSTATE:
/// connections, a transaction that stood still for too long, collisions of transactions, too little of something, a lock that somebody
/// has, a server that starts or is shut down; 57014 is a statement that took too long.
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(said) => said.code().is_some_and(|code| {
            ["08", "25P03", "40", "53", "55P03", "57014", "57P"].into_iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Whether an error says that something is there already.
pub fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}
