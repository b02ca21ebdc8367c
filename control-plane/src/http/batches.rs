//! Batches: many videos, one template, one request. All of it is accepted, or nothing.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::extract::{Json, Path, Query};
use super::idempotency::Makes;
use super::integer::integer;
use super::object::{Object, object};
use super::page::{Page, Wanted};
use super::sources::{self, NewSource};
use super::visit::Below;
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::db::batches::{self, Accepted, Batch};
use crate::db::jobs::{self, Job};
use crate::ids::{BatchId, JobId, VideoId};
use crate::problem::{Kind, Outcome, Problem};
use crate::template::Template;

/// The most sources of a batch.
const MOST: usize = 10_000;

/// A source of a batch: a video that is there, or one that is to be fetched.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(untagged, try_from = "ItemFields")]
pub(crate) enum Item {
    /// A video that is there.
    Video(ById),
    /// One that is to be fetched.
    Source(NewSource),
}

/// A video that is whole, or being fetched.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ById {
    /// Which one.
    video_id: VideoId,
}

/// What an item may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemFields {
    video_id: Option<VideoId>,
    url: Option<String>,
    filename: Option<String>,
    sha256: Option<String>,
}

impl TryFrom<ItemFields> for Item {
    type Error = &'static str;

    fn try_from(said: ItemFields) -> Result<Self, Self::Error> {
        match said {
            ItemFields { video_id: Some(video_id), url: None, filename: None, sha256: None } => {
                Ok(Self::Video(ById { video_id }))
            }
            ItemFields { video_id: None, url: Some(url), filename, sha256 } => {
                Ok(Self::Source(NewSource { url, filename, sha256 }))
            }
            _ => Err("an item has a video_id and nothing else, or a url and, if you like, a filename and a sha256"),
        }
    }
}

/// Many videos, and what is to be made of each.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBatch {
    /// The videos, 10,000 at most. One that is named twice is made twice; a URL that is named twice is fetched twice.
    #[schema(min_items = 1, max_items = 10000)]
    #[serde(deserialize_with = "items")]
    items: Vec<Item>,
    /// From 1, the most urgent, to 10.
    #[serde(default = "usual", deserialize_with = "integer")]
    #[schema(minimum = 1, maximum = 10)]
    priority: i16,
    /// What is to be made.
    #[serde(default, deserialize_with = "object")]
    output: Template,
}

fn usual() -> i16 {
    5
}

fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    let items = Vec::<Object<Item>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Object(item)| item).collect())
}

/// Make a ladder of each of many videos, those that are to be fetched once they are there.
#[utoipa::path(post, path = "/batches", tag = "batches", request_body = NewBatch, responses(
    (status = 202, description = "All of it is accepted", body = Batch),
    (status = 409, description = "Some are no videos that are whole or being fetched; nothing is accepted", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    Writes(caller): Writes,
    Below(below): Below,
    makes: Makes,
    Json(wanted): Json<NewBatch>,
) -> Outcome<(StatusCode, axum::Json<Batch>)> {
    if !(1..=MOST).contains(&wanted.items.len()) {
        return Err(Problem::new(Kind::Invalid, format!("items: from 1 to {MOST}")));
    }
    if !(1..=10).contains(&wanted.priority) {
        return Err(Problem::new(Kind::Invalid, "priority: from 1 to 10"));
    }
    wanted.output.check()?;
    let id = BatchId(makes.id());
    if makes.is_again()
        && let Some(made) = batches::get(&app.db, caller.user(), id).await?
    {
        return Ok((StatusCode::ACCEPTED, axum::Json(made)));
    }
    let request = serde_json::to_value(&wanted.output).map_err(|error| Problem::internal(&error))?;
    let (mut videos, mut fetched) = (Vec::with_capacity(wanted.items.len()), Vec::new());
    for (place, item) in wanted.items.iter().enumerate() {
        let video = match item {
            Item::Video(ById { video_id }) => *video_id,
            Item::Source(source) => {
                let source = source.checked(&app).map_err(|problem| problem.within(&format!("items[{place}]")))?;
                let video = source.video;
                fetched.push(source);
                video
            }
        };
        videos.push((video, jobs::number()));
    }
    let new = batches::NewBatch {
        id,
        videos: &videos,
        fetched: &fetched,
        request: &request,
        priority: wanted.priority,
        below: below.as_ref(),
        most_open: i64::from(app.config.open_jobs),
    };
    match batches::accept(&app.db, caller.user(), new).await? {
        Accepted::All => Ok((StatusCode::ACCEPTED, axum::Json(batch_of(&app, &caller, id).await?))),
        Accepted::TooMany { open } => Err(sources::too_many(open, app.config.open_jobs)),
        Accepted::Missing(missing) => {
            let some: Vec<String> = missing.iter().take(10).map(ToString::to_string).collect();
            let more = if missing.len() > some.len() { ", ..." } else { "" };
            let detail = format!("{} are no videos that are whole: {}{more}", missing.len(), some.join(", "));
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}

/// One's batches.
#[utoipa::path(get, path = "/batches", tag = "batches", params(Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Batch>),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Reads(caller): Reads,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Batch>>> {
    let (before, most) = wanted.read()?;
    let found = batches::list(&app.db, caller.user(), BatchId(before), most).await?;
    Ok(axum::Json(wanted.page(found, |batch| batch.id.0)))
}

/// A batch, and how its jobs stand.
#[utoipa::path(get, path = "/batches/{id}", tag = "batches", params(("id" = BatchId, Path, description = "Which batch")), responses(
    (status = 200, description = "It", body = Batch),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<BatchId>,
) -> Outcome<axum::Json<Batch>> {
    batch_of(&app, &caller, id).await.map(axum::Json)
}

/// The jobs of a batch.
#[utoipa::path(get, path = "/batches/{id}/jobs", tag = "batches", params(("id" = BatchId, Path, description = "Which batch"), Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Job>),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn jobs_of(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<BatchId>,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Job>>> {
    batch_of(&app, &caller, id).await?;
    let (before, most) = wanted.read()?;
    let found = jobs::of_batch(&app.db, caller.user(), id, JobId(before), most).await?;
    Ok(axum::Json(wanted.page(found, |job| job.id.0)))
}

/// Cancel all jobs of a batch that have not ended.
#[utoipa::path(post, path = "/batches/{id}/cancel", tag = "batches", params(("id" = BatchId, Path, description = "Which batch")), responses(
    (status = 200, description = "It, by now", body = Batch),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<BatchId>,
) -> Outcome<axum::Json<Batch>> {
    batch_of(&app, &caller, id).await?;
    batches::cancel(&app.db, caller.user(), id).await?;
    batch_of(&app, &caller, id).await.map(axum::Json)
}

async fn batch_of(app: &App, caller: &Caller, id: BatchId) -> Outcome<Batch> {
    batches::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("batch"))
}
