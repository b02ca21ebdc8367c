//! Fleets within the process, in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vtp_fleet::bus::{Bus, Faults, Faulty, LocalBus, Terms};
use vtp_fleet::driver::{Config, Notice};
use vtp_fleet::ledger::{MemoryLedger, Outcome};
use vtp_fleet::messages::Offer;
use vtp_fleet::node::{Ended, Outcome as NodeOutcome, Work};

use crate::fleet::{Node, Running, Slow, config, config_with, submission};

/// Every task of job 1 was given out this often.
fn attempts(ledger: &MemoryLedger) -> Vec<usize> {
    let state = ledger.state();
    state.job(1).expect("it is known").tasks.values().map(|task| task.holders.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn jobs_are_done_by_several_nodes_each_task_once() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let work = Slow::of_ms(500);
    let _nodes = [Node::start(&bus, "a", 2, work.clone()), Node::start(&bus, "b", 3, work.clone())];
    for job in 1..=3 {
        driver.handle.submit(submission(job, 20)).await.expect("taken");
    }
    let (accepted, ends) = driver.ended(&[1, 2, 3]).await;
    assert_eq!((accepted.len(), work.begun.load(Ordering::Relaxed)), (60, 60));
    assert!(ends.iter().all(|end| matches!(end, Notice::Done { .. })));
    assert!(ledger.state().jobs().all(|job| job.outcome == Some(Outcome::Done)));
    driver.handle.forget(1).await.expect("it has ended");
    assert!(ledger.state().job(1).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_is_taken_once_and_a_cancelled_one_ends() {
    let bus = LocalBus::new(Terms::default());
    let mut driver = Running::start(&bus, MemoryLedger::default()).await;
    let work = Slow::of_ms(3_000);
    let _node = Node::start(&bus, "a", 2, work.clone());
    driver.handle.submit(submission(1, 10)).await.expect("taken");
    let again = driver.handle.submit(submission(1, 10)).await.expect_err("it is known");
    assert_eq!(again.to_string(), "job 1 is known already");
    assert!(driver.handle.forget(1).await.is_err(), "it has not ended");
    tokio::time::sleep(Duration::from_secs(1)).await;
    driver.handle.cancel(1).await.expect("given up");
    assert_eq!(driver.ended(&[1]).await.1, [Notice::Cancelled { job: 1 }]);
    driver.handle.submit(submission(2, 2)).await.expect("taken");
    driver.ended(&[2]).await;
    assert_eq!(work.begun.load(Ordering::Relaxed), 4, "what was begun of the first was put down at once");
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_killed_is_followed_by_one_that_goes_on() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let work = Slow::of_ms(5_000);
    let _nodes = [Node::start(&bus, "a", 2, work.clone()), Node::start(&bus, "b", 2, work.clone())];
    let mut driver = Running::start(&bus, ledger.clone()).await;
    driver.handle.submit(submission(1, 12)).await.expect("taken");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(3_300)).await;
        driver.kill().await;
        driver = Running::start(&bus, ledger.clone()).await;
    }
    driver.ended(&[1]).await;
    assert_eq!(work.begun.load(Ordering::Relaxed), 12, "what nodes were at went on");
    assert_eq!(attempts(&ledger), [1; 12]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_told_to_leave_finishes_what_it_can_in_time_and_hands_back_the_rest() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let (soon, late) = (Slow::of_ms(40_000), Slow::of_ms(200_000));
    let nodes = [Node::start(&bus, "a", 1, soon.clone()), Node::start(&bus, "b", 1, late.clone())];
    driver.handle.submit(submission(1, 2)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in nodes {
        node.leave.send(true).expect("it listens");
        tokio::time::timeout(Duration::from_secs(62), node.running)
            .await
            .expect("it leaves")
            .expect("ended")
            .expect("well");
    }
    let other = Slow::of_ms(100);
    let _other = Node::start(&bus, "c", 2, other.clone());
    driver.ended(&[1]).await;
    assert_eq!(other.begun.load(Ordering::Relaxed), 1, "the other was done");
    let mut all = attempts(&ledger);
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_a_node_is_done_by_whoever_is_free_first() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::with(&bus, ledger.clone(), config_with(3)).await;
    let (slow, quick) = (Slow::of_ms(20_000), Slow::of_ms(1_000));
    let _slow = Node::start(&bus, "slow", 1, slow.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    driver.handle.submit(submission(1, 4)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _quick = Node::start(&bus, "quick", 1, quick.clone());
    driver.ended(&[1]).await;
    let begun = |work: &Slow| work.begun.load(Ordering::Relaxed);
    assert_eq!((begun(&slow), begun(&quick)), (1, 3));
    assert_eq!(attempts(&ledger), [1; 4]);
}

/// Can do nothing.
#[derive(Clone)]
struct Unfit;

impl Work for Unfit {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), NodeOutcome> {
        Ok(())
    }

    async fn run(&self, _: Arc<Offer>, (): ()) -> NodeOutcome {
        NodeOutcome::Unfit { message: "it is another build".to_owned() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_can_do_nothing_leaves_and_costs_the_tasks_nothing() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let unfit: Vec<Node> = (0..8).map(|number| Node::start(&bus, &format!("unfit-{number}"), 1, Unfit)).collect();
    driver.handle.submit(submission(1, 1)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ended = unfit.into_iter().map(|node| node.running).filter(|node| node.is_finished());
    for ended in futures_util::future::join_all(ended).await {
        assert!(matches!(ended.expect("ended"), Err(Ended::Unfit(why)) if why == "it is another build"));
    }
    let _fit = Node::start(&bus, "fit", 1, Slow::of_ms(100));
    let (_, ends) = driver.ended(&[1]).await;
    assert!(matches!(ends[..], [Notice::Done { .. }]), "{ends:?}");
}

/// Can do nothing, and counts how often it was asked to.
#[derive(Clone)]
struct Full(Arc<AtomicU64>);

impl Work for Full {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), NodeOutcome> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(NodeOutcome::Unable { message: "its disk is full".to_owned() })
    }

    async fn run(&self, _: Arc<Offer>, (): ()) -> NodeOutcome {
        unreachable!("nothing is made ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_at_fault_itself_rests_and_costs_tasks_and_other_nodes_nothing() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let asked = Arc::new(AtomicU64::new(0));
    let _full = Node::start(&bus, "full", 2, Full(Arc::clone(&asked)));
    let _other = Node::start(&bus, "other", 1, Slow::of_ms(1_000));
    driver.handle.submit(submission(1, 60)).await.expect("taken");
    let (_, ends) = driver.ended(&[1]).await;
    assert!(matches!(ends[..], [Notice::Done { .. }]), "{ends:?}");
    let state = ledger.state();
    assert!(state.job(1).expect("it is known").tasks.values().all(|task| task.failures == 0));
    let asked = asked.load(Ordering::Relaxed);
    assert!((2..=14).contains(&asked), "in a minute it was asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_no_node_is_able_to_do_ends_its_job_in_the_end() {
    let bus = LocalBus::new(Terms::default());
    let mut driver = Running::start(&bus, MemoryLedger::default()).await;
    let asked = Arc::new(AtomicU64::new(0));
    let _full: Vec<Node> =
        (0..4).map(|it| Node::start(&bus, &format!("full-{it}"), 1, Full(Arc::clone(&asked)))).collect();
    driver.handle.submit(submission(1, 1)).await.expect("taken");
    let (_, ends) = driver.ended(&[1]).await;
    assert!(matches!(ends[..], [Notice::Failed { .. }]), "{ends:?}");
    assert!(asked.load(Ordering::Relaxed) > 16);
}

/// Can't do it yet, so many times.
#[derive(Clone)]
struct NotYet(Arc<AtomicU64>);

impl Work for NotYet {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), NodeOutcome> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> NodeOutcome {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => NodeOutcome::PutDown { message: "somebody else has what it needs".to_owned() },
            Err(_) => NodeOutcome::Finished { result: offer.body.clone() },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_cannot_do_yet_is_no_failure_and_is_done_later() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let times = u64::from(config().coordinator.max_attempts);
    let _node = Node::start(&bus, "a", 1, NotYet(Arc::new(AtomicU64::new(times))));
    driver.handle.submit(submission(1, 1)).await.expect("taken");
    let (_, ends) = driver.ended(&[1]).await;
    assert!(matches!(ends[..], [Notice::Done { .. }]), "{ends:?}");
    assert_eq!(ledger.state().job(1).map(|job| job.tasks[&0].failures), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_killed_costs_its_tasks_an_attempt() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let victim = Node::start(&bus, "a", 2, Slow::of_ms(10_000));
    driver.handle.submit(submission(1, 6)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(5)).await;
    victim.kill();
    let _other = Node::start(&bus, "b", 2, Slow::of_ms(1_000));
    let (accepted, _) = driver.ended(&[1]).await;
    assert_eq!(accepted.iter().filter(|id| id.attempt > 1).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_finishes_what_it_has() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let leaves = Node::start(&bus, "a", 2, Slow::of_ms(4_000));
    driver.handle.submit(submission(1, 8)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
    leaves.leave.send(true).expect("it listens");
    leaves.running.await.expect("it ends").expect("in peace");
    let _other = Node::start(&bus, "b", 2, Slow::of_ms(1_000));
    driver.ended(&[1]).await;
    assert_eq!(attempts(&ledger), [1; 8]);
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_of_one_name_the_first_ends_with_a_sentence_and_the_other_works_on() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let first = Node::start(&bus, "a", 1, Slow::of_ms(5_000));
    driver.handle.submit(submission(1, 6)).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = Node::start(&bus, "a", 1, Slow::of_ms(5_000));
    let error = first.running.await.expect("it ends").expect_err("refused").to_string();
    assert!(error.ends_with("another process has its name, a: each needs a name of its own"), "{error}");
    driver.ended(&[1]).await;
    assert!(!second.running.is_finished());
    let attempts = attempts(&ledger);
    assert!(attempts.iter().sum::<usize>() <= 8, "what the first was at is done again: {attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_an_unknown_pool_is_refused_with_those_that_there_are() {
    let bus = LocalBus::new(Terms::default());
    let _driver = Running::start(&bus, MemoryLedger::default()).await;
    let node = Node::in_pool(&bus, "a", "gpu", 2, Slow::of_ms(1));
    let error = node.running.await.expect("it ends").expect_err("refused");
    assert!(matches!(error, Ended::Refused(_)));
    assert!(error.to_string().ends_with("there is no pool gpu; there are: cpu"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_bus_has_lost_is_published_again() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let mut driver = Running::start(&bus, ledger.clone()).await;
    let early = Node::start(&bus, "a", 4, Slow::of_ms(1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    early.kill();
    driver.handle.submit(submission(1, 4)).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(100)).await;
    bus.wipe();
    let _node = Node::start(&bus, "b", 4, Slow::of_ms(100));
    driver.ended(&[1]).await;
    assert_eq!(attempts(&ledger), [1; 4], "it costs no attempt");
}

/// What was taken ends, whatever the bus does, and the ledger, which refuses what contradicts it, has refused nothing.
#[tokio::test(start_paused = true)]
async fn jobs_end_on_a_bus_that_loses_doubles_delays_and_fails() {
    let first = std::env::var("VTP_SEED").ok().and_then(|it| it.parse().ok());
    // With second attempts for slow tasks.
    let config = Config { coordinator: Config::fleet(config().pools).coordinator, ..config() };
    for seed in first.map_or(0..40, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let faults = Faults { lose: 0.05, double: 0.1, delay: 0.2, late: Duration::from_secs(3), fail: 0.05 };
        let bus = Faulty::new(LocalBus::new(Terms::default()), faults, seed);
        let ledger = MemoryLedger::default();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut driver = Running::with(&bus, ledger.clone(), config.clone()).await;
        let work = || Slow::of_ms(700);
        let mut nodes: Vec<Node> = (0..4).map(|n| Node::start(&bus, &format!("n{n}"), 2, work())).collect();
        for job in 1..=3 {
            driver.handle.submit(submission(job, 10)).await.expect("taken");
        }
        for round in 0..3 {
            tokio::time::sleep(Duration::from_millis(random.u64(100..3_000))).await;
            match random.u8(0..3) {
                0 => {
                    driver.kill().await;
                    driver = Running::with(&bus, ledger.clone(), config.clone()).await;
                }
                1 => {
                    nodes.swap_remove(random.usize(..nodes.len())).kill();
                    nodes.push(Node::start(&bus, &format!("m{round}"), 2, work()));
                }
                _ => {}
            }
        }
        let all_ended = async {
            while ledger.state().jobs().any(|job| job.outcome.is_none()) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(900), all_ended).await.expect("jobs end");
        let state = ledger.state();
        assert!(
            state.jobs().all(|job| job.outcome == Some(Outcome::Done)),
            "seed {seed}: {:?}",
            state.jobs().map(|it| &it.outcome).collect::<Vec<_>>()
        );
        nodes.into_iter().for_each(Node::kill);
        driver.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_drivers_do_not_both_write() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let first = Running::start(&bus, ledger.clone()).await;
    let second = Running::start(&bus, ledger).await;
    assert!(first.handle.submit(submission(1, 1)).await.is_err(), "it ends, as the other has taken over");
    second.handle.submit(submission(1, 1)).await.expect("taken");
    assert!(bus.news().await.is_ok());
}
