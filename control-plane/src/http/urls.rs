//! Fresh addresses for the parts of an upload: those that it began with are good for a while.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::integer::integers;
use super::uploads::{lacks, takes_parts, video_of};
use crate::app::App;
use crate::auth::Writes;
use crate::config::MOST_PARTS;
use crate::ids::VideoId;
use crate::part_urls::{self, PartUrls};
use crate::problem::{Kind, Outcome, Problem};

/// Parts that addresses are wanted for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedUrls {
    /// Their numbers, from 0; all that are missing if none are named.
    #[serde(default, deserialize_with = "integers")]
    #[schema(max_items = 10000)]
    parts: Option<Vec<u32>>,
}

/// Fresh addresses for parts of an upload: those that were given when it began are good for 15 minutes.
#[utoipa::path(post, path = "/videos/{id}/urls", tag = "videos", request_body = WantedUrls,
    params(("id" = VideoId, Path, description = "Which video")),
    responses(
        (status = 200, description = "Where they go", body = PartUrls),
        (status = 409, description = "The upload takes no parts any longer", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn urls(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
    Json(wanted): Json<WantedUrls>,
) -> Outcome<axum::Json<PartUrls>> {
    let video = video_of(&app, &caller, id).await?;
    takes_parts(&app, &video).await?;
    let parts = match wanted.parts {
        Some(parts) if parts.len() as u64 > MOST_PARTS => {
            return Err(Problem::new(Kind::Invalid, format!("parts: {MOST_PARTS} at most")));
        }
        Some(parts) => parts,
        None => lacks(&app, &video).await?,
    };
    Ok(axum::Json(part_urls::urls(&app, &video, &parts).await?))
}
