//! Sources on their way from where they lie. A replica that fetches one has claimed it, for a while: the epoch is counted up with every
//! claim and with every new beginning, and what is noted with an older one is not taken. Parts are called by the epoch that they
//! were fetched under, so nobody writes over another's.

use sqlx::PgPool;

use super::videos::{Room, room};
use super::{backlog, outbox, waiting};
use crate::ids::{UserId, VideoId};

/// A source that is to be fetched.
#[derive(Clone, PartialEq, Debug)]
pub struct NewFetch {
    /// Which video it becomes.
    pub video: VideoId,
    /// What it is called.
    pub filename: String,
    /// Where it comes from, with all that is asked for.
    pub from: String,
    /// The same, as it may be shown.
    pub shown: String,
    /// The hash of the whole, if they know it.
    pub sha256: Option<Vec<u8>>,
    /// Bytes of a part.
    pub chunk: i64,
}

/// Notes that sources are to be fetched.
pub(super) async fn begin(db: &mut sqlx::PgConnection, user: UserId, wanted: &[NewFetch]) -> sqlx::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let text = |of: fn(&NewFetch) -> &str| wanted.iter().map(|it| of(it).to_owned()).collect::<Vec<String>>();
    sqlx::query(
        "INSERT INTO videos (id, user_id, original_filename, fetch_from, source_url, sha256, chunk_size)
         SELECT w.id, $1, w.name, w.place, w.shown, w.sha256, w.chunk
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[])
              AS w (id, name, place, shown, sha256, chunk)",
    )
    .bind(user)
    .bind(wanted.iter().map(|it| it.video).collect::<Vec<_>>())
    .bind(text(|it| &it.filename))
    .bind(text(|it| &it.from))
    .bind(text(|it| &it.shown))
    .bind(wanted.iter().map(|it| it.sha256.clone()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|it| it.chunk).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}

/// What came of asking for a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// It is to be fetched.
    Yes,
    /// It is not, as this user has as much that has not ended as they may.
    TooMany {
        /// How many jobs, and sources that are to be fetched for none of them, they have.
        open: i64,
    },
}

/// Notes that a source is to be fetched, if its user has less than so much that has not ended.
pub async fn add(db: &PgPool, user: UserId, wanted: &NewFetch, most_open: i64) -> sqlx::Result<Accepted> {
    let mut transaction = db.begin().await?;
    let open = backlog::count(&mut transaction, user).await?;
    if open >= most_open {
        return Ok(Accepted::TooMany { open });
    }
    begin(&mut transaction, user, std::slice::from_ref(wanted)).await?;
    transaction.commit().await?;
    Ok(Accepted::Yes)
}

/// A source that is claimed, and what has come of it.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct Claimed {
    /// Which one.
    pub id: VideoId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it comes from.
    pub fetch_from: String,
    /// Its size in bytes, if that is known.
    pub file_size: Option<i64>,
    /// Bytes of a part.
    pub chunk_size: i64,
    /// Bytes that have come: whole parts, or all of it.
    pub fetched_bytes: i64,
    /// As which whoever claimed it is known.
    pub fetch_epoch: i64,
    /// Tries that have brought nothing, one after another.
    pub fetch_failures: i32,
    /// Seconds that it has been fetched for, in all.
    pub fetch_spent_s: f64,
    /// What the contents are known by of which bytes have come.
    pub fetch_version: Option<String>,
}

