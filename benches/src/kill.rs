//! `vtp encode` killed (SIGKILL) at random moments, started again with the same words each time, until it ends by itself:
//! what it makes has to be what an undisturbed run makes, and nothing that was kept may be encoded again. Or only its child
//! processes are killed, one at a time: the run itself has to go on, to the same output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vtp_encoder_node::cache;

use crate::ours;
use crate::processes;
use crate::report::Report;
use crate::table::Table;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// The clip.
    pub clip: PathBuf,
    /// `--ladder` of the runs.
    pub ladder: String,
    /// x264's preset.
    pub speed: String,
    /// Kills in all.
    pub kills: u32,
    /// Where the random moments come from.
    pub seed: u64,
    /// Whether child processes are killed, rather than the run.
    pub children: bool,
}

/// The latest moment of a kill, in parts of the time that an undisturbed run takes: soon enough that an encode meets several
/// kills, late enough that each run may get something done.
const LATEST: f64 = 1.0 / 3.0;

/// How often a run that was not killed is waited for.
const POLL: Duration = Duration::from_millis(2);

/// One encode from its first start to its own end.
#[derive(Clone, Copy, Debug, Default)]
struct Encode {
    kills: u32,
    /// Encodings that were kept when the last run began.
    kept: u64,
    /// Encodings that the last run took from there.
    reused: u64,
    /// Encodings in all.
    encodings: u64,
}

/// Kills runs and returns a table in Markdown.
///
/// # Errors
/// A run that was not killed failed, or one of the promises is broken.
pub fn run(options: &Options) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);
    // Short chunks, so that there are many between which a kill may fall.
    let chunks = ["--segment", "1s", "--chunk", "1s"];
    let words = [&["--ladder", &options.ladder, "--speed", &options.speed], chunks.as_slice()].concat();
    let whole = ours::encode(&options.vtp, &options.clip, &at("whole"), &words)?;
    let (expected, length) = (media(&at("whole"))?, Duration::from_secs_f64(whole.wall_s));
    let mut random = fastrand::Rng::with_seed(options.seed);
    if options.children {
        return kill_children(options, &words, &at("out"), &expected, length, &mut random);
    }
    let head = ["encode", "kills", "kept when its last run began", "reused by that run", "encodings in all", "output"];
    let mut table = Table::new(&head);
    let (mut left, mut count) = (options.kills, 0_u64);
    while left > 0 {
        let (out, kept) = (at("out"), at("cache"));
        let mut moment = |left: u32| (left > 0).then(|| length.mul_f64(LATEST * random.f64()));
        let encode = encode(options, [&out, &kept], &words, &mut left, &mut moment)?;
        let Encode { kills, kept: before, reused, encodings } = encode;
        ensure!(reused == before, "{before} encodings were kept, and {reused} of them reused");
        ensure!(media(&out)? == expected, "the output of encode {count} is not that of an undisturbed run");
        eprintln!("encode {count}: {kills} kills; {reused} of {encodings} encodings reused at last; output identical");
        let cells = [count, kills.into(), before, reused, encodings].map(|it| it.to_string());
        table.row(cells.into_iter().chain(["identical".to_owned()]).collect());
        std::fs::remove_dir_all(&out)?;
        std::fs::remove_dir_all(&kept)?;
        count += 1;
    }
    Ok(told(options, "kills", length, &table))
}

fn told(options: &Options, what: &str, length: Duration, table: &Table) -> String {
    let name = options.clip.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "{name}, `{}` at {}, {:.1} s undisturbed; {} {what}, seed {}.\n\n{}",
        options.ladder,
        options.speed,
        length.as_secs_f64(),
        options.kills,
        options.seed,
        table.text()
    )
}

/// Kills a random child of a run at random moments, run after run; each run has to end by itself, well, with the
/// `expected` output.
fn kill_children(
    options: &Options,
    words: &[&str],
    out: &Path,
    expected: &BTreeMap<PathBuf, Vec<u8>>,
    length: Duration,
    random: &mut fastrand::Rng,
) -> Result<String> {
    let mut table = Table::new(&["encode", "children killed", "wall s", "output"]);
    let (mut left, mut count) = (options.kills, 0_u64);
    while left > 0 {
        let mut command = Command::new(&options.vtp);
        command.arg("encode").arg(&options.clip).arg("--out").arg(out).args(["--progress", "none"]).args(words);
        command.args(["--cache", "none"]).stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let mut run = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (before, mut next) = (left, moment(length, random));
        let status = loop {
            if let Some(status) = run.try_wait()? {
                break status;
            }
            if left > 0 && started.elapsed() >= next {
                left -= u32::from(processes::kill_a_child(run.id(), random));
                next = started.elapsed() + moment(length, random);
            }
            std::thread::sleep(POLL);
        };
        let (kills, wall_s) = (before - left, started.elapsed().as_secs_f64());
        ensure!(status.success(), "encode {count} ended with {status} after {kills} of its children were killed");
        ensure!(media(out)? == *expected, "the output of encode {count} is not that of an undisturbed run");
        eprintln!("encode {count}: {kills} children killed; {wall_s:.1} s; output identical");
        table.row(vec![count.to_string(), kills.to_string(), format!("{wall_s:.1}"), "identical".to_owned()]);
        std::fs::remove_dir_all(out)?;
        count += 1;
    }
    Ok(told(options, "children killed", length, &table))
}

/// A random time up to the next kill.
fn moment(length: Duration, random: &mut fastrand::Rng) -> Duration {
    length.mul_f64(LATEST * random.f64())
}

/// Starts a run time and again, killing each at its `moment`, until one has ended before that. `left` are the kills that
/// are still to be made.
fn encode(
    options: &Options,
    [out, kept]: [&Path; 2],
    words: &[&str],
    left: &mut u32,
    moment: &mut dyn FnMut(u32) -> Option<Duration>,
) -> Result<Encode> {
    let mut encode = Encode::default();
    loop {
        encode.kept = cache::usage(kept)?.entries;
        let mut command = Command::new(&options.vtp);
        command.arg("encode").arg(&options.clip).arg("--out").arg(out).args(["--progress", "none"]).args(words);
        command.arg("--cache").arg(kept).stdin(Stdio::null()).stdout(Stdio::null());
        if has_ended(&mut command, moment(*left))? {
            break;
        }
        encode.kills += 1;
        *left -= 1;
    }
    let report = Report::read(out)?;
    encode.reused = report.timing.reused.context("the run used no cache")?;
    encode.encodings = report.encodings().into();
    Ok(encode)
}

/// Runs `command` until it has ended, or until `moment`, when it is killed.
fn has_ended(command: &mut Command, moment: Option<Duration>) -> Result<bool> {
    let started = Instant::now();
    let mut run = command.spawn().with_context(|| format!("starting {command:?}"))?;
    loop {
        if let Some(status) = run.try_wait()? {
            ensure!(status.success(), "{command:?} ended with {status}");
            return Ok(true);
        }
        if moment.is_some_and(|moment| started.elapsed() >= moment) {
            run.kill()?;
            // It may have been faster.
            return Ok(run.wait()?.success());
        }
        std::thread::sleep(POLL);
    }
}

/// Every file that viewers get, by its name below `folder`: not what is told of the run.
fn media(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_none_or(|name| name != "report.json" && name != "report.html") {
                files.insert(path.strip_prefix(folder)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}
