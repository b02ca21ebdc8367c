//! Limits around requests: those of an address before anything else is done, those of a user once it is known who it is (by
//! [`Caller`](crate::auth::Caller)), and what is left told with the answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest;

use super::headers::{self, Told};
use super::rules::Policy;
use super::scope::Scope;
use super::{Limits, Taken, address, gcra};
use crate::app::App;
use crate::auth::Role;
use crate::ids::UserId;
use crate::problem::{Outcome, Problem};

/// A hash of what somebody shows, by which it is known again.
pub(super) type Shown = [u8; 32];

/// What goes with a request: the limits that it is under, and what is found of them.
struct Slip {
    scope: Scope,
    shown: Option<Shown>,
    told: Mutex<Vec<Told>>,
    /// Its user's limits were taken of, and had something left; however often it is asked who it is, it is one request.
    is_admitted: AtomicBool,
}

impl Slip {
    /// Notes what was taken.
    ///
    /// # Errors
    /// There was nothing to take.
    fn note(&self, Taken { told, is_allowed }: Taken) -> Outcome<()> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        if is_allowed {
            return Ok(());
        }
        let (name, quota, wait) = (told.policy.name(), told.quota, gcra::seconds(told.left.next));
        let detail = format!(
            "the limit {name:?} is {} at once and {} a minute; wait {wait} s",
            quota.burst(),
            quota.per_minute()
        );
        Err(Problem::too_many(detail, wait))
    }
}

/// Outside of all else that answers: tells what is left.
pub(crate) async fn tell(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if !app.limits.are_on() {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let scope = Scope::of(request.method(), route);
    let is_public = scope.is_public;
    let (shown, is_admitted) = (shown(request.headers()), AtomicBool::new(false));
    let slip = Arc::new(Slip { scope, shown, told: Mutex::default(), is_admitted });
    request.extensions_mut().insert(Arc::clone(&slip));
    let mut response = next.run(request).await;
    if !is_public || response.status() == StatusCode::TOO_MANY_REQUESTS {
        let told = slip.told.lock().unwrap_or_else(PoisonError::into_inner);
        headers::tell(&told, response.headers_mut());
    }
    response
}

/// Inside of what names problems: refuses what is too much for an address, and what is known to be too much for a user.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(slip) = request.extensions().get::<Arc<Slip>>().map(Arc::clone) else { return next.run(request).await };
    if !slip.scope.address.is_empty() {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Problem::internal(&"it is not known where a request comes from").into_response();
        };
        let client = address::client(peer.ip(), request.headers(), &app.config.trusted_proxies);
        if let Err(problem) = app.limits.let_in(&slip, &address::counted(client)).await {
            return problem.into_response();
        }
    }
    next.run(request).await
}

/// What a request shows of who it is from.
fn shown(headers: &HeaderMap) -> Option<Shown> {
    // A page that asks for a WebSocket says it there.
    let shown = headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::SEC_WEBSOCKET_PROTOCOL))?;
    digest::digest(&digest::SHA256, shown.as_bytes()).as_ref().try_into().ok()
}

impl Limits {
    /// Lets a request of this address in.
    async fn let_in(&self, slip: &Slip, address: &str) -> Outcome<()> {
        // What is known to be refused costs nothing of what else it would be counted for.
        for policy in &slip.scope.address {
            self.known(*policy, address).map_or(Ok(()), |taken| slip.note(taken))?;
        }
        if let Some((user, role)) = slip.shown.and_then(|shown| self.refused_lately(&shown)) {
            self.known_of(slip, user, role)?;
        }
        for policy in &slip.scope.address {
            self.take(*policy, address).await.map_or(Ok(()), |taken| slip.note(taken))?;
        }
        Ok(())
    }

    fn known_of(&self, slip: &Slip, user: UserId, role: Role) -> Outcome<()> {
        let name = user.to_string();
        slip.scope.of_user(role).into_iter().filter_map(|it| self.known(it, &name)).try_for_each(|it| slip.note(it))
    }

    /// Lets a request of this user go on, with what goes with it; once.
    ///
    /// # Errors
    /// It is too much for the user.
    pub(crate) async fn admit(&self, request: &Extensions, user: UserId, role: Role) -> Outcome<()> {
        let Some(slip) = request.get::<Arc<Slip>>() else { return Ok(()) };
        if slip.is_admitted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let admitted = async {
            self.known_of(slip, user, role)?;
            let (name, policies): (String, Vec<Policy>) = (user.to_string(), slip.scope.of_user(role));
            for policy in policies {
                self.take(policy, &name).await.map_or(Ok(()), |taken| slip.note(taken))?;
            }
            Ok(())
        };
        let admitted = admitted.await;
        slip.is_admitted.store(admitted.is_ok(), Ordering::Relaxed);
        if let (Err(_), Some(shown)) = (&admitted, slip.shown) {
            self.refused(shown, user, role);
        }
        admitted
    }
}
