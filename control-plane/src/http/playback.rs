//! Ladders, as players fetch them: files by their names, whole or in ranges (RFC 9110, 14), kept by caches.

use std::ops::Range;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::{Stream, stream};
use vtp_store::{Error, Found, Key, Store as _, media_type};

use super::extract::Path;
use crate::app::App;
use crate::ids::JobId;
use crate::problem::{Kind, Outcome, Problem};
use crate::storage::Object;

/// Bytes that are in memory of an answer.
const BLOCK: u64 = 1 << 20;
/// For how long addresses in S3 are good to which players are sent on.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// For how long such an answer may be kept: what lies there is then still got by whoever was sent on last.
const REDIRECTED: &str = "public, max-age=1800";

pub(super) fn router() -> Router<App> {
    Router::new().route("/play/{job}/{signature}/{*path}", get(file))
}

/// A file of a ladder, whole or a range of it. Whoever has the address of one has all that it names, and shows nothing else. The slashes
/// of `path` stand in the address as they are, or encoded.
#[utoipa::path(method(get, head), path = "/play/{job}/{signature}/{path}", tag = "playback", security(()), params(
        ("job" = JobId, Path, description = "Whose ladder"),
        ("signature" = String, Path, description = "As it stands in `playback_url`"),
        ("path" = String, Path, description = "Which file, such as `master.m3u8`"),
        ("Range" = Option<String>, Header, description = "Which bytes; of several ranges it is all", example = "bytes=0-3"),
        ("If-Range" = Option<String>, Header, description = "The range, if that is still its `ETag`; else all of it"),
        ("If-None-Match" = Option<String>, Header, description = "Nothing, if that is still its `ETag`"),
    ), responses(
        (status = 200, description = "All of it", body = serde_json::Value, content_type = "*/*", headers(
            ("accept-ranges" = String, description = "`bytes`"),
            ("cache-control" = String, description = "How long it may be kept"),
            ("etag" = String, description = "Its version"),
        )),
        (status = 206, description = "The range", body = serde_json::Value, content_type = "*/*", headers(
            ("content-range" = String, description = "Which bytes these are, of how many"),
            ("etag" = String, description = "Its version"),
        )),
        (status = 304, description = "It is what it was"),
        (status = 307, description = "It is got from S3, where the settings say so", headers(
            ("location" = String, description = "Where it is for an hour"),
        )),
        (status = 416, description = "It has no such bytes", body = Problem, content_type = "application/problem+json", headers(
            ("content-range" = String, description = "How many bytes it has"),
        )),
        (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn file(
    State(app): State<App>,
    method: Method,
    Path((job, signature, path)): Path<(JobId, String, String)>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let nothing = || Problem::not_found("file");
    if !app.playback.is_of(job, &signature) || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(nothing());
    }
    let key = Object::Ladder(job, &path).key().map_err(|_| nothing())?;
    let found = match app.store.head(&key).await {
        Err(Error::Name(_)) => None,
        found => found?,
    };
    let found = found.ok_or_else(nothing)?;
    let tag = tag(&found);
    let asked = |name: header::HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
    if asked(header::IF_NONE_MATCH)
        .is_some_and(|it| it == "*" || it.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
    {
        return Ok((StatusCode::NOT_MODIFIED, facts(&path, &tag)?).into_response());
    }
    let is_sent_on = method == Method::GET && app.config.playback_redirects && !names_others(&path);
    let elsewhere = if is_sent_on { app.store.presign_get(&key, GOOD_FOR).await? } else { None };
    if let Some(address) = elsewhere {
        let kept = (header::CACHE_CONTROL, HeaderValue::from_static(REDIRECTED));
        return Ok((StatusCode::TEMPORARY_REDIRECT, [kept, (header::LOCATION, value(&address)?)]).into_response());
    }
    // A range of what it was is none of what it is.
    let is_same = asked(header::IF_RANGE).is_none_or(|it| it == tag);
    let wanted = match asked(header::RANGE).filter(|_| is_same).map(|it| range(it, found.size)) {
        None | Some(Asked::Whole) => None,
        Some(Asked::Range(range)) => Some(range),
        Some(Asked::Nothing) => {
            let mut refused = Problem::new(Kind::Range, format!("it has {} bytes", found.size)).into_response();
            refused.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{}", found.size))?);
            return Ok(refused);
        }
    };
    let (status, bytes) = match wanted {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..found.size),
    };
    let mut all = facts(&path, &tag)?;
    all.insert(header::CONTENT_LENGTH, value(&(bytes.end - bytes.start).to_string())?);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, found.size);
        all.insert(header::CONTENT_RANGE, value(&range)?);
    }
    Ok((status, all, Body::from_stream(blocks(app, key, found, bytes))).into_response())
}

fn value(text: &str) -> Outcome<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| Problem::internal(&error))
}

/// Whether a file names others by where they are from it, so that it is of use nowhere else: sprites stand in WebVTT.
fn names_others(path: &str) -> bool {
    is_playlist(path) || path.ends_with(".vtt")
}

fn is_playlist(path: &str) -> bool {
    path.ends_with(".m3u8") || path.ends_with(".mpd")
}

/// What is told of a file, whatever is sent of it.
fn facts(path: &str, tag: &str) -> Outcome<HeaderMap> {
    let kept = if is_playlist(path) { "public, max-age=60" } else { "public, max-age=31536000, immutable" };
    let mut all = HeaderMap::new();
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    all.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    all.insert(header::ETAG, value(tag)?);
    Ok(all)
}

/// The entity tag of a version.
fn tag(found: &Found) -> String {
    format!("\"{}\"", found.version.0.trim_matches('"'))
}

/// What a `Range` asks for.
#[derive(PartialEq, Debug)]
enum Asked {
    /// All of it: what is asked for is several ranges, or nothing that is known.
    Whole,
    Range(Range<u64>),
    /// What there isn't.
    Nothing,
}

fn range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|it| it.trim().split_once('-')) else {
        return Asked::Whole;
    };
    let bounds = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Asked::Whole,
    };
    if bounds.start < bounds.end { Asked::Range(bounds) } else { Asked::Nothing }
}

/// The bytes of an answer, block by block.
fn blocks(app: App, key: Key, found: Found, bytes: Range<u64>) -> impl Stream<Item = Result<axum::body::Bytes, Error>> {
    stream::try_unfold(bytes.start, move |at| {
        let (app, key, found, end) = (app.clone(), key.clone(), found.clone(), bytes.end);
        async move {
            if at >= end {
                return Ok(None);
            }
            let next = (at + BLOCK).min(end);
            let block = app.store.get(&key, at..next, &found).await;
            let block = block.inspect_err(|error| tracing::warn!(%error, %key, "a file is cut off"))?;
            Ok(Some((block, next)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        let is = |range: Range<u64>| Asked::Range(range);
        assert_eq!(range("bytes=0-0", 10), is(0..1));
        assert_eq!(range("bytes=2-", 10), is(2..10));
        assert_eq!(range("bytes=-3", 10), is(7..10));
        assert_eq!(range("bytes=-30", 10), is(0..10));
        assert_eq!(range("bytes=5-99999999999", 10), is(5..10));
        for nothing in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(range(nothing, 10), Asked::Nothing, "{nothing}");
        }
        for whole in ["bytes=3-2", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=a-b"] {
            assert_eq!(range(whole, 10), Asked::Whole, "{whole}");
        }
    }
}
