//! A bus within one process: for tests, and for a fleet of one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::talk::{PATIENCE, ROOM};
use super::{Band, Bus, Controls, Delivery, Error, News, Piece, Question, Receipt, Talk, Tasks, Terms, Topic, Whom};
use crate::messages::{AttemptId, Control, Message, NodeId, Offer, Pool, Report};

/// A bus within one process. Clones are the same bus.
#[derive(Clone, Debug)]
pub struct LocalBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    terms: Terms,
    inner: Mutex<Inner>,
    tasks: Notify,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<(Pool, Band), VecDeque<Waiting>>,
    /// What was pulled and not acknowledged, by a number.
    held: BTreeMap<u64, Held>,
    pulled: u64,
    /// When tasks were published.
    known: HashMap<AttemptId, Instant>,
    /// What was not acknowledged by the driver; the place in all news of the first.
    news: VecDeque<Piece>,
    first: u64,
    reports: HashMap<NodeId, (u64, u64)>,
    controls: HashMap<NodeId, Vec<mpsc::UnboundedSender<Control>>>,
    asked: HashMap<Whom, Vec<mpsc::Sender<Question>>>,
    listeners: HashMap<Topic, Vec<mpsc::Sender<Bytes>>>,
}

#[derive(Debug)]
struct Waiting {
    offer: Offer,
    deliveries: u32,
    from: Instant,
}

#[derive(Debug)]
struct Held {
    waiting: Waiting,
    until: Instant,
}

