//! The walls around a process that works on untrusted bytes: no network, no files but the descriptors it has, no other
//! programs, no new privileges, bounded resources. A process puts them around itself, before it sees the first such byte;
//! then they can't be taken down.
//!
//! ```text
//!  limits (rlimit)      writes no file, dumps no core, few descriptors; its parent sets memory and CPU time
//!  Landlock             opens no path, connects no TCP, signals nobody outside
//!  seccomp              only system calls that decoding and encoding need; no open, socket, exec, fork, ptrace
//! ```
//! A kernel that lacks a wall, or a part of one, leaves the others standing, and what is missing is told.

use std::collections::BTreeMap;
use std::{fs, io};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetStatus,
    Scope,
};
use rlimit::Resource;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Descriptors that a confined process may have: its standard ones, the source's, and some to spare.
const DESCRIPTORS: u64 = 64;

/// Confines this process for good. The answer has a sentence for each wall that this kernel does not give, or not whole where
/// no other wall stands in for the rest; with all of them standing it is empty.
///
/// # Errors
/// The process has more threads than the one that calls: the walls would not stand around the others.
pub fn confine() -> io::Result<Vec<String>> {
    let threads = match threads() {
        Ok(1) => Ok(()),
        Ok(count) => return Err(io::Error::other(format!("a process of {count} threads can't be confined"))),
        Err(error) => Err(format!("whether there is one alone can't be told: {error}")),
    };
    let (limits, landlock, seccomp) = (limit(), landlock(), filter_calls());
    // What a Landlock of an older version does not forbid takes system calls that the filter does.
    let landlock = landlock.or_else(|lack| match lack {
        Lack::Part(_) if seccomp.is_ok() => Ok(()),
        Lack::Part(what) | Lack::Whole(what) => Err(what),
    });
    let walls = [("threads", threads), ("resource limits", limits), ("Landlock", landlock), ("seccomp", seccomp)];
    Ok(walls.into_iter().filter_map(|(name, wall)| Some(format!("{name}: {}", wall.err()?))).collect())
}

/// How many threads this process has (proc(5), `/proc/pid/task`).
fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

fn limit() -> Result<(), String> {
    let limits = [(Resource::FSIZE, 0), (Resource::CORE, 0), (Resource::MEMLOCK, 0), (Resource::NOFILE, DESCRIPTORS)];
    limits.into_iter().try_for_each(|(resource, most)| resource.set(most, most)).map_err(|error| error.to_string())?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| error.to_string())
}

/// What there is not of a wall, as a clause.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    Whole(String),
    Part(String),
}

/// Everything that Landlock knows to forbid is forbidden; there is no rule that allows any of it.
fn landlock() -> Result<(), Lack> {
    let abi = ABI::V6;
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self())
        .map_err(|error| Lack::Whole(error.to_string()))?;
    match restricted.ruleset {
        RulesetStatus::NotEnforced => Err(Lack::Whole("this kernel does not have it, or it is off".to_owned())),
        RulesetStatus::PartiallyEnforced => Err(Lack::Part(partial(restricted.landlock.into()))),
        RulesetStatus::FullyEnforced => Ok(()),
    }
}

/// What is forbidden here that a kernel does not know to forbid before this version of Landlock.
const KNOWN_SINCE: [(ABI, &str); 4] = [
    (ABI::V3, "cutting files short by their paths"),
    (ABI::V4, "TCP"),
    (ABI::V5, "device controls"),
    (ABI::V6, "signals and abstract sockets to processes outside"),
];

/// What a kernel whose Landlock is of version `abi` leaves open.
fn partial(abi: ABI) -> String {
    let open = KNOWN_SINCE.iter().filter(|(since, _)| abi < *since).map(|(_, what)| *what);
    format!("this kernel has version {abi} of it, which does not forbid {}", open.collect::<Vec<_>>().join(", "))
}

/// System calls that are allowed whatever their arguments.
const CALLS: &[i64] = &[
    // Descriptors that are open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // A second filter answers that there is no such call, and libc falls back on `clone`.
    libc::SYS_clone3,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_times,
    // What the machine is like.
    libc::SYS_sysinfo,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls outside of the list fail as not permitted, which libraries take for a lack and go on.
fn filter_calls() -> Result<(), String> {
    let refuse = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let mut rules: Rules = CALLS.iter().map(|&call| (call, Vec::new())).collect();
    rules.extend(conditional().map_err(|error| error.to_string())?);
    let no_clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    // Both are asked, and a refusal counts. The second forbids to add another.
    apply(no_clone3, SeccompAction::Allow, refuse(libc::ENOSYS))?;
    apply(rules, refuse(libc::EPERM), SeccompAction::Allow)
}

/// Calls that are allowed with some arguments only.
fn conditional() -> Result<Rules, seccompiler::BackendError> {
    let when = |at: u8, compare: Compare, value: u64| {
        SeccompRule::new(vec![SeccompCondition::new(at, Width::Dword, compare, value)?]).map(|rule| vec![rule])
    };
    let (thread, executable) = (libc::CLONE_THREAD as u64, libc::PROT_EXEC as u64);
    Ok(Rules::from([
        // Threads, but no processes.
        (libc::SYS_clone, when(0, Compare::MaskedEq(thread), thread)?),
        // Memory that is no program.
        (libc::SYS_mmap, when(2, Compare::MaskedEq(executable), 0)?),
        (libc::SYS_mprotect, when(2, Compare::MaskedEq(executable), 0)?),
        // What becomes of a descriptor, but not who is signalled of it.
        (libc::SYS_fcntl, own_descriptors()?),
        // Threads get names.
        (libc::SYS_prctl, when(0, Compare::Eq, libc::PR_SET_NAME as u64)?),
        // Limits may be read. (No process has the number 0, which stands for this one.)
        (libc::SYS_prlimit64, read_limits()?),
        // It may signal itself: that is how it aborts.
        (libc::SYS_tgkill, when(0, Compare::Eq, u64::from(std::process::id()))?),
    ]))
}

fn own_descriptors() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD, libc::F_DUPFD_CLOEXEC];
    let when = |command: i32| {
        let is_it = SeccompCondition::new(1, Width::Dword, Compare::Eq, u64::from(command.unsigned_abs()))?;
        SeccompRule::new(vec![is_it])
    };
    commands.into_iter().map(when).collect()
}

fn read_limits() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let is_zero = |at: u8, width: Width| SeccompCondition::new(at, width, Compare::Eq, 0);
    Ok(vec![SeccompRule::new(vec![is_zero(0, Width::Dword)?, is_zero(2, Width::Qword)?])?])
}

fn apply(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<(), String> {
    let machine =
        std::env::consts::ARCH.try_into().map_err(|_| "it is not known on this kind of processor".to_owned())?;
    let filter = SeccompFilter::new(rules, otherwise, matching, machine).map_err(|error| error.to_string())?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_landlock_leaves_open_is_told() {
        assert_eq!(
            partial(ABI::V4),
            "this kernel has version 4 of it, which does not forbid device controls, signals and abstract sockets to \
             processes outside"
        );
        assert!(partial(ABI::V1).contains("cutting files short by their paths, TCP, device controls"));
    }

    #[test]
    fn a_process_of_several_threads_is_not_confined() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || ended.recv().is_err());
        let refused = confine().unwrap_err().to_string();
        assert!(refused.ends_with("threads can't be confined"), "{refused}");
        drop(end);
        assert!(other.join().unwrap());
    }
}
