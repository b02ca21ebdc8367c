//! One's sources.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::page::{Page, Wanted};
use super::uploads;
use crate::app::App;
use crate::auth::{Reads, Writes};
use crate::checking;
use crate::db::videos::{self, Video};
use crate::ids::VideoId;
use crate::problem::{Outcome, Problem};
use crate::storage;

/// A source, and what its upload lacks.
#[derive(Serialize, ToSchema)]
pub(crate) struct VideoDetail {
    #[serde(flatten)]
    video: Video,
    /// The numbers of the parts that are not there, whichever way they come; none once it is complete.
    missing_parts: Vec<u32>,
}

/// One's videos.
#[utoipa::path(get, path = "/videos", tag = "videos", params(Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Video>),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Reads(caller): Reads,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Video>>> {
    let (before, most) = wanted.read()?;
    let found = videos::list(&app.db, caller.user(), VideoId(before), most).await?;
    Ok(axum::Json(wanted.page(found, |video| video.id.0)))
}

/// A video.
#[utoipa::path(get, path = "/videos/{id}", tag = "videos", params(("id" = VideoId, Path, description = "Which video")), responses(
    (status = 200, description = "It", body = VideoDetail),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<VideoId>,
) -> Outcome<axum::Json<VideoDetail>> {
    let video = videos::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("video"))?;
    let missing_parts = match &*video.upload_status {
        "pending" | "uploading" if !video.is_fetched() => uploads::lacks(&app, &video).await?,
        _ => Vec::new(),
    };
    Ok(axum::Json(VideoDetail { video, missing_parts }))
}

/// How long whoever deletes something waits until its bytes are gone.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What goes with a video.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deletion {
    /// Whether what its jobs made goes, too.
    #[serde(default)]
    with_outputs: bool,
}

/// Delete a video, and cancel its open jobs. Ladders that were made of it stay, unless they are to go, too.
#[utoipa::path(delete, path = "/videos/{id}", tag = "videos", params(("id" = VideoId, Path, description = "Which video"), Deletion), responses(
    (status = 204, description = "It is gone"),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
    Query(Deletion { with_outputs }): Query<Deletion>,
) -> Outcome<StatusCode> {
    let gone = videos::delete(&app.db, caller.user(), id, with_outputs).await?;
    let gone = gone.ok_or_else(|| Problem::not_found("video"))?;
    let bytes_go = async move {
        checking::forget(&app, id).await;
        for job in gone {
            checking::tidy(&app, &storage::ladder(job)).await;
        }
    };
    checking::go_on_with(bytes_go, PATIENCE).await;
    Ok(StatusCode::NO_CONTENT)
}
