//! Sources, and how far they have been uploaded.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{outbox, tus, waiting};
use crate::ids::{JobId, UserId, VideoId};

/// A source, as its owner sees it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Video {
    /// Its number.
    pub id: VideoId,
    /// What its file was called.
    pub original_filename: String,
    /// Its media type, as whoever uploads it says.
    pub content_type: Option<String>,
    /// Its size in bytes; none while it is fetched from where nobody says.
    pub file_size: Option<i64>,
    /// Bytes of a part of the upload; the last part has what is left.
    pub chunk_size: i64,
    /// `pending`, `uploading`, `fetching`, `checking`, `uploaded` or `failed`.
    pub upload_status: String,
    /// Where it is fetched from, without its query; none where it is uploaded.
    pub source_url: Option<String>,
    /// Bytes of it that have been fetched; none where it is uploaded.
    pub fetched_bytes: Option<i64>,
    /// Why it failed, where there is a number for it: 1001, 1002, 1004 or 1005.
    pub failure_code: Option<i32>,
    /// Why it failed, and what to do.
    pub failure: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    /// The container.
    pub original_format: Option<String>,
    /// WIDTHxHEIGHT.
    pub resolution: Option<String>,
    /// Bits a second, of everything.
    pub bitrate: Option<i64>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Since when it is whole.
    #[serde(with = "time::serde::rfc3339::option")]
    pub uploaded_at: Option<OffsetDateTime>,
    /// Whose it is.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) user_id: UserId,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) sha256: Option<Vec<u8>>,
    /// When its upload is given up, if it comes no further.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) upload_until: OffsetDateTime,
    /// As which the check of it is known that counts.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) check_epoch: i64,
}

impl Video {
    /// Its size in bytes; 0 while it is not known.
    pub fn size(&self) -> i64 {
        self.file_size.unwrap_or_default()
    }

    /// Whether its bytes are fetched from somewhere, and nobody sends them.
    pub fn is_fetched(&self) -> bool {
        self.source_url.is_some()
    }

    /// How many parts its upload has.
    pub fn parts(&self) -> u32 {
        // The number of parts was bounded when it was begun.
        u32::try_from((self.size() + self.chunk_size - 1) / self.chunk_size).unwrap_or(u32::MAX)
    }

    /// Bytes of the part of this number; `None` if there is none.
    pub fn part_size(&self, number: u32) -> Option<u64> {
        let start = i64::from(number).checked_mul(self.chunk_size)?;
        let left = self.size() - start;
        u64::try_from(left.min(self.chunk_size)).ok().filter(|size| *size > 0)
    }
}

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, user_id, original_filename, content_type, file_size, chunk_size, upload_status, source_url,
              CASE WHEN source_url IS NOT NULL THEN fetched_bytes END AS fetched_bytes, failure_code, failure, duration,
              original_format, resolution, bitrate, created_at, uploaded_at, sha256, upload_until, check_epoch ",
            $after
        )
    };
}

/// What somebody is about to upload.
#[derive(Clone, Debug)]
pub struct Begun<'a> {
    /// Which video it becomes.
    pub id: VideoId,
    /// What its file is called.
    pub filename: &'a str,
    /// Its media type, as they say.
    pub content_type: Option<&'a str>,
    /// Bytes.
    pub size: i64,
    /// Bytes of a part.
    pub chunk: i64,
    /// The hash of the whole, if they know it.
    pub sha256: Option<Vec<u8>>,
    /// For how many seconds it may come no further.
    pub keep_s: i64,
    /// How it comes.
    pub by: By<'a>,
}

/// How an upload comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By<'a> {
    /// In parts.
    Parts,
    /// By tus, with what its client says of it, if anything.
    Tus(Option<&'a str>),
}

/// What came of beginning an upload.
#[derive(Clone, PartialEq, Debug)]
pub enum Beginning {
    /// It is begun.
    Video(Box<Video>),
    /// There is no room for it.
    Full {
        /// Bytes that this user has.
        used: i64,
        /// Bytes that they may have.
        limit: i64,
    },
}

/// Begins an upload, if this user has room for it. Several that begin at the same time are counted one after another.
pub async fn begin(db: &PgPool, user: UserId, begun: Begun<'_>) -> sqlx::Result<Beginning> {
    let mut transaction = db.begin().await?;
    let Room { used, limit } = room(&mut transaction, user, None).await?;
    if used.saturating_add(begun.size) > limit {
        return Ok(Beginning::Full { used, limit });
    }
    let video: Video = sqlx::query_as(columns!(
        "INSERT INTO videos (id, user_id, original_filename, content_type, file_size, chunk_size, sha256, upload_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8)) RETURNING",
        ""
    ))
    .bind(begun.id)
    .bind(user)
    .bind(begun.filename)
    .bind(begun.content_type)
    .bind(begun.size)
    .bind(begun.chunk)
    .bind(begun.sha256)
    .bind(begun.keep_s as f64)
    .fetch_one(&mut *transaction)
    .await?;
    if let By::Tus(metadata) = begun.by {
        tus::add(&mut transaction, video.id, metadata).await?;
    }
    transaction.commit().await?;
    Ok(Beginning::Video(Box::new(video)))
}

