//! Jobs, and who drives them.
//!
//! ```text
//!  queued ──► processing ──► completed
//!     │            │    └──► failed
//!     └────────────┴───────► cancelled
//! ```
//! A replica that drives a job has claimed it, for a while: the lease's epoch is counted up with every claim, and what is noted
//! with an older one is not taken. A job whose lease has run out is claimed by whoever comes first. One whose source is on its way
//! waits for it, and is claimed by nobody meanwhile (`waiting.rs`). One that was never claimed is
//! cancelled at once; of any other the fleet may know, so whoever drives it gives it up there first. Whoever locks several jobs
//! does so in the order of their numbers.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::events;
use super::outbox;
use super::outputs;
use crate::end::End;
use crate::ids::{BatchId, JobId, UserId, VideoId};
use crate::traceparent::Traceparent;

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
    /// Whether its source is not there yet: it begins once that is fetched.
    pub waits_for_source: bool,
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
    /// CPU seconds in which its chunks were decoded, scaled, encoded and measured.
    pub cpu_seconds: Option<f64>,
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
            " id, video_id, status, waits_for_source AND status = 'queued' AS waits_for_source, request, priority, progress,
              error_code, error_message, output_size, cpu_seconds, queued_at, started_at, completed_at ",
            $after
        )
    };
}

/// A number for a job in the fleet: by chance, as the fleet knows others' jobs, too; of 63 bits, as the database counts with a sign.
pub fn number() -> i64 {
    (fastrand::u64(..) >> 1) as i64
}

/// A job that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// Its number.
    pub id: JobId,
    /// Of which video.
    pub video: VideoId,
    /// What is to be made.
    pub request: &'a Value,
    /// From 1, the most urgent, to 10.
    pub priority: i16,
    /// Its number in the fleet.
    pub number: i64,
    /// The span that it was asked for in, if there is one.
    pub below: Option<&'a Traceparent>,
}

/// Accepts a job of a video of this user that is whole, or is being fetched: then the job waits for it. `None` if there is no such video.
pub async fn accept(db: &PgPool, user: UserId, new: NewJob<'_>) -> sqlx::Result<Option<Job>> {
    let mut transaction = db.begin().await?;
    let job: Option<Job> = sqlx::query_as(columns!(
        "INSERT INTO transcoding_jobs (id, video_id, user_id, request, priority, fleet_job, traceparent, waits_for_source)
         SELECT $1, v.id, v.user_id, $4, $5, $6, $7, v.upload_status <> 'uploaded' FROM videos v
         WHERE v.id = $2 AND v.user_id = $3 AND v.deleted_at IS NULL
           AND (v.upload_status = 'uploaded'
                OR (v.source_url IS NOT NULL AND v.upload_status IN ('pending', 'fetching', 'checking')))
         FOR SHARE OF v RETURNING",
        ""
    ))
    .bind(new.id)
    .bind(new.video)
    .bind(user)
    .bind(new.request)
    .bind(new.priority)
    .bind(new.number)
    .bind(new.below)
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
    before: JobId,
    most: i64,
) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(columns!(
        "SELECT",
        "FROM transcoding_jobs WHERE user_id = $1 AND ($2::uuid IS NULL OR video_id = $2) AND id < $3
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
pub async fn of_batch(db: &PgPool, user: UserId, batch: BatchId, before: JobId, most: i64) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as(columns!(
        "SELECT",
        "FROM transcoding_jobs WHERE batch_id = $2 AND user_id = $1 AND id < $3
         ORDER BY id DESC LIMIT $4"
    ))
    .bind(user)
    .bind(batch)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}

/// Wants a job of this user cancelled. One that nobody has claimed yet is at once. `None` if there is no such job.
pub async fn cancel(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Option<Job>> {
    let mut transaction = db.begin().await?;
    let open: Vec<JobId> = sqlx::query_scalar(
        "SELECT id FROM transcoding_jobs
         WHERE id = $1 AND user_id = $2 AND status IN ('queued', 'processing') AND NOT cancel_wanted FOR NO KEY UPDATE",
    )
    .bind(job)
    .bind(user)
    .fetch_all(&mut *transaction)
    .await?;
    cancel_locked(&mut transaction, &open).await?;
    transaction.commit().await?;
    get(db, user, job).await
}

/// Wants open jobs cancelled, within a transaction that has locked them. Those that nobody has claimed are at once; of the others
/// whoever drives them is told.
pub(super) async fn cancel_locked(db: &mut sqlx::PgConnection, jobs: &[JobId]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE transcoding_jobs SET cancel_wanted = true,
             completed_at = CASE WHEN lease_epoch = 0 THEN now() ELSE completed_at END,
             status = CASE WHEN lease_epoch = 0 THEN 'cancelled' ELSE status END
         WHERE id = ANY($1)",
    )
    .bind(jobs)
    .execute(&mut *db)
    .await?;
    // A statement of its own: it sees what others had noted before the jobs were locked, so that no number is given twice.
    sqlx::query(
        "WITH told AS (
             INSERT INTO job_events (job_id, number, kind, body)
             SELECT j.id, (SELECT coalesce(max(number), 0) + 1 FROM job_events e WHERE e.job_id = j.id),
                    CASE WHEN j.status = 'cancelled' THEN 'cancelled' ELSE 'cancelling' END,
                    jsonb_build_object('status', j.status)
             FROM transcoding_jobs j WHERE j.id = ANY($1) RETURNING job_id)
         SELECT pg_notify($2, job_id::text), pg_notify($3, job_id::text) FROM told",
    )
    .bind(jobs)
    .bind(events::CHANNEL)
    .bind(CANCELS)
    .execute(&mut *db)
    .await?;
    outbox::jobs(db, jobs).await
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
    /// Whether it is wanted no longer; the fleet may know of it.
    pub cancel_wanted: bool,
    /// Since when.
    pub queued_at: OffsetDateTime,
    /// Which span it was asked for below, if it was in one.
    pub traceparent: Option<Traceparent>,
    /// How often whoever drove it came to no end by a fault of ours.
    pub stumbles: i16,
}

