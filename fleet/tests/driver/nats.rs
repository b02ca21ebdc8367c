//! A fleet on a real nats-server that is killed.

use std::time::Duration;

use vtp_fleet::bus::Terms;
use vtp_fleet::bus::nats::{Access, NatsBus};
use vtp_fleet::driver::Notice;
use vtp_fleet::ledger::{FileLedger, MemoryLedger, Outcome};

use crate::fleet::{Node, Running, Slow, submission};
use crate::support::Server;

async fn connect(server: &Server, name: &str) -> NatsBus {
    NatsBus::connect(&Access::anonymous(server.server.url(), name), Terms::default(), 1).await.expect("let in")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_with_tasks_in_flight_loses_nothing() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = FileLedger::open(folder.path()).expect("a journal");
    let mut driver = Running::start(&connect(&server, "driver").await, ledger).await;
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        nodes.push(Node::start(&connect(&server, name).await, name, 2, Slow::of_ms(40)));
    }
    driver.handle.submit(submission(1, 120)).await.expect("taken");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.server.kill().expect("killed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.server.restart().expect("started again");
    }
    let (accepted, ends) = driver.ended(&[1]).await;
    assert_eq!((accepted.len(), &ends[..]), (120, &[Notice::Done { job: 1 }][..]));
    driver.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_loses_nothing() {
    let Some(mut server) = Server::start() else { return };
    let ledger = MemoryLedger::default();
    let driver = Running::start(&connect(&server, "driver").await, ledger.clone()).await;
    let _node = Node::start(&connect(&server, "a").await, "a", 2, Slow::of_ms(40));
    driver.handle.submit(submission(1, 60)).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(500)).await;
    driver.kill().await;
    server.server.kill().expect("killed");
    server.server.wipe().expect("nothing is left");
    server.server.restart().expect("started again");

    let mut driver = Running::start(&connect(&server, "driver").await, ledger.clone()).await;
    driver.ended(&[1]).await;
    let state = ledger.state();
    assert_eq!(state.job(1).and_then(|job| job.outcome.clone()), Some(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_leave_takes_back_what_it_has_asked_the_server_for() {
    let Some(server) = Server::start() else { return };
    let ledger = MemoryLedger::default();
    let mut driver = Running::start(&connect(&server, "driver").await, ledger).await;
    let leaves = Node::start(&connect(&server, "a").await, "a", 4, Slow::of_ms(20_000));
    driver.handle.submit(submission(1, 1)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(2)).await;
    leaves.leave.send(true).expect("it listens");
    tokio::time::sleep(Duration::from_millis(500)).await;
    // It finishes what it has, and three of its slots are free.
    let _other = Node::start(&connect(&server, "b").await, "b", 4, Slow::of_ms(10));
    driver.handle.submit(submission(2, 3)).await.expect("taken");
    let done = tokio::time::timeout(Duration::from_secs(10), driver.ended(&[2])).await;
    assert_eq!(done.expect("nobody else has its tasks").1, [Notice::Done { job: 2 }]);
}
