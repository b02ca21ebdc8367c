//! Uploads by tus: how far each is, and whose request sends bytes of it. One request at a time holds an upload, over all replicas, until
//! it lets go or says nothing for a while.

use sqlx::PgPool;
use uuid::Uuid;

use crate::ids::{UserId, VideoId};

/// How far an upload is.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Tus {
    /// Bytes that are kept, from the first on.
    pub received: i64,
    /// The object that has those of them that make no whole part, at its beginning.
    pub rest: Option<Uuid>,
    /// What its client said of it.
    pub metadata: Option<String>,
}

/// Has a video be uploaded by tus, within the transaction that begins it.
pub(super) async fn add(db: &mut sqlx::PgConnection, video: VideoId, metadata: Option<&str>) -> sqlx::Result<()> {
    let added = sqlx::query("INSERT INTO tus_uploads (video_id, metadata) VALUES ($1, $2)");
    added.bind(video).bind(metadata).execute(db).await.map(drop)
}

/// How far the upload of a video is; `None` if it is none by tus.
pub async fn find(db: &PgPool, video: VideoId) -> sqlx::Result<Option<Tus>> {
    let found = sqlx::query_as("SELECT received, rest, metadata FROM tus_uploads WHERE video_id = $1");
    found.bind(video).fetch_optional(db).await
}

/// Whether a request has the upload.
pub async fn is_held(db: &PgPool, video: VideoId) -> sqlx::Result<bool> {
    let held =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tus_uploads WHERE video_id = $1 AND held_until > now())");
    held.bind(video).fetch_one(db).await
}

/// Takes an upload for a request that is called `by`, for so many seconds; how far it is, or `None` while another has it.
pub async fn hold(db: &PgPool, video: VideoId, by: Uuid, lease_s: i64) -> sqlx::Result<Option<Tus>> {
    sqlx::query_as(
        "UPDATE tus_uploads SET held_by = $2, held_until = now() + make_interval(secs => $3)
         WHERE video_id = $1 AND (held_by IS NULL OR held_until < now())
         RETURNING received, rest, metadata",
    )
    .bind(video)
    .bind(by)
    .bind(lease_s as f64)
    .fetch_optional(db)
    .await
}

/// Holds it for so many seconds more; whether it is still that request's.
pub async fn still_holds(db: &PgPool, video: VideoId, by: Uuid, lease_s: i64) -> sqlx::Result<bool> {
    let still = sqlx::query(
        "UPDATE tus_uploads SET held_until = now() + make_interval(secs => $3) WHERE video_id = $1 AND held_by = $2",
    );
    Ok(still.bind(video).bind(by).bind(lease_s as f64).execute(db).await?.rows_affected() > 0)
}

/// Lets go of it.
pub async fn release(db: &PgPool, video: VideoId, by: Uuid) -> sqlx::Result<()> {
    let released =
        sqlx::query("UPDATE tus_uploads SET held_by = NULL, held_until = NULL WHERE video_id = $1 AND held_by = $2");
    released.bind(video).bind(by).execute(db).await.map(drop)
}

/// Notes that so many bytes are kept, the last of them in `rest`, and that the upload goes on for so many seconds; whether it is still
/// that request's, and takes bytes.
pub async fn keep(
    db: &PgPool,
    video: VideoId,
    by: Uuid,
    (received, rest): (i64, Option<Uuid>),
    keep_s: i64,
) -> sqlx::Result<bool> {
    let kept = sqlx::query(
        "WITH open AS (UPDATE videos SET upload_status = 'uploading', upload_until = now() + make_interval(secs => $5)
                       WHERE id = $1 AND upload_status IN ('pending', 'uploading') AND deleted_at IS NULL
                         AND EXISTS (SELECT 1 FROM tus_uploads WHERE video_id = $1 AND held_by = $2)
                       RETURNING id)
         UPDATE tus_uploads SET received = $3, rest = $4 WHERE video_id IN (SELECT id FROM open) AND held_by = $2",
    );
    let kept = kept.bind(video).bind(by).bind(received).bind(rest).bind(keep_s as f64);
    Ok(kept.execute(db).await?.rows_affected() > 0)
}

/// Some uploads all of whose bytes are there, and that nobody has begun to check, or could.
pub async fn unchecked(db: &PgPool) -> sqlx::Result<Vec<(UserId, VideoId)>> {
    sqlx::query_as(
        "SELECT v.user_id, v.id FROM videos v JOIN tus_uploads t ON t.video_id = v.id
         WHERE v.upload_status IN ('pending', 'uploading') AND v.deleted_at IS NULL AND t.received = v.file_size
           AND (v.check_until IS NULL OR v.check_until < now())
         LIMIT 100",
    )
    .fetch_all(db)
    .await
}
