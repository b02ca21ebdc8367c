//! Takes timestamp jumps out of a source's timeline, audio and video together. Pure; it reads no packet itself.
//!
//! A forward gap of up to [`LONGEST_GAP_US`] belongs to the source and stays, as does a longer one that the packet
//! before it is told to last. A jump backwards, or one further ahead than that, begins a new *epoch*: one shift for all
//! streams. The stream which met the jump first goes on in it where it was. The others enter it when their own
//! timestamps jump to where it is; what was further ahead than the first moves the whole epoch to its own end. So what
//! belongs together stays together, and nothing is put over what came before.
//!
//! Within a stream, what follows without a jump or a gap is a *run*. A short one that the stream returns from to where
//! it was is *astray*: its timestamps are wrong. It gets a place beside its neighbours, and the epoch that it began is
//! void. As the shift of a run is certain only after later packets have come, packets are noted by their runs.

/// Forward gaps up to this long are kept, in microseconds.
pub const LONGEST_GAP_US: i64 = 60_000_000;
/// What is told to last longer, in microseconds, isn't believed.
const LONGEST_TOLD_US: i64 = 3_600_000_000;
/// Timestamps may be off by this much without being taken for a jump, in microseconds: muxers jitter.
const TOLERANCE_US: i64 = 500_000;
/// Timestamps that are off by no more than this go on even where another stream has jumped, in microseconds.
const JITTER_US: i64 = 100_000;
/// A stream that jumps to within this distance of where another one already is belongs to it, in microseconds.
const COMPANY_US: i64 = 10_000_000;
/// A run that begins further than this from where its stream was, or from the others if it is the first, may be ahead
/// of the others in the next epoch, in microseconds.
const APART_US: i64 = 1_000_000;
/// No stream moves an epoch by more than this, in microseconds.
const LONGEST_LEAD_US: i64 = 3_600_000_000;
/// A run of up to this length is young, in microseconds: it may yet turn out to be astray or in another epoch. Where
/// only some packets are given times, many go by one; and one stream is stored this much before the other.
const YOUNG_US: i64 = 1_000_000;
/// Among so many of the latest epochs a stream looks for one in which it goes on.
const EPOCHS_LOOKED_AT: usize = 16;
/// So many packets of a stream may come without decode times before it is taken for one that has none: no codec here
/// reorders by more (ITU-T H.264, A.3.1).
const LONGEST_DELAY: u32 = 16;

/// How long after it is decoded a picture that lasts so long may be shown, in microseconds.
pub(crate) fn longest_delay_us(duration_us: i64) -> i64 {
    LONGEST_GAP_US.max(duration_us.clamp(0, LONGEST_TOLD_US) * i64::from(LONGEST_DELAY))
}

/// A jump that was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Where in the healed timeline, in microseconds.
    pub at_us: i64,
    /// Shift of everything after it against the container's timestamps, in microseconds.
    pub shift_us: i64,
}

/// Packets of one stream that follow each other without a jump, and have one shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(usize);

/// Healed timeline of several streams. All times in it are the container's until they are asked for.
#[derive(Debug)]
pub struct Healer {
    epochs: Vec<Epoch>,
    runs: Vec<Run>,
    streams: Vec<Position>,
    strays: usize,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    shift: i64,
    /// The run that began it, and the time of its first packet.
    founder: Option<(RunId, i64)>,
    /// Whether it began with a run that was astray, which nothing followed.
    is_void: bool,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    epoch: usize,
    earliest: i64,
    /// How far it is shifted against its epoch: not at all, unless it is astray.
    offset: i64,
}

impl Run {
    /// Whether it is still young where `last` is its last packet.
    fn is_young(&self, last: Place) -> bool {
        last.time - self.earliest <= YOUNG_US
    }
}

/// A packet of a stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    run: RunId,
    time: i64,
    duration: i64,
}

impl Place {
    fn end(&self) -> i64 {
        self.time + self.duration
    }

    /// Where it ends, unless it is told to last long.
    fn soon(&self) -> i64 {
        self.time + self.duration.min(YOUNG_US)
    }
}

