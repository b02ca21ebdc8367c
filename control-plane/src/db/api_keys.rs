//! Keys that programs show.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::auth::{ApiSecret, Role, SecretHash};
use crate::ids::{ApiKeyId, UserId};

/// A key, without what is secret of it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct ApiKey {
    /// Its number.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// Its first letters.
    pub prefix: String,
    /// What it may be used for: some of `read`, `write`.
    pub scopes: Vec<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was used last, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used: Option<OffsetDateTime>,
}

/// Keeps a new key.
pub async fn add(db: &PgPool, user: UserId, name: &str, secret: &ApiSecret, scopes: &[&str]) -> sqlx::Result<ApiKey> {
    sqlx::query_as(
        "INSERT INTO api_keys (id, user_id, name, prefix, hash, scopes) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, name, prefix, scopes, created_at, last_used",
    )
    .bind(ApiKeyId::new())
    .bind(user)
    .bind(name)
    .bind(secret.prefix())
    .bind(secret.hash().0)
    .bind(scopes)
    .fetch_one(db)
    .await
}

/// Whose key it is, in which role, and what for; `None` if it is nobody's, or was revoked. Notes that it was used.
pub async fn find(db: &PgPool, hash: &SecretHash) -> sqlx::Result<Option<(UserId, Role, Vec<String>)>> {
    let found: Option<(ApiKeyId, UserId, String, Vec<String>, bool)> = sqlx::query_as(
        "SELECT k.id, u.id, u.role, k.scopes, coalesce(k.last_used < now() - interval '1 minute', true)
         FROM api_keys k JOIN users u ON u.id = k.user_id
         WHERE k.hash = $1 AND k.revoked_at IS NULL AND u.is_active",
    )
    .bind(&hash.0)
    .fetch_optional(db)
    .await?;
    let Some((key, user, role, scopes, is_to_note)) = found else { return Ok(None) };
    if is_to_note {
        sqlx::query("UPDATE api_keys SET last_used = now() WHERE id = $1").bind(key).execute(db).await?;
    }
    let role = Role::try_from(role).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Some((user, role, scopes)))
}

/// The keys of somebody, the newest first.
pub async fn list(db: &PgPool, user: UserId) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as(
        "SELECT id, name, prefix, scopes, created_at, last_used FROM api_keys
         WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id DESC",
    )
    .bind(user)
    .fetch_all(db)
    .await
}

/// Revokes a key of this user; whether there was one.
pub async fn revoke(db: &PgPool, user: UserId, key: ApiKeyId) -> sqlx::Result<bool> {
    let revoked =
        sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL");
    Ok(revoked.bind(key).bind(user).execute(db).await?.rows_affected() > 0)
}
