//! The onlooker's books: what he was told, and what follows from it.

use std::collections::HashSet;
use std::time::Duration;

use vtp_engine::coordinator::{FailureKind, JobId, NewTask, Now, TaskId, WorkerId};
use vtp_engine::units::Attempt;

use super::{Checker, Task, Worker};

impl Checker {
    pub(super) fn add_task(&mut self, job: JobId, new: &NewTask) {
        let id = TaskId { job, chunk: new.chunk };
        let task = Task {
            needs: new.needs,
            attempts: 0,
            live: Vec::new(),
            late: None,
            rests: None,
            failures: 0,
            crashes: 0,
            losses: 0,
            finished: HashSet::new(),
            accepted: None,
            counts_as_ready: false,
        };
        self.tasks.insert(id, task);
        self.refresh(id);
    }

    pub(super) fn time_passes(&mut self, now: Now) {
        while let Some(&(_, task, attempt)) = self.leases.first().filter(|(at, ..)| *at <= now) {
            self.loses(task, attempt);
            self.count_loss(task);
        }
        while let Some(&(at, task)) = self.rests.first().filter(|(at, _)| *at <= now) {
            self.rests.remove(&(at, task));
            self.tasks.entry(task).and_modify(|task| task.rests = None);
            self.refresh(task);
        }
    }

    pub(super) fn gone(&mut self, worker: WorkerId) {
        let busy = self.workers.get(&worker).and_then(|it| it.busy);
        if let Some((task, attempt)) = busy
            && self.loses(task, attempt)
        {
            self.count_loss(task);
        }
        self.set_worker(worker, None);
    }

    pub(super) fn freed(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        if let Some(worker) = self.workers.get(&id).copied().filter(|it| it.busy == Some((task, attempt))) {
            self.set_worker(id, Some(Worker { busy: None, ..worker }));
        }
    }

    pub(super) fn set_worker(&mut self, id: WorkerId, worker: Option<Worker>) {
        let is_free = |it: &Worker| it.busy.is_none() && !it.draining;
        let before = match worker {
            Some(worker) => self.workers.insert(id, worker),
            None => self.workers.remove(&id),
        };
        if let Some(before) = before.filter(is_free) {
            *self.free.entry(before.skills).or_default() -= 1;
        }
        if let Some(worker) = worker.filter(is_free) {
            *self.free.entry(worker.skills).or_default() += 1;
        }
    }

    pub(super) fn is_live(&self, task: TaskId, attempt: Attempt) -> bool {
        self.tasks.get(&task).is_some_and(|task| task.live.iter().any(|live| live.attempt == attempt))
    }

    pub(super) fn prolong(&mut self, now: Now, id: TaskId, attempt: Attempt) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(live) = task.live.iter_mut().find(|live| live.attempt == attempt) else { return };
        self.leases.remove(&(live.expires, id, attempt));
        live.expires = Now(now.0 + self.config.lease);
        self.leases.insert((live.expires, id, attempt));
    }

    /// Whether this attempt was live; it is not any more.
    pub(super) fn ends(&mut self, id: TaskId, attempt: Attempt) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(place) = task.live.iter().position(|live| live.attempt == attempt) else { return false };
        let live = task.live.remove(place);
        self.leases.remove(&(live.expires, id, attempt));
        self.refresh(id);
        true
    }

    /// As [`ends`](Self::ends); if no other attempt is live, what becomes of it still counts.
    pub(super) fn loses(&mut self, id: TaskId, attempt: Attempt) -> bool {
        let was_live = self.ends(id, attempt);
        if let Some(task) = self.tasks.get_mut(&id).filter(|task| was_live && task.live.is_empty()) {
            task.late = Some(attempt);
        }
        was_live
    }

    pub(super) fn is_late(&self, id: TaskId, attempt: Attempt) -> bool {
        self.tasks.get(&id).is_some_and(|task| task.late == Some(attempt))
    }

    pub(super) fn count_loss(&mut self, id: TaskId) {
        self.tasks.entry(id).and_modify(|task| task.losses += 1);
    }

    pub(super) fn count_failure(&mut self, now: Now, id: TaskId, kind: FailureKind) {
        let backoff = self.config.backoff;
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.failures += 1;
        task.late = None;
        task.crashes += u32::from(kind == FailureKind::Crash);
        if task.live.is_empty() && !backoff.is_zero() {
            let rest = backoff * 5u32.pow(task.failures - 1);
            let until = Now(now.0 + rest.min(Duration::from_secs(120)));
            task.rests = Some(until);
            self.rests.insert((until, id));
            self.refresh(id);
        }
    }

    pub(super) fn refresh(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let ended = self.jobs.get(&id.job).is_none_or(|job| job.ended);
        let is_ready = !ended && task.live.is_empty() && task.accepted.is_none() && task.rests.is_none();
        if is_ready != std::mem::replace(&mut task.counts_as_ready, is_ready) {
            *self.ready.entry(task.needs).or_default() += if is_ready { 1 } else { -1 };
        }
    }
}
