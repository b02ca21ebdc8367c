//! An onlooker who sees what the coordinator is told and what it answers, keeps his own books, and knows what must hold.

mod books;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use vtp_engine::coordinator::{Config, Effect, Event, Ignored, JobId, Now, Skills, TaskId, WorkerId};
use vtp_engine::units::Attempt;

/// The books.
#[derive(Debug)]
pub(super) struct Checker {
    config: Config,
    tasks: HashMap<TaskId, Task>,
    jobs: HashMap<JobId, Job>,
    open_jobs: usize,
    workers: HashMap<WorkerId, Worker>,
    /// When leases run out.
    leases: BTreeSet<(Now, TaskId, Attempt)>,
    /// When tasks have rested.
    rests: BTreeSet<(Now, TaskId)>,
    /// How many tasks wait, and how many workers have nothing to do, by needs and skills.
    ready: HashMap<Skills, i64>,
    free: HashMap<Skills, i64>,
}

#[derive(Debug)]
struct Task {
    needs: Skills,
    attempts: u32,
    live: Vec<Live>,
    /// The attempt that was lost last, if none began since: what becomes of it still counts.
    late: Option<Attempt>,
    rests: Option<Now>,
    failures: u32,
    crashes: u32,
    losses: u32,
    finished: HashSet<Attempt>,
    accepted: Option<Attempt>,
    counts_as_ready: bool,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    attempt: Attempt,
    expires: Now,
}

#[derive(Debug)]
struct Job {
    tasks: usize,
    done: usize,
    ended: bool,
    /// When it is due, until it was said that it is late.
    deadline: Option<Now>,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    skills: Skills,
    draining: bool,
    busy: Option<(TaskId, Attempt)>,
}

