//! What is sent to webhooks, and what came of it. Whoever sends something has claimed it for a while; what is noted by one whose
//! claim was somebody else's by then is not taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::outbox;
use crate::hooks::policy::{self, Next};
use crate::ids::{DeliveryId, EventId, UserId, WebhookId};

/// Seconds for which whoever sends something is believed to: longer than any attempt takes.
const CLAIM_S: i32 = 30;
/// What one webhook is sent at the same time, so that one that is slow doesn't hold up others.
const AT_ONCE: i64 = 4;
/// What one user is sent at the same time, over all replicas, however many webhooks they have: a quarter of what one replica sends.
const EACH: i64 = 16;
/// Attempts of a delivery that are kept.
const KEPT: i32 = 20;

/// An attempt to deliver something.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Which one, from 1 on. Where a replica was killed while it sent, a number is left out.
    pub number: i32,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The status that was answered.
    pub status: Option<u16>,
    /// Milliseconds until it was.
    pub duration_ms: u32,
    /// The first bytes of the answer.
    pub answer: Option<String>,
    /// Why there was none.
    pub error: Option<String>,
}

/// An event on its way to a webhook.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// The event's number: `webhook-id` of what is sent.
    pub event_id: EventId,
    /// What has happened.
    pub event: String,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// When it is sent next.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_attempt_at: Option<OffsetDateTime>,
    /// The last 20 attempts, in order.
    #[sqlx(json)]
    pub attempts: Vec<Attempt>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

macro_rules! deliveries {
    ($which:literal) => {
        concat!(
            "SELECT d.id, d.event_id, e.kind AS event, d.status, d.due_at AS next_attempt_at, d.attempts, d.created_at
             FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id JOIN webhooks w ON w.id = d.webhook_id
             WHERE d.webhook_id = $1 AND w.user_id = $2 ",
            $which
        )
    };
}

/// What a webhook of this user was sent before `before`, the newest first, so many at most.
pub async fn list(
    db: &PgPool,
    user: UserId,
    webhook: WebhookId,
    before: DeliveryId,
    most: i64,
) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query_as(deliveries!("AND d.id < $3 ORDER BY d.id DESC LIMIT $4"))
        .bind(webhook)
        .bind(user)
        .bind(before)
        .bind(most)
        .fetch_all(db)
        .await
}

/// One of them.
async fn get(db: &PgPool, user: UserId, webhook: WebhookId, id: DeliveryId) -> sqlx::Result<Option<Delivery>> {
    sqlx::query_as(deliveries!("AND d.id = $3")).bind(webhook).bind(user).bind(id).fetch_optional(db).await
}

/// Has one of them sent again, as if it were new; one that is being sent is.
pub async fn replay(
    db: &PgPool,
    user: UserId,
    webhook: WebhookId,
    delivery: DeliveryId,
) -> sqlx::Result<Option<Delivery>> {
    sqlx::query(
        "UPDATE webhook_deliveries d SET status = 'pending', due_at = now(), claims_before = claims
         FROM webhooks w WHERE d.id = $3 AND d.webhook_id = $1 AND w.id = d.webhook_id AND w.user_id = $2
           AND (d.claimed_until IS NULL OR d.claimed_until < now())",
    )
    .bind(webhook)
    .bind(user)
    .bind(delivery)
    .execute(db)
    .await?;
    get(db, user, webhook, delivery).await
}

/// Sends a webhook of this user something to try it.
pub async fn test(db: &PgPool, user: UserId, webhook: WebhookId) -> sqlx::Result<Option<Delivery>> {
    let mut transaction = db.begin().await?;
    let Some(made) = outbox::test(&mut transaction, user, webhook).await? else { return Ok(None) };
    transaction.commit().await?;
    get(db, user, webhook, made).await
}

/// Something that is to be sent now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Due {
    /// Which delivery.
    pub id: DeliveryId,
    /// To which webhook.
    pub webhook_id: WebhookId,
    /// Where that is.
    pub url: String,
    /// What signs.
    pub secret: Vec<u8>,
    /// What signs besides.
    pub old_secret: Option<Vec<u8>>,
    /// The event's number.
    pub event_id: EventId,
    /// What has happened.
    pub kind: String,
    /// What of it.
    pub body: Value,
    /// When.
    pub happened_at: OffsetDateTime,
    /// How often it was claimed: by that the claim is known.
    pub claims: i32,
    /// Which attempt it is, from 1 on, since it was last asked for.
    pub attempt: i32,
}

