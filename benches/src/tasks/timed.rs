//! A bus that notes when tasks are published and when they arrive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vtp_fleet::bus::{Band, Bus, Delivery, Error, Tasks};
use vtp_fleet::messages::{AttemptId, Control, NodeId, Offer, Pool, Report};

/// What was noted. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamps(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    published: HashMap<AttemptId, Instant>,
    latencies: Vec<Duration>,
}

impl Stamps {
    /// What it took from publishing to arriving, sorted; and forgets it.
    pub(super) fn take(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut self.noted().latencies);
        latencies.sort_unstable();
        latencies
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self, offers: &[Offer]) {
        let now = Instant::now();
        let mut noted = self.noted();
        for offer in offers {
            // One that is published again counts from the first time.
            noted.published.entry(offer.id).or_insert(now);
        }
    }

    fn arrived(&self, ids: impl Iterator<Item = AttemptId>) {
        let mut noted = self.noted();
        for id in ids {
            if let Some(published) = noted.published.remove(&id) {
                noted.latencies.push(published.elapsed());
            }
        }
    }
}

/// Another bus, and its times.
#[derive(Clone, Debug)]
pub(super) struct Timed<B> {
    pub(super) bus: B,
    pub(super) stamps: Stamps,
}

impl<B: Bus> Bus for Timed<B> {
    type Tasks = TimedTasks<B::Tasks>;
    type News = B::News;
    type Controls = B::Controls;

    async fn prepare(&self, pools: &[Pool]) -> Result<(), Error> {
        self.bus.prepare(pools).await
    }

    async fn publish(&self, offers: Vec<Offer>) -> Result<(), Error> {
        self.stamps.published(&offers);
        self.bus.publish(offers).await
    }

    async fn tasks(&self, pools: &[Pool]) -> Result<Self::Tasks, Error> {
        Ok(TimedTasks { tasks: self.bus.tasks(pools).await?, stamps: self.stamps.clone() })
    }

    async fn report(&self, report: &Report) -> Result<(), Error> {
        self.bus.report(report).await
    }

    async fn news(&self) -> Result<Self::News, Error> {
        self.bus.news().await
    }

    async fn control(&self, node: &NodeId, control: &Control) -> Result<(), Error> {
        self.bus.control(node, control).await
    }

    async fn controls(&self, node: &NodeId) -> Result<Self::Controls, Error> {
        self.bus.controls(node).await
    }
}

/// Tasks, and when they arrive.
#[derive(Debug)]
pub(super) struct TimedTasks<T> {
    tasks: T,
    stamps: Stamps,
}

impl<T: Tasks> Tasks for TimedTasks<T> {
    type Receipt = T::Receipt;

    async fn pull(&mut self, free: usize, wait: Duration) -> Result<Vec<Delivery<T::Receipt>>, Error> {
        let pulled = self.tasks.pull(free, wait).await?;
        self.stamps.arrived(pulled.iter().map(|delivery| delivery.offer.id));
        Ok(pulled)
    }

    async fn glean(&mut self, bands: &[Band], most: usize) -> Result<Vec<Delivery<T::Receipt>>, Error> {
        let pulled = self.tasks.glean(bands, most).await?;
        self.stamps.arrived(pulled.iter().map(|delivery| delivery.offer.id));
        Ok(pulled)
    }
}
