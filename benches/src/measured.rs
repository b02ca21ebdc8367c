//! Runs a command and measures it as a whole: wall clock, CPU of all its processes, peak memory.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a running command's memory is looked at, and whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Seconds on the clock.
    pub(crate) wall_s: f64,
    /// User and system CPU seconds.
    pub(crate) cpu_s: f64,
    /// Peak resident memory in MiB.
    pub(crate) peak_mib: f64,
    /// How it ended; `None` if it was killed at its time limit.
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

/// Runs `command` with its output going to the files `log.out` and `log.err`, for at most `limit`.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<Measured> {
    let file = |ending: &str| {
        let path = log.with_extension(ending);
        std::fs::File::create(&path).with_context(|| format!("making {}", path.display()))
    };
    command.stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?);
    let cpu = children_cpu()?;
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let mut peak_mib = 0.0_f64;
    let status = loop {
        peak_mib = peak_mib.max(memory_mib(&child));
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > limit {
            child.kill()?;
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

/// The high-water mark of a process's resident memory; zero once it has ended.
fn memory_mib(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
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
