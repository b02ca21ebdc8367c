//! What a user has that has not ended: jobs, and sources that are to be fetched and that no such job waits for. It is bounded.

use crate::ids::UserId;

/// How much it is. Until the transaction has ended nobody else counts this user's, so that of what comes at the same time each counts
/// what came before it.
pub(super) async fn count(db: &mut sqlx::PgConnection, user: UserId) -> sqlx::Result<i64> {
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE").bind(user).execute(&mut *db).await?;
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM transcoding_jobs WHERE user_id = $1 AND status IN ('queued', 'processing'))
              + (SELECT count(*) FROM videos v
                 WHERE v.user_id = $1 AND v.source_url IS NOT NULL AND v.upload_status IN ('pending', 'fetching')
                   AND v.deleted_at IS NULL
                   AND NOT EXISTS (SELECT FROM transcoding_jobs j
                                   WHERE j.video_id = v.id AND j.status IN ('queued', 'processing')))",
    )
    .bind(user)
    .fetch_one(db)
    .await
}
