//! Uploads: begun, sent in parts in any order and any number of times, and completed when all are there. Parts need not come here: the
//! store says which are there.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::Instrument as _;
use utoipa::{IntoParams, ToSchema};
use vtp_store::{About, Body, Store as _};

use super::extract::{Json, Path, Query};
use super::idempotency::Makes;
use super::integer::integer;
use crate::app::App;
use crate::auth::Writes;
use crate::checking;
use crate::db::tus;
use crate::db::videos::{self, ArrivedPart, Beginning, Begun, By, Video};
use crate::ids::{UserId, VideoId};
use crate::part_urls::{self, PartUrls, closed};
use crate::problem::{Kind, Outcome, Problem};
use crate::receiving;
use crate::storage::Object;

/// How long somebody waits for their upload to be checked; it goes on without them.
const PATIENCE: Duration = Duration::from_secs(20);

/// What somebody is about to upload.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUpload {
    /// What its file is called.
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\x00]+$")]
    pub(super) filename: String,
    /// Bytes.
    #[serde(deserialize_with = "integer")]
    #[schema(minimum = 1)]
    pub(super) file_size: u64,
    /// Its media type.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]+$")]
    pub(super) content_type: Option<String>,
    /// The SHA-256 of the whole, in 64 digits, if it is known: what arrives is held against it.
    #[serde(default)]
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) sha256: Option<String>,
}

/// An upload that is begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct BegunUpload {
    /// Which video it becomes.
    video_id: VideoId,
    /// The same; an upload has no other name.
    upload_id: VideoId,
    /// Bytes of a part; the last has what is left.
    chunk_size: i64,
    /// Where each part goes, in order (PUT, without a token); fresh ones are at `/videos/{id}/urls`.
    upload_urls: Vec<String>,
    /// Until when these addresses are good.
    #[serde(with = "time::serde::rfc3339")]
    urls_expire_at: OffsetDateTime,
}

/// Begin an upload.
#[utoipa::path(post, path = "/videos/upload", tag = "videos", request_body = NewUpload, responses(
    (status = 201, description = "It is begun", body = BegunUpload),
    (status = 413, description = "The file is too large (1002)", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room left (1004)", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn begin(
    State(app): State<App>,
    Writes(caller): Writes,
    makes: Makes,
    Json(wanted): Json<NewUpload>,
) -> Outcome<(StatusCode, axum::Json<BegunUpload>)> {
    let id = VideoId(makes.id());
    let made = if makes.is_again() { videos::get(&app.db, caller.user(), id).await? } else { None };
    let video = match made {
        Some(made) => made,
        None => start(&app, caller.user(), id, &wanted, By::Parts).await?,
    };
    let parts: Vec<u32> = (0..video.parts()).collect();
    let PartUrls { expires_at: urls_expire_at, data } = part_urls::urls(&app, &video, &parts).await?;
    let upload_urls = data.into_iter().map(|part| part.url).collect();
    let (video_id, upload_id, chunk_size) = (video.id, video.id, video.chunk_size);
    let begun = BegunUpload { video_id, upload_id, chunk_size, upload_urls, urls_expire_at };
    Ok((StatusCode::CREATED, axum::Json(begun)))
}

