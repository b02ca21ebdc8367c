//! What is used up of limits, on all replicas together. A row is when a quota will be unused again; one that is past says nothing, and
//! goes. The arithmetic is that of `limits/gcra.rs`, done where the row is locked, by the database's clock.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::limits::gcra::{Micros, Quota, Verdict};

/// Takes one of what this quota allows `key`, if there is one; and when that was, on the database's clock.
pub async fn take(db: impl PgExecutor<'_>, key: &str, quota: Quota) -> sqlx::Result<(Verdict, Micros)> {
    // A row that another statement holds is waited for, and read as it is then. All of it is of one `now()`.
    let (is_allowed, tat, now): (bool, OffsetDateTime, OffsetDateTime) = sqlx::query_as(
        "INSERT INTO rate_limits AS l (key, tat, allowed) VALUES ($1, now() + $2 * interval '1 microsecond', true)
         ON CONFLICT (key) DO UPDATE SET (tat, allowed) = (
             SELECT used + CASE WHEN passes THEN $2 ELSE 0 END * interval '1 microsecond', passes
             FROM (SELECT least(greatest(l.tat, now()), now() + $3 * interval '1 microsecond')) AS clamped (used),
                  LATERAL (SELECT used <= now() + ($3 - $2) * interval '1 microsecond') AS decided (passes)
         ) RETURNING allowed, tat, now()",
    )
    .bind(key)
    .bind(quota.interval())
    .bind(quota.whole())
    .fetch_one(db)
    .await?;
    Ok((Verdict { is_allowed, tat: micros(tat) }, micros(now)))
}

/// Forgets what is unused again; how many rows that were.
pub async fn tidy(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    Ok(sqlx::query("DELETE FROM rate_limits WHERE tat < now()").execute(db).await?.rows_affected())
}

/// In microseconds of Unix time, which is as finely as the database has it.
fn micros(time: OffsetDateTime) -> Micros {
    time.unix_timestamp() * 1_000_000 + Micros::from(time.microsecond())
}
