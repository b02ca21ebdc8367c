//! Nodes that hold a task for their next free slot, and have it made ready meanwhile. In paused time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use vtp_fleet::bus::{LocalBus, Terms};
use vtp_fleet::driver::Notice;
use vtp_fleet::ledger::{MemoryLedger, Submission};
use vtp_fleet::messages::{AttemptId, Offer};
use vtp_fleet::node::{Outcome, Work};

use crate::fleet::{Node, Running, config_with, submission};

/// Fetches, and then takes its time.
#[derive(Clone)]
pub(crate) struct Chunks {
    fetch: Duration,
    encode: Arc<dyn Fn(AttemptId) -> Duration + Send + Sync>,
    /// Packets that lie on the disk.
    lying: Arc<AtomicUsize>,
    begun: Arc<Mutex<Vec<AttemptId>>>,
}

/// Packets, which are removed with this.
pub(crate) struct Packets(Arc<AtomicUsize>);

impl Drop for Packets {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Chunks {
    pub(crate) fn new(fetch_ms: u64, encode: impl Fn(AttemptId) -> Duration + Send + Sync + 'static) -> Self {
        let (lying, begun) = (Arc::default(), Arc::default());
        Self { fetch: Duration::from_millis(fetch_ms), encode: Arc::new(encode), lying, begun }
    }

    pub(crate) fn of_ms(fetch_ms: u64, encode_ms: u64) -> Self {
        Self::new(fetch_ms, move |_| Duration::from_millis(encode_ms))
    }

    pub(crate) fn lying(&self) -> usize {
        self.lying.load(Ordering::Relaxed)
    }

    pub(crate) fn begun(&self) -> Vec<(u64, u32)> {
        self.begun.lock().expect("nobody panics").iter().map(|id| (id.job, id.chunk)).collect()
    }
}

impl Work for Chunks {
    type Ready = Packets;

    async fn prepare(&self, _: Arc<Offer>) -> Result<Packets, Outcome> {
        self.lying.fetch_add(1, Ordering::Relaxed);
        let packets = Packets(Arc::clone(&self.lying));
        tokio::time::sleep(self.fetch).await;
        Ok(packets)
    }

    async fn run(&self, offer: Arc<Offer>, _packets: Packets) -> Outcome {
        self.begun.lock().expect("nobody panics").push(offer.id);
        tokio::time::sleep((self.encode)(offer.id)).await;
        Outcome::Finished { result: offer.body.clone() }
    }
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) struct Scene {
    pub(crate) bus: LocalBus,
    ledger: MemoryLedger,
    pub(crate) driver: Running,
}

impl Scene {
    /// A driver that gives each node one task more than it has slots.
    pub(crate) async fn start() -> Self {
        let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
        let driver = Running::with(&bus, ledger.clone(), config_with(1)).await;
        Self { bus, ledger, driver }
    }

    pub(crate) async fn submit(&self, submission: Submission) {
        self.driver.handle.submit(submission).await.expect("taken");
    }

    pub(crate) fn attempts(&self) -> Vec<usize> {
        self.ledger.state().job(1).expect("it is known").tasks.values().map(|task| task.holders.len()).collect()
    }

