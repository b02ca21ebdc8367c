//! `vtp bench faults`: a fleet on this machine under a batch of jobs, one of whose processes is killed (or stopped for a while) at
//! random moments, again and again: every job has to end well, its output has to be what an undisturbed one is, and the sources have
//! to be untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::process::Signal;
use vtp_benches::table::Table;
use vtp_engine::ladder::SPEEDS;

use crate::exit::Failure;
use crate::fleet::up::{Machine, Options};
use crate::{Outcome, print};

/// How often processes that have ended are started again.
const LOOK: Duration = Duration::from_millis(20);
/// A job that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(900);
/// How long a process is stopped: longer than anybody waits for it.
const STOPPED: Duration = Duration::from_secs(40);

/// What befalls which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    Node,
    Splitter,
    Stitcher,
    Driver,
    Nats,
    /// A node that stands still for 40 s, and then goes on as if nothing had been
    StoppedNode,
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Splitter => "splitter",
            Self::Stitcher => "stitcher",
            Self::Driver => "driver",
            Self::Nats => "NATS",
            Self::StoppedNode => "node, stopped",
        }
    }

    /// Whether it is this process.
    fn is(self, process: &str) -> bool {
        match self {
            Self::Node | Self::StoppedNode => process.starts_with("node-"),
            Self::Nats => process == "nats",
            Self::Splitter | Self::Stitcher | Self::Driver => process == self.name(),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The clips that the jobs encode, in turn
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// Whom it befalls, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "node,splitter,stitcher,driver,nats")]
    victims: Vec<Victim>,
    /// How often each
    #[arg(long, value_name = "N", default_value_t = 50)]
    kills: usize,
    /// Nodes of one slot
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Jobs at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Longest time from one kill to the next, in seconds; the shortest is a quarter of it
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    every: f64,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    ladder: String,
    /// x264's preset
    #[arg(long, value_name = "PRESET", default_value = "ultrafast", value_parser = SPEEDS)]
    speed: String,
    /// Where the random moments come from [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// The nats-server to run
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

pub(super) fn run(vtp: &Path, arguments: &Arguments) -> Outcome {
    super::require_clips(&arguments.clips)?;
    print(&drill(vtp, arguments).map_err(Failure::Internal)?)
}

/// What a round of jobs came to.
#[derive(Default)]
struct Round {
    /// How many ended well, and with the right output.
    good: usize,
    /// What went wrong with the others.
    bad: Vec<String>,
    took: Duration,
    kills: usize,
}

struct Drill<'a> {
    vtp: &'a Path,
    arguments: &'a Arguments,
    folder: &'a Path,
    /// What each clip's output is like.
    right: BTreeMap<PathBuf, BTreeMap<String, blake3::Hash>>,
}

fn drill(vtp: &Path, arguments: &Arguments) -> Result<String> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("--seed {seed}");
    let folder = tempfile::tempdir()?;
    let sources = || arguments.clips.iter().map(|clip| hash(clip)).collect::<Result<Vec<_>>>();
    let before = sources()?;
    let log = std::env::var("VTP_LOG").ok();
    let options =
        Options { nodes: arguments.nodes, slots: 1, port: 0, server: arguments.server.clone(), log, api: None };
    let machine = Mutex::new(Machine::start(&folder.path().join("fleet"), &options)?);
    let mut drill = Drill { vtp, arguments, folder: folder.path(), right: BTreeMap::new() };
    for clip in &arguments.clips {
        let out = folder.path().join("right");
        drill.encode(clip, &out, &["--workers", "2"])?;
        drill.right.insert(clip.clone(), files(&out)?);
        std::fs::remove_dir_all(&out)?;
    }
    let jobs = arguments.clips.len().max(2) * arguments.jobs;
    let calm = drill.round(&machine, None, jobs, fastrand::Rng::with_seed(seed))?;
    ensure!(calm.bad.is_empty(), "undisturbed: {}", calm.bad.join("; "));
    let usual = calm.took.as_secs_f64() / calm.good as f64;
    let mut table = Table::new(&["killed", "times", "jobs", "the same output", "s a job", "s lost a time"]);
    table.row(
        ["nobody", "0", &jobs.to_string(), &calm.good.to_string(), &format!("{usual:.1}"), ""]
            .map(str::to_owned)
            .to_vec(),
    );
    let mut bad = Vec::new();
    for (victim, seed) in arguments.victims.iter().zip(seed..) {
        let round = drill.round(&machine, Some(*victim), 0, fastrand::Rng::with_seed(seed))?;
        let jobs = round.good + round.bad.len();
        let each = round.took.as_secs_f64() / jobs as f64;
        let lost = (each - usual) * jobs as f64 / round.kills as f64;
        let (jobs, good) = (jobs.to_string(), round.good.to_string());
        let (name, kills) = (victim.name().to_owned(), round.kills.to_string());
        eprintln!("{name}: {kills} times, {good} of {jobs} jobs are right, {lost:.1} s lost a time");
        table.row(vec![name, kills, jobs, good, format!("{each:.1}"), format!("{lost:.1}")]);
        bad.extend(round.bad.into_iter().map(|what| format!("{}: {what}", victim.name())));
    }
    let machine = machine.into_inner().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
    machine.leave();
    ensure!(sources()? == before, "a source was changed");
    ensure!(bad.is_empty(), "{}\n{}", table.text(), bad.join("\n"));
    Ok(table.text())
}

