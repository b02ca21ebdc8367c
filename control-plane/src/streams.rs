//! Streams of events that are open here: each user may have so many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::UserId;
use crate::metrics::STREAMS;
use crate::problem::{Outcome, Problem};

/// How many streams each user has open here. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<UserId, u32>>>);

/// A stream that is open, as it is counted.
pub(crate) struct Open {
    streams: Streams,
    user: UserId,
}

impl Streams {
    fn locked(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, of so many at most.
    pub(crate) fn open(&self, user: UserId, most: u32) -> Outcome<Open> {
        let mut open = self.locked();
        let count = open.entry(user).or_default();
        if *count >= most {
            let detail =
                format!("{most} streams are open; end one of them, or listen to all jobs in one: GET /v1/events");
            return Err(Problem::too_many(detail, 10));
        }
        *count += 1;
        metrics::gauge!(STREAMS).increment(1);
        Ok(Open { streams: self.clone(), user })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.locked();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
        metrics::gauge!(STREAMS).decrement(1);
    }
}