    /// How long it takes to have these done.
    async fn time(&mut self, tasks: u32) -> Duration {
        let since = Instant::now();
        self.submit(submission(1, tasks)).await;
        self.driver.ended(&[1]).await;
        since.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_tasks_packets_come_while_one_is_encoded() {
    for (ahead, least) in [(0, 30_000), (1, 25_000)] {
        let mut scene = Scene::start().await;
        let _node = Node::with_ahead(&scene.bus, "a", 1, ahead, Chunks::of_ms(1_000, 4_000));
        pass(1).await;
        let took = scene.time(6).await.as_millis();
        assert!((least..least + 300).contains(&took), "{ahead} ahead: {took} ms");
        assert_eq!(scene.attempts(), [1; 6]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_has_no_more_packets_than_slots_and_one_besides() {
    let mut scene = Scene::start().await;
    let work = Chunks::of_ms(100, 2_000);
    let _node = Node::with_ahead(&scene.bus, "a", 2, 1, work.clone());
    scene.submit(submission(1, 12)).await;
    let mut most = 0;
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(work.lying());
    }
    scene.driver.ended(&[1]).await;
    assert_eq!((most, work.lying()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_node_holds_is_done_by_one_that_is_free() {
    let mut scene = Scene::start().await;
    let (slow, quick) = (Chunks::of_ms(500, 60_000), Chunks::of_ms(500, 1_000));
    let _slow = Node::with_ahead(&scene.bus, "slow", 1, 1, slow.clone());
    pass(1).await;
    scene.submit(submission(1, 4)).await;
    pass(5).await;
    assert_eq!((slow.begun().len(), slow.lying()), (1, 2));
    let since = Instant::now();
    let _quick = Node::with_ahead(&scene.bus, "quick", 1, 1, quick.clone());
    pass(8).await;
    assert_eq!((slow.lying(), quick.begun().len()), (1, 3));
    scene.driver.ended(&[1]).await;
    assert!(since.elapsed() < Duration::from_secs(57));
    assert_eq!(scene.attempts().iter().sum::<usize>(), 5, "one was taken back");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_of_a_cancelled_job_is_gone_at_once() {
    let mut scene = Scene::start().await;
    let work = Chunks::of_ms(500, 60_000);
    let _node = Node::with_ahead(&scene.bus, "a", 1, 1, work.clone());
    pass(1).await;
    scene.submit(submission(1, 4)).await;
    pass(5).await;
    assert_eq!(work.lying(), 2);
    scene.driver.handle.cancel(1).await.expect("given up");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(work.lying(), 0);
    assert_eq!(scene.driver.ended(&[1]).await.1, [Notice::Cancelled { job: 1 }]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_told_to_leave_hands_back_what_it_holds_at_once() {
    let mut scene = Scene::start().await;
    let (work, other) = (Chunks::of_ms(500, 40_000), Chunks::of_ms(500, 1_000));
    let leaves = Node::with_ahead(&scene.bus, "a", 1, 1, work.clone());
    pass(1).await;
    scene.submit(submission(1, 2)).await;
    pass(5).await;
    leaves.leave.send(true).expect("it listens");
    let _other = Node::with_ahead(&scene.bus, "b", 1, 1, other.clone());
    pass(3).await;
    assert_eq!((work.lying(), other.begun()), (1, vec![(1, 1)]));
    scene.driver.ended(&[1]).await;
    assert_eq!(scene.attempts(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_is_begun_before_what_is_held() {
    let mut scene = Scene::start().await;
    let work = Chunks::of_ms(500, 10_000);
    let _node = Node::with_ahead(&scene.bus, "a", 1, 1, work.clone());
    pass(1).await;
    scene.submit(submission(1, 4)).await;
    pass(5).await;
    scene.submit(Submission { priority: 1, ..submission(2, 1) }).await;
    scene.driver.ended(&[1, 2]).await;
    assert_eq!(work.begun()[..2], [(1, 0), (2, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_costs_what_it_held_nothing() {
    let mut scene = Scene::start().await;
    let victim = Node::with_ahead(&scene.bus, "a", 1, 1, Chunks::of_ms(500, 60_000));
    pass(1).await;
    scene.submit(submission(1, 2)).await;
    pass(5).await;
    victim.kill();
    let _other = Node::with_ahead(&scene.bus, "b", 1, 1, Chunks::of_ms(500, 1_000));
    scene.driver.ended(&[1]).await;
    let losses: Vec<u32> = {
        let state = scene.ledger.state();
        state.job(1).expect("it is known").tasks.values().map(|task| task.failures).collect()
    };
    assert_eq!((scene.attempts(), losses), (vec![2, 2], vec![0, 0]));
}

/// The end of a job is where holding could cost: a task that a busy node holds while another has a slot free.
#[tokio::test(start_paused = true)]
async fn holding_tasks_makes_jobs_no_longer_on_the_whole() {
    let (mut without, mut with) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..30 {
        let mut times = [Duration::ZERO; 2];
        for (ahead, time) in (0..2).zip(&mut times) {
            let mut scene = Scene::start().await;
            // From one to twenty seconds; one node takes three times as long.
            let encode = move |times: u64| {
                move |id: AttemptId| {
                    let mut random = fastrand::Rng::with_seed(seed * 1_000 + u64::from(id.chunk));
                    Duration::from_millis(times * random.u64(1_000..20_000))
                }
            };
            let node = |number: u64| {
                let work = Chunks::new(200, encode(if number == 0 { 3 } else { 1 }));
                Node::with_ahead(&scene.bus, &format!("n{number}"), 2, ahead, work)
            };
            let _nodes: Vec<Node> = (0..4).map(node).collect();
            pass(1).await;
            *time = scene.time(40).await;
        }
        println!("seed {seed}: {:.1} s without, {:.1} s with", times[0].as_secs_f64(), times[1].as_secs_f64());
        (without, with) = (without + times[0], with + times[1]);
    }
    println!("in all: {:.1} s without, {:.1} s with", without.as_secs_f64(), with.as_secs_f64());
    // Who gets the longest tasks last is chance, either way.
    assert!(with < without.mul_f64(1.02));
}

#[tokio::test(start_paused = true)]
async fn free_slots_of_a_node_that_is_gone_take_a_task_back_twice_at_most() {
    let mut scene = Scene::start().await;
    let gone = Node::with_ahead(&scene.bus, "a", 2, 1, Chunks::of_ms(500, 60_000));
    pass(1).await;
    gone.kill();
    let work = Chunks::of_ms(500, 60_000);
    let _node = Node::with_ahead(&scene.bus, "b", 1, 1, work.clone());
    scene.submit(submission(1, 2)).await;
    pass(29).await;
    let attempts = scene.attempts();
    assert!(attempts.iter().sum::<usize>() <= 4, "{attempts:?}");
    assert_eq!(work.lying(), 2);
    scene.driver.ended(&[1]).await;
}
