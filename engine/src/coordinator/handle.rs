//! What each event about jobs and workers does to the state; those about attempts are in `attempts.rs`.

use super::agenda::Due;
use super::crew::{Slot, Worker};
use super::event::{Effect, Event, Ignored, NewTask};
use super::job::Job;
use super::queue::Account;
use super::skills::Skills;
use super::task::TaskState;
use super::terms::Terms;
use super::types::{JobId, TaskId, WorkerId};
use super::{Coordinator, LaneId};

pub(super) type Effects = Vec<Effect>;

impl Coordinator {
    pub(super) fn handle(&mut self, event: Event, effects: &mut Effects) {
        let handled = match event {
            Event::Submit { job, terms, tasks } => self.submit(job, terms, &tasks, effects),
            Event::Cancel { job } => self.cancel(job, effects),
            Event::Forget { job } => self.forget(job),
            Event::Joined { worker, skills } => self.joined(worker, skills, effects),
            Event::Left { worker } => self.left(worker, effects),
            Event::Draining { worker } => self.drain(worker),
            Event::Queued { worker, task, attempt } => self.queued(worker, task, attempt, effects),
            Event::Heartbeat { worker, task, attempt } => self.heartbeat(worker, task, attempt, effects),
            Event::Finished { worker, task, attempt } => self.finished(worker, task, attempt, effects),
            Event::Failed { worker, task, attempt, failure } => self.failed(worker, task, attempt, failure, effects),
            Event::Stopped { worker, task, attempt } => self.stopped(worker, task, attempt, effects),
            Event::Pause { skill } => {
                self.paused = self.paused.with(skill);
                Ok(())
            }
            Event::Resume { skill } => {
                self.paused = self.paused.without(skill);
                Ok(())
            }
            Event::Tick => Ok(()),
        };
        effects.extend(handled.err().map(Effect::Ignored));
    }

    fn submit(&mut self, id: JobId, terms: Terms, new: &[NewTask], effects: &mut Effects) -> Result<(), Ignored> {
        if self.jobs.contains_key(&id) {
            return Err(Ignored::KnownJob(id));
        }
        let job =
            Job::new(terms, self.sequence, new).map_err(|chunk| Ignored::RepeatedTask(TaskId { job: id, chunk }))?;
        self.enter(id, job);
        if self.change(id, Job::end_if_complete) == Some(true) {
            self.job_ended(id);
            effects.push(Effect::JobDone { job: id });
        }
        Ok(())
    }

    /// Takes a new job in: level with the one of its lane that was served last, in a lane that is level with others.
    pub(super) fn enter(&mut self, id: JobId, mut job: Job) {
        let (lane, terms) = (job.lane(), job.terms);
        let level = self.levels.get(&lane.priority).copied().unwrap_or_default();
        let sequence = self.sequence;
        let account = self.lanes.entry(lane).or_insert_with(|| Account::new(sequence));
        account.weight = terms.weight;
        account.jobs += 1;
        if account.is_idle() && account.running.0 == 0 {
            account.served = account.served.max(level);
        }
        job.served = account.level;
        job.last_start = self.starts;
        for needs in job.waiting.kinds() {
            self.queues.open(needs, || self.crew.able(needs));
        }
        if let Some(deadline) = terms.deadline.filter(|_| job.active) {
            self.agenda.insert(deadline, Due::Deadline(id));
        }
        // Into the queues by a change, from being none of them.
        let active = std::mem::replace(&mut job.active, false);
        self.sequence += 1;
        self.jobs.insert(id, job);
        self.change(id, |job| job.active = active);
    }

    fn cancel(&mut self, job: JobId, effects: &mut Effects) -> Result<(), Ignored> {
        match self.jobs.get(&job) {
            None => Err(Ignored::UnknownJob(job)),
            Some(known) if !known.active => Err(Ignored::JobEnded(job)),
            Some(_) => {
                self.drop_job(job, effects);
                effects.push(Effect::JobCancelled { job });
                Ok(())
            }
        }
    }

    fn forget(&mut self, id: JobId) -> Result<(), Ignored> {
        match self.jobs.get(&id) {
            None => Err(Ignored::UnknownJob(id)),
            Some(known) if known.active => Err(Ignored::JobActive(id)),
            Some(known) => {
                self.leave_lane(known.lane());
                self.jobs.remove(&id);
                Ok(())
            }
        }
    }

    fn leave_lane(&mut self, lane: LaneId) {
        if let Some(account) = self.lanes.get_mut(&lane) {
            account.jobs -= 1;
            if account.jobs == 0 {
                self.lanes.remove(&lane);
            }
        }
    }

    fn joined(&mut self, id: WorkerId, skills: Skills, effects: &mut Effects) -> Result<(), Ignored> {
        if self.crew.get(id).is_some() {
            self.left(id, effects)?;
        }
        self.crew.insert(id, Worker::new(skills, false));
        self.queues.count_worker(skills, true);
        Ok(())
    }

    fn left(&mut self, id: WorkerId, effects: &mut Effects) -> Result<(), Ignored> {
        let worker = self.crew.remove(id).ok_or(Ignored::UnknownWorker(id))?;
        if !worker.draining {
            self.queues.count_worker(worker.skills, false);
        }
        if let Slot::Leased(task, attempt) = worker.slot {
            self.lose(task, attempt, format!("worker {} left while it was at work on {task}", id.0), effects);
        }
        Ok(())
    }

    fn drain(&mut self, id: WorkerId) -> Result<(), Ignored> {
        let worker = self.crew.remove(id).ok_or(Ignored::UnknownWorker(id))?;
        if !worker.draining {
            self.queues.count_worker(worker.skills, false);
        }
        self.crew.insert(id, Worker { draining: true, ..worker });
        Ok(())
    }

    /// Ends a job without a result and stops its workers.
    pub(super) fn drop_job(&mut self, id: JobId, effects: &mut Effects) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut leases = Vec::new();
        for (chunk, task) in job.tasks.iter() {
            let it = TaskId { job: id, chunk };
            leases.extend(task.leases().map(|lease| (it, lease)));
            if let TaskState::Waiting { rests: Some(until), .. } = task.state {
                self.agenda.remove(until, Due::Rest(it));
            }
        }
        for (task, lease) in leases {
            self.unbook(task, &lease);
            self.tell_to_stop(lease.worker, task, lease.attempt, effects);
        }
        self.change(id, Job::drop_rest);
        self.job_ended(id);
    }

    /// Nothing is due any more of a job that has ended.
    pub(super) fn job_ended(&mut self, id: JobId) {
        if let Some(deadline) = self.jobs.get(&id).and_then(|job| job.terms.deadline) {
            self.agenda.remove(deadline, Due::Deadline(id));
        }
    }
}
