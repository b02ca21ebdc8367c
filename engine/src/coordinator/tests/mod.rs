//! Scenarios, told as sentences. This file has their words.

mod basics;
mod critical;
mod fairness;
mod fleet;
mod queued;
mod random;
mod restore;

use std::time::Duration;

use super::*;
use crate::units::ChunkIndex;

const LEASE: u64 = 30;

/// A coordinator, a clock and short words for events.
struct Scene {
    coordinator: Coordinator,
    seconds: u64,
}

impl Scene {
    fn new() -> Self {
        Self::under(Config::default())
    }

    fn under(config: Config) -> Self {
        Self { coordinator: Coordinator::new(config), seconds: 0 }
    }

    fn with(jobs: &[(u64, u8, u32)], workers: u64) -> Self {
        let mut scene = Self::new();
        for (job, priority, tasks) in jobs {
            scene.submit(*job, *priority, *tasks);
        }
        (1..=workers).for_each(|worker| drop(scene.join(worker)));
        scene
    }

    fn apply(&mut self, event: Event) -> Vec<Effect> {
        self.coordinator.apply(Now(Duration::from_secs(self.seconds)), event)
    }

    fn submit(&mut self, job: u64, priority: u8, tasks: u32) -> Vec<Effect> {
        self.submit_on(job, at_priority(priority), Skills::NONE, tasks)
    }

    fn submit_on(&mut self, job: u64, terms: Terms, needs: Skills, tasks: u32) -> Vec<Effect> {
        let tasks = (0..tasks).map(|at| NewTask { chunk: ChunkIndex(at), cost: Cost(1000), needs }).collect();
        self.apply(Event::Submit { job: JobId(job), terms, tasks })
    }

    fn join(&mut self, worker: u64) -> Vec<Effect> {
        self.join_with(worker, Skills::NONE)
    }

    fn join_with(&mut self, worker: u64, skills: Skills) -> Vec<Effect> {
        self.apply(Event::Joined { worker: WorkerId(worker), skills })
    }

    fn leave(&mut self, worker: u64) -> Vec<Effect> {
        self.apply(Event::Left { worker: WorkerId(worker) })
    }

    fn finish(&mut self, worker: u64, task: TaskId, attempt: u32) -> Vec<Effect> {
        self.apply(Event::Finished { worker: WorkerId(worker), task, attempt: Attempt(attempt) })
    }

    fn fail(&mut self, worker: u64, task: TaskId, attempt: u32, kind: FailureKind) -> Vec<Effect> {
        let failure = Failure { kind, message: "it broke".to_owned() };
        self.apply(Event::Failed { worker: WorkerId(worker), task, attempt: Attempt(attempt), failure })
    }

    fn beat(&mut self, worker: u64, task: TaskId, attempt: u32) -> Vec<Effect> {
        self.apply(Event::Heartbeat { worker: WorkerId(worker), task, attempt: Attempt(attempt) })
    }

    fn queued(&mut self, worker: u64, task: TaskId, attempt: u32) -> Vec<Effect> {
        self.apply(Event::Queued { worker: WorkerId(worker), task, attempt: Attempt(attempt) })
    }

    fn stopped(&mut self, worker: u64, task: TaskId, attempt: u32) -> Vec<Effect> {
        self.apply(Event::Stopped { worker: WorkerId(worker), task, attempt: Attempt(attempt) })
    }

    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.seconds += seconds;
        self.apply(Event::Tick)
    }

    fn drain(&mut self, worker: u64) -> Vec<Effect> {
        self.apply(Event::Draining { worker: WorkerId(worker) })
    }

    /// Lets the first of the workers at work finish, `rounds` times; whose jobs they got to do next.
    fn served(&mut self, rounds: usize) -> Vec<u64> {
        let finish = |scene: &mut Self| {
            let (task, attempt, worker) = scene.leases()[0];
            let effects = scene.finish(worker, task, attempt);
            let started = effects.iter().find_map(|effect| match effect {
                Effect::Start { task, .. } => Some(task.job.0),
                _ => None,
            });
            started.unwrap()
        };
        (0..rounds).map(|_| finish(self)).collect()
    }

    fn leases(&self) -> Vec<(TaskId, u32, u64)> {
        self.coordinator.leases().map(|(task, attempt, worker)| (task, attempt.0, worker.0)).collect()
    }
}

fn task(job: u64, chunk: u32) -> TaskId {
    TaskId { job: JobId(job), chunk: ChunkIndex(chunk) }
}

fn at_priority(priority: u8) -> Terms {
    Terms { priority: priority.try_into().unwrap(), ..Terms::default() }
}

fn start(worker: u64, task: TaskId, attempt: u32, at: u64) -> Effect {
    start_as(Variant::Usual, worker, task, attempt, at)
}

fn start_as(variant: Variant, worker: u64, task: TaskId, attempt: u32, at: u64) -> Effect {
    let expires = Now(Duration::from_secs(at + LEASE));
    Effect::Start { worker: WorkerId(worker), task, attempt: Attempt(attempt), variant, expires }
}

fn nobody_can(job: u64, needs: Skills) -> Effect {
    Effect::NobodyCan { job: JobId(job), needs }
}

fn accept(task: TaskId, attempt: u32) -> Effect {
    Effect::Accept { task, attempt: Attempt(attempt) }
}

fn discard(task: TaskId, attempt: u32) -> Effect {
    Effect::Discard { task, attempt: Attempt(attempt) }
}

fn stop(worker: u64, task: TaskId, attempt: u32) -> Effect {
    Effect::Stop { worker: WorkerId(worker), task, attempt: Attempt(attempt) }
}

fn stale(task: TaskId, attempt: u32) -> Effect {
    Effect::Ignored(Ignored::Stale { task, attempt: Attempt(attempt) })
}
