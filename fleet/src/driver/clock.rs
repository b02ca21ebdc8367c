//! The driver's time, which stands still while nobody can be heard of.

use std::time::Duration;

use tokio::time::Instant;
use vtp_engine::coordinator::Now;

/// A clock that can be stopped.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// How long it stood still.
    stood: Duration,
    since: Option<Instant>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), stood: Duration::ZERO, since: None }
    }
}

impl Clock {
    pub(super) fn now(&self) -> Now {
        let at = self.since.unwrap_or_else(Instant::now);
        Now(at.saturating_duration_since(self.start).saturating_sub(self.stood))
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
