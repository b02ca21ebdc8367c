//! What an answer of S3, or none, means for whoever asked.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::Error;

type Cause = dyn std::error::Error + 'static;

/// Whether the object is not there. That the bucket is not is another matter.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(404) && error.code() != Some("NoSuchBucket")
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The error of a request that was tried as often as it may be.
pub(super) fn failed<E>(error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error, status(error)) {
        (SdkError::ServiceError(_), Some(401 | 403)) => Error::Denied(said(error, "the credentials")),
        (SdkError::ServiceError(_), Some(412)) => Error::Changed,
        (SdkError::ServiceError(_), Some(408 | 429 | 500..=599)) => Error::Unreachable(said(error, "it is busy")),
        (SdkError::ServiceError(_), _) => Error::Refused(said(error, "it says no")),
        // Nothing was sent: there is nobody to sign for.
        _ if chain(error).any(|cause| cause.is::<CredentialsError>()) => Error::NoCredentials(causes(error)),
        (SdkError::ConstructionFailure(_), _) => Error::Refused(causes(error)),
        _ => Error::Unreachable(causes(error)),
    }
}

/// The store's own words, with its code.
fn said<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, otherwise: &str) -> String {
    let status = status(error).map(|status| format!(" ({status})")).unwrap_or_default();
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}{status}"),
        (Some(code), None) => format!("{code}{status}"),
        (None, Some(message)) => format!("{message}{status}"),
        (None, None) => format!("{otherwise}{status}"),
    }
}

/// The last cause, which has what people need (no credentials, connection refused).
fn causes<E: std::error::Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    tracing::debug!(error = %DisplayErrorContext(error), "a request to the store failed");
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and what it came of.
fn chain(error: &Cause) -> impl Iterator<Item = &Cause> {
    std::iter::successors(Some(error), |error| error.source())
}
