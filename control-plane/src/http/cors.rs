//! Uploads from pages of other origins (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>): whose they may be is a setting. They
//! show tokens, and no cookies. An OPTIONS that asks for no other request is the API's, and goes on: tus has one.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;

/// What pages may send.
const METHODS: &str = "OPTIONS, HEAD, POST, PUT, PATCH, DELETE";
/// What they may say.
const HEADERS: &str = "Authorization, Content-Type, Content-Digest, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, \
                       Upload-Checksum, Upload-Defer-Length, X-HTTP-Method-Override, X-Request-Id, X-Requested-With, \
                       Traceparent";
/// What they may hear.
const EXPOSED: &str = "Location, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Tus-Resumable, Tus-Version, \
                       Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id";
/// For how many seconds they may remember it: browsers take no more than two hours.
const REMEMBERED_S: &str = "7200";

/// Outside of all else that answers: tells pages what they may.
pub(super) async fn tell(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|_| is_of_uploads(request.uri().path())) else { return next.run(request).await };
    let allowed = allowed(&app.config.upload_origins, &origin);
    let is_preflight =
        *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    put(response.headers_mut(), allowed, is_preflight);
    response
}

fn put(headers: &mut HeaderMap, allowed: Option<HeaderValue>, is_preflight: bool) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(allowed) = allowed else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    let said: &[(HeaderName, &'static str)] = match is_preflight {
        true => &[
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S),
        ],
        false => &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)],
    };
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Uploads by tus, and parts whose addresses are signed.
fn is_of_uploads(path: &str) -> bool {
    let is_part = path.starts_with("/v1/videos/") && path.ends_with("/chunk");
    path == "/v1/tus" || path.starts_with("/v1/tus/") || is_part
}

/// Who a page of this origin is told may read the answer; nobody is `None`.
fn allowed(origins: &[String], origin: &HeaderValue) -> Option<HeaderValue> {
    if origins.iter().any(|it| it == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|it| it.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_origins_that_are_named_are_told_so_and_others_nothing() {
        let origin = HeaderValue::from_static("https://a.example");
        let of = |origins: &[&str]| {
            let origins: Vec<String> = origins.iter().map(|it| (*it).to_owned()).collect();
            allowed(&origins, &origin).map(|it| it.to_str().unwrap().to_owned())
        };
        assert_eq!(of(&["*"]).as_deref(), Some("*"));
        assert_eq!(of(&["https://b.example", "https://a.example"]).as_deref(), Some("https://a.example"));
        assert_eq!([of(&["https://a.example:8443"]), of(&[])], [None, None]);
    }

    #[test]
    fn uploads_are_all_that_pages_of_others_reach() {
        for path in ["/v1/tus", "/v1/tus/x", "/v1/videos/x/chunk"] {
            assert!(is_of_uploads(path), "{path}");
        }
        for path in ["/v1/tusk", "/v1/videos", "/v1/videos/x", "/v1/auth/me", "/chunk"] {
            assert!(!is_of_uploads(path), "{path}");
        }
    }
}
