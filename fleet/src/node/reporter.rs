//! What a node has to report: it is gathered, sent one report at a time, and what it is about is acknowledged then. Never: a
//! report that overtakes the one before, one that is too long for the bus, an acknowledgement of what is not reported.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Bus, Receipt, Tasks};
use crate::messages::{self, AttemptId, Happened, NodeId, Report, Why};

/// How long a report waits for more to say. A report costs the server a sync, and a task takes seconds.
const LINGER: Duration = Duration::from_millis(3);

/// Bytes that a word takes in a report besides what it has of its own, and a report besides its words: more than they do.
const AROUND: usize = 256;
/// Bytes that the words of a report may have.
const MOST: usize = messages::LIMIT - 4 * AROUND;
/// Bytes of a sentence for the user.
const SENTENCE: usize = 64 * 1024;

pub(super) type ReceiptOf<B> = <<B as Bus>::Tasks as Tasks>::Receipt;

/// What is to be reported, and acknowledged once it is.
pub(super) struct Reporter<R> {
    node: NodeId,
    session: u64,
    sequence: u64,
    words: VecDeque<Word<R>>,
    due: Option<Instant>,
    /// As many words as make waiting for more pointless: what all slots have to say.
    enough: usize,
}

/// One thing that has happened, and what is acknowledged when it is reported.
struct Word<R> {
    happened: Happened,
    receipts: Vec<R>,
}

impl<R> Reporter<R> {
    pub(super) fn new(node: NodeId, slots: u16) -> Self {
        Self {
            node,
            session: fastrand::u64(..),
            sequence: 0,
            words: VecDeque::new(),
            due: None,
            enough: 2 * usize::from(slots),
        }
    }

    /// Which life of the node this is.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// Something has happened.
    pub(super) fn say(&mut self, happened: Happened) {
        self.say_of(happened, Vec::new());
    }

    /// Something has happened with a task. When that is reported, it is acknowledged with these.
    pub(super) fn say_of(&mut self, happened: Happened, receipts: Vec<R>) {
        self.words.push_back(Word { happened: fitting(happened), receipts });
    }

    /// When the next report is to be sent, if there is something to say.
    pub(super) fn due(&mut self) -> Option<Instant> {
        if self.words.is_empty() {
            return None;
        }
        Some(*self.due.get_or_insert_with(|| Instant::now() + LINGER))
    }

    /// The next report, if it is due or has become long: as many words as fit, and at least one.
    pub(super) fn next(&mut self) -> Option<(Report, Vec<R>)> {
        let now = Instant::now();
        let due = self.due.is_some_and(|due| due <= now);
        if self.words.is_empty() || !(due || self.words.len() >= self.enough) {
            return None;
        }
        let mut bytes = 0;
        let fits = |word: &&Word<R>| {
            bytes += size(&word.happened);
            bytes <= MOST
        };
        let count = self.words.iter().take_while(fits).count().max(1);
        let (happened, receipts): (Vec<_>, Vec<_>) =
            self.words.drain(..count).map(|Word { happened, receipts }| (happened, receipts)).unzip();
        // What did not fit has waited long enough.
        self.due = (!self.words.is_empty()).then_some(now);
        self.sequence += 1;
        let report = Report { node: self.node.clone(), session: self.session, sequence: self.sequence, happened };
        Some((report, receipts.into_iter().flatten().collect()))
    }
}

/// A word that fits into a report: a result that does not has come to nothing, for nobody would ever hear of it.
fn fitting(happened: Happened) -> Happened {
    match happened {
        Happened::Finished { id, result } if result.len() > MOST - AROUND => too_long(id, result.len()),
        Happened::Failed { id, why, mut message } if message.len() > SENTENCE => {
            message.truncate(message.floor_char_boundary(SENTENCE));
            Happened::Failed { id, why, message }
        }
        happened => happened,
    }
}

fn too_long(id: AttemptId, bytes: usize) -> Happened {
    let message = format!("what is to be told of the result has {bytes} bytes, and a report no more than {MOST}");
    tracing::error!(%id, message);
    Happened::Failed { id, why: Why::Permanent, message }
}

/// Bytes that a word takes in a report, at most.
fn size(happened: &Happened) -> usize {
    let own = match happened {
        Happened::Joined { doing, .. } | Happened::Alive { doing } => size_of_val(doing.as_slice()),
        Happened::Finished { result, .. } => result.len(),
        Happened::Failed { message, .. } => message.len(),
        Happened::Started { .. }
        | Happened::HandedBack { .. }
        | Happened::Unable { .. }
        | Happened::Draining
        | Happened::Left => 0,
    };
    own + AROUND
}

