//! What the nodes do: start, work, fail, stop, drain and die.

use fastrand::Rng;
use vtp_engine::coordinator::{Event, Failure, FailureKind, TaskId};
use vtp_engine::units::Attempt;

use super::{GONE_S, HOUR_S, World, speed};
use crate::simulate::agenda::What;
use crate::simulate::load::{self, exponential};
use crate::simulate::node::{Doing, Node};

/// How often a node that is at work shows that it is.
const BEAT_S: f64 = 10.0;
/// How long a node is dead or drained, on average.
const AWAY_S: f64 = 300.0;
/// How long a node takes to put an attempt down.
const STOP_S: f64 = 0.5;

impl World<'_> {
    pub(super) fn starts(&mut self, node: usize) {
        let speed = speed(self.options, &mut self.fate);
        let it = &mut self.nodes[node];
        it.start(speed, self.now);
        let (worker, is_gpu) = (it.worker, it.is_gpu);
        self.alive += 1;
        self.capacity.change(self.now, speed);
        self.say(node, Event::Joined { worker, skills: load::skills(is_gpu) });
        for (share, what) in
            [(self.options.trouble.deaths, What::Dies(node)), (self.options.trouble.drains, What::Drains(node))]
        {
            if share > 0.0 {
                let at = self.now + exponential(&mut self.fate, HOUR_S / share);
                self.agenda.add(at, what);
            }
        }
    }

    pub(super) fn begins(&mut self, node: usize, task: TaskId, attempt: Attempt) {
        let it = &mut self.nodes[node];
        if !it.alive || it.cut || !it.notes(task, attempt) {
            return;
        }
        let was_idle = it.doing.is_none();
        self.puts_down(node);
        if was_idle {
            self.measures.gaps.push(self.now - self.could_begin[node]);
        }
        self.nodes[node].doing = Some(Doing { task, attempt, since: self.now });
        self.busy += 1;
        self.plan_end(node, task, attempt, self.now);
    }

    /// Enters when an attempt will be over that began at `since`, and the heartbeats until then.
    pub(super) fn plan_end(&mut self, node: usize, task: TaskId, attempt: Attempt, since: f64) {
        let Node { speed, epoch, .. } = self.nodes[node];
        let work = self.loads[task.job.0 as usize].tasks[task.chunk.0 as usize].1;
        let share = if self.fails(task, attempt).is_some() { 0.3 } else { 1.0 };
        let over = (since + share * work / speed).max(self.now);
        self.agenda.add(over, What::Over(node, epoch, task, attempt));
        if self.now + BEAT_S < over {
            self.agenda.add(self.now + BEAT_S, What::Beats(node, epoch, task, attempt));
        }
    }

    /// How an attempt fails, if it does: the same whenever it is asked.
    pub(super) fn fails(&self, task: TaskId, attempt: Attempt) -> Option<FailureKind> {
        let load = &self.loads[task.job.0 as usize];
        if load.poison == Some(task.chunk.0 as usize) {
            return Some(FailureKind::Crash);
        }
        let dice = (task.job.0 << 40) ^ (u64::from(task.chunk.0) << 12) ^ u64::from(attempt.0);
        (Rng::with_seed(dice).f64() < self.options.trouble.failures).then_some(FailureKind::Retryable)
    }

    pub(super) fn over(&mut self, node: usize, epoch: u32, task: TaskId, attempt: Attempt) {
        let Node { worker, epoch: its, .. } = self.nodes[node];
        if its != epoch || !self.nodes[node].is_doing(task, attempt) {
            return;
        }
        let took = self.puts_down(node);
        let event = match self.fails(task, attempt) {
            None => {
                self.took.insert((task, attempt), took);
                Event::Finished { worker, task, attempt }
            }
            Some(kind) => {
                let failure = Failure { kind, message: "it was to be".to_owned() };
                Event::Failed { worker, task, attempt, failure }
            }
        };
        self.say(node, event);
        if self.nodes[node].draining {
            self.leaves(node);
        }
    }

    pub(super) fn beats(&mut self, node: usize, epoch: u32, task: TaskId, attempt: Attempt) {
        let Node { worker, epoch: its, .. } = self.nodes[node];
        if its == epoch && self.nodes[node].is_doing(task, attempt) {
            self.say(node, Event::Heartbeat { worker, task, attempt });
            self.agenda.add(self.now + BEAT_S, What::Beats(node, epoch, task, attempt));
        }
    }

    pub(super) fn stops(&mut self, node: usize, task: TaskId, attempt: Attempt) {
        let it = &mut self.nodes[node];
        if !it.alive || it.cut {
            return;
        }
        it.notes(task, attempt);
        let worker = it.worker;
        if it.is_doing(task, attempt) {
            self.puts_down(node);
            self.nodes[node].idle_since += STOP_S;
        }
        let at = self.now + STOP_S + self.delay();
        self.agenda.add(at, What::Heard(node, Event::Stopped { worker, task, attempt }));
    }

    /// A node has nothing to do from now on. How long it worked on what it did.
    pub(super) fn puts_down(&mut self, node: usize) -> f64 {
        let Some(doing) = self.nodes[node].doing.take() else { return 0.0 };
        self.busy -= 1;
        self.nodes[node].idle_since = self.now;
        self.measures.worked += self.now - doing.since;
        self.now - doing.since
    }

    pub(super) fn dies(&mut self, node: usize) {
        if !self.nodes[node].alive {
            return;
        }
        self.puts_down(node);
        self.nodes[node].die();
        self.away(node);
        let epoch = self.nodes[node].epoch;
        self.agenda.add(self.now + GONE_S, What::Missed(node, epoch));
    }

    /// A node finishes what it does if that is not long, or puts it down at once.
    pub(super) fn drains(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if !it.alive || it.cut {
            return;
        }
        it.draining = true;
        let (worker, doing) = (it.worker, it.doing);
        self.say(node, Event::Draining { worker });
        match doing {
            Some(_) if self.fate.bool() => {}
            Some(Doing { task, attempt, .. }) => {
                self.puts_down(node);
                self.say(node, Event::Stopped { worker, task, attempt });
                self.leaves(node);
            }
            None => self.leaves(node),
        }
    }

    pub(super) fn leaves(&mut self, node: usize) {
        let worker = self.nodes[node].worker;
        self.nodes[node].die();
        self.away(node);
        // Well after what it said last.
        self.agenda.add(self.now + 2.0, What::Heard(node, Event::Left { worker }));
    }

    pub(super) fn away(&mut self, node: usize) {
        self.alive -= 1;
        self.capacity.change(self.now, -self.nodes[node].speed);
        let back = self.now + 5.0 + exponential(&mut self.fate, AWAY_S);
        self.agenda.add(back, What::Starts(node));
    }
}
