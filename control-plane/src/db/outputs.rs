//! What jobs made.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::{JobId, UserId, VideoId};

/// Something that a job made.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct OutputRow {
    /// Its number.
    pub id: Uuid,
    /// `hls`, `dash`, `rendition`, or the kind of a file.
    pub format: String,
    /// Which rendition, if it is one.
    pub rendition: Option<String>,
    /// WIDTHxHEIGHT.
    pub resolution: Option<String>,
    /// Bits a second on average.
    pub bitrate: Option<i64>,
    /// Bytes.
    pub file_size: Option<i64>,
    /// What to begin with.
    pub is_default: bool,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) storage_path: String,
}

/// Something that is to be kept of what a job made.
#[derive(Clone, PartialEq, Debug)]
pub struct NewOutput {
    /// As [`OutputRow::format`].
    pub format: String,
    /// Which rendition.
    pub rendition: Option<String>,
    /// WIDTHxHEIGHT.
    pub resolution: Option<String>,
    /// Bits a second.
    pub bitrate: Option<i64>,
    /// Bytes.
    pub file_size: Option<i64>,
    /// Below the ladder.
    pub storage_path: String,
    /// What to begin with.
    pub is_default: bool,
}

/// Notes that what these jobs made is not wanted any longer, nor what those make that go on; and tells which of them were completed.
pub(super) async fn forget(db: &mut sqlx::PgConnection, jobs: &[JobId]) -> sqlx::Result<Vec<JobId>> {
    sqlx::query("DELETE FROM processed_videos WHERE job_id = ANY($1)").bind(jobs).execute(&mut *db).await?;
    sqlx::query_scalar(
        "WITH unwanted AS (
             UPDATE transcoding_jobs SET outputs_deleted_at = now(), swept_at = NULL
             WHERE id = ANY($1) AND status IN ('queued', 'processing', 'completed') RETURNING id, status)
         SELECT id FROM unwanted WHERE status = 'completed'",
    )
    .bind(jobs)
    .fetch_all(db)
    .await
}

/// Keeps what a job made, within the transaction that ends it.
pub(super) async fn add(
    db: &mut sqlx::PgConnection,
    job: JobId,
    video: VideoId,
    outputs: &[NewOutput],
) -> sqlx::Result<()> {
    for output in outputs {
        sqlx::query(
            "INSERT INTO processed_videos
                 (id, job_id, video_id, format, rendition, resolution, bitrate, file_size, storage_path, is_default)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(Uuid::now_v7())
        .bind(job)
        .bind(video)
        .bind(&output.format)
        .bind(&output.rendition)
        .bind(&output.resolution)
        .bind(output.bitrate)
        .bind(output.file_size)
        .bind(&output.storage_path)
        .bind(output.is_default)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Lets go of what a job of this user made. `None` if there is no such job, `Some(false)` if it has not ended.
pub async fn delete(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Option<bool>> {
    let mut transaction = db.begin().await?;
    let has_ended: Option<bool> = sqlx::query_scalar(
        "SELECT status NOT IN ('queued', 'processing') FROM transcoding_jobs
         WHERE id = $1 AND user_id = $2 FOR NO KEY UPDATE",
    )
    .bind(job)
    .bind(user)
    .fetch_optional(&mut *transaction)
    .await?;
    if has_ended == Some(true) {
        forget(&mut transaction, &[job]).await?;
        transaction.commit().await?;
    }
    Ok(has_ended)
}

/// What a job of this user made.
pub async fn of(db: &PgPool, user: UserId, job: JobId) -> sqlx::Result<Vec<OutputRow>> {
    sqlx::query_as(
        "SELECT o.id, o.format, o.rendition, o.resolution, o.bitrate, o.file_size, o.is_default, o.created_at, o.storage_path
         FROM processed_videos o JOIN transcoding_jobs j ON j.id = o.job_id
         WHERE o.job_id = $1 AND j.user_id = $2 ORDER BY o.is_default DESC, o.id",
    )
    .bind(job)
    .bind(user)
    .fetch_all(db)
    .await
}