/// Begins an upload of this user, if it may be and there is room for it.
///
/// # Errors
/// Something of it is not as it has to be; it is too large; there is no room.
pub(super) async fn start(app: &App, user: UserId, id: VideoId, wanted: &NewUpload, by: By<'_>) -> Outcome<Video> {
    let invalid = |detail: &'static str| Problem::new(Kind::Invalid, detail);
    let is_text = |text: &str, most: usize| (1..=most).contains(&text.chars().count()) && !text.contains('\0');
    if !is_text(&wanted.filename, 500) {
        return Err(invalid("filename: from 1 to 500 letters"));
    }
    if wanted.content_type.as_deref().is_some_and(|it| !is_text(it, 100)) {
        return Err(invalid("content_type: from 1 to 100 letters"));
    }
    let sha256 = wanted.sha256.as_deref().map(|it| hex(it).ok_or_else(|| invalid("sha256: 64 digits of base 16")));
    let sha256 = sha256.transpose()?;
    let chunk = app.config.chunk_bytes;
    let largest = app.config.largest_source();
    if wanted.file_size == 0 {
        return Err(invalid("file_size: one byte at least"));
    }
    if wanted.file_size > largest {
        return Err(Problem::new(Kind::TooLarge, format!("a file has {largest} bytes at most")));
    }
    let size = i64::try_from(wanted.file_size).map_err(|_| invalid("file_size: too large a number"))?;
    let begun = Begun {
        id,
        filename: &wanted.filename,
        content_type: wanted.content_type.as_deref(),
        size,
        chunk: i64::try_from(chunk).map_err(|error| Problem::internal(&error))?,
        sha256,
        keep_s: app.config.upload_keep_s,
        by,
    };
    match videos::begin(&app.db, user, begun).await? {
        Beginning::Video(video) => Ok(*video),
        Beginning::Full { used, limit } => {
            let detail = format!("{used} of {limit} bytes are used; delete videos, or take a larger plan");
            Err(Problem::new(Kind::Quota, detail))
        }
    }
}

/// Which part.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// Its number, from 0.
    #[param(maximum = 9999)]
    part: u32,
    /// In an address that was given: until when it is good, in seconds since 1970.
    #[param(nullable = false)]
    expires: Option<i64>,
    /// In an address that was given: its signature, which stands for a token.
    #[param(nullable = false)]
    signature: Option<String>,
}

/// The bytes of a part.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct PartBytes(Vec<u8>);

/// What a part may be held against.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Digest {
    /// The part's SHA-256 (RFC 9530).
    #[param(
        rename = "Content-Digest",
        required = false,
        pattern = "^sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:$",
        min_length = 54,
        max_length = 54
    )]
    content_digest: String,
}

/// What has arrived of an upload.
#[derive(Serialize, ToSchema)]
pub(crate) struct Arrived {
    /// The part that arrived.
    part: u32,
    /// Its SHA-256, in 64 digits.
    sha256: String,
}

