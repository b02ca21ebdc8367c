//! What a node has to report: it is gathered, sent one report at a time, and what it is about is acknowledged then. Never: a
//! report that overtakes the one before.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Bus, Receipt, Tasks};
use crate::messages::{Happened, NodeId, Report};

/// How long a report waits for more to say. A report costs the server a sync, and a task takes seconds.
const LINGER: Duration = Duration::from_millis(3);

pub(super) type ReceiptOf<B> = <<B as Bus>::Tasks as Tasks>::Receipt;

/// What is to be reported, and acknowledged once it is.
pub(super) struct Reporter<R> {
    node: NodeId,
    session: u64,
    sequence: u64,
    happened: Vec<Happened>,
    receipts: Vec<R>,
    due: Option<Instant>,
    /// As many words as make waiting for more pointless: what all slots have to say.
    enough: usize,
}

impl<R> Reporter<R> {
    pub(super) fn new(node: NodeId, slots: u16) -> Self {
        Self {
            node,
            session: fastrand::u64(..),
            sequence: 0,
            happened: Vec::new(),
            receipts: Vec::new(),
            due: None,
            enough: 2 * usize::from(slots),
        }
    }

    /// Something has happened.
    pub(super) fn say(&mut self, happened: Happened) {
        self.happened.push(happened);
    }

    /// What is acknowledged when all that was said so far is reported.
    pub(super) fn acknowledge(&mut self, receipts: Vec<R>) {
        self.receipts.extend(receipts);
    }

    /// When the next report is to be sent, if there is something to say.
    pub(super) fn due(&mut self) -> Option<Instant> {
        if self.happened.is_empty() {
            return None;
        }
        Some(*self.due.get_or_insert_with(|| Instant::now() + LINGER))
    }

    /// The next report, if it is due or has become long.
    pub(super) fn next(&mut self) -> Option<(Report, Vec<R>)> {
        let due = self.due.is_some_and(|due| due <= Instant::now());
        if self.happened.is_empty() || !(due || self.happened.len() >= self.enough) {
            return None;
        }
        self.due = None;
        self.sequence += 1;
        let happened = std::mem::take(&mut self.happened);
        let report = Report { node: self.node.clone(), session: self.session, sequence: self.sequence, happened };
        Some((report, std::mem::take(&mut self.receipts)))
    }
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
            tracing::error!(%error, "a report is of no use, and lost");
            break;
        }
        tokio::time::sleep(patience).await;
        patience = (patience * 2).min(Duration::from_secs(5));
    }
    for receipt in receipts {
        // Where it is lost, the task comes again, and whoever gets it is told to stop.
        let _ = receipt.ack().await;
    }
}
