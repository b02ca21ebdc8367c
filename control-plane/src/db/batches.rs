//! Many jobs that were asked for together.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::backlog;
use super::fetches::{self, NewFetch};
use crate::ids::{BatchId, JobId, UserId, VideoId};
use crate::traceparent::Traceparent;

/// A batch, and how its jobs stand.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// What is made of each source.
    pub request: Value,
    /// From 1, the most urgent, to 10.
    pub priority: i16,
    /// How many jobs it has.
    pub size: i32,
    /// Jobs that wait.
    pub queued: i64,
    /// Jobs that are worked on.
    pub processing: i64,
    /// Jobs whose ladders are there.
    pub completed: i64,
    /// Jobs that can't be done.
    pub failed: i64,
    /// Jobs that were not wanted any longer.
    pub cancelled: i64,
    /// Thousandths of all its jobs that are done.
    pub progress: i32,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

macro_rules! batches {
    ($which:literal) => {
        concat!(
            "SELECT b.id, b.request, b.priority, b.size, b.created_at,
                    c.queued, c.processing, c.completed, c.failed, c.cancelled,
                    coalesce(((c.completed + c.failed + c.cancelled) * 1000 + p.progress) / nullif(c.jobs, 0), 0)::integer
                        AS progress
             FROM batches b CROSS JOIN LATERAL (
                 SELECT count(*) AS jobs,
                        count(*) FILTER (WHERE status = 'queued') AS queued,
                        count(*) FILTER (WHERE status = 'processing') AS processing,
                        count(*) FILTER (WHERE status = 'completed') AS completed,
                        count(*) FILTER (WHERE status = 'failed') AS failed,
                        count(*) FILTER (WHERE status = 'cancelled') AS cancelled
                 FROM transcoding_jobs WHERE batch_id = b.id) c
             CROSS JOIN LATERAL (
                 SELECT coalesce(sum(progress), 0) AS progress FROM transcoding_jobs
                 WHERE batch_id = b.id AND status = 'processing') p ",
            $which,
            " ORDER BY b.id DESC"
        )
    };
}

/// What came of asking for many jobs.
#[derive(Clone, PartialEq, Debug)]
pub enum Accepted {
    /// They are queued, all of them.
    All,
    /// Nothing was accepted, as these are no videos of this user that are whole or being fetched.
    Missing(Vec<VideoId>),
    /// Nothing was accepted, as this user would have more that has not ended than they may.
    TooMany {
        /// How many jobs, and sources that are to be fetched for none of them, they have.
        open: i64,
    },
}

/// Many jobs that are asked for together.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch<'a> {
    /// Its number.
    pub id: BatchId,
    /// The videos, and the number of each one's job in the fleet.
    pub videos: &'a [(VideoId, i64)],
    /// Those of them that are made with it, and are to be fetched.
    pub fetched: &'a [NewFetch],
    /// What is to be made of each.
    pub request: &'a Value,
    /// From 1, the most urgent, to 10.
    pub priority: i16,
    /// The span that it was asked for in, if there is one.
    pub below: Option<&'a Traceparent>,
    /// How many jobs that have not ended this user may have with it, and sources that are to be fetched for none of them.
    pub most_open: i64,
}

/// Accepts a job of each of these videos, or none; those that are to be fetched are made with it. Each job has a number in the fleet.
pub async fn accept(db: &PgPool, user: UserId, new: NewBatch<'_>) -> sqlx::Result<Accepted> {
    let (wanted, numbers): (Vec<VideoId>, Vec<i64>) = new.videos.iter().copied().unzip();
    let jobs: Vec<JobId> = new.videos.iter().map(|_| JobId::new()).collect();
    let size = i32::try_from(new.videos.len()).unwrap_or(i32::MAX);
    let mut transaction = db.begin().await?;
    let open = backlog::count(&mut transaction, user).await?;
    if open + i64::from(size) > new.most_open {
        return Ok(Accepted::TooMany { open });
    }
    sqlx::query("INSERT INTO batches (id, user_id, request, priority, size) VALUES ($1, $2, $3, $4, $5)")
        .bind(new.id)
        .bind(user)
        .bind(new.request)
        .bind(new.priority)
        .bind(size)
        .execute(&mut *transaction)
        .await?;
    fetches::begin(&mut transaction, user, new.fetched).await?;
    let made = sqlx::query(
        "INSERT INTO transcoding_jobs (id, video_id, user_id, request, priority, fleet_job, batch_id, traceparent,
                                       waits_for_source)
         SELECT w.id, v.id, v.user_id, $5, $6, w.number, $7, $8, v.upload_status <> 'uploaded'
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS w (id, video, number)
         JOIN videos v ON v.id = w.video AND v.user_id = $4 AND v.deleted_at IS NULL
             AND (v.upload_status = 'uploaded'
                  OR (v.source_url IS NOT NULL AND v.upload_status IN ('pending', 'fetching', 'checking')))
         FOR SHARE OF v",
    )
    .bind(&jobs)
    .bind(&wanted)
    .bind(&numbers)
    .bind(user)
    .bind(new.request)
    .bind(new.priority)
    .bind(new.id)
    .bind(new.below)
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() != new.videos.len() as u64 {
        let missing = sqlx::query_scalar(
            "SELECT DISTINCT w.video FROM unnest($1::uuid[]) AS w (video)
             WHERE NOT EXISTS (SELECT FROM videos v WHERE v.id = w.video AND v.user_id = $2 AND v.deleted_at IS NULL
                                   AND (v.upload_status = 'uploaded' OR (v.source_url IS NOT NULL
                                        AND v.upload_status IN ('pending', 'fetching', 'checking'))))",
        );
        let missing = missing.bind(&wanted).bind(user).fetch_all(&mut *transaction).await?;
        return Ok(Accepted::Missing(missing));
    }
    sqlx::query(
        r#"INSERT INTO job_events (job_id, number, kind, body)
           SELECT id, 1, 'queued', '{"status": "queued", "progress": 0.0}' FROM unnest($1::uuid[]) AS w (id)"#,
    )
    .bind(&jobs)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Accepted::All)
}

/// A batch of this user.
pub async fn get(db: &PgPool, user: UserId, batch: BatchId) -> sqlx::Result<Option<Batch>> {
    sqlx::query_as(batches!("WHERE b.id = $1 AND b.user_id = $2")).bind(batch).bind(user).fetch_optional(db).await
}

/// Batches of this user that are older than `before`, the newest first, so many at most.
pub async fn list(db: &PgPool, user: UserId, before: BatchId, most: i64) -> sqlx::Result<Vec<Batch>> {
    sqlx::query_as(batches!(
        "WHERE b.id IN (SELECT id FROM batches WHERE user_id = $1 AND id < $2
                        ORDER BY id DESC LIMIT $3)"
    ))
    .bind(user)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}

/// Wants all open jobs of a batch of this user cancelled; those that nobody has claimed yet are at once.
pub async fn cancel(db: &PgPool, user: UserId, batch: BatchId) -> sqlx::Result<()> {
    let mut transaction = db.begin().await?;
    let open: Vec<JobId> = sqlx::query_scalar(
        "SELECT id FROM transcoding_jobs
         WHERE batch_id = $1 AND user_id = $2 AND status IN ('queued', 'processing') AND NOT cancel_wanted
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(batch)
    .bind(user)
    .fetch_all(&mut *transaction)
    .await?;
    super::jobs::cancel_locked(&mut transaction, &open).await?;
    transaction.commit().await
}
