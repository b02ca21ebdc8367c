//! Drivers that share a ledger take turns: one leads, the others stand by until its lease has run out or it has left.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Config, Driver, Error, Handle, SpanSink, serve};
use crate::bus::{self, Bus, Talk};
use crate::ledger::Ledger;
use crate::metrics::LEADS;

/// How often whoever stands by looks whether it is its turn.
const LOOK: Duration = Duration::from_millis(250);
/// How long whoever leads may be cut off from the bus, where another might not be.
const CUT_OFF: Duration = Duration::from_secs(15);

/// What a driver does now.
#[derive(Debug)]
pub enum Turn<'a> {
    /// It leads.
    Leads,
    /// It waits, for this reason.
    StandsBy(&'a Error),
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
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) if passes(&error) => error,
            Err(error) => return Err(error),
        };
        if let (Error::Bus(_), Err(error)) = (&error, ledger.clone().leave().await) {
            tracing::debug!(%error, "another waits until the lease has run out");
        }
        let why = error.to_string();
        if led || said != why {
            told(Turn::StandsBy(&error));
            said = why;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether another try may do: the ledger is another's or away for now, or so is the bus.
fn passes(error: &Error) -> bool {
    match error {
        Error::Ledger(error) => error.is_passing(),
        Error::Bus(error) => error.is_retryable(),
        _ => false,
    }
}

/// Waits until the driver has been cut off from the bus for so long that another may do better.
async fn until_cut_off(handle: &Handle) {
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let is_cut_off = handle.counts().is_cut_off.load(Ordering::Relaxed);
        since = since.or_else(|| Some(Instant::now())).filter(|_| is_cut_off);
        if since.is_some_and(|since| since.elapsed() >= CUT_OFF) {
            return;
        }
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
    let counted = handle.clone();
    let ended = tokio::select! {
        ended = driver.run() => ended,
        () = until_cut_off(&counted), if L::IS_SHARED => {
            Err(Error::Bus(bus::Error::Unavailable("the bus has been lost for long; another may reach it".to_owned())))
        }
        ended = serve(bus.clone(), handle, desk, notices) => ended.map_err(Error::Bus),
    };
    (ended, true)
}
