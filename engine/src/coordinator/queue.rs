//! Who is served next: lanes take turns, then the jobs of a lane.
//!
//! A *lane* has the jobs of one user and one priority. Of the lanes of the most urgent priority, the one with the least
//! work under way for its weight is served; among equals the one that was given the least so far. Within a lane, the job
//! that is due first is served; among those with no deadline the one with the least work under way, and then the one that
//! was given the least. A new lane or job starts level with the one that was served last, so it neither waits behind a
//! large one nor shuts it out.
//!
//! *Ageing*: every sixteenth start of a class of workers goes to the lane that has waited longest for one, whatever its
//! priority, and in it to the job that has; so does every sixteenth start of a lane. So whoever waits gets a worker after
//! at most 16 x 16 x (lanes that wait) x (jobs that wait in its lane) starts of workers that can do what it needs, mostly
//! after 16 x lanes x jobs; and all less urgent work together has a sixteenth of the fleet.
//!
//! There is a queue for each kind of needs, and few kinds. All that happens to a job or a start costs time in the
//! logarithm of lanes and jobs.

use std::collections::{BTreeMap, BTreeSet};

use super::critical::{Backlog, Share};
use super::pace::Pace;
use super::skills::Skills;
use super::terms::{Priority, Weight};
use super::types::{Cost, JobId, Now, UserId};
use super::waiting::Waiting;

/// One start in so many goes to whoever has waited longest.
pub(super) const AGEING: u64 = 16;

/// The jobs of one user and one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId {
    pub(super) priority: Priority,
    pub(super) user: UserId,
}

/// What a lane has had, over all kinds of needs.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) weight: Weight,
    /// Its place among all lanes that ever were.
    sequence: u64,
    /// Cost of the leases of its jobs.
    pub(super) running: Cost,
    /// Cost of all leases so far, over the weight, counted from where the lane that was served last stood.
    pub(super) served: Cost,
    /// What the job of it that was served last has had.
    pub(super) level: Cost,
    /// Its jobs that are known.
    pub(super) jobs: usize,
    /// What the tasks of its jobs of one task cost and took, by what they need.
    pub(super) paces: BTreeMap<Skills, Pace>,
    /// The queues that it stands in.
    queues: Vec<Skills>,
}

/// A lane's place in a queue; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Priority,
    running: Cost,
    served: Cost,
    sequence: u64,
    user: UserId,
}

/// A job's place in its lane; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobTurn {
    pub(super) deadline: Now,
    pub(super) running: Cost,
    pub(super) served: Cost,
    pub(super) sequence: u64,
    pub(super) job: JobId,
}

/// What of a job decides on its place in the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) turn: JobTurn,
    pub(super) last_start: u64,
    pub(super) active: bool,
}

impl Account {
    /// One that has had nothing yet.
    pub(super) fn new(sequence: u64) -> Self {
        Self { sequence, ..Self::default() }
    }

    pub(super) fn turn(&self, lane: LaneId) -> Turn {
        Turn {
            priority: lane.priority,
            running: self.weight.share(self.running),
            served: self.served,
            sequence: self.sequence,
            user: lane.user,
        }
    }

    /// Books what a job's change means to its lane.
    pub(super) fn book(&mut self, before: &JobTurn, after: &JobTurn) {
        self.running = self.running.plus(after.running).minus(before.running);
        self.served = self.served.plus(self.weight.share(after.served.minus(before.served)));
    }

    /// Whether nothing of it waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }
}

impl Turn {
    pub(super) fn lane(&self) -> LaneId {
        LaneId { priority: self.priority, user: self.user }
    }
}

/// A lane's jobs that stand in one queue.
#[derive(Debug)]
struct Lane {
    turn: Turn,
    jobs: BTreeSet<JobTurn>,
    by_age: BTreeSet<(u64, JobId)>,
    /// Which start of all it was served with last, or came after.
    last_start: u64,
    starts: u64,
}