#[derive(Clone, Copy, Debug)]
struct Position {
    last: Option<Place>,
    /// The packet before the run that `last` is in.
    before: Option<Place>,
    /// How far the run that `last` is in began from what was there in its epoch: the stream itself, or others.
    apart: i64,
    /// Whether that is the time at which a first packet is shown: those after it may be decoded at earlier ones.
    is_shown: bool,
    /// How many packets came without decode times; `None` once one has come with it.
    untimed: Option<u32>,
    /// Where the latest of the pictures ends that did not move `last`.
    shown_until: Option<i64>,
}

impl Position {
    const NEW: Self = Self { last: None, before: None, apart: 0, is_shown: false, untimed: Some(0), shown_until: None };

    /// How far it has come that is at `at`.
    fn reached(&self, at: i64) -> i64 {
        self.shown_until.map_or(at, |until| until.max(at))
    }
}

impl Healer {
    /// A healer for `streams` streams, numbered from 0.
    pub fn new(streams: usize) -> Self {
        let first = Epoch { shift: 0, founder: None, is_void: false };
        Self { epochs: vec![first], runs: Vec::new(), streams: vec![Position::NEW; streams], strays: 0 }
    }

    /// Takes the next packet of `stream`, which is decoded at `time_us` and lasts `duration_us`, and returns the run
    /// that it is in.
    pub fn place(&mut self, stream: usize, time_us: i64, duration_us: i64) -> RunId {
        let position = self.streams[stream];
        let run = match position.last {
            None => self.begin(stream, time_us),
            Some(last) => self.run_for(stream, position, last, time_us),
        };
        let known = &mut self.runs[run.0];
        known.earliest = known.earliest.min(time_us);
        let now = &mut self.streams[stream];
        now.last = Some(Place { run, time: time_us, duration: duration_us.clamp(0, LONGEST_TOLD_US) });
        (now.is_shown, now.untimed) = (false, None);
        run
    }

    /// The same for a packet of pictures of which only the time is told at which it is shown. Containers without decode
    /// times (Matroska) get them only once as many packets have come as pictures are held back. Until then, and where one
    /// is missing later, the times at which pictures are shown go up and down, which is no jump.
    pub fn place_shown(&mut self, stream: usize, time_us: i64, duration_us: i64) -> RunId {
        let position = self.streams[stream];
        let untimed = position.untimed.map(|count| count.saturating_add(1));
        let has_none = untimed.is_some_and(|count| count > LONGEST_DELAY);
        let run = match position.last {
            Some(last) if !has_none => {
                if time_us <= position.reached(last.time) + longest_delay_us(duration_us) {
                    let end = time_us + duration_us.clamp(0, LONGEST_TOLD_US);
                    self.streams[stream].shown_until = position.shown_until.max(Some(end));
                }
                last.run
            }
            last => {
                let run = self.place(stream, time_us, duration_us);
                self.streams[stream].is_shown = last.is_none();
                run
            }
        };
        self.streams[stream].untimed = untimed;
        run
    }

    /// The shift that the timestamps of the packets in `run` need, in microseconds, as far as that is known by now.
    pub fn shift_us(&self, run: RunId) -> i64 {
        let run = self.runs[run.0];
        self.epochs[run.epoch].shift + run.offset
    }

    /// Where the first packet of all starts, in microseconds; `None` before any packet.
    pub fn began_us(&self) -> Option<i64> {
        self.runs.iter().map(|run| run.earliest + self.epochs[run.epoch].shift + run.offset).min()
    }

    /// Where the stream that came furthest ends in the healed timeline, in microseconds; `None` before any packet.
    pub fn reached_us(&self) -> Option<i64> {
        let end = |position: &Position| {
            let last = position.last?;
            Some(position.reached(last.end()) + self.shift_us(last.run))
        };
        self.streams.iter().filter_map(end).max()
    }

    /// Where `stream` is in the healed timeline, in microseconds; `None` before its first packet.
    pub fn at_us(&self, stream: usize) -> Option<i64> {
        let last = self.streams.get(stream)?.last?;
        Some(last.time + self.shift_us(last.run))
    }

    /// Every shift that was needed, in microseconds, in the order in which they came; the first is 0.
    pub fn shifts_us(&self) -> Vec<i64> {
        self.epochs.iter().filter(|epoch| !epoch.is_void).map(|epoch| epoch.shift).collect()
    }

