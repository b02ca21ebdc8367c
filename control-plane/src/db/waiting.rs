//! Jobs whose sources are not there yet. They go on, or fail, in the transaction that says so of the source; whoever accepts one holds
//! the source's row meanwhile, so that none is left waiting for what has come to its end.

use serde_json::json;

use super::{events, outbox};
use crate::ids::{JobId, VideoId};

/// Jobs that wait for a video, locked.
const WAITING: &str = "SELECT id FROM transcoding_jobs WHERE video_id = $1 AND status = 'queued' AND waits_for_source
                       ORDER BY id FOR NO KEY UPDATE";

/// Has the jobs that wait for a video go on, within the transaction that notes that it is there.
pub(super) async fn go_on(db: &mut sqlx::PgConnection, video: VideoId) -> sqlx::Result<()> {
    let jobs: Vec<JobId> = sqlx::query_scalar(WAITING).bind(video).fetch_all(&mut *db).await?;
    let wait_no_longer = sqlx::query("UPDATE transcoding_jobs SET waits_for_source = false WHERE id = ANY($1)");
    wait_no_longer.bind(jobs).execute(db).await.map(drop)
}

/// Fails the jobs that wait for a video, within the transaction that notes that it is of no use, and why.
pub(super) async fn fail(
    db: &mut sqlx::PgConnection,
    video: VideoId,
    code: Option<i32>,
    why: &str,
) -> sqlx::Result<()> {
    let jobs: Vec<JobId> = sqlx::query_scalar(WAITING).bind(video).fetch_all(&mut *db).await?;
    let failed = sqlx::query(
        "UPDATE transcoding_jobs SET status = 'failed', error_code = $2, error_message = $3, completed_at = now()
         WHERE id = ANY($1)",
    );
    failed.bind(&jobs).bind(code).bind(why).execute(&mut *db).await?;
    // A statement of its own: it sees what others had noted before the jobs were locked, so that no number is given twice.
    sqlx::query(
        "WITH told AS (
             INSERT INTO job_events (job_id, number, kind, body)
             SELECT j.id, (SELECT coalesce(max(number), 0) + 1 FROM job_events e WHERE e.job_id = j.id), 'failed', $2
             FROM unnest($1::uuid[]) AS j (id) RETURNING job_id)
         SELECT pg_notify($3, job_id::text) FROM told",
    )
    .bind(&jobs)
    .bind(json!({ "status": "failed", "error_code": code, "error_message": why }))
    .bind(events::CHANNEL)
    .execute(&mut *db)
    .await?;
    outbox::jobs(db, &jobs).await
}
