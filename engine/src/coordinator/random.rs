//! Random workers, jobs, losses and messages out of order: what must hold after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::ChunkIndex;

const LEASE_S: u64 = 10;
const MOST_ATTEMPTS: u32 = 3;

/// What happens next; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Move {
    Submit {
        priority: u8,
        costs: Vec<u64>,
    },
    Cancel(u64),
    Forget(u64),
    Join(u64),
    Leave(u64),
    /// One of the attempts ever started sends a message.
    Speak(usize, Word),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Heartbeat,
    Finished,
    Failed(FailureKind),
    Stopped,
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => Just(Word::Heartbeat),
        6 => Just(Word::Finished),
        2 => Just(Word::Failed(FailureKind::Retryable)),
        1 => Just(Word::Failed(FailureKind::Permanent)),
        1 => Just(Word::Stopped),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => (0u8..3, prop::collection::vec(0u64..5000, 0..8)).prop_map(|(priority, costs)| Move::Submit { priority, costs }),
        1 => (0u64..12).prop_map(Move::Cancel),
        1 => (0u64..12).prop_map(Move::Forget),
        3 => (0u64..6).prop_map(Move::Join),
        1 => (0u64..6).prop_map(Move::Leave),
        // Counted back from the newest attempt, so that most words are about what is going on.
        16 => (prop_oneof![4 => 0usize..6, 1 => 0usize..60], word()).prop_map(|(at, word)| Move::Speak(at, word)),
        4 => (0u64..LEASE_S).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 1..150)
}

/// The coordinator, and what an onlooker who sees only events and effects may conclude.
struct World {
    coordinator: Coordinator,
    seconds: u64,
    jobs: u64,
    started: Vec<(WorkerId, TaskId, Attempt)>,
    accepted: BTreeMap<TaskId, Attempt>,
    ended: BTreeSet<JobId>,
    progress: BTreeMap<JobId, Progress>,
}

impl World {
    fn new() -> Self {
        let config = Config { lease: Duration::from_secs(LEASE_S), max_attempts: MOST_ATTEMPTS };
        Self {
            coordinator: Coordinator::new(config),
            seconds: 0,
            jobs: 0,
            started: Vec::new(),
            accepted: BTreeMap::new(),
            ended: BTreeSet::new(),
            progress: BTreeMap::new(),
        }
    }

    fn event(&mut self, next: Move) -> Option<Event> {
        Some(match next {
            Move::Submit { priority, costs } => {
                let chunks = costs.into_iter().zip(0..);
                let tasks = chunks.map(|(cost, at)| NewTask { chunk: ChunkIndex(at), cost: Cost(cost) }).collect();
                self.jobs += 1;
                Event::Submit { job: JobId(self.jobs), priority: Priority(priority), tasks }
            }
            Move::Cancel(job) => Event::Cancel { job: JobId(job) },
            Move::Forget(job) => Event::Forget { job: JobId(job) },
            Move::Join(worker) => Event::Joined { worker: WorkerId(worker) },
            Move::Leave(worker) => Event::Left { worker: WorkerId(worker) },
            Move::Speak(back, word) => {
                let at = self.started.len().checked_sub(back + 1)?;
                speak(self.started[at], word)
            }
            Move::Pass(seconds) => {
                self.seconds += seconds;
                Event::Tick
            }
        })
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = Now(Duration::from_secs(self.seconds));
        for effect in self.coordinator.apply(now, event) {
            self.see(effect, now)?;
        }
        self.check(now)
    }

    fn see(&mut self, effect: Effect, now: Now) -> Result<(), TestCaseError> {
        match effect {
            Effect::Start { worker, task, attempt, expires } => {
                let before = self.started.iter().filter(|(_, other, _)| *other == task).count();
                prop_assert_eq!(attempt.0 as usize, before + 1, "attempts are counted");
                prop_assert!(attempt.0 <= MOST_ATTEMPTS && expires > now);
                prop_assert!(!self.accepted.contains_key(&task) && !self.ended.contains(&task.job));
                self.started.push((worker, task, attempt));
            }
            Effect::Stop { worker, task, attempt } => {
                prop_assert!(self.started.contains(&(worker, task, attempt)));
            }
            Effect::Accept { task, attempt } => {
                prop_assert!(!self.ended.contains(&task.job));
                prop_assert_eq!(self.accepted.insert(task, attempt), None, "accepted twice");
            }
            Effect::Discard { task, attempt } => {
                prop_assert_ne!(self.accepted.get(&task), Some(&attempt), "an accepted result is thrown away");
            }
            Effect::Progress { job, progress } => {
                let before = self.progress.insert(job, progress).unwrap_or_default();
                prop_assert!(progress.tasks_done > before.tasks_done && progress.cost_done >= before.cost_done);
            }
            Effect::JobDone { job } => {
                prop_assert!(self.ended.insert(job), "ended twice");
                let progress = self.coordinator.progress(job).unwrap();
                prop_assert_eq!((progress.tasks_done, progress.cost_done), (progress.tasks, progress.cost));
            }
            Effect::JobFailed { task, attempts, .. } => {
                prop_assert!(self.ended.insert(task.job), "ended twice");
                prop_assert!(attempts <= MOST_ATTEMPTS);
            }
            Effect::JobCancelled { job } => prop_assert!(self.ended.insert(job), "ended twice"),
            Effect::Ignored(_) => {}
        }
        Ok(())
    }