    /// The jumps that were taken out.
    pub fn jumps(&self) -> Vec<Jump> {
        let jump = |epoch: &Epoch| {
            let (_, first) = epoch.founder?;
            Some(Jump { at_us: first + epoch.shift, shift_us: epoch.shift })
        };
        self.epochs.iter().filter(|epoch| !epoch.is_void).filter_map(jump).collect()
    }

    /// Bytes that what is noted takes in memory: a run and an epoch for every jump.
    pub fn bytes(&self) -> u64 {
        (size_of_val(self.runs.as_slice()) + size_of_val(self.epochs.as_slice())) as u64
    }

    /// How many times a stream went astray and came back.
    pub fn strays(&self) -> usize {
        self.strays
    }

    /// The first run of `stream`. One that begins late begins in the epoch that the others are in.
    fn begin(&mut self, stream: usize, time: i64) -> RunId {
        let newest = self.epochs.iter().rposition(|epoch| !epoch.is_void).unwrap_or(0);
        let there = self.others(stream).filter(|(_, at)| self.runs[at.run.0].epoch == newest);
        let nearest = there.map(|(_, at)| (at.time - time).abs()).min();
        self.streams[stream].apart = nearest.unwrap_or(0);
        self.new_run(newest, time)
    }

    /// The run that the next packet of `stream` is in, which comes after `last` and is decoded at `time`.
    fn run_for(&mut self, stream: usize, position: Position, last: Place, time: i64) -> RunId {
        let follows = follows(&position, last, time);
        if follows && (time - last.end()).abs() <= JITTER_US {
            return last.run;
        }
        let joined = self.joined(stream, last, time);
        if follows && joined.is_none() {
            return last.run;
        }
        if let Some(before) = position.before.filter(|&before| self.was_astray(before, last, time)) {
            self.go_back(stream, before, last, time);
            return before.run;
        }
        let current = self.runs[last.run.0].epoch;
        let epoch = match joined.or_else(|| self.epoch_for(stream, position, last, time)) {
            Some(epoch) => epoch,
            None => self.found(last, time),
        };
        if joined.is_some() {
            self.make_room(epoch, last, time);
        }
        let now = &mut self.streams[stream];
        now.before = Some(last);
        now.apart = if epoch == current { (time - last.time).abs().max(APART_US + 1) } else { 0 };
        if epoch != current {
            now.shown_until = None;
        }
        self.new_run(epoch, time)
    }

    /// The newest epoch, if it is a later one, in which another stream is nearer to `time` than `stream` is now.
    fn joined(&self, stream: usize, last: Place, time: i64) -> Option<usize> {
        let distance = COMPANY_US.min((time - last.time).abs() - 1);
        let runs = self.others(stream).map(|(_, at)| (self.runs[at.run.0], at.soon()));
        let near = runs.filter(|(run, end)| (run.earliest - distance..=end + distance).contains(&time));
        let newest = near.map(|(run, _)| run.epoch).max();
        newest.filter(|&newest| newest > self.runs[last.run.0].epoch)
    }

    /// The epoch that `stream` goes on in after a jump or a gap that no other stream has met, if there is one.
    fn epoch_for(&self, stream: usize, position: Position, last: Place, time: i64) -> Option<usize> {
        let current = self.runs[last.run.0].epoch;
        if goes_on(&position, last, time) || self.has_company(stream, last, time) {
            return Some(current);
        }
        let here = self.shift_us(last.run);
        let mut newest = (current + 1..self.epochs.len()).rev().take(EPOCHS_LOOKED_AT);
        newest.find(|&epoch| {
            let epoch = self.epochs[epoch];
            !epoch.is_void && goes_on(&position, last, time + epoch.shift - here)
        })
    }

    /// Moves `epoch` and those after it so that what enters it at `time` does not come before the end of `last`.
    fn make_room(&mut self, epoch: usize, last: Place, time: i64) {
        let overlap = self.end_us(last) - (time + self.epochs[epoch].shift);
        if overlap > TOLERANCE_US {
            self.epochs[epoch..].iter_mut().for_each(|epoch| epoch.shift += overlap.min(LONGEST_LEAD_US));
        }
    }

