//! Bjøntegaard's delta rate: by how much one encoder needs more bits than another for the same quality, on average over
//! the qualities that both were tried at (G. Bjøntegaard, VCEG-M33, 2001). The logarithm of the rate is interpolated
//! over the quality piecewise (VCEG-AE07; ITU-T HSTP-VID-WPOM), not by one cubic through all points. Pure.

use crate::pchip::Curve;

/// One way of encoding: what it takes and how good it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Bits, bytes or bits a second; the same unit in all points.
    pub(crate) rate: f64,
    /// A score that rises with the quality, such as PSNR in dB or VMAF.
    pub(crate) quality: f64,
}

/// Why no delta rate can be told.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("fewer than two points make no curve")]
    TooFew,
    #[error("a rate of {0} is none")]
    Rate(f64),
    #[error("a quality of {0} is none")]
    Quality(f64),
    #[error("two points have the same quality of {0}")]
    Same(f64),
    #[error("the two curves have no quality in common")]
    Apart,
}

/// The share by which `test` needs more than `anchor`: 0.05 is 5 % more, -0.05 is 5 % less.
pub(crate) fn delta_rate(anchor: &[Point], test: &[Point]) -> Result<f64, Error> {
    let (anchor, test) = (curve(anchor)?, curve(test)?);
    let (ours, theirs) = (test.range(), anchor.range());
    let (least, most) = (ours.0.max(theirs.0), ours.1.min(theirs.1));
    if least >= most {
        return Err(Error::Apart);
    }
    let difference = test.area(least, most) - anchor.area(least, most);
    Ok((difference / (most - least)).exp_m1())
}

/// The logarithm of the rate over the quality.
fn curve(points: &[Point]) -> Result<Curve, Error> {
    if let Some(bad) = points.iter().find(|point| !(point.rate.is_finite() && point.rate > 0.0)) {
        return Err(Error::Rate(bad.rate));
    }
    if let Some(bad) = points.iter().find(|point| !point.quality.is_finite()) {
        return Err(Error::Quality(bad.quality));
    }
    let mut points: Vec<(f64, f64)> = points.iter().map(|point| (point.quality, point.rate.ln())).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(same) = points.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::Same(same[0].0));
    }
    if points.len() < 2 { Err(Error::TooFew) } else { Ok(Curve::through(points)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        values.iter().map(|&(rate, quality)| Point { rate, quality }).collect()
    }

    /// The example of the Python package `bjontegaard` (x265 with two presets): kilobits a second and dB.
    const ANCHOR: [(f64, f64); 4] = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)];
    const TEST: [(f64, f64); 4] = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)];

    /// Another pair, which programs of VCEG-M33 are often shown with.
    const FIRST: [(f64, f64); 4] = [(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)];
    const SECOND: [(f64, f64); 4] = [(893.34, 40.39), (407.80, 37.21), (204.93, 34.17), (112.75, 31.24)];

    #[test]
    fn known_examples_come_out_as_another_program_has_them() {
        // By version 1.3.0 of that package, method `pchip`, in percent.
        let known = [(ANCHOR, TEST, -4.417485350589045), (FIRST, SECOND, 31.379878202397627)];
        for (anchor, test, expected) in known {
            let delta = delta_rate(&points(&anchor), &points(&test)).unwrap();
            assert!((delta * 100.0 - expected).abs() < 1e-9, "{delta}");
        }
    }

    #[test]
    fn curves_that_cannot_be_compared_are_refused_with_the_reason() {
        let line = points(&[(100.0, 30.0), (200.0, 33.0)]);
        let above = points(&[(100.0, 33.0), (200.0, 36.0)]);
        assert_eq!(delta_rate(&line, &above), Err(Error::Apart));
        assert_eq!(delta_rate(&line, &line[..1]), Err(Error::TooFew));
        assert_eq!(delta_rate(&line, &points(&[(0.0, 30.0), (200.0, 33.0)])), Err(Error::Rate(0.0)));
        assert_eq!(delta_rate(&line, &points(&[(100.0, 30.0), (200.0, 30.0)])), Err(Error::Same(30.0)));
        assert_eq!(delta_rate(&line, &points(&[(1.0, f64::INFINITY), (2.0, 1.0)])), Err(Error::Quality(f64::INFINITY)));
    }

    #[test]
    fn the_order_of_the_points_does_not_matter() {
        let mut turned = points(&TEST);
        turned.reverse();
        let anchor = points(&ANCHOR);
        assert_eq!(delta_rate(&anchor, &turned), delta_rate(&anchor, &points(&TEST)));
    }

    /// Curves of four to six points on which quality rises with the rate.
    fn curve() -> impl Strategy<Value = Vec<Point>> {
        proptest::collection::vec((1.05..3.0_f64, 0.2..3.0_f64), 4..7).prop_map(|steps| {
            let mut point = Point { rate: 1e5, quality: 30.0 };
            let place = |(factor, rise): (f64, f64)| {
                point = Point { rate: point.rate * factor, quality: point.quality + rise };
                point
            };
            steps.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn a_curve_is_no_better_than_itself(curve in curve()) {
            prop_assert_eq!(delta_rate(&curve, &curve), Ok(0.0));
        }

        #[test]
        fn a_curve_at_so_much_more_rate_is_so_much_worse(curve in curve(), factor in 0.5..2.0_f64) {
            let dearer: Vec<Point> = curve.iter().map(|it| Point { rate: it.rate * factor, ..*it }).collect();
            let delta = delta_rate(&curve, &dearer).unwrap();
            prop_assert!((delta - (factor - 1.0)).abs() < 1e-9, "{}", delta);
        }

        #[test]
        fn there_and_back_again_is_nothing(anchor in curve(), test in curve()) {
            if let (Ok(there), Ok(back)) = (delta_rate(&anchor, &test), delta_rate(&test, &anchor)) {
                prop_assert!(((1.0 + there) * (1.0 + back) - 1.0).abs() < 1e-9);
            }
        }
    }
}
