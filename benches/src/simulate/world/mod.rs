//! One world: nodes, a network and the driver of a coordinator, in virtual time.
//!
//! *The network.* A message takes 5 ms and an exponential time of 20 ms on average; those to one node arrive in order. A
//! node that is cut off hears nothing. Its results wait until it is heard again, its heartbeats are lost.
//!
//! *The driver.* A node that was dead or cut off for a minute counts as gone. What is heard of one that counts as gone
//! makes it join first.

mod network;
mod nodes;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use vtp_engine::coordinator::{Config, Coordinator, Effect, Event, JobId, Now, Priority, TaskId, Terms, WorkerId};
use vtp_engine::units::Attempt;

use crate::simulate::agenda::{Agenda, What, micros};
use crate::simulate::check::Checker;
use crate::simulate::load::{self, Load, exponential};
use crate::simulate::measures::{Capacity, Measures};
use crate::simulate::node::Node;
use crate::simulate::options::Options;

/// A node that was not heard of for so long counts as gone.
const GONE_S: f64 = 60.0;
const HOUR_S: f64 = 3600.0;
/// The first jobs come within this time.
const FIRST_S: f64 = 60.0;
/// The next comes so long after one has ended, on average.
const NEXT_S: f64 = 1.0;
/// Nodes that are not slow have speeds from this to its inverse.
const SLOWEST_USUAL: f64 = 0.9;
/// How much of a trace is told with an error.
const LAST_LINES: usize = 40;
/// A world that is not done by then never will be, in seconds.
const HORIZON_S: f64 = 30.0 * 24.0 * HOUR_S;

/// One world.
pub(super) struct World<'a> {
    options: &'a Options,
    coordinator: Coordinator,
    checker: Checker,
    loads: Vec<Load>,
    nodes: Vec<Node>,
    /// Whether the driver believes each node to be there.
    present: Vec<bool>,
    agenda: Agenda,
    /// When the last message to each node arrives.
    arrivals: Vec<f64>,
    now: f64,
    wakeup: Option<Now>,
    /// Since when tasks wait without a break.
    queued_since: f64,
    /// Since when each node could have begun what it was told last.
    could_begin: Vec<f64>,
    done: HashSet<JobId>,
    /// The urgent jobs of which something was started.
    begun: HashSet<JobId>,
    /// How long nodes worked on results that the coordinator has not spoken about.
    took: HashMap<(TaskId, Attempt), f64>,
    /// When each job came.
    arrived: Vec<Option<f64>>,
    /// How many have come.
    submitted: usize,
    /// How many have, or are on their way.
    expected: usize,
    capacity: Capacity,
    alive: u64,
    busy: u64,
    network: Rng,
    fate: Rng,
    measures: Measures,
    trace: Option<String>,
}

impl<'a> World<'a> {
    pub(super) fn new(options: &'a Options, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let loads = load::loads(options, &mut rng.fork());
        let mut fate = rng.fork();
        let config = Config {
            speculation: Config::fleet().speculation.filter(|_| options.speculation),
            preemption: Config::fleet().preemption.filter(|_| options.preemption),
            ..Config::fleet()
        };
        let nodes: Vec<Node> = (0..options.nodes)
            .map(|at| Node::new(WorkerId(at), is_gpu(options, at, &mut fate), speed(options, &mut fate)))
            .collect();
        Self {
            options,
            coordinator: Coordinator::new(config),
            checker: Checker::new(config),
            arrived: vec![None; loads.len()],
            loads,
            present: vec![false; nodes.len()],
            arrivals: vec![0.0; nodes.len()],
            could_begin: vec![0.0; nodes.len()],
            nodes,
            agenda: Agenda::default(),
            now: 0.0,
            wakeup: None,
            queued_since: 0.0,
            done: HashSet::new(),
            begun: HashSet::new(),
            took: HashMap::new(),
            submitted: 0,
            expected: 0,
            capacity: Capacity::default(),
            alive: 0,
            busy: 0,
            network: rng.fork(),
            fate,
            measures: Measures::default(),
            trace: options.trace.then(String::new),
        }
    }

