//! Random workers, jobs, losses, messages out of order and restarts: what must hold after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::queue::AGEING;
use super::super::task::TaskState;
use super::*;

const LEASE_S: u64 = 10;

fn config() -> Config {
    Config { lease: Duration::from_secs(LEASE_S), ..Config::fleet() }
}

/// What happens next; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Move {
    Submit {
        terms: Terms,
        tasks: Vec<(u64, Skills)>,
    },
    Cancel(u64),
    Forget(u64),
    Join(u64, Skills),
    Leave(u64),
    Drain(u64),
    Pause(Skill),
    Resume(Skill),
    /// One of the attempts ever started sends a message.
    Speak(usize, Word),
    Pass(u64),
    /// The driver dies, and another goes on from what it wrote down.
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Heartbeat,
    Queued,
    Finished,
    Failed(FailureKind),
    Stopped,
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        6 => Just(Word::Heartbeat),
        3 => Just(Word::Queued),
        12 => Just(Word::Finished),
        3 => Just(Word::Failed(FailureKind::Retryable)),
        1 => Just(Word::Failed(FailureKind::Crash)),
        1 => Just(Word::Failed(FailureKind::Permanent)),
        3 => Just(Word::Stopped),
    ]
}

fn skill() -> impl Strategy<Value = Skill> {
    prop_oneof![Just(Skill::Cpu), Just(Skill::Nvenc), Just(Skill::Av1)]
}

fn some_skills() -> impl Strategy<Value = Skills> {
    prop::collection::vec(skill(), 0..3).prop_map(Skills::from_iter)
}

fn terms() -> impl Strategy<Value = Terms> {
    (0u64..3, 1u32..4, 1u8..=10, prop::option::of(0u64..60)).prop_map(|(user, weight, priority, deadline)| Terms {
        user: UserId(user),
        weight: Weight(weight.try_into().unwrap()),
        priority: priority.try_into().unwrap(),
        deadline: deadline.map(|at| Now(Duration::from_secs(at))),
    })
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let tasks = prop::collection::vec((0u64..5000, prop_oneof![2 => Just(Skills::NONE), 1 => some_skills()]), 0..8);
    let one = prop_oneof![
        4 => (terms(), tasks).prop_map(|(terms, tasks)| Move::Submit { terms, tasks }),
        2 => (0u64..12).prop_map(Move::Cancel),
        2 => (0u64..12).prop_map(Move::Forget),
        6 => (0u64..6, some_skills()).prop_map(|(worker, skills)| Move::Join(worker, skills)),
        2 => (0u64..6).prop_map(Move::Leave),
        1 => (0u64..6).prop_map(Move::Drain),
        1 => skill().prop_map(Move::Pause),
        2 => skill().prop_map(Move::Resume),
        // Counted back from the newest attempt, so that most words are about what is going on.
        32 => (prop_oneof![4 => 0usize..6, 1 => 0usize..60], word()).prop_map(|(at, word)| Move::Speak(at, word)),
        8 => (0u64..LEASE_S).prop_map(Move::Pass),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..200)
}

/// The coordinator, and what an onlooker who sees only events and effects may conclude.
struct World {
    coordinator: Coordinator,
    seconds: u64,
    jobs: u64,
    needs: BTreeMap<TaskId, Skills>,
    /// The workers that are there, what they can do, and whether they are draining.
    workers: BTreeMap<WorkerId, (Skills, bool)>,
    /// What each worker was given and has said nothing final about.
    busy: BTreeMap<WorkerId, (TaskId, Attempt)>,
    paused: Skills,
    started: Vec<(WorkerId, TaskId, Attempt)>,
    accepted: BTreeMap<TaskId, Attempt>,
    ended: BTreeSet<JobId>,
    missed: BTreeSet<JobId>,
    progress: BTreeMap<JobId, Progress>,
}

