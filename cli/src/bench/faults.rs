//! `vtp bench faults`: a fleet on this machine under a batch of jobs, one of whose processes is killed (or stopped for a while) at
//! random moments, again and again: every job has to end well, its output has to be what an undisturbed one is, and the sources have
//! to be untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::process::Signal;
use vtp_benches::table::Table;
use vtp_engine::ladder::SPEEDS;

use super::drill::{Disturbance, Moments, Strike, ended_well, files, hash, locked};
use crate::exit::Failure;
use crate::fleet::up::{Machine, Options};
use crate::{Outcome, print};

/// A job that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(900);

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

    /// Strikes one of those that it may be.
    fn strike(self, machine: &Machine, random: &mut fastrand::Rng) -> Result<Strike> {
        let those: Vec<usize> =
            (0..machine.processes.len()).filter(|it| self.is(machine.processes[*it].name())).collect();
        let place = *random.choice(&those).with_context(|| format!("there is no {}", self.name()))?;
        let process = &machine.processes[place];
        // One that is being started again is not there to be killed.
        if process.pid().is_none() {
            return Ok(Strike::Missed);
        }
        match self {
            Self::StoppedNode => {
                process.signal(Signal::STOP)?;
                Ok(Strike::Stopped(place))
            }
            Self::Node | Self::Splitter | Self::Stitcher | Self::Driver | Self::Nats => {
                process.signal(Signal::KILL)?;
                Ok(Strike::Killed)
            }
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
    #[command(flatten)]
    moments: Moments,
    /// Nodes of one slot
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = crate::parse::at_least_one)]
    nodes: usize,
    /// Jobs at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = crate::parse::at_least_one)]
    jobs: usize,
    /// Longest time from one kill to the next; the shortest is a quarter of it
    #[arg(long, value_name = "DURATION", default_value = "6s", value_parser = crate::parse::duration)]
    every: Duration,
    /// The ladder
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    ladder: String,
    /// x264's preset
    #[arg(long, value_name = "PRESET", default_value = "ultrafast", value_parser = SPEEDS)]
    speed: String,
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
    let seed = arguments.moments.seed();
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
    machine.into_inner().unwrap_or_else(PoisonError::into_inner).leave();
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
                            let mut round = locked(&round);
                            match done {
                                Ok(()) => round.good += 1,
                                Err(error) => round.bad.push(format!("{error:#}")),
                            }
                        }
                    })
                })
                .collect();
            let all_ended = || workers.iter().all(std::thread::ScopedJoinHandle::is_finished);
            let kills = self.disturb(machine, victim, random, (&over, &all_ended));
            over.store(true, Ordering::Relaxed);
            kills
        })?;
        let round = round.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Round { took: begun.elapsed(), kills, ..round })
    }

    /// Starts what has ended again, and strikes the victim, until all jobs have ended. Tells how often it did.
    fn disturb(
        &self,
        machine: &Mutex<Machine>,
        victim: Option<Victim>,
        random: fastrand::Rng,
        (enough, all_ended): (&AtomicBool, &dyn Fn() -> bool),
    ) -> Result<usize> {
        let strike = |machine: &Machine, random: &mut fastrand::Rng| {
            victim.map_or(Ok(Strike::Missed), |victim| victim.strike(machine, random))
        };
        let kills = if victim.is_some() { self.arguments.moments.kills } else { 0 };
        let disturbance = Disturbance { kills, every: self.arguments.every, random, strike: &strike };
        disturbance.carry_out(machine, enough, all_ended)
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
        ended_well(&mut command, LONGEST).context("a job")
    }
}