/// Reports, however often it takes, and acknowledges what the report is about.
pub(super) async fn send<B: Bus>(bus: B, report: Report, receipts: Vec<ReceiptOf<B>>) {
    let mut patience = Duration::from_millis(100);
    while let Err(error) = bus.report(&report).await {
        // At first it may be that the driver is not there yet, who makes the streams.
        if patience > Duration::from_secs(1) {
            tracing::warn!(%error, "a report does not get through, and is sent again");
        }
        if !error.is_retryable() {
            // What it is about is not acknowledged, so it is delivered again, to somebody who can say what became of it.
            tracing::error!(%error, "a report is of no use, and lost");
            return;
        }
        tokio::time::sleep(patience).await;
        patience = (patience * 2).min(Duration::from_secs(5));
    }
    for receipt in receipts {
        // Where it is lost, the task comes again, and whoever gets it is told to stop.
        let _ = receipt.ack().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter() -> Reporter<u32> {
        Reporter::new(NodeId::new("node-1").expect("a name"), 1)
    }

    fn id(chunk: u32) -> AttemptId {
        AttemptId { job: 1, chunk, attempt: 1 }
    }

    /// All reports that there are, each with what is acknowledged after it.
    fn reports(reporter: &mut Reporter<u32>) -> Vec<(Report, Vec<u32>)> {
        std::iter::from_fn(|| {
            reporter.due = reporter.due.or_else(|| Some(Instant::now()));
            reporter.next()
        })
        .collect()
    }

    #[test]
    fn what_does_not_fit_into_a_report_goes_with_the_next_and_so_do_its_receipts() {
        let mut reporter = reporter();
        for chunk in 0..8 {
            reporter.say(Happened::Started { id: id(chunk) });
            reporter.say_of(Happened::Finished { id: id(chunk), result: vec![7; 300_000] }, vec![chunk]);
        }
        let all = reports(&mut reporter);
        assert!(all.iter().all(|(report, _)| messages::encode(report).is_ok()), "none is too long");
        assert_eq!(all.iter().map(|(report, _)| report.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        for (report, receipts) in &all {
            let finished = report.happened.iter().filter_map(|it| match it {
                Happened::Finished { id, .. } => Some(id.chunk),
                _ => None,
            });
            assert_eq!(&finished.collect::<Vec<_>>(), receipts);
        }
        assert_eq!(
            all.iter().flat_map(|(_, receipts)| receipts).copied().collect::<Vec<_>>(),
            (0..8).collect::<Vec<_>>()
        );
        assert!(reporter.due().is_none());
    }

    #[test]
    fn a_result_that_fits_into_no_report_is_a_failed_attempt_with_a_reason() {
        let mut reporter = reporter();
        reporter.say_of(Happened::Finished { id: id(1), result: vec![7; messages::LIMIT] }, vec![1]);
        let message = "ä".repeat(messages::LIMIT);
        reporter.say_of(Happened::Failed { id: id(2), why: Why::Crash, message }, vec![2]);
        let all = reports(&mut reporter);
        assert!(all.iter().all(|(report, _)| messages::encode(report).is_ok()));
        let happened: Vec<_> = all.iter().flat_map(|(report, _)| &report.happened).collect();
        let Happened::Failed { why: Why::Permanent, message, .. } = happened[0] else { panic!("{happened:?}") };
        assert!(message.contains("983040 bytes"), "{message}");
        assert!(matches!(happened[1], Happened::Failed { why: Why::Crash, .. }));
        assert_eq!(all.iter().flat_map(|(_, receipts)| receipts).copied().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_longest_report_of_many_words_is_not_too_long() {
        let mut reporter = reporter();
        for chunk in 0..20_000 {
            reporter.say_of(Happened::Finished { id: id(chunk), result: vec![7; chunk as usize % 50] }, vec![chunk]);
            reporter.say(Happened::Alive { doing: vec![id(chunk); chunk as usize % 5] });
        }
        let all = reports(&mut reporter);
        assert!(all.iter().all(|(report, _)| messages::encode(report).is_ok()));
        assert_eq!(all.iter().map(|(_, receipts)| receipts.len()).sum::<usize>(), 20_000);
    }
}
