//! A node that fetches packets and does nothing with them for as long as encoding would take, with and without the next ones
//! being fetched meanwhile. Driver, bus and node are within this process, so that the link of the packets is all that
//! differs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_fleet::bus::{LocalBus, Terms};
use vtp_fleet::driver::{Config, Driver, Notice};
use vtp_fleet::ledger::{MemoryLedger, Row, Submission};
use vtp_fleet::messages::{NodeId, Offer, Pool, Why};
use vtp_fleet::node::{self, Outcome, Work};
use vtp_fleet::relay::{Relay, Weather};
use vtp_fleet::transfer::quic::{Client, Server, Serves, Tuning};
use vtp_fleet::transfer::{Nothing, Transfer as _};

use super::scene::{Same, Scene, id, some_bytes};
use super::{DELAY, LOSS_PERMILLE, RATE};

/// What a node has to do.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// How many there are.
    pub count: u32,
    /// Bytes of each one's packets.
    pub packets: usize,
    /// How long a slot takes for each.
    pub encode: Duration,
}

/// How packets come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    Loopback,
    Far,
}

#[derive(Clone)]
struct Encoder {
    scene: Arc<Scene>,
    client: Arc<Client>,
    encode: Duration,
}

impl Work for Encoder {
    type Ready = ();

    async fn prepare(&self, offer: Arc<Offer>) -> Result<(), Outcome> {
        let place = self.scene.place(offer.id.chunk);
        let failed =
            |error: &dyn std::fmt::Display| Outcome::Failed { why: Why::Retryable, message: error.to_string() };
        self.client.fetch(id(offer.id.chunk), &place).await.map_err(|error| failed(&error))?;
        std::fs::remove_file(&place).map_err(|error| failed(&error))
    }

    async fn run(&self, _: Arc<Offer>, (): ()) -> Outcome {
        tokio::time::sleep(self.encode).await;
        Outcome::Finished { result: Vec::new() }
    }
}

/// How many seconds a node of so many slots takes for all chunks, holding `ahead` of them.
pub(super) async fn run(scene: &Arc<Scene>, chunks: Chunks, link: Link, slots: u16, ahead: u16) -> Result<f64> {
    let usual = Tuning::default();
    let tuning = match link {
        Link::Loopback => usual,
        Link::Far => Tuning { loopback_payload: None, largest_payload: 1452, ..usual },
    };
    let serves = Serves { origin: Same(some_bytes(chunks.packets)), spool: Nothing };
    let server = Server::start(([127, 0, 0, 1], 0).into(), &scene.splitter, serves, tuning)?;
    let weather = Weather { rate: Some(RATE), ..Weather::new(DELAY, LOSS_PERMILLE, 1) };
    let relay = Relay::start(server.address()?, weather)?;
    let at = match link {
        Link::Loopback => server.address()?,
        Link::Far => relay.address(),
    };
    let client = Arc::new(Client::new(&scene.node, at.into(), at.into(), u64::MAX, tuning)?);
    let work = Encoder { scene: Arc::clone(scene), client: Arc::clone(&client), encode: chunks.encode };
    let took = batch(work, chunks.count, slots, ahead).await?;
    client.close().await;
    server.close().await;
    Ok(took)
}

async fn batch(work: Encoder, count: u32, slots: u16, ahead: u16) -> Result<f64> {
    let (bus, pool, needs) = (LocalBus::new(Terms::default()), Pool::new("cpu")?, Skills::NONE.with(Skill::Cpu));
    let fleet = Config::fleet(BTreeMap::from([(pool.clone(), needs)]));
    let config = Config { ahead: BTreeMap::from([(pool.clone(), 1)]), ..fleet };
    let (driver, handle, mut notices) = Driver::start(bus.clone(), MemoryLedger::default(), config).await?;
    let driver = tokio::spawn(driver.run());
    let (leave, left) = watch::channel(false);
    let second = Duration::from_secs(1);
    let settings = node::Settings { node: NodeId::new("node")?, pool, slots, ahead, heartbeat: second, drain: second };
    let node = tokio::spawn(node::run(bus, settings, work, left));
    let rows = (0..count).map(|chunk| Row::new(chunk, Cost(1000), needs, Vec::new())).collect();
    let start = Instant::now();
    handle.submit(submission(rows)).await?;
    loop {
        match notices.recv().await {
            Some(Notice::Done { .. }) => break,
            Some(Notice::Failed { message, .. }) => bail!("{message}"),
            Some(_) => {}
            None => bail!("the driver has ended"),
        }
    }
    let took = start.elapsed().as_secs_f64();
    leave.send(true)?;
    node.await??;
    drop(handle);
    driver.await??;
    Ok(took)
}

fn submission(tasks: Vec<Row>) -> Submission {
    let (fetch, deliver) = (Vec::new(), Vec::new());
    let trace = vtp_fleet::messages::TraceContext::NONE;
    Submission { job: 1, user: 1, weight: 1, priority: 5, deadline_ms: None, fetch, deliver, trace, tasks }
}
