//! How many events the coordinator takes in a second of one core's time, with nothing else around it.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vtp_engine::coordinator::{
    Config, Coordinator, Cost, Effect, Event, JobId, NewTask, Now, Skill, Skills, TaskId, Terms, UserId, WorkerId,
};
use vtp_engine::units::{Attempt, ChunkIndex};

use crate::table::Table;

/// What the coordinator is at work on.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Workers, all busy.
    pub workers: u64,
    /// Jobs at a time; where one ends another is submitted.
    pub jobs: u64,
    /// Tasks of each.
    pub tasks: u32,
    /// How long each measurement takes, in time of a core.
    pub seconds: Duration,
}

/// Measures, and returns a table in Markdown.
pub fn run(load: &Load) -> String {
    let Load { workers, jobs, tasks, .. } = load;
    let head = format!("{workers} workers, {jobs} jobs of {tasks} tasks");
    let mut table = Table::new(&[&head, "events", "events a second", "goal"]);
    for (name, beats) in [("results alone, each answered by a start", 0), ("with ten heartbeats to a result", 10)] {
        let (events, took) = Fleet::new(load).run(beats);
        let rate = events as f64 / took.as_secs_f64();
        table.row(vec![name.to_owned(), events.to_string(), format!("{rate:.0}"), "≥ 200000".to_owned()]);
    }
    table.text()
}

struct Fleet<'a> {
    load: &'a Load,
    coordinator: Coordinator,
    /// What is under way, in the order in which it will be done.
    running: VecDeque<(WorkerId, TaskId, Attempt)>,
    jobs: u64,
    now: Duration,
}

impl<'a> Fleet<'a> {
    fn new(load: &'a Load) -> Self {
        // Where heartbeats are left out, no lease is to run out for it.
        let coordinator = Coordinator::new(Config { lease: Duration::from_secs(3600), ..Config::fleet() });
        let mut fleet = Self { load, coordinator, running: VecDeque::new(), jobs: 0, now: Duration::ZERO };
        (0..load.jobs).for_each(|_| fleet.submit());
        for worker in 0..load.workers {
            fleet.apply(Event::Joined { worker: WorkerId(worker), skills: skills() });
        }
        fleet
    }

    /// Lets tasks be done one after the other, a worker a minute, with so many heartbeats in between.
    fn run(mut self, beats: usize) -> (u64, Duration) {
        let step = Duration::from_secs(60) / u32::try_from(self.load.workers.max(1)).unwrap_or(u32::MAX);
        let (begun, mut events) = (cpu_time(), 0);
        while cpu_time() - begun < self.load.seconds {
            for _ in 0..1000 {
                let Some((worker, task, attempt)) = self.running.pop_front() else { break };
                self.now += step;
                // From all over the fleet, as they come.
                for beat in 0..beats {
                    let place = (events as usize * 31 + beat * 997) % self.running.len().max(1);
                    let Some(&(worker, task, attempt)) = self.running.get(place) else { continue };
                    self.apply(Event::Heartbeat { worker, task, attempt });
                    events += 1;
                }
                self.apply(Event::Finished { worker, task, attempt });
                events += 1;
            }
        }
        (events, cpu_time() - begun)
    }

    fn submit(&mut self) {
        // Costs differ, so that order by cost is none by chance.
        let cost = |at: u32| Cost(u64::from(at.wrapping_mul(2_654_435_761) % 500 + 100) * 1000);
        let tasks = (0..self.load.tasks).map(|at| NewTask { chunk: ChunkIndex(at), cost: cost(at), needs: skills() });
        let terms = Terms { user: UserId(self.jobs % 50), ..Terms::default() };
        let job = JobId(self.jobs);
        self.jobs += 1;
        self.apply(Event::Submit { job, terms, tasks: tasks.collect() });
    }

    fn apply(&mut self, event: Event) {
        for effect in self.coordinator.apply(Now(self.now), event) {
            match effect {
                Effect::Start { worker, task, attempt, .. } => self.running.push_back((worker, task, attempt)),
                Effect::JobDone { job } => {
                    self.coordinator.apply(Now(self.now), Event::Forget { job });
                    self.submit();
                }
                _ => {}
            }
        }
    }
}

/// What this thread has had of a core, whatever else runs on it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn skills() -> Skills {
    [Skill::Cpu, Skill::H264].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted() {
        let load = Load { workers: 20, jobs: 3, tasks: 50, seconds: Duration::from_millis(1) };
        let (events, _) = Fleet::new(&load).run(2);
        assert_eq!(events % 3000, 0, "a thousand results, two heartbeats each");
        assert!(events > 0);
    }
}
