//! Sources that lie somewhere already: named by a URL, and fetched from there.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::Json;
use super::idempotency::Makes;
use super::uploads::hex;
use crate::app::App;
use crate::auth::Writes;
use crate::db::fetches::{self, Accepted, NewFetch};
use crate::db::videos::{self, Video};
use crate::fetching::{place::Place, with_allowed};
use crate::ids::VideoId;
use crate::problem::{Kind, Outcome, Problem};

/// A source that is to be fetched.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// Where it is: `https://HOST/PATH`, without user and password; or `s3://BUCKET/KEY`, of the buckets that are read.
    #[schema(min_length = 1, max_length = 2048, pattern = r"^(https?|s3)://[^\x00-\x1f]+$")]
    pub(super) url: String,
    /// What its file is called; if nothing is said, as the last part of the URL.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\x00]+$")]
    pub(super) filename: Option<String>,
    /// The SHA-256 of the whole, in 64 digits, if it is known: what comes is held against it.
    #[serde(default)]
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) sha256: Option<String>,
}

impl NewSource {
    /// As it is noted, if it may be fetched.
    pub(super) fn checked(&self, app: &App) -> Outcome<NewFetch> {
        let invalid = |detail: String| Problem::new(Kind::Invalid, detail);
        let place = with_allowed(app, |allowed| Place::read(&self.url, allowed));
        let place = place.map_err(|refused| invalid(format!("url: {refused}")))?;
        let is_name = |it: &String| (1..=500).contains(&it.chars().count()) && !it.contains('\0');
        if self.filename.as_ref().is_some_and(|it| !is_name(it)) {
            return Err(invalid("filename: from 1 to 500 letters".to_owned()));
        }
        let sha256 = self.sha256.as_deref();
        let sha256 = sha256.map(|it| hex(it).ok_or_else(|| invalid("sha256: 64 digits of base 16".to_owned())));
        Ok(NewFetch {
            video: VideoId::new(),
            filename: self.filename.clone().unwrap_or_else(|| place.filename()),
            from: place.to_string(),
            shown: place.shown(),
            sha256: sha256.transpose()?,
            chunk: i64::try_from(app.config.chunk_bytes).map_err(|error| Problem::internal(&error))?,
        })
    }
}

/// After how many seconds somebody may ask again who has too much that has not ended.
const LATER_S: u64 = 60;

/// That a user has so much that has not ended.
pub(super) fn too_many(open: i64, most: u32) -> Problem {
    let detail = format!(
        "{open} of your jobs, and of sources that are fetched for none of them, have not ended, and {most} may be; \
         send this when some have"
    );
    Problem::too_many(detail, LATER_S)
}

/// Have a video fetched from where it lies. It is `fetching`, then `checking`, and in the end `uploaded`, or `failed` with its reason.
#[utoipa::path(post, path = "/videos", tag = "videos", request_body = NewSource, responses(
    (status = 201, description = "It is accepted, and will be fetched", body = Video),
    (status = 422, description = "It is not fetched from there; what is wrong with the URL is told", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    Writes(caller): Writes,
    makes: Makes,
    Json(wanted): Json<NewSource>,
) -> Outcome<(StatusCode, axum::Json<Video>)> {
    let wanted = NewFetch { video: VideoId(makes.id()), ..wanted.checked(&app)? };
    if makes.is_again()
        && let Some(made) = videos::get(&app.db, caller.user(), wanted.video).await?
    {
        return Ok((StatusCode::CREATED, axum::Json(made)));
    }
    let most = app.config.open_jobs;
    if let Accepted::TooMany { open } = fetches::add(&app.db, caller.user(), &wanted, i64::from(most)).await? {
        return Err(too_many(open, most));
    }
    let video = videos::get(&app.db, caller.user(), wanted.video).await?;
    Ok((StatusCode::CREATED, axum::Json(video.ok_or_else(|| Problem::not_found("video"))?)))
}
