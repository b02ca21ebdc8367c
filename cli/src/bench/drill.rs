//! What drills have in common: machines whose processes are struck at random moments, commands that must not hang, and folders
//! that are held against each other.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::process::Signal;

use crate::fleet::up::Machine;

/// How often it is looked what has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process is stopped: longer than anybody waits for it.
const STOPPED: Duration = Duration::from_secs(40);

/// How often, and where the random moments come from.
#[derive(Clone, Debug, Args)]
pub(super) struct Moments {
    /// How often each
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = crate::parse::at_least_one)]
    pub(super) kills: usize,
    /// Where the random moments come from [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
}

impl Moments {
    /// The seed, which is told so that the same moments can be had again.
    pub(super) fn seed(&self) -> u64 {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        eprintln!("--seed {seed}");
        seed
    }
}

/// What was done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// Nothing: it was not there, as it is being started again.
    Missed,
    /// It was killed.
    Killed,
    /// The process at this place of the machine was stopped, to go on later.
    Stopped(usize),
}

/// How a machine is disturbed.
pub(super) struct Disturbance<'a> {
    /// How often; where that is never, until it is over.
    pub(super) kills: usize,
    /// Longest time from one strike to the next; the shortest is a quarter of it.
    pub(super) every: Duration,
    pub(super) random: fastrand::Rng,
    /// Strikes the victim.
    pub(super) strike: &'a dyn Fn(&Machine, &mut fastrand::Rng) -> Result<Strike>,
}

impl Disturbance<'_> {
    /// Starts again what has ended, and strikes until that was often enough, which is noted in `enough`; goes on with the first
    /// until it is over. Tells how often it did.
    pub(super) fn carry_out(
        mut self,
        machine: &Mutex<Machine>,
        enough: &AtomicBool,
        is_over: &dyn Fn() -> bool,
    ) -> Result<usize> {
        let (mut kills, mut next) = (0, Instant::now() + self.pause());
        let mut stopped: Option<(Instant, usize)> = None;
        while !is_over() {
            let mut machine = locked(machine);
            machine.look().iter().for_each(|line| tracing::debug!(line));
            if let Some((until, place)) = stopped
                && until <= Instant::now()
            {
                machine.processes[place].signal(Signal::CONT)?;
                (stopped, next) = (None, Instant::now() + self.pause());
            }
            if kills < self.kills && stopped.is_none() && next <= Instant::now() {
                let strike = (self.strike)(&machine, &mut self.random)?;
                kills += usize::from(strike != Strike::Missed);
                if let Strike::Stopped(place) = strike {
                    stopped = Some((Instant::now() + STOPPED, place));
                }
                next = Instant::now() + self.pause();
            }
            drop(machine);
            enough.fetch_or(self.kills > 0 && kills >= self.kills && stopped.is_none(), Ordering::Relaxed);
            std::thread::sleep(LOOK);
        }
        Ok(kills)
    }

    fn pause(&mut self) -> Duration {
        self.every.mul_f64(0.25 + 0.75 * self.random.f64())
    }
}

/// What a lock holds, whatever became of those who had it.
pub(super) fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a command that has to end well before so much time is over.
pub(super) fn ended_well(command: &mut Command, longest: Duration) -> Result<()> {
    // A pipe would have to be emptied meanwhile.
    let mut said = tempfile::tempfile()?;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(said.try_clone()?)).spawn()?;
    let end = Instant::now() + longest;
    loop {
        if let Some(status) = child.try_wait()? {
            let mut text = Vec::new();
            said.rewind()?;
            said.read_to_end(&mut text)?;
            ensure!(status.success(), "it has failed ({status}): {}", String::from_utf8_lossy(&text).trim());
            return Ok(());
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("it hangs");
        }
        std::thread::sleep(LOOK);
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

/// The hash of a file.
pub(super) fn hash(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).with_context(|| path.display().to_string())?)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(script: &str, longest: Duration) -> Result<(), String> {
        ended_well(Command::new("sh").args(["-c", script]), longest).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_may_say_more_than_a_pipe_holds_and_is_told_with_what_it_said() {
        let long = Duration::from_secs(60);
        assert_eq!(ended("head -c 200000 /dev/zero >&2", long), Ok(()));
        let failed = ended("head -c 200000 /dev/zero >&2; echo why >&2; exit 3", long).unwrap_err();
        assert!(failed.contains("exit status: 3") && failed.ends_with("why"), "{}", failed.len());
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        assert_eq!(ended("exec sleep 60", Duration::from_millis(50)), Err("it hangs".to_owned()));
    }
}
