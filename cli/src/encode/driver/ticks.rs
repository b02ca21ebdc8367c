//! Messages and the time between them: a tick comes when it is due, however much is said.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

/// Tells when something is due that is done again and again.
pub(super) struct Ticks {
    every: Duration,
    due: Instant,
    /// Whether the last that came was a tick.
    has_ticked: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came<T> {
    Message(T),
    Tick,
    /// Nobody is there who could say anything.
    End,
}

impl Ticks {
    pub(super) fn every(every: Duration) -> Self {
        Self { every, due: Instant::now() + every, has_ticked: false }
    }

    /// Waits for what comes first. A tick that is due goes before what was said meanwhile, but not twice: where a tick takes
    /// longer than until the next, messages still come through.
    pub(super) fn next<T>(&mut self, told: &Receiver<T>) -> Came<T> {
        let waited = match !self.has_ticked && Instant::now() >= self.due {
            true => Err(RecvTimeoutError::Timeout),
            false => told.recv_deadline(self.due),
        };
        self.has_ticked = matches!(waited, Err(RecvTimeoutError::Timeout));
        match waited {
            Ok(message) => Came::Message(message),
            Err(RecvTimeoutError::Disconnected) => Came::End,
            Err(RecvTimeoutError::Timeout) => {
                self.due = Instant::now() + self.every;
                Came::Tick
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn a_tick_comes_in_time_where_there_is_always_something_said() {
        let (tell, told) = unbounded();
        let mut ticks = Ticks::every(Duration::from_millis(20));
        let (begun, mut heard) = (Instant::now(), 0);
        for _ in 0..3 {
            while {
                tell.send(()).unwrap();
                ticks.next(&told) == Came::Message(())
            } {
                assert!(begun.elapsed() < Duration::from_secs(30), "no tick comes");
                heard += 1;
            }
        }
        assert!(heard > 3 && begun.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn what_is_said_comes_through_where_every_tick_is_late() {
        let (tell, told) = unbounded();
        (0..3).for_each(|number| tell.send(number).unwrap());
        let mut ticks = Ticks::every(Duration::ZERO);
        let came: Vec<_> = (0..6).map(|_| ticks.next(&told)).collect();
        use Came::{Message, Tick};
        assert_eq!(came, [Tick, Message(0), Tick, Message(1), Tick, Message(2)]);
    }

    #[test]
    fn silence_and_the_end_are_told_apart() {
        let (tell, told) = unbounded::<()>();
        let mut ticks = Ticks::every(Duration::from_millis(1));
        assert_eq!(ticks.next(&told), Came::Tick);
        drop(tell);
        let mut ticks = Ticks::every(Duration::from_secs(60));
        assert_eq!(ticks.next(&told), Came::End);
    }
}
