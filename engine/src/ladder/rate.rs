//! Rate caps of rungs that are no preset: a curve through the presets' caps over the picture's area.

use crate::units::{BitRate, Size};

use super::Preset;

/// Beyond the presets, bits grow with this power of the area: larger pictures of the same scene have fewer
/// bits a pixel.
const OUTER_EXPONENT: f64 = 0.75;

/// No rendition is capped below this, however small.
const LEAST: u64 = 100_000;

/// The cap of a picture of this size: log-linear in the area between the presets (taken at 16:9), in whole
/// kilobits a second.
pub(super) fn cap_for(size: Size) -> BitRate {
    let area = f64::from(size.width) * f64::from(size.height);
    let points = points();
    let above = points.iter().position(|(at, _)| *at >= area);
    let rate = match above {
        Some(0) => outer(points.first(), area),
        None => outer(points.last(), area),
        Some(i) => between(points[i - 1], points[i], area),
    };
    BitRate(((rate / 1000.0).round() as u64 * 1000).max(LEAST))
}

fn points() -> Vec<(f64, f64)> {
    let area = |height: u32| f64::from(height).powi(2) * 16.0 / 9.0;
    let point = |preset: Preset| Some((area(preset.height()?), preset.max_rate()?.0 as f64));
    Preset::ALL.into_iter().filter_map(point).collect()
}

fn outer(nearest: Option<&(f64, f64)>, area: f64) -> f64 {
    nearest.map_or(0.0, |(at, rate)| rate * (area / at).powf(OUTER_EXPONENT))
}

fn between(low: (f64, f64), high: (f64, f64), area: f64) -> f64 {
    let share = (area / low.0).ln() / (high.0 / low.0).ln();
    low.1 * (high.1 / low.1).powf(share)
}
