//! What webhooks are to be told. It is written in the transaction in which it happens, once of each thing, for whoever hears of it
//! then; a function a source of it.

use sqlx::PgConnection;

use crate::ids::{BatchId, DeliveryId, JobId, UserId, VideoId, WebhookId};

/// Writes what has happened (rows of `user_id`, `kind`, `subject`, `body`) for those who hear of it. They are held meanwhile, so that
/// one that is removed just now hears of nothing, and is no failure.
macro_rules! tell {
    ($happened:literal) => {
        concat!(
            "WITH happened (user_id, kind, subject, body) AS (",
            $happened,
            "), heard AS (
                 SELECT h.*, w.id AS webhook_id FROM happened h JOIN webhooks w ON w.user_id = h.user_id
                 WHERE w.disabled_for IS NULL AND h.kind = ANY (w.events) FOR KEY SHARE OF w),
             told AS (
                 INSERT INTO webhook_events (user_id, kind, subject, body)
                 SELECT DISTINCT ON (subject, kind) user_id, kind, subject, body FROM heard
                 ON CONFLICT DO NOTHING RETURNING id, kind, subject)
             INSERT INTO webhook_deliveries (webhook_id, event_id)
             SELECT h.webhook_id, t.id FROM told t JOIN heard h USING (subject, kind)"
        )
    };
}

/// Jobs have ended, those of them that have; and with them batches, perhaps. The jobs are locked. Batches are locked after them, in
/// the order of their numbers, so that of two last jobs that end at the same time one sees the other.
pub(super) async fn jobs(db: &mut PgConnection, jobs: &[JobId]) -> sqlx::Result<()> {
    sqlx::query(tell!(
        "SELECT j.user_id, 'job.' || j.status, j.id, jsonb_build_object(
             'id', j.id, 'video_id', j.video_id, 'batch_id', j.batch_id, 'status', j.status, 'progress', j.progress,
             'error_code', j.error_code, 'error_message', left(j.error_message, 2000), 'output_size', j.output_size,
             'cpu_seconds', j.cpu_seconds, 'queued_at', j.queued_at, 'started_at', j.started_at, 'completed_at', j.completed_at)
         FROM transcoding_jobs j WHERE j.id = ANY ($1) AND j.status IN ('completed', 'failed', 'cancelled')"
    ))
    .bind(jobs)
    .execute(&mut *db)
    .await?;
    let batches: Vec<BatchId> = sqlx::query_scalar(
        "SELECT b.id FROM batches b WHERE b.id IN (SELECT batch_id FROM transcoding_jobs WHERE id = ANY ($1))
           AND EXISTS (SELECT FROM webhooks w WHERE w.user_id = b.user_id AND w.disabled_for IS NULL
                                                AND 'batch.completed' = ANY (w.events))
         ORDER BY b.id FOR NO KEY UPDATE OF b",
    )
    .bind(jobs)
    .fetch_all(&mut *db)
    .await?;
    if batches.is_empty() {
        return Ok(());
    }
    // A statement of its own: it sees what others had ended before the batches were locked.
    sqlx::query(tell!(
        "SELECT b.user_id, 'batch.completed', b.id, jsonb_build_object(
             'id', b.id, 'size', b.size, 'completed', s.completed, 'failed', s.failed, 'cancelled', s.cancelled,
             'created_at', b.created_at)
         FROM batches b CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE j.status = 'completed') AS completed,
                    count(*) FILTER (WHERE j.status = 'failed') AS failed,
                    count(*) FILTER (WHERE j.status = 'cancelled') AS cancelled
             FROM transcoding_jobs j WHERE j.batch_id = b.id) s
         WHERE b.id = ANY ($1) AND NOT EXISTS (
             SELECT FROM transcoding_jobs j WHERE j.batch_id = b.id AND j.status IN ('queued', 'processing'))"
    ))
    .bind(batches)
    .execute(db)
    .await
    .map(drop)
}

/// A video is whole, or of no use.
pub(super) async fn video(db: &mut PgConnection, video: VideoId) -> sqlx::Result<()> {
    sqlx::query(tell!(
        "SELECT v.user_id, CASE v.upload_status WHEN 'uploaded' THEN 'video.ready' ELSE 'video.failed' END, v.id,
             jsonb_build_object(
                 'id', v.id, 'original_filename', v.original_filename, 'file_size', v.file_size,
                 'upload_status', v.upload_status, 'failure_code', v.failure_code, 'failure', left(v.failure, 2000),
                 'duration', v.duration, 'resolution', v.resolution, 'created_at', v.created_at,
                 'uploaded_at', v.uploaded_at)
         FROM videos v WHERE v.id = $1 AND v.upload_status IN ('uploaded', 'failed') AND v.deleted_at IS NULL"
    ))
    .bind(video)
    .execute(db)
    .await
    .map(drop)
}

/// Somebody tries whether a webhook of theirs hears; it does whatever else it hears of.
pub(super) async fn test(db: &mut PgConnection, user: UserId, webhook: WebhookId) -> sqlx::Result<Option<DeliveryId>> {
    sqlx::query_scalar(
        "WITH heard AS (SELECT id, user_id FROM webhooks WHERE id = $1 AND user_id = $2 FOR KEY SHARE),
              told AS (INSERT INTO webhook_events (user_id, kind, subject, body)
                       SELECT user_id, 'webhook.test', id, jsonb_build_object('webhook_id', id) FROM heard RETURNING id)
         INSERT INTO webhook_deliveries (webhook_id, event_id) SELECT heard.id, told.id FROM heard, told RETURNING id",
    )
    .bind(webhook)
    .bind(user)
    .fetch_optional(db)
    .await
}
