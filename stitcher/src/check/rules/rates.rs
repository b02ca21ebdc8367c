//! Bit rates: what the multivariant playlist says, and what the files have.

use std::collections::HashMap;

use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Hls, MediaPlaylist, Rendition, Stream};
use super::{NO_MULTIVARIANT, Playlist, Variant, group, master, variants};
use crate::rates::{self, Weight};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Multivariant, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "bandwidth",
        "Apple 1.27",
        Level::Must,
        "BANDWIDTH is within 10 % of the measured peak of all that plays together",
        peak,
    ),
    rule("bandwidth-bound", "Apple 9.13", Level::Must, "BANDWIDTH is not below that peak (by more than 1 %)", bound),
    rule("average-bandwidth-told", "Apple 9.14", Level::Must, "AVERAGE-BANDWIDTH is there", told),
    rule(
        "average-bandwidth",
        "Apple 1.26",
        Level::Must,
        "AVERAGE-BANDWIDTH is within 10 % of the measured average",
        average,
    ),
    rule("peak-to-average", "Apple 1.30", Level::Should, "The peak is at most twice the average", ratio),
    rule(
        "default-variant",
        "Apple 1.32",
        Level::Should,
        "The first variant is that of its codec and audio group that is nearest to 2 Mb/s",
        default,
    ),
];

/// Runs of segments that are looked at for a peak: a day in segments of a second has less.
const MOST_WORK: usize = 5_000_000;

/// How many runs of segments are no longer than a peak is looked for in.
fn work(weights: &[Weight], target_s: f64) -> usize {
    let (mut end, mut seconds, mut runs) = (0, 0.0, 0);
    for (first, weight) in weights.iter().enumerate() {
        while end < weights.len() && (end <= first || seconds <= 1.5 * target_s) {
            seconds += weights[end].seconds;
            end += 1;
        }
        runs += end - first;
        seconds -= weight.seconds;
    }
    runs
}

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    peak: f64,
    average: f64,
}

/// The rates of one playlist; `None` if a segment was not read.
fn of(media: &MediaPlaylist) -> Option<Measured> {
    let weigh = |segment: &super::super::stream::Segment| {
        if segment.gap {
            return Some(Weight { bytes: 0, seconds: segment.seconds? });
        }
        Some(Weight { bytes: segment.contents.as_ref().ok()?.bytes, seconds: segment.seconds? })
    };
    let weights: Vec<Weight> = media.segments.iter().map(weigh).collect::<Option<_>>()?;
    let target = media.target()?;
    if weights.is_empty() || work(&weights, target) > MOST_WORK {
        return None;
    }
    Some(Measured { peak: rates::peak(&weights, target), average: rates::average(&weights) })
}

/// The rates of renditions and of groups, each measured once.
struct Scales<'a> {
    hls: &'a Hls,
    master: &'a Playlist,
    renditions: HashMap<&'a str, Option<Measured>>,
    groups: HashMap<(&'a str, Option<&'a str>), Option<Measured>>,
}

impl<'a> Scales<'a> {
    fn new(hls: &'a Hls, master: &'a Playlist) -> Self {
        Self { hls, master, renditions: HashMap::new(), groups: HashMap::new() }
    }

    fn rendition(&mut self, rendition: &'a Rendition) -> Option<Measured> {
        *self.renditions.entry(&rendition.name).or_insert_with(|| of(rendition.playlist()?))
    }

    /// The largest of the group of this type that a variant names; nothing where it names none.
    fn group(&mut self, kind: &'a str, variant: &Variant<'a>) -> Option<Measured> {
        let key = (kind, variant.attributes.get(kind));
        if let Some(known) = self.groups.get(&key) {
            return *known;
        }
        let mut members = group(self.hls, self.master, kind, variant.attributes).into_iter();
        let largest = members.try_fold(Measured { peak: 0.0, average: 0.0 }, |largest, rendition| {
            let own = self.rendition(rendition)?;
            Some(Measured { peak: largest.peak.max(own.peak), average: largest.average.max(own.average) })
        });
        self.groups.insert(key, largest);
        largest
    }