/// The jobs that have waiting tasks of the same needs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// How many workers that are present can do what they need.
    pub(super) able: usize,
    lanes: BTreeMap<LaneId, Lane>,
    turns: BTreeSet<Turn>,
    by_age: BTreeSet<(u64, LaneId)>,
    pub(super) backlog: Backlog,
    jobs: usize,
    /// The jobs that are known to wait for a worker that is not there.
    stuck: BTreeSet<JobId>,
    /// Those of which that is still to be said, if it stays so.
    maybe_stuck: Vec<JobId>,
}

impl Queue {
    /// How many jobs stand in it.
    pub(super) fn jobs(&self) -> usize {
        self.jobs
    }

    /// The lane whose turn it is.
    pub(super) fn first(&self) -> Option<Turn> {
        self.turns.first().copied()
    }

    /// The lane that has waited longest, and since which start.
    pub(super) fn oldest(&self) -> Option<(u64, LaneId)> {
        self.by_age.first().copied()
    }

    /// The job of a lane whose turn it is; the one that has waited longest, if the lane is served because it has.
    pub(super) fn job_of(&self, lane: LaneId, is_aged: bool) -> Option<JobId> {
        let lane = self.lanes.get(&lane)?;
        if is_aged || lane.starts % AGEING == AGEING - 1 {
            return lane.by_age.first().map(|(_, job)| *job);
        }
        lane.jobs.first().map(|turn| turn.job)
    }

    /// Takes note that a lane is served with the `start`th start of all.
    pub(super) fn serve(&mut self, id: LaneId, start: u64) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        self.by_age.remove(&(lane.last_start, id));
        lane.last_start = start;
        lane.starts += 1;
        self.by_age.insert((start, id));
    }

    fn insert(&mut self, id: LaneId, turn: Turn, (job, share): (&Standing, Share), start: u64) {
        let lane = self.lanes.entry(id).or_insert_with(|| {
            self.turns.insert(turn);
            self.by_age.insert((start, id));
            Lane { turn, jobs: BTreeSet::new(), by_age: BTreeSet::new(), last_start: start, starts: 0 }
        });
        lane.jobs.insert(job.turn);
        lane.by_age.insert((job.last_start, job.turn.job));
        self.backlog.insert(job.turn.job, share);
        self.jobs += 1;
    }

    /// Whether the lane has no more jobs here.
    fn remove(&mut self, id: LaneId, (job, share): (&Standing, Share)) -> bool {
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        lane.jobs.remove(&job.turn);
        lane.by_age.remove(&(job.last_start, job.turn.job));
        self.backlog.remove(job.turn.job, share);
        self.jobs -= 1;
        self.stuck.remove(&job.turn.job);
        self.maybe_stuck.retain(|it| *it != job.turn.job);
        if !lane.jobs.is_empty() {
            return false;
        }
        self.turns.remove(&lane.turn);
        self.by_age.remove(&(lane.last_start, id));
        self.lanes.remove(&id);
        true
    }

    fn replace(&mut self, id: LaneId, (before, known): (&Standing, Share), (after, share): (&Standing, Share)) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.jobs.remove(&before.turn);
        lane.jobs.insert(after.turn);
        self.backlog.remove(before.turn.job, known);
        self.backlog.insert(after.turn.job, share);
        if before.last_start != after.last_start {
            lane.by_age.remove(&(before.last_start, before.turn.job));
            lane.by_age.insert((after.last_start, after.turn.job));
        }
    }

    fn move_lane(&mut self, id: LaneId, turn: Turn) {
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.turn != turn) else { return };
        self.turns.remove(&lane.turn);
        self.turns.insert(turn);
        lane.turn = turn;
    }

    /// Takes note of a worker that can do what is waited for here; whether there was none, or is none left.
    fn count_worker(&mut self, came: bool) -> bool {
        self.able = if came { self.able + 1 } else { self.able.saturating_sub(1) };
        if self.able == 0 {
            self.maybe_stuck = self.lanes.values().flat_map(|lane| &lane.jobs).map(|turn| turn.job).collect();
        }
        self.able == usize::from(came)
    }

    /// The jobs that nobody can serve, each once until somebody can.
    fn report_stuck(&mut self) -> Vec<JobId> {
        let mut new = std::mem::take(&mut self.maybe_stuck);
        if self.able > 0 {
            self.stuck.clear();
            new.clear();
        }
        new.retain(|job| self.stuck.insert(*job));
        new
    }
}

