//! Accepted chunks on their way to the stitcher: each is held back until its joins with its neighbours are known, and
//! repaired where they show the encoding. Pure: it takes what was encoded, in any order, and says what is to be done.
//!
//! ```text
//!                                    both neighbours are there, and
//!            accept                  no join asks for more
//!  Awaited ─────────► Held ───────────────────────────────────────► Passed (delivered)
//!                      │  a join shows the encoding                    ▲
//!                      └──────────────────────────► InRepair ──────────┘
//!                                                        repaired: the better of both is delivered
//!                                                        leave:    the repair came to nothing, the first is
//! ```
//!
//! What is repaired, and whether the repair is taken, is decided by the chunk's own encodes and by its neighbours' first
//! ones. So nothing depends on the order in which results come, and no repair brings about another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::chunk::{EncodedChunk, EncodedRendition};
use crate::ladder::{Bounds, Rendition};
use crate::quality::{Cause, Encode, SampleSize, Side, Step, Target, VISIBLE, is_improved, judge, outcome, step};
use crate::units::ChunkIndex;

#[cfg(test)]
mod tests;

/// The chunks of a source that are gathered.
#[derive(Debug)]
pub struct Gathering {
    target: Option<Target>,
    /// The bounds of the renditions that are checked; where there are none, nothing is held back.
    bounds: BTreeMap<String, Bounds>,
    /// In presentation order.
    places: Vec<Place>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The chunk goes to the stitcher.
    Deliver(EncodedChunk),
    /// These renditions of the chunk are to be encoded once more, and measured: [`Gathering::repaired`] takes the result.
    Repair(ChunkIndex, Vec<Wish>),
    /// This spool file is not needed any more.
    Delete(PathBuf),
}

/// A rendition that is to be encoded at another rate factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Its name.
    pub rendition: String,
    /// The rate factor.
    pub crf: f64,
}

/// A join at which a viewer sees a step, or would have seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Name of the rendition.
    pub rendition: String,
    /// The chunk after the join.
    pub chunk: ChunkIndex,
    /// By how many points the frames after it score more than those before it: as delivered or, where that was
    /// repaired, as it was.
    pub points: f64,
    /// Where it comes from.
    pub cause: Cause,
    /// Whether a repair has made it invisible.
    pub is_repaired: bool,
}

/// One chunk.
#[derive(Debug)]
struct Place {
    seconds: f64,
    state: State,
    /// What was encoded, by rendition, as far as it is checked; empty before it is there.
    encodes: BTreeMap<String, Versions>,
}

#[derive(Debug)]
enum State {
    Awaited,
    Held(EncodedChunk),
    InRepair(EncodedChunk, Vec<Wish>),
    Passed,
}

/// One rendition of a chunk.
#[derive(Clone, Copy, Debug)]
struct Versions {
    first: Encode,
    delivered: Encode,
}

impl Gathering {
    /// A gathering of chunks that are shown for so many seconds each, of whose renditions `target` is asked; without one
    /// they are not measured. Renditions that are not under a rate cap are left alone.
    pub fn new(target: Option<Target>, renditions: &[Rendition], seconds: impl IntoIterator<Item = f64>) -> Self {
        let bounds = |rendition: &Rendition| Some((rendition.name.clone(), rendition.bounds()?));
        let bounds = target.iter().flat_map(|_| renditions).filter_map(bounds).collect();
        let place = |seconds| Place { seconds, state: State::Awaited, encodes: BTreeMap::new() };
        Self { target, bounds, places: seconds.into_iter().map(place).collect() }
    }

    /// Takes the first result of a chunk. One that is not awaited is passed on as it is: the stitcher refuses it.
    pub fn accept(&mut self, chunk: EncodedChunk) -> Vec<Next> {
        let at = chunk.chunk.0 as usize;
        let Some(place) = self.places.get_mut(at).filter(|place| matches!(place.state, State::Awaited)) else {
            return vec![Next::Deliver(chunk)];
        };
        let encodes = chunk.renditions.iter().filter_map(|it| {
            let first = encode(it, *self.bounds.get(&it.rendition)?, place.seconds)?;
            Some((it.rendition.clone(), Versions { first, delivered: first }))
        });
        place.encodes = encodes.collect();
        if self.bounds.is_empty() {
            place.state = State::Passed;
            return vec![Next::Deliver(chunk)];
        }
        place.state = State::Held(chunk);
        (at.saturating_sub(1)..=at + 1).filter_map(|at| self.decide(at)).collect()
    }

    /// Takes what came of a repair, and chooses between it and the first result, rendition by rendition.
    pub fn repaired(&mut self, again: EncodedChunk) -> Vec<Next> {
        let at = again.chunk.0 as usize;
        let chosen: Vec<_> = again.renditions.into_iter().map(|it| (self.improvement(at, &it), it)).collect();
        let Some(mut chunk) = self.take_from_repair(at) else {
            return chosen.into_iter().map(|(_, it)| Next::Delete(it.spool)).collect();
        };
        let mut next = Vec::new();
        for (improvement, mut other) in chosen {
            if let Some(first) = chunk.renditions.iter_mut().find(|it| it.rendition == other.rendition) {
                let encodings = first.encodings + other.encodings;
                if let Some(encode) = improvement {
                    other.outcome = self.target.map(|target| outcome(&target, &encode.tried));
                    self.places[at].encodes.entry(other.rendition.clone()).and_modify(|it| it.delivered = encode);
                    std::mem::swap(first, &mut other);
                }
                first.encodings = encodings;
            }
            next.push(Next::Delete(other.spool));
        }
        next.push(Next::Deliver(chunk));
        next
    }

