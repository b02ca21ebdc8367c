//! What the driver reads from JetStream, with a real server.

use std::slice::from_ref;
use std::time::Duration;

use futures_util::FutureExt as _;
use vtp_fleet::bus::{Bus, News, Piece, Tasks};
use vtp_fleet::messages::{Happened, Report};

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