/// What of a user's room is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    /// Bytes that they have.
    pub(super) used: i64,
    /// Bytes that they may have.
    pub(super) limit: i64,
}

/// How much room a user has and uses, but for one video. Until the transaction has ended nobody else takes any of it.
pub(super) async fn room(db: &mut sqlx::PgConnection, user: UserId, but_for: Option<VideoId>) -> sqlx::Result<Room> {
    let limit: i64 = sqlx::query_scalar("SELECT storage_limit FROM users WHERE id = $1 FOR NO KEY UPDATE")
        .bind(user)
        .fetch_one(&mut *db)
        .await?;
    let used: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(coalesce(file_size, fetched_bytes))::bigint, 0) FROM videos
         WHERE user_id = $1 AND deleted_at IS NULL AND upload_status <> 'failed' AND ($2::uuid IS NULL OR id <> $2)",
    )
    .bind(user)
    .bind(but_for)
    .fetch_one(db)
    .await?;
    Ok(Room { used, limit })
}

/// A video of this user.
pub async fn get(db: &PgPool, user: UserId, video: VideoId) -> sqlx::Result<Option<Video>> {
    sqlx::query_as(columns!("SELECT", "FROM videos WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL"))
        .bind(video)
        .bind(user)
        .fetch_optional(db)
        .await
}

/// A video, whoever's it is: for those who show a signature of it.
pub async fn signed_for(db: &PgPool, video: VideoId) -> sqlx::Result<Option<Video>> {
    sqlx::query_as(columns!("SELECT", "FROM videos WHERE id = $1 AND deleted_at IS NULL"))
        .bind(video)
        .fetch_optional(db)
        .await
}

/// Videos of this user that are older than `before`, the newest first, so many at most.
pub async fn list(db: &PgPool, user: UserId, before: VideoId, most: i64) -> sqlx::Result<Vec<Video>> {
    sqlx::query_as(columns!(
        "SELECT",
        "FROM videos WHERE user_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3"
    ))
    .bind(user)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}

/// A part that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArrivedPart<'a> {
    /// Its number, from 0.
    pub number: i32,
    /// Bytes.
    pub size: i64,
    /// Its hash.
    pub sha256: &'a [u8],
}

/// Notes that a part has arrived here, and that the upload goes on for so many seconds; whether it still takes parts. Which parts are
/// there is asked of the store: others know nothing of us.
pub async fn arrived(db: &PgPool, video: VideoId, part: ArrivedPart<'_>, keep_s: i64) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    let open = sqlx::query(
        "UPDATE videos SET upload_status = 'uploading', upload_until = now() + make_interval(secs => $2)
         WHERE id = $1 AND upload_status IN ('pending', 'uploading') AND source_url IS NULL AND deleted_at IS NULL",
    );
    if open.bind(video).bind(keep_s as f64).execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO video_parts (video_id, number, size, sha256) VALUES ($1, $2, $3, $4)
         ON CONFLICT (video_id, number) DO UPDATE SET size = $3, sha256 = $4, arrived_at = now()",
    )
    .bind(video)
    .bind(part.number)
    .bind(part.size)
    .bind(part.sha256)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Notes that addresses were given out by which parts are put into the store for so many seconds, and that the upload goes on for so
/// many; whether it still takes parts.
pub async fn urls_given(db: &PgPool, video: VideoId, good_for_s: i64, keep_s: i64) -> sqlx::Result<bool> {
    let given = sqlx::query(
        "UPDATE videos SET urls_until = now() + make_interval(secs => $2), upload_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND upload_status IN ('pending', 'uploading') AND deleted_at IS NULL",
    );
    let given = given.bind(video).bind(good_for_s as f64).bind(keep_s as f64);
    Ok(given.execute(db).await?.rows_affected() > 0)
}

/// Some videos whose uploads are over, as have been for so many seconds the addresses that were given out for their parts.
///
/// With each it is told whether it is of no use, and so what was put together of them, too.
pub async fn late(db: &PgPool, settled_s: i64) -> sqlx::Result<Vec<(VideoId, bool)>> {
    sqlx::query_as(
        "SELECT id, upload_status = 'failed' FROM videos
         WHERE urls_until < now() - make_interval(secs => $1) AND upload_status IN ('uploaded', 'failed')
           AND deleted_at IS NULL
         ORDER BY urls_until LIMIT 100",
    )
    .bind(settled_s as f64)
    .fetch_all(db)
    .await
}

