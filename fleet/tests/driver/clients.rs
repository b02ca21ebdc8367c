//! Clients of a driver, in paused time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use vtp_fleet::bus::{Bus, Error, Faults, Faulty, LocalBus, Talk, Terms, Whom};
use vtp_fleet::client::Client;
use vtp_fleet::driver::{self, Driver};
use vtp_fleet::ledger::{Ledger, MemoryLedger, Outcome, Submission};
use vtp_fleet::messages::{self, JobNumber, Made, Reply, Request, Standing};

use crate::fleet::{Node, Slow, config, submission};
use crate::support::node as client_id;

/// A driver that serves clients.
struct Office(Vec<JoinHandle<()>>);

impl Office {
    async fn open(bus: &(impl Bus + Talk), ledger: impl Ledger) -> Self {
        let (mut driver, handle, notices) = Driver::start(bus.clone(), ledger, config()).await.expect("it starts");
        let (desk, bus) = (driver.take_desk(), bus.clone());
        Self(vec![
            tokio::spawn(async move { driver.run().await.expect("it drives") }),
            tokio::spawn(async move { driver::serve(bus, handle, desk, notices).await.expect("it serves") }),
        ])
    }

    async fn kill(self) {
        for task in self.0 {
            task.abort();
            let _ = task.await;
        }
    }
}

/// A job of one task, under this number.
fn single(job: u64) -> Submission {
    Submission { job, ..submission(job, 1) }
}