/// Claims sources that nobody fetches, for so many seconds. Users take turns: whoever has fewer under way comes first, and of each the
/// oldest; nobody has more than `each` under way, over all replicas, so that what comes slowly keeps nobody else waiting.
pub async fn claim(db: &PgPool, most: i64, each: i64, lease_s: i64) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(
        "WITH RECURSIVE open AS NOT MATERIALIZED (
             SELECT id, user_id, fetch_until, fetch_after FROM videos
             WHERE source_url IS NOT NULL AND upload_status IN ('pending', 'fetching') AND deleted_at IS NULL),
         people AS (
             (SELECT user_id FROM open ORDER BY user_id LIMIT 1)
             UNION ALL
             SELECT (SELECT o.user_id FROM open o WHERE o.user_id > p.user_id ORDER BY o.user_id LIMIT 1)
             FROM people p WHERE p.user_id IS NOT NULL),
         held AS (SELECT user_id, count(*) AS fetches FROM open WHERE fetch_until >= now() GROUP BY user_id),
         turns AS (
             SELECT w.id, w.turn + coalesce(h.fetches, 0) AS turn
             FROM people p LEFT JOIN held h ON h.user_id = p.user_id CROSS JOIN LATERAL (
                 SELECT o.id, row_number() OVER (ORDER BY o.id) AS turn FROM open o
                 WHERE o.user_id = p.user_id AND (o.fetch_until IS NULL OR o.fetch_until < now()) AND o.fetch_after <= now()
                 ORDER BY o.id LIMIT $1) w),
         free AS (
             SELECT v.id FROM turns t JOIN videos v ON v.id = t.id
             WHERE v.upload_status IN ('pending', 'fetching') AND v.deleted_at IS NULL
               AND (v.fetch_until IS NULL OR v.fetch_until < now())
               AND t.turn <= $3
             ORDER BY t.turn, t.id LIMIT $1 FOR UPDATE OF v SKIP LOCKED)
         UPDATE videos v
         SET upload_status = 'fetching', fetch_epoch = fetch_epoch + 1, fetch_until = now() + make_interval(secs => $2)
         FROM free WHERE v.id = free.id
         RETURNING v.id, v.user_id, v.fetch_from, v.file_size, v.chunk_size, v.fetched_bytes, v.fetch_epoch,
                   v.fetch_failures, v.fetch_spent_s, v.fetch_version",
    )
    .bind(most)
    .bind(lease_s as f64)
    .bind(each)
    .fetch_all(db)
    .await
}

/// Goes on fetching, for so many seconds more; whether it is still theirs, and wanted.
pub async fn renew(db: &PgPool, video: VideoId, epoch: i64, lease_s: i64) -> sqlx::Result<bool> {
    let renewed = sqlx::query(
        "UPDATE videos SET fetch_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching' AND deleted_at IS NULL",
    );
    Ok(renewed.bind(video).bind(epoch).bind(lease_s as f64).execute(db).await?.rows_affected() > 0)
}

/// What came of noting something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// It is noted.
    Yes,
    /// It is somebody else's by now, or not wanted any longer.
    Lost,
    /// There is no room for it.
    Full {
        /// Bytes that this user has besides.
        used: i64,
        /// Bytes that they may have.
        limit: i64,
    },
}

/// Notes how large a source is and what its contents are known by, if its user has room for it.
pub async fn sized(db: &PgPool, of: &Claimed, size: Option<i64>, version: Option<&str>) -> sqlx::Result<Noted> {
    let mut transaction = db.begin().await?;
    if let Some(size) = size {
        let Room { used, limit } = room(&mut transaction, of.user_id, Some(of.id)).await?;
        if used.saturating_add(size) > limit {
            return Ok(Noted::Full { used, limit });
        }
    }
    let noted = sqlx::query(
        "UPDATE videos SET file_size = $3, fetch_version = $4
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching' AND deleted_at IS NULL",
    );
    let noted = noted.bind(of.id).bind(of.fetch_epoch).bind(size).bind(version).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(if noted.rows_affected() > 0 { Noted::Yes } else { Noted::Lost })
}

/// A part that was fetched and is kept.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Which one, from 0.
    pub number: i32,
    /// Its size in bytes.
    pub size: i64,
    /// Its hash.
    pub sha256: &'a [u8],
    /// Seconds that it took.
    pub spent_s: f64,
}

