//! Axes: the range that a plot shows, and the round values at which it is marked. Pure.

/// A range of values along one side of a plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// Its least value.
    pub(super) from: f64,
    /// Its greatest value, above the least.
    pub(super) to: f64,
    /// The distance of its marks.
    pub(super) step: f64,
}

/// Distances of marks in seconds, up to a day.
const TIMES: [f64; 21] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
    7200.0, 14_400.0,
];

/// Marks that a time axis has room for.
const MOST_TIMES: f64 = 9.0;

impl Axis {
    /// Time from 0 to `end_s` seconds.
    pub(super) fn time(end_s: f64) -> Self {
        let to = if end_s.is_finite() { end_s.max(0.01) } else { 0.01 };
        let fits = TIMES.into_iter().find(|step| to / step <= MOST_TIMES);
        Self { from: 0.0, to, step: fits.unwrap_or_else(|| round_up(to / MOST_TIMES)) }
    }

    /// Scores from a round value below `lowest` to 100.
    pub(super) fn scores(lowest: f64) -> Self {
        let lowest = if lowest.is_finite() { lowest } else { 0.0 };
        let from = (((lowest - 1.0) / 5.0).floor() * 5.0).clamp(0.0, 95.0);
        let step = match 100.0 - from {
            range if range <= 5.0 => 1.0,
            range if range <= 10.0 => 2.0,
            range if range <= 30.0 => 5.0,
            range if range <= 60.0 => 10.0,
            _ => 20.0,
        };
        Self { from, to: 100.0, step }
    }

    /// Quantities from 0 to a round value that is not below `highest`.
    pub(super) fn quantities(highest: f64) -> Self {
        let highest = if highest.is_finite() { highest.max(1e-3) } else { 1e-3 };
        let step = round_up(highest / 4.0);
        Self { from: 0.0, to: (highest / step).ceil() * step, step }
    }

    /// How far along the axis `value` is, 0 to 1; what lies beyond an end is shown at that end.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The values that are marked: multiples of the step.
    pub(super) fn marks(self) -> impl Iterator<Item = f64> {
        let first = (self.from / self.step - 1e-9).ceil() as i64;
        let last = (self.to / self.step + 1e-9).floor() as i64;
        (first..=last).map(move |place| place as f64 * self.step)
    }
}

/// The least of 1, 2, 5, 10, 20, ... that is not below `value`.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|&round| round >= value).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_marked_as_a_clock_would() {
        assert_eq!(Axis::time(60.0).marks().collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(Axis::time(7200.0).marks().count(), 9);
        assert_eq!(Axis::time(10.0).step, 2.0);
    }

    #[test]
    fn scores_are_shown_from_below_the_lowest_one() {
        let range = |lowest| (Axis::scores(lowest).from, Axis::scores(lowest).step);
        assert_eq!(
            [97.0, 93.0, 84.0, 50.0, 3.0].map(range),
            [(95.0, 1.0), (90.0, 2.0), (80.0, 5.0), (45.0, 10.0), (0.0, 20.0)]
        );
    }

    #[test]
    fn quantities_end_at_a_round_value() {
        let axis = Axis::quantities(2740.0);
        assert_eq!(axis.marks().collect::<Vec<_>>(), [0.0, 1000.0, 2000.0, 3000.0]);
        assert_eq!(axis.to, 3000.0);
    }

    proptest! {
        #[test]
        fn any_axis_has_a_few_marks_and_all_lie_on_it(value in prop_oneof![any::<f64>(), 0.0..1e5_f64]) {
            for axis in [Axis::time(value.min(1e9)), Axis::scores(value), Axis::quantities(value.min(1e18))] {
                let marks: Vec<f64> = axis.marks().take(100).collect();
                prop_assert!((2..=12).contains(&marks.len()), "{axis:?}: {marks:?}");
                prop_assert!(marks.iter().all(|&mark| mark >= axis.from - 1e-6 && mark <= axis.to * 1.000_001), "{axis:?}");
                prop_assert!((0.0..=1.0).contains(&axis.share(value)));
            }
        }
    }
}
