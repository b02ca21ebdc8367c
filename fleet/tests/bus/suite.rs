//! What every bus does. Each test takes a bus that nobody has used.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::time::Duration;

use vtp_fleet::bus::{Band, Bus, Controls, News, Piece, Receipt, Tasks};
use vtp_fleet::messages::{Control, Happened, Offer, Report};

use crate::support::{TERMS, drain, id, node, offer, pool, prepared, read_until};

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);

/// Publishes, and waits until also what is late has arrived: no bus promises anything else of order.
async fn publish<B: Bus>(bus: &B, offers: Vec<Offer>) {
    bus.publish(offers).await.expect("published");
    tokio::time::sleep(Duration::from_millis(60)).await;
}

/// All of it, one after the other, each with a bus of its own.
pub(crate) async fn all<B: Bus>(fresh: impl AsyncFn() -> B) {
    tasks_are_pulled_once_and_gone_when_acknowledged(fresh().await).await;
    a_pull_brings_as_many_as_there_is_room_for(fresh().await).await;
    pools_are_kept_apart(fresh().await).await;
    urgent_tasks_come_first(fresh().await).await;
    a_task_published_twice_is_there_once(fresh().await).await;
    a_silent_nodes_task_is_delivered_again(fresh().await).await;
    a_task_in_progress_is_not(fresh().await).await;
    a_task_given_back_goes_to_another(fresh().await).await;
    what_is_gleaned_is_what_nobody_waits_for(fresh().await).await;
    a_full_node_keeps_nothing_from_others(fresh().await).await;
    a_task_nobody_acknowledges_is_news(fresh().await).await;
    reports_arrive_and_are_kept_until_acknowledged(fresh().await).await;
    words_reach_the_node_they_are_for(fresh().await).await;
}

async fn tasks_are_pulled_once_and_gone_when_acknowledged<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    publish(&bus, (0..40).map(|chunk| offer(&cpu, chunk, 5)).collect()).await;
    let all = drain(&mut tasks, 7, SOON).await;
    let chunks: BTreeSet<u32> = all.iter().map(|it| it.offer.id.chunk).collect();
    assert_eq!((all.len(), chunks.len()), (40, 40));
    assert!(
        all.iter().all(|it| it.deliveries == 1 && it.offer.body == format!("chunk {}", it.offer.id.chunk).as_bytes())
    );
    for delivery in &all {
        delivery.receipt.ack().await.expect("acknowledged");
    }
    assert!(drain(&mut tasks, 7, TERMS.ack_wait * 2).await.is_empty(), "none comes again");
}

async fn a_pull_brings_as_many_as_there_is_room_for<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    publish(&bus, (0..10).map(|chunk| offer(&cpu, chunk, 1 + chunk as u8)).collect()).await;
    let mut one = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    assert_eq!(one.pull(3, LONG).await.expect("pulled").len(), 3);
    let mut other = bus.tasks(&[cpu]).await.expect("tasks");
    assert_eq!(drain(&mut other, 16, SOON).await.len(), 7, "the others are there for the next");
}

async fn pools_are_kept_apart<B: Bus>(bus: B) {
    let (cpu, gpu) = (pool("cpu"), pool("gpu"));
    let bus = prepared(bus, &[cpu.clone(), gpu.clone()]).await;
    publish(&bus, vec![offer(&cpu, 1, 5), offer(&gpu, 2, 5)]).await;
    let mut tasks = bus.tasks(from_ref(&gpu)).await.expect("tasks");
    let pulled = drain(&mut tasks, 5, SOON).await;
    assert_eq!(pulled.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [2]);
    let mut both = bus.tasks(&[gpu, cpu]).await.expect("tasks");
    assert_eq!(both.pull(5, LONG).await.expect("pulled")[0].offer.id.chunk, 1);
}

async fn urgent_tasks_come_first<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    let offers = (0..30).map(|chunk| offer(&cpu, chunk, 10 - (chunk % 10) as u8)).collect();
    publish(&bus, offers).await;
    let mut tasks = bus.tasks(&[cpu]).await.expect("tasks");
    let mut bands = Vec::new();
    while let Some(delivery) = tasks.pull(1, SOON).await.expect("pulled").pop() {
        delivery.receipt.ack().await.expect("acknowledged");
        bands.push(Band::of(delivery.offer.priority));
    }
    assert_eq!(bands.len(), 30);
    assert!(bands.is_sorted(), "{bands:?}");
}

async fn a_task_published_twice_is_there_once<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    for _ in 0..3 {
        publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    }
    let mut again = offer(&cpu, 1, 5);
    again.id.attempt = 2;
    publish(&bus, vec![again]).await;
    let mut tasks = bus.tasks(&[cpu]).await.expect("tasks");
    let mut attempts: Vec<u32> = drain(&mut tasks, 5, SOON).await.iter().map(|it| it.offer.id.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
}

async fn a_silent_nodes_task_is_delivered_again<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    let mut one = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    let first = one.pull(1, LONG).await.expect("pulled");
    assert_eq!(first[0].deliveries, 1);
    let mut other = bus.tasks(&[cpu]).await.expect("tasks");
    let second = other.pull(1, LONG).await.expect("pulled");
    assert_eq!((second[0].offer.id, second[0].deliveries), (id(1, 1), 2));
    // The late acknowledgement of the first may count as well: nothing is promised of it but that it does no harm.
    first[0].receipt.ack().await.expect("sent");
    second[0].receipt.ack().await.expect("acknowledged");
    assert!(drain(&mut other, 1, TERMS.ack_wait * 2).await.is_empty());
}

