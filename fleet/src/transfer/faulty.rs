//! A transfer that fails on purpose, for tests of whoever uses one.

use std::path::Path;
use std::sync::Mutex;

use super::landing::Landed;
use super::object::Object;
use super::protocol::ObjectId;
use super::{Error, Transfer};

/// Fails as a bad network does: before anything happened, or when all is done and only the answer is lost.
#[derive(Debug)]
pub struct Faulty<T> {
    transfer: T,
    random: Mutex<fastrand::Rng>,
    /// How many calls in a hundred fail.
    percent: u8,
}

impl<T> Faulty<T> {
    /// Fails so many calls in a hundred, the same ones for the same seed.
    pub fn new(transfer: T, percent: u8, seed: u64) -> Self {
        Self { transfer, random: Mutex::new(fastrand::Rng::with_seed(seed)), percent }
    }

    fn fault(&self) -> Option<Fault> {
        // A poisoned lock still guards a good generator.
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (random.u8(..100) < self.percent).then(|| if random.bool() { Fault::Before } else { Fault::After })
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Before,
    After,
}

fn lost() -> Error {
    Error::Lost("the connection is lost, on purpose".to_owned())
}

impl<T: Transfer> Transfer for Faulty<T> {
    async fn fetch(&self, id: ObjectId, place: &Path) -> Result<Landed, Error> {
        match self.fault() {
            None => self.transfer.fetch(id, place).await,
            Some(Fault::Before) => Err(lost()),
            Some(Fault::After) => self.transfer.fetch(id, place).await.and_then(|_| Err(lost())),
        }
    }

    async fn deliver<O: Object>(&self, id: ObjectId, object: &O) -> Result<Landed, Error> {
        match self.fault() {
            None => self.transfer.deliver(id, object).await,
            Some(Fault::Before) => Err(lost()),
            Some(Fault::After) => self.transfer.deliver(id, object).await.and_then(|_| Err(lost())),
        }
    }
}