/// How many jobs of all users are queued, and under way.
pub async fn open(db: &PgPool) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'processing')
         FROM transcoding_jobs WHERE status IN ('queued', 'processing')",
    )
    .fetch_one(db)
    .await
}

/// Claims jobs that nobody drives, for so many seconds. Users take turns: whoever has fewer jobs under way comes first, and of each
/// the most urgent and oldest.
pub async fn claim(db: &PgPool, most: i64, lease_s: i64) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(
        "WITH RECURSIVE people AS (
             (SELECT user_id FROM transcoding_jobs WHERE status IN ('queued', 'processing') AND NOT waits_for_source
              ORDER BY user_id LIMIT 1)
             UNION ALL
             SELECT (SELECT j.user_id FROM transcoding_jobs j
                     WHERE j.status IN ('queued', 'processing') AND NOT j.waits_for_source AND j.user_id > p.user_id
                     ORDER BY j.user_id LIMIT 1)
             FROM people p WHERE p.user_id IS NOT NULL),
         held AS (
             SELECT user_id, count(*) AS jobs FROM transcoding_jobs
             WHERE status IN ('queued', 'processing') AND lease_until >= now() GROUP BY user_id),
         turns AS (
             SELECT w.id, w.priority, w.turn + coalesce(h.jobs, 0) AS turn
             FROM people p LEFT JOIN held h ON h.user_id = p.user_id CROSS JOIN LATERAL (
                 SELECT j.id, j.priority, row_number() OVER (ORDER BY j.priority, j.id) AS turn FROM transcoding_jobs j
                 WHERE j.user_id = p.user_id AND j.status IN ('queued', 'processing') AND NOT j.waits_for_source
                   AND (j.lease_until IS NULL OR j.lease_until < now())
                 ORDER BY j.priority, j.id LIMIT $1) w),
         free AS (
             SELECT j.id FROM turns t JOIN transcoding_jobs j ON j.id = t.id
             WHERE j.status IN ('queued', 'processing') AND (j.lease_until IS NULL OR j.lease_until < now())
             ORDER BY t.turn, t.priority, t.id LIMIT $1 FOR UPDATE OF j SKIP LOCKED)
         UPDATE transcoding_jobs j
         SET lease_epoch = lease_epoch + 1, lease_until = now() + make_interval(secs => $2)
         FROM free, videos v WHERE j.id = free.id AND v.id = j.video_id
         RETURNING j.id, j.video_id, j.user_id, v.original_filename, j.request, j.priority, j.fleet_job, j.lease_epoch,
                   j.cancel_wanted, j.queued_at, j.traceparent, j.stumbles",
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
    /// Somebody was at the job just then: nothing has changed, and the lease was not renewed.
    Busy,
    /// It is somebody else's, or the job has ended.
    Lost,
}

