//! Which runs of segments make the chunks.
//!
//! Chunks take a share of what remains, so they are long at first and single segments at the end: the last
//! wave is short however many workers there are. A chunk that starts inside a GOP decodes that GOP's start
//! once more; how much of that is worthwhile is found by trying: several ways of merging segments are carried
//! out on imagined crews of 1 to 32 workers, and the one that comes nearest to what those crews could do at
//! best is taken. None may spend more than a fifth of the encoding on pre-roll.

use std::ops::Range;

use super::DECODE_COST;
use super::decode::Decoding;
use super::timeline::Timeline;

/// The crews on which a way of cutting is tried.
const CREWS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// A chunk takes this share of what remains, at most.
const SHARE: f64 = 1.0 / 16.0;

/// The longest chunk in seconds, where the GOPs are not longer.
const LONGEST_S: f64 = 30.0;

/// The least chunk, in average segments, that is tried.
const LEAST_SEGMENTS: [f64; 5] = [0.0, 1.5, 2.0, 3.0, 4.0];

/// The least share of a GOP, as the cost of a chunk that begins in it, that is tried. A GOP cut into k chunks
/// of equal length costs 5 % x (k - 1) more: at a share of 0.22 it makes five, at 0.29 four. So the bound on
/// pre-roll holds for each long GOP alone, not just over the whole source.
const LEAST_GOP_SHARES: [f64; 4] = [0.22, 0.29, 0.4, 0.6];

/// Pre-roll costs at most this much of the encoding, where more than one chunk is to be had for it.
const MOST_PREROLL: f64 = 0.2;

/// How many frames of pre-roll, as cost, a frame of deviation from the wanted size is worth.
const DEVIATION_COST: f64 = 0.3;

/// How many times the wanted size a chunk may have for the sake of less pre-roll.
const OVERSIZE: f64 = 1.5;

/// The boundaries between segments, and what it costs to part chunks there.
pub(super) struct Table {
    bounds: Vec<u32>,
    /// Frames that come from packets before the one where a chunk at this boundary starts to decode.
    before_start: Vec<u32>,
    /// Frames that come from packets up to the end of a chunk that ends at this boundary.
    before_end: Vec<u32>,
    /// Frames of the GOP in which this boundary lies.
    gop: Vec<u32>,
}

/// A way of cutting.
pub(super) struct Choice {
    /// The segments of each chunk.
    pub(super) runs: Vec<Range<usize>>,
    /// How many chunks there would be if pre-roll cost nothing.
    pub(super) finest: usize,
}

impl Table {
    pub(super) fn new(starts: &[u32], decoding: &Decoding, context: u32) -> Self {
        let bounds = starts.to_vec();
        let frames_before = |packet| decoding.frames_in(&(0..packet));
        let first_wanted = |bound: u32| decoding.with_context(&(bound..bound), context).start;
        let before_start = bounds.iter().map(|bound| frames_before(decoding.start(first_wanted(*bound)))).collect();
        let mut end = 0;
        let ends = bounds.windows(2).map(|pair| {
            end = decoding.end(decoding.with_context(&(pair[0]..pair[1]), context)).max(end);
            frames_before(end)
        });
        let before_end = std::iter::once(0).chain(ends).collect();
        let all = bounds.last().copied().unwrap_or(0);
        let gop = bounds.iter().map(|at| decoding.next_cut(*at).unwrap_or(all) - decoding.last_cut(*at)).collect();
        Self { bounds, before_start, before_end, gop }
    }

