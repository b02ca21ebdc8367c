//! Piecewise cubic interpolation that overshoots nowhere (PCHIP: F. N. Fritsch, J. Butland, SIAM J. Sci. Stat. Comput.
//! 5, 1984; ends as in C. Moler, Numerical Computing with MATLAB, 3.6). Pure.

/// A smooth curve through points. Between two of them it stays between their heights.
#[derive(Debug)]
pub(crate) struct Curve {
    points: Vec<(f64, f64)>,
    /// The slope at each point.
    slopes: Vec<f64>,
}

impl Curve {
    /// The curve through at least two `points`, whose first members rise.
    pub(crate) fn through(points: Vec<(f64, f64)>) -> Self {
        debug_assert!(points.len() >= 2 && points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let widths: Vec<f64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let secants: Vec<f64> =
            points.windows(2).zip(&widths).map(|(pair, width)| (pair[1].1 - pair[0].1) / width).collect();
        let slopes = slopes(&widths, &secants);
        Self { points, slopes }
    }

    /// The first and the last place that it is known of.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.points[0].0, self.points[self.points.len() - 1].0)
    }

    /// The area below it between two places in its range.
    pub(crate) fn area(&self, from: f64, to: f64) -> f64 {
        self.points.windows(2).zip(self.slopes.windows(2)).map(|(ends, slopes)| piece(ends, slopes, from, to)).sum()
    }
}

fn slopes(widths: &[f64], secants: &[f64]) -> Vec<f64> {
    if let [only] = secants {
        return vec![*only; 2];
    }
    let last = secants.len() - 1;
    let inner = widths.windows(2).zip(secants.windows(2)).map(|(widths, secants)| inner(widths, secants));
    std::iter::once(end(widths[0], widths[1], secants[0], secants[1]))
        .chain(inner)
        .chain([end(widths[last], widths[last - 1], secants[last], secants[last - 1])])
        .collect()
}

/// Between two pieces: the weighted harmonic mean of their secants; level at a peak or a trough.
fn inner(widths: &[f64], secants: &[f64]) -> f64 {
    if secants[0] * secants[1] <= 0.0 {
        return 0.0;
    }
    let (before, after) = (widths[0] + 2.0 * widths[1], 2.0 * widths[0] + widths[1]);
    (before + after) / (before / secants[0] + after / secants[1])
}

/// At an end: that of the parabola through three points, as far as the shape allows. `near` is the piece at the end.
fn end(near: f64, far: f64, secant: f64, farther: f64) -> f64 {
    let slope = ((2.0 * near + far) * secant - near * farther) / (near + far);
    if slope * secant <= 0.0 {
        0.0
    } else if secant * farther <= 0.0 && slope.abs() > 3.0 * secant.abs() {
        3.0 * secant
    } else {
        slope
    }
}

/// The area below one piece, as far as it lies between `from` and `to`.
fn piece(ends: &[(f64, f64)], slopes: &[f64], from: f64, to: f64) -> f64 {
    let ((left, low), (right, high)) = (ends[0], ends[1]);
    let width = right - left;
    // The integral of the cubic Hermite polynomial from its left end to the share `t` of its width.
    let up_to = |t: f64| {
        let (t2, t3, t4) = (t.powi(2), t.powi(3), t.powi(4));
        let heights = low * (t4 / 2.0 - t3 + t) + high * (t3 - t4 / 2.0);
        let bends = slopes[0] * (t4 / 4.0 - t3 * 2.0 / 3.0 + t2 / 2.0) + slopes[1] * (t4 / 4.0 - t3 / 3.0);
        width * (heights + width * bends)
    };
    let share = |place: f64| ((place - left) / width).clamp(0.0, 1.0);
    up_to(share(to)) - up_to(share(from))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * a.abs().max(1.0)
    }

    #[test]
    fn a_line_stays_a_line() {
        for count in 2..6 {
            let curve = Curve::through((0..count).map(|x| (f64::from(x * x), f64::from(3 * x * x + 1))).collect());
            assert!(near(curve.area(0.25, 0.75), 0.5 * 2.5), "{curve:?}");
        }
    }

    #[test]
    fn a_peak_is_level() {
        let curve = Curve::through(vec![(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]);
        assert_eq!(curve.slopes, [2.0, 0.0, -2.0]);
        // Both pieces are parabolas: 2x - x^2, whose integral from 0 to 1 is 2/3, and its mirror image.
        assert!(near(curve.area(0.0, 1.0), 2.0 / 3.0) && near(curve.area(0.0, 2.0), 4.0 / 3.0));
    }

    fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
        proptest::collection::vec((0.01..10.0_f64, -5.0..5.0_f64), 2..9).prop_map(|steps| {
            let mut at = 0.0;
            let place = |(width, height): (f64, f64)| {
                at += width;
                (at, height)
            };
            steps.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn areas_add_up(points in points(), share in 0.0..1.0_f64) {
            let curve = Curve::through(points);
            let (from, to) = curve.range();
            let middle = from + share * (to - from);
            prop_assert!((curve.area(from, middle) + curve.area(middle, to) - curve.area(from, to)).abs() < 1e-6);
        }

        #[test]
        fn between_two_points_the_curve_stays_between_their_heights(points in points(), share in 0.0..1.0_f64, at in 0..8_usize) {
            let curve = Curve::through(points.clone());
            let pair = &points[at % (points.len() - 1)..][..2];
            let width = pair[1].0 - pair[0].0;
            let (from, to) = (pair[0].0 + share * 0.99 * width, pair[0].0 + (share * 0.99 + 0.01) * width);
            let height = curve.area(from, to) / (to - from);
            let (low, high) = (pair[0].1.min(pair[1].1), pair[0].1.max(pair[1].1));
            prop_assert!(low - 1e-6 <= height && height <= high + 1e-6, "{low} {height} {high}");
        }
    }
}
