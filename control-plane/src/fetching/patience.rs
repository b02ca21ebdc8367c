//! How long a source is waited for. No I/O.

use std::time::{Duration, Instant};

/// Tries that may bring nothing, one after another.
const TRIES: i32 = 7;
/// What every source may take.
const USUAL: Duration = Duration::from_secs(600);
/// The slowest that a source may come on average, in bytes a second, besides what all may take.
const SLOWEST: u64 = 128 * 1024;
/// How long it is watched how much comes, again and again.
const WATCHED: Duration = Duration::from_secs(60);
/// The slowest that a source may come meanwhile, in bytes a second: a place that it takes is not another's.
const SLOWEST_NOW: u64 = 32 * 1024;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// How much has come since it is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    since: Instant,
    came: u64,
}

impl Watch {
    /// It is watched from now on.
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, came: 0 }
    }

    /// Whether it comes too slowly now that so many bytes more have come.
    pub(super) fn is_too_slow(&mut self, now: Instant, came: u64) -> bool {
        self.came += came;
        let watched = now.saturating_duration_since(self.since);
        if watched < WATCHED {
            return false;
        }
        let is_too_slow = self.came < SLOWEST_NOW.saturating_mul(watched.as_secs());
        *self = Self::begin(now);
        is_too_slow
    }
}

/// How long a source may have taken of which so many bytes have come, in all.
pub(super) fn allowed(bytes: u64) -> Duration {
    USUAL + Duration::from_secs(bytes / SLOWEST)
}

/// How long to wait after so many tries that have brought nothing, before the next; `None` if there is to be none. A server that
/// wants us to wait for longer gets what it wants.
pub(super) fn pause(failures: i32, wanted: Option<Duration>) -> Option<Duration> {
    let exponent = u32::try_from(failures.max(1) - 1).ok().filter(|_| failures < TRIES)?;
    let usual = Duration::from_secs(4_u64.saturating_pow(exponent));
    Some(usual.max(wanted.unwrap_or_default()).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_tried_again_after_ever_longer_pauses_for_some_twenty_minutes_and_then_no_more() {
        let pauses: Vec<u64> = (1..TRIES).map(|it| pause(it, None).unwrap().as_secs()).collect();
        assert_eq!(pauses, [1, 4, 16, 64, 256, 1024]);
        assert_eq!((pause(TRIES, None), pause(i32::MAX, None)), (None, None));
        assert_eq!(pause(1, Some(Duration::from_secs(30))), Some(Duration::from_secs(30)));
        assert_eq!(pause(5, Some(Duration::from_secs(30))), Some(Duration::from_secs(256)));
        assert_eq!(pause(1, Some(Duration::MAX)), Some(LONGEST));
    }

    #[test]
    fn a_source_that_comes_a_little_at_a_time_is_too_slow_after_a_minute_and_one_that_hesitates_is_not() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut watch = Watch::begin(begin);
        assert!(!watch.is_too_slow(at(29), 1) && !watch.is_too_slow(at(58), 1) && watch.is_too_slow(at(87), 1));
        let mut watch = Watch::begin(begin);
        assert!(!watch.is_too_slow(at(50), 1) && !watch.is_too_slow(at(61), 2 << 20));
        assert!(!watch.is_too_slow(at(120), 1) && watch.is_too_slow(at(122), 1), "what came before counts no longer");
    }

    #[test]
    fn a_larger_source_may_take_longer() {
        assert_eq!(allowed(0), USUAL);
        assert_eq!(allowed(10 << 30).as_secs(), 600 + 81_920);
        assert!(allowed(u64::MAX) > allowed(1 << 40));
    }
}
