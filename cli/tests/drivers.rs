//! Several drivers with one ledger, in a real Postgres, on a real NATS: whatever becomes of the one that leads, every job ends once.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Scene, VTP, skipped};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vtp_control_plane::postgres::{self, PostgresServer};
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_fleet::bus::Terms;
use vtp_fleet::bus::nats::{Access, NatsBus};
use vtp_fleet::client::Client;
use vtp_fleet::ledger::{self, Ledger as _, PostgresLedger, Row, Submission};
use vtp_fleet::messages::{JobNumber, NodeId, Offer, Pool, Standing, TraceContext};
use vtp_fleet::node::{self, Outcome, Work};
use vtp_fleet::server::{self, NatsServer, Sync};

const JOBS: u64 = 40;
const CHUNKS: u32 = 3;
/// After what time somebody else leads: the lease, and what a busy machine takes.
const TAKEN_OVER: Duration = Duration::from_secs(60);

/// Takes a moment, and counts.
#[derive(Clone, Default)]
struct Moment(Arc<AtomicU64>);

impl Work for Moment {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Outcome> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(250)).await;
        Outcome::Finished { result: offer.body.clone() }
    }
}

/// A driver that is a process.
struct Driver {
    child: Child,
    log: PathBuf,
    metrics: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // One that was killed is gone already.
        let _ = self.child.kill();
        let ended = self.child.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("{} has ended ({ended:?}) and said:\n{said}", self.log.display());
        }
    }
}

impl Driver {
    fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().matches(words).count()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it leads, as Prometheus sees it.
    fn leads(&self) -> bool {
        let Ok(mut told) = ureq::get(&self.metrics).call() else { return false };
        told.body_mut().read_to_string().unwrap().lines().any(|line| line == "vtp_driver_leads 1")
    }
}

/// What a database answers to `question`, in one word.
fn asked(postgres: &PostgresServer, question: &str) -> String {
    let psql = postgres::programs().unwrap().join("psql");
    let answer = Command::new(psql).args(["-X", "-A", "-t", "-c", question, &postgres.url()]).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// A NATS, a Postgres, and nodes of this process.
struct Fleet<'a> {
    scene: &'a Scene,
    nats: NatsServer,
    postgres: PostgresServer,
    begun: Moment,
    runtime: Runtime,
    _stay: watch::Sender<bool>,
}