/// Keeps jobs, each under its epoch, for so many seconds more. Those that are not among the answer are lost. Nobody is waited for who is
/// at one of them: whoever is gone without a word is not to cost us the others.
pub async fn renew(db: &PgPool, held: &[(JobId, i64)], lease_s: i64) -> sqlx::Result<Vec<(JobId, Lease)>> {
    let (jobs, epochs): (Vec<JobId>, Vec<i64>) = held.iter().copied().unzip();
    let renewed: Vec<(JobId, Option<bool>)> = sqlx::query_as(
        "WITH asked AS (
             SELECT j.id, h.epoch FROM transcoding_jobs j JOIN unnest($1::uuid[], $2::bigint[]) AS h (id, epoch) ON j.id = h.id
             WHERE j.lease_epoch = h.epoch AND j.status IN ('queued', 'processing')),
         held AS (
             SELECT j.id FROM transcoding_jobs j JOIN asked a ON j.id = a.id
             WHERE j.lease_epoch = a.epoch AND j.status IN ('queued', 'processing')
             ORDER BY j.id FOR NO KEY UPDATE OF j SKIP LOCKED),
         renewed AS (
             UPDATE transcoding_jobs j SET lease_until = now() + make_interval(secs => $3)
             FROM held WHERE j.id = held.id
             RETURNING j.id, j.cancel_wanted)
         SELECT a.id, r.cancel_wanted FROM asked a LEFT JOIN renewed r ON r.id = a.id",
    )
    .bind(jobs)
    .bind(epochs)
    .bind(lease_s as f64)
    .fetch_all(db)
    .await?;
    let lease = |is_unwanted: Option<bool>| match is_unwanted {
        Some(true) => Lease::CancelWanted,
        Some(false) => Lease::Held,
        None => Lease::Busy,
    };
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

/// Lets a job go that others may drive: nobody claims it before so many seconds have passed.
pub async fn put_off(db: &PgPool, job: JobId, epoch: i64, pause_s: i64) -> sqlx::Result<()> {
    let put_off = sqlx::query(
        "UPDATE transcoding_jobs SET lease_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND lease_epoch = $2 AND status IN ('queued', 'processing')",
    );
    put_off.bind(job).bind(epoch).bind(pause_s as f64).execute(db).await.map(drop)
}

/// Notes that driving a job came to no end by a fault of ours. Nobody claims it again before so many seconds have passed.
pub async fn stumbled(db: &PgPool, job: JobId, epoch: i64, pause_s: i64) -> sqlx::Result<()> {
    let stumbled = sqlx::query(
        "UPDATE transcoding_jobs SET stumbles = stumbles + 1, lease_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND lease_epoch = $2 AND status IN ('queued', 'processing')",
    );
    stumbled.bind(job).bind(epoch).bind(pause_s as f64).execute(db).await.map(drop)
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

/// What came of noting how a job has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It is noted.
    Noted,
    /// It was made, and what it made is not wanted any longer: it is noted as cancelled.
    Unwanted,
    /// It is somebody else's by now, or has ended.
    Lost,
}