/// Notes that no part is left in the store of a video whose upload is over.
pub async fn late_is_gone(db: &PgPool, video: VideoId) -> sqlx::Result<()> {
    sqlx::query("UPDATE videos SET urls_until = NULL WHERE id = $1").bind(video).execute(db).await.map(drop)
}

/// Deletes videos whose uploads have come no further for too long; how many.
pub async fn give_up(db: &PgPool) -> sqlx::Result<u64> {
    let given_up = sqlx::query(
        "UPDATE videos SET deleted_at = now()
         WHERE upload_status IN ('pending', 'uploading') AND source_url IS NULL AND deleted_at IS NULL AND upload_until < now()
           AND NOT EXISTS (SELECT 1 FROM tus_uploads WHERE video_id = videos.id AND held_until > now())",
    );
    Ok(given_up.execute(db).await?.rows_affected())
}

/// Begins to check an upload, for so many seconds until it is said that it is still checked: it, if it was there to be checked, or
/// whoever checked it is gone.
pub async fn check(db: &PgPool, user: UserId, video: VideoId, lease_s: i64) -> sqlx::Result<Option<Video>> {
    sqlx::query_as(columns!(
        "UPDATE videos SET upload_status = 'checking', check_until = now() + make_interval(secs => $3),
                           check_epoch = check_epoch + 1
         WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL
           AND (upload_status IN ('pending', 'uploading') OR (upload_status = 'checking' AND check_until < now()))
         RETURNING",
        ""
    ))
    .bind(video)
    .bind(user)
    .bind(lease_s as f64)
    .fetch_optional(db)
    .await
}

/// Goes on checking, for so many seconds more; whether nobody else does by now.
pub async fn still_checks(db: &PgPool, video: VideoId, epoch: i64, lease_s: i64) -> sqlx::Result<bool> {
    let still = sqlx::query(
        "UPDATE videos SET check_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND upload_status = 'checking' AND check_epoch = $2",
    );
    Ok(still.bind(video).bind(epoch).bind(lease_s as f64).execute(db).await?.rows_affected() > 0)
}

/// Takes an upload over that somebody has begun to check who is gone.
pub async fn take_over(db: &PgPool, lease_s: i64) -> sqlx::Result<Option<Video>> {
    sqlx::query_as(columns!(
        "UPDATE videos SET check_until = now() + make_interval(secs => $1), check_epoch = check_epoch + 1
         WHERE id = (SELECT id FROM videos WHERE upload_status = 'checking' AND check_until < now() AND deleted_at IS NULL
                     LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING",
        ""
    ))
    .bind(lease_s as f64)
    .fetch_optional(db)
    .await
}

/// Puts an upload back that could not be checked now; its parts are there. One that was fetched is checked again in so many seconds,
/// any other when its user says so.
pub async fn uncheck(db: &PgPool, video: VideoId, epoch: i64, pause_s: i64) -> sqlx::Result<()> {
    let back = sqlx::query(
        "UPDATE videos SET upload_status = CASE WHEN source_url IS NULL THEN 'uploading' ELSE 'fetching' END,
             check_until = now() + make_interval(secs => $3), fetch_until = NULL, fetch_after = now() + make_interval(secs => $3)
         WHERE id = $1 AND upload_status = 'checking' AND check_epoch = $2",
    );
    back.bind(video).bind(epoch).bind(pause_s as f64).execute(db).await.map(drop)
}

/// What the probe found, as the columns have it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Seconds.
    pub duration: Option<f64>,
    /// The container.
    pub format: Option<String>,
    /// WIDTHxHEIGHT.
    pub resolution: Option<String>,
    /// Bits a second.
    pub bitrate: Option<i64>,
    /// All of it.
    pub metadata: Value,
}

/// What came of noting how a check has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// It is noted.
    Noted,
    /// Another checks it by now, or has: its bytes are theirs.
    Lost,
    /// It was deleted meanwhile.
    Unwanted,
}

