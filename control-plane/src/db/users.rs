//! Who there is.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::auth::Role;
use crate::ids::UserId;

/// Somebody, as they see themselves.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// Their address, in small letters.
    pub email: String,
    /// What they call themselves.
    pub username: Option<String>,
    /// What they are to us.
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Whether the address was shown to be theirs.
    pub is_verified: bool,
    /// Their plan.
    pub tier: String,
    /// Bytes that they may have.
    pub storage_limit: i64,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl TryFrom<String> for Role {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, UnknownRole> {
        match &*text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            "transcoder" => Ok(Self::Transcoder),
            _ => Err(UnknownRole(text)),
        }
    }
}

/// A role that this build doesn't know.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no role")]
pub struct UnknownRole(String);

/// Takes somebody in, who may keep `storage_bytes` of sources; `None` if the address or the name is somebody's already.
pub async fn register(
    db: &PgPool,
    email: &str,
    username: Option<&str>,
    password_hash: &str,
    storage_bytes: u64,
) -> sqlx::Result<Option<User>> {
    let made = sqlx::query_as::<_, User>(
        "INSERT INTO users (id, email, username, password_hash, storage_limit) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, email, username, role, is_verified, tier, storage_limit, created_at",
    );
    let storage_bytes = i64::try_from(storage_bytes).unwrap_or(i64::MAX);
    let made = made.bind(UserId::new()).bind(email).bind(username).bind(password_hash).bind(storage_bytes);
    let made = made.fetch_one(db).await;
    match made {
        Err(error) if super::is_taken(&error) => Ok(None),
        made => made.map(Some),
    }
}

/// By an address: who it is, the hash of their password, and whether they may come in.
pub async fn find_by_email(db: &PgPool, email: &str) -> sqlx::Result<Option<(UserId, Option<String>, bool)>> {
    sqlx::query_as("SELECT id, password_hash, is_active FROM users WHERE email = $1")
        .bind(email)
        .fetch_optional(db)
        .await
}

/// Somebody who is known.
pub async fn get(db: &PgPool, user: UserId) -> sqlx::Result<User> {
    sqlx::query_as(
        "SELECT id, email, username, role, is_verified, tier, storage_limit, created_at FROM users WHERE id = $1",
    )
    .bind(user)
    .fetch_one(db)
    .await
}