    /// What holds between events.
    fn check(&self, now: Now) -> Result<(), TestCaseError> {
        let leases: Vec<_> = self.coordinator.leases().collect();
        let tasks: BTreeSet<_> = leases.iter().map(|(task, ..)| task).collect();
        prop_assert_eq!(tasks.len(), leases.len(), "two leases for one task");
        prop_assert_eq!(self.coordinator.deadlines.len(), leases.len(), "a lease without an end, or the reverse");
        for (task, attempt, _) in &leases {
            let newest = self.started.iter().filter(|(_, other, _)| other == task).map(|(.., attempt)| attempt).max();
            prop_assert_eq!(newest, Some(attempt), "an old attempt holds the lease");
            prop_assert!(self.coordinator.is_active(task.job));
        }
        prop_assert!(self.coordinator.next_wakeup().is_none_or(|at| at > now), "a lease outlives its end");
        let waiting = self.coordinator.jobs.values().any(Job::is_ready);
        prop_assert!(!waiting || self.coordinator.idle.is_empty(), "a worker idles while tasks wait");
        prop_assert_eq!(self.coordinator.ready.len(), self.coordinator.jobs.values().filter(|j| j.is_ready()).count());
        for job in self.coordinator.jobs.values().filter(|job| job.active) {
            let open = job.tasks.len() - job.progress.tasks_done;
            let leased = open - job.waiting.len();
            prop_assert!(open > 0 && (leased > 0 || job.running == Cost::default()));
        }
        Ok(())
    }

    /// Lets faithful workers do all that is left.
    fn finish_everything(&mut self) -> Result<(), TestCaseError> {
        for worker in 0..3 {
            self.apply(Event::Joined { worker: WorkerId(worker) })?;
        }
        for _ in 0..10_000 {
            let Some((task, attempt, worker)) = self.coordinator.leases().next() else { break };
            self.apply(Event::Finished { worker, task, attempt })?;
        }
        let submitted: BTreeSet<JobId> = (1..=self.jobs).map(JobId).collect();
        prop_assert_eq!(&self.ended, &submitted, "every job ends");
        Ok(())
    }
}

fn speak((worker, task, attempt): (WorkerId, TaskId, Attempt), word: Word) -> Event {
    match word {
        Word::Heartbeat => Event::Heartbeat { worker, task, attempt },
        Word::Finished => Event::Finished { worker, task, attempt },
        Word::Stopped => Event::Stopped { worker, task, attempt },
        Word::Failed(kind) => {
            Event::Failed { worker, task, attempt, failure: Failure { kind, message: "it broke".to_owned() } }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_task_is_accepted_at_most_once_and_each_job_ends_once(moves in moves()) {
        let mut world = World::new();
        for next in moves {
            if let Some(event) = world.event(next) {
                world.apply(event)?;
            }
        }
        world.finish_everything()?;
    }

    #[test]
    fn equal_jobs_get_equal_shares(jobs in 2u64..6, workers in 1u64..8, rounds in 20usize..60) {
        let mut world = World::new();
        for _ in 0..jobs {
            let costs = vec![1000; 200];
            let event = world.event(Move::Submit { priority: 0, costs }).unwrap();
            world.apply(event)?;
        }
        for worker in 0..workers {
            world.apply(Event::Joined { worker: WorkerId(worker) })?;
        }
        for turn in 0..rounds {
            let leases: Vec<_> = world.coordinator.leases().collect();
            let (task, attempt, worker) = leases[turn % leases.len()];
            world.apply(Event::Finished { worker, task, attempt })?;
        }
        let given = |job| world.started.iter().filter(|(_, task, _)| task.job == JobId(job)).count();
        let shares: Vec<usize> = (1..=jobs).map(given).collect();
        let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
        prop_assert!(most - least <= 2 + workers as usize, "{shares:?}");
    }
}
