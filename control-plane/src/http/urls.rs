//! Fresh addresses for the parts of an upload: those that it began with are good for a while.

use std::collections::HashSet;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::integer::integers;
use super::uploads::{lacks, takes_parts, video_of};
use crate::app::App;
use crate::auth::Writes;
use crate::ids::VideoId;
use crate::part_urls::{self, PartUrls};
use crate::problem::{Kind, Outcome, Problem};

/// Addresses that one request gets: each is signed, which takes its time.
const MOST: usize = 100;

/// Parts that addresses are wanted for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedUrls {
    /// Their numbers, from 0, each once; the first 100 that are missing if none are named.
    #[serde(default, deserialize_with = "integers")]
    #[schema(max_items = 100)]
    parts: Option<Vec<u32>>,
}

impl WantedUrls {
    /// The parts that are named, if any are: each once, in the order that they were asked for.
    fn named(self) -> Outcome<Option<Vec<u32>>> {
        let Some(mut parts) = self.parts else { return Ok(None) };
        if parts.len() > MOST {
            return Err(Problem::new(Kind::Invalid, format!("parts: {MOST} at most; ask again for the others")));
        }
        let mut seen = HashSet::new();
        parts.retain(|part| seen.insert(*part));
        Ok(Some(parts))
    }
}

/// Fresh addresses for up to 100 parts of an upload: those that were given when it began are good for 15 minutes.
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
    let parts = match wanted.named()? {
        Some(parts) => parts,
        None => lacks(&app, &video).await?.into_iter().take(MOST).collect(),
    };
    Ok(axum::Json(part_urls::urls(&app, &video, &parts).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_an_address_for_each_part_that_it_names_once_and_for_no_more_than_are_signed_quickly() {
        let named = |parts: Vec<u32>| WantedUrls { parts: Some(parts) }.named();
        assert_eq!(named(vec![3, 1, 3, 1, 2]).unwrap(), Some(vec![3, 1, 2]));
        assert_eq!(WantedUrls { parts: None }.named().unwrap(), None);
        assert_eq!(named((0..100).collect()).unwrap().unwrap().len(), 100);
        assert_eq!(named(vec![0; 101]).unwrap_err().status(), 422);
    }
}
