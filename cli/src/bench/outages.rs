//! `vtp bench outages`: the whole platform on this machine under batches of jobs, while its control plane, database, NATS or driver is
//! killed at random moments, again and again: every job that was accepted has to be completed, with the right output, and to be
//! told to a webhook at least once, always under the same number.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use vtp_benches::table::Table;

use super::drill::{Disturbance, Moments, Strike, files, locked};
use crate::api::client::Client;
use crate::api::submit;
use crate::exit::Failure;
use crate::fleet::up::{Api, Machine, Options};
use crate::{Outcome, print};

/// How often it is looked what has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is asked how a batch stands.
const ASK: Duration = Duration::from_millis(700);
/// A batch that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(900);
/// How long webhooks are waited for once their jobs have ended.
const TOLD: Duration = Duration::from_secs(120);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    ControlPlane,
    Postgres,
    Nats,
    Driver,
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Postgres => "postgres",
            Self::Nats => "nats",
            Self::Driver => "driver",
        }
    }

    fn strike(self, machine: &Machine) -> Result<Strike> {
        let pid = self.process(machine).and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return Ok(Strike::Missed) };
        kill_process(pid, Signal::KILL)?;
        Ok(Strike::Killed)
    }

    /// Its process, unless that is being started again.
    fn process(self, machine: &Machine) -> Option<u32> {
        match self {
            Self::Postgres => machine.database(),
            _ => machine.processes.iter().find(|it| it.name() == self.name())?.pid(),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The clip that the jobs encode
    clip: PathBuf,
    /// Who is killed, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "control-plane,postgres,nats")]
    victims: Vec<Victim>,
    #[command(flatten)]
    moments: Moments,
    /// Longest time from one kill to the next; the shortest is a quarter of it
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = crate::parse::duration)]
    every: Duration,
    /// Jobs of a batch
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = crate::parse::at_least_one)]
    jobs: usize,
    /// The nats-server to run
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    super::require_clips(std::slice::from_ref(&arguments.clip))?;
    print(&drill(arguments).map_err(Failure::Internal)?)
}

fn drill(arguments: &Arguments) -> Result<String> {
    let seed = arguments.moments.seed();
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("platform");
    let settings = vec![
        ("VTP_CONTROL_LIMITS", "{ on = false }".to_owned()),
        ("VTP_CONTROL_OUTSIDE_ALLOWED", r#"["127.0.0.1"]"#.to_owned()),
        ("VTP_CONTROL_OUTSIDE_HTTP", "true".to_owned()),
        ("VTP_CONTROL_WEBHOOK_WAITS_S", "[1, 1, 2, 4, 8, 8, 8]".to_owned()),
        ("VTP_CONTROL_LEASE_S", "5".to_owned()),
    ];
    let log = std::env::var("VTP_LOG").ok();
    let server = arguments.server.clone();
    let api = Some(Api { port: 0, store: None, settings });
    let machine = Machine::start(&home, &Options { nodes: 1, slots: 2, port: 0, server, log, api })?;
    let url = machine.api()?.context("there is no API")?.to_owned();
    let key = machine.first_key()?.context("there is no account")?;
    let client = Client::new(url, std::fs::read_to_string(&key)?.trim().to_owned());
    let receiver = Receiver::start()?;
    let hook = json!({ "url": receiver.url, "events": ["job.completed", "job.failed", "job.cancelled"] });
    let video = submit::begin(&client, &arguments.clip).map_err(said)?;
    submit::upload(&client, &video, &arguments.clip).map_err(said)?;
    client.post("/v1/webhooks", &hook).map_err(said)?;
    let mut drill = Drill { arguments, client, receiver, store: home.join("store"), video, right: BTreeMap::new() };
    let machine = Mutex::new(machine);
    let calm = drill.round(&machine, None, fastrand::Rng::with_seed(seed))?;
    let usual = calm.took.as_secs_f64() / calm.jobs as f64;
    let mut table = Table::new(&["killed", "times", "jobs, all completed", "deliveries", "s a job", "s lost a time"]);
    let row = |name: &str, round: &Round, lost: String| {
        let each = format!("{:.1}", round.took.as_secs_f64() / round.jobs as f64);
        [name.to_owned(), round.kills.to_string(), round.jobs.to_string(), round.deliveries.to_string(), each, lost]
            .to_vec()
    };
    table.row(row("nobody", &calm, String::new()));
    for (victim, seed) in arguments.victims.iter().zip(seed..) {
        let round = drill.round(&machine, Some(*victim), fastrand::Rng::with_seed(seed));
        let round = round.with_context(|| format!("{} was killed", victim.name()))?;
        let lost = (round.took.as_secs_f64() - usual * round.jobs as f64) / round.kills as f64;
        eprintln!("{}: {} times, {} jobs are right, {lost:.1} s lost a time", victim.name(), round.kills, round.jobs);
        table.row(row(victim.name(), &round, format!("{lost:.1}")));
    }
    machine.into_inner().unwrap_or_else(PoisonError::into_inner).leave();
    Ok(table.text())
}

fn said(failure: Failure) -> anyhow::Error {
    anyhow!(failure.sentence().unwrap_or_else(|| "the API does not answer".to_owned()))
}

struct Drill<'a> {
    arguments: &'a Arguments,
    client: Client,
    receiver: Receiver,
    /// Where ladders are.
    store: PathBuf,
    video: String,
    /// What a ladder is like.
    right: BTreeMap<String, blake3::Hash>,
}

