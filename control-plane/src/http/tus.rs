//! Uploads by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), for clients that speak it. Such an upload is a video from its first
//! byte on, in the same parts as any; when the last byte is there, it is completed by itself.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{head, options};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Path;
use super::uploads::{self, NewUpload};
use super::videos::PATIENCE;
use crate::app::App;
use crate::auth::{Caller, Writes};
use crate::checking;
use crate::db::tus::{self as rows, Tus};
use crate::db::videos::{self, By, Video};
use crate::ids::VideoId;
use crate::problem::{Kind, Outcome, Problem};
use crate::public_url::address;
use crate::receiving;
use crate::tus::{self, Asked, State as Stand};

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const EXTENSIONS: HeaderName = HeaderName::from_static("tus-extension");
const LARGEST: HeaderName = HeaderName::from_static("tus-max-size");
const CHECKSUMS: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const METHOD: HeaderName = HeaderName::from_static("x-http-method-override");

/// What is at `/v1/tus`. HEAD and OPTIONS are in no document: their answers have no bodies to describe.
pub(super) fn router() -> OpenApiRouter<App> {
    let router = OpenApiRouter::new().routes(routes!(create)).routes(routes!(append, end));
    let router = router.route("/tus", options(about)).route("/tus/{id}", options(about).merge(head(look)).post(other));
    router.layer(middleware::map_response(stamp))
}

/// What every answer says, whatever it is.
async fn stamp(mut response: Response) -> Response {
    let is_other_version = response.status() == StatusCode::PRECONDITION_FAILED;
    let headers = response.headers_mut();
    headers.insert(RESUMABLE, HeaderValue::from_static(tus::VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_other_version {
        headers.insert(VERSIONS, HeaderValue::from_static(tus::VERSION));
    }
    response
}

/// What is spoken here (OPTIONS). Nobody needs to be anybody for it.
async fn about(State(app): State<App>) -> Response {
    let largest = HeaderValue::from(app.config.largest_source());
    let said = [
        (VERSIONS, HeaderValue::from_static(tus::VERSION)),
        (EXTENSIONS, HeaderValue::from_static(tus::EXTENSIONS)),
        (CHECKSUMS, HeaderValue::from_static(tus::CHECKSUMS)),
        (LARGEST, largest),
    ];
    (StatusCode::NO_CONTENT, said).into_response()
}

/// The bytes of an upload.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct UploadBytes(Vec<u8>);

/// What is said of an upload that is to begin.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Beginning {
    /// The version of the protocol.
    #[param(rename = "Tus-Resumable", pattern = r"^1\.0\.0$")]
    tus_resumable: String,
    /// Bytes.
    #[param(rename = "Upload-Length", minimum = 1)]
    upload_length: u64,
    /// Pairs with commas between them, each a word, a blank and a text in base64: `filename`, `filetype`, and `sha256` of the whole in
    /// 64 digits are looked at.
    #[param(rename = "Upload-Metadata", required = false, max_length = 8192)]
    upload_metadata: String,
}

/// What is said of bytes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Bytes {
    /// The version of the protocol.
    #[param(rename = "Tus-Resumable", pattern = r"^1\.0\.0$")]
    tus_resumable: String,
    /// The byte of the upload that they begin at.
    #[param(rename = "Upload-Offset", minimum = 0)]
    upload_offset: u64,
    /// `sha1` or `sha256`, a blank, and their checksum in base64. They are kept as a whole then, or not at all.
    #[param(rename = "Upload-Checksum", required = false, pattern = r"^(sha1|sha256) [A-Za-z0-9+/]+=*$")]
    upload_checksum: String,
}

/// The version of the protocol.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Version {
    /// The version of the protocol.
    #[param(rename = "Tus-Resumable", pattern = r"^1\.0\.0$")]
    tus_resumable: String,
}

