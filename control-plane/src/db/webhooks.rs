//! Addresses that hear of what happens.

use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::hooks::sign::Secret;
use crate::ids::{UserId, WebhookId};

/// The most webhooks that somebody has.
pub const MOST: i64 = 20;

/// A webhook, without what is secret of it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Webhook {
    /// Its number.
    pub id: WebhookId,
    /// Where it is told.
    pub url: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Which kinds of events it hears.
    pub events: Vec<String>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why not: `owner`, `gone` (it answered 410) or `failing` (nothing has arrived for days).
    pub disabled_for: Option<String>,
    /// Since when nothing has arrived.
    #[serde(with = "time::serde::rfc3339::option")]
    pub failing_since: Option<OffsetDateTime>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, url, description, events, disabled_for IS NULL AS enabled, disabled_for, failing_since, created_at ",
            $after
        )
    };
}

/// What is wanted of a webhook.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Where it is told.
    pub url: &'a str,
    /// What its owner says of it.
    pub description: Option<&'a str>,
    /// Which kinds of events it hears.
    pub events: &'a [&'static str],
}

/// Keeps a new one; `None` if this user has as many as there may be.
pub async fn add(db: &PgPool, user: UserId, wanted: Wanted<'_>, secret: &Secret) -> sqlx::Result<Option<Webhook>> {
    let mut transaction = db.begin().await?;
    // Several that are made at the same time are counted one after another.
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE").bind(user).execute(&mut *transaction).await?;
    let made = sqlx::query_as(columns!(
        "INSERT INTO webhooks (id, user_id, url, description, events, secret) SELECT $1, $2, $3, $4, $5, $6
         WHERE (SELECT count(*) FROM webhooks WHERE user_id = $2) < $7 RETURNING",
        ""
    ))
    .bind(WebhookId::new())
    .bind(user)
    .bind(wanted.url)
    .bind(wanted.description)
    .bind(wanted.events)
    .bind(&secret.0)
    .bind(MOST)
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(made)
}

/// A webhook of this user.
pub async fn get(db: &PgPool, user: UserId, webhook: WebhookId) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(columns!("SELECT", "FROM webhooks WHERE id = $1 AND user_id = $2"))
        .bind(webhook)
        .bind(user)
        .fetch_optional(db)
        .await
}

/// The webhooks of this user, the newest first.
pub async fn list(db: &PgPool, user: UserId) -> sqlx::Result<Vec<Webhook>> {
    sqlx::query_as(columns!("SELECT", "FROM webhooks WHERE user_id = $1 ORDER BY id DESC"))
        .bind(user)
        .fetch_all(db)
        .await
}

/// Removes a webhook of this user with all that it was to be told; whether there was one.
pub async fn remove(db: &PgPool, user: UserId, webhook: WebhookId) -> sqlx::Result<bool> {
    let removed = sqlx::query("DELETE FROM webhooks WHERE id = $1 AND user_id = $2");
    Ok(removed.bind(webhook).bind(user).execute(db).await?.rows_affected() > 0)
}

/// Has a webhook of this user told things, or not. What waits for one that is not goes on when it is again.
pub async fn enable(db: &PgPool, user: UserId, webhook: WebhookId, is_on: bool) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(columns!(
        "UPDATE webhooks SET disabled_for = CASE WHEN $3 THEN NULL ELSE coalesce(disabled_for, 'owner') END,
                             failed_in_a_row = CASE WHEN $3 THEN 0 ELSE failed_in_a_row END,
                             failing_since = CASE WHEN $3 THEN NULL ELSE failing_since END
         WHERE id = $1 AND user_id = $2 RETURNING",
        ""
    ))
    .bind(webhook)
    .bind(user)
    .bind(is_on)
    .fetch_optional(db)
    .await
}

/// Gives a webhook of this user another secret; the one before signs besides for a day.
pub async fn rotate(db: &PgPool, user: UserId, webhook: WebhookId, secret: &Secret) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(columns!(
        "UPDATE webhooks SET old_secret = secret, old_secret_until = now() + interval '1 day', secret = $3
         WHERE id = $1 AND user_id = $2 RETURNING",
        ""
    ))
    .bind(webhook)
    .bind(user)
    .bind(&secret.0)
    .fetch_optional(db)
    .await
}
