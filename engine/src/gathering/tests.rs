//! Chunks of a scripted encoder, whose score is a matter of the rate factor and of each chunk's content.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk::{Sample, StageCpu};
use crate::ladder::{Method, Search};
use crate::quality::{FrameScore, Outcome};
use crate::units::{Attempt, BitRate, Ratio, Size};

const TARGET: Target = Target { mean: 50.0, floor: 20.0, save: false };
const FRAMES: u32 = 25;

/// One chunk: what it scores at factor 23, by how much less at its end, and the factor that the gate chose.
#[derive(Clone, Copy, Debug)]
struct Scripted {
    score: f64,
    sag: f64,
    crf: f32,
}

const EVEN: Scripted = Scripted { score: 90.0, sag: 0.0, crf: 23.0 };

fn rendition(name: &str, method: Method) -> Rendition {
    Rendition { name: name.to_owned(), size: Size { width: 64, height: 36 }, sample_aspect: Ratio::ONE, method }
}

fn ladder() -> Vec<Rendition> {
    let max_rate = BitRate(1_000_000);
    let capped = Method::h264(23.0, max_rate, 2_000_000, "medium");
    vec![rendition("low", capped), rendition("copy", Method::Copy)]
}

fn gathering(chunks: u32) -> Gathering {
    gathering_of(chunks, Some(TARGET))
}

fn gathering_of(chunks: u32, target: Option<Target>) -> Gathering {
    Gathering::new(target, &ladder(), (0..chunks).map(|_| 1.0))
}

/// A rendition of `script` at `crf`, in a spool file named after both.
fn encoded(at: u32, script: Scripted, crf: f32) -> EncodedRendition {
    let mean = script.score - 1.2 * (f64::from(crf) - 23.0);
    let score = |position, score: f64| FrameScore { position, score: score.clamp(0.0, 100.0), weight: 1.0 };
    let sample = |pts| Sample { pts, size: 1000, sync: pts == 0 };
    EncodedRendition {
        rendition: "low".to_owned(),
        config: Vec::new(),
        samples: (0..FRAMES.into()).map(sample).collect(),
        spool: format!("{at}-{crf}").into(),
        encoder: "scripted".to_owned(),
        crf: Some(crf),
        search: Search::Preset,
        fidelity: Some(vec![score(0, mean), score(6, mean), score(FRAMES - 1, mean - script.sag)]),
        vmaf: None,
        outcome: Some(Outcome::Met),
        encodings: 1,
    }
}

fn chunk(at: u32, renditions: Vec<EncodedRendition>) -> EncodedChunk {
    EncodedChunk { chunk: ChunkIndex(at), attempt: Attempt(1), renditions, cpu: StageCpu::default() }
}

fn first(at: u32, script: Scripted) -> EncodedChunk {
    let copied =
        EncodedRendition { rendition: "copy".to_owned(), fidelity: None, crf: None, ..encoded(at, script, 0.0) };
    chunk(at, vec![encoded(at, script, script.crf), copied])
}

/// Everything that happened to a film whose chunks come in this order, repairs being carried out at the end of it.
fn carried_out(film: &[Scripted], order: &[usize]) -> (BTreeMap<u32, EncodedChunk>, Vec<Join>, Vec<PathBuf>) {
    let mut gathering = gathering(film.len() as u32);
    let (mut delivered, mut deleted) = (BTreeMap::new(), Vec::new());
    let mut todo: Vec<Next> = order.iter().flat_map(|&at| gathering.accept(first(at as u32, film[at]))).collect();
    while let Some(next) = todo.pop() {
        match next {
            Next::Deliver(chunk) => assert!(delivered.insert(chunk.chunk.0, chunk).is_none(), "delivered once"),
            Next::Delete(path) => deleted.push(path),
            Next::Repair(at, wishes) => {
                let again = wishes.iter().map(|it| encoded(at.0, film[at.0 as usize], it.crf as f32)).collect();
                todo.extend(gathering.repaired(chunk(at.0, again)));
            }
        }
    }
    deleted.sort();
    (delivered, gathering.joins(), deleted)
}

fn in_order(film: &[Scripted]) -> (BTreeMap<u32, EncodedChunk>, Vec<Join>, Vec<PathBuf>) {
    carried_out(film, &(0..film.len()).collect::<Vec<_>>())
}

#[test]
fn a_chunk_is_held_until_both_its_neighbours_are_there() {
    let mut gathering = gathering(3);
    assert_eq!(gathering.accept(first(1, EVEN)), []);
    assert_eq!(gathering.accept(first(2, EVEN)), [Next::Deliver(first(2, EVEN))]);
    let rest = gathering.accept(first(0, EVEN));
    assert_eq!(rest, [Next::Deliver(first(0, EVEN)), Next::Deliver(first(1, EVEN))]);
    assert_eq!(gathering.joins(), []);
}

#[test]
fn a_chunk_alone_has_no_joins_to_wait_for() {
    assert_eq!(gathering(1).accept(first(0, EVEN)), [Next::Deliver(first(0, EVEN))]);
}

#[test]
fn where_nothing_is_measured_nothing_is_held_back() {
    let mut gathering = gathering_of(3, None);
    assert_eq!(gathering.accept(first(1, EVEN)), [Next::Deliver(first(1, EVEN))]);
    assert_eq!(gathering.accept(first(0, EVEN)), [Next::Deliver(first(0, EVEN))]);
}

