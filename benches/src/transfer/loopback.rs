//! Throughput over the loopback device: QUIC and HTTP in turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use vtp_fleet::transfer::quic::{Client, Server, Serves, Tuning};
use vtp_fleet::transfer::{Landed, Nothing, Transfer as _};

use super::http;
use super::scene::{Same, Scene, id, settle, some_bytes};

/// What a run took, from the first request to the last object under its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// MB a second.
    pub(super) speed: f64,
    /// CPU seconds of both sides for a GB.
    pub(super) cpu: f64,
}

/// One run of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) quic: Took,
    pub(super) http: Took,
}

/// Moves `at_once` objects of `size` bytes at once, `runs` times each way, after one that does not count. All
/// connections are there before.
pub(super) async fn run(scene: &Scene, at_once: u32, size: usize, runs: usize, tuning: Tuning) -> Result<Vec<Pair>> {
    let object = some_bytes(size);
    let serves = Serves { origin: Same(object.clone()), spool: Nothing };
    let server = Server::start(([127, 0, 0, 1], 0).into(), &scene.splitter, serves, tuning)?;
    let address = server.address()?;
    let client = Arc::new(Client::new(&scene.node, address.into(), address.into(), u64::MAX, tuning)?);
    let peer = http::serve(&scene.splitter, object.clone()).await?;
    let mut connections = Vec::new();
    for _ in 0..at_once {
        connections.push(http::Client::connect(&scene.node, peer).await?);
    }
    let mut pairs = Vec::new();
    for run in 0..=runs {
        let quic = by_quic(scene, &client, at_once, &object).await?;
        let http = by_http(scene, &mut connections, &object).await?;
        if run > 0 {
            pairs.push(Pair { quic, http });
        }
    }
    client.close().await;
    server.close().await;
    Ok(pairs)
}

async fn by_quic(scene: &Scene, client: &Arc<Client>, at_once: u32, object: &Bytes) -> Result<Took> {
    let clock = Clock::start();
    let fetches: Vec<_> = (0..at_once)
        .map(|chunk| {
            let (client, place) = (Arc::clone(client), scene.place(chunk));
            tokio::spawn(async move { client.fetch(id(chunk), &place).await.map(|landed| (place, landed)) })
        })
        .collect();
    let mut landed = Vec::new();
    for fetch in fetches {
        landed.push(fetch.await??);
    }
    clock.stop(landed, object)
}

async fn by_http(scene: &Scene, connections: &mut Vec<http::Client>, object: &Bytes) -> Result<Took> {
    let clock = Clock::start();
    let fetches: Vec<_> = connections
        .drain(..)
        .zip(0..)
        .map(|(mut connection, chunk)| {
            let place = scene.place(chunk);
            tokio::spawn(async move {
                let landed = connection.fetch(id(chunk), &place).await;
                landed.map(|landed| (connection, place, landed))
            })
        })
        .collect();
    let mut landed = Vec::new();
    for fetch in fetches {
        let (connection, place, arrived) = fetch.await??;
        connections.push(connection);
        landed.push((place, arrived));
    }
    clock.stop(landed, object)
}

struct Clock {
    wall: Instant,
    cpu_s: f64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu_s: cpu_s() }
    }

    /// Stops, and takes away what arrived.
    fn stop(self, landed: Vec<(PathBuf, Landed)>, object: &Bytes) -> Result<Took> {
        let (seconds, cpu_s) = (self.wall.elapsed().as_secs_f64(), cpu_s() - self.cpu_s);
        landed.iter().try_for_each(|(place, landed)| settle(place, *landed, object))?;
        let bytes = landed.len() as f64 * object.len() as f64;
        Ok(Took { speed: bytes / 1e6 / seconds, cpu: cpu_s / (bytes / 1e9) })
    }
}

/// CPU time of this process.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
