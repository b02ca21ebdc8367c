//! Webhooks: where one's programs are told of what happens, and what came of it.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::extract::{Json, Path, Query};
use super::page::{Page, Wanted};
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::db::deliveries::{self, Delivery};
use crate::db::webhooks::{self, MOST, Webhook};
use crate::hooks::Kind;
use crate::hooks::sign::Secret;
use crate::ids::{DeliveryId, WebhookId};
use crate::problem::{Kind as Wrong, Outcome, Problem};

/// The longest address.
const LONGEST_URL: usize = 2000;
/// The longest description, in letters.
const LONGEST_DESCRIPTION: usize = 200;

/// A webhook that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where events are sent: an address of https.
    #[schema(format = "uri", min_length = 1, max_length = 2000)]
    url: String,
    /// What it is to hear of.
    #[schema(min_items = 1)]
    events: Vec<Kind>,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\x00]*$")]
    description: Option<String>,
}

/// A webhook, and what is secret of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// What signs what is sent. It is shown this once.
    secret: String,
}

/// All webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct Webhooks {
    /// The newest first.
    data: Vec<Webhook>,
}

/// Make a webhook. What is sent to it is signed as in Standard Webhooks 1.0.0.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook, responses(
    (status = 201, description = "It is made", body = MadeWebhook),
    (status = 409, description = "There are as many as there may be", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    Writes(caller): Writes,
    Json(wanted): Json<NewWebhook>,
) -> Outcome<(StatusCode, axum::Json<MadeWebhook>)> {
    let url = address(&app, &wanted.url)?;
    let description = wanted.description.as_deref();
    if description.is_some_and(|it| it.chars().count() > LONGEST_DESCRIPTION || it.contains('\0')) {
        return Err(Problem::new(Wrong::Invalid, format!("description: {LONGEST_DESCRIPTION} letters at most")));
    }
    let mut events = wanted.events;
    events.sort_unstable();
    events.dedup();
    if events.is_empty() {
        return Err(Problem::new(Wrong::Invalid, "events: at least one, as \"job.completed\""));
    }
    let events: Vec<&'static str> = events.into_iter().map(Kind::name).collect();
    let secret = Secret::new().map_err(|error| Problem::internal(&error))?;
    let wanted = webhooks::Wanted { url: url.as_str(), description, events: &events };
    let webhook = webhooks::add(&app.db, caller.user(), wanted, &secret).await?;
    let webhook = webhook.ok_or_else(|| {
        Problem::new(Wrong::Conflict, format!("there are {MOST} webhooks, and no more are kept; remove one first"))
    })?;
    Ok((StatusCode::CREATED, axum::Json(MadeWebhook { webhook, secret: secret.reveal() })))
}

/// An address that may be told things.
fn address(app: &App, text: &str) -> Outcome<Url> {
    let invalid = |why: &dyn std::fmt::Display| Problem::new(Wrong::Invalid, format!("url: {why}"));
    let url: Url = text.parse().map_err(|error: url::ParseError| invalid(&error))?;
    app.outside.check(&url).map_err(|refused| invalid(&refused))?;
    if url.as_str().len() > LONGEST_URL {
        return Err(invalid(&format!("{LONGEST_URL} letters at most")));
    }
    Ok(url)
}

/// One's webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses(
    (status = 200, description = "All of them", body = Webhooks),
    (status = "4XX", description = "Not signed in", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(State(app): State<App>, Reads(caller): Reads) -> Outcome<axum::Json<Webhooks>> {
    Ok(axum::Json(Webhooks { data: webhooks::list(&app.db, caller.user()).await? }))
}

/// A webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 200, description = "It", body = Webhook),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<WebhookId>,
) -> Outcome<axum::Json<Webhook>> {
    webhook_of(&app, &caller, id).await.map(axum::Json)
}

