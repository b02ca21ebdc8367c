//! JetStream, with a real server.

use std::slice::from_ref;
use std::time::Duration;

use async_nats::jetstream;
use vtp_fleet::bus::{Bus, Error, News, Receipt, Tasks};
use vtp_fleet::server::Sync;

use crate::suite;
use crate::support::{Server, TERMS, drain, offer, pool, prepared};

#[tokio::test(flavor = "multi_thread")]
async fn jetstream_does_what_buses_do() {
    let Some(server) = Server::start() else { return };
    let fresh = async || {
        let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
        let mut names = context.stream_names();
        while let Some(name) = futures_util::StreamExt::next(&mut names).await {
            context.delete_stream(name.expect("a name")).await.expect("it is deleted");
        }
        server.bus("suite").await
    };
    suite::all(fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_differ_are_corrected() {
    let Some(server) = Server::start() else { return };
    let cpu = [pool("cpu")];
    let bus = prepared(server.bus("driver").await, &cpu).await;
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let name = "VTP_TASK_cpu_urgent";
    let mut stream = context.get_stream(name).await.expect("it is there");
    let before = stream.info().await.expect("it is there").config.clone();
    let tampered = jetstream::stream::Config { max_messages: 7, ..before.clone() };
    context.update_stream(tampered).await.expect("changed");
    let mut consumer: jetstream::consumer::PullConsumer = stream.get_consumer("nodes").await.expect("it is there");
    let wanted = consumer.info().await.expect("it is there").config.clone();
    let tampered = jetstream::consumer::pull::Config {
        durable_name: Some("nodes".to_owned()),
        ack_policy: wanted.ack_policy,
        ack_wait: Duration::from_secs(3600),
        max_deliver: -1,
        max_waiting: wanted.max_waiting,
        ..Default::default()
    };
    stream.create_consumer(tampered).await.expect("changed");

    bus.prepare(&cpu).await.expect("corrected");
    assert_eq!(stream.info().await.expect("it is there").config, before);
    assert_eq!(consumer.info().await.expect("it is there").config, wanted);
    bus.prepare(&cpu).await.expect("and nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_taken_over_is_corrected_and_begins_where_it_did() {
    let Some(server) = Server::start() else { return };
    let cpu = [pool("cpu")];
    let bus = prepared(server.bus("driver").await, &cpu).await;
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let stream = context.get_stream("VTP_EVENTS").await.expect("it is there");
    let mut consumer: jetstream::consumer::PullConsumer = stream.get_consumer("driver").await.expect("it is there");
    let wanted = consumer.info().await.expect("it is there").config.clone();
    stream.delete_consumer("driver").await.expect("gone");
    let taken_over = jetstream::consumer::pull::Config {
        durable_name: Some("driver".to_owned()),
        deliver_policy: jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: 7 },
        ack_policy: wanted.ack_policy,
        ack_wait: Duration::from_secs(3600),
        max_deliver: -1,
        max_waiting: wanted.max_waiting,
        ..Default::default()
    };
    stream.create_consumer(taken_over.clone()).await.expect("made");
    bus.prepare(&cpu).await.expect("corrected");
    let found = consumer.info().await.expect("it is there").config.clone();
    assert_eq!((found.ack_wait, found.deliver_policy), (wanted.ack_wait, taken_over.deliver_policy));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_corrected_is_told_by_name() {
    let Some(server) = Server::start() else { return };
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let wrong = jetstream::stream::Config {
        name: "VTP_EVENTS".to_owned(),
        subjects: vec!["vtp.event.*".to_owned()],
        storage: jetstream::stream::StorageType::Memory,
        ..Default::default()
    };
    context.create_stream(wrong).await.expect("made");
    let error = server.bus("driver").await.prepare(&[pool("cpu")]).await.expect_err("it can't be changed");
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("stream VTP_EVENTS differs in") && text.contains("storage"), "{text}");
    assert!(text.contains("nats stream rm VTP_EVENTS"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_are_published_at_once_than_may_be_on_their_way() {
    let Some(server) = Server::syncing(Sync::Default) else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("driver").await, from_ref(&cpu)).await;
    let publish = |chunks: std::ops::Range<u32>| {
        let (bus, offers) = (bus.clone(), chunks.map(|chunk| offer(&cpu, chunk, 5)).collect());
        async move { tokio::time::timeout(Duration::from_secs(120), bus.publish(offers)).await }
    };
    publish(0..5_200).await.expect("it ends").expect("published");
    let together = (0..8).map(|batch| publish(10_000 + batch * 800..10_000 + (batch + 1) * 800));
    for published in futures_util::future::join_all(together).await {
        published.expect("it ends").expect("published");
    }
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let mut stream = context.get_stream("VTP_TASK_cpu_normal").await.expect("it is there");
    assert_eq!(stream.info().await.expect("it is there").state.messages, 5_200 + 8 * 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_with_room_for_fewer_nodes_is_made_anew_and_its_tasks_are_delivered() {
    let Some(server) = Server::start() else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("driver").await, from_ref(&cpu)).await;
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let stream = context.get_stream("VTP_TASK_cpu_normal").await.expect("it is there");
    let mut consumer: jetstream::consumer::PullConsumer = stream.get_consumer("nodes").await.expect("it is there");
    let wanted = consumer.info().await.expect("it is there").config.clone();
    stream.delete_consumer("nodes").await.expect("gone");
    let smaller = jetstream::consumer::pull::Config {
        durable_name: Some("nodes".to_owned()),
        ack_policy: wanted.ack_policy,
        ack_wait: Duration::from_secs(3600),
        max_waiting: 512,
        ..Default::default()
    };
    stream.create_consumer(smaller).await.expect("made");
    bus.publish(vec![offer(&cpu, 1, 5)]).await.expect("published");
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    assert_eq!(tasks.pull(1, Duration::from_secs(10)).await.expect("pulled").len(), 1);

    bus.prepare(from_ref(&cpu)).await.expect("corrected");
    assert_eq!(consumer.info().await.expect("it is there").config, wanted);
    // Whoever was given it may go on, and say so; else another gets it.
    assert_eq!(tasks.pull(1, Duration::from_secs(10)).await.expect("pulled").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_started_again_is_found_again() {
    let Some(mut server) = Server::start() else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("all").await, from_ref(&cpu)).await;
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    assert!(tasks.pull(4, Duration::from_millis(50)).await.expect("nothing there").is_empty());
    bus.publish((0..20).map(|chunk| offer(&cpu, chunk, 5)).collect()).await.expect("published");

    server.server.kill().expect("killed");
    let failed = bus.publish(vec![offer(&cpu, 99, 5)]).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    server.server.restart().expect("started again");

    let mut chunks = std::collections::BTreeSet::new();
    for _ in 0..100 {
        match tasks.pull(4, Duration::from_millis(200)).await {
            Ok(pulled) => {
                for delivery in pulled {
                    chunks.insert(delivery.offer.id.chunk);
                    delivery.receipt.ack().await.expect("acknowledged");
                }
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        if chunks.is_superset(&(0..20).collect()) {
            break;
        }
    }
    assert!(chunks.is_superset(&(0..20).collect()), "{chunks:?}");
    bus.publish(vec![offer(&cpu, 50, 5)]).await.expect("and goes on");
    assert!(drain(&mut tasks, 4, TERMS.ack_wait).await.iter().any(|it| it.offer.id.chunk == 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_connection_nothing_is_asked_for_that_would_come_all_at_once_later() {
    let Some(mut server) = Server::start() else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("all").await, from_ref(&cpu)).await;
    bus.publish((0..40).map(|chunk| offer(&cpu, chunk, 5)).collect()).await.expect("published");
    let mut tasks = bus.tasks(from_ref(&cpu)).await.expect("tasks");
    let first = tasks.pull(1, Duration::from_secs(10)).await.expect("pulled").remove(0);
    server.server.kill().expect("killed");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        let error = tasks.pull(4, Duration::from_secs(5)).await.expect_err("nobody is there");
        assert!(error.is_retryable(), "{error}");
        first.receipt.progress().await.expect_err("nobody is there");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "no answer is waited for");
    server.server.restart().expect("started again");
    let mut pulled = Vec::new();
    for _ in 0..100 {
        pulled = tasks.pull(4, Duration::from_millis(200)).await.unwrap_or_default();
        if !pulled.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pulled.len(), 4);
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    let consumer: Result<jetstream::consumer::PullConsumer, _> =
        context.get_consumer_from_stream("nodes", "VTP_TASK_cpu_normal").await;
    let pending = consumer.expect("it is there").cached_info().num_ack_pending;
    assert!(pending <= 5, "{pending} tasks are kept from others");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_there_are_an_error_for_whoever_reads_them_until_they_are_back() {
    let Some(server) = Server::start() else { return };
    let cpu = pool("cpu");
    let bus = prepared(server.bus("driver").await, from_ref(&cpu)).await;
    let (mut news, mut tasks) = (bus.news().await.expect("news"), bus.tasks(from_ref(&cpu)).await.expect("tasks"));
    assert!(news.next(10, Duration::from_millis(100)).await.expect("nothing there").is_empty());
    let context = jetstream::new(async_nats::connect(server.server.url()).await.expect("a connection"));
    for name in ["VTP_EVENTS", "VTP_TASK_cpu_low"] {
        context.delete_stream(name).await.expect("it is deleted");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    // However short the wait.
    for wait in [0, 0, 0, 500, 0] {
        let error = news.next(10, Duration::from_millis(wait)).await.expect_err("nobody knows whether there is news");
        assert!(error.is_retryable(), "{error}");
    }
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        let error = tasks.pull(1, Duration::from_millis(10)).await.expect_err("a band is not there");
        assert!(error.is_retryable(), "{error}");
    }
    assert!(begun.elapsed() > Duration::from_millis(400), "it pauses before it asks again");
    // What comes of the other bands is not held back.
    bus.publish(vec![offer(&cpu, 1, 1)]).await.expect("published");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pulled = tasks.pull(2, Duration::from_secs(5)).await.expect("pulled");
    assert_eq!(pulled.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [1]);

    bus.prepare(from_ref(&cpu)).await.expect("made again");
    assert!(news.next(10, Duration::ZERO).await.expect("nothing there").is_empty());
    bus.publish(vec![offer(&cpu, 2, 9)]).await.expect("published");
    let pulled = tasks.pull(2, Duration::from_secs(5)).await.expect("pulled");
    assert_eq!(pulled.iter().map(|it| it.offer.id.chunk).collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let access = vtp_fleet::bus::nats::Access::anonymous("nats://127.0.0.1:9", "nobody");
    let error = vtp_fleet::bus::nats::NatsBus::connect(&access, TERMS, 1).await.expect_err("nobody listens there");
    assert!(error.is_retryable() && error.to_string().contains("127.0.0.1:9"), "{error}");
}
