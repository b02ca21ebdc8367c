//! Plans: what would be made of a source, in which parts, and what that would take. Nothing is made.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Json;
use super::object::object;
use crate::app::App;
use crate::auth::Reads;
use crate::checking;
use crate::db::{jobs, videos};
use crate::estimate::{self, Estimate};
use crate::fleet::{Away, Outline, Planned};
use crate::ids::VideoId;
use crate::problem::{Kind, Outcome, Problem};
use crate::template::Template;

/// How many ladders an estimate is told from at most: the last ones.
const LAST: i64 = 50;
/// How long the fleet may take to look into a source.
const PATIENCE: Duration = Duration::from_secs(50);

/// What is to be planned.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRequest {
    /// Of which video; it has to be whole.
    video_id: VideoId,
    /// What is to be made of it.
    #[serde(default, deserialize_with = "object")]
    output: Template,
}

/// What would be made, and what that would take.
#[derive(Serialize, ToSchema)]
pub(crate) struct Plan {
    /// Of which video.
    video_id: VideoId,
    #[serde(flatten)]
    outline: Outline,
    /// What it would take.
    estimate: Estimate,
}

/// Plan a ladder: its renditions and chunks, and what it will take. Nothing is made.
#[utoipa::path(post, path = "/plans", tag = "jobs", request_body = PlanRequest, responses(
    (status = 200, description = "So it would be made", body = Plan),
    (status = 409, description = "The video is not whole", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    Reads(caller): Reads,
    Json(wanted): Json<PlanRequest>,
) -> Outcome<axum::Json<Plan>> {
    let PlanRequest { video_id, output } = wanted;
    output.check()?;
    let video = videos::get(&app.db, caller.user(), video_id).await?.ok_or_else(|| Problem::not_found("video"))?;
    if video.upload_status != "uploaded" {
        return Err(Problem::new(Kind::Conflict, format!("the video is {}, and not whole yet", video.upload_status)));
    }
    let place = app.store.address(&checking::source(&video)?);
    let away = || {
        Problem::new(
            Kind::Unavailable,
            "the fleet can't look into it now, or not in time: it is busy or away, or there is much to look into",
        )
    };
    let asked = async {
        tokio::try_join!(app.fleet.plan(caller.user().number(), place.clone(), output.words()), app.fleet.slots())
    };
    let (planned, slots) = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| away())?.map_err(|Away(why)| {
        tracing::warn!(video = %video.id, why, "a video is not planned");
        away()
    })?;
    // How its place is called says nothing to anybody outside.
    let said = |message: String| message.replace(&*place.to_string_lossy(), &video.original_filename);
    let outline = match planned {
        Planned::Outline(outline) => outline,
        Planned::Unfit(message) => return Err(Problem::new(Kind::Invalid, said(message))),
        Planned::Unusable { code: 1001, message } => return Err(Problem::new(Kind::NotAVideo, said(message))),
        Planned::Unusable { message, .. } => return Err(Problem::new(Kind::Corrupt, said(message))),
    };
    let took = match estimate::kind(&output) {
        Some(kind) => jobs::took(&app.db, &kind, LAST).await?,
        None => Vec::new(),
    };
    let estimate = estimate::estimate(&outline, &output, &took, slots, app.config.core_hour.as_ref());
    Ok(axum::Json(Plan { video_id, outline, estimate }))
}