    /// A new epoch in which what is at `time` follows `last`. Young runs that began apart from what was before, but
    /// with this, came early for it.
    fn found(&mut self, last: Place, time: i64) -> usize {
        let (old, new) = (self.runs[last.run.0].epoch, self.epochs.len());
        let founder = Some((RunId(self.runs.len()), time));
        self.epochs.push(Epoch { shift: self.end_us(last) - time, founder, is_void: false });
        for stream in 0..self.streams.len() {
            let position = self.streams[stream];
            let Some(at) = position.last.filter(|_| position.apart > APART_US) else { continue };
            let run = self.runs[at.run.0];
            if run.epoch == old && run.is_young(at) && (run.earliest - time).abs() <= YOUNG_US {
                self.runs[at.run.0].epoch = new;
                self.streams[stream].apart = 0;
                if let Some(before) = position.before {
                    self.make_room(new, before, run.earliest);
                }
            }
        }
        new
    }

    /// Whether a stream that goes on at `time` only was astray from the packet after `before` until `last`.
    fn was_astray(&self, before: Place, last: Place, time: i64) -> bool {
        let run = self.runs[last.run.0];
        let expected = before.end() + last.end() - run.earliest;
        run.is_young(last) && (time - expected).abs() <= TOLERANCE_US
    }

    /// Puts the run of `last`, which was astray, between `before` and `time`.
    fn go_back(&mut self, stream: usize, before: Place, last: Place, time: i64) {
        let (epoch, home) = (self.runs[last.run.0].epoch, self.runs[before.run.0].epoch);
        let stray = &mut self.runs[last.run.0];
        let start = (before.time + time - (last.time - stray.earliest)) / 2;
        (stray.epoch, stray.offset) = (home, start - stray.earliest);
        self.strays += 1;
        (self.streams[stream].before, self.streams[stream].apart) = (None, 0);
        let is_left = self.epochs[epoch].founder.is_some_and(|(run, _)| self.runs[run.0].epoch != epoch);
        let is_in = |position: &Position| position.last.is_some_and(|at| self.runs[at.run.0].epoch == epoch);
        self.epochs[epoch].is_void = is_left && !self.streams.iter().any(is_in);
    }

    /// Whether another stream of the same epoch already is where this one jumps ahead to, or just where it jumps back.
    fn has_company(&self, stream: usize, last: Place, time: i64) -> bool {
        let epoch = self.runs[last.run.0].epoch;
        let is_ahead = time > last.time;
        let (before, after) = if is_ahead { (COMPANY_US, COMPANY_US) } else { (JITTER_US, YOUNG_US) };
        let furthest = if is_ahead { LONGEST_GAP_US } else { APART_US };
        self.others(stream).any(|(position, at)| {
            // What began further apart may itself be in the next epoch.
            let run = self.runs[at.run.0];
            run.epoch == epoch
                && (position.apart <= furthest || !run.is_young(at))
                && (at.time - after..=at.soon() + before).contains(&time)
        })
    }

    /// The streams that have begun but `stream`, and where they are.
    fn others(&self, stream: usize) -> impl Iterator<Item = (&Position, Place)> {
        let others = self.streams.iter().enumerate().filter(move |(other, _)| *other != stream);
        others.filter_map(|(_, position)| Some((position, position.last?)))
    }

    fn new_run(&mut self, epoch: usize, time: i64) -> RunId {
        self.runs.push(Run { epoch, earliest: time, offset: 0 });
        RunId(self.runs.len() - 1)
    }

    /// Where `last` ends if something else follows, for which it does not wait longer; healed.
    fn end_us(&self, last: Place) -> i64 {
        last.time + last.duration.min(LONGEST_GAP_US) + self.shift_us(last.run)
    }
}

/// How far the timestamps of a stream may go back.
fn backward_us(position: &Position) -> i64 {
    if position.is_shown { LONGEST_GAP_US } else { TOLERANCE_US }
}

/// Whether what is at `time` comes after `last` without a gap.
fn follows(position: &Position, last: Place, time: i64) -> bool {
    let reached = position.reached(last.end());
    (last.time - backward_us(position)..=reached + TOLERANCE_US).contains(&time)
}

/// Whether what is at `time` comes after `last`, if perhaps after a gap.
fn goes_on(position: &Position, last: Place, time: i64) -> bool {
    (last.time - backward_us(position)..=position.reached(last.time) + LONGEST_GAP_US).contains(&time)
        || (time - last.end()).abs() <= TOLERANCE_US
}

#[cfg(test)]
mod tests;
