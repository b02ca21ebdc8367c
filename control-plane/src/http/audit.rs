//! What was done in one's name.

use axum::extract::State;

use super::extract::Query;
use super::page::{Page, Wanted};
use crate::app::App;
use crate::auth::Person;
use crate::db::audit::{self, Done};
use crate::problem::{Outcome, Problem};

/// What was done in one's name.
#[utoipa::path(get, path = "/audit", tag = "auth", params(Wanted), responses(
    (status = 200, description = "A page of it", body = Page<Done>),
    (status = "4XX", description = "Not signed in", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    // A key that was stolen is not to tell where else its owner is.
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Outcome<axum::Json<Page<Done>>> {
    let (before, most) = wanted.read()?;
    let found = audit::of(&app.db, person.user, before, most).await?;
    Ok(axum::Json(wanted.page(found, |done| done.id)))
}
