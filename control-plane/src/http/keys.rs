//! API keys: for programs, which show them in place of an access token.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::is_name;
use crate::app::App;
use crate::auth::{ApiSecret, Person, Scope};
use crate::db::api_keys::{self, ApiKey};
use crate::ids::ApiKeyId;
use crate::problem::{Kind, Outcome, Problem};

/// A key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// What it is called.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00]*[^\x00\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\x00]*$"
    )]
    name: String,
    /// What it may be used for.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
}

/// A key, and what is secret of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The key itself. It is shown this once.
    secret: String,
}

/// All keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    /// The newest first.
    data: Vec<ApiKey>,
}

/// Make a key.
#[utoipa::path(post, path = "/api-keys", tag = "api keys", request_body = NewKey, responses(
    (status = 201, description = "It is made", body = MadeKey),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    // So that a key that was stolen can't make others.
    person: Person,
    Json(wanted): Json<NewKey>,
) -> Outcome<(StatusCode, axum::Json<MadeKey>)> {
    if !is_name(&wanted.name) {
        return Err(Problem::new(Kind::Invalid, "name: from 1 to 100 letters, not only blanks"));
    }
    let mut scopes: Vec<&str> = wanted.scopes.iter().map(|it| it.name()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Problem::new(Kind::Invalid, "scopes: read, write, or both"));
    }
    let secret = ApiSecret::new().map_err(|error| Problem::internal(&error))?;
    let key = api_keys::add(&app.db, person.user, wanted.name.trim(), &secret, &scopes).await?;
    Ok((StatusCode::CREATED, axum::Json(MadeKey { key, secret: secret.reveal() })))
}

/// One's keys.
#[utoipa::path(get, path = "/api-keys", tag = "api keys", responses(
    (status = 200, description = "All keys that are good", body = Keys),
    (status = "4XX", description = "Not signed in", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(State(app): State<App>, person: Person) -> Outcome<axum::Json<Keys>> {
    Ok(axum::Json(Keys { data: api_keys::list(&app.db, person.user).await? }))
}

/// Revoke a key.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api keys", params(("id" = ApiKeyId, Path, description = "Which key")), responses(
    (status = 204, description = "It is good no longer"),
    (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn revoke(State(app): State<App>, person: Person, Path(key): Path<ApiKeyId>) -> Outcome<StatusCode> {
    match api_keys::revoke(&app.db, person.user, key).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("API key")),
    }
}
