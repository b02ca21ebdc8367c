//! What is used of the API, a row for each request of a user.

use std::time::Duration;

use sqlx::PgPool;

use crate::ids::UserId;

/// A request that was answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Used {
    /// Whose.
    pub user: UserId,
    /// As the API's document names it.
    pub endpoint: String,
    /// Such as `GET`.
    pub method: String,
    /// Of the answer.
    pub status: u16,
    /// Bytes, if that was said.
    pub request_bytes: Option<i64>,
    /// Bytes, if that was said.
    pub response_bytes: Option<i64>,
    /// Until the answer began.
    pub took: Duration,
}

/// Keeps these, in one statement. Those of users that are gone by now are not.
pub async fn add(db: &PgPool, used: &[Used]) -> sqlx::Result<()> {
    let of = |what: fn(&Used) -> Option<i64>| used.iter().map(what).collect::<Vec<_>>();
    sqlx::query(
        r#"INSERT INTO api_usage (user_id, endpoint, method, status_code, request_size, response_size, processing_time)
           SELECT n.* FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::int[])
               AS n (user_id, endpoint, method, status_code, request_size, response_size, processing_time)
           JOIN users u ON u.id = n.user_id"#,
    )
    .bind(used.iter().map(|it| it.user.0).collect::<Vec<_>>())
    .bind(used.iter().map(|it| &*it.endpoint).collect::<Vec<_>>())
    .bind(used.iter().map(|it| &*it.method).collect::<Vec<_>>())
    .bind(used.iter().map(|it| i32::from(it.status)).collect::<Vec<_>>())
    .bind(of(|it| it.request_bytes))
    .bind(of(|it| it.response_bytes))
    .bind(used.iter().map(|it| i32::try_from(it.took.as_millis()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
}

/// Makes room for what comes, and forgets what is older than so many days.
pub async fn keep(db: &PgPool, days: i32) -> sqlx::Result<()> {
    sqlx::query("SELECT keep_api_usage($1)").bind(days).execute(db).await.map(drop)
}
