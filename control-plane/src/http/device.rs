//! What somebody signs in from, as its owner knows it again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::app::App;
use crate::ids::UserId;
use crate::limits::address;
use crate::problem::Problem;

/// Letters of a program's name that are kept.
const LONGEST: usize = 300;

/// What a request comes from.
pub(crate) struct Device {
    /// What the program calls itself.
    pub(crate) info: Value,
    pub(crate) address: IpAddr,
    visit: Option<Arc<Visit>>,
}

impl Device {
    /// Notes who it is that signs in from it.
    pub(crate) fn set_user(&self, user: UserId) {
        if let Some(visit) = &self.visit {
            visit.set_user(user);
        }
    }
}

impl FromRequestParts<App> for Device {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Err(Problem::internal(&"it is not known where a request comes from"));
        };
        let agent = parts.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        let info = json!({ "user_agent": agent.map(|it| it.chars().take(LONGEST).collect::<String>()) });
        let visit = parts.extensions.get::<Arc<Visit>>().map(Arc::clone);
        Ok(Self { info, visit, address: address::client(peer.ip(), &parts.headers, &app.config.trusted_proxies) })
    }
}