/// Send a part. It may be sent again; the last counts. An address that was given needs no token. `Content-Digest: sha-256=:...:` (RFC 9530) has it checked on arrival.
#[utoipa::path(put, path = "/videos/{id}/chunk", tag = "videos",
    params(
        ("id" = VideoId, Path, description = "Which video"),
        Part,
        Digest,
    ),
    request_body(content = inline(PartBytes), content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It is there, durably", body = Arrived),
        (status = 400, description = "It is not what its digest says", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The upload takes no parts any longer", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn part(
    State(app): State<App>,
    writes: Outcome<Writes>,
    Path(id): Path<VideoId>,
    Query(wanted): Query<Part>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Outcome<axum::Json<Arrived>> {
    let part = wanted.part;
    // Nothing of it is kept before it is known that it is wanted.
    let (video, expected) = match awaited(&app, writes, id, &wanted).await {
        Ok(awaited) => awaited,
        Err(problem) => {
            receiving::pass_over(body, app.config.chunk_bytes).await;
            return Err(problem);
        }
    };
    let _room = match app.upload_memory.take(video.user_id, expected).await {
        Ok(room) => room,
        Err(problem) => {
            receiving::pass_over(body, expected).await;
            return Err(problem);
        }
    };
    let body = receiving::part(body, part, expected).await?;
    let hash = digest::digest(&digest::SHA256, &body);
    match headers.get("content-digest").map(|it| it.to_str().ok().and_then(sha256_of)) {
        Some(Some(told)) if told != hash.as_ref() => {
            return Err(Problem::new(
                Kind::Checksum,
                format!("part {part} is not what its digest says; send it again"),
            ));
        }
        Some(None) => {
            return Err(Problem::new(Kind::Invalid, "Content-Digest: sha-256=:BASE64: is the one that is known"));
        }
        Some(Some(_)) | None => {}
    }
    let key = Object::Part(video.id, part).key().map_err(|error| Problem::internal(&error))?;
    app.store.put(&key, &Body::Bytes(body), About::default()).await?;
    let number = i32::try_from(part).map_err(|error| Problem::internal(&error))?;
    let size = i64::try_from(expected).map_err(|error| Problem::internal(&error))?;
    let arrived = ArrivedPart { number, size, sha256: hash.as_ref() };
    if videos::arrived(&app.db, video.id, arrived, app.config.upload_keep_s).await? {
        return Ok(axum::Json(Arrived { part, sha256: digits(hash.as_ref()) }));
    }
    // It came too late. Of an upload that is being checked, or may be again, the part is one of those that are put together.
    let now = videos::signed_for(&app.db, video.id).await?;
    if now.is_none_or(|it| matches!(&*it.upload_status, "uploaded" | "failed")) {
        app.store.delete(&[key]).await?;
    }
    Err(closed())
}

/// The video that a part is sent for, and how many bytes it has to have.
async fn awaited(app: &App, writes: Outcome<Writes>, id: VideoId, wanted: &Part) -> Outcome<(Video, u64)> {
    let video = sent_for(app, writes, id, wanted).await?;
    if video.is_fetched() {
        return Err(Problem::new(Kind::Conflict, "this video is fetched from its URL, and takes no parts"));
    }
    takes_parts(app, &video).await?;
    let expected = video.part_size(wanted.part).ok_or_else(|| part_urls::no_part(&video))?;
    Ok((video, expected))
}

/// The video that a part is sent for: somebody's own, or that of the address that was given to whoever sends it.
async fn sent_for(app: &App, writes: Outcome<Writes>, id: VideoId, wanted: &Part) -> Outcome<Video> {
    let (signature, expires) = match (&wanted.signature, wanted.expires) {
        (None, None) => return video_of(app, &writes?.0, id).await,
        (Some(signature), Some(expires)) => (signature, expires),
        _ => return Err(Problem::new(Kind::Invalid, "expires and signature belong together")),
    };
    if !app.part_key.is_of(id, wanted.part, expires, OffsetDateTime::now_utc(), signature) {
        let detail = "this address is none of ours, or good no longer; POST /v1/videos/{id}/urls gives fresh ones";
        return Err(Problem::new(Kind::Unauthenticated, detail));
    }
    videos::signed_for(&app.db, id).await?.ok_or_else(|| Problem::not_found("video"))
}

/// Refuses parts for an upload that is complete, or that comes by tus, which knows of none.
pub(super) async fn takes_parts(app: &App, video: &Video) -> Outcome<()> {
    if !matches!(&*video.upload_status, "pending" | "uploading") {
        return Err(closed());
    }
    if tus::find(&app.db, video.id).await?.is_some() {
        let detail = format!("this upload comes by tus: go on with it at /v1/tus/{}", video.id);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(())
}

/// An upload and what it lacks.
#[derive(Serialize, ToSchema)]
pub(crate) struct Completed {
    #[serde(flatten)]
    video: Video,
}

/// Complete an upload: all parts are there. What they make is looked at; it may take longer than this answer (`checking`).
#[utoipa::path(post, path = "/videos/{id}/complete", tag = "videos", params(("id" = VideoId, Path, description = "Which video")), responses(
    (status = 200, description = "It is a video", body = Completed),
    (status = 202, description = "It is being looked at", body = Completed),
    (status = 409, description = "Parts are missing", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no video (1001), or damaged (1005)", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away; complete it again", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn complete(
    State(app): State<App>,
    Writes(caller): Writes,
    Path(id): Path<VideoId>,
) -> Outcome<(StatusCode, axum::Json<Completed>)> {
    let video = video_of(&app, &caller, id).await?;
    let told = |status: StatusCode, video: Video| Ok((status, axum::Json(Completed { video })));
    match &*video.upload_status {
        "uploaded" => return told(StatusCode::OK, video),
        "failed" => {
            let kind = match video.failure_code {
                Some(1001) => Kind::NotAVideo,
                Some(1005) => Kind::Corrupt,
                _ => Kind::Conflict,
            };
            return Err(Problem::new(kind, video.failure.unwrap_or_default()));
        }
        _ => {}
    }
    if video.is_fetched() {
        return Err(Problem::new(Kind::Conflict, "this video is fetched from its URL; it is completed by itself"));
    }
    let missing = if video.upload_status == "checking" { Vec::new() } else { lacks(&app, &video).await? };
    if !missing.is_empty() {
        let some: Vec<String> = missing.iter().take(10).map(u32::to_string).collect();
        let more = if missing.len() > some.len() { ", ..." } else { "" };
        let detail = format!("{} parts are missing: {}{more}", missing.len(), some.join(", "));
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let Some(checked) = videos::check(&app.db, caller.user(), video.id, app.config.lease_s).await? else {
        // Somebody checks it already.
        return told(StatusCode::ACCEPTED, video_of(&app, &caller, id).await?);
    };
    let checks = app.clone();
    let check = tokio::spawn(async move { checking::check(&checks, &checked).await }.in_current_span());
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(done) => done.map_err(|error| Problem::internal(&error))??,
        Err(_) => return told(StatusCode::ACCEPTED, video_of(&app, &caller, id).await?),
    }
    told(StatusCode::OK, video_of(&app, &caller, id).await?)
}

/// The parts that an open upload lacks. What lies in the store counts, whichever way it came there.
///
/// # Errors
/// Something is away.
pub(super) async fn lacks(app: &App, video: &Video) -> Outcome<Vec<u32>> {
    match tus::find(&app.db, video.id).await? {
        Some(tus) if tus.received == video.size() => Ok(Vec::new()),
        Some(tus) => Ok((u32::try_from(tus.received / video.chunk_size).unwrap_or(u32::MAX)..video.parts()).collect()),
        None => Ok(missing(&checking::there(app, video).await?, video.parts())),
    }
}

/// The parts that are not there.
fn missing(there: &[u32], parts: u32) -> Vec<u32> {
    let there: std::collections::BTreeSet<u32> = there.iter().copied().collect();
    (0..parts).filter(|number| !there.contains(number)).collect()
}

pub(super) async fn video_of(app: &App, caller: &crate::auth::Caller, id: VideoId) -> Outcome<Video> {
    videos::get(&app.db, caller.user(), id).await?.ok_or_else(|| Problem::not_found("video"))
}

/// The SHA-256 in a `Content-Digest` (RFC 9530, 2).
fn sha256_of(header: &str) -> Option<Vec<u8>> {
    let mut digests = header.split(',').filter_map(|it| it.trim().split_once('='));
    let (_, value) = digests.find(|(name, _)| name.eq_ignore_ascii_case("sha-256"))?;
    STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok().filter(|it| it.len() == 32)
}

pub(super) fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 64 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|place| u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()).collect()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_what_is_not_there() {
        assert_eq!(missing(&[0, 2, 3], 5), [1, 4]);
        assert_eq!(missing(&[0, 1], 2), [0; 0]);
    }

    #[test]
    fn digests_are_read_as_rfc_9530_has_them() {
        let hash = digest::digest(&digest::SHA256, b"x");
        let told = STANDARD.encode(hash.as_ref());
        assert_eq!(sha256_of(&format!("md5=:x:, sha-256=:{told}:")).unwrap(), hash.as_ref());
        assert_eq!(sha256_of(&told), None);
        assert_eq!(sha256_of("sha-256=:AAAA:"), None);
        assert_eq!(hex(&digits(hash.as_ref())).unwrap(), hash.as_ref());
        assert!(hex("00").is_none() && hex(&"+0".repeat(32)).is_none());
    }
}
