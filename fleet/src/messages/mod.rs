//! What is said on the bus, one file a step: a task is offered ([`Offer`]), nodes report ([`Report`]), the driver answers
//! one of them ([`Control`]). Whoever wants jobs done asks the driver ([`Request`], [`Reply`], [`Ended`]), and splitters ask
//! stitchers ([`Lookup`], [`Found`]). What is asked for and offered names the span that it is below ([`TraceContext`]). The
//! ledger's records travel in the same envelope.
//!
//! A message is an envelope and an rkyv archive, which is validated before anything in it is looked at ([`decode`]).
//! Bytes from elsewhere never make this panic, and never allocate more than a small multiple of their own number.
#![allow(missing_docs, reason = "what rkyv derives has fields that nobody can document")]

mod control;
mod envelope;
mod names;
mod offer;
mod report;
mod request;
#[cfg(test)]
mod tests;
mod trace;

pub use control::Control;
pub use envelope::{HEAD, Kind, LIMIT, Message, NoMessage, VERSION, decode, encode};
pub use names::{AttemptId, JobNumber, NoName, NodeId, Pool};
pub use offer::{Offer, Settings};
pub use report::{Happened, Report, Why};
pub use request::{Ended, Found, Lookup, Made, Reply, Request, Standing};
pub use trace::{NoTraceContext, TraceContext};
