//! Second attempts beside first ones that take too long.
//!
//! A job's accepted tasks tell how long one takes by its cost ([`Pace`](super::pace::Pace)). An attempt that has taken
//! [`Speculation::factor`](super::Speculation::factor) times as long is *slow*: its worker is, or is busy with something
//! else, or gone without a word. While it waits to be begun it does not take anything. What a worker does whose last tasks
//! took that long is slow from the start. A worker that is not, and has nothing else to do, then makes a second attempt
//! with the same settings. There are never more than two at a time; the first result is accepted, and the other worker told
//! to stop.

use crate::units::Attempt;

use super::agenda::Due;
use super::job::Job;
use super::pace::Pace;
use super::skills::Skills;
use super::task::{Doubt, Lease, TaskState};
use super::types::{Cost, JobId, TaskId};
use super::{Coordinator, Effect};

impl Coordinator {
    /// Looks when a task's only attempt will take too long, or whether it does, unless that is known.
    pub(super) fn doubt_anew(&mut self, id: TaskId) {
        let Some(rule) = self.config.speculation else { return };
        let Some(pace) = self.pace(id) else { return };
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        let Some(task) = job.tasks.get_mut(id.chunk).filter(|task| !task.needs.meet(Skills::SOLE)) else { return };
        let TaskState::Running(leases) = &mut task.state else { return };
        let is_open = |lease: &Lease| lease.doubt == Doubt::Unknown && !lease.is_queued;
        let Some(only) = leases.only().filter(is_open) else { return };
        let Some(patience) = pace.patience(task.cost, &rule) else { return };
        let is_slow = self.crew.get(only.worker).is_some_and(|worker| worker.is_slow);
        let at = if is_slow { only.started } else { only.started.after(patience) };
        let doubt = if at > self.now { Doubt::From(at) } else { Doubt::Since(at) };
        if let Some(lease) = leases.get_mut(only.attempt) {
            lease.doubt = doubt;
        }
        if at > self.now {
            self.agenda.insert(at, Due::Doubt(id, only.attempt));
        } else {
            self.slow.entry(task.needs).or_default().insert((at, id));
        }
    }

    /// An attempt may take too long by now. What is usual may have changed since that was computed.
    pub(super) fn doubt(&mut self, id: TaskId, attempt: Attempt) {
        self.set_doubt(id, attempt, Doubt::Unknown);
        self.doubt_anew(id);
    }

    /// Looks at all attempts of a job as soon as it is known what is usual, which `id`, now accepted, may have told; or at
    /// all like it where jobs have one task.
    pub(super) fn doubt_all(&mut self, id: TaskId) {
        let Some(rule) = self.config.speculation else { return };
        if !self.pace(id).is_some_and(|pace| pace.is_new(&rule)) {
            return;
        }
        let Some(job) = self.jobs.get(&id.job) else { return };
        let (lane, is_single) = (job.lane(), job.is_single());
        let alike = |(it, job): &(&JobId, &Job)| **it == id.job || (is_single && job.is_single() && job.lane() == lane);
        let running = self.jobs.iter().filter(alike).flat_map(|(job, known)| {
            let running = known.tasks.iter().filter(|(_, task)| task.leases().next().is_some());
            running.map(|(chunk, _)| TaskId { job: *job, chunk })
        });
        let running: Vec<TaskId> = running.collect();
        running.into_iter().for_each(|task| self.doubt_anew(task));
        // Those that wait are measured anew.
        let waiting: Vec<JobId> = self.jobs.iter().filter(alike).map(|(job, _)| *job).collect();
        for job in waiting {
            self.change(job, |_| ());
        }
    }

    /// What is usual for a task: what its job's tasks took, or where it is the only one, what such tasks took that are of
    /// the same user, as urgent, and need the same.
    fn pace(&self, id: TaskId) -> Option<Pace> {
        let job = self.jobs.get(&id.job)?;
        if !job.is_single() {
            return Some(job.pace);
        }
        self.lanes.get(&job.lane())?.paces.get(&job.tasks.get(id.chunk)?.needs).copied()
    }

    /// Learns from an accepted attempt what is usual, and whether its worker is slow.
    pub(super) fn learn(&mut self, id: TaskId, lease: &Lease, cost: Cost) {
        let Some(rule) = self.config.speculation.filter(|_| !lease.is_queued) else { return };
        let took = self.now.since(lease.started);
        let times = self.pace(id).and_then(|pace| pace.times(cost, took, &rule));
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        let needs = job.tasks.get(id.chunk).map(|task| task.needs).unwrap_or_default();
        match self.lanes.get_mut(&job.lane()).filter(|_| job.is_single()) {
            Some(lane) => lane.paces.entry(needs).or_default().learn(cost, took),
            None => {
                self.change(id.job, |job| job.pace.learn(cost, took));
            }
        }
        self.learn_backlog(needs, cost, took);
        if let Some(times) = times {
            self.crew.learn(lease.worker, times, &rule);
        }
    }

    /// An attempt is no longer looked at.
    pub(super) fn end_doubt(&mut self, id: TaskId, lease: &Lease) {
        match lease.doubt {
            Doubt::Unknown => return,
            Doubt::From(at) => self.agenda.remove(at, Due::Doubt(id, lease.attempt)),
            Doubt::Since(at) => {
                let needs = self.task(id).map(|task| task.needs).unwrap_or_default();
                if let Some(slow) = self.slow.get_mut(&needs) {
                    slow.remove(&(at, id));
                }
            }
        }
        self.set_doubt(id, lease.attempt, Doubt::Unknown);
    }

    fn set_doubt(&mut self, id: TaskId, attempt: Attempt, doubt: Doubt) {
        let task = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(id.chunk));
        if let Some(lease) = task.and_then(|task| task.lease_mut(attempt)) {
            lease.doubt = doubt;
        }
    }

    /// A second attempt at the task that has been slow for longest.
    pub(super) fn start_second(&mut self, class: usize) -> Option<Effect> {
        let class = self.crew.classes().get(class).filter(|class| class.has_idle() && !class.is_slow())?;
        let open = |needs| class.skills.cover(needs) && !needs.meet(self.paused);
        let slow = self.slow.iter().filter(|(needs, _)| open(**needs));
        let (_, id) = slow.filter_map(|(_, tasks)| tasks.first()).min().copied()?;
        let task = self.task(id).ok()?;
        let worker = class.idle_worker(task.holders.last().copied())?;
        let leases: Vec<Lease> = task.leases().collect();
        leases.iter().for_each(|lease| self.end_doubt(id, lease));
        self.start(worker, id, None)
    }
}
