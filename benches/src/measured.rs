//! Runs a command and measures it as a whole, with the processes that it starts: wall clock, CPU, peak memory.
//!
//! Each command leads a process group of its own, so that all of it can be ended.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::processes::{self, Group};

/// How often a running command's memory is looked at, and whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Seconds on the clock.
    pub(crate) wall_s: f64,
    /// User and system CPU seconds.
    pub(crate) cpu_s: f64,
    /// Peak resident memory of all its processes in MiB.
    pub(crate) peak_mib: f64,
    /// How it ended; `None` if it was killed at a limit.
    pub(crate) status: Option<ExitStatus>,
}

impl Measured {
    /// What this and then `next` took.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            wall_s: self.wall_s + next.wall_s,
            cpu_s: self.cpu_s + next.cpu_s,
            peak_mib: self.peak_mib.max(next.peak_mib),
            status: next.status,
        }
    }
}

/// Runs `command` as [`run`] does. It has to succeed; the error has what it said.
pub(crate) fn succeed(command: &mut Command, log: &Path, limit: Duration) -> Result<Measured> {
    let run = run(command, log, limit)?;
    let path = log.with_extension("err");
    let said = || std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()));
    match run.status {
        Some(status) if status.success() => Ok(run),
        Some(status) => bail!("{command:?} ended with {status}: {}", said()?),
        None => bail!("{command:?} was stopped after {} s: {}", limit.as_secs(), said()?),
    }
}

/// What a run may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// On the clock.
    pub(crate) time: Duration,
    /// Resident memory of all its processes in MiB.
    pub(crate) memory_mib: f64,
}

/// Runs `command` with its output going to the files `log.out` and `log.err`, for at most `limit`.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<Measured> {
    run_within(command, log, Limits { time: limit, memory_mib: f64::INFINITY })
}

/// The same within these limits: past either, all its processes are killed.
pub(crate) fn run_within(command: &mut Command, log: &Path, limits: Limits) -> Result<Measured> {
    let file = |ending: &str| {
        let path = log.with_extension(ending);
        std::fs::File::create(&path).with_context(|| format!("making {}", path.display()))
    };
    command.stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?).process_group(0);
    let cpu = children_cpu()?;
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let group = Group::led_by(&child);
    let mut peak_mib = 0.0_f64;
    let status = loop {
        peak_mib = peak_mib.max(processes::memory_mib(child.id()));
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > limits.time || peak_mib > limits.memory_mib {
            group.kill();
            child.wait()?;
            break None;
        }
        std::thread::sleep(POLL);
    };
    Ok(Measured { wall_s: started.elapsed().as_secs_f64(), cpu_s: children_cpu()? - cpu, peak_mib, status })
}

/// CPU seconds of all children that were waited for (proc(5), fields 16 and 17 of `stat`, in hundredths).
fn children_cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("reading the children's CPU time")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    Ok(fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

/// The median; zero of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_command_past_its_limit_is_killed_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(200);
        let run = run(Command::new("sleep").arg("20"), &folder.path().join("log"), limit).unwrap();
        assert!(run.status.is_none() && run.wall_s < 10.0);
    }

    #[test]
    fn a_command_past_its_limit_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]);
        let run = run(&mut command, &folder.path().join("log"), Duration::from_millis(300)).unwrap();
        assert!(run.status.is_none());
        let child = std::fs::read_to_string(folder.path().join("log.out")).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        let is_gone = |stat: std::io::Result<String>| stat.map_or(true, |stat| stat.contains(") Z "));
        let (started, patience) = (Instant::now(), Duration::from_secs(10));
        while !is_gone(state()) {
            assert!(started.elapsed() < patience, "{:?}", state());
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn memory_is_that_of_all_processes_and_has_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        // Two shells that hold 40 MB each.
        let hold = "x=$(head -c 40000000 /dev/zero | tr '\\0' x)";
        let script = format!("{hold}; sh -c \"{}; sleep 1\" & wait", hold.replace('$', "\\$"));
        let limits = |memory_mib| Limits { time: Duration::from_secs(60), memory_mib };
        let run = |memory_mib| {
            run_within(Command::new("sh").args(["-c", &script]), &folder.path().join("log"), limits(memory_mib))
                .unwrap()
        };
        let whole = run(f64::INFINITY);
        assert!(whole.status.is_some_and(|status| status.success()) && whole.peak_mib > 76.0, "{whole:?}");
        assert!(run(60.0).status.is_none());
    }

    #[test]
    fn a_command_that_fails_is_an_error_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such clip >&2; exit 3"]);
        let error = succeed(&mut command, &folder.path().join("log"), Duration::from_secs(20)).unwrap_err();
        assert!(error.to_string().contains("exit status: 3: no such clip"), "{error}");
    }

    #[test]
    fn of_two_runs_times_add_up_and_memory_does_not() {
        let run = |wall_s, peak_mib| Measured { wall_s, cpu_s: 2.0 * wall_s, peak_mib, status: None };
        let both = run(1.0, 30.0).then(run(2.0, 20.0));
        assert_eq!((both.wall_s, both.cpu_s, both.peak_mib), (3.0, 6.0, 30.0));
    }
}
