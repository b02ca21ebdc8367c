//! Deliveries on their way, by each replica. step: claim, send, note. In: what is due. Out: requests to addresses that users chose.
//! Never: a note of a claim that is somebody else's. Whoever is killed while it sends has sent, perhaps: it is sent again then, with
//! the same number.

use std::time::Duration;

use reqwest::{Method, Response, header};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use url::Url;

use super::policy::{self, Answer};
use super::sign::{self, Secret};
use crate::app::App;
use crate::db;
use crate::db::deliveries::{self, Attempt, Due};

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// What a replica sends at the same time.
const AT_ONCE: usize = 64;
/// How long it may take until there is an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long its beginning may take.
const BEGINNING: Duration = Duration::from_secs(2);
/// How long the database is left alone when it is away.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is tried to note what came of an attempt; then it is sent again.
const NOTING: Duration = Duration::from_secs(10);
/// How long what is under way may take when the process is to leave.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes of an answer that are kept.
const KEPT: usize = 1024;

/// Delivers until `leave` says so.
pub(crate) async fn run(app: App, mut leave: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = leave.wait_for(|leaves| *leaves) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
        }
        let free = AT_ONCE.saturating_sub(tasks.len());
        if free == 0 {
            continue;
        }
        match deliveries::claim(&app.drive, free as i64).await {
            Ok(due) => due.into_iter().for_each(|due| drop(tasks.spawn(deliver(app.clone(), due)))),
            Err(error) => tracing::warn!(%error, "no deliveries can be claimed"),
        }
    }
    let rest = async { while tasks.join_next().await.is_some() {} };
    if timeout(FAREWELL, rest).await.is_err() {
        tracing::info!("some deliveries are left to other replicas");
    }
}

/// Sends something, and notes what came of it.
async fn deliver(app: App, due: Due) {
    let (attempt, answer) = send(&app, &due).await;
    let number = u32::try_from(due.attempt).unwrap_or(u32::MAX);
    let next = policy::next(number, &answer, &app.config.webhook_waits_s, fastrand::f64());
    tracing::debug!(delivery = %due.id, ?answer, ?next, "something was sent to a webhook");
    let noting = async {
        loop {
            match deliveries::note(&app.drive, &due, &attempt, next).await {
                Ok(is_noted) => return is_noted,
                Err(error) if db::is_passing(&error) => {
                    tracing::warn!(delivery = %due.id, %error, "what came of a delivery is not noted yet");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(delivery = %due.id, %error, "what came of a delivery can't be noted");
                    return false;
                }
            }
        }
    };
    if !timeout(NOTING, noting).await.unwrap_or(false) {
        tracing::info!(delivery = %due.id, "what came of a delivery is not noted; if it is still wanted it is sent again");
    }
}

/// Sends something once.
async fn send(app: &App, due: &Due) -> (Attempt, Answer) {
    let (at, began) = (OffsetDateTime::now_utc(), Instant::now());
    let sent = ask(app, due, at).await;
    let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    let attempt = Attempt { number: due.claims, at, status: None, duration_ms, answer: None, error: None };
    match sent {
        Ok((status, asked, answer)) => {
            (Attempt { status: Some(status), answer: Some(answer), ..attempt }, Answer::Status(status, asked))
        }
        Err(error) => (Attempt { error: Some(error), ..attempt }, Answer::None),
    }
}

/// The status of the answer, how long it asks to be left alone, and how it begins.
async fn ask(app: &App, due: &Due, at: OffsetDateTime) -> Result<(u16, Option<Duration>, String), String> {
    let body = body(due)?;
    let secrets: Vec<Secret> =
        [Some(&due.secret), due.old_secret.as_ref()].into_iter().flatten().cloned().map(Secret).collect();
    let (id, timestamp) = (due.event_id.to_string(), at.unix_timestamp());
    let signature = sign::signature(&secrets, &id, timestamp, &body);
    let url: Url = due.url.parse().map_err(|error: url::ParseError| error.to_string())?;
    let request = app.outside.request(Method::POST, &url).map_err(|refused| refused.to_string())?;
    let request = request.header(header::CONTENT_TYPE, "application/json").header("webhook-id", id);
    let request = request.header("webhook-timestamp", timestamp).header("webhook-signature", signature);
    let answer = timeout(PATIENCE, request.body(body).send()).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?.map_err(why)?;
    let status = answer.status().as_u16();
    let asked = answer.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
    let asked = asked.and_then(|it| policy::retry_after(it, at));
    Ok((status, asked, beginning(answer).await))
}

/// What is sent: the same bytes each time.
fn body(due: &Due) -> Result<Vec<u8>, String> {
    let timestamp = due.happened_at.format(&Rfc3339).map_err(|error| error.to_string())?;
    let body = json!({ "type": due.kind, "timestamp": timestamp, "data": due.body });
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// How an answer begins, as far as it comes. The status counts whatever becomes of the rest.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    let until = Instant::now() + BEGINNING;
    while bytes.len() < KEPT {
        match timeout_at(until, answer.chunk()).await {
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            Ok(Ok(None)) | Err(_) => break,
            Ok(Err(error)) => {
                tracing::debug!(error = why(error), "an answer is cut off");
                break;
            }
        }
    }
    bytes.truncate(KEPT);
    // No database keeps this letter.
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}

/// Why nothing was answered: the innermost cause says it, and no address.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
