//! Who is signed in where. A refresh token is good for once: one that is shown again ends its session, for somebody has stolen it.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::auth::{Role, SecretHash};
use crate::ids::{SessionId, UserId};

/// Somewhere that somebody is signed in.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// What the program calls itself that signed in.
    pub device: Option<String>,
    /// Where it was then.
    pub ip_address: Option<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when, if it is not used before.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Whether this is the one that asks.
    #[sqlx(skip)]
    pub is_this: bool,
}

/// Begins a session, whose first refresh token has this hash.
pub async fn begin(
    db: &PgPool,
    user: UserId,
    (device, address): (&Value, IpAddr),
    token: &SecretHash,
    lasts: Duration,
) -> sqlx::Result<(SessionId, Role)> {
    let (session, until) = (SessionId::new(), OffsetDateTime::now_utc() + lasts);
    let mut transaction = db.begin().await?;
    sqlx::query("INSERT INTO user_sessions (id, user_id, device_info, ip_address, expires_at) VALUES ($1, $2, $3, $4::inet, $5)")
        .bind(session)
        .bind(user)
        .bind(device)
        .bind(address.to_string())
        .bind(until)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)")
        .bind(&token.0)
        .bind(session)
        .bind(until)
        .execute(&mut *transaction)
        .await?;
    let (role,): (String,) = sqlx::query_as("UPDATE users SET last_login = now() WHERE id = $1 RETURNING role")
        .bind(user)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((session, role_named(role)?))
}

/// The role of somebody who is active, in a session of theirs that has not ended.
pub async fn role_of(db: &PgPool, user: UserId, session: SessionId) -> sqlx::Result<Option<Role>> {
    let found: Option<(String,)> = sqlx::query_as(
        "SELECT u.role FROM user_sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND u.id = $2 AND u.is_active AND s.revoked_at IS NULL AND s.expires_at > now()",
    )
    .bind(session)
    .bind(user)
    .fetch_optional(db)
    .await?;
    found.map(|(role,)| role_named(role)).transpose()
}

fn role_named(role: String) -> sqlx::Result<Role> {
    Role::try_from(role).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What became of a refresh token that was shown.
#[derive(Clone, PartialEq, Debug)]
pub enum Refreshed {
    /// It was good, and is no longer.
    Good(UserId, SessionId, Role),
    /// It was used before. Its session has ended.
    Reused(SessionId),
    /// There is none, or its time has run out, or its session has ended.
    Bad,
}

/// Takes a refresh token, and makes `next` the one that is good, for so long.
pub async fn refresh(db: &PgPool, shown: &SecretHash, next: &SecretHash, lasts: Duration) -> sqlx::Result<Refreshed> {
    let mut transaction = db.begin().await?;
    let found: Option<(SessionId, bool, bool, UserId, String)> = sqlx::query_as(
        "SELECT s.id, t.used_at IS NOT NULL,
                t.expires_at > now() AND s.revoked_at IS NULL AND u.is_active, u.id, u.role
         FROM refresh_tokens t JOIN user_sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
         WHERE t.hash = $1 FOR UPDATE OF t",
    )
    .bind(&shown.0)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((session, was_used, is_good, user, role)) = found else { return Ok(Refreshed::Bad) };
    if was_used {
        revoke(&mut *transaction, session, "reuse").await?;
        transaction.commit().await?;
        return Ok(Refreshed::Reused(session));
    }
    if !is_good {
        return Ok(Refreshed::Bad);
    }
    let until = OffsetDateTime::now_utc() + lasts;
    sqlx::query("UPDATE refresh_tokens SET used_at = now() WHERE hash = $1")
        .bind(&shown.0)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)")
        .bind(&next.0)
        .bind(session)
        .bind(until)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE user_sessions SET expires_at = $2 WHERE id = $1")
        .bind(session)
        .bind(until)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Refreshed::Good(user, session, role_named(role)?))
}

async fn revoke(db: impl sqlx::PgExecutor<'_>, session: SessionId, why: &str) -> sqlx::Result<bool> {
    let ended = sqlx::query(
        "UPDATE user_sessions SET revoked_at = now(), revoked_for = $2 WHERE id = $1 AND revoked_at IS NULL",
    );
    Ok(ended.bind(session).bind(why).execute(db).await?.rows_affected() > 0)
}

/// Ends a session of this user; whether there was one.
pub async fn end(db: &PgPool, user: UserId, session: SessionId) -> sqlx::Result<bool> {
    let ended = sqlx::query(
        "UPDATE user_sessions SET revoked_at = now(), revoked_for = 'logout'
         WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL",
    );
    Ok(ended.bind(session).bind(user).execute(db).await?.rows_affected() > 0)
}

/// Where this user is signed in, the latest first.
pub async fn of(db: &PgPool, user: UserId) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as(
        "SELECT id, device_info ->> 'user_agent' AS device, host(ip_address) AS ip_address, created_at, expires_at
         FROM user_sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() ORDER BY created_at DESC",
    )
    .bind(user)
    .fetch_all(db)
    .await
}

/// Forgets tokens and sessions whose time has run out a while ago: until then an old token that is shown again is known for what
/// it is.
pub async fn tidy(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM refresh_tokens WHERE expires_at < now() - interval '1 day'").execute(db).await?;
    sqlx::query("DELETE FROM user_sessions WHERE expires_at < now() - interval '90 days'").execute(db).await.map(drop)
}
