//! Lost, late and cut off: what arrived once is not sent again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::sleep;
use vtp_fleet::relay::{Relay, Weather};
use vtp_fleet::transfer::protocol::BLOCK;
use vtp_fleet::transfer::quic::Tuning;
use vtp_fleet::transfer::{Error, Spool as _, Transfer as _};

use crate::scene::{Counted, Scene, anywhere, encoded, packets, small, some_bytes, within};

const SIZE: u64 = 24 << 20;

/// So slow that a transfer takes a few seconds.
fn slow(loss_permille: u32) -> Weather {
    Weather { rate: Some(8_000_000), ..Weather::new(Duration::from_millis(5), loss_permille, 1) }
}

/// Cuts a link for longer than connections bear each time that another quarter of an object of [`SIZE`] has arrived: three
/// times, each while there is more to come.
async fn cut(relay: &Relay, arrived: impl Fn() -> u64) {
    for quarter in 1..=3 {
        while arrived() < SIZE * quarter / 4 {
            sleep(Duration::from_millis(2)).await;
        }
        assert!(arrived() < SIZE, "it was over before cut {quarter}");
        relay.cut(true);
        sleep(small().idle + Duration::from_millis(200)).await;
        relay.cut(false);
    }
}

/// What may arrive in vain when a connection is lost: the block that was under way, and what was said around it.
const LOST_WITH_A_CUT: u64 = BLOCK + 1024;

/// What may arrive in vain over three cuts, on a machine so busy that connections are lost without one, too: a third of what
/// would come again if each began anew.
const LOST_IN_ALL: u64 = SIZE / 2;

