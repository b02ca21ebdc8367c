//! A bus that does to another's messages what networks and servers do, by a seed.
//!
//! What is delayed is overtaken by what is not, which is how things get out of order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Band, Bus, Delivery, Error, News, Piece, Question, Receipt, Talk, Tasks, Topic, Whom};
use crate::messages::{Control, NodeId, Offer, Pool, Report};

/// How often something goes wrong, each from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Faults {
    /// A message that was taken is gone: a task, a report, a word to a node, an acknowledgement.
    pub lose: f64,
    /// A message comes twice.
    pub double: f64,
    /// A message comes late.
    pub delay: f64,
    /// How late at most.
    pub late: Duration,
    /// A call fails, although what it asks for may be done.
    pub fail: f64,
}

/// Another bus, with faults. Clones share the luck.
#[derive(Clone, Debug)]
pub struct Faulty<B> {
    bus: B,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Dice {
    faults: Faults,
    random: Arc<Mutex<fastrand::Rng>>,
}

/// What becomes of a message.
struct Fate {
    times: u32,
    late: Duration,
    fails: bool,
}

impl Dice {
    fn roll(&self) -> Fate {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let Faults { lose, double, delay, late, fail } = self.faults;
        let times = if random.f64() < lose { 0 } else { 1 + u32::from(random.f64() < double) };
        let late = if random.f64() < delay { late.mul_f64(random.f64()) } else { Duration::ZERO };
        Fate { times, late, fails: random.f64() < fail }
    }

    /// Does it as often and as late as fate will have it.
    async fn send<F>(&self, act: impl Fn() -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let fate = self.roll();
        for _ in 0..fate.times {
            let action = act();
            if fate.late.is_zero() {
                action.await?;
            } else {
                tokio::spawn(async move {
                    tokio::time::sleep(fate.late).await;
                    // Whoever sent it believes that it is there; its failure is one more loss.
                    let _ = action.await;
                });
            }
        }
        if fate.fails { Err(Error::Unavailable("an injected fault".to_owned())) } else { Ok(()) }
    }
}

impl<B: Bus> Faulty<B> {
    /// `bus` with these faults.
    pub fn new(bus: B, faults: Faults, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { bus, dice: Dice { faults, random } }
    }
}

impl<B: Bus> Bus for Faulty<B> {
    type Tasks = FaultyTasks<B::Tasks>;
    type News = FaultyNews<B::News>;
    type Controls = B::Controls;

    async fn prepare(&self, pools: &[Pool]) -> Result<(), Error> {
        self.bus.prepare(pools).await
    }

    async fn publish(&self, offers: Vec<Offer>) -> Result<(), Error> {
        let mut outcome = Ok(());
        for offer in offers {
            let publish = || {
                let (bus, offer) = (self.bus.clone(), offer.clone());
                async move { bus.publish(vec![offer]).await }
            };
            outcome = outcome.and(self.dice.send(publish).await);
        }
        outcome
    }

    async fn tasks(&self, pools: &[Pool]) -> Result<Self::Tasks, Error> {
        Ok(FaultyTasks { tasks: self.bus.tasks(pools).await?, dice: self.dice.clone() })
    }

    async fn report(&self, report: &Report) -> Result<(), Error> {
        let tell = || {
            let (bus, report) = (self.bus.clone(), report.clone());
            async move { bus.report(&report).await }
        };
        self.dice.send(tell).await
    }

    async fn news(&self) -> Result<Self::News, Error> {
        Ok(FaultyNews { news: self.bus.news().await?, dice: self.dice.clone() })
    }

    async fn control(&self, node: &NodeId, control: &Control) -> Result<(), Error> {
        let say = || {
            let (bus, node, control) = (self.bus.clone(), node.clone(), control.clone());
            async move { bus.control(&node, &control).await }
        };
        self.dice.send(say).await
    }

