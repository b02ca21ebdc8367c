//! Drivers that share a ledger take turns: one leads, the others stand by until its lease has run out or it has left.

use std::time::Duration;

use super::{Config, Driver, Error, SpanSink, serve};
use crate::bus::{Bus, Talk};
use crate::ledger::{self, Ledger};
use crate::metrics::LEADS;

/// How often whoever stands by looks whether it is its turn.
const LOOK: Duration = Duration::from_millis(250);

/// What a driver does now.
#[derive(Debug)]
pub enum Turn<'a> {
    /// It leads.
    Leads,
    /// It waits, for this reason.
    StandsBy(&'a ledger::Error),
}

/// Drives whenever it is this driver's turn, until the bus closes. What another has done meanwhile is in the ledger, so each turn
/// begins as the life of a driver that was started anew: what was kept and not published before it is published then. `sink` makes
/// whoever is told of spans, for each turn; `told` hears what this one does now.
///
/// # Errors
/// [`Error`], but for those of the ledger that pass.
pub async fn take_turns<B, L>(
    bus: B,
    ledger: L,
    config: Config,
    sink: impl Fn() -> Option<Box<dyn SpanSink>>,
    told: impl Fn(Turn<'_>),
) -> Result<(), Error>
where
    B: Bus + Talk,
    L: Ledger + Clone,
{
    let mut said = String::new();
    loop {
        let began = || {
            metrics::gauge!(LEADS).set(1.0);
            told(Turn::Leads);
        };
        let (ended, led) = turn(&bus, ledger.clone(), config.clone(), sink(), began).await;
        metrics::gauge!(LEADS).set(0.0);
        let Err(Error::Ledger(error)) = ended else { return ended };
        if !error.is_passing() {
            return Err(error.into());
        }
        let why = error.to_string();
        if led || said != why {
            told(Turn::StandsBy(&error));
            said = why;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How it ended, and whether it began.
async fn turn<B: Bus + Talk, L: Ledger>(
    bus: &B,
    ledger: L,
    config: Config,
    sink: Option<Box<dyn SpanSink>>,
    began: impl FnOnce(),
) -> (Result<(), Error>, bool) {
    let (mut driver, handle, notices) = match Driver::start(bus.clone(), ledger, config).await {
        Ok(started) => started,
        Err(error) => return (Err(error), false),
    };
    if let Some(sink) = sink {
        driver.trace_to(sink);
    }
    let desk = driver.take_desk();
    began();
    let ended = tokio::select! {
        ended = driver.run() => ended,
        ended = serve(bus.clone(), handle, desk, notices) => ended.map_err(Error::Bus),
    };
    (ended, true)
}