/// The queues, by what their tasks need. One that was there stays.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_needs: BTreeMap<Skills, Queue>,
    /// Those of which somebody may have to be told that nobody serves them.
    doubtful: BTreeSet<Skills>,
}

impl Queues {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Skills, &Queue)> {
        self.by_needs.iter().map(|(needs, queue)| (*needs, queue))
    }

    pub(super) fn get(&self, needs: Skills) -> Option<&Queue> {
        self.by_needs.get(&needs)
    }

    pub(super) fn get_mut(&mut self, needs: Skills) -> Option<&mut Queue> {
        self.by_needs.get_mut(&needs)
    }

    /// Makes a queue for needs that are new, which `able` workers can serve.
    pub(super) fn open(&mut self, needs: Skills, able: impl FnOnce() -> usize) {
        self.by_needs.entry(needs).or_insert_with(|| Queue { able: able(), ..Queue::default() });
    }

    /// A worker with these skills has come or gone.
    pub(super) fn count_worker(&mut self, skills: Skills, came: bool) {
        for (needs, queue) in self.by_needs.iter_mut().filter(|(needs, _)| skills.cover(**needs)) {
            if queue.count_worker(came) {
                self.doubtful.insert(*needs);
            }
        }
    }

    /// Moves a job, and its lane, to where they now stand.
    pub(super) fn update(
        &mut self,
        (id, account): (LaneId, &mut Account),
        waiting: &mut Waiting,
        (before, after): (&Standing, &Standing),
        start: u64,
    ) {
        if before == after && !waiting.is_news(after.active) {
            return;
        }
        let turn = account.turn(id);
        for (needs, line) in waiting.lines_mut() {
            let Some(queue) = self.by_needs.get_mut(&needs) else { continue };
            let (knew, knows) = line.make_known(after.active);
            match (knew.stands, knows.stands) {
                (false, false) => {}
                (true, true) => queue.replace(id, (before, knew.share), (after, knows.share)),
                (true, false) => {
                    if queue.remove(id, (before, knew.share)) {
                        account.queues.retain(|it| *it != needs);
                    }
                }
                (false, true) => {
                    queue.insert(id, turn, (after, knows.share), start);
                    if !account.queues.contains(&needs) {
                        account.queues.push(needs);
                    }
                    if queue.able == 0 {
                        queue.maybe_stuck.push(after.turn.job);
                        self.doubtful.insert(needs);
                    }
                }
            }
        }
        for needs in &account.queues {
            if let Some(queue) = self.by_needs.get_mut(needs) {
                queue.move_lane(id, turn);
            }
        }
    }

    /// The jobs that nobody can serve, and what they need, each once until somebody can.
    pub(super) fn report_stuck(&mut self) -> Vec<(JobId, Skills)> {
        let mut stuck = Vec::new();
        while let Some(needs) = self.doubtful.pop_first() {
            let Some(queue) = self.by_needs.get_mut(&needs) else { continue };
            stuck.extend(queue.report_stuck().into_iter().map(|job| (job, needs)));
        }
        stuck
    }

    /// How many jobs stand in all queues.
    #[cfg(test)]
    pub(super) fn standing(&self) -> usize {
        self.by_needs.values().map(|queue| queue.jobs).sum()
    }
}
