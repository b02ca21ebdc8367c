//! Over a relay that delays and loses, and that is cut for longer than connections live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;
use vtp_fleet::relay::{Relay, Weather};
use vtp_fleet::transfer::protocol::{HASH, Layout};
use vtp_fleet::transfer::quic::{Client, Congestion, Server, Serves, Tuning};
use vtp_fleet::transfer::{Nothing, Transfer as _};

use super::scene::{Same, Scene, id, settle, some_bytes};
use super::{DELAY, LOSS_PERMILLE, RATE};

/// What became of a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) seconds: f64,
    pub(super) bytes: u64,
    /// The longest that nothing arrived, in seconds; without the time of cuts.
    pub(super) longest_gap: f64,
    /// Datagrams that the relay got, and lost.
    pub(super) arrived: u64,
    pub(super) lost: u64,
    /// Bytes of blocks that arrived more than once, or not to their end.
    pub(super) in_vain: u64,
}

/// How long a cut lasts: longer than the connection bears.
const CUT: Duration = Duration::from_secs(2);

/// How often it is looked whether something arrived.
const LOOK: Duration = Duration::from_millis(10);

/// Fetches `at_once` objects of `size` bytes, while the link is cut so many times.
pub(super) async fn run(scene: &Scene, congestion: Congestion, at_once: u32, size: usize, cuts: u32) -> Result<Run> {
    let tuning = Tuning {
        congestion,
        loopback_payload: None,
        largest_payload: 1452,
        idle: Duration::from_millis(1500),
        keep_alive: Duration::from_millis(500),
        ..Tuning::default()
    };
    let object = some_bytes(size);
    let serves = Serves { origin: Same(object.clone()), spool: Nothing };
    let server = Server::start(([127, 0, 0, 1], 0).into(), &scene.splitter, serves, tuning)?;
    let weather = Weather { rate: Some(RATE), ..Weather::new(DELAY, LOSS_PERMILLE, 1) };
    let relay = Relay::start(server.address()?, weather)?;
    let client = Arc::new(Client::new(&scene.node, relay.address().into(), relay.address().into(), u64::MAX, tuning)?);

    let start = Instant::now();
    let mut fetches = tokio::task::JoinSet::new();
    for chunk in 0..at_once {
        let (client, place) = (Arc::clone(&client), scene.place(chunk));
        fetches.spawn(async move { client.fetch(id(chunk), &place).await.map(|landed| (place, landed)) });
    }
    let whole = u64::from(at_once) * size as u64;
    let (mut longest_gap, mut cuts_left) = (Duration::ZERO, cuts);
    let (mut before, mut last) = (0, Instant::now());
    let mut landed = Vec::new();
    while landed.len() < at_once as usize {
        tokio::select! {
            Some(fetched) = fetches.join_next() => landed.push(fetched??),
            () = sleep(LOOK) => {}
        }
        let received = client.traffic().received();
        if received > before {
            longest_gap = longest_gap.max(last.elapsed());
            (before, last) = (received, Instant::now());
        }
        // Cuts fall evenly over the way.
        let done = cuts - cuts_left + 1;
        if cuts_left > 0 && received > whole * u64::from(done) / u64::from(cuts + 1) {
            cuts_left -= 1;
            relay.cut(true);
            sleep(CUT).await;
            relay.cut(false);
            last = Instant::now();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    landed.iter().try_for_each(|(place, landed)| settle(place, *landed, &object))?;
    let around = u64::from(at_once) * Layout { length: size as u64 }.blocks() * HASH as u64;
    let (arrived, lost) = relay.counts();
    let in_vain = client.traffic().received().saturating_sub(whole + around);
    client.close().await;
    server.close().await;
    Ok(Run { seconds, bytes: whole, longest_gap: longest_gap.as_secs_f64(), arrived, lost, in_vain })
}
