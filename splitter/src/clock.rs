//! The one clock on which the streams of a source are held against each other, and which times can be meant. Pure.

use vtp_engine::units::TimeBase;

/// A second, in microseconds.
pub(crate) const SECOND_US: u32 = 1_000_000;

/// No source lasts longer than this, in microseconds, or begins as much later than 0: 285 years.
const LATEST_US: u64 = 1 << 53;

/// A time in ticks of `base` that can be meant; damage makes others, which count as not told.
pub(crate) fn believable(base: TimeBase, time: Option<i64>) -> Option<i64> {
    let is_sum_of_two_safe = |ticks: &i64| ticks.unsigned_abs() < 1 << 61;
    time.filter(is_sum_of_two_safe)
        .filter(|&ticks| base.rescale(ticks, TimeBase::MICROSECONDS).unsigned_abs() <= LATEST_US)
}
