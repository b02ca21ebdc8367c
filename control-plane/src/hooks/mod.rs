//! Webhooks: what happens is told to addresses that users choose (Standard Webhooks 1.0.0). `db/outbox.rs` writes what is to be told
//! in the transaction in which it happens; here it is sent, by whichever replica comes first, until it has arrived. `sign.rs` signs,
//! `policy.rs` says what follows from an answer, `deliver.rs` does it.

pub(crate) mod deliver;
pub mod policy;
pub mod sign;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that a webhook can hear of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEventKind)]
pub enum Kind {
    /// A ladder is there.
    #[serde(rename = "job.completed")]
    JobCompleted,
    /// A ladder can't be made.
    #[serde(rename = "job.failed")]
    JobFailed,
    /// A ladder was not wanted any longer.
    #[serde(rename = "job.cancelled")]
    JobCancelled,
    /// A source is whole, and a video.
    #[serde(rename = "video.ready")]
    VideoReady,
    /// A source is of no use.
    #[serde(rename = "video.failed")]
    VideoFailed,
    /// All jobs of a batch have ended.
    #[serde(rename = "batch.completed")]
    BatchCompleted,
}

impl Kind {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::JobCompleted => "job.completed",
            Self::JobFailed => "job.failed",
            Self::JobCancelled => "job.cancelled",
            Self::VideoReady => "video.ready",
            Self::VideoFailed => "video.failed",
            Self::BatchCompleted => "batch.completed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn a_kind_is_read_as_it_is_told() {
        use Kind::{BatchCompleted, JobCancelled, JobCompleted, JobFailed, VideoFailed, VideoReady};
        for kind in [JobCompleted, JobFailed, JobCancelled, VideoReady, VideoFailed, BatchCompleted] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
