//! Who did what: added to and never changed.

use std::net::IpAddr;

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::UserId;

/// Something that somebody did, or tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Deed<'a> {
    /// Its number; later ones are greater.
    pub id: Uuid,
    /// Who; `None` where that is not known.
    pub user: Option<UserId>,
    /// Such as `POST`.
    pub method: &'a str,
    /// As the API's document names it.
    pub endpoint: &'a str,
    /// To what.
    pub path: &'a str,
    /// What came of it, as HTTP has it.
    pub status: u16,
    /// What the request is called.
    pub request: Option<&'a str>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// Notes what somebody did; what is noted already stays as it is.
pub async fn add(db: &PgPool, deed: &Deed<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit_log (id, user_id, method, endpoint, path, status_code, request_id, ip_address)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::inet) ON CONFLICT DO NOTHING",
    )
    .bind(deed.id)
    .bind(deed.user)
    .bind(deed.method)
    .bind(deed.endpoint)
    .bind(deed.path)
    .bind(i32::from(deed.status))
    .bind(deed.request)
    .bind(deed.address.map(|it| it.to_string()))
    .execute(db)
    .await
    .map(drop)
}

/// Something that was done in somebody's name.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Done {
    /// Its number; later ones are greater.
    pub id: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub happened_at: OffsetDateTime,
    /// Such as `POST`.
    pub method: String,
    /// What was asked for.
    pub path: String,
    /// What came of it, as HTTP has it.
    pub status_code: i32,
    /// What the request was called.
    pub request_id: Option<String>,
    /// From where.
    pub ip_address: Option<String>,
}

/// What was done in this user's name, the latest first, so many at most, before the one of this number.
pub async fn of(db: &PgPool, user: UserId, before: Uuid, most: i64) -> sqlx::Result<Vec<Done>> {
    sqlx::query_as(
        "SELECT id, happened_at, method, path, status_code, request_id, host(ip_address) AS ip_address FROM audit_log
         WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(user)
    .bind(before)
    .bind(most)
    .fetch_all(db)
    .await
}