/// Ends a job, once.
pub async fn end(db: &PgPool, job: JobId, video: VideoId, epoch: i64, end: &End) -> sqlx::Result<Ended> {
    let mut transaction = db.begin().await?;
    let is_unwanted = sqlx::query_scalar(
        "SELECT outputs_deleted_at IS NOT NULL FROM transcoding_jobs
         WHERE id = $1 AND lease_epoch = $2 AND status IN ('queued', 'processing') FOR NO KEY UPDATE",
    );
    let Some(is_unwanted) = is_unwanted.bind(job).bind(epoch).fetch_optional(&mut *transaction).await? else {
        return Ok(Ended::Lost);
    };
    let (end, ended) = match end {
        End::Completed { .. } if is_unwanted => (&End::Cancelled, Ended::Unwanted),
        end => (end, Ended::Noted),
    };
    end_locked(&mut transaction, job, video, end).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// Ends a job within a transaction that has locked it.
async fn end_locked(db: &mut sqlx::PgConnection, job: JobId, video: VideoId, end: &End) -> sqlx::Result<()> {
    let (status, report, bytes, code, message) = match end {
        End::Completed { report, bytes, .. } => ("completed", Some(report), Some(*bytes), None, None),
        End::Failed { code, message } => ("failed", None, None, code.map(i32::from), Some(message)),
        End::Cancelled => ("cancelled", None, None, None, None),
    };
    let effort = if let End::Completed { effort, .. } = end { effort.as_ref() } else { None };
    sqlx::query(
        "UPDATE transcoding_jobs
         SET status = $2, report = $3, output_size = $4, error_code = $5, error_message = $6, completed_at = now(),
             lease_until = NULL, started_at = coalesce(started_at, now()),
             effort_kind = $7, cpu_seconds = $8, megapixels = $9,
             progress = CASE WHEN $2 = 'completed' THEN 1000 ELSE progress END
         WHERE id = $1",
    )
    .bind(job)
    .bind(status)
    .bind(report)
    .bind(bytes)
    .bind(code)
    .bind(message)
    .bind(effort.map(|it| &it.kind))
    .bind(effort.map(|it| it.cpu_s))
    .bind(effort.map(|it| it.megapixels))
    .execute(&mut *db)
    .await?;
    let mut told = json!({ "status": status });
    match end {
        End::Completed { outputs, .. } => {
            outputs::add(&mut *db, job, video, outputs).await?;
            told["progress"] = 1.0.into();
        }
        End::Failed { .. } => {
            told["error_code"] = code.into();
            told["error_message"] = message.map(String::as_str).into();
        }
        End::Cancelled => {}
    }
    events::add(&mut *db, job, status, &told).await?;
    outbox::jobs(db, &[job]).await
}

/// Some jobs that came to nothing so many seconds ago or longer, and what is left of which in the store nobody has looked for since.
pub async fn unswept(db: &PgPool, settled_s: i64) -> sqlx::Result<Vec<JobId>> {
    sqlx::query_scalar(
        "(SELECT id FROM transcoding_jobs
          WHERE status IN ('failed', 'cancelled') AND lease_epoch > 0 AND swept_at IS NULL
            AND completed_at < now() - make_interval(secs => $1)
          ORDER BY completed_at LIMIT 100)
         UNION
         (SELECT id FROM transcoding_jobs
          WHERE outputs_deleted_at < now() - make_interval(secs => $1) AND swept_at IS NULL
            AND completed_at < now() - make_interval(secs => $1)
          ORDER BY outputs_deleted_at LIMIT 100)",
    )
    .bind(settled_s as f64)
    .fetch_all(db)
    .await
}

/// Notes that nothing is left in the store of a job that came to nothing, or of whose outputs nothing is wanted.
pub async fn swept(db: &PgPool, job: JobId) -> sqlx::Result<()> {
    sqlx::query("UPDATE transcoding_jobs SET swept_at = now() WHERE id = $1").bind(job).execute(db).await.map(drop)
}

/// The CPU seconds a megapixel of the last ladders of this kind, so many at most.
pub async fn took(db: &PgPool, kind: &str, most: i64) -> sqlx::Result<Vec<f64>> {
    sqlx::query_scalar(
        "SELECT cpu_seconds / megapixels FROM transcoding_jobs WHERE effort_kind = $1 ORDER BY completed_at DESC LIMIT $2",
    )
    .bind(kind)
    .bind(most)
    .fetch_all(db)
    .await
}
