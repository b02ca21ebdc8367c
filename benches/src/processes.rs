//! A command with all the processes that it starts: what memory they have together, and how all of them are ended.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The groups that are running.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The process group of a command that leads it; it counts as running until this is dropped.
#[derive(Debug)]
pub(crate) struct Group(u32);

impl Group {
    pub(crate) fn led_by(child: &Child) -> Self {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(child.id());
        Self(child.id())
    }

    /// Kills all of it, and what its processes started in other groups. The leader has not been waited for.
    pub(crate) fn kill(&self) {
        kill(self.0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Kills every command that is being measured: groups of their own are not reached by what a terminal sends to ours.
pub fn kill_all() {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().for_each(kill);
}

fn kill(leader: u32) {
    let pid = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
    let started = tree(leader);
    // Whoever is gone already needs no signal.
    pid(leader).map(|leader| kill_process_group(leader, Signal::KILL).ok());
    for process in started.into_iter().filter_map(pid) {
        kill_process(process, Signal::KILL).ok();
    }
}

/// Kills one of the processes that `leader` has started; `false` if there is none.
pub(crate) fn kill_a_child(leader: u32, random: &mut fastrand::Rng) -> bool {
    let children = children(leader);
    let Some(child) = children.get(random.usize(0..children.len().max(1))) else { return false };
    let pid = i32::try_from(*child).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// Resident memory of a process and all that it started, in MiB; zero once they have ended. Pages of files, which they
/// share as far as they are the same program with the same libraries, count once, as the most that one of them has. It is
/// never less than the most that one of them had at any time.
pub(crate) fn memory_mib(leader: u32) -> f64 {
    let (mut own, mut of_files, mut most) = (0.0, 0.0_f64, 0.0_f64);
    for process in tree(leader) {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        own += kib(&status, "RssAnon:") + kib(&status, "RssShmem:");
        of_files = of_files.max(kib(&status, "RssFile:"));
        most = most.max(kib(&status, "VmHWM:"));
    }
    most.max(own + of_files) / 1024.0
}

/// A number of kibibytes in `/proc/PID/status`; zero if it has none.
fn kib(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
}

/// A process and its descendants, as far as the kernel lists children (`CONFIG_PROC_CHILDREN`).
fn tree(leader: u32) -> Vec<u32> {
    let mut found = vec![leader];
    let mut at = 0;
    while let Some(&process) = found.get(at) {
        found.extend(children(process));
        at += 1;
    }
    found
}

fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_one_that_does_not_exist_has_none() {
        assert!(memory_mib(std::process::id()) > 1.0);
        assert_eq!(memory_mib(u32::MAX), 0.0);
    }

    #[test]
    fn a_number_of_the_status_is_found_by_its_name() {
        let status = "Name:\tvtp\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!((kib(status, "VmHWM:"), kib(status, "VmRSS:"), kib(status, "VmPeak:")), (2048.0, 1024.0, 0.0));
    }

    #[test]
    fn children_are_in_the_tree_of_their_parent() {
        let mut child = std::process::Command::new("sleep").arg("20").spawn().unwrap();
        assert!(tree(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
