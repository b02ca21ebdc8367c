//! How long a source is waited for. No I/O.

use std::time::Duration;

/// Tries that may bring nothing, one after another.
const TRIES: i32 = 7;
/// What every source may take.
const USUAL: Duration = Duration::from_secs(600);
/// The slowest that a source may come on average, in bytes a second, besides what all may take.
const SLOWEST: u64 = 128 * 1024;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a source of so many bytes may take to be fetched, in all. One of unknown size is as large as what has come of it.
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
    fn a_larger_source_may_take_longer() {
        assert_eq!(allowed(0), USUAL);
        assert_eq!(allowed(10 << 30).as_secs(), 600 + 81_920);
        assert!(allowed(u64::MAX) > allowed(1 << 40));
    }
}