async fn a_task_in_progress_is_not<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    let mut one = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    let mine = one.pull(1, LONG).await.expect("pulled");
    let mut other = bus.tasks(&[cpu]).await.expect("tasks");
    for _ in 0..8 {
        mine[0].receipt.progress().await.expect("said");
        assert!(other.pull(1, TERMS.ack_wait / 4).await.expect("pulled").is_empty());
    }
}

async fn a_task_given_back_goes_to_another<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    let mut one = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    let mine = one.pull(1, LONG).await.expect("pulled");
    let mut other = bus.tasks(&[cpu]).await.expect("tasks");
    mine[0].receipt.nak(Duration::from_millis(200)).await.expect("given back");
    let start = std::time::Instant::now();
    let theirs = other.pull(1, LONG).await.expect("pulled");
    assert_eq!((theirs.len(), theirs[0].deliveries), (1, 2));
    assert!(start.elapsed() < TERMS.ack_wait, "sooner than if nothing had been said");
}

/// A node that could hold more takes what nobody waits for, and of the bands that it names.
async fn what_is_gleaned_is_what_nobody_waits_for<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    let (mut full, mut free) =
        (bus.tasks(from_ref(&cpu)).await.expect("tasks"), bus.tasks(from_ref(&cpu)).await.expect("tasks"));
    assert!(full.glean(&Band::ALL, 1).await.expect("nothing there").is_empty());
    let waiting = tokio::spawn(async move { free.pull(1, LONG).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    assert_eq!(waiting.await.expect("ended").expect("pulled").len(), 1);
    assert!(full.glean(&Band::ALL, 1).await.expect("nothing there").is_empty());
    publish(&bus, vec![offer(&cpu, 2, 1), offer(&cpu, 3, 9), offer(&cpu, 4, 5)]).await;
    let patient = full.glean(&[Band::Normal, Band::Low], 3).await.expect("gleaned");
    assert_eq!(patient.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [4, 3]);
    let urgent = full.glean(&[Band::Urgent], 3).await.expect("gleaned");
    assert_eq!(urgent.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [2]);
}

/// A node that waits for tasks of all bands and gets one must not hold on to those that come after.
async fn a_full_node_keeps_nothing_from_others<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    let mut full = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    let publishing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    };
    let (pulled, ()) = tokio::join!(full.pull(1, LONG), publishing);
    assert_eq!(pulled.expect("pulled").len(), 1);
    publish(&bus, vec![offer(&cpu, 2, 1), offer(&cpu, 3, 9)]).await;
    let mut other = bus.tasks(&[cpu]).await.expect("tasks");
    let theirs = drain(&mut other, 4, SOON).await;
    assert_eq!(theirs.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [2, 3]);
}

async fn a_task_nobody_acknowledges_is_news<B: Bus>(bus: B) {
    let cpu = pool("cpu");
    let bus = prepared(bus, from_ref(&cpu)).await;
    let mut news = bus.news().await.expect("news");
    publish(&bus, vec![offer(&cpu, 1, 5)]).await;
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    for delivery in 1..=TERMS.max_deliver {
        assert_eq!(tasks.pull(1, LONG).await.expect("pulled")[0].deliveries, delivery);
    }
    // Somebody keeps asking, as nodes do: that is when servers notice.
    let asking = tokio::spawn(async move { drain(&mut tasks, 1, Duration::from_secs(4)).await.len() });
    let exhausted = |it: &Piece| matches!(it, Piece::Exhausted { offer, deliveries: 3 } if offer.id == id(1, 1));
    read_until(&mut news, |all| all.iter().any(exhausted)).await;
    news.ack().await.expect("acknowledged");
    assert_eq!(asking.await.expect("it ends"), 0, "it is not delivered again");
}

async fn reports_arrive_and_are_kept_until_acknowledged<B: Bus>(bus: B) {
    let bus = prepared(bus, &[pool("cpu")]).await;
    let report = |sequence| Report {
        node: node("node-1"),
        session: 5,
        sequence,
        happened: vec![Happened::Started { id: id(sequence as u32, 1) }],
    };
    for sequence in 1..=5 {
        bus.report(&report(sequence)).await.expect("reported");
        bus.report(&report(sequence)).await.expect("reported again");
    }
    let sequences = |all: &[Piece]| -> BTreeSet<u64> {
        all.iter().filter_map(|it| if let Piece::Report(report) = it { Some(report.sequence) } else { None }).collect()
    };
    let mut news = bus.news().await.expect("news");
    let all = read_until(&mut news, |all| sequences(all).len() == 5).await;
    assert!(all.contains(&Piece::Report(report(3))));
    drop(news);

    // The driver died before its ledger had them; the next one gets them.
    let mut news = bus.news().await.expect("news");
    read_until(&mut news, |all| sequences(all).len() == 5).await;
    while news.ack().await.is_err() {}
    drop(news);
    bus.report(&report(6)).await.expect("reported");
    let mut news = bus.news().await.expect("news");
    let rest = read_until(&mut news, |all| sequences(all).contains(&6)).await;
    assert_eq!(sequences(&rest), BTreeSet::from([6]));
}

async fn words_reach_the_node_they_are_for<B: Bus>(bus: B) {
    let bus = prepared(bus, &[pool("cpu")]).await;
    let stop = Control::Stop { id: id(1, 1) };
    bus.control(&node("node-1"), &stop).await.expect("said to nobody");
    let mut one = bus.controls(&node("node-1")).await.expect("listens");
    let mut other = bus.controls(&node("node-2")).await.expect("listens");
    bus.control(&node("node-1"), &Control::JoinAgain).await.expect("said");
    bus.control(&node("node-2"), &stop).await.expect("said");
    assert_eq!(one.next().await, Some(Control::JoinAgain));
    assert_eq!(other.next().await, Some(stop));
}
