//! Jobs, and who drives them.
//!
//! ```text
//!  queued ──► processing ──► completed
//!     │            │    └──► failed
//!     └────────────┴───────► cancelled
//! ```
//! A replica that drives a job has claimed it, for a while: the lease's epoch is counted up with every claim, and what is noted
//! with an older one is not taken. A job whose lease has run out is claimed by whoever comes first.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::events;
use super::outputs::{self, NewOutput};
use crate::ids::{BatchId, JobId, UserId, VideoId};

/// The channel on which whoever drives a job is told that it is wanted no longer.
pub const CANCELS: &str = "job_cancels";

/// A job, as its owner sees it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What it is made from.
    pub video_id: VideoId,
    /// `queued`, `processing`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// What was asked for.
    pub request: Value,
    /// From 1, the most urgent, to 10.
    pub priority: i16,
    /// Thousandths that are done.
    pub progress: i16,
    /// Why it failed: a number of the API.
    pub error_code: Option<i32>,
    /// Why it failed, and what to do.
    pub error_message: Option<String>,
    /// Bytes of all that was made.
    pub output_size: Option<i64>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// Since when it is worked on.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// Since when it has ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub completed_at: Option<OffsetDateTime>,
}

impl Job {
    /// Whether nothing more happens to it.
    pub fn has_ended(&self) -> bool {
        matches!(&*self.status, "completed" | "failed" | "cancelled")
    }
}

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, video_id, status, request, priority, progress, error_code, error_message, output_size, queued_at,
              started_at, completed_at ",
            $after
        )
    };
}

/// A number for a job in the fleet: by chance, as the fleet knows others' jobs, too; of 63 bits, as the database counts with a sign.
pub fn number() -> i64 {
    (fastrand::u64(..) >> 1) as i64
}

/// Accepts a job of a video of this user that is whole. `None` if there is no such video.
pub async fn accept(
    db: &PgPool,
    user: UserId,
    video: VideoId,
    request: &Value,
    priority: i16,
    fleet_job: i64,
) -> sqlx::Result<Option<Job>> {
    let mut transaction = db.begin().await?;
    let job: Option<Job> = sqlx::query_as(columns!(
        "INSERT INTO transcoding_jobs (id, video_id, user_id, request, priority, fleet_job)
         SELECT $1, v.id, v.user_id, $4, $5, $6 FROM videos v
         WHERE v.id = $2 AND v.user_id = $3 AND v.deleted_at IS NULL AND v.upload_status = 'uploaded' RETURNING",
        ""
    ))
    .bind(JobId::new())
    .bind(video)
    .bind(user)
    .bind(request)
    .bind(priority)
    .bind(fleet_job)
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(job) = &job {
        events::add(&mut transaction, job.id, "queued", &json!({ "status": "queued", "progress": 0.0 })).await?;
    }
    transaction.commit().await?;
    Ok(job)
}

/// A job of this user.
pub async fn get(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Option<Job>> {
    sqlx::query_as(columns!("SELECT", "FROM transcoding_jobs WHERE id = $1 AND user_id = $2"))
        .bind(job)
        .bind(user)
        .fetch_optional(db)
        .await
}

/// The report of a job of this user: `Some(None)` where there is none yet.
pub async fn report(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Option<Option<Value>>> {
    sqlx::query_scalar("SELECT report FROM transcoding_jobs WHERE id = $1 AND user_id = $2")
        .bind(job)
        .bind(user)
        .fetch_optional(db)
        .await
}

/// Jobs of this user (and of this video) that are older than `before`, the newest first, so many at most.
pub async fn list(
    db: &PgPool,
    user: UserId,
    video: Option<VideoId>,
    before: Option<JobId>,
    most: i64,
) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(columns!(
        "SELECT",
        "FROM transcoding_jobs WHERE user_id = $1 AND ($2::uuid IS NULL OR video_id = $2) AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4"
    ))
    .bind(user)
    .bind(video)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}

/// Jobs of a batch of this user that are older than `before`, the newest first, so many at most.
pub async fn of_batch(
    db: &PgPool,
    user: UserId,
    batch: BatchId,
    before: Option<JobId>,
    most: i64,
) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(columns!(
        "SELECT",
        "FROM transcoding_jobs WHERE batch_id = $2 AND user_id = $1 AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4"
    ))
    .bind(user)
    .bind(batch)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}

