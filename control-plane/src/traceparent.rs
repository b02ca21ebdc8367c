//! Which span something is below.

/// Which span something is below, as the header `traceparent` names it (<https://www.w3.org/TR/trace-context/>). Whoever makes
/// spans reads it.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(transparent)]
pub struct Traceparent(pub String);
