//! How a ladder goes on, as its stitcher tells whoever watches: events, and of which attempt at it each is. A stitcher that was given
//! up and is there all the same may speak beside the one that has its place; the higher attempt counts.

use serde::{Deserialize, Serialize};

use crate::progress::ProgressEvent;

/// What a stitcher says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Which attempt at the job this is of, from 1.
    pub(super) attempt: u32,
    /// What has happened.
    pub(super) event: ProgressEvent,
}

/// What somebody hears who watches a job.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The highest attempt that was heard of.
    attempt: u32,
}

/// What is new to whoever watches.
#[derive(Debug, PartialEq)]
pub(super) struct News {
    /// Whether the work has begun anew since the event before this.
    pub(super) is_anew: bool,
    /// What has happened.
    pub(super) event: ProgressEvent,
}

impl Watch {
    /// What these words tell, if they are of the attempt that counts.
    pub(super) fn hear(&mut self, words: &[u8]) -> Option<News> {
        let Told { attempt, event } = match serde_json::from_slice(words) {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(%error, "progress is not understood");
                return None;
            }
        };
        if attempt < self.attempt {
            return None;
        }
        let before = std::mem::replace(&mut self.attempt, attempt);
        Some(News { is_anew: before > 0 && attempt > before, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_hears_the_attempt_that_counts_and_when_it_has_begun_anew() {
        let mut watch = Watch::default();
        let mut hear = |attempt, done| {
            let told = Told { attempt, event: ProgressEvent::Frames { done, total: 100 } };
            watch.hear(&serde_json::to_vec(&told).unwrap())
        };
        let news = |is_anew, done| Some(News { is_anew, event: ProgressEvent::Frames { done, total: 100 } });
        assert_eq!(hear(1, 50), news(false, 50));
        assert_eq!(hear(1, 60), news(false, 60));
        assert_eq!(hear(2, 1), news(true, 1));
        assert_eq!(hear(1, 70), None, "it is not told yet that it counts no longer");
        assert_eq!(hear(2, 2), news(false, 2));
        assert_eq!(watch.hear(b"{}"), None);
    }
}
