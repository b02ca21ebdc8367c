//! Whoever makes a request, as handlers get it: somebody who [`Reads`], [`Writes`] or [`Listens`], or a [`Person`]. There is nobody
//! besides, so no handler forgets what a key may be used for. Handlers of anything that belongs to somebody hand the caller's
//! [`UserId`] to the database, whose functions ask for it: what is not the caller's is not there.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret::{ApiSecret, SecretHash};
use super::shown;
use crate::app::App;
use crate::db::{api_keys, sessions};
use crate::http::visit::Visit;
use crate::ids::{SessionId, UserId};
use crate::problem::{Kind, Outcome, Problem};

/// What somebody is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// Has videos of their own.
    User,
    /// May see and change everything.
    Admin,
    /// A part of the product.
    Transcoder,
}

/// What a key may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Looking.
    Read,
    /// Uploading, encoding, deleting. It doesn't include looking.
    Write,
}

impl Scope {
    /// As it stands in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How somebody has shown who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
enum By {
    Session(SessionId),
    Key { scopes: Vec<String>, hash: SecretHash },
}

/// Whoever makes a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    user: UserId,
    role: Role,
    by: By,
}

impl Caller {
    /// Who it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// In which role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether their session, or their key, is still good.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn is_good(&self, app: &App) -> sqlx::Result<bool> {
        match &self.by {
            By::Session(session) => Ok(sessions::role_of(&app.db, self.user, *session).await?.is_some()),
            By::Key { hash, .. } => Ok(api_keys::find(&app.db, hash).await?.is_some()),
        }
    }

    fn may(&self, scope: Scope) -> Outcome<()> {
        match &self.by {
            By::Key { scopes, .. } if !scopes.iter().any(|it| it == scope.name()) => {
                Err(Problem::new(Kind::Forbidden, format!("this key has no scope {:?}", scope.name())))
            }
            By::Key { .. } | By::Session(_) => Ok(()),
        }
    }

    /// Whoever makes a request, whatever they may do.
    ///
    /// # Errors
    /// They are nobody that is known, or come too often; the database is away.
    pub(crate) async fn of_request(parts: &Parts, app: &App) -> Outcome<Self> {
        Self::of(shown::by_request(&parts.headers)?, parts, app).await
    }

    /// Whoever shows this with a request.
    async fn of(secret: &str, parts: &Parts, app: &App) -> Outcome<Self> {
        let caller = Self::shown(secret, app).await?;
        if let Some(visit) = parts.extensions.get::<Arc<Visit>>() {
            visit.set_user(caller.user);
        }
        app.limits.admit(&parts.extensions, caller.user, caller.role).await?;
        Ok(caller)
    }

    async fn shown(secret: &str, app: &App) -> Outcome<Self> {
        let refused = |why| Problem::new(Kind::Unauthenticated, why);
        if let Some(key) = ApiSecret::shown(secret) {
            let hash = key.hash();
            let found = api_keys::find(&app.db, &hash).await?;
            let (user, role, scopes) = found.ok_or_else(|| refused("there is no such API key, or it was revoked"))?;
            return Ok(Self { user, role, by: By::Key { scopes, hash } });
        }
        let claims = app.keys.read(secret).ok_or_else(|| refused("the access token is not valid, or has run out"))?;
        // The session counts, not what the token says of the role: it may be another by now.
        let role = sessions::role_of(&app.db, claims.sub, claims.sid).await?;
        let role = role.ok_or_else(|| refused("the session has ended; sign in again"))?;
        Ok(Self { user: claims.sub, role, by: By::Session(claims.sid) })
    }
}

/// Somebody who is signed in, and no program with a key: that may not do what only people may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Person {
    /// Who it is.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let Caller { user, by, .. } = Caller::of_request(parts, app).await?;
        match by {
            By::Session(session) => Ok(Self { user, session }),
            By::Key { .. } => {
                Err(Problem::new(Kind::Forbidden, "this needs somebody who is signed in, and no API key"))
            }
        }
    }
}

/// Somebody who may look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reads(pub Caller);

/// Somebody who may look, and listens: they may say who they are in the words by which a page asks for a WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listens(pub Caller);

/// Somebody who may change things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Writes(pub Caller);

impl FromRequestParts<App> for Reads {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let caller = Caller::of_request(parts, app).await?;
        caller.may(Scope::Read).map(|()| Self(caller))
    }
}

impl FromRequestParts<App> for Listens {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let caller = Caller::of(shown::by_listener(&parts.headers)?, parts, app).await?;
        caller.may(Scope::Read).map(|()| Self(caller))
    }
}

impl FromRequestParts<App> for Writes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let caller = Caller::of_request(parts, app).await?;
        caller.may(Scope::Write).map(|()| Self(caller))
    }
}