/// Wants a job of this user cancelled. One that nobody has begun is at once. `None` if there is no such job.
pub async fn cancel(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Option<Job>> {
    let mut transaction = db.begin().await?;
    let cancelled: Option<(bool,)> = sqlx::query_as(
        "UPDATE transcoding_jobs SET cancel_wanted = true,
             completed_at = CASE WHEN status = 'queued' THEN now() ELSE completed_at END,
             status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
         WHERE id = $1 AND user_id = $2 AND status IN ('queued', 'processing') RETURNING status = 'cancelled'",
    )
    .bind(job)
    .bind(user)
    .fetch_optional(&mut *transaction)
    .await?;
    match cancelled {
        Some((true,)) => events::add(&mut transaction, job, "cancelled", &json!({ "status": "cancelled" })).await?,
        Some((false,)) => {
            events::add(&mut transaction, job, "cancelling", &json!({ "status": "processing" })).await?;
            events::wake(&mut transaction, CANCELS, job).await?;
        }
        None => {}
    }
    transaction.commit().await?;
    get(db, user, job).await
}

/// A job that is claimed.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct Claimed {
    /// Which one.
    pub id: JobId,
    /// Of which video.
    pub video_id: VideoId,
    /// Whose it is.
    pub user_id: UserId,
    /// What that file was called.
    pub original_filename: String,
    /// What is to be made.
    pub request: Value,
    /// How urgent it is.
    pub priority: i16,
    /// Its number in the fleet.
    pub fleet_job: i64,
    /// As which whoever claimed it is known.
    pub lease_epoch: i64,
}

/// Claims jobs that nobody drives, the most urgent and oldest first, for so many seconds.
pub async fn claim(db: &PgPool, most: i64, lease_s: i64) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(
        "WITH free AS (
             SELECT id FROM transcoding_jobs
             WHERE status IN ('queued', 'processing') AND (lease_until IS NULL OR lease_until < now())
             ORDER BY priority, id LIMIT $1 FOR UPDATE SKIP LOCKED)
         UPDATE transcoding_jobs j
         SET lease_epoch = lease_epoch + 1, lease_until = now() + make_interval(secs => $2)
         FROM free, videos v WHERE j.id = free.id AND v.id = j.video_id
         RETURNING j.id, j.video_id, j.user_id, v.original_filename, j.request, j.priority, j.fleet_job, j.lease_epoch",
    )
    .bind(most)
    .bind(lease_s as f64)
    .fetch_all(db)
    .await
}

/// What whoever renews a lease learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lease {
    /// It is theirs, and the job goes on.
    Held,
    /// It is theirs, and the job is wanted no longer.
    CancelWanted,
    /// It is somebody else's, or the job has ended.
    Lost,
}

/// Keeps jobs, each under its epoch, for so many seconds more. Those that are not among the answer are lost.
pub async fn renew(db: &PgPool, held: &[(JobId, i64)], lease_s: i64) -> sqlx::Result<Vec<(JobId, Lease)>> {
    let (jobs, epochs): (Vec<JobId>, Vec<i64>) = held.iter().copied().unzip();
    let renewed: Vec<(JobId, bool)> = sqlx::query_as(
        "UPDATE transcoding_jobs j SET lease_until = now() + make_interval(secs => $3)
         FROM unnest($1::uuid[], $2::bigint[]) AS h (id, epoch)
         WHERE j.id = h.id AND j.lease_epoch = h.epoch AND j.status IN ('queued', 'processing')
         RETURNING j.id, j.cancel_wanted",
    )
    .bind(jobs)
    .bind(epochs)
    .bind(lease_s as f64)
    .fetch_all(db)
    .await?;
    let lease = |is_unwanted| if is_unwanted { Lease::CancelWanted } else { Lease::Held };
    Ok(renewed.into_iter().map(|(job, is_unwanted)| (job, lease(is_unwanted))).collect())
}

