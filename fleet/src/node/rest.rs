//! How long a node takes no task after it was unable to do one: longer each time, until it has done one. Pure; the clock is a
//! parameter.

use std::time::Duration;

use tokio::time::Instant;

/// The first rest.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// The rests of a node.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
    /// How many there were since it did a task.
    count: u32,
}

impl Rest {
    /// When it has rested, if it rests.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It was unable to do a task. How long it rests from now on: one that rests already does not begin anew, for what it had in hand
    /// comes to nothing by the same fault.
    pub(super) fn begin(&mut self, now: Instant) -> Duration {
        let until = self.until.unwrap_or_else(|| {
            let rest = FIRST.saturating_mul(1 << self.count.min(10)).min(LONGEST);
            self.count += 1;
            now + rest
        });
        self.until = Some(until);
        until.saturating_duration_since(now)
    }

    /// It has rested.
    pub(super) fn end(&mut self) {
        self.until = None;
    }

    /// It has done a task: the next rest is a short one.
    pub(super) fn is_well(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_get_longer_up_to_a_minute_and_short_again_once_a_task_is_done() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        let mut next = || {
            let long = rest.begin(now);
            assert_eq!(rest.begin(now), long, "all that comes to nothing at once is one rest");
            rest.end();
            long.as_secs()
        };
        let rests: Vec<u64> = (0..8).map(|_| next()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        rest.is_well();
        assert_eq!(rest.begin(now), FIRST);
    }
}