/// Notes that an upload is whole and a video, if this is still the check that counts.
pub async fn uploaded(db: &PgPool, video: VideoId, epoch: i64, facts: &Facts) -> sqlx::Result<Checked> {
    let mut transaction = db.begin().await?;
    let uploaded = sqlx::query(
        "UPDATE videos SET upload_status = 'uploaded', uploaded_at = now(), duration = $2, original_format = $3,
                           resolution = $4, bitrate = $5, metadata = $6, fetch_from = NULL,
                           urls_until = coalesce(urls_until, now())
         WHERE id = $1 AND upload_status = 'checking' AND check_epoch = $7 AND deleted_at IS NULL",
    )
    .bind(video)
    .bind(facts.duration)
    .bind(&facts.format)
    .bind(&facts.resolution)
    .bind(facts.bitrate)
    .bind(&facts.metadata)
    .bind(epoch)
    .execute(&mut *transaction)
    .await?;
    if uploaded.rows_affected() == 0 {
        drop(transaction);
        let is_wanted = sqlx::query_scalar("SELECT deleted_at IS NULL FROM videos WHERE id = $1").bind(video);
        let is_wanted = is_wanted.fetch_optional(db).await?.unwrap_or(false);
        return Ok(if is_wanted { Checked::Lost } else { Checked::Unwanted });
    }
    outbox::video(&mut transaction, video).await?;
    waiting::go_on(&mut transaction, video).await?;
    sqlx::query("DELETE FROM video_parts WHERE video_id = $1").bind(video).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Checked::Noted)
}

/// Notes that what was uploaded is of no use; jobs that wait for it fail with it. Whether this was still the check that counts.
pub async fn failed(db: &PgPool, video: VideoId, epoch: i64, code: i32, why: &str) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    let failed = sqlx::query(
        "UPDATE videos SET upload_status = 'failed', failure_code = $2, failure = $3, fetch_from = NULL,
                           urls_until = coalesce(urls_until, now())
         WHERE id = $1 AND upload_status = 'checking' AND check_epoch = $4",
    )
    .bind(video)
    .bind(code)
    .bind(why)
    .bind(epoch)
    .execute(&mut *transaction)
    .await?;
    if failed.rows_affected() == 0 {
        return Ok(false);
    }
    outbox::video(&mut transaction, video).await?;
    waiting::fail(&mut transaction, video, Some(code), why).await?;
    sqlx::query("DELETE FROM video_parts WHERE video_id = $1").bind(video).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Deletes a video of this user, and wants its open jobs cancelled; `None` if there is none. Tells of which jobs the outputs are not
/// wanted any longer either: of none, unless they are to go `with_outputs`.
pub async fn delete(db: &PgPool, user: UserId, video: VideoId, with_outputs: bool) -> sqlx::Result<Option<Vec<JobId>>> {
    let mut transaction = db.begin().await?;
    let deleted = sqlx::query(
        "UPDATE videos SET deleted_at = now(), fetch_from = NULL WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL",
    )
    .bind(video)
    .bind(user)
    .execute(&mut *transaction)
    .await?;
    if deleted.rows_affected() == 0 {
        return Ok(None);
    }
    let open: Vec<JobId> = sqlx::query_scalar(
        "SELECT id FROM transcoding_jobs
         WHERE video_id = $1 AND user_id = $2 AND status IN ('queued', 'processing') AND NOT cancel_wanted
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(video)
    .bind(user)
    .fetch_all(&mut *transaction)
    .await?;
    super::jobs::cancel_locked(&mut transaction, &open).await?;
    let mut gone = Vec::new();
    if with_outputs {
        let all: Vec<JobId> = sqlx::query_scalar(
            "SELECT id FROM transcoding_jobs WHERE video_id = $1 AND user_id = $2 ORDER BY id FOR NO KEY UPDATE",
        )
        .bind(video)
        .bind(user)
        .fetch_all(&mut *transaction)
        .await?;
        gone = super::outputs::forget(&mut transaction, &all).await?;
    }
    transaction.commit().await?;
    Ok(Some(gone))
}

/// Some videos that were deleted so many seconds ago or longer, that nobody writes for any longer, and whose bytes nobody has
/// looked after since.
pub async fn unswept(db: &PgPool, settled_s: i64) -> sqlx::Result<Vec<VideoId>> {
    sqlx::query_scalar(
        "SELECT id FROM videos
         WHERE deleted_at < now() - make_interval(secs => $1) AND swept_at IS NULL
           AND (upload_status <> 'checking' OR check_until < now())
           AND (urls_until IS NULL OR urls_until < now() - make_interval(secs => $1))
           AND (upload_status <> 'fetching' OR fetch_until IS NULL OR fetch_until < now())
         ORDER BY deleted_at LIMIT 100",
    )
    .bind(settled_s as f64)
    .fetch_all(db)
    .await
}

/// Notes that nothing is left in the store of a video that is deleted.
pub async fn swept(db: &PgPool, video: VideoId) -> sqlx::Result<()> {
    let swept = sqlx::query(
        "WITH parts AS (DELETE FROM video_parts WHERE video_id = $1), tus AS (DELETE FROM tus_uploads WHERE video_id = $1)
         UPDATE videos SET swept_at = now(), urls_until = NULL WHERE id = $1",
    );
    swept.bind(video).execute(db).await.map(drop)
}