/// Begin an upload by tus (<https://tus.io/protocols/resumable-upload>). `Location` says where it goes on; its last part is the video's
/// number. Its first bytes may come with it, as in a PATCH.
#[utoipa::path(post, path = "/tus", tag = "tus", params(Beginning), responses(
    (status = 201, description = "It is begun", headers(
        ("Location" = String, description = "Where it goes on"),
        ("Upload-Offset" = u64, description = "Bytes that are kept"),
        ("Upload-Expires" = String, description = "When it is given up, if it comes no further"),
    )),
    (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The file is too large (1002)", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room left (1004)", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    Writes(caller): Writes,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    let begun = tus::begins(&headers)?;
    let wanted = NewUpload {
        filename: begun.metadata.filename,
        file_size: begun.length,
        content_type: begun.metadata.filetype,
        sha256: begun.metadata.sha256,
    };
    let video = uploads::start(&app, caller.user(), VideoId::new(), &wanted, By::Tus(begun.said.as_deref())).await?;
    let received = match begun.first {
        Some(first) => match receiving::receive(&app, caller.user(), &video, first, body).await {
            Ok(received) => received,
            // It is begun all the same, and its client goes on where it is told that it is.
            Err(problem) => {
                tracing::info!(video = %video.id, %problem, "not all that came with an upload is kept");
                rows::find(&app.db, video.id).await?.map_or(0, |it| of(it.received))
            }
        },
        None => 0,
    };
    let place = address(app.config.public_url.as_ref(), &format!("/v1/tus/{}", video.id));
    let mut response = stand(StatusCode::CREATED, &video, received).into_response();
    let place = HeaderValue::from_str(&place).map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

/// Where an upload is (HEAD).
async fn look(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let (video, _) = upload_of(&app, &caller, id).await?;
    tus::require_version(&headers)?;
    // What a request that broke off has brought is being kept.
    let upload = receiving::settled(&app, &video).await?.ok_or_else(|| Problem::not_found("upload"))?;
    let mut response = stand(StatusCode::OK, &video, of(upload.received)).into_response();
    response.headers_mut().insert(LENGTH, of(video.size()).into());
    if let Some(said) = upload.metadata {
        let said = HeaderValue::from_str(&said).map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(METADATA, said);
    }
    Ok(response)
}

/// Go on with an upload by tus. What comes is kept as far as it comes, but for bytes with a checksum; when the last is there, the upload is
/// completed, and the video tells what comes of it.
#[utoipa::path(patch, path = "/tus/{id}", tag = "tus",
    params(("id" = VideoId, Path, description = "Which video"), Bytes),
    request_body(content = inline(UploadBytes), content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "They are there, durably", headers(
            ("Upload-Offset" = u64, description = "Bytes that are kept"),
            ("Upload-Expires" = String, description = "When it is given up, if it comes no further"),
        )),
        (status = 409, description = "The upload is elsewhere, or complete", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
        (status = 423, description = "Another request sends bytes of it", body = Problem, content_type = "application/problem+json"),
        (status = 460, description = "Not what the checksum says", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away, or the bytes broke off", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn append(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    let (video, _) = upload_of(&app, &caller, id).await?;
    let upload = receiving::settled(&app, &video).await?.ok_or_else(|| Problem::not_found("upload"))?;
    let is_open = matches!(&*video.upload_status, "pending" | "uploading");
    let here = Stand { received: of(upload.received), length: of(video.size()), is_open };
    let received = match tus::continues(&headers, here)? {
        Asked::Append(append) => receiving::receive(&app, caller.user(), &video, append, body).await?,
        Asked::Nothing => here.received,
    };
    let now = videos::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("upload"))?;
    Ok(stand(StatusCode::NO_CONTENT, &now, received).into_response())
}

/// End an upload by tus that is not complete, and forget what came of it. One that is complete is a video.
#[utoipa::path(delete, path = "/tus/{id}", tag = "tus",
    params(("id" = VideoId, Path, description = "Which video"), Version),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It is complete", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn end(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let (video, _) = upload_of(&app, &caller, id).await?;
    tus::require_version(&headers)?;
    if !matches!(&*video.upload_status, "pending" | "uploading") {
        let detail = format!("this upload is complete: DELETE /v1/videos/{id} deletes the video");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if videos::delete(&app.db, caller.user(), id, false).await?.is_none() {
        return Err(Problem::not_found("upload"));
    }
    let bytes_go = async move { checking::forget(&app, id).await };
    checking::go_on_with(bytes_go, PATIENCE).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A POST in place of another method, from where there are no others.
async fn other(
    app: State<App>,
    caller: Writes,
    path: Path<VideoId>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    let meant = headers.get(METHOD).and_then(|it| Method::from_bytes(it.as_bytes()).ok());
    match meant {
        Some(Method::PATCH) => append(app, caller, path, headers, body).await,
        Some(Method::DELETE) => end(app, caller, path, headers).await,
        Some(Method::HEAD) => look(app, caller, path, headers).await,
        _ => {
            let detail = "PATCH goes on with an upload, or X-HTTP-Method-Override: PATCH";
            let mut refused = Problem::new(Kind::MethodNotAllowed, detail).into_response();
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("PATCH,DELETE,OPTIONS,HEAD"));
            Ok(refused)
        }
    }
}

/// An upload by tus of this user.
async fn upload_of(app: &App, caller: &Caller, id: VideoId) -> Outcome<(Video, Tus)> {
    let nothing = || Problem::not_found("upload");
    let video = videos::get(&app.db, caller.user(), id).await?.ok_or_else(nothing)?;
    let upload = rows::find(&app.db, id).await?.ok_or_else(nothing)?;
    Ok((video, upload))
}

/// How far an upload is, as answers tell it.
fn stand(status: StatusCode, video: &Video, received: u64) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    headers.insert(OFFSET, received.into());
    let is_open = matches!(&*video.upload_status, "pending" | "uploading") && received < of(video.size());
    let until = httpdate::fmt_http_date(video.upload_until.into());
    if let Some(until) = HeaderValue::from_str(&until).ok().filter(|_| is_open) {
        headers.insert(EXPIRES, until);
    }
    (status, headers)
}

/// What the database has of bytes, which is never less than nothing.
fn of(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
