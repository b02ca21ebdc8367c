//! A node's side: tasks of some pools, the urgent ones first.
//!
//! JetStream knows no priorities among messages, so each band is a stream. A lane with an open request is one that had
//! nothing: only the others are asked, in order. Where all are empty, one message of each is waited for; when the node is
//! full, open requests are taken back.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::time::Instant;

use super::lane::Lane;
use super::{NatsBus, unavailable};
use crate::bus::{Band, Delivery, Error, Receipt, Tasks};
use crate::messages;

/// Tasks of some pools.
#[derive(Debug)]
pub struct NatsTasks {
    bus: NatsBus,
    /// The most urgent first.
    lanes: Vec<(Band, Lane)>,
    /// What was pulled when a caller gave up waiting.
    pulled: Vec<async_nats::Message>,
}

impl NatsTasks {
    pub(super) fn new(bus: NatsBus, lanes: Vec<(Band, Lane)>) -> Self {
        Self { bus, lanes, pulled: Vec::new() }
    }

    /// What is there of these bands, up to `free` in all. Where one can't be asked, the others count if anything came of them.
    async fn sweep(&mut self, bands: &[Band], free: usize) -> Result<(), Error> {
        match self.sweep_all(bands, free).await {
            Err(error) if !self.pulled.is_empty() && error.is_retryable() => {
                tracing::debug!(%error, "a band of tasks can't be asked for any");
                Ok(())
            }
            swept => swept,
        }
    }

    async fn sweep_all(&mut self, bands: &[Band], free: usize) -> Result<(), Error> {
        for (_, lane) in self.lanes.iter_mut().filter(|(band, _)| bands.contains(band)) {
            while self.pulled.len() < free {
                let Some(message) = lane.ready()? else { break };
                self.pulled.push(message);
            }
            let wanted = free.saturating_sub(self.pulled.len());
            if wanted > 0 && !lane.is_open() {
                lane.fetch(wanted, &mut self.pulled).await?;
            }
        }
        Ok(())
    }

    /// Waits until something has come, or a request has ended.
    async fn wait(&mut self, end: Instant) -> Result<(), Error> {
        for (_, lane) in &mut self.lanes {
            if !lane.is_open() {
                lane.ask(1).await?;
            }
        }
        let next = select_all(self.lanes.iter_mut().map(|(_, lane)| lane.next().boxed()));
        // A lost connection takes the requests with it; so look after them now and then.
        let look = end.min(Instant::now() + Duration::from_secs(1));
        if let Ok((message, ..)) = tokio::time::timeout_at(look, next).await {
            self.pulled.extend(message?);
        }
        Ok(())
    }

    fn hand_out(&mut self, most: usize) -> Vec<Delivery<NatsReceipt>> {
        let rest = self.pulled.split_off(most.min(self.pulled.len()));
        let pulled = std::mem::replace(&mut self.pulled, rest);
        pulled.into_iter().filter_map(|message| self.deliver(message)).collect()
    }

    fn deliver(&self, message: async_nats::Message) -> Option<Delivery<NatsReceipt>> {
        let message = jetstream::Message { message, context: self.bus.context.clone() };
        let deliveries = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX));
        let offer = messages::decode(&message.payload);
        let (_, acker) = message.split();
        match offer {
            Ok(offer) => Some(Delivery { offer, deliveries, receipt: NatsReceipt { acker, bus: self.bus.clone() } }),
            Err(error) => {
                // Nobody will ever understand it. The driver misses its start, and publishes the task again.
                tracing::warn!(%error, "a task is not understood, and thrown away");
                tokio::spawn(async move { acker.ack_with(AckKind::Term).await });
                None
            }
        }
    }
}

impl Tasks for NatsTasks {
    type Receipt = NatsReceipt;

    async fn pull(&mut self, free: usize, wait: Duration) -> Result<Vec<Delivery<NatsReceipt>>, Error> {
        let end = Instant::now() + wait;
        loop {
            self.sweep(&Band::ALL, free).await?;
            if self.pulled.is_empty() && Instant::now() < end {
                self.wait(end).await?;
            }
            if self.pulled.len() >= free {
                for (_, lane) in &mut self.lanes {
                    lane.close().await?;
                }
            }
            if !self.pulled.is_empty() || Instant::now() >= end {
                return Ok(self.hand_out(free));
            }
        }
    }

    async fn glean(&mut self, bands: &[Band], most: usize) -> Result<Vec<Delivery<NatsReceipt>>, Error> {
        self.sweep(bands, most).await?;
        Ok(self.hand_out(most))
    }
}

/// What a task is acknowledged with.
pub struct NatsReceipt {
    acker: jetstream::message::Acker,
    bus: NatsBus,
}

impl std::fmt::Debug for NatsReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsReceipt")
    }
}

impl Receipt for NatsReceipt {
    async fn ack(&self) -> Result<(), Error> {
        self.acker.ack().await.map_err(unavailable)
    }

    async fn nak(&self, delay: Duration) -> Result<(), Error> {
        self.acker.ack_with(AckKind::Nak(Some(delay))).await.map_err(unavailable)
    }

    async fn progress(&self) -> Result<(), Error> {
        // Kept for later, it would say nothing that is still true, and they would be more than there is room for.
        self.bus.reach()?;
        self.acker.ack_with(AckKind::Progress).await.map_err(unavailable)
    }
}