#[test]
fn a_coarse_chunk_beside_a_fine_one_is_encoded_again_and_the_better_one_is_delivered() {
    let coarse = Scripted { crf: 30.0, ..EVEN };
    let (delivered, joins, deleted) = in_order(&[coarse, EVEN, EVEN]);
    let low = &delivered[&0].renditions[0];
    assert_eq!((low.crf, low.encodings, low.outcome), (Some(27.1), 2, Some(Outcome::Met)));
    assert_eq!(deleted, [PathBuf::from("0-30")]);
    let [join] = joins.as_slice() else { panic!("one join shows: {joins:?}") };
    assert_eq!((join.chunk, join.cause, join.is_repaired), (ChunkIndex(1), Cause::Encoding, true));
    assert!((join.points - 8.4).abs() < 1e-9, "{join:?}");
}

#[test]
fn what_comes_from_the_content_is_told_and_left() {
    let (delivered, joins, deleted) = in_order(&[EVEN, Scripted { score: 80.0, ..EVEN }]);
    assert!(delivered.values().all(|chunk| chunk.renditions[0].encodings == 1) && deleted.is_empty());
    let expected = Join {
        rendition: "low".to_owned(),
        chunk: ChunkIndex(1),
        points: -10.0,
        cause: Cause::Content,
        is_repaired: false,
    };
    assert_eq!(joins, [expected]);
}

#[test]
fn a_repair_that_is_no_better_is_not_taken_but_counted() {
    let sagging = Scripted { sag: 8.0, ..EVEN };
    let mut gathering = gathering(2);
    gathering.accept(first(0, sagging));
    let next = gathering.accept(first(1, EVEN));
    assert!(matches!(&next[..], [Next::Repair(ChunkIndex(0), wishes), Next::Deliver(_)] if wishes[0].crf < 23.0));
    let worse = encoded(0, Scripted { sag: 9.0, ..EVEN }, 23.0);
    let next = gathering.repaired(chunk(0, vec![EncodedRendition { spool: "again".into(), ..worse }]));
    let mut kept = first(0, sagging);
    kept.renditions[0].encodings = 2;
    assert_eq!(next, [Next::Delete("again".into()), Next::Deliver(kept)]);
    assert!(!gathering.joins()[0].is_repaired);
}

#[test]
fn a_repair_that_failed_leaves_the_first_result() {
    let mut gathering = gathering(2);
    gathering.accept(first(0, Scripted { sag: 8.0, ..EVEN }));
    gathering.accept(first(1, EVEN));
    assert_eq!(gathering.repairs().collect::<Vec<_>>(), [ChunkIndex(0)]);
    let kept = first(0, Scripted { sag: 8.0, ..EVEN });
    assert_eq!(gathering.leave(ChunkIndex(0)), Some(Next::Deliver(kept)));
    assert_eq!((gathering.leave(ChunkIndex(0)), gathering.in_repair(ChunkIndex(0))), (None, None), "once");
    let late = chunk(0, vec![encoded(0, EVEN, 20.0)]);
    assert_eq!(gathering.repaired(late), [Next::Delete("0-20".into())], "it comes too late");
}

#[test]
fn what_is_not_awaited_is_passed_on() {
    let mut gathering = gathering(1);
    assert_eq!(gathering.accept(first(7, EVEN)), [Next::Deliver(first(7, EVEN))]);
    gathering.accept(first(0, EVEN));
    assert_eq!(gathering.accept(first(0, EVEN)), [Next::Deliver(first(0, EVEN))]);
}

prop_compose! {
    fn any_chunk()(score in 75.0..98.0_f64, sag in prop::sample::select(vec![0.0, 0.0, 8.0]), crf in 18.0..34.0_f32) -> Scripted {
        Scripted { score, sag, crf }
    }
}

fn film_and_order() -> impl Strategy<Value = (Vec<Scripted>, Vec<usize>)> {
    prop::collection::vec(any_chunk(), 1..9).prop_flat_map(|film| {
        let order = Just((0..film.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(film), order)
    })
}

proptest! {
    #[test]
    fn the_order_in_which_results_come_changes_nothing((film, order) in film_and_order()) {
        let (delivered, joins, deleted) = carried_out(&film, &order);
        prop_assert_eq!(delivered.len(), film.len(), "every chunk is delivered");
        prop_assert!(delivered.values().all(|chunk| chunk.renditions[0].encodings <= 2), "and repaired once at most");
        prop_assert_eq!((delivered, joins, deleted), in_order(&film));
    }

    #[test]
    fn repairs_leave_no_more_to_see_than_there_was((film, _) in film_and_order()) {
        let scores: Vec<Encode> = film.iter().zip(0..).map(|(script, at)| {
            encode(&encoded(at, *script, script.crf), ladder()[0].bounds().unwrap(), 1.0).unwrap()
        }).collect();
        let visible = scores.windows(2).filter(|pair| judge(&pair[0], &pair[1]).is_some()).count();
        let (_, joins, _) = in_order(&film);
        prop_assert!(joins.iter().filter(|join| !join.is_repaired).count() <= visible, "{joins:?}");
    }
}
