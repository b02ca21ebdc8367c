//! Jobs: a source on its way to a ladder.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Json, Path, Query};
use super::idempotency::Makes;
use super::integer::integer;
use super::object::object;
use super::page::{Page, Wanted};
use super::videos::PATIENCE;
use super::visit::Below;
use crate::app::App;
use crate::auth::{Caller, Reads, Writes};
use crate::checking;
use crate::db::jobs::{self, Job, NewJob};
use crate::db::outputs::{self, OutputRow};
use crate::db::videos;
use crate::ids::{JobId, VideoId};
use crate::problem::{Kind, Outcome, Problem};
use crate::public_url;
use crate::storage;
use crate::template::Template;

/// What is to be made of a video, and how urgently.
#[derive(Clone, PartialEq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcode {
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

/// Make a ladder of a video. One that is being fetched is waited for.
#[utoipa::path(post, path = "/videos/{id}/transcode", tag = "jobs", params(("id" = VideoId, Path, description = "Which video")),
    request_body = Transcode, responses(
        (status = 202, description = "It is accepted", body = Job),
        (status = 409, description = "The video is neither whole nor being fetched", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn transcode(
    State(app): State<App>,
    Writes(caller): Writes,
    Below(below): Below,
    makes: Makes,
    Path(id): Path<VideoId>,
    Json(wanted): Json<Transcode>,
) -> Outcome<(StatusCode, axum::Json<Job>)> {
    if !(1..=10).contains(&wanted.priority) {
        return Err(Problem::new(Kind::Invalid, "priority: from 1 to 10"));
    }
    wanted.output.check()?;
    let request = serde_json::to_value(&wanted.output).map_err(|error| Problem::internal(&error))?;
    let (number, below) = (jobs::number(), below.as_ref());
    let job = JobId(makes.id());
    if makes.is_again()
        && let Some(made) = jobs::get(&app.db, caller.user(), job).await?
    {
        return Ok((StatusCode::ACCEPTED, axum::Json(made)));
    }
    let new = NewJob { id: job, video: id, request: &request, priority: wanted.priority, number, below };
    if let Some(job) = jobs::accept(&app.db, caller.user(), new).await? {
        return Ok((StatusCode::ACCEPTED, axum::Json(job)));
    }
    match videos::get(&app.db, caller.user(), id).await? {
        Some(video) => {
            let detail = match &*video.upload_status {
                "failed" => "the video is of no use; see its failure".to_owned(),
                status => format!("the video is {status}; complete its upload first"),
            };
            Err(Problem::new(Kind::Conflict, detail))
        }
        None => Err(Problem::not_found("video")),
    }
}

/// The jobs of a video.
#[utoipa::path(get, path = "/videos/{id}/jobs", tag = "jobs", params(("id" = VideoId, Path, description = "Which video"), Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Job>),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn of_video(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<VideoId>,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Job>>> {
    videos::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("video"))?;
    page(&app, &caller, Some(id), &wanted).await
}

/// One's jobs.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(Wanted), responses(
    (status = 200, description = "A page of them", body = Page<Job>),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Reads(caller): Reads,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Job>>> {
    page(&app, &caller, None, &wanted).await
}

async fn page(app: &App, caller: &Caller, video: Option<VideoId>, wanted: &Wanted) -> Outcome<axum::Json<Page<Job>>> {
    let (before, most) = wanted.read()?;
    let found = jobs::list(&app.db, caller.user(), video, JobId(before), most).await?;
    Ok(axum::Json(wanted.page(found, |job| job.id.0)))
}

/// A job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = JobId, Path, description = "Which job")), responses(
    (status = 200, description = "It", body = Job),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn get(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<JobId>,
) -> Outcome<axum::Json<Job>> {
    job_of(&app, &caller, id).await.map(axum::Json)
}

/// Cancel a job. One that is being worked on ends a moment later; one that has ended stays as it is.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path, description = "Which job")), responses(
    (status = 200, description = "It, by now", body = Job),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<JobId>,
) -> Outcome<axum::Json<Job>> {
    let job = jobs::cancel(&app.db, caller.user(), id).await?;
    job.map(axum::Json).ok_or_else(|| Problem::not_found("job"))
}

/// Something that a job made, and where it is played from.
#[derive(Serialize, ToSchema)]
pub(crate) struct Output {
    #[serde(flatten)]
    row: OutputRow,
    /// Where players find it: a path of this server where the settings don't say more. Who has this address needs no other key.
    playback_url: String,
}

/// All that a job made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outputs {
    /// What to begin with comes first.
    data: Vec<Output>,
}

/// What a job made.
#[utoipa::path(get, path = "/jobs/{id}/outputs", tag = "jobs", params(("id" = JobId, Path, description = "Which job")), responses(
    (status = 200, description = "All of it; nothing before it is completed", body = Outputs),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn outputs(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<JobId>,
) -> Outcome<axum::Json<Outputs>> {
    let job = job_of(&app, &caller, id).await?;
    let signature = app.playback.sign(job.id);
    let of_players = app.config.playback_url.as_ref().or(app.config.public_url.as_ref());
    let rows = outputs::of(&app.db, caller.user(), id).await?;
    let data = rows.into_iter().map(|row| {
        let path = format!("/play/{}/{signature}/{}", job.id, row.storage_path);
        let playback_url = public_url::address(of_players, &path);
        Output { row, playback_url }
    });
    Ok(axum::Json(Outputs { data: data.collect() }))
}

/// Delete what a job made. Its report stays, and so does the video.
#[utoipa::path(delete, path = "/jobs/{id}/outputs", tag = "jobs", params(("id" = JobId, Path, description = "Which job")), responses(
    (status = 204, description = "Nothing of it is there any longer, or, of very much, in a while"),
    (status = "4XX", description = "There is none, or it has not ended", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete_outputs(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<JobId>,
) -> Outcome<StatusCode> {
    match outputs::delete(&app.db, caller.user(), id).await? {
        None => Err(Problem::not_found("job")),
        Some(false) => Err(Problem::new(Kind::Conflict, "the job has not ended: cancel it first")),
        Some(true) => {
            let bytes_go = async move { checking::tidy(&app, &storage::ladder(id)).await };
            checking::go_on_with(bytes_go, PATIENCE).await;
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

/// The quality report of a job.
#[utoipa::path(get, path = "/jobs/{id}/report", tag = "jobs", params(("id" = JobId, Path, description = "Which job")), responses(
    (status = 200, description = "As `report.json` has it", body = Value),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn report(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<JobId>,
) -> Outcome<axum::Json<Value>> {
    let report = jobs::report(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("job"))?;
    report.map(axum::Json).ok_or_else(|| Problem::new(Kind::NotFound, "there is no report before the job is completed"))
}

pub(super) async fn job_of(app: &App, caller: &Caller, id: JobId) -> Outcome<Job> {
    jobs::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("job"))
}
