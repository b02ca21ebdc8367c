//! What is wrong, as an answer: RFC 9457, with the product's numeric codes and whether trying again can help.

use std::borrow::Cow;
use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::tus::Refusal;

/// What can be wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Something in it is not as it has to be.
    Invalid,
    /// Nobody is who they say, or they say nothing.
    Unauthenticated,
    /// Whoever it is may not do that.
    Forbidden,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// It does not fit what is there already.
    Conflict,
    /// It is larger than the plan allows.
    TooLarge,
    /// It is no video that is read.
    NotAVideo,
    /// The file is damaged.
    Corrupt,
    /// There is no room left in the plan.
    Quota,
    /// The place is there, and knows other methods.
    MethodNotAllowed,
    /// The body is of another kind than it has to be.
    MediaType,
    /// The body is longer than it may be.
    BodyTooLarge,
    /// A stretch of bytes was asked for that there isn't.
    Range,
    /// What was sent is not what its checksum says.
    Checksum,
    /// It demands something that is not so.
    Precondition,
    /// Somebody else is at it.
    Locked,
    /// It is one too many.
    TooMany,
    /// What it needs is away for the moment.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// Status, the product's number if there is one, a name for its type, and a title.
    const fn facts(self) -> (StatusCode, Option<u16>, &'static str, &'static str) {
        match self {
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, None, "invalid-request", "The request is not valid"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, Some(2002), "authentication-failed", "Authentication failed")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, None, "forbidden", "Not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, None, "not-found", "Not found"),
            Self::Conflict => (StatusCode::CONFLICT, None, "conflict", "It does not fit what is there"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Some(1002), "file-too-large", "The file is too large"),
            Self::NotAVideo => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some(1001), "not-a-video", "Not a video that is read")
            }
            Self::Corrupt => (StatusCode::UNPROCESSABLE_ENTITY, Some(1005), "corrupt-file", "The file is damaged"),
            Self::Quota => (StatusCode::INSUFFICIENT_STORAGE, Some(1004), "quota-exceeded", "There is no room left"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, None, "method-not-allowed", "There is no such method")
            }
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None, "media-type", "The body is of another kind"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None, "body-too-large", "The body is too long"),
            Self::Range => (StatusCode::RANGE_NOT_SATISFIABLE, None, "range", "There are no such bytes"),
            Self::Checksum => (StatusCode::BAD_REQUEST, None, "checksum-mismatch", "The checksum does not fit"),
            Self::Precondition => {
                (StatusCode::PRECONDITION_FAILED, None, "precondition-failed", "What it demands is not so")
            }
            Self::Locked => (StatusCode::LOCKED, None, "locked", "Somebody else is at it"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, Some(2001), "too-many-requests", "Too many requests"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None, "unavailable", "Not available for the moment"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None, "internal-error", "Something went wrong"),
        }
    }
}

/// Whether and when the same request may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It would end the same way.
    Never,
    /// As it is, after the time that `Retry-After` says.
    Later,
    /// Once what `detail` says is changed.
    AfterChange,
}

/// An answer that is none (RFC 9457, `application/problem+json`).
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem it is.
    #[serde(rename = "type")]
    kind: String,
    /// The kind, in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This problem: what is wrong, and what to do.
    detail: Cow<'static, str>,
    /// The product's number for it, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// Whether and when the same request may do.
    retry: Retry,
    /// What the request is called in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// What a handler comes to.
pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    /// This is wrong.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (status, code, name, title) = kind.facts();
        let (retry, retry_after_s) = match kind {
            Kind::Unavailable => (Retry::Later, Some(5)),
            Kind::Locked => (Retry::Later, Some(1)),
            Kind::Internal | Kind::Checksum | Kind::TooMany => (Retry::Later, None),
            Kind::Invalid
            | Kind::Conflict
            | Kind::Unauthenticated
            | Kind::Quota
            | Kind::MediaType
            | Kind::Precondition
            | Kind::BodyTooLarge => (Retry::AfterChange, None),
            Kind::Forbidden
            | Kind::NotFound
            | Kind::MethodNotAllowed
            | Kind::Range
            | Kind::TooLarge
            | Kind::NotAVideo
            | Kind::Corrupt => (Retry::Never, None),
        };
        let kind = format!("/problems/{name}");
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            retry,
            request_id: None,
            retry_after_s,
        }
    }

    /// Nothing is there, or nothing that this user may know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// It is one too many, and passes after so many seconds.
    pub fn too_many(detail: String, wait_s: u64) -> Self {
        Self { retry_after_s: Some(wait_s), ..Self::new(Kind::TooMany, detail) }
    }

    /// The same, of a request that may do as it is after so many seconds.
    #[must_use]
    pub fn later(self, wait_s: u64) -> Self {
        Self { retry: Retry::Later, retry_after_s: Some(wait_s), ..self }
    }

    /// The same under another status, where a protocol has one of its own.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// A fault of ours, which is logged here and not told.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Kind::Internal, "it is written down; try again, and tell us the request's id if it stays so")
    }

    /// The same, of this part of a request.
    #[must_use]
    pub fn within(self, part: &str) -> Self {
        Self { detail: format!("{part}: {}", self.detail).into(), ..self }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same, of the request that is called so.
    #[must_use]
    pub fn of(self, request_id: Option<String>) -> Self {
        Self { request_id, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match crate::db::is_passing(&error) {
            true => {
                tracing::warn!(%error, "the database is away");
                Self::new(Kind::Unavailable, "the database is away for the moment")
            }
            false => Self::internal(&error),
        }
    }
}

impl From<vtp_store::Error> for Problem {
    fn from(error: vtp_store::Error) -> Self {
        match error.is_retryable() {
            true => {
                tracing::warn!(%error, "the store is away");
                Self::new(Kind::Unavailable, "the store is away for the moment")
            }
            false => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Version => Self::new(Kind::Precondition, detail),
            Refusal::MediaType => Self::new(Kind::MediaType, detail),
            Refusal::Header(_) => Self::new(Kind::Invalid, detail),
            Refusal::Checksum => Self::new(Kind::Invalid, detail).with_status(400),
            Refusal::Offset { .. } | Refusal::Closed => Self::new(Kind::Conflict, detail),
            Refusal::TooLong(_) => Self::new(Kind::BodyTooLarge, detail),
            Refusal::Mismatch => Self::new(Kind::Checksum, detail).with_status(460),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What went wrong with it is told to whoever wraps handlers.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_is_wrong_with_its_number_and_whether_to_try_again() {
        let problem = Problem::new(Kind::Quota, "1 GiB is all there is").of(Some("r1".to_owned()));
        let told = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/quota-exceeded", "title": "There is no room left", "status": 507, "code": 1004,
            "detail": "1 GiB is all there is", "retry": "after_change", "request_id": "r1",
        });
        assert_eq!(told, expected);
        let response = Problem::new(Kind::Unavailable, "x").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let response = Problem::new(Kind::Unauthenticated, "x").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