impl Drill<'_> {
    /// Jobs until so many have been started, or until the victim has been killed often enough.
    fn round(
        &self,
        machine: &Mutex<Machine>,
        victim: Option<Victim>,
        jobs: usize,
        random: fastrand::Rng,
    ) -> Result<Round> {
        let (over, started, begun) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
        let round = Mutex::new(Round::default());
        let kills = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.arguments.jobs)
                .map(|_| {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            let number = started.fetch_add(1, Ordering::Relaxed);
                            if victim.is_none() && number >= jobs {
                                return;
                            }
                            let done = self.job(number);
                            if let Ok(mut round) = round.lock() {
                                match done {
                                    Ok(()) => round.good += 1,
                                    Err(error) => round.bad.push(format!("{error:#}")),
                                }
                            }
                        }
                    })
                })
                .collect();
            let all_ended = || workers.iter().all(std::thread::ScopedJoinHandle::is_finished);
            let kills = self.disturb(machine, victim, random, &over, &all_ended);
            over.store(true, Ordering::Relaxed);
            kills
        })?;
        let round = round.into_inner().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        Ok(Round { took: begun.elapsed(), kills, ..round })
    }

    /// Starts what has ended again, and kills the victim, until all jobs have ended. Tells how often it did.
    fn disturb(
        &self,
        machine: &Mutex<Machine>,
        victim: Option<Victim>,
        mut random: fastrand::Rng,
        over: &AtomicBool,
        all_ended: &dyn Fn() -> bool,
    ) -> Result<usize> {
        let every = self.arguments.every;
        let pause = |random: &mut fastrand::Rng| Duration::from_secs_f64(every * (0.25 + 0.75 * random.f64()));
        let mut kills = 0;
        let mut next = Instant::now() + pause(&mut random);
        let mut stopped: Option<(Instant, usize)> = None;
        while !all_ended() {
            let mut machine = machine.lock().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
            machine.look().iter().for_each(|line| tracing::debug!(line));
            if let Some((until, place)) = stopped
                && until <= Instant::now()
            {
                machine.processes[place].signal(Signal::CONT)?;
                (stopped, next) = (None, Instant::now() + pause(&mut random));
            }
            let due = victim.filter(|_| kills < self.arguments.kills && stopped.is_none() && next <= Instant::now());
            if let Some(victim) = due {
                let those: Vec<usize> =
                    (0..machine.processes.len()).filter(|it| victim.is(machine.processes[*it].name())).collect();
                let place = those[random.usize(..those.len())];
                let process = &machine.processes[place];
                // One that is being started again is not there to be killed.
                if process.pid().is_some() {
                    match victim {
                        Victim::StoppedNode => {
                            process.signal(Signal::STOP)?;
                            stopped = Some((Instant::now() + STOPPED, place));
                        }
                        _ => process.signal(Signal::KILL)?,
                    }
                    kills += 1;
                }
                next = Instant::now() + pause(&mut random);
            }
            drop(machine);
            if kills >= self.arguments.kills && stopped.is_none() {
                over.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(LOOK);
        }
        Ok(kills)
    }

    /// Has the fleet encode a clip, and looks at what comes of it.
    fn job(&self, number: usize) -> Result<()> {
        let clip = &self.arguments.clips[number % self.arguments.clips.len()];
        let out = self.folder.join(format!("out-{number}-{}", fastrand::u32(..)));
        let cluster = self.folder.join("fleet").display().to_string();
        self.encode(clip, &out, &["--cluster", &cluster])?;
        let made = files(&out)?;
        let right = self.right.get(clip).context("it is known")?;
        let other: Vec<&String> =
            made.keys().chain(right.keys()).filter(|name| made.get(*name) != right.get(*name)).collect();
        ensure!(other.is_empty(), "job {number} made others of {other:?}");
        Ok(std::fs::remove_dir_all(&out)?)
    }

    fn encode(&self, clip: &Path, out: &Path, words: &[&str]) -> Result<()> {
        let Arguments { ladder, speed, .. } = self.arguments;
        let mut command = Command::new(self.vtp);
        command.arg("encode").arg(clip.canonicalize()?).arg("--out").arg(out).args(["--ladder", ladder]);
        command.args(["--speed", speed, "--progress", "none", "--cache", "none"]).args(words);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let end = Instant::now() + LONGEST;
        loop {
            if child.try_wait()?.is_some() {
                let output = child.wait_with_output()?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "a job has failed ({}): {}", output.status, said.trim());
                return Ok(());
            }
            if Instant::now() > end {
                child.kill()?;
                bail!("a job hangs");
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What is in a folder, but for the reports, which tell of times.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<String, blake3::Hash>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            let name = path.strip_prefix(folder)?.display().to_string();
            match path.is_dir() {
                true => folders.push(path),
                false if name.starts_with("report.") => {}
                false => drop(found.insert(name, hash(&path)?)),
            }
        }
    }
    Ok(found)
}

fn hash(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).with_context(|| path.display().to_string())?)?;
    Ok(hasher.finalize())
}