/// Notes that a part has come, if its user has room for it where the size of the whole is not known.
pub async fn arrived(db: &PgPool, of: &Claimed, part: Part<'_>) -> sqlx::Result<Noted> {
    let mut transaction = db.begin().await?;
    if of.file_size.is_none() {
        let Room { used, limit } = room(&mut transaction, of.user_id, Some(of.id)).await?;
        if used.saturating_add(of.fetched_bytes).saturating_add(part.size) > limit {
            return Ok(Noted::Full { used, limit });
        }
    }
    let noted = sqlx::query(
        "UPDATE videos SET fetched_bytes = fetched_bytes + $3, fetch_failures = 0, fetch_spent_s = fetch_spent_s + $4
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching' AND deleted_at IS NULL",
    );
    let noted = noted.bind(of.id).bind(of.fetch_epoch).bind(part.size).bind(part.spent_s);
    if noted.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(Noted::Lost);
    }
    sqlx::query("INSERT INTO video_parts (video_id, number, size, sha256, fetch_epoch) VALUES ($1, $2, $3, $4, $5)")
        .bind(of.id)
        .bind(part.number)
        .bind(part.size)
        .bind(part.sha256)
        .bind(of.fetch_epoch)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Noted::Yes)
}

/// Begins again with the first byte, under a new epoch; `None` if it is somebody else's by now, or not wanted any longer.
pub async fn begin_again(db: &PgPool, of: &Claimed) -> sqlx::Result<Option<i64>> {
    let mut transaction = db.begin().await?;
    let epoch = sqlx::query_scalar(
        "UPDATE videos SET fetch_epoch = fetch_epoch + 1, fetched_bytes = 0, file_size = NULL, fetch_version = NULL
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching' AND deleted_at IS NULL
         RETURNING fetch_epoch",
    );
    let epoch = epoch.bind(of.id).bind(of.fetch_epoch).fetch_optional(&mut *transaction).await?;
    if epoch.is_some() {
        sqlx::query("DELETE FROM video_parts WHERE video_id = $1").bind(of.id).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(epoch)
}

/// Lets a source go until so many seconds have passed; then whoever comes first tries again.
pub async fn later(db: &PgPool, of: &Claimed, failures: i32, spent_s: f64, pause_s: f64) -> sqlx::Result<()> {
    let let_go = sqlx::query(
        "UPDATE videos SET fetch_until = NULL, fetch_after = now() + make_interval(secs => $5), fetch_failures = $3,
             fetch_spent_s = fetch_spent_s + $4
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching'",
    );
    let let_go = let_go.bind(of.id).bind(of.fetch_epoch).bind(failures).bind(spent_s).bind(pause_s);
    let_go.execute(db).await.map(drop)
}

/// Notes that all of a source has come, and that it is checked for so many seconds; whether it is still theirs, and wanted.
pub async fn whole(db: &PgPool, of: &Claimed, lease_s: i64) -> sqlx::Result<bool> {
    let whole = sqlx::query(
        "UPDATE videos SET upload_status = 'checking', file_size = fetched_bytes, fetch_until = NULL,
             check_until = now() + make_interval(secs => $3), check_epoch = check_epoch + 1
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching' AND deleted_at IS NULL",
    );
    let whole = whole.bind(of.id).bind(of.fetch_epoch).bind(lease_s as f64);
    Ok(whole.execute(db).await?.rows_affected() > 0)
}

/// Notes that a source can't be fetched, and fails the jobs that wait for it; whether it was still theirs.
pub async fn failed(db: &PgPool, of: &Claimed, code: Option<i32>, why: &str) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    let failed = sqlx::query(
        "UPDATE videos SET upload_status = 'failed', failure_code = $3, failure = $4, fetch_from = NULL, fetch_until = NULL,
                           urls_until = coalesce(urls_until, now())
         WHERE id = $1 AND fetch_epoch = $2 AND upload_status = 'fetching'",
    );
    let failed = failed.bind(of.id).bind(of.fetch_epoch).bind(code).bind(why).execute(&mut *transaction).await?;
    if failed.rows_affected() == 0 {
        return Ok(false);
    }
    outbox::video(&mut transaction, of.id).await?;
    waiting::fail(&mut transaction, of.id, code, why).await?;
    sqlx::query("DELETE FROM video_parts WHERE video_id = $1").bind(of.id).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The parts that have come, in order, each with the epoch that it is called by.
pub async fn parts(db: &PgPool, video: VideoId) -> sqlx::Result<Vec<(i32, i64)>> {
    sqlx::query_as(
        "SELECT number, fetch_epoch FROM video_parts WHERE video_id = $1 AND fetch_epoch IS NOT NULL ORDER BY number",
    )
    .bind(video)
    .fetch_all(db)
    .await
}
