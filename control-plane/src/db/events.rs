//! What happened to jobs, in order. Whoever adds an event wakes those who listen, on all replicas.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::ids::{JobId, UserId};

/// The channel on which it is told that a job has news.
pub const CHANNEL: &str = "job_events";

/// Something that happened to a job.
#[derive(Clone, PartialEq, Debug, Serialize, sqlx::FromRow)]
pub struct Event {
    /// From 1 on.
    pub number: i64,
    /// Which kind of thing.
    pub kind: String,
    /// What of it.
    pub body: Value,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub happened_at: OffsetDateTime,
}

/// Adds an event, within a transaction that has changed the job (and so holds it).
pub(super) async fn add(db: &mut sqlx::PgConnection, job: JobId, kind: &str, body: &Value) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO job_events (job_id, number, kind, body)
         SELECT $1, coalesce(max(number), 0) + 1, $2, $3 FROM job_events WHERE job_id = $1",
    )
    .bind(job)
    .bind(kind)
    .bind(body)
    .execute(&mut *db)
    .await?;
    wake(db, CHANNEL, job).await
}

/// Wakes those who listen for this job on a channel, once the transaction is done.
pub(super) async fn wake(db: &mut sqlx::PgConnection, channel: &str, job: JobId) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(job.to_string()).execute(db).await.map(drop)
}

/// The events of a job of this user after the one of this number, in order.
pub async fn after(db: &PgPool, user: UserId, job: JobId, number: i64) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as(
        "SELECT e.number, e.kind, e.body, e.happened_at
         FROM job_events e JOIN transcoding_jobs j ON j.id = e.job_id
         WHERE e.job_id = $1 AND j.user_id = $2 AND e.number > $3 ORDER BY e.number LIMIT 1000",
    )
    .bind(job)
    .bind(user)
    .bind(number)
    .fetch_all(db)
    .await
}