    /// The rates of a variant with the largest renditions that play beside it.
    fn together(&mut self, variant: &Variant<'a>) -> Option<Measured> {
        let own = self.rendition(variant.rendition?)?;
        ["AUDIO", "VIDEO", "SUBTITLES"].into_iter().try_fold(own, |sum, kind| {
            let beside = self.group(kind, variant)?;
            Some(Measured { peak: sum.peak + beside.peak, average: sum.average + beside.average })
        })
    }
}

/// Holds an attribute of each variant against what was measured.
fn compare(
    stream: &Stream,
    attribute: &str,
    holds: impl Fn(f64, Measured) -> bool,
    measured: impl Fn(Measured) -> f64,
) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let (mut findings, mut scales) = (Findings::default(), Scales::new(hls, master));
    for variant in variants(hls, master) {
        match (variant.attributes.number(attribute), scales.together(&variant)) {
            (Some(told), Some(found)) => findings.hold(holds(told, found), &variant.place, || {
                let is = measured(found);
                format!("{attribute} is {told}, measured {is:.0} ({:+.1} %)", 100.0 * (told / is - 1.0))
            }),
            (Some(_), None) => findings.unknown(),
            (None, _) => {}
        }
    }
    findings.verdict("no variant has it")
}

fn is_near(told: f64, measured: f64) -> bool {
    (told / measured - 1.0).abs() <= 0.1
}

fn peak(stream: &Stream) -> Verdict {
    compare(stream, "BANDWIDTH", |told, found| is_near(told, found.peak), |found| found.peak)
}

fn bound(stream: &Stream) -> Verdict {
    compare(stream, "BANDWIDTH", |told, found| told >= 0.99 * found.peak, |found| found.peak)
}

fn average(stream: &Stream) -> Verdict {
    compare(stream, "AVERAGE-BANDWIDTH", |told, found| is_near(told, found.average), |found| found.average)
}

fn told(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for variant in variants(hls, master) {
        let is_there = variant.attributes.number("AVERAGE-BANDWIDTH").is_some();
        findings.hold(is_there, &variant.place, || "it is not there".to_owned());
    }
    findings.verdict("there is no variant")
}

fn ratio(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let (mut findings, mut scales) = (Findings::default(), Scales::new(hls, master));
    for variant in variants(hls, master) {
        let Some(found) = scales.together(&variant) else {
            findings.unknown();
            continue;
        };
        findings.hold(found.peak <= 2.0 * found.average, &variant.place, || {
            format!("the peak is {:.0} % of the average", 100.0 * found.peak / found.average)
        });
    }
    findings.verdict("there is no variant")
}

/// Only variants of the first one's codec and audio group count: players that can't play these start at their own first.
fn default(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    let distance = |rate: f64| (rate / crate::hls::DEFAULT_RATE).ln().abs();
    let family = |variant: &Variant<'_>| {
        let codec = variant.attributes.get("CODECS").and_then(|codecs| codecs.get(..4));
        (codec.map(str::to_owned), variant.attributes.get("AUDIO").map(str::to_owned))
    };
    let mut rates = variants(hls, master).filter_map(|variant| {
        let rate = variant.attributes.number("BANDWIDTH").filter(|rate| *rate > 0.0)?;
        Some((rate, family(&variant), variant.place))
    });
    let mut findings = Findings::default();
    if let Some((first, own, place)) = rates.next() {
        let others = rates.filter(|(_, other, _)| *other == own).map(|(rate, ..)| rate);
        let nearest = others.fold(first, |best, rate| if distance(rate) < distance(best) { rate } else { best });
        // Two that are as good as equally far may stand either way.
        findings.hold(distance(first) <= distance(nearest) + 0.01, &place, || {
            format!("it has {first:.0} b/s, another variant has {nearest:.0}")
        });
    }
    findings.verdict("there is no variant")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_in_runs_and_not_endless() {
        let of = |seconds: f64, count: usize| work(&vec![Weight { bytes: 1, seconds }; count], 4.0);
        assert_eq!(of(4.0, 100), 199);
        assert_eq!(of(0.0, 1000), 1000 * 1001 / 2);
    }
}