/// Claims what is to be sent now. Users take turns, and webhooks of a user: whoever has less on its way comes first.
pub async fn claim(db: &PgPool, most: i64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as(
        "WITH RECURSIVE places AS (
             (SELECT webhook_id FROM webhook_deliveries WHERE due_at IS NOT NULL ORDER BY webhook_id LIMIT 1)
             UNION ALL
             SELECT (SELECT d.webhook_id FROM webhook_deliveries d
                     WHERE d.due_at IS NOT NULL AND d.webhook_id > p.webhook_id ORDER BY d.webhook_id LIMIT 1)
             FROM places p WHERE p.webhook_id IS NOT NULL),
         held AS (
             SELECT w.user_id, count(*) AS deliveries FROM webhook_deliveries c JOIN webhooks w ON w.id = c.webhook_id
             WHERE c.claimed_until >= now() GROUP BY w.user_id),
         of_webhooks AS (
             SELECT t.id, w.user_id, t.turn FROM places p JOIN webhooks w ON w.id = p.webhook_id AND w.disabled_for IS NULL
             CROSS JOIN LATERAL (
                 SELECT d.id, row_number() OVER (ORDER BY d.due_at) AS turn FROM webhook_deliveries d
                 WHERE d.webhook_id = p.webhook_id AND d.due_at <= now()
                   AND (d.claimed_until IS NULL OR d.claimed_until < now())
                 ORDER BY d.due_at
                 LIMIT greatest(0, $2 - (SELECT count(*) FROM webhook_deliveries c
                                         WHERE c.webhook_id = p.webhook_id AND c.claimed_until >= now()))) t),
         turns AS (
             SELECT o.id, row_number() OVER (PARTITION BY o.user_id ORDER BY o.turn, o.id) + coalesce(h.deliveries, 0) AS turn
             FROM of_webhooks o LEFT JOIN held h ON h.user_id = o.user_id),
         due AS (
             SELECT d.id FROM turns t JOIN webhook_deliveries d ON d.id = t.id
             WHERE d.due_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now()) AND t.turn <= $4
             ORDER BY t.turn LIMIT $1 FOR NO KEY UPDATE OF d SKIP LOCKED)
         UPDATE webhook_deliveries d SET claims = claims + 1, claimed_until = now() + make_interval(secs => $3)
         FROM due, webhooks w, webhook_events e WHERE d.id = due.id AND w.id = d.webhook_id AND e.id = d.event_id
         RETURNING d.id, d.webhook_id, w.url, w.secret, CASE WHEN w.old_secret_until > now() THEN w.old_secret END AS old_secret,
                   d.event_id, e.kind, e.body, e.happened_at, d.claims, d.claims - d.claims_before AS attempt",
    )
    .bind(most)
    .bind(AT_ONCE)
    .bind(f64::from(CLAIM_S))
    .bind(EACH)
    .fetch_all(db)
    .await
}

/// Notes what came of sending something, and what follows; whether the claim still held.
pub async fn note(db: &PgPool, due: &Due, attempt: &Attempt, next: Next) -> sqlx::Result<bool> {
    let (status, wait) = match next {
        Next::Delivered => ("delivered", None),
        Next::Again(wait) => ("pending", Some(wait.as_secs_f64())),
        Next::Failed | Next::Gone => ("failed", None),
    };
    let attempt = serde_json::to_value(attempt).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mut transaction = db.begin().await?;
    // The webhook comes first, as where it is removed.
    let standing: Option<(i32, f64)> = sqlx::query_as(
        "SELECT failed_in_a_row, coalesce(extract(epoch FROM now() - failing_since), 0)::float8 FROM webhooks
         WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(due.webhook_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((given_up, failing_s)) = standing else { return Ok(false) };
    let noted = sqlx::query(
        "UPDATE webhook_deliveries
         SET status = $3, due_at = now() + make_interval(secs => $4), claimed_until = NULL,
             attempts = CASE WHEN jsonb_array_length(attempts) >= $6 THEN attempts - 0 ELSE attempts END || $5
         WHERE id = $1 AND claims = $2 AND status = 'pending'",
    );
    let noted = noted.bind(due.id).bind(due.claims).bind(status).bind(wait).bind(attempt).bind(KEPT);
    if noted.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let given_up = match next {
        Next::Delivered => 0,
        Next::Again(_) => given_up,
        Next::Failed | Next::Gone => given_up + 1,
    };
    let is_lost = policy::is_lost(Duration::from_secs_f64(failing_s.max(0.0)), given_up);
    let disabled_for = match next {
        Next::Gone => Some("gone"),
        Next::Failed if is_lost => Some("failing"),
        Next::Delivered | Next::Again(_) | Next::Failed => None,
    };
    sqlx::query(
        "UPDATE webhooks SET failed_in_a_row = $2, failing_since = CASE WHEN $3 THEN NULL ELSE coalesce(failing_since, now()) END,
                             disabled_for = coalesce(disabled_for, $4)
         WHERE id = $1",
    )
    .bind(due.webhook_id)
    .bind(given_up)
    .bind(next == Next::Delivered)
    .bind(disabled_for)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Forgets what happened more than 30 days ago, and secrets that sign no longer.
pub async fn tidy(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE webhooks SET old_secret = NULL, old_secret_until = NULL WHERE old_secret_until < now()")
        .execute(db)
        .await?;
    sqlx::query("DELETE FROM webhook_events WHERE happened_at < now() - interval '30 days'").execute(db).await.map(drop)
}
