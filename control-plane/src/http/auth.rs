//! Signing up, in and out.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::device::Device;
use super::extract::{Json, Path};
use super::is_name;
use crate::app::App;
use crate::auth::{Person, Reads, RefreshSecret, Role, Tokens};
use crate::db::sessions::{self, Refreshed, Session};
use crate::db::users::{self, User};
use crate::ids::{SessionId, UserId};
use crate::problem::{Kind, Outcome, Problem};

/// Who somebody wants to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    /// An address.
    #[schema(format = "email", min_length = 3, max_length = 255)]
    email: String,
    /// Ten letters at least.
    #[schema(format = "password", min_length = 10, max_length = 256)]
    password: String,
    /// What they call themselves; nobody else does.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00]*[^\x00\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\x00]*$"
    )]
    username: Option<String>,
}

/// Who somebody is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Their address.
    #[schema(max_length = 255)]
    email: String,
    /// Their password.
    #[schema(format = "password", max_length = 256)]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// As it came with the access token.
    refresh_token: String,
}

/// Somebody, and what they show from now on.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedIn {
    /// Who it is.
    user: User,
    #[serde(flatten)]
    tokens: Tokens,
}

/// Sign up.
#[utoipa::path(post, path = "/auth/register", tag = "auth", security(()), request_body = Register, responses(
    (status = 201, description = "Signed up, and signed in", body = SignedIn),
    (status = 409, description = "The address or the name is somebody's already", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn register(
    State(app): State<App>,
    device: Device,
    Json(wanted): Json<Register>,
) -> Outcome<(StatusCode, axum::Json<SignedIn>)> {
    let email = email(&wanted.email)?;
    if wanted.username.as_deref().is_some_and(|it| !is_name(it)) {
        return Err(Problem::new(Kind::Invalid, "username: from 1 to 100 letters, not only blanks"));
    }
    let username = wanted.username.as_deref().map(str::trim);
    let hash = app.hasher.hash(wanted.password).await?;
    let user = users::register(&app.db, &email, username, &hash, app.config.storage_bytes).await?;
    let user = user.ok_or_else(|| Problem::new(Kind::Conflict, "the address or the name is somebody's already"))?;
    let tokens = sign_in(&app, user.id, &device).await?;
    Ok((StatusCode::CREATED, axum::Json(SignedIn { user, tokens })))
}

/// Sign in.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()), request_body = Login, responses(
    (status = 200, description = "Signed in", body = SignedIn),
    (status = 401, description = "Address or password are wrong", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn login(
    State(app): State<App>,
    device: Device,
    Json(shown): Json<Login>,
) -> Outcome<axum::Json<SignedIn>> {
    let wrong = || Problem::new(Kind::Unauthenticated, "the address or the password is wrong");
    let email = email(&shown.email).map_err(|_| wrong())?;
    let found = users::find_by_email(&app.db, &email).await?;
    let hash = found.as_ref().and_then(|(_, hash, _)| hash.clone());
    let is_right = app.hasher.is(shown.password, hash).await?;
    match found {
        Some((user, _, true)) if is_right => {
            let tokens = sign_in(&app, user, &device).await?;
            Ok(axum::Json(SignedIn { user: users::get(&app.db, user).await?, tokens }))
        }
        Some(_) | None => Err(wrong()),
    }
}

/// New tokens for an old one, which is good no longer. One that was used before ends its session.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(()), request_body = Refresh, responses(
    (status = 200, description = "New tokens", body = Tokens),
    (status = 401, description = "The token is good no longer", body = Problem, content_type = "application/problem+json"),
    (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn refresh(State(app): State<App>, Json(shown): Json<Refresh>) -> Outcome<axum::Json<Tokens>> {
    let next = RefreshSecret::new().map_err(|error| Problem::internal(&error))?;
    let shown = RefreshSecret::shown(&shown.refresh_token).hash();
    match sessions::refresh(&app.db, &shown, &next.hash(), lasts(&app)).await? {
        Refreshed::Good(user, session, role) => Ok(axum::Json(tokens(&app, (user, session, role), next)?)),
        Refreshed::Reused(session) => {
            tracing::warn!(%session, "a refresh token was shown again; its session is ended");
            let detail = "this refresh token was used before, so somebody else may have it: the session has ended, sign in again";
            Err(Problem::new(Kind::Unauthenticated, detail))
        }
        Refreshed::Bad => Err(Problem::new(Kind::Unauthenticated, "the refresh token is not valid; sign in again")),
    }
}

/// Sign out: this session ends.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses(
    (status = 204, description = "Signed out"),
    (status = "4XX", description = "Not signed in", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn logout(State(app): State<App>, person: Person) -> Outcome<StatusCode> {
    sessions::end(&app.db, person.user, person.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Somebody's sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The latest first.
    data: Vec<Session>,
}

/// Where one is signed in.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", responses(
    (status = 200, description = "All sessions that have not ended", body = Sessions),
    (status = "4XX", description = "Not signed in", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn sessions(State(app): State<App>, person: Person) -> Outcome<axum::Json<Sessions>> {
    let mut data = sessions::of(&app.db, person.user).await?;
    for session in &mut data {
        session.is_this = session.id == person.session;
    }
    Ok(axum::Json(Sessions { data }))
}

/// End one of one's sessions.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth", params(("id" = SessionId, Path, description = "Which session")),
    responses(
        (status = 204, description = "It has ended"),
        (status = "4XX", description = "There is none, or it has ended", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn end_session(
    State(app): State<App>,
    person: Person,
    Path(session): Path<SessionId>,
) -> Outcome<StatusCode> {
    match sessions::end(&app.db, person.user, session).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("session")),
    }
}

/// Who one is.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses(
    (status = 200, description = "Who one is", body = User),
    (status = "4XX", description = "Nobody", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn me(State(app): State<App>, Reads(caller): Reads) -> Outcome<axum::Json<User>> {
    Ok(axum::Json(users::get(&app.db, caller.user()).await?))
}

/// An address as it is kept: in small letters, without blanks around it.
fn email(shown: &str) -> Outcome<String> {
    let email = shown.trim().to_lowercase();
    let is_one = email.split_once('@').is_some_and(|(who, place)| {
        !who.is_empty() && !place.is_empty() && !place.contains('@') && !email.contains(char::is_whitespace)
    });
    match is_one && email.chars().count() <= 255 && !email.contains('\0') {
        true => Ok(email),
        false => Err(Problem::new(Kind::Invalid, "email: an address, as in somebody@example.com")),
    }
}

fn lasts(app: &App) -> Duration {
    Duration::seconds(app.config.refresh_s)
}

async fn sign_in(app: &App, user: UserId, device: &Device) -> Outcome<Tokens> {
    device.set_user(user);
    let refresh = RefreshSecret::new().map_err(|error| Problem::internal(&error))?;
    let (session, role) =
        sessions::begin(&app.db, user, (&device.info, device.address), &refresh.hash(), lasts(app)).await?;
    tokens(app, (user, session, role), refresh)
}

fn tokens(app: &App, who: (UserId, SessionId, Role), refresh: RefreshSecret) -> Outcome<Tokens> {
    let (now, lasts) = (OffsetDateTime::now_utc().unix_timestamp(), app.config.access_s);
    let access_token = app.keys.sign(who, now, lasts).map_err(|error| Problem::internal(&error))?;
    Ok(Tokens { access_token, token_type: "Bearer", expires_in: lasts, refresh_token: refresh.reveal() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_one_form_and_what_is_none_is_refused() {
        assert_eq!(email("  Ann@Example.COM ").unwrap(), "ann@example.com");
        for bad in
            ["ann", "@example.com", "ann@", "a b@example.com", "a@b@c", "a@b\0", &format!("{}@x", "a".repeat(255))]
        {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