impl World {
    fn new() -> Self {
        Self {
            coordinator: Coordinator::new(config()),
            seconds: 0,
            jobs: 0,
            needs: BTreeMap::new(),
            workers: BTreeMap::new(),
            busy: BTreeMap::new(),
            paused: Skills::NONE,
            started: Vec::new(),
            accepted: BTreeMap::new(),
            ended: BTreeSet::new(),
            missed: BTreeSet::new(),
            progress: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        Now(Duration::from_secs(self.seconds))
    }

    fn event(&mut self, next: Move) -> Option<Event> {
        Some(match next {
            Move::Submit { terms, tasks } => {
                self.jobs += 1;
                let job = JobId(self.jobs);
                let new = |((cost, needs), at)| NewTask { chunk: ChunkIndex(at), cost: Cost(cost), needs };
                let tasks: Vec<NewTask> = tasks.into_iter().zip(0..).map(new).collect();
                self.needs.extend(tasks.iter().map(|task| (TaskId { job, chunk: task.chunk }, task.needs)));
                Event::Submit { job, terms, tasks }
            }
            Move::Cancel(job) => Event::Cancel { job: JobId(job) },
            Move::Forget(job) => Event::Forget { job: JobId(job) },
            Move::Join(worker, skills) => {
                self.busy.remove(&WorkerId(worker));
                self.workers.insert(WorkerId(worker), (skills, false));
                Event::Joined { worker: WorkerId(worker), skills }
            }
            Move::Leave(worker) => {
                self.busy.remove(&WorkerId(worker));
                self.workers.remove(&WorkerId(worker));
                Event::Left { worker: WorkerId(worker) }
            }
            Move::Drain(worker) => {
                self.workers.entry(WorkerId(worker)).and_modify(|(_, draining)| *draining = true);
                Event::Draining { worker: WorkerId(worker) }
            }
            Move::Pause(skill) => {
                self.paused = self.paused.with(skill);
                Event::Pause { skill }
            }
            Move::Resume(skill) => {
                self.paused = self.paused.without(skill);
                Event::Resume { skill }
            }
            Move::Speak(back, word) => {
                let at = self.started.len().checked_sub(back + 1)?;
                let (worker, task, attempt) = self.started[at];
                if !matches!(word, Word::Heartbeat | Word::Queued) && self.busy.get(&worker) == Some(&(task, attempt)) {
                    self.busy.remove(&worker);
                }
                speak(self.started[at], word)
            }
            Move::Pass(seconds) => {
                self.seconds += seconds;
                Event::Tick
            }
            Move::Restart => {
                self.coordinator = Coordinator::restore(config(), self.now(), &self.coordinator.snapshot()).unwrap();
                Event::Tick
            }
        })
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = self.now();
        for effect in self.coordinator.apply(now, event) {
            self.see(effect, now)?;
        }
        self.check(now)
    }

    fn see(&mut self, effect: Effect, now: Now) -> Result<(), TestCaseError> {
        match effect {
            Effect::Start { worker, task, attempt, expires, .. } => {
                let before = self.started.iter().filter(|(_, other, _)| *other == task).count();
                prop_assert_eq!(attempt.0 as usize, before + 1, "attempts are counted");
                prop_assert!(expires > now);
                prop_assert!(!self.accepted.contains_key(&task) && !self.ended.contains(&task.job));
                let (skills, draining) = self.workers[&worker];
                prop_assert!(!draining && skills.cover(self.needs[&task]) && !self.needs[&task].meet(self.paused));
                prop_assert_eq!(self.busy.insert(worker, (task, attempt)), None, "a worker does one thing at a time");
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
            Effect::NobodyCan { job, needs } => {
                let able = self.workers.values().any(|(skills, draining)| !draining && skills.cover(needs));
                prop_assert!(!able && !self.ended.contains(&job));
            }
            Effect::DeadlineMissed { job } => {
                prop_assert!(!self.ended.contains(&job));
                prop_assert!(self.missed.insert(job), "missed twice");
            }
            Effect::JobDone { job } => {
                prop_assert!(self.ended.insert(job), "ended twice");
                let progress = self.coordinator.progress(job).unwrap();
                prop_assert_eq!((progress.tasks_done, progress.cost_done), (progress.tasks, progress.cost));
            }
            Effect::JobFailed { task, .. } => prop_assert!(self.ended.insert(task.job), "ended twice"),
            Effect::JobCancelled { job } => prop_assert!(self.ended.insert(job), "ended twice"),
            Effect::Ignored(_) => {}
        }
        Ok(())
    }

    /// What holds between events.
    fn check(&self, now: Now) -> Result<(), TestCaseError> {
        let state = &self.coordinator;
        let leases: BTreeSet<_> = state.leases().map(|(task, attempt, _)| (task, attempt)).collect();
        prop_assert_eq!(state.agenda.leases(), leases.len(), "a lease without an end, or the reverse");
        for (worker, _) in state.crew.iter().filter(|(_, worker)| worker.slot != Slot::Idle) {
            prop_assert!(self.busy.contains_key(&worker), "a worker counts as busy that is not");
        }
        prop_assert!(state.next_wakeup().is_none_or(|at| at > now), "something is overdue");
        let mut standing = 0;
        for (id, job) in &state.jobs {
            let tasks = job.tasks.iter().map(|(chunk, task)| (TaskId { job: *id, chunk }, task));
            let mut running = Cost::default();
            for (id, task) in tasks {
                let own: Vec<_> = task.leases().collect();
                running = own.iter().fold(running, |sum, _| sum.plus(task.cost.service()));
                prop_assert!(own.len() <= 2 && (own.is_empty() || job.active));
                prop_assert!(own.iter().all(|lease| leases.contains(&(id, lease.attempt))));
                let is_ready = job.active && matches!(task.state, TaskState::Waiting { rests: None, .. });
                prop_assert!(!is_ready || !self.somebody_is_free_for(task.needs), "a worker idles while {} waits", id);
                prop_assert!(!job.active || !task.spent.is_too_much(&config(), task.needs));
            }
            prop_assert_eq!(running, job.running);
            standing += if job.active { job.waiting.filled() } else { 0 };
        }
        prop_assert_eq!(state.queues.standing(), standing, "a job stands in a queue for nothing, or the reverse");
        for (lane, account) in &state.lanes {
            let jobs = state.jobs.values().filter(|job| job.lane() == *lane);
            prop_assert_eq!(jobs.fold(Cost::default(), |sum, job| sum.plus(job.running)), account.running);
        }
        Ok(())
    }

    fn somebody_is_free_for(&self, needs: Skills) -> bool {
        let free = |(id, (skills, draining)): (&WorkerId, &(Skills, bool))| {
            !draining && skills.cover(needs) && !self.busy.contains_key(id)
        };
        !needs.meet(self.paused) && self.workers.iter().any(free)
    }

    /// Lets faithful workers do all that is left.
    fn finish_everything(&mut self) -> Result<(), TestCaseError> {
        let all = [Skill::Cpu, Skill::Nvenc, Skill::Av1];
        for worker in 0..3 {
            let join = self.event(Move::Join(worker, all.into_iter().collect())).unwrap();
            self.apply(join)?;
        }
        for skill in all {
            let resume = self.event(Move::Resume(skill)).unwrap();
            self.apply(resume)?;
        }
        for _ in 0..10_000 {
            let Some((task, attempt, worker)) = self.coordinator.leases().next() else {
                let Some(Now(at)) = self.coordinator.next_wakeup() else { break };
                self.seconds = at.as_secs();
                self.apply(Event::Tick)?;
                continue;
            };
            self.busy.remove(&worker);
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
        Word::Queued => Event::Queued { worker, task, attempt },
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
            let tasks = vec![(1000, Skills::NONE); 200];
            let event = world.event(Move::Submit { terms: Terms::default(), tasks }).unwrap();
            world.apply(event)?;
        }
        for worker in 0..workers {
            let event = world.event(Move::Join(worker, Skills::NONE)).unwrap();
            world.apply(event)?;
        }
        for turn in 0..rounds {
            let leases: Vec<_> = world.coordinator.leases().collect();
            let (task, attempt, worker) = leases[turn % leases.len()];
            world.busy.remove(&worker);
            world.apply(Event::Finished { worker, task, attempt })?;
        }
        let given = |job| world.started.iter().filter(|(_, task, _)| task.job == JobId(job)).count();
        let shares: Vec<usize> = (1..=jobs).map(given).collect();
        let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
        prop_assert!(most - least <= 2 + workers as usize, "{shares:?}");
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The bound that `queue.rs` gives.
    #[test]
    fn nobody_waits_for_ever(all in prop::collection::vec(terms(), 2..5), workers in 1u64..4) {
        let mut scene = Scene::under(Config { preemption: None, speculation: None, ..Config::fleet() });
        (1..=workers).for_each(|worker| drop(scene.join(worker)));
        let mut starts = 0;
        let mut last: BTreeMap<u64, u64> = (1..).zip(&all).map(|(job, _)| (job, 0)).collect();
        for (job, terms) in (1..).zip(&all) {
            // Not due in the time of this test, so it is served for it throughout.
            let deadline = terms.deadline.map(|Now(at)| Now(at + Duration::from_secs(1_000_000)));
            scene.submit_on(job, Terms { deadline, ..*terms }, Skills::NONE, 2000);
        }
        let lanes: BTreeSet<_> = all.iter().map(|terms| (terms.user, terms.priority)).collect();
        let jobs = 1 + all.len() - lanes.len();
        let bound = AGEING * AGEING * (lanes.len() * jobs) as u64;
        while starts < bound + 100 {
            let job = scene.served(1)[0];
            starts += 1;
            last.insert(job, starts);
            let longest = last.values().map(|at| starts - at).max().unwrap();
            prop_assert!(longest <= bound, "{longest} starts, {last:?}");
        }
    }
}