    /// Lets everything happen until all jobs have ended. What was measured, and what there is to read of it.
    ///
    /// # Errors
    /// Something does not hold that must; the message has the moment.
    pub(super) fn run(mut self) -> Result<(Measures, String)> {
        self.begin();
        while !(self.submitted == self.loads.len() && self.checker.all_ended()) {
            let Some((at, what)) = self.agenda.pop() else { anyhow::bail!("nothing happens any more, and jobs wait") };
            ensure!(self.now < HORIZON_S, "jobs wait for ever");
            let at = at as f64 / 1e6;
            self.elapse(at);
            if let Err(error) = self.happens(what).with_context(|| format!("at {at:.6} s")) {
                let trace = self.trace.unwrap_or_default();
                let from = trace.lines().count().saturating_sub(LAST_LINES);
                let last: Vec<&str> = trace.lines().skip(from).collect();
                return Err(if last.is_empty() {
                    error
                } else {
                    error.context(format!("after\n{}\n", last.join("\n")))
                });
            }
        }
        Ok(self.end())
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            self.starts(node);
        }
        for place in 0..self.loads.len().min(self.options.jobs as usize) {
            let at = FIRST_S * self.fate.f64();
            self.agenda.add(at, What::Arrives(place));
            self.expected += 1;
        }
        self.next_cut();
    }

    fn end(mut self) -> (Measures, String) {
        let still = self.nodes.iter().filter_map(|node| node.doing);
        self.measures.worked += still.map(|doing| self.now - doing.since).sum::<f64>();
        let jobs: Vec<(f64, f64, f64)> = self
            .loads
            .iter()
            .filter(|load| self.done.contains(&load.job))
            .map(|load| {
                (self.came(load.job), load.work(), load.tasks.iter().map(|(_, work)| *work).fold(0.0, f64::max))
            })
            .collect();
        self.measures.bound = self.capacity.bound(&jobs, 1.0 / SLOWEST_USUAL);
        self.measures.tasks = self.loads.iter().map(|load| load.tasks.len() as u64).sum();
        self.measures.latencies.sort_by(f64::total_cmp);
        self.measures.gaps.sort_by(f64::total_cmp);
        self.measures.urgent.sort_by(f64::total_cmp);
        (self.measures, self.trace.unwrap_or_default())
    }

    /// Time passes.
    fn elapse(&mut self, at: f64) {
        let span = at - self.now;
        if self.checker.queued() > 0 {
            self.measures.alive += span * self.alive as f64;
            self.measures.at_work += span * self.busy as f64;
        }
        self.now = at;
    }

    fn happens(&mut self, what: What) -> Result<()> {
        match what {
            What::Arrives(place) => self.arrives(place)?,
            What::Cancelled(place) => self.tell(Event::Cancel { job: self.loads[place].job })?,
            What::Heard(node, event) => self.heard(node, event)?,
            What::Missed(node, epoch) => self.missed(node, epoch)?,
            What::Tick => self.tick()?,
            What::Start(node, task, attempt) => self.begins(node, task, attempt),
            What::Stop(node, task, attempt) => self.stops(node, task, attempt),
            What::Over(node, epoch, task, attempt) => self.over(node, epoch, task, attempt),
            What::Beats(node, epoch, task, attempt) => self.beats(node, epoch, task, attempt),
            What::Dies(node) => self.dies(node),
            What::Starts(node) => self.starts(node),
            What::Drains(node) => self.drains(node),
            What::Parts => self.parts(),
            What::Heals(nodes) => {
                nodes.into_iter().for_each(|node| self.heals(node));
                self.next_cut();
            }
        }
        Ok(())
    }

    fn arrives(&mut self, place: usize) -> Result<()> {
        self.arrived[place] = Some(self.now);
        self.submitted += 1;
        let now = self.now;
        let load = &self.loads[place];
        let due = load.due.filter(|_| self.options.deadlines);
        let deadline = due.map(|after| Now(Duration::from_micros(micros(now + after))));
        if let Some(after) = load.cancelled {
            self.agenda.add(self.now + after, What::Cancelled(place));
        }
        let event = Event::Submit { job: load.job, terms: Terms { deadline, ..load.terms }, tasks: load.new_tasks() };
        self.tell(event)
    }

    fn heard(&mut self, node: usize, event: Event) -> Result<()> {
        if matches!(event, Event::Left { .. }) {
            self.present[node] = false;
        } else if !std::mem::replace(&mut self.present[node], true) && !matches!(event, Event::Joined { .. }) {
            let Node { worker, is_gpu, .. } = self.nodes[node];
            self.tell(Event::Joined { worker, skills: load::skills(is_gpu) })?;
        }
        self.tell(event)
    }

    fn missed(&mut self, node: usize, epoch: u32) -> Result<()> {
        let Node { worker, alive, cut, epoch: its, .. } = self.nodes[node];
        if its == epoch && (!alive || cut) && std::mem::replace(&mut self.present[node], false) {
            return self.tell(Event::Left { worker });
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        let due = self.wakeup.is_some_and(|at| at <= self.virtual_now());
        if due { self.tell(Event::Tick) } else { Ok(()) }
    }

    fn virtual_now(&self) -> Now {
        Now(Duration::from_micros((self.now * 1e6).round() as u64))
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        let now = self.virtual_now();
        let waited = self.checker.queued() > 0;
        let effects = self.coordinator.apply(now, event.clone());
        self.measures.events += 1;
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{:.6} {event:?}", self.now);
            for effect in &effects {
                let _ = writeln!(trace, "    {effect:?}");
            }
        }
        self.checker.step(now, &event, &effects)?;
        for effect in effects {
            if let Effect::Start { worker, task, .. } = effect {
                self.first_start(task.job);
                let node = worker.0 as usize;
                let since = self.nodes[node].idle_since.max(self.queued_since);
                self.could_begin[node] = if waited { since } else { self.now };
            }
            self.carry(effect);
        }
        if !waited && self.checker.queued() > 0 {
            self.queued_since = self.now;
        }
        let next = self.coordinator.next_wakeup();
        if let Some(at) = next.filter(|_| next != self.wakeup) {
            self.agenda.add(at.0.as_secs_f64(), What::Tick);
        }
        self.wakeup = next;
        Ok(())
    }

    fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Start { worker, task, attempt, .. } => {
                self.measures.starts += 1;
                self.measures.again += u64::from(attempt > Attempt(1));
                self.send(worker, |node| What::Start(node, task, attempt));
            }
            Effect::Stop { worker, task, attempt } => self.send(worker, |node| What::Stop(node, task, attempt)),
            Effect::Accept { task, attempt } => {
                self.measures.useful += self.took.remove(&(task, attempt)).unwrap_or_default();
            }
            Effect::JobDone { job } => {
                self.job_done(job);
                self.next_arrives();
            }
            Effect::JobFailed { .. } | Effect::JobCancelled { .. } => self.next_arrives(),
            Effect::Discard { task, attempt } => {
                self.took.remove(&(task, attempt));
            }
            Effect::Progress { .. } | Effect::NobodyCan { .. } | Effect::DeadlineMissed { .. } | Effect::Ignored(_) => {
            }
        }
    }

    fn job_done(&mut self, job: JobId) {
        self.done.insert(job);
        let came = self.came(job);
        self.measures.makespan = self.measures.makespan.max(self.now);
        self.measures.latencies.push(self.now - came);
        if let Some(due) = self.loads[job.0 as usize].due {
            self.measures.due += 1;
            self.measures.late += u64::from(self.now - came > due);
        }
    }

    /// Notes how long an urgent job has waited for its first start.
    fn first_start(&mut self, job: JobId) {
        let is_urgent = self.loads[job.0 as usize].terms.priority == Priority::HIGHEST;
        if is_urgent && self.begun.insert(job) {
            self.measures.urgent.push(self.now - self.came(job));
        }
    }

    /// When a job came.
    fn came(&self, job: JobId) -> f64 {
        self.arrived[job.0 as usize].unwrap_or_default()
    }

    /// Where a job has ended another comes.
    fn next_arrives(&mut self) {
        if self.expected < self.loads.len() {
            let at = self.now + exponential(&mut self.fate, NEXT_S);
            self.agenda.add(at, What::Arrives(self.expected));
            self.expected += 1;
        }
    }
}

fn speed(options: &Options, rng: &mut Rng) -> f64 {
    let usual = SLOWEST_USUAL + rng.f64() * (1.0 / SLOWEST_USUAL - SLOWEST_USUAL);
    if rng.f64() < options.trouble.slow { options.trouble.slow_speed } else { usual }
}

/// Where there are nodes of both kinds, there is at least one of each.
fn is_gpu(options: &Options, place: u64, rng: &mut Rng) -> bool {
    let share = options.trouble.gpu;
    let by_chance = rng.f64() < share;
    share > 0.0 && (place == 0 || place > 1 && by_chance)
}
