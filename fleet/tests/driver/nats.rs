//! A fleet on a real nats-server that is killed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::StreamExt as _;
use vtp_fleet::bus::nats::{Access, NatsBus, NatsNews};
use vtp_fleet::bus::{Bus as _, News as _, Piece, Terms};
use vtp_fleet::driver::Notice;
use vtp_fleet::ledger::{FileLedger, MemoryLedger, Outcome};
use vtp_fleet::messages::{Happened, Report};

use crate::fleet::{Node, Running, Slow, submission};
use crate::support::{Server, node, pool};

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

/// Waits until a driver counts itself as cut off, or as no longer so; at most two minutes.
async fn until_cut_off(driver: &Running, is_cut_off: bool) {
    for _ in 0..1200 {
        if driver.handle.counts().is_cut_off.load(Ordering::Relaxed) == is_cut_off {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the driver never counts itself so: cut off {is_cut_off}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_while_the_driver_runs_loses_nothing() {
    let Some(mut server) = Server::start() else { return };
    let mut driver = Running::start(&connect(&server, "driver").await, MemoryLedger::default()).await;
    let _node = Node::start(&connect(&server, "a").await, "a", 2, Slow::of_ms(40));
    driver.handle.submit(submission(1, 60)).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.server.kill().expect("killed");
    server.server.wipe().expect("nothing is left");
    server.server.restart().expect("started again");
    let (accepted, ends) =
        tokio::time::timeout(Duration::from_secs(90), driver.ended(&[1])).await.expect("the job ends");
    assert_eq!((accepted.len(), &ends[..]), (60, &[Notice::Done { job: 1 }][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_removed_while_the_driver_runs_are_made_again() {
    let Some(server) = Server::start() else { return };
    let mut driver = Running::start(&connect(&server, "driver").await, MemoryLedger::default()).await;
    let _node = Node::start(&connect(&server, "a").await, "a", 2, Slow::of_ms(40));
    driver.handle.submit(submission(1, 60)).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let names: Vec<_> = context.stream_names().collect().await;
    assert_eq!(names.len(), 5);
    for name in names {
        context.delete_stream(name.expect("a name")).await.expect("it is deleted");
    }
    let (accepted, ends) =
        tokio::time::timeout(Duration::from_secs(90), driver.ended(&[1])).await.expect("the job ends");
    assert_eq!((accepted.len(), &ends[..]), (60, &[Notice::Done { job: 1 }][..]));
    assert_eq!(context.stream_names().count().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_stands_still_for_a_driver_whose_server_is_silent() {
    let Some(server) = Server::start() else { return };
    let driver = Running::start(&connect(&server, "driver").await, MemoryLedger::default()).await;
    until_cut_off(&driver, false).await;
    let signal = |name: &str| {
        let pid = server.server.pid().to_string();
        let status = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("it runs").success());
    };
    // The connection is there, and nobody is at its other end.
    signal("-STOP");
    until_cut_off(&driver, true).await;
    signal("-CONT");
    until_cut_off(&driver, false).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_leave_while_the_server_is_away_leaves() {
    let Some(mut server) = Server::start() else { return };
    let driver = Running::start(&connect(&server, "driver").await, MemoryLedger::default()).await;
    let work = Slow::of_ms(60_000);
    let drain = Duration::from_secs(1);
    let node = Node::draining(&connect(&server, "a").await, "a", 2, drain, work.clone());
    driver.handle.submit(submission(1, 2)).await.expect("taken");
    while work.begun.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.server.kill().expect("killed");
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.leave.send(true).expect("it listens");
    let ended = tokio::time::timeout(Duration::from_secs(20), node.running).await;
    ended.expect("it leaves").expect("it ends").expect("as it was told to");
}

/// The numbers of the reports that come within two seconds, up to `until`.
async fn sequences(news: &mut NatsNews, until: u64) -> Vec<u64> {
    let (mut all, end) = (Vec::new(), tokio::time::Instant::now() + Duration::from_secs(2));
    while all.last() != Some(&until) && tokio::time::Instant::now() < end {
        for piece in news.next(100, Duration::from_millis(100)).await.expect("the server is there") {
            if let Piece::Report(report) = piece {
                all.push(report.sequence);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_news_goes_to_the_driver_that_took_over_and_none_to_the_one_that_stands_still() {
    let Some(server) = Server::start() else { return };
    let (first, second, reporter) =
        (connect(&server, "driver").await, connect(&server, "driver").await, connect(&server, "a").await);
    let report = async |sequences: std::ops::RangeInclusive<u64>| {
        for sequence in sequences {
            let happened = vec![Happened::Alive { doing: Vec::new() }];
            let report = Report { node: node("a"), session: 1, sequence, happened };
            reporter.report(&report).await.expect("kept");
        }
    };
    first.prepare(&[pool("cpu")]).await.expect("it is made");
    let mut still = first.news().await.expect("the server is there");
    report(1..=10).await;
    assert_eq!(sequences(&mut still, 10).await, (1..=10).collect::<Vec<_>>());
    still.ack().await.expect("acknowledged");
    // It hears of these, and does no more.
    report(11..=20).await;
    assert_eq!(sequences(&mut still, 20).await, (11..=20).collect::<Vec<_>>());

    second.prepare(&[pool("cpu")]).await.expect("it is as it should be");
    let mut news = second.news().await.expect("the server is there");
    report(21..=60).await;
    assert_eq!(sequences(&mut news, 60).await, (11..=60).collect::<Vec<_>>(), "at once, each, in order");
    news.ack().await.expect("acknowledged");
    // What one that has left was given and did not acknowledge comes again, and before what is newer.
    report(61..=61).await;
    assert_eq!(sequences(&mut news, 61).await, [61]);
    drop((still, news));
    let mut news = second.news().await.expect("the server is there");
    report(62..=62).await;
    assert_eq!(sequences(&mut news, 62).await, [61, 62]);
}
