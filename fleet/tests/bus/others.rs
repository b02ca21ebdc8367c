//! Buses that need no server.

use std::time::Duration;

use vtp_fleet::bus::{Faults, Faulty, LocalBus};

use crate::suite;
use crate::support::TERMS;

#[tokio::test(start_paused = true)]
async fn the_bus_within_a_process_does_what_buses_do() {
    suite::all(async || LocalBus::new(TERMS)).await;
}

#[tokio::test(start_paused = true)]
async fn a_faulty_bus_without_faults_does_what_buses_do() {
    suite::all(async || Faulty::new(LocalBus::new(TERMS), Faults::default(), 1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_doubles_everything_does_what_buses_do() {
    let faults = Faults { double: 1.0, ..Faults::default() };
    suite::all(async || Faulty::new(LocalBus::new(TERMS), faults, 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_slow_now_and_then_does_what_buses_do() {
    let faults = Faults { delay: 0.3, late: Duration::from_millis(30), ..Faults::default() };
    suite::all(async || Faulty::new(LocalBus::new(TERMS), faults, 3)).await;
}