impl<'a> Fleet<'a> {
    /// `None`, said aloud, where there is no NATS or no Postgres, unless the environment says that they are required.
    fn start(scene: &'a Scene) -> Option<Self> {
        for (is_missing, variable) in
            [(server::binary().is_none(), "VTP_NATS"), (postgres::programs().is_none(), "VTP_POSTGRES")]
        {
            if is_missing {
                assert!(std::env::var_os(variable).is_none_or(|it| it != "required"), "{variable}");
                skipped("there is no nats-server or no PostgreSQL");
                return None;
            }
        }
        ["nats", "postgres"].iter().for_each(|name| std::fs::create_dir(scene.path(name)).unwrap());
        // Root's Postgres runs as another user, who has to get to its folder.
        std::fs::set_permissions(scene.path("."), std::fs::Permissions::from_mode(0o711)).unwrap();
        let nats = NatsServer::start(&server::binary().unwrap(), &scene.path("nats"), Sync::Default).unwrap();
        let postgres = PostgresServer::start(&scene.path("postgres"), false, &[]).unwrap();
        let (stay, left) = watch::channel(false);
        let fleet =
            Self { scene, nats, postgres, begun: Moment::default(), runtime: Runtime::new().unwrap(), _stay: stay };
        for name in ["node-0", "node-1"] {
            let (heartbeat, drain) = (Duration::from_secs(1), Duration::ZERO);
            let (node, pool) = (NodeId::new(name).unwrap(), Pool::new("cpu").unwrap());
            let settings = node::Settings { node, pool, slots: 2, ahead: 1, heartbeat, drain };
            let (bus, work, left) = (fleet.bus(name), fleet.begun.clone(), left.clone());
            fleet.runtime.spawn(async move {
                // It waits for the streams, which a driver makes.
                while let Err(ended) = node::run(bus.clone(), settings.clone(), work.clone(), left.clone()).await {
                    eprintln!("{ended}");
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            });
        }
        Some(fleet)
    }

    fn bus(&self, name: &str) -> NatsBus {
        let access = Access::anonymous(self.nats.url(), name);
        self.runtime.block_on(NatsBus::connect(&access, Terms::default(), 1)).unwrap()
    }

    fn driver(&self, name: &str) -> Driver {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let (log, metrics) = (self.scene.path(name), format!("http://127.0.0.1:{port}/metrics"));
        let mut command = Command::new(VTP);
        command.args(["driver", "--cluster", &self.nats.url(), "--metrics", &format!("127.0.0.1:{port}")]);
        command.env("VTP_LEDGER", self.postgres.url()).env("VTP_LOG", "info");
        let child = command.stdin(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        Driver { child, log, metrics }
    }

    /// One that leads, and one that stands by.
    fn drivers(&self) -> (Driver, Driver) {
        let first = self.driver("first");
        until("the first leads", TAKEN_OVER, || first.said("the driver is there") == 1);
        let second = self.driver("second");
        until("the second stands by", TAKEN_OVER, || second.said("the driver stands by: the fleet is driven by") == 1);
        assert!(first.leads() && !second.leads());
        (first, second)
    }

    /// Has all jobs done while `meanwhile` happens, once some of them are. Each has all its results, once.
    fn batch(&mut self, meanwhile: impl FnOnce(&mut PostgresServer)) {
        let bus = self.bus("client");
        let client = self.runtime.block_on(Client::start(bus, NodeId::new("client").unwrap())).unwrap();
        let client = Arc::new(client);
        let all = self.runtime.spawn(async move {
            let mut all = JoinSet::new();
            for number in 0..JOBS {
                let client = Arc::clone(&client);
                all.spawn(async move { client.carry_out(submission(number)).await.unwrap() });
            }
            all.join_all().await
        });
        until("tasks are begun", TAKEN_OVER, || self.begun.0.load(Ordering::Relaxed) > 12);
        meanwhile(&mut self.postgres);
        let all = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(180), all).await });
        for standing in all.expect("they end").unwrap() {
            let Standing::Done { mut made } = standing else { panic!("{standing:?}") };
            made.sort_by_key(|it| it.chunk);
            let results: Vec<_> = made.iter().map(|it| (it.chunk, &it.result[..])).collect();
            assert_eq!(results, [(0, &[0][..]), (1, &[1]), (2, &[2])]);
        }
    }

    /// What the tables say, to whoever claims them when nobody leads: that each job is done, and each task accepted.
    fn settled(&self) {
        let _within = self.runtime.enter();
        let mut ledger = PostgresLedger::at(&self.postgres.url(), "the test").unwrap();
        let started = Instant::now();
        let state = loop {
            match self.runtime.block_on(ledger.claim()) {
                Ok((_, state)) => break state,
                Err(error) => assert!(error.is_passing() && started.elapsed() < TAKEN_OVER, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!(state.jobs().count(), JOBS as usize);
        for job in state.jobs() {
            assert_eq!(job.outcome, Some(ledger::Outcome::Done));
            assert!(job.tasks.values().all(|task| task.accepted.is_some() && task.running.is_empty()));
        }
        // What nodes were at when the leader was lost they went on with; no more than they had was begun again.
        let (begun, tasks) = (self.begun.0.load(Ordering::Relaxed), JOBS * u64::from(CHUNKS));
        assert!((tasks..=tasks + 12).contains(&begun), "{begun} of {tasks}");
    }
}

fn submission(number: u64) -> Submission {
    let needs = Skills::NONE.with(Skill::Cpu);
    Submission {
        job: JobNumber::kept(number).0,
        user: 1,
        weight: 1,
        priority: 5,
        deadline_ms: None,
        fetch: Vec::new(),
        deliver: Vec::new(),
        trace: TraceContext::NONE,
        tasks: (0..CHUNKS).map(|chunk| Row::new(chunk, Cost(1_000), needs, vec![chunk as u8])).collect(),
    }
}

fn until(what: &str, patience: Duration, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "it never came to it that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_leader_that_is_killed_is_followed_and_every_job_ends_once() {
    let scene = Scene::new();
    let Some(mut fleet) = Fleet::start(&scene) else { return };
    let (mut first, second) = fleet.drivers();
    fleet.batch(|_| {
        first.signal("-KILL");
        first.child.wait().unwrap();
        until("the second leads", TAKEN_OVER, || second.leads());
    });
    drop(second);
    fleet.settled();
}

#[test]
fn a_leader_that_is_told_to_leave_is_followed_at_once() {
    let scene = Scene::new();
    let Some(mut fleet) = Fleet::start(&scene) else { return };
    let (mut first, second) = fleet.drivers();
    fleet.batch(|postgres| {
        let leader = asked(postgres, "SELECT holder FROM fleet_driver");
        first.signal("-TERM");
        let ended = first.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
        let kept = asked(postgres, &format!("SELECT count(*) FROM fleet_driver WHERE holder = '{leader}'"));
        assert_eq!(kept, "0", "a lease is left to be waited for");
        until("the second leads", TAKEN_OVER, || second.leads());
    });
    drop(second);
    fleet.settled();
}

#[test]
fn a_leader_that_stood_still_is_fenced_when_it_goes_on_and_nothing_counts_twice() {
    let scene = Scene::new();
    let Some(mut fleet) = Fleet::start(&scene) else { return };
    let (first, second) = fleet.drivers();
    fleet.batch(|_| {
        first.signal("-STOP");
        until("the second leads", TAKEN_OVER, || second.leads());
        std::thread::sleep(Duration::from_secs(1));
        first.signal("-CONT");
        // It is fenced, or was cut off where it stood still in a transaction.
        until("the first stands by", TAKEN_OVER, || first.said("the driver stands by: the fleet is driven by") == 1);
        assert!(second.leads() && !first.leads());
    });
    // And it leads again when it is its turn.
    drop(second);
    until("the first leads again", TAKEN_OVER, || first.said("the driver is there") == 2);
    drop(first);
    fleet.settled();
}

#[test]
fn a_database_that_is_cut_off_in_the_middle_loses_nothing() {
    let scene = Scene::new();
    let Some(mut fleet) = Fleet::start(&scene) else { return };
    let (first, second) = fleet.drivers();
    fleet.batch(|postgres| {
        for _ in 0..2 {
            postgres.crash().unwrap();
            until("somebody leads again", TAKEN_OVER, || first.leads() != second.leads());
            std::thread::sleep(Duration::from_millis(1_500));
        }
    });
    drop((first, second));
    fleet.settled();
}
