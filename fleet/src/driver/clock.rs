//! The driver's time, which stands still while nobody can be heard of: the bus is away, or the driver itself stood still.

use std::time::Duration;

use tokio::time::Instant;
use vtp_engine::coordinator::Now;

/// For how long at most time goes on from one turn of the driver to the next. It takes one every second, so if there was none for
/// longer it stood still: it was stopped, or waited for its ledger.
pub(super) const STILL: Duration = Duration::from_secs(3);

/// A clock that can be stopped.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// How long it stood still.
    stood: Duration,
    since: Option<Instant>,
    /// When the driver took its last turn.
    turned: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        let start = Instant::now();
        Self { start, stood: Duration::ZERO, since: None, turned: start }
    }
}

impl Clock {
    pub(super) fn now(&self) -> Now {
        let at = self.since.unwrap_or_else(Instant::now);
        Now(at.saturating_duration_since(self.start).saturating_sub(self.stood))
    }

    /// The driver takes a turn.
    pub(super) fn turn(&mut self) {
        let before = std::mem::replace(&mut self.turned, Instant::now());
        if self.since.is_none() {
            self.stood += self.turned.saturating_duration_since(before).saturating_sub(STILL);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn go_on(&mut self) {
        if let Some(since) = self.since.take() {
            self.stood += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_for_three_seconds_at_most_where_the_driver_takes_no_turn() {
        let mut clock = Clock::default();
        let mut after = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            clock.turn();
            clock.now().0.as_secs()
        };
        assert_eq!([after(1).await, after(3).await, after(60).await, after(1).await], [1, 4, 7, 8]);
        clock.stop();
        let mut after = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            clock.turn();
        };
        after(60).await;
        clock.go_on();
        assert_eq!(clock.now().0.as_secs(), 8, "it stood already");
    }
}