    /// Number of segments.
    pub(super) fn count(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The frames of each segment.
    pub(super) fn segments(&self) -> impl Iterator<Item = Range<u32>> {
        self.bounds.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The frames of a run of segments.
    pub(super) fn frames(&self, run: &Range<usize>) -> Range<u32> {
        self.bounds[run.start]..self.bounds[run.end]
    }

    /// Number of frames.
    pub(super) fn total(&self) -> u32 {
        self.bounds.last().copied().unwrap_or(0)
    }

    /// Frames that a run of segments decodes besides its own.
    pub(super) fn dropped(&self, run: &Range<usize>) -> u32 {
        let own = self.bounds[run.end] - self.bounds[run.start];
        self.before_end[run.end].saturating_sub(self.before_start[run.start]).saturating_sub(own)
    }

    /// Frames that are decoded twice because chunks are parted at this boundary.
    fn twice(&self, at: usize) -> u32 {
        if at >= self.count() { 0 } else { self.before_end[at].saturating_sub(self.before_start[at]) }
    }

    fn own(&self, run: &Range<usize>) -> f64 {
        f64::from(self.bounds[run.end] - self.bounds[run.start])
    }

    fn cost(&self, run: &Range<usize>) -> f64 {
        self.own(run) + DECODE_COST * f64::from(self.dropped(run))
    }

    fn mean_segment(&self) -> f64 {
        f64::from(self.total()) / (self.count().max(1) as f64)
    }
}

/// Chunks of the length that suits crews of any size.
pub(super) fn auto(table: &Table, timeline: &Timeline) -> Choice {
    let longest = LONGEST_S / timeline.length().max(f64::MIN_POSITIVE) * f64::from(table.total());
    let cut = |gop_share: f64, segments: f64| {
        let least = segments * table.mean_segment();
        runs(table, &Wanted { gop_share, least, longest: longest.max(least) })
    };
    let finest = cut(0.0, 0.0).len();
    let ways = LEAST_GOP_SHARES.iter().flat_map(|gop| LEAST_SEGMENTS.iter().map(|segments| cut(*gop, *segments)));
    let whole = std::iter::once(0..table.count()).collect();
    let all = ways.chain(std::iter::once(whole));
    let affordable = all.filter(|runs| runs.len() <= 1 || preroll(table, runs) <= MOST_PREROLL);
    let best = affordable.map(|runs| (slowness(table, &runs), runs)).min_by(|a, b| a.0.total_cmp(&b.0));
    Choice { runs: best.map(|(_, runs)| runs).unwrap_or_default(), finest }
}

/// Chunks whose lengths are as near to this many seconds as whole segments allow.
pub(super) fn fixed(table: &Table, timeline: &Timeline, seconds: f64) -> Choice {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < table.count() {
        let end = nearest_end(table, timeline, start, seconds);
        runs.push(start..end);
        start = end;
    }
    Choice { finest: runs.len(), runs }
}

/// Where a chunk from `start` on ends whose length is nearest to this many seconds; of two that are as near, the earlier.
fn nearest_end(table: &Table, timeline: &Timeline, start: usize, seconds: f64) -> usize {
    let over = |bound: u32| timeline.at(bound) - timeline.at(table.bounds[start]) - seconds;
    // Lengths rise, so it is the first that is not too short, or the one before.
    let too_short = table.bounds[start + 1..].partition_point(|bound| over(*bound) < 0.0);
    let long = (start + 1 + too_short).min(table.count());
    let short = long.saturating_sub(1).max(start + 1);
    let off = |end: usize| over(table.bounds[end]).abs();
    if off(short) <= off(long) { short } else { long }
}

/// Pre-roll's share of the encoding.
pub(super) fn preroll(table: &Table, runs: &[Range<usize>]) -> f64 {
    let dropped: f64 = runs.iter().map(|run| f64::from(table.dropped(run))).sum();
    DECODE_COST * dropped / f64::from(table.total().max(1))
}

/// The sizes that a way of cutting aims at, in frames.
struct Wanted {
    gop_share: f64,
    least: f64,
    longest: f64,
}

fn runs(table: &Table, wanted: &Wanted) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < table.count() {
        let end = run_end(table, wanted, start);
        runs.push(start..end);
        start = end;
    }
    runs
}

/// Ends a chunk where its size is near the wanted one and the next has little pre-roll.
fn run_end(table: &Table, wanted: &Wanted, start: usize) -> usize {
    let count = table.count();
    let remaining = f64::from(table.total() - table.bounds[start]);
    let share = (remaining * SHARE).max(wanted.least).min(wanted.longest);
    let size = share.max(wanted.gop_share * f64::from(table.gop[start]));
    let mut best = (f64::INFINITY, count);
    for end in start + 1..=count {
        let cost = table.cost(&(start..end));
        if cost > OVERSIZE * size && best.0.is_finite() {
            break;
        }
        let scrap = end < count && table.own(&(end..count)) < table.mean_segment() / 4.0;
        let off = DEVIATION_COST * (cost - size).abs() + DECODE_COST * f64::from(table.twice(end));
        if !scrap && off < best.0 {
            best = (off, end);
        }
    }
    best.1
}

/// How far a way of cutting is from the best that crews of several sizes could do: the mean of the ratios.
fn slowness(table: &Table, runs: &[Range<usize>]) -> f64 {
    let costs: Vec<f64> = runs.iter().map(|run| table.cost(run)).collect();
    let largest = table.segments().map(|segment| segment.end - segment.start).max().unwrap_or(0);
    let ratio = |crew: usize| {
        let best = (f64::from(table.total()) / crew as f64).max(f64::from(largest)).max(1.0);
        makespan(&costs, crew) / best
    };
    CREWS.iter().map(|crew| ratio(*crew)).sum::<f64>() / CREWS.len() as f64
}

/// How long a crew takes if every free worker takes the next chunk, and of the last two a worker the costliest,
/// which is how the coordinator hands them out.
fn makespan(costs: &[f64], crew: usize) -> f64 {
    let (first, last) = costs.split_at(costs.len().saturating_sub(2 * crew));
    let mut last = last.to_vec();
    last.sort_by(|a, b| b.total_cmp(a));
    let mut busy_until = vec![0.0f64; crew.max(1)];
    for cost in first.iter().chain(&last) {
        if let Some(soonest) = busy_until.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *soonest += cost;
        }
    }
    busy_until.into_iter().fold(0.0, f64::max)
}