/// Remove a webhook, and all that it was to be told.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 204, description = "It is told nothing any longer"),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<WebhookId>,
) -> Outcome<StatusCode> {
    match webhooks::remove(&app.db, caller.user(), id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("webhook")),
    }
}

/// Give a webhook another secret. What is sent is signed with the one before, too, for a day.
#[utoipa::path(post, path = "/webhooks/{id}/rotate", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 200, description = "It, and its new secret", body = MadeWebhook),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rotate(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<WebhookId>,
) -> Outcome<axum::Json<MadeWebhook>> {
    let secret = Secret::new().map_err(|error| Problem::internal(&error))?;
    let webhook = webhooks::rotate(&app.db, caller.user(), id, &secret).await?;
    let webhook = webhook.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(axum::Json(MadeWebhook { webhook, secret: secret.reveal() }))
}

/// Have a webhook told things again. What has waited is sent; what happened meanwhile is not.
#[utoipa::path(post, path = "/webhooks/{id}/enable", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 200, description = "It, by now", body = Webhook),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn enable(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<WebhookId>,
) -> Outcome<axum::Json<Webhook>> {
    let webhook = webhooks::enable(&app.db, caller.user(), id, true).await?;
    webhook.map(axum::Json).ok_or_else(|| Problem::not_found("webhook"))
}

/// Have a webhook told nothing, until it is enabled.
#[utoipa::path(post, path = "/webhooks/{id}/disable", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 200, description = "It, by now", body = Webhook),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn disable(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<WebhookId>,
) -> Outcome<axum::Json<Webhook>> {
    let webhook = webhooks::enable(&app.db, caller.user(), id, false).await?;
    webhook.map(axum::Json).ok_or_else(|| Problem::not_found("webhook"))
}

/// Send a webhook an event `webhook.test`, to try it.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook")), responses(
    (status = 202, description = "It is sent", body = Delivery),
    (status = 409, description = "The webhook is disabled", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn test(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<WebhookId>,
) -> Outcome<(StatusCode, axum::Json<Delivery>)> {
    enabled(&webhook_of(&app, &caller, id).await?)?;
    let delivery = deliveries::test(&app.db, caller.user(), id).await?;
    let delivery = delivery.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok((StatusCode::ACCEPTED, axum::Json(delivery)))
}

/// What a webhook was sent in the last 30 days, and what came of it.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = WebhookId, Path, description = "Which webhook"), Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Delivery>),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn deliveries_of(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<WebhookId>,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Delivery>>> {
    webhook_of(&app, &caller, id).await?;
    let (before, most) = wanted.read()?;
    let found = deliveries::list(&app.db, caller.user(), id, DeliveryId(before), most).await?;
    Ok(axum::Json(wanted.page(found, |delivery| delivery.id.0)))
}

/// Send something again, now, with the same `webhook-id`, as if it were new.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{delivery}/replay", tag = "webhooks", params(
        ("id" = WebhookId, Path, description = "Which webhook"),
        ("delivery" = DeliveryId, Path, description = "Which delivery"),
    ), responses(
        (status = 202, description = "It is sent", body = Delivery),
        (status = 409, description = "The webhook is disabled", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn replay(
    State(app): State<App>,
    Writes(caller): Writes,
    Path((id, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Outcome<(StatusCode, axum::Json<Delivery>)> {
    enabled(&webhook_of(&app, &caller, id).await?)?;
    let replayed = deliveries::replay(&app.db, caller.user(), id, delivery).await?;
    let replayed = replayed.ok_or_else(|| Problem::not_found("delivery"))?;
    Ok((StatusCode::ACCEPTED, axum::Json(replayed)))
}

async fn webhook_of(app: &App, caller: &Caller, id: WebhookId) -> Outcome<Webhook> {
    webhooks::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("webhook"))
}

fn enabled(webhook: &Webhook) -> Outcome<()> {
    match webhook.enabled {
        true => Ok(()),
        false => Err(Problem::new(Wrong::Conflict, "the webhook is disabled; enable it first")),
    }
}
