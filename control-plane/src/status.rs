//! How the control plane and what it needs are.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// It answers.
    Ok,
    /// It does not.
    Away,
}

/// What the API needs, and how it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub(crate) struct Components {
    /// Users, videos and jobs. Without it nothing is answered.
    pub(crate) database: Health,
    /// The bytes of sources and ladders.
    pub(crate) store: Health,
    /// Who makes ladders. While it is away jobs are accepted, and wait.
    pub(crate) fleet: Health,
}

/// How the whole is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `away` where one of its components is.
    pub(crate) status: Health,
    /// Of this build.
    pub(crate) version: &'static str,
    pub(crate) components: Components,
}

/// What was found out last, and when. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastStatus(pub(crate) Arc<Mutex<Option<(Instant, Status)>>>);