impl Checker {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            tasks: HashMap::new(),
            jobs: HashMap::new(),
            open_jobs: 0,
            workers: HashMap::new(),
            leases: BTreeSet::new(),
            rests: BTreeSet::new(),
            ready: HashMap::new(),
            free: HashMap::new(),
        }
    }

    /// How many tasks wait for a worker.
    pub(super) fn queued(&self) -> i64 {
        self.ready.values().sum()
    }

    /// Whether a task waits that such a worker could do.
    pub(super) fn waits_for(&self, skills: Skills) -> bool {
        self.ready.iter().any(|(needs, count)| *count > 0 && skills.cover(*needs))
    }

    pub(super) fn all_ended(&self) -> bool {
        self.open_jobs == 0
    }

    /// Books an event, and checks what the coordinator answers.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn step(&mut self, now: Now, event: &Event, effects: &[Effect]) -> Result<()> {
        self.told(now, event)?;
        self.time_passes(now);
        self.renewed(now, event, effects)?;
        for effect in effects {
            self.saw(now, effect)?;
        }
        self.answered(event, effects)?;
        for (needs, count) in self.ready.iter().filter(|(_, count)| **count > 0) {
            let idle = self.free.iter().find(|(skills, free)| **free > 0 && skills.cover(*needs));
            ensure!(idle.is_none(), "{count} tasks wait while {idle:?} idle");
        }
        Ok(())
    }

    fn told(&mut self, now: Now, event: &Event) -> Result<()> {
        match event {
            Event::Submit { job, terms, tasks } => {
                let deadline = terms.deadline;
                self.jobs.insert(*job, Job { tasks: tasks.len(), done: 0, ended: false, deadline });
                self.open_jobs += 1;
                tasks.iter().for_each(|task| self.add_task(*job, task));
            }
            Event::Joined { worker, skills } => {
                self.gone(*worker);
                self.set_worker(*worker, Some(Worker { skills: *skills, draining: false, busy: None }));
            }
            Event::Left { worker } => self.gone(*worker),
            Event::Draining { worker } => {
                let worker_ = self.workers.get(worker).map(|it| Worker { draining: true, ..*it });
                self.set_worker(*worker, worker_);
            }
            Event::Heartbeat { task, attempt, .. } => self.prolong(now, *task, *attempt),
            Event::Finished { worker, task, attempt } => {
                self.freed(*worker, *task, *attempt);
                if let Some(task) = self.tasks.get_mut(task) {
                    task.finished.insert(*attempt);
                }
            }
            Event::Failed { worker, task, attempt, failure } => {
                self.freed(*worker, *task, *attempt);
                if self.ends(*task, *attempt) || self.is_late(*task, *attempt) {
                    self.count_failure(now, *task, failure.kind);
                }
            }
            Event::Stopped { worker, task, attempt } => {
                let draining = self.workers.get(worker).is_some_and(|it| it.draining);
                self.freed(*worker, *task, *attempt);
                if self.ends(*task, *attempt) && !draining {
                    self.count_loss(*task);
                }
                self.tasks.entry(*task).and_modify(|task| task.late = task.late.filter(|late| late != attempt));
            }
            Event::Cancel { .. } | Event::Forget { .. } | Event::Tick => {}
            Event::Pause { .. } | Event::Resume { .. } => bail!("nothing is paused here"),
            Event::Queued { .. } => bail!("nobody is given more than he can begin here"),
        }
        Ok(())
    }

    /// A heartbeat of an attempt that has no lease is answered by a word to stop, or gives the lease back.
    fn renewed(&mut self, now: Now, event: &Event, effects: &[Effect]) -> Result<()> {
        let Event::Heartbeat { worker, task, attempt } = *event else { return Ok(()) };
        if self.is_live(task, attempt) || effects.contains(&Effect::Stop { worker, task, attempt }) {
            return Ok(());
        }
        let Some(known) = self.tasks.get_mut(&task) else { return Ok(()) };
        let busy = self.workers.get(&worker).and_then(|it| it.busy);
        ensure!(busy == Some((task, attempt)), "a lease goes to a worker that does not work on it");
        ensure!(known.live.is_empty() && known.accepted.is_none(), "a lease goes to a task that needs none");
        let expires = Now(now.0 + self.config.lease);
        known.live.push(Live { attempt, expires });
        self.leases.insert((expires, task, attempt));
        self.refresh(task);
        Ok(())
    }

    fn saw(&mut self, now: Now, effect: &Effect) -> Result<()> {
        match *effect {
            Effect::Start { worker, task, attempt, expires, .. } => self.started(worker, task, attempt, expires)?,
            Effect::Stop { task, attempt, .. } => {
                self.loses(task, attempt);
            }
            Effect::Accept { task, attempt } => self.accepted(task, attempt)?,
            Effect::Discard { task, attempt } => {
                let known = self.tasks.get(&task).map(|task| task.accepted);
                ensure!(known != Some(Some(attempt)), "an accepted result of {task} is thrown away");
            }
            Effect::Progress { job, progress } => {
                let known = self.jobs.get(&job).map(|job| (job.done, job.tasks));
                ensure!(
                    known == Some((progress.tasks_done, progress.tasks)),
                    "progress is not the truth: {progress:?}"
                );
            }
            Effect::JobDone { job } => {
                let left = self.end(job)?;
                ensure!(left == 0, "a job is done with {left} tasks left");
            }
            Effect::JobFailed { task, .. } => {
                self.end(task.job)?;
                let Some(task) = self.tasks.get(&task) else { bail!("a job failed by a task that it has not") };
                let Config { max_attempts, max_crashes, max_losses, .. } = self.config;
                let spent = task.failures >= max_attempts || task.crashes >= max_crashes || task.losses >= max_losses;
                ensure!(spent, "a job failed too early: {task:?}");
            }
            Effect::JobCancelled { job } => {
                self.end(job)?;
            }
            Effect::NobodyCan { needs, .. } => {
                let able = self.workers.values().any(|it| !it.draining && it.skills.cover(needs));
                ensure!(!able, "somebody can do what nobody is said to");
            }
            Effect::DeadlineMissed { job } => {
                let job = self.jobs.get_mut(&job).filter(|job| !job.ended);
                let deadline = job.and_then(|job| job.deadline.take());
                ensure!(deadline.is_some_and(|at| at <= now), "a job is late that is not due: {deadline:?}");
            }
            Effect::Ignored(_) => {}
        }
        Ok(())
    }

    fn started(&mut self, id: WorkerId, task: TaskId, attempt: Attempt, expires: Now) -> Result<()> {
        let Some(worker) = self.workers.get(&id).copied() else { bail!("{id:?} is not there, and starts {task}") };
        ensure!(!worker.draining && worker.busy.is_none(), "{id:?} has no time for {task}");
        ensure!(self.jobs.get(&task.job).is_some_and(|job| !job.ended), "{task} starts after its job's end");
        let Some(known) = self.tasks.get_mut(&task) else { bail!("{task} is not known") };
        ensure!(worker.skills.cover(known.needs), "{id:?} can't do {task}");
        ensure!(known.accepted.is_none(), "{task} is done, and starts");
        ensure!(attempt.0 == known.attempts + 1, "attempt {} of {task} after {}", attempt.0, known.attempts);
        ensure!(known.rests.is_none(), "{task} rests, and starts");
        let second = !known.live.is_empty();
        ensure!(known.live.len() < 2, "a third attempt at {task} at a time");
        ensure!(!second || self.config.speculation.is_some(), "a second attempt at {task} at a time");
        known.attempts += 1;
        known.late = None;
        known.live.push(Live { attempt, expires });
        self.leases.insert((expires, task, attempt));
        ensure!(!second || !self.waits_for(worker.skills), "a second attempt before a first");
        self.set_worker(id, Some(Worker { busy: Some((task, attempt)), ..worker }));
        self.refresh(task);
        Ok(())
    }

    fn accepted(&mut self, id: TaskId, attempt: Attempt) -> Result<()> {
        let Some(task) = self.tasks.get_mut(&id) else { bail!("{id} is not known, and accepted") };
        ensure!(task.accepted.is_none(), "{id} is accepted twice");
        ensure!(task.finished.contains(&attempt), "attempt {} of {id} is accepted before it is there", attempt.0);
        task.accepted = Some(attempt);
        self.ends(id, attempt);
        if let Some(job) = self.jobs.get_mut(&id.job) {
            ensure!(!job.ended, "{id} is accepted after its job's end");
            job.done += 1;
        }
        self.refresh(id);
        Ok(())
    }

    /// A result is accepted or refused, and never refused while its lease lasts.
    fn answered(&self, event: &Event, effects: &[Effect]) -> Result<()> {
        let Event::Finished { task, attempt, .. } = *event else { return Ok(()) };
        let answer = effects
            .iter()
            .find(|effect| matches!(effect, Effect::Accept { .. } | Effect::Discard { .. } | Effect::Ignored(_)));
        let again = Effect::Ignored(Ignored::AcceptedBefore { task, attempt });
        let known = self.tasks.get(&task).and_then(|task| task.accepted);
        match answer {
            Some(Effect::Accept { .. }) => ensure!(known == Some(attempt), "another attempt is accepted"),
            Some(Effect::Discard { .. }) => ensure!(!self.is_live(task, attempt), "a welcome result is thrown away"),
            Some(other) => ensure!(*other == again && known == Some(attempt), "a result is ignored: {other:?}"),
            None => bail!("a result got no answer"),
        }
        Ok(())
    }

    fn end(&mut self, id: JobId) -> Result<usize> {
        let Some(job) = self.jobs.get_mut(&id) else { bail!("{id:?} is not known, and ends") };
        ensure!(!std::mem::replace(&mut job.ended, true), "{id:?} ends twice");
        let (tasks, done) = (job.tasks, job.done);
        self.open_jobs -= 1;
        for chunk in 0..tasks as u32 {
            let task = TaskId { job: id, chunk: vtp_engine::units::ChunkIndex(chunk) };
            let live: Vec<Attempt> =
                self.tasks.get(&task).map(|it| it.live.iter().map(|live| live.attempt).collect()).unwrap_or_default();
            for attempt in live {
                self.ends(task, attempt);
            }
            self.refresh(task);
        }
        Ok(tasks - done)
    }
}
