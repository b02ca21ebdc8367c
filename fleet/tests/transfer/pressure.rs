//! Receivers that don't keep up hold senders back, and memory with them.

use std::time::Duration;

use tokio::time::sleep;
use vtp_fleet::identity::Role;
use vtp_fleet::transfer::protocol::{BLOCK, Message, Want};
use vtp_fleet::transfer::quic::Tuning;

use crate::bad_peers::connect;
use crate::scene::{Scene, packets, small, some_bytes, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_read_stops_the_origin_from_reading() {
    let scene = Scene::new();
    let minute = Duration::from_secs(60);
    let tuning = Tuning { idle: minute, stall: minute, ..small() };
    let origin = scene.origin(tuning);
    let mut streams = Vec::new();
    let connection = connect(&scene.credentials(Role::Node), origin.address().unwrap()).await.unwrap();
    const STREAMS: u32 = 8;
    const SIZE: u64 = 4 << 20;
    for chunk in 0..STREAMS {
        scene.shelf.put(packets(chunk), some_bytes(SIZE, chunk.into()));
        let (mut send, receive) = connection.open_bi().await.unwrap();
        let fetch = Message::Fetch { id: (packets(chunk)).into(), want: Want::default() };
        send.write_all(&fetch.bytes()).await.unwrap();
        streams.push((send, receive));
    }
    // Until nothing is read any more.
    let mut before = 0;
    while before == 0 || before != scene.shelf.read() {
        before = scene.shelf.read();
        sleep(Duration::from_millis(500)).await;
    }
    // A window at either end, and a block in the hand of each stream.
    let most = 2 * u64::from(tuning.connection_window) + u64::from(STREAMS) * BLOCK;
    assert!((1..=most).contains(&before), "{before} bytes were read for nobody");

    // It goes on as soon as somebody reads.
    let drains: Vec<_> = streams
        .into_iter()
        .map(|(send, mut receive)| {
            tokio::spawn(async move {
                let _open = send;
                let mut taken = 0;
                while let Some(chunk) = receive.read_chunk(1 << 20, true).await.unwrap() {
                    taken += chunk.bytes.len();
                }
                taken
            })
        })
        .collect();
    for drain in drains {
        assert!(within(60, drain).await.unwrap() > SIZE as usize);
    }
    assert_eq!(scene.shelf.read(), u64::from(STREAMS) * SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_no_more_streams_than_are_allowed() {
    let scene = Scene::new();
    let origin = scene.origin(Tuning { streams: 3, ..small() });
    let connection = connect(&scene.credentials(Role::Node), origin.address().unwrap()).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connection.open_bi().await.unwrap());
    }
    let fourth = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(fourth.is_err(), "a fourth stream was opened");
}
