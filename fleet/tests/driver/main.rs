//! The driver with nodes: on a bus within the process, on one with faults, and on a real server that is killed.

#[path = "../bus/support.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of the bus use the rest")]
mod support;

mod ahead;
mod clients;
mod core;
mod fleet;
mod fleets;
mod nats;
mod spans;
mod urgent;
