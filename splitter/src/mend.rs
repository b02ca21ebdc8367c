//! Times for frames that come out of a decoder with none, with one twice, or with one that damage has bent. Pure.

/// A time for every frame, strictly increasing, from the times that the decoder tells; and how many were changed.
///
/// The longest strictly increasing run of told times is believed: a frame that damage has sent far ahead loses its
/// time, not the many behind it. The others follow the believed one before them at the `nominal` distance, or closer
/// where they must share a shorter gap. A stream whose time never advances has none, and runs at the nominal rate.
pub(crate) fn mend(told: &[Option<i64>], nominal: i64) -> (Vec<i64>, usize) {
    let believed = longest_increasing(told);
    let mut times = Vec::with_capacity(told.len());
    let (mut done, mut last) = (0, None);
    for &place in &believed {
        let Some(time) = told[place] else { continue };
        fill(&mut times, place - done, last, Some(time), nominal);
        times.push(time);
        (done, last) = (place + 1, Some(time));
    }
    fill(&mut times, told.len() - done, last, None, nominal);
    for i in 1..times.len() {
        times[i] = times[i].max(times[i - 1] + 1);
    }
    let changed = times.iter().zip(told).filter(|(time, told)| Some(**time) != **told).count();
    (times, changed)
}

/// Appends `count` times between `before` and `after`.
fn fill(times: &mut Vec<i64>, count: usize, before: Option<i64>, after: Option<i64>, nominal: i64) {
    let places = count as i64;
    let time = |i: i64| match (before, after) {
        (Some(before), Some(after)) => before + (i + 1) * nominal.min((after - before) / (places + 1)),
        (Some(before), None) => before + (i + 1) * nominal,
        (None, Some(after)) => after - (places - i) * nominal,
        (None, None) => i * nominal,
    };
    times.extend((0..places).map(time));
}

/// The places of a longest strictly increasing subsequence, by patience sorting.
fn longest_increasing(told: &[Option<i64>]) -> Vec<usize> {
    let mut tails: Vec<(i64, usize)> = Vec::new();
    let mut previous = vec![None; told.len()];
    for (place, time) in told.iter().enumerate().filter_map(|(place, time)| Some((place, (*time)?))) {
        let length = tails.partition_point(|&(tail, _)| tail < time);
        previous[place] = length.checked_sub(1).map(|shorter| tails[shorter].1);
        match tails.get_mut(length) {
            // Of frames that share a time the first is believed.
            Some(tail) if tail.0 == time => {}
            Some(tail) => *tail = (time, place),
            None => tails.push((time, place)),
        }
    }
    let mut run: Vec<usize> =
        std::iter::successors(tails.last().map(|&(_, place)| place), |&place| previous[place]).collect();
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mended(told: &[i64], nominal: i64) -> Vec<i64> {
        mend(&told.iter().copied().map(Some).collect::<Vec<_>>(), nominal).0
    }

    #[test]
    fn a_frame_that_damage_sent_ahead_comes_back_to_its_place() {
        assert_eq!(mended(&[0, 40, 80, 9000, 160, 200], 40), [0, 40, 80, 120, 160, 200]);
    }

    #[test]
    fn a_time_that_stands_still_runs_at_the_nominal_rate() {
        assert_eq!(mended(&[7, 7, 7, 7], 40), [7, 47, 87, 127]);
    }

    #[test]
    fn frames_without_times_follow_those_before_them_or_lead_to_the_first() {
        let told = [None, Some(100), None, None, Some(130), None];
        assert_eq!(mend(&told, 40).0, [60, 100, 110, 120, 130, 170]);
        assert_eq!(mend(&[None, None], 40), (vec![0, 40], 2));
    }

    /// How long the longest strictly increasing run of told times is, found by looking at every pair.
    fn longest(told: &[Option<i64>]) -> usize {
        let mut lengths: Vec<usize> = Vec::new();
        for (at, time) in told.iter().enumerate() {
            let before = (0..at).filter(|&before| told[before].is_some() && told[before] < *time);
            let length = before.map(|before| lengths[before]).max().unwrap_or(0) + usize::from(time.is_some());
            lengths.push(if time.is_some() { length } else { 0 });
        }
        lengths.into_iter().max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn as_many_times_are_kept_as_increase_where_there_is_room_between_them(
            told in prop::collection::vec(prop::option::weighted(0.8, (-50_i64..50).prop_map(|time| time * 1000)), 0..60),
            nominal in 1_i64..100,
        ) {
            let (times, changed) = mend(&told, nominal);
            prop_assert_eq!(told.len() - changed, longest(&told), "{:?}", times);
        }

        #[test]
        fn times_increase_and_good_ones_are_kept(
            told in prop::collection::vec(prop::option::weighted(0.8, -500_i64..5000), 0..60),
            nominal in 1_i64..100,
        ) {
            let (times, changed) = mend(&told, nominal);
            prop_assert_eq!(times.len(), told.len());
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times);
            prop_assert!(told.len() - changed <= longest(&told));
            let good: Vec<i64> = (0..told.len() as i64).map(|i| i * nominal).collect();
            prop_assert_eq!(mended(&good, nominal), good);
        }
    }
}
