//! Who and what there is, by number: newtypes, so that a video is never taken for a job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one, greater than those before (RFC 9562, 5.7).
            #[allow(clippy::new_without_default)] // no two are the same
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids!(
    /// Somebody.
    UserId,
    /// Somebody's signing in on one device.
    SessionId,
    /// A key that a program shows.
    ApiKeyId,
    /// A source.
    VideoId,
    /// A source on its way to a ladder.
    JobId,
    /// Many of them.
    BatchId,
    /// An address that hears of what happens.
    WebhookId,
    /// Something that has happened, as webhooks are told it.
    EventId,
    /// That on its way to a webhook.
    DeliveryId,
);

impl UserId {
    /// What the fleet calls them: the bits that are by chance; 0 is those who say nothing.
    pub(crate) fn number(self) -> u64 {
        (self.0.as_u128() as u64).max(1)
    }
}
