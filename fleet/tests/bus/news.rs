//! What the driver reads from JetStream, with a real server.

use std::slice::from_ref;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::FutureExt as _;
use vtp_fleet::bus::{Bus, News, Piece, Tasks};
use vtp_fleet::messages::{self, Happened, Report};

use crate::support::{Server, TERMS, drain, node, offer, pool, prepared, read_until};

fn report(name: &str, sequence: u64) -> Report {
    Report { node: node(name), session: 5, sequence, happened: vec![Happened::Draining] }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_and_not_given_is_not_acknowledged() {
    let Some(server) = Server::start() else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("all").await, from_ref(&cpu)).await;
    let mut news = bus.news().await.expect("news");
    assert!(news.next(10, Duration::from_millis(200)).await.expect("nothing there").is_empty());
    bus.publish(vec![offer(&cpu, 1, 5)]).await.expect("published");
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    for _ in 0..TERMS.max_deliver {
        assert_eq!(tasks.pull(1, Duration::from_secs(10)).await.expect("pulled").len(), 1);
    }
    assert!(drain(&mut tasks, 1, TERMS.ack_wait * 2).await.is_empty(), "it is given up");
    bus.report(&report("node-1", 1)).await.expect("reported");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The report is read, and the task that was given up looked for, when a command comes; and then the driver dies.
    assert!(news.next(10, Duration::from_secs(10)).now_or_never().is_none());
    news.ack().await.expect("acknowledged");
    // The server takes acknowledgements in beside what it is asked.
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(news);
    let mut news = bus.news().await.expect("news");
    let given_up = |it: &Piece| matches!(it, Piece::Exhausted { .. });
    let all = read_until(&mut news, |all| all.iter().any(given_up) && all.len() > 1).await;
    assert!(all.contains(&Piece::Report(report("node-1", 1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_not_acknowledged_in_time_does_not_come_again_after_those_that_follow_it() {
    let Some(server) = Server::start() else { return };
    let bus = prepared(server.bus("driver").await, &[pool("cpu")]).await;
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let consumer: jetstream::consumer::PullConsumer =
        context.get_consumer_from_stream("driver", "VTP_EVENTS").await.expect("it is there");
    let config = &consumer.cached_info().config;
    let hasty = jetstream::consumer::pull::Config {
        durable_name: Some("driver".to_owned()),
        ack_policy: config.ack_policy,
        ack_wait: Duration::from_secs(1),
        max_deliver: -1,
        max_waiting: config.max_waiting,
        ..Default::default()
    };
    context.create_consumer_on_stream(hasty, "VTP_EVENTS").await.expect("it is changed");
    let mut news = bus.news().await.expect("news");
    for sequence in 1..=3 {
        bus.report(&report("node-1", sequence)).await.expect("reported");
    }
    let is_last = |it: &Piece| *it == Piece::Report(report("node-1", 3));
    assert_eq!(read_until(&mut news, |all| all.iter().any(is_last)).await.len(), 3);
    // The ledger takes its time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    bus.report(&report("node-1", 4)).await.expect("reported");
    let mut later = Vec::new();
    for _ in 0..30 {
        later.extend(news.next(10, Duration::from_millis(100)).await.expect("it can be read"));
    }
    assert_eq!(later, [Piece::Report(report("node-1", 4))]);
    news.ack().await.expect("acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_the_name_of_another_node_is_passed_over() {
    let Some(server) = Server::start() else { return };
    let bus = prepared(server.bus("driver").await, &[pool("cpu")]).await;
    let client = async_nats::connect(server.server.url()).await.expect("a connection");
    let forged = messages::encode(&report("node-2", 1)).expect("a message");
    // The server lets each node speak on the subject of its name only.
    client.publish("vtp.event.node-1", forged).await.expect("sent");
    client.flush().await.expect("sent");
    bus.report(&report("node-1", 2)).await.expect("reported");
    let mut news = bus.news().await.expect("news");
    let all = read_until(&mut news, |all| !all.is_empty()).await;
    assert_eq!(all, [Piece::Report(report("node-1", 2))]);
    news.ack().await.expect("acknowledged");
}