/// Whether a job is to be cancelled.
pub async fn is_unwanted(db: &PgPool, job: JobId) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT cancel_wanted FROM transcoding_jobs WHERE id = $1").bind(job).fetch_one(db).await
}

/// Lets a job go, so that another replica may claim it at once.
pub async fn release(db: &PgPool, job: JobId, epoch: i64) -> sqlx::Result<()> {
    let released = sqlx::query("UPDATE transcoding_jobs SET lease_until = NULL WHERE id = $1 AND lease_epoch = $2");
    released.bind(job).bind(epoch).execute(db).await.map(drop)
}

/// Notes how far a job is, in thousandths; it never falls. Whether the lease still holds.
pub async fn progress(db: &PgPool, job: JobId, epoch: i64, thousandths: i16, body: &Value) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    let noted: Option<(i16,)> = sqlx::query_as(
        "UPDATE transcoding_jobs
         SET progress = greatest(progress, $3), status = 'processing', started_at = coalesce(started_at, now())
         WHERE id = $1 AND lease_epoch = $2 AND status IN ('queued', 'processing') RETURNING progress",
    )
    .bind(job)
    .bind(epoch)
    .bind(thousandths)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((progress,)) = noted else { return Ok(false) };
    let mut body = body.clone();
    body["status"] = "processing".into();
    body["progress"] = (f64::from(progress) / 1000.0).into();
    events::add(&mut transaction, job, "progress", &body).await?;
    transaction.commit().await?;
    Ok(true)
}

/// How a job has ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// The ladder is there.
    Completed {
        /// Its report.
        report: Value,
        /// What was made.
        outputs: Vec<NewOutput>,
        /// Bytes of it.
        bytes: i64,
    },
    /// It can't be made.
    Failed {
        /// A number of the API.
        code: Option<u16>,
        /// What is wrong and what to do.
        message: String,
    },
    /// It was not wanted any longer.
    Cancelled,
}

/// Ends a job, once; whether it was this lease that did.
pub async fn end(db: &PgPool, job: JobId, video: VideoId, epoch: i64, end: &End) -> sqlx::Result<bool> {
    let (status, report, bytes, code, message) = match end {
        End::Completed { report, bytes, .. } => ("completed", Some(report), Some(*bytes), None, None),
        End::Failed { code, message } => ("failed", None, None, code.map(i32::from), Some(message)),
        End::Cancelled => ("cancelled", None, None, None, None),
    };
    let mut transaction = db.begin().await?;
    let ended = sqlx::query(
        "UPDATE transcoding_jobs
         SET status = $3, report = $4, output_size = $5, error_code = $6, error_message = $7, completed_at = now(),
             lease_until = NULL, started_at = coalesce(started_at, now()),
             progress = CASE WHEN $3 = 'completed' THEN 1000 ELSE progress END
         WHERE id = $1 AND lease_epoch = $2 AND status IN ('queued', 'processing')",
    )
    .bind(job)
    .bind(epoch)
    .bind(status)
    .bind(report)
    .bind(bytes)
    .bind(code)
    .bind(message)
    .execute(&mut *transaction)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(false);
    }
    let mut told = json!({ "status": status });
    match end {
        End::Completed { outputs, .. } => {
            outputs::add(&mut transaction, job, video, outputs).await?;
            told["progress"] = 1.0.into();
        }
        End::Failed { .. } => {
            told["error_code"] = code.into();
            told["error_message"] = message.map(String::as_str).into();
        }
        End::Cancelled => {}
    }
    events::add(&mut transaction, job, status, &told).await?;
    transaction.commit().await?;
    Ok(true)
}
