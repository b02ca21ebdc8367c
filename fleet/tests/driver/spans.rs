//! Spans of drivers that run, in paused time: one trace, whatever happens to the driver.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vtp_fleet::bus::{LocalBus, Terms};
use vtp_fleet::driver::{EndBy, Of, Span, SpanSink};
use vtp_fleet::ledger::MemoryLedger;
use vtp_fleet::messages::{Offer, TraceContext};
use vtp_fleet::node::{Outcome, Work};

use crate::fleet::{Node, Running, config, submission};

/// Keeps the spans of all drivers that it is given to.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Span>>>);

impl SpanSink for Kept {
    fn ended(&self, span: Span) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }
}

/// Takes its time, and keeps which spans it was offered work below.
#[derive(Clone, Debug, Default)]
struct Below(Arc<Mutex<Vec<TraceContext>>>);

impl Work for Below {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Outcome> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> Outcome {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(offer.trace);
        tokio::time::sleep(Duration::from_secs(5)).await;
        Outcome::Finished { result: vec![offer.id.chunk as u8] }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_driver_is_killed_has_one_trace_in_which_all_spans_have_parents() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let (kept, work) = (Kept::default(), Below::default());
    let _nodes = [Node::start(&bus, "a", 2, work.clone()), Node::start(&bus, "b", 2, work.clone())];
    let mut driver = Running::traced(&bus, ledger.clone(), config(), Some(Box::new(kept.clone()))).await;
    driver.handle.submit(submission(1, 12)).await.expect("taken");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(3_300)).await;
        driver.kill().await;
        driver = Running::traced(&bus, ledger.clone(), config(), Some(Box::new(kept.clone()))).await;
    }
    driver.ended(&[1]).await;
    let spans = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let root = submission(1, 12).trace;
    let (jobs, attempts): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| matches!(span.of, Of::Job { .. }));
    assert_eq!((jobs.len(), attempts.len()), (1, 12));
    assert_eq!((jobs[0].parent, &jobs[0].end_by), (root, &EndBy::Done));
    assert!(spans.iter().all(|span| span.context.trace() == root.trace() && span.end >= span.start));
    assert!(attempts.iter().all(|span| span.parent == jobs[0].context && span.end_by == EndBy::Done));
    let named = |spans: &[TraceContext]| spans.iter().map(|it| it.span()).collect::<BTreeSet<u64>>();
    let offered = work.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ended: Vec<TraceContext> = attempts.iter().map(|span| span.context).collect();
    assert_eq!(named(&offered), named(&ended), "what nodes did is below the attempts' spans");
    assert_eq!(named(&ended).len(), 12);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_lost_has_a_span_of_its_own() {
    let (bus, kept) = (LocalBus::new(Terms::default()), Kept::default());
    let mut driver = Running::traced(&bus, MemoryLedger::default(), config(), Some(Box::new(kept.clone()))).await;
    let lost = Node::start(&bus, "a", 1, Below::default());
    driver.handle.submit(submission(1, 1)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
    lost.kill();
    let _node = Node::start(&bus, "b", 1, Below::default());
    driver.ended(&[1]).await;
    let spans = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ends: Vec<(&EndBy, Option<u32>)> = spans
        .iter()
        .map(|span| (&span.end_by, if let Of::Attempt { id, .. } = &span.of { Some(id.attempt) } else { None }))
        .collect();
    assert_eq!(ends, [(&EndBy::PutDown, Some(1)), (&EndBy::Done, Some(2)), (&EndBy::Done, None)]);
}