fn is_done(standing: &Standing) -> bool {
    matches!(standing, Standing::Done { made } if matches!(&made[..], [Made { chunk: 0, result, .. }] if result == &[0]))
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_how_its_jobs_end_and_lets_go_of_them() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let _node = Node::start(&bus, "a", 4, Slow::of_ms(700));
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    let jobs: Vec<u64> = (0..8).map(|_| client.number()).collect();
    let ends = futures_util::future::join_all(jobs.iter().map(|job| client.carry_out(single(*job)))).await;
    assert!(ends.iter().all(|end| is_done(end.as_ref().expect("it is taken"))), "{ends:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ledger.state().jobs().count(), 0, "nothing is remembered that nobody asks for");
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_how_jobs_stand_that_are_not_its_own() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let _node = Node::start(&bus, "a", 1, Slow::of_ms(30_000));
    let (theirs, ours) = (
        Client::start(bus.clone(), client_id("c")).await.expect("it starts"),
        Client::start(bus.clone(), client_id("d")).await.expect("it starts"),
    );
    let kept = JobNumber::kept(7).0;
    let waiting = tokio::spawn(async move { theirs.carry_out(single(kept)).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let asked = [kept, kept + 1];
    let standings = ours.standings(&asked).await.expect("it is told");
    assert_eq!(standings, [(kept, Standing::Active), (kept + 1, Standing::Unknown)]);
    ours.cancel(kept).await.expect("it is given up");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ours.standings(&asked[..1]).await.expect("it is told"), [(kept, Standing::Cancelled)]);
    assert!(matches!(waiting.await.expect("it ends"), Ok(Standing::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_how_much_is_done_at_a_time_by_the_nodes_that_are_there() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger).await;
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    assert_eq!(client.slots().await.expect("it is told"), []);
    let (_a, _b) = (Node::start(&bus, "a", 4, Slow::of_ms(700)), Node::start(&bus, "b", 3, Slow::of_ms(700)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let slots = client.slots().await.expect("it is told");
    assert_eq!(slots.iter().map(|(_, slots)| *slots).collect::<Vec<_>>(), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_about_to_end_has_let_go_of_its_jobs_before() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let _node = Node::start(&bus, "a", 1, Slow::of_ms(700));
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    assert!(is_done(&client.carry_out(single(client.number())).await.expect("it is taken")));
    client.settle(Duration::from_secs(5)).await;
    assert_eq!(ledger.state().jobs().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_end_for_their_client_though_words_are_lost_and_the_driver_is_killed() {
    for seed in 0..20 {
        let faults = Faults { lose: 0.1, double: 0.1, delay: 0.3, late: Duration::from_secs(1), fail: 0.1 };
        let bus = Faulty::new(LocalBus::new(Terms::default()), faults, seed);
        let ledger = MemoryLedger::default();
        let mut office = Office::open(&bus, ledger.clone()).await;
        let _nodes = [Node::start(&bus, "a", 2, Slow::of_ms(2_000)), Node::start(&bus, "b", 2, Slow::of_ms(3_000))];
        let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
        let jobs: Vec<u64> = (0..10).map(|_| client.number()).collect();
        let ends = futures_util::future::join_all(jobs.iter().map(|job| client.carry_out(single(*job))));
        let killer = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(2_700)).await;
                office.kill().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                office = Office::open(&bus, ledger.clone()).await;
            }
            std::future::pending::<()>().await
        };
        let ends = tokio::select! {
            ends = tokio::time::timeout(Duration::from_secs(900), ends) => ends.expect("they end"),
            () = killer => unreachable!("it goes on for ever"),
        };
        assert!(ends.iter().all(|end| is_done(end.as_ref().expect("it is taken"))), "seed {seed}: {ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_tends_is_given_up_with_it_and_what_is_kept_goes_on() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    let (tended, kept) = (client.number(), JobNumber::kept(7).0);
    let client = std::sync::Arc::new(client);
    let waiting = [tended, kept].map(|job| {
        let client = std::sync::Arc::clone(&client);
        tokio::spawn(async move { client.carry_out(single(job)).await })
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    // As a killed process: not a word is said.
    std::mem::forget(waiting);
    let work = Slow::of_ms(100);
    let gone = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ledger.state().job(tended).is_none_or(|job| job.outcome == Some(Outcome::Cancelled)));
    let _node = Node::start(&bus, "a", 2, work.clone());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ledger.state().job(kept).is_none_or(|job| job.outcome == Some(Outcome::Done)));
    assert_eq!(work.begun.load(Ordering::Relaxed), 1, "only what is kept was begun");
    drop(gone);
}

#[tokio::test(start_paused = true)]
async fn of_two_clients_of_one_name_the_first_is_told_and_the_other_has_its_jobs_done() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let _node = Node::start(&bus, "a", 2, Slow::of_ms(20_000));
    let first = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    let job = first.number();
    let waiting = tokio::spawn(async move {
        let ended = first.carry_out(single(job)).await;
        (ended, first.refused().await, first.carry_out(single(first.number())).await)
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    assert!(is_done(&second.carry_out(single(second.number())).await.expect("it is taken")));
    let (ended, why, again) = waiting.await.expect("it is told");
    assert!(why.contains("another process has its name, c"), "{why}");
    assert!(matches!(ended, Ok(Standing::Cancelled)) || ended.is_err_and(|error| error.to_string() == why));
    assert_eq!(again.expect_err("refused").to_string(), why);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_up_before_it_comes_is_not_begun() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let work = Slow::of_ms(100);
    let _node = Node::start(&bus, "a", 2, work.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ask = async |request| {
        let question = messages::encode(&request).expect("a message");
        let answer = bus.ask(Whom::Driver, question).await.expect("it is answered");
        messages::decode::<Reply>(&answer).expect("a reply")
    };
    let (overtaken, cancelled) = (JobNumber::tended(9, 1).0, JobNumber::tended(9, 2).0);
    assert_eq!(ask(Request::Cancel { job: overtaken }).await, Reply::Done);
    let waits = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    assert!(matches!(waits.carry_out(single(overtaken)).await, Ok(Standing::Cancelled)));
    // Asked at once, and done in that order.
    let (submitted, given_up) =
        tokio::join!(ask(Request::Submit(single(cancelled))), ask(Request::Cancel { job: cancelled }));
    assert_eq!((submitted, given_up), (Reply::Done, Reply::Done));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ledger.state().job(overtaken).is_none());
    assert_eq!(ledger.state().job(cancelled).and_then(|job| job.outcome.clone()), Some(Outcome::Cancelled));
    assert!(work.begun.load(Ordering::Relaxed) <= 1, "it may have been begun");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_waits_for_any_longer_is_cancelled() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    let job = client.number();
    let waited = tokio::time::timeout(Duration::from_secs(3), client.carry_out(single(job))).await;
    assert!(waited.is_err(), "nobody does it");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ledger.state().job(job).is_none(), "cancelled and let go of");
}

#[tokio::test(start_paused = true)]
async fn jobs_that_had_ended_before_the_driver_was_killed_are_known_and_taken_once() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let office = Office::open(&bus, ledger.clone()).await;
    let work = Slow::of_ms(100);
    let _node = Node::start(&bus, "a", 2, work.clone());
    let client = Client::start(bus.clone(), client_id("c")).await.expect("it starts");
    let (job, other) = (JobNumber::kept(1).0, client.number());
    // Whoever waits for it is gone before it has ended.
    let submitted = tokio::time::timeout(Duration::from_millis(50), client.carry_out(single(job))).await;
    assert!(submitted.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    office.kill().await;
    let _office = Office::open(&bus, ledger.clone()).await;
    assert!(is_done(&client.carry_out(single(job)).await.expect("it is taken")));
    assert!(is_done(&client.carry_out(single(other)).await.expect("the driver goes on")));
    assert_eq!(work.begun.load(Ordering::Relaxed), 2);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ledger.state().job(other).is_none(), "it is let go of");
    client.forget(job).await.expect("it has ended");
    assert!(ledger.state().job(job).is_none(), "nobody asks for it again");
}

#[tokio::test(start_paused = true)]
async fn how_a_kept_job_ended_is_remembered_until_it_is_said_that_nobody_asks_again() {
    let (bus, ledger) = (LocalBus::new(Terms::default()), MemoryLedger::default());
    let _office = Office::open(&bus, ledger.clone()).await;
    let work = Slow::of_ms(100);
    let _node = Node::start(&bus, "a", 2, work.clone());
    let job = JobNumber::kept(7).0;
    for name in ["c", "d", "e"] {
        // Each is gone before it has noted what it heard.
        let client = Client::start(bus.clone(), client_id(name)).await.expect("it starts");
        assert!(is_done(&client.carry_out(single(job)).await.expect("it is taken")));
        drop(client);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(work.begun.load(Ordering::Relaxed), 1, "it is done once");
    let client = Client::start(bus.clone(), client_id("f")).await.expect("it starts");
    client.forget(job).await.expect("it has ended");
    assert_eq!(ledger.state().jobs().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_driver_is_told_of_the_first() {
    let bus = LocalBus::new(Terms::default());
    driver::alone(&bus).await.expect("nobody drives");
    let office = Office::open(&bus, MemoryLedger::default()).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(matches!(driver::alone(&bus).await, Err(Error::Misconfigured(_))));
    office.kill().await;
    driver::alone(&bus).await.expect("nobody drives any longer");
}