impl LocalBus {
    /// A bus without tasks.
    pub fn new(terms: Terms) -> Self {
        let shared = Shared { terms, inner: Mutex::default(), tasks: Notify::new(), news: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Loses all tasks, as a bus may whose disk is replaced.
    pub fn wipe(&self) {
        let mut inner = self.shared.inner();
        inner.waiting.clear();
        inner.held.clear();
        inner.known.clear();
    }

    fn tell(&self, piece: Piece) {
        self.shared.inner().news.push_back(piece);
        self.shared.news.notify_waiters();
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has tasks wait again that nobody was heard of.
    fn expire(&self, now: Instant) {
        let mut inner = self.inner();
        let due: Vec<u64> =
            inner.held.iter().filter(|(_, held)| held.until <= now).map(|(number, _)| *number).collect();
        for number in due {
            let Some(held) = inner.held.remove(&number) else { continue };
            self.again(&mut inner, held.waiting);
        }
    }

    fn again(&self, inner: &mut Inner, waiting: Waiting) {
        if waiting.deliveries >= self.terms.max_deliver {
            inner.news.push_back(Piece::Exhausted { offer: waiting.offer, deliveries: waiting.deliveries });
            self.news.notify_waiters();
            return;
        }
        let key = (waiting.offer.pool.clone(), Band::of(waiting.offer.priority));
        inner.waiting.entry(key).or_default().push_front(waiting);
        self.tasks.notify_waiters();
    }

    /// When something changes by itself.
    fn next_due(&self) -> Option<Instant> {
        let inner = self.inner();
        let held = inner.held.values().map(|held| held.until);
        held.chain(inner.waiting.values().flatten().map(|it| it.from)).filter(|at| *at > Instant::now()).min()
    }

    /// Waits for a change, or the end.
    async fn changed(&self, notified: impl Future<Output = ()>, end: Instant) {
        let due = self.next_due().map_or(end, |due| due.min(end));
        tokio::select! {
            () = notified => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

impl Bus for LocalBus {
    type Tasks = LocalTasks;
    type News = LocalNews;
    type Controls = LocalControls;

    async fn prepare(&self, _pools: &[Pool]) -> Result<(), Error> {
        Ok(())
    }

    async fn publish(&self, offers: Vec<Offer>) -> Result<(), Error> {
        let now = Instant::now();
        let mut inner = self.shared.inner();
        let window = self.shared.terms.duplicate_window;
        inner.known.retain(|_, published| now < *published + window);
        for offer in offers {
            offer.check().map_err(|what| crate::messages::NoMessage::Content(what.to_owned()))?;
            // Known from the first time on, however often it is published.
            if let Entry::Vacant(new) = inner.known.entry(offer.id) {
                new.insert(now);
                let key = (offer.pool.clone(), Band::of(offer.priority));
                inner.waiting.entry(key).or_default().push_back(Waiting { offer, deliveries: 0, from: now });
            }
        }
        self.shared.tasks.notify_waiters();
        Ok(())
    }

    async fn tasks(&self, pools: &[Pool]) -> Result<LocalTasks, Error> {
        Ok(LocalTasks { shared: Arc::clone(&self.shared), pools: pools.to_vec() })
    }

    async fn report(&self, report: &Report) -> Result<(), Error> {
        report.check().map_err(|what| crate::messages::NoMessage::Content(what.to_owned()))?;
        let said = (report.session, report.sequence);
        if self.shared.inner().reports.insert(report.node.clone(), said) != Some(said) {
            self.tell(Piece::Report(report.clone()));
        }
        Ok(())
    }

    async fn news(&self) -> Result<LocalNews, Error> {
        Ok(LocalNews { shared: Arc::clone(&self.shared), given: self.shared.inner().first })
    }

    async fn control(&self, node: &NodeId, control: &Control) -> Result<(), Error> {
        for listener in self.shared.inner().controls.get(node).into_iter().flatten() {
            // Nobody listens any longer: that is what the trait says happens to words then.
            let _ = listener.send(control.clone());
        }
        Ok(())
    }

    async fn controls(&self, node: &NodeId) -> Result<LocalControls, Error> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.shared.inner();
        let listeners = inner.controls.entry(node.clone()).or_default();
        listeners.retain(|it| !it.is_closed());
        listeners.push(sender);
        Ok(LocalControls(receiver))
    }
}

impl Talk for LocalBus {
    async fn ask(&self, whom: Whom, question: Bytes) -> Result<Bytes, Error> {
        let nobody = || Error::Unavailable("nobody answers".to_owned());
        let asked = self.shared.inner().asked.get(&whom).cloned().unwrap_or_default();
        let (reply, mut answers) = mpsc::channel(asked.len().max(1));
        for listener in asked {
            let (answer, answered) = oneshot::channel();
            if listener.send(Question { bytes: question.clone(), reply: answer }).await.is_ok() {
                let reply = reply.clone();
                tokio::spawn(async move {
                    if let Ok(answer) = answered.await {
                        // The first answer counts.
                        let _ = reply.send(answer).await;
                    }
                });
            }
        }
        drop(reply);
        tokio::time::timeout(PATIENCE, answers.recv()).await.ok().flatten().ok_or_else(nobody)
    }

    async fn questions(&self, whom: Whom) -> Result<mpsc::Receiver<Question>, Error> {
        let (sender, receiver) = mpsc::channel(ROOM);
        let mut inner = self.shared.inner();
        let asked = inner.asked.entry(whom).or_default();
        asked.retain(|it| !it.is_closed());
        asked.push(sender);
        Ok(receiver)
    }

    async fn announce(&self, topic: Topic, words: Bytes) -> Result<(), Error> {
        for listener in self.shared.inner().listeners.get(&topic).into_iter().flatten() {
            // Whoever does not keep up loses it.
            let _ = listener.try_send(words.clone());
        }
        Ok(())
    }

    async fn listen(&self, topic: Topic) -> Result<mpsc::Receiver<Bytes>, Error> {
        let (sender, receiver) = mpsc::channel(ROOM);
        let mut inner = self.shared.inner();
        let listeners = inner.listeners.entry(topic).or_default();
        listeners.retain(|it| !it.is_closed());
        listeners.push(sender);
        Ok(receiver)
    }
}

/// Tasks of a [`LocalBus`].
#[derive(Debug)]
pub struct LocalTasks {
    shared: Arc<Shared>,
    pools: Vec<Pool>,
}

impl LocalTasks {
    fn take(&self, bands: &[Band], free: usize) -> Vec<Delivery<LocalReceipt>> {
        let now = Instant::now();
        self.shared.expire(now);
        let mut inner = self.shared.inner();
        let mut taken = Vec::new();
        for band in bands {
            for pool in &self.pools {
                let Some(queue) = inner.waiting.get_mut(&(pool.clone(), *band)) else { continue };
                while taken.len() < free {
                    let Some(at) = queue.iter().position(|it| it.from <= now) else { break };
                    taken.extend(queue.remove(at));
                }
            }
        }
        let ack_wait = self.shared.terms.ack_wait;
        let deliver = |mut waiting: Waiting| {
            waiting.deliveries += 1;
            let number = inner.pulled;
            inner.pulled += 1;
            let (offer, deliveries) = (waiting.offer.clone(), waiting.deliveries);
            inner.held.insert(number, Held { waiting, until: now + ack_wait });
            Delivery { offer, deliveries, receipt: LocalReceipt { shared: Arc::clone(&self.shared), number } }
        };
        taken.into_iter().map(deliver).collect()
    }
}

impl Tasks for LocalTasks {
    type Receipt = LocalReceipt;

    async fn pull(&mut self, free: usize, wait: Duration) -> Result<Vec<Delivery<LocalReceipt>>, Error> {
        let end = Instant::now() + wait;
        loop {
            let mut notified = std::pin::pin!(self.shared.tasks.notified());
            notified.as_mut().enable();
            let taken = self.take(&Band::ALL, free);
            if !taken.is_empty() || Instant::now() >= end {
                return Ok(taken);
            }
            self.shared.changed(notified, end).await;
        }
    }

    async fn glean(&mut self, bands: &[Band], most: usize) -> Result<Vec<Delivery<LocalReceipt>>, Error> {
        // Those who wait have been woken.
        tokio::task::yield_now().await;
        Ok(self.take(bands, most))
    }
}

/// What a task of a [`LocalBus`] is acknowledged with.
#[derive(Debug)]
pub struct LocalReceipt {
    shared: Arc<Shared>,
    number: u64,
}

impl Receipt for LocalReceipt {
    async fn ack(&self) -> Result<(), Error> {
        self.shared.inner().held.remove(&self.number);
        Ok(())
    }

    async fn nak(&self, delay: Duration) -> Result<(), Error> {
        let mut inner = self.shared.inner();
        if let Some(mut held) = inner.held.remove(&self.number) {
            held.waiting.from = Instant::now() + delay;
            self.shared.again(&mut inner, held.waiting);
        }
        Ok(())
    }

    async fn progress(&self) -> Result<(), Error> {
        let until = Instant::now() + self.shared.terms.ack_wait;
        if let Some(held) = self.shared.inner().held.get_mut(&self.number) {
            held.until = until;
        }
        Ok(())
    }
}

/// News of a [`LocalBus`].
#[derive(Debug)]
pub struct LocalNews {
    shared: Arc<Shared>,
    /// The place in all news of what is to be given next.
    given: u64,
}

impl News for LocalNews {
    async fn next(&mut self, most: usize, wait: Duration) -> Result<Vec<Piece>, Error> {
        let end = Instant::now() + wait;
        loop {
            let mut notified = std::pin::pin!(self.shared.news.notified());
            notified.as_mut().enable();
            self.shared.expire(Instant::now());
            let pieces: Vec<Piece> = {
                let inner = self.shared.inner();
                self.given = self.given.max(inner.first);
                let ahead = usize::try_from(self.given - inner.first).unwrap_or(usize::MAX);
                inner.news.iter().skip(ahead).take(most).cloned().collect()
            };
            self.given += pieces.len() as u64;
            if !pieces.is_empty() || Instant::now() >= end {
                return Ok(pieces);
            }
            self.shared.changed(notified, end).await;
        }
    }

    async fn ack(&mut self) -> Result<(), Error> {
        let mut inner = self.shared.inner();
        let given = usize::try_from(self.given.saturating_sub(inner.first)).unwrap_or(usize::MAX);
        inner.news.drain(..given);
        inner.first = inner.first.max(self.given);
        Ok(())
    }
}

/// Words to a node of a [`LocalBus`].
#[derive(Debug)]
pub struct LocalControls(mpsc::UnboundedReceiver<Control>);

impl Controls for LocalControls {
    async fn next(&mut self) -> Option<Control> {
        self.0.recv().await
    }
}