    async fn controls(&self, node: &NodeId) -> Result<Self::Controls, Error> {
        self.bus.controls(node).await
    }
}

impl<B: Talk> Talk for Faulty<B> {
    /// Lost on the way there, or on the way back.
    async fn ask(&self, whom: Whom, question: Bytes) -> Result<Bytes, Error> {
        let fate = self.dice.roll();
        let lost = || Error::Unavailable("an injected fault".to_owned());
        if fate.times == 0 {
            return Err(lost());
        }
        tokio::time::sleep(fate.late).await;
        for _ in 1..fate.times {
            self.bus.ask(whom, question.clone()).await?;
        }
        let answer = self.bus.ask(whom, question).await?;
        if fate.fails { Err(lost()) } else { Ok(answer) }
    }

    async fn questions(&self, whom: Whom) -> Result<mpsc::Receiver<Question>, Error> {
        self.bus.questions(whom).await
    }

    async fn announce(&self, topic: Topic, words: Bytes) -> Result<(), Error> {
        let say = || {
            let (bus, words) = (self.bus.clone(), words.clone());
            async move { bus.announce(topic, words).await }
        };
        self.dice.send(say).await
    }

    async fn listen(&self, topic: Topic) -> Result<mpsc::Receiver<Bytes>, Error> {
        self.bus.listen(topic).await
    }
}

/// Tasks of a [`Faulty`] bus.
#[derive(Debug)]
pub struct FaultyTasks<T> {
    tasks: T,
    dice: Dice,
}

impl<T: Tasks> Tasks for FaultyTasks<T> {
    type Receipt = FaultyReceipt<T::Receipt>;

    async fn pull(&mut self, free: usize, wait: Duration) -> Result<Vec<Delivery<Self::Receipt>>, Error> {
        let deliveries = self.tasks.pull(free, wait).await?;
        Ok(deliveries.into_iter().map(|delivery| self.wrap(delivery)).collect())
    }

    async fn glean(&mut self, bands: &[Band], most: usize) -> Result<Vec<Delivery<Self::Receipt>>, Error> {
        let deliveries = self.tasks.glean(bands, most).await?;
        Ok(deliveries.into_iter().map(|delivery| self.wrap(delivery)).collect())
    }
}

impl<T: Tasks> FaultyTasks<T> {
    fn wrap(&self, delivery: Delivery<T::Receipt>) -> Delivery<FaultyReceipt<T::Receipt>> {
        let Delivery { offer, deliveries, receipt } = delivery;
        let receipt = FaultyReceipt { receipt: Arc::new(receipt), dice: self.dice.clone() };
        Delivery { offer, deliveries, receipt }
    }
}

/// What a task of a [`Faulty`] bus is acknowledged with.
#[derive(Debug)]
pub struct FaultyReceipt<R> {
    receipt: Arc<R>,
    dice: Dice,
}

impl<R: Receipt> Receipt for FaultyReceipt<R> {
    async fn ack(&self) -> Result<(), Error> {
        let act = || {
            let receipt = Arc::clone(&self.receipt);
            async move { receipt.ack().await }
        };
        self.dice.send(act).await
    }

    async fn nak(&self, delay: Duration) -> Result<(), Error> {
        let act = || {
            let receipt = Arc::clone(&self.receipt);
            async move { receipt.nak(delay).await }
        };
        self.dice.send(act).await
    }

    async fn progress(&self) -> Result<(), Error> {
        let act = || {
            let receipt = Arc::clone(&self.receipt);
            async move { receipt.progress().await }
        };
        self.dice.send(act).await
    }
}

/// News of a [`Faulty`] bus: some pieces come twice.
#[derive(Debug)]
pub struct FaultyNews<N> {
    news: N,
    dice: Dice,
}

impl<N: News> News for FaultyNews<N> {
    async fn next(&mut self, most: usize, wait: Duration) -> Result<Vec<Piece>, Error> {
        let pieces = self.news.next(most, wait).await?;
        let doubled = |piece: Piece| {
            let times = self.dice.roll().times.max(1);
            std::iter::repeat_n(piece, times as usize)
        };
        Ok(pieces.into_iter().flat_map(doubled).collect())
    }

    async fn ack(&mut self) -> Result<(), Error> {
        // Acknowledgements are counted, so one that is lost is made good by the next; one that fails is not made.
        if self.dice.roll().fails {
            Err(Error::Unavailable("an injected fault".to_owned()))
        } else {
            self.news.ack().await
        }
    }
}
