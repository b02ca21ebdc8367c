//! Whether it is there, and whether it can do anything.

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::App;
use crate::problem::Problem;

/// Whether the process lives.
#[utoipa::path(get, path = "/health/live", tag = "system", security(()), responses((status = 204, description = "It lives")))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether it can serve: the database answers.
#[utoipa::path(get, path = "/health/ready", tag = "system", security(()), responses(
    (status = 204, description = "It can serve"),
    (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn ready(State(app): State<App>) -> Result<StatusCode, Problem> {
    sqlx::query("SELECT 1").execute(&app.db).await?;
    Ok(StatusCode::NO_CONTENT)
}
