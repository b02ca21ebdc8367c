//! The network between the driver and the nodes: delays, messages that come twice, nodes that are cut off.

use vtp_engine::coordinator::{Event, WorkerId};

use super::{GONE_S, HOUR_S, World};
use crate::simulate::agenda::What;
use crate::simulate::load::{self, exponential};
use crate::simulate::node::Doing;

/// How long some nodes are cut off, on average.
const CUT_S: f64 = 90.0;
/// They are this share of all.
const CUT_SHARE: f64 = 0.02;

impl World<'_> {
    pub(super) fn delay(&mut self) -> f64 {
        0.005 + exponential(&mut self.network, 0.020)
    }

    pub(super) fn send(&mut self, worker: WorkerId, what: impl Fn(usize) -> What) {
        let node = worker.0 as usize;
        let times = if self.network.f64() < self.options.trouble.duplicates { 2 } else { 1 };
        for _ in 0..times {
            let at = (self.now + self.delay()).max(self.arrivals[node]);
            self.arrivals[node] = at;
            self.agenda.add(at, what(node));
        }
    }

    pub(super) fn say(&mut self, node: usize, event: Event) {
        if self.nodes[node].cut {
            if !matches!(event, Event::Heartbeat { .. }) {
                self.nodes[node].unsent.push(event);
            }
            return;
        }
        if self.network.f64() < self.options.trouble.duplicates {
            let at = self.now + 10.0 * self.delay();
            self.agenda.add(at, What::Heard(node, event.clone()));
        }
        let at = self.now + self.delay();
        self.agenda.add(at, What::Heard(node, event));
    }

    pub(super) fn parts(&mut self) {
        let count = ((self.nodes.len() as f64 * CUT_SHARE).ceil() as usize).min(self.nodes.len());
        let first = self.fate.usize(..self.nodes.len());
        let cut: Vec<usize> = (first..first + count).map(|at| at % self.nodes.len()).collect();
        for &node in &cut {
            let it = &mut self.nodes[node];
            (it.cut, it.epoch) = (true, it.epoch + 1);
            let epoch = it.epoch;
            // What it does goes on under the new epoch.
            if let Some(Doing { task, attempt, since }) = it.doing {
                self.plan_end(node, task, attempt, since);
            }
            self.agenda.add(self.now + GONE_S, What::Missed(node, epoch));
        }
        let heals = self.now + exponential(&mut self.fate, CUT_S);
        self.agenda.add(heals, What::Heals(cut));
    }

    pub(super) fn next_cut(&mut self) {
        if self.options.trouble.partitions > 0.0 {
            let at = self.now + exponential(&mut self.fate, HOUR_S / self.options.trouble.partitions);
            self.agenda.add(at, What::Parts);
        }
    }

    pub(super) fn heals(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.cut = false;
        if !it.alive {
            return;
        }
        it.epoch += 1;
        it.idle_since = self.now;
        let (unsent, worker, is_gpu) = (std::mem::take(&mut it.unsent), it.worker, it.is_gpu);
        if let Some(Doing { task, attempt, since }) = it.doing {
            self.plan_end(node, task, attempt, since);
            self.say(node, Event::Heartbeat { worker, task, attempt });
        } else if unsent.is_empty() {
            // It may have been told to start something.
            self.say(node, Event::Joined { worker, skills: load::skills(is_gpu) });
        }
        unsent.into_iter().for_each(|event| self.say(node, event));
    }
}
