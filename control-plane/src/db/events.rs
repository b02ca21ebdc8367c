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

/// Forgets how jobs went on that ended a week ago; that they did, and how, stays. Some at a time, so that nobody waits for it.
pub async fn tidy(db: &PgPool) -> sqlx::Result<()> {
    loop {
        let jobs = sqlx::query(
            "WITH past AS (
                 UPDATE transcoding_jobs SET is_past = true
                 WHERE id IN (SELECT id FROM transcoding_jobs
                              WHERE completed_at < now() - interval '7 days' AND NOT is_past
                              ORDER BY completed_at LIMIT 200 FOR UPDATE SKIP LOCKED)
                 RETURNING id),
             forgotten AS (DELETE FROM job_events WHERE kind = 'progress' AND job_id IN (SELECT id FROM past))
             SELECT FROM past",
        );
        if jobs.fetch_all(db).await?.is_empty() {
            return Ok(());
        }
    }
}

/// An event, and where it is among all of its user's.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct Positioned {
    /// Where, from 1 on, without gaps.
    pub position: i64,
    /// Of which job.
    pub job_id: JobId,
    /// Which kind of thing.
    pub kind: String,
    /// What of it.
    pub body: Value,
}

/// The position of the last event of this user. From the first time on that it is asked for, events have positions.
pub async fn position(db: &PgPool, user: UserId) -> sqlx::Result<i64> {
    sqlx::query("INSERT INTO event_positions (user_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(user)
        .execute(db)
        .await?;
    place(db, user).await?;
    sqlx::query_scalar("SELECT last FROM event_positions WHERE user_id = $1").bind(user).fetch_one(db).await
}

/// Some events of this user behind a position, in order.
pub async fn behind(db: &PgPool, user: UserId, position: i64) -> sqlx::Result<Vec<Positioned>> {
    place(db, user).await?;
    sqlx::query_as(
        "SELECT position, job_id, kind, body FROM job_events WHERE user_id = $1 AND position > $2
         ORDER BY position LIMIT 200",
    )
    .bind(user)
    .bind(position)
    .fetch_all(db)
    .await
}

/// Gives positions to events of this user that have none. Whoever does so waits for who does it already: positions are seen in their
/// order, and none is seen before a smaller one. An event is seen only after those before it in its job were, so that it comes
/// behind them, however long transactions that began earlier take.
async fn place(db: &PgPool, user: UserId) -> sqlx::Result<()> {
    let is_needed = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM job_events e JOIN event_positions p ON p.user_id = e.user_id
                        WHERE e.user_id = $1 AND e.position IS NULL
                          AND e.happened_at > greatest(p.since, now() - interval '1 day'))",
    );
    if !is_needed.bind(user).fetch_one(db).await? {
        return Ok(());
    }
    let mut transaction = db.begin().await?;
    sqlx::query("SELECT FROM event_positions WHERE user_id = $1 FOR NO KEY UPDATE")
        .bind(user)
        .execute(&mut *transaction)
        .await?;
    // A statement of its own: it sees what others have placed before. Times are those at which transactions began, which are not in
    // the order of numbers.
    sqlx::query(
        "WITH found AS (
             SELECT e.job_id, e.number,
                    max(e.happened_at) OVER (PARTITION BY e.job_id ORDER BY e.number) AS happened_at
             FROM job_events e JOIN event_positions p ON p.user_id = e.user_id
             WHERE e.user_id = $1 AND e.position IS NULL
               AND e.happened_at > greatest(p.since, now() - interval '1 day')),
         placed AS (
             UPDATE job_events e SET position = p.last + f.turn
             FROM (SELECT *, row_number() OVER (ORDER BY happened_at, job_id, number) AS turn FROM found) f, event_positions p
             WHERE e.job_id = f.job_id AND e.number = f.number AND p.user_id = $1 RETURNING 1)
         UPDATE event_positions SET last = last + (SELECT count(*) FROM placed) WHERE user_id = $1",
    )
    .bind(user)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
