//! Turns at the cores of this machine. A run of a fleet has many chunks under way, for others encode them; what those can't is done
//! here, by no more at a time than there are cores, whichever ladders it is of.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often whoever waits looks whether that is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Those of this process.
pub(super) static HERE: LazyLock<Turns> =
    LazyLock::new(|| Turns::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)));

/// So many turns at a time.
pub(super) struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// One of them, given back when this is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), given_back: Condvar::new() }
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; `None` once `stop` says that it is not wanted any more.
    pub(super) fn take(&self, stop: &AtomicBool) -> Option<Turn<'_>> {
        let mut free = self.free();
        while !stop.load(Ordering::Relaxed) {
            if let Some(left) = free.checked_sub(1) {
                *free = left;
                return Some(Turn(self));
            }
            free = self.given_back.wait_timeout(free, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn no_more_have_a_turn_at_a_time_than_there_are() {
        let (turns, stop) = (Turns::new(2), AtomicBool::new(false));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = turns.take(&stop);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    assert!(turn.is_some());
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
    }

    #[test]
    fn whoever_is_told_to_stop_waits_for_no_turn() {
        let turns = Turns::new(1);
        let stop = AtomicBool::new(false);
        let turn = turns.take(&stop);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take(&stop).is_none());
            stop.store(true, Ordering::Relaxed);
            assert!(waits.join().unwrap());
        });
        drop(turn);
    }
}
