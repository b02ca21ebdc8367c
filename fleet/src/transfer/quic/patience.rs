//! How long to wait before the same is tried again, and when to give up. Pure; the clock is a parameter.

use std::time::{Duration, Instant};

use crate::transfer::Error;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often the same block may arrive damaged: that is no accident of the network, whose packets are authenticated.
const DAMAGED: u32 = 3;

/// Tries so far without any progress.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    since: Instant,
    blocks: u64,
    failures: u32,
    damaged: u32,
}

impl Patience {
    /// Gives up once nothing has moved for `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now, blocks: 0, failures: 0, damaged: 0 }
    }

    /// How long to wait after a failure with so many blocks there, or the error to give up with. `jitter` between 0
    /// and 1 keeps peers from coming back all at once.
    pub(super) fn after(&mut self, error: Error, blocks: u64, now: Instant, jitter: f32) -> Result<Duration, Error> {
        if !error.is_retryable() {
            return Err(error);
        }
        if blocks > self.blocks {
            *self = Self { blocks, ..Self::new(self.limit, now) };
        }
        self.damaged += u32::from(matches!(error, Error::Damaged(_) | Error::NotWhole));
        let after = now.saturating_duration_since(self.since);
        if self.damaged >= DAMAGED {
            return Err(error);
        }
        if after >= self.limit {
            return Err(Error::GaveUp { after, cause: Box::new(error) });
        }
        let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        Ok(longest.mul_f32(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::Lost("gone".to_owned())
    }

    #[test]
    fn waits_get_longer_up_to_five_seconds_and_short_again_with_progress() {
        let now = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60), now);
        let waits: Vec<u128> = (0..8).map(|_| patience.after(lost(), 0, now, 1.0).unwrap().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(patience.after(lost(), 1, now, 1.0).unwrap().as_millis(), 100);
        assert_eq!(patience.after(lost(), 1, now, 0.0).unwrap().as_millis(), 100);
    }

    #[test]
    fn it_ends_when_nothing_has_moved_for_long_enough() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(Duration::from_secs(60), start);
        patience.after(lost(), 0, at(59), 0.5).unwrap();
        patience.after(lost(), 3, at(61), 0.5).unwrap();
        patience.after(lost(), 3, at(120), 0.5).unwrap();
        assert!(matches!(patience.after(lost(), 3, at(121), 0.5), Err(Error::GaveUp { .. })));
    }

    #[test]
    fn what_no_patience_helps_ends_at_once_and_damage_at_the_third_time() {
        let now = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60), now);
        let forbidden = Error::Forbidden("no".to_owned());
        assert!(matches!(patience.after(forbidden, 0, now, 0.5), Err(Error::Forbidden(_))));
        patience.after(Error::Damaged(7), 7, now, 0.5).unwrap();
        patience.after(Error::Damaged(7), 7, now, 0.5).unwrap();
        assert!(matches!(patience.after(Error::Damaged(7), 7, now, 0.5), Err(Error::Damaged(7))));
    }
}