/// What batches came to.
#[derive(Default)]
struct Round {
    jobs: usize,
    kills: usize,
    deliveries: usize,
    took: Duration,
}

impl Drill<'_> {
    /// Batches until the victim was killed often enough; one, where there is none. All that was accepted is right.
    fn round(&mut self, machine: &Mutex<Machine>, victim: Option<Victim>, chance: fastrand::Rng) -> Result<Round> {
        let (over, enough) = (AtomicBool::new(false), AtomicBool::new(victim.is_none()));
        let (began, mut jobs) = (Instant::now(), Vec::new());
        let kills = std::thread::scope(|scope| {
            let disturbed = scope.spawn(|| self.disturb(machine, victim, chance, (&over, &enough)));
            let made = loop {
                match self.batch() {
                    Ok(of) => jobs.extend(of),
                    Err(error) => break Err(error),
                }
                if enough.load(Ordering::Relaxed) || disturbed.is_finished() {
                    break Ok(());
                }
            };
            over.store(true, Ordering::Relaxed);
            let kills = disturbed.join().map_err(|_| anyhow!("a thread has panicked"))??;
            made.map(|()| kills)
        })?;
        let took = began.elapsed();
        let deliveries = self.told(machine, &jobs)?;
        for job in &jobs {
            self.look_at(job)?;
        }
        Ok(Round { jobs: jobs.len(), kills, deliveries, took })
    }

    /// Has a batch made, to its end; its jobs.
    fn batch(&self) -> Result<Vec<String>> {
        let output = json!({ "ladder": ["mobile"], "speed": "ultrafast", "segment_s": 2 });
        let items = vec![json!({ "video_id": self.video }); self.arguments.jobs];
        let batch = self.client.post("/v1/batches", &json!({ "items": items, "output": output })).map_err(said)?;
        let id = batch.body["id"].as_str().context("a batch has no number")?.to_owned();
        let began = Instant::now();
        loop {
            std::thread::sleep(ASK);
            let stands = self.client.get(&format!("/v1/batches/{id}")).map_err(said)?;
            let open = ["queued", "processing"].iter().filter_map(|it| stands[it].as_u64()).sum::<u64>();
            if open == 0 {
                break;
            }
            ensure!(began.elapsed() < LONGEST, "a batch hangs: {stands}");
        }
        let page = self.client.get(&format!("/v1/batches/{id}/jobs?limit=100")).map_err(said)?;
        let jobs = page["data"].as_array().context("a batch has no jobs")?;
        ensure!(jobs.len() == self.arguments.jobs.min(100), "a batch has {} jobs", jobs.len());
        jobs.iter()
            .map(|job| {
                ensure!(job["status"] == "completed", "a job is not completed: {job}");
                Ok(job["id"].as_str().context("a job has no number")?.to_owned())
            })
            .collect()
    }

    /// Starts again what has ended, and kills the victim; how often it did.
    fn disturb(
        &self,
        machine: &Mutex<Machine>,
        victim: Option<Victim>,
        random: fastrand::Rng,
        (over, enough): (&AtomicBool, &AtomicBool),
    ) -> Result<usize> {
        let strike = |machine: &Machine, _: &mut fastrand::Rng| {
            victim.map_or(Ok(Strike::Missed), |victim| victim.strike(machine))
        };
        let kills = if victim.is_some() { self.arguments.moments.kills } else { 0 };
        let disturbance = Disturbance { kills, every: self.arguments.every, random, strike: &strike };
        disturbance.carry_out(machine, enough, &|| over.load(Ordering::Relaxed))
    }

    /// Waits until all these jobs were told of, each under one number; how often altogether.
    fn told(&self, machine: &Mutex<Machine>, jobs: &[String]) -> Result<usize> {
        let began = Instant::now();
        loop {
            let heard = locked(&self.receiver.heard);
            let missing = jobs.iter().filter(|job| !heard.contains_key(*job)).count();
            if missing == 0 {
                for job in jobs {
                    let numbers: BTreeSet<&String> = heard.get(job).into_iter().flatten().collect();
                    ensure!(numbers.len() == 1, "job {job} was told of under {} numbers", numbers.len());
                }
                return Ok(jobs.iter().filter_map(|job| heard.get(job)).map(Vec::len).sum());
            }
            drop(heard);
            ensure!(began.elapsed() < TOLD, "{missing} of {} jobs were not told of", jobs.len());
            locked(machine).look().iter().for_each(|line| tracing::debug!(line));
            std::thread::sleep(LOOK);
        }
    }

    /// Holds a job's ladder against the first one, and what is told of it.
    fn look_at(&mut self, job: &str) -> Result<()> {
        let made = files(&self.store.join("ladders").join(job))?;
        ensure!(!made.is_empty(), "job {job} made nothing");
        if self.right.is_empty() {
            self.right = made;
        } else if made != self.right {
            bail!("job {job} made something else");
        }
        let outputs = self.client.get(&format!("/v1/jobs/{job}/outputs")).map_err(said)?;
        let formats: Vec<&str> =
            outputs["data"].as_array().into_iter().flatten().filter_map(|it| it["format"].as_str()).collect();
        ensure!(formats.iter().filter(|it| **it == "hls").count() == 1, "job {job} has the outputs {formats:?}");
        Ok(())
    }
}

/// Whoever hears of jobs: of each, the numbers under which it was told.
struct Receiver {
    url: String,
    heard: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Receiver {
    /// Listens from now on, for as long as the process lives. Every third is answered as if something were wrong, so that it comes again.
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let heard: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().flatten().enumerate() {
                if let Err(error) = hear(stream, count % 3 != 2, &hears) {
                    tracing::debug!(%error, "a webhook was not heard");
                }
            }
        });
        Ok(Self { url, heard })
    }
}

fn hear(mut stream: TcpStream, is_well: bool, heard: &Mutex<BTreeMap<String, Vec<String>>>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut reader, mut number, mut length) = (BufReader::new(stream.try_clone()?), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match &*name.to_ascii_lowercase() {
            "webhook-id" => value.clone_into(&mut number),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let told: Value = serde_json::from_slice(&body)?;
    let job = told["data"]["id"].as_str().context("a webhook tells of no job")?.to_owned();
    if is_well {
        locked(heard).entry(job).or_default().push(number);
    }
    let status = if is_well { "204 No Content" } else { "500 Not now" };
    Ok(stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())?)
}
