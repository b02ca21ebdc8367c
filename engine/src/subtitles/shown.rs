//! Which cues an output shows, and when.

use std::collections::HashSet;

use super::Cue;

/// So many cues of a track may be shown at once. More than a screen holds; it bounds what a cue that lasts through many
/// segments, and so stands in each of them, can cost.
pub const MOST_AT_ONCE: usize = 64;

/// A cue in the timeline of an output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShownCue {
    /// When it appears, in milliseconds.
    pub start_ms: u64,
    /// When it is gone, in milliseconds; after `start_ms`.
    pub end_ms: u64,
    /// WebVTT cue settings.
    pub settings: String,
    /// WebVTT cue text.
    pub text: String,
}

/// The cues of a track that an output shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// In the order in which they appear; none twice.
    pub cues: Vec<ShownCue>,
    /// How many end before the output starts.
    pub before: usize,
    /// How many end before they begin, or last less than half a millisecond.
    pub timeless: usize,
    /// How many would be shown together with [`MOST_AT_ONCE`] others.
    pub crowded: usize,
}

impl Shown {
    /// What is not shown, in half sentences.
    pub fn left_out(&self) -> Vec<String> {
        let crowd = format!("would be shown together with {MOST_AT_ONCE} others");
        let told = [
            (self.before, "end before sound and picture start"),
            (self.timeless, "end before they begin, or at once"),
            (self.crowded, crowd.as_str()),
        ];
        told.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} of its cues {why}")).collect()
    }
}

/// What of `cues` is shown in an output whose time 0 is at `origin_us`.
pub fn shown(cues: &[Cue], origin_us: i64) -> Shown {
    let mut shown = Shown::default();
    let mut timed: Vec<ShownCue> = Vec::with_capacity(cues.len());
    let milliseconds = |us: i64| (i128::from(us) - i128::from(origin_us) + 500).div_euclid(1000);
    for cue in cues {
        let (start, end) = (milliseconds(cue.start_us), milliseconds(cue.end_us));
        match (u64::try_from(start.max(0)), u64::try_from(end)) {
            _ if end <= start => shown.timeless += 1,
            (Ok(start_ms), Ok(end_ms @ 1..)) => {
                timed.push(ShownCue { start_ms, end_ms, settings: cue.settings.clone(), text: cue.text.clone() });
            }
            _ => shown.before += 1,
        }
    }
    timed.sort_by_key(|cue| (cue.start_ms, cue.end_ms));
    let (mut known, mut active) = (HashSet::new(), Vec::<u64>::new());
    for cue in timed {
        active.retain(|&end_ms| end_ms > cue.start_ms);
        if known.contains(&cue) {
            continue;
        }
        if active.len() == MOST_AT_ONCE {
            shown.crowded += 1;
            continue;
        }
        active.push(cue.end_ms);
        known.insert(cue.clone());
        shown.cues.push(cue);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cue(start_us: i64, end_us: i64, text: &str) -> Cue {
        Cue { start_us, end_us, settings: String::new(), text: text.to_owned() }
    }

    fn times(cues: &[Cue], origin_us: i64) -> Vec<(u64, u64)> {
        shown(cues, origin_us).cues.iter().map(|cue| (cue.start_ms, cue.end_ms)).collect()
    }

    #[test]
    fn times_count_from_the_origin_to_the_nearest_millisecond() {
        assert_eq!(times(&[cue(1_400_499, 2_400_500, "x")], 400_000), [(1000, 2001)]);
        assert_eq!(times(&[cue(-500_000, 500_000, "x")], -1_000_000), [(500, 1500)]);
    }

    #[test]
    fn cues_are_put_in_order_and_those_that_cannot_be_shown_are_counted() {
        let cues = [
            cue(5_000_000, 6_000_000, "c"),
            cue(2_000_000, 1_000_000, "backwards"),
            cue(3_000_000, 3_000_000, "at once"),
            cue(-3_000_000, -1_000_000, "before"),
            cue(-3_000_000, 1_000_000, "a"),
            cue(5_000_000, 6_000_000, "c"),
        ];
        let found = shown(&cues, 0);
        assert_eq!(found.cues.iter().map(|cue| cue.text.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!((found.cues[0].start_ms, found.before, found.timeless), (0, 1, 2));
        assert_eq!(found.left_out().len(), 2);
    }

    #[test]
    fn a_crowd_is_thinned_out() {
        let cues: Vec<Cue> = (0..100).map(|n| cue(n, 10_000_000, &n.to_string())).collect();
        let found = shown(&cues, 0);
        assert_eq!((found.cues.len(), found.crowded), (MOST_AT_ONCE, 36));
    }

    proptest! {
        #[test]
        fn every_cue_is_shown_or_counted_and_none_is_more_than_allowed_at_once(
            cues in prop::collection::vec((any::<i32>(), any::<i32>()), 0..200), origin in any::<i32>(),
        ) {
            let cues: Vec<Cue> =
                cues.iter().zip(0..).map(|((a, b), n)| cue((*a).into(), (*b).into(), &n.to_string())).collect();
            let found = shown(&cues, origin.into());
            prop_assert_eq!(found.cues.len() + found.before + found.timeless + found.crowded, cues.len());
            for at in &found.cues {
                prop_assert!(at.start_ms < at.end_ms);
                let together = found.cues.iter().filter(|c| c.start_ms <= at.start_ms && c.end_ms > at.start_ms);
                prop_assert!(together.count() <= MOST_AT_ONCE);
            }
        }
    }
}