/// The most of hashes and messages for an object of [`SIZE`].
const AROUND: u64 = SIZE / BLOCK * 32 + 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_cut_off_goes_on_behind_the_last_block() {
    let scene = Scene::new();
    let object = some_bytes(SIZE, 1);
    scene.shelf.put(packets(1), object.clone());
    let origin = scene.origin(small());
    let relay = Relay::start(origin.address().unwrap(), slow(2)).unwrap();
    let node = scene.node(relay.address(), anywhere(), small());
    let (place, cuts) = (scene.place(1), cut(&relay, || node.traffic().received()));
    let (fetched, ()) = within(240, async { tokio::join!(node.fetch(packets(1), &place), cuts) }).await;
    fetched.unwrap();
    assert_eq!(std::fs::read(place).unwrap(), object);
    let received = node.traffic().received();
    assert!((SIZE..=SIZE + LOST_IN_ALL).contains(&received), "{received} bytes were received");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_cut_off_goes_on_behind_the_last_block() {
    let scene = Scene::new();
    let object = some_bytes(SIZE, 1);
    let stitcher = scene.stitcher(small());
    let relay = Relay::start(stitcher.address().unwrap(), slow(2)).unwrap();
    let node = scene.node(anywhere(), relay.address(), small());
    let cuts = cut(&relay, || stitcher.traffic().received());
    let (delivered, ()) = within(240, async { tokio::join!(node.deliver(encoded(1), &object), cuts) }).await;
    delivered.unwrap();
    assert_eq!(std::fs::read(scene.spool().place(encoded(1)).unwrap()).unwrap(), object);
    let received = stitcher.traffic().received();
    assert!((SIZE..=SIZE + LOST_IN_ALL).contains(&received), "{received} bytes were received");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_goes_on_with_its_draft() {
    let scene = Scene::new();
    let object = some_bytes(SIZE, 1);
    scene.shelf.put(packets(1), object.clone());
    let origin = scene.origin(small());
    let relay = Relay::start(origin.address().unwrap(), slow(0)).unwrap();
    let mut received = 0;
    for life in 1.. {
        let node = scene.node(relay.address(), anywhere(), small());
        let place = scene.place(1);
        // A life ends when it has fetched an eighth.
        let enough = async {
            while node.traffic().received() < SIZE / 8 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let lived = tokio::select! {
            fetched = node.fetch(packets(1), &place) => Ok(fetched),
            () = enough => Err(()),
        };
        received += node.traffic().received();
        match lived {
            Err(()) => {}
            // What the life before was just writing may hold the draft for a moment, as no process that is killed does.
            Ok(Err(Error::Busy)) => sleep(Duration::from_millis(50)).await,
            Ok(fetched) => {
                fetched.unwrap();
                assert!(life > 2, "it was over too soon to be killed");
                assert!(received <= SIZE + AROUND + life * LOST_WITH_A_CUT, "{received} bytes in {life} lives");
                break;
            }
        }
        assert!(life < 40, "{received} bytes in {life} lives");
    }
    assert_eq!(std::fs::read(scene.place(1)).unwrap(), object);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_starts_again_is_found_again() {
    let scene = Scene::new();
    let object = some_bytes(SIZE, 1);
    scene.shelf.put(packets(1), object.clone());
    let origin = scene.origin(small());
    let address = origin.address().unwrap();
    let relay = Relay::start(address, slow(0)).unwrap();
    let node = Arc::new(scene.node(relay.address(), anywhere(), small()));
    let fetch = {
        let (node, place) = (Arc::clone(&node), scene.place(1));
        tokio::spawn(async move { node.fetch(packets(1), &place).await })
    };
    while node.traffic().received() < SIZE / 4 {
        sleep(Duration::from_millis(10)).await;
    }
    origin.close().await;
    drop(origin);
    let serves = vtp_fleet::transfer::quic::Serves { origin: scene.shelf.clone(), spool: vtp_fleet::transfer::Nothing };
    let splitter = scene.credentials(vtp_fleet::identity::Role::Splitter);
    let again = loop {
        // The old socket may take a moment to go.
        match vtp_fleet::transfer::quic::Server::start(address, &splitter, serves.clone(), small()) {
            Ok(server) => break server,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    };
    within(240, fetch).await.unwrap().unwrap();
    assert_eq!(std::fs::read(scene.place(1)).unwrap(), object);
    assert!(again.traffic().sent() < SIZE, "the second origin sent everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_and_started_again_is_noticed_long_before_its_silence_would_be() {
    let scene = Scene::new();
    let object = some_bytes(SIZE, 1);
    scene.shelf.put(packets(1), object.clone());
    let tuning = Tuning { idle: Duration::from_secs(60), stall: Duration::from_secs(60), ..small() };
    let splitter = scene.credentials(vtp_fleet::identity::Role::Splitter);
    let start = |address| {
        let serves =
            vtp_fleet::transfer::quic::Serves { origin: scene.shelf.clone(), spool: vtp_fleet::transfer::Nothing };
        vtp_fleet::transfer::quic::Server::start(address, &splitter, serves, tuning).unwrap()
    };
    let killed = start(anywhere());
    // At the same port, as one that was started again.
    let again = start((std::net::Ipv4Addr::new(127, 0, 0, 2), killed.address().unwrap().port()).into());
    let relay = Relay::start(killed.address().unwrap(), slow(0)).unwrap();
    let node = scene.node(relay.address(), anywhere(), tuning);
    let place = scene.place(1);
    let fetch = node.fetch(packets(1), &place);
    let kill = async {
        while node.traffic().received() < SIZE / 4 {
            sleep(Duration::from_millis(2)).await;
        }
        relay.redirect(again.address().unwrap());
    };
    let (fetched, ()) = within(240, async { tokio::join!(fetch, kill) }).await;
    fetched.unwrap();
    assert_eq!(std::fs::read(&place).unwrap(), object);
    assert!(again.traffic().sent() > SIZE / 2, "the second has sent the rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_and_lossy_link_is_borne() {
    let scene = Scene::new();
    let origin = scene.origin(Tuning::default());
    let relay = Relay::start(origin.address().unwrap(), Weather::new(Duration::from_millis(50), 10, 3)).unwrap();
    let tuning = Tuning { loopback_payload: None, ..Tuning::default() };
    let node = Arc::new(scene.node(relay.address(), anywhere(), tuning));
    let mut fetches = Vec::new();
    for chunk in 0..8 {
        scene.shelf.put(packets(chunk), some_bytes(1 << 20, chunk.into()));
        let (node, place) = (Arc::clone(&node), scene.place(chunk));
        fetches.push(tokio::spawn(async move { node.fetch(packets(chunk), &place).await }));
    }
    for (fetch, chunk) in fetches.into_iter().zip(0..) {
        within(240, fetch).await.unwrap().unwrap();
        assert_eq!(std::fs::read(scene.place(chunk)).unwrap(), some_bytes(1 << 20, chunk.into()));
    }
    let (arrived, lost) = relay.counts();
    assert!(lost > 0 && arrived > lost, "{lost} of {arrived} datagrams were lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_delivered_by_two_at_once_arrives_once() {
    let scene = Scene::new();
    let stitcher = scene.stitcher(small());
    let address = stitcher.address().unwrap();
    let object = some_bytes(9 * BLOCK + 1, 1);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let node = scene.node(anywhere(), address, small());
            let object = Counted { bytes: object.clone(), read: Arc::new(AtomicU64::new(0)) };
            tokio::spawn(async move { node.deliver(encoded(1), &object).await })
        })
        .collect();
    for task in tasks {
        let landed = within(240, task).await.unwrap().unwrap();
        assert_eq!(landed.root, *blake3::hash(&object).as_bytes());
    }
    assert_eq!(std::fs::read(scene.spool().place(encoded(1)).unwrap()).unwrap(), object);
}
