//! Requests as values: what can't be read becomes a [`Problem`].

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::object::Object;
use crate::problem::{Kind, Outcome, Problem};

/// A body that is a JSON object.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Outcome<Self> {
        let read = axum::Json::<Object<T>>::from_request(request, state).await;
        read.map(|axum::Json(Object(value))| Self(value)).map_err(|rejection| match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                Problem::new(Kind::MediaType, "the body has to be JSON: Content-Type: application/json")
            }
            rejection if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(Kind::BodyTooLarge, "the body is too long")
            }
            rejection => Problem::new(Kind::Invalid, rejection.body_text()),
        })
    }
}

/// What the path names.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Outcome<Self> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        // What is no number of anything names nothing.
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|_: PathRejection| Problem::not_found("thing"))
    }
}

/// What the query says.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Outcome<Self> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let invalid = |rejection: QueryRejection| Problem::new(Kind::Invalid, rejection.body_text());
        read.map(|axum::extract::Query(value)| Self(value)).map_err(invalid)
    }
}
