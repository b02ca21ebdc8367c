//! The clock of transport streams (ISO/IEC 13818-1, 2.4.2.2): 90 kHz, of whose count 33 bits are written. Pure.

/// Ticks a second.
pub(super) const RATE: i64 = 90_000;
/// Times are written modulo this: they start over after 26.5 hours.
const WRAP: i64 = 1 << 33;
/// The streams start at ten seconds, or at a multiple of that: priming and what has to arrive before it is due are not to have
/// times below 0.
const START: i64 = 10 * RATE;

/// From media times of a track to ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// Units a second of the track.
    pub(super) timescale: u32,
    /// Where time 0 of the output is, in ticks.
    pub(super) start: i64,
}

impl Clock {
    /// The tick nearest to `time`. Each is found by itself, so that no error adds up; not yet modulo 2^33.
    pub(super) fn ticks(self, time: i64) -> i64 {
        self.start + ticks(time, self.timescale)
    }
}

/// The number of ticks that is nearest to `time` at `timescale` units a second.
pub(super) fn ticks(time: i64, timescale: u32) -> i64 {
    let scale = i128::from(timescale.max(1));
    let twice = i128::from(time) * i128::from(2 * RATE) + scale;
    // Within 63 bits for a hundred thousand years of media.
    i64::try_from(twice.div_euclid(2 * scale)).unwrap_or(i64::MAX / 4)
}

/// Where time 0 of the output is, so that what comes `before` it, in ticks, has no times below 0.
pub(super) fn start(before: i64) -> i64 {
    (before.max(1) + START - 1) / START * START
}

/// A time as it is written.
pub(super) fn wrapped(ticks: i64) -> u64 {
    ticks.rem_euclid(WRAP).unsigned_abs()
}

/// The time from one to another, both as they are written: at most half of the clock's range either way.
pub(super) fn between(from: u64, to: u64) -> i64 {
    let forward = (to.cast_signed() - from.cast_signed()).rem_euclid(WRAP);
    if forward < WRAP / 2 { forward } else { forward - WRAP }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_one_by_one_and_to_the_nearest() {
        let clock = Clock { timescale: 44_100, start: 0 };
        let frames: Vec<i64> = (0..4).map(|n| clock.ticks(n * 1024)).collect();
        // 2089.8 ticks each.
        assert_eq!(frames, [0, 2090, 4180, 6269]);
        assert_eq!(clock.ticks(-1024), -2090);
        assert_eq!(clock.ticks(44_100 * 100_000), 90_000 * 100_000);
    }

    #[test]
    fn the_count_starts_over_after_33_bits() {
        let clock = Clock { timescale: 24, start: 900_000 };
        let day = clock.ticks(24 * 3600 * 27);
        assert!(day > WRAP);
        assert_eq!(wrapped(day), (day - WRAP).unsigned_abs());
        assert_eq!(between(wrapped(WRAP - 10), wrapped(WRAP + 20)), 30);
        assert_eq!(between(wrapped(WRAP + 20), wrapped(WRAP - 10)), -30);
    }

    #[test]
    fn what_comes_before_the_start_fits() {
        assert_eq!(start(0), 900_000);
        assert_eq!(start(900_000), 900_000);
        assert_eq!(start(900_001), 1_800_000);
    }
}