    /// A repair came to nothing: the first result is good enough.
    pub fn leave(&mut self, chunk: ChunkIndex) -> Option<Next> {
        self.take_from_repair(chunk.0 as usize).map(Next::Deliver)
    }

    /// What is asked of the repair of a chunk; `None` if it is not being repaired.
    pub fn in_repair(&self, chunk: ChunkIndex) -> Option<&[Wish]> {
        match &self.places.get(chunk.0 as usize)?.state {
            State::InRepair(_, wishes) => Some(wishes),
            State::Awaited | State::Held(_) | State::Passed => None,
        }
    }

    /// The chunks that are being repaired.
    pub fn repairs(&self) -> impl Iterator<Item = ChunkIndex> {
        (0..).map(ChunkIndex).take(self.places.len()).filter(|chunk| self.in_repair(*chunk).is_some())
    }

    /// The joins that show, in order, rendition by rendition; known as far as both chunks are there.
    pub fn joins(&self) -> Vec<Join> {
        let pairs = || self.places.windows(2).zip(1..);
        let of = |rendition: &String| {
            let rendition = rendition.clone();
            pairs().filter_map(move |(pair, chunk)| {
                join(&rendition, ChunkIndex(chunk), pair[0].encodes.get(&rendition)?, pair[1].encodes.get(&rendition)?)
            })
        };
        self.bounds.keys().flat_map(of).collect()
    }

    /// What is to be done with a chunk that is held, once its neighbours are there.
    fn decide(&mut self, at: usize) -> Option<Next> {
        let is_there = |at: usize| self.places.get(at).is_none_or(|place| !matches!(place.state, State::Awaited));
        let is_held = self.places.get(at).is_some_and(|place| matches!(place.state, State::Held(_)));
        if !is_held || !is_there(at + 1) || !at.checked_sub(1).is_none_or(is_there) {
            return None;
        }
        let wishes = self.wishes(at);
        let place = &mut self.places[at];
        let State::Held(chunk) = std::mem::replace(&mut place.state, State::Passed) else { return None };
        if wishes.is_empty() {
            return Some(Next::Deliver(chunk));
        }
        let index = chunk.chunk;
        place.state = State::InRepair(chunk, wishes.clone());
        Some(Next::Repair(index, wishes))
    }

    fn wishes(&self, at: usize) -> Vec<Wish> {
        let factor = |step: Option<Step>, own: Side| step.filter(|step| step.worse == own)?.factor;
        let wish = |(rendition, versions): (&String, &Versions)| {
            let own = &versions.first;
            let (before, after) = self.beside(at, rendition);
            let start = factor(before.and_then(|it| judge(it, own)), Side::After);
            let end = factor(after.and_then(|it| judge(own, it)), Side::Before);
            let crf = start.into_iter().chain(end).reduce(f64::min)?;
            Some(Wish { rendition: rendition.clone(), crf })
        };
        self.places[at].encodes.iter().filter_map(wish).collect()
    }

    /// What this repair is, if it is better than what it is to repair.
    fn improvement(&self, at: usize, again: &EncodedRendition) -> Option<Encode> {
        let (place, name) = (self.places.get(at)?, &again.rendition);
        let first = &place.encodes.get(name)?.first;
        let again = Encode { is_repair: true, ..encode(again, *self.bounds.get(name)?, place.seconds)? };
        let (before, after) = self.beside(at, name);
        is_improved(&self.target?, first, &again, before, after).then_some(again)
    }

    /// The first encodes of a chunk's neighbours.
    fn beside(&self, at: usize, rendition: &str) -> (Option<&Encode>, Option<&Encode>) {
        let of = |at: Option<usize>| self.places.get(at?)?.encodes.get(rendition).map(|it| &it.first);
        (of(at.checked_sub(1)), of(at.checked_add(1)))
    }

    fn take_from_repair(&mut self, at: usize) -> Option<EncodedChunk> {
        let place = self.places.get_mut(at)?;
        match std::mem::replace(&mut place.state, State::Passed) {
            State::InRepair(chunk, _) => Some(chunk),
            other => {
                place.state = other;
                None
            }
        }
    }
}

/// What the join check looks at in `encoded`; `None` if it was not measured.
fn encode(encoded: &EncodedRendition, bounds: Bounds, seconds: f64) -> Option<Encode> {
    let tried = encoded.tried(bounds, seconds)?;
    let mut shown: Vec<_> = encoded.samples.iter().collect();
    shown.sort_by_key(|sample| sample.pts);
    let sizes: Vec<_> = shown.iter().map(|it| SampleSize { bytes: it.size, sync: it.sync }).collect();
    Encode::new(tried, encoded.fidelity.as_deref()?, &sizes)
}

fn join(rendition: &str, chunk: ChunkIndex, before: &Versions, after: &Versions) -> Option<Join> {
    let points = step(&before.delivered, &after.delivered);
    let found = judge(&before.first, &after.first);
    let is_repaired = points.abs() < VISIBLE;
    let (points, cause) = match found {
        Some(found) if is_repaired => (found.points, found.cause),
        Some(found) => (points, found.cause),
        None => (points, judge(&before.delivered, &after.delivered)?.cause),
    };
    Some(Join { rendition: rendition.to_owned(), chunk, points, cause, is_repaired })
}
