//! A fleet in virtual time: nodes that die, are slow, cut off, drained and heard late, and the very coordinator that a real
//! one has. A checker keeps books of its own and stops the world at the first thing that does not hold; a seed gives the
//! same world again.

mod agenda;
mod check;
mod load;
mod measures;
mod node;
mod options;
mod throughput;
mod world;

use std::fmt::Write as _;

use anyhow::{Context, Result};

pub use options::{Options, Trouble};
pub use throughput::{Load as EventLoad, run as events};

use crate::table::Table;
use measures::{Measures, quantile};
use world::World;

/// A name, and what leaves a rule out.
type Without = (&'static str, fn(&mut Options));

/// What is tried with one rule less.
const WITHOUT: [Without; 3] = [
    ("no second attempts", |it| it.speculation = false),
    ("no preemption", |it| it.preemption = false),
    ("no deadlines told", |it| it.deadlines = false),
];

/// Simulates worlds and returns tables in Markdown; one world's trace before them, if that is asked for.
///
/// # Errors
/// Something does not hold that must; the message has the seed.
pub fn run(options: &Options) -> Result<String> {
    let measured = worlds(options)?;
    let mut text = String::new();
    if options.trace {
        text += &measured.iter().map(|(_, trace)| trace.as_str()).collect::<String>();
    }
    let all: Vec<&Measures> = measured.iter().map(|(measures, _)| measures).collect();
    let _ = writeln!(text, "{}", table(options, &all));
    let mut rules = Table::new(&[
        "",
        "makespan s",
        "to its bound",
        "job p50 s",
        "job p99 s",
        "urgent p50 s",
        "urgent p99 s",
        "late",
        "wasted",
    ]);
    rules.row(rule("all rules", &all));
    for (name, without) in WITHOUT {
        let mut changed = Options { trace: false, ..*options };
        without(&mut changed);
        if rules_of(&changed) == rules_of(options) {
            continue;
        }
        let measured = worlds(&changed)?;
        rules.row(rule(name, &measured.iter().map(|(measures, _)| measures).collect::<Vec<_>>()));
    }
    let _ = writeln!(text, "{}\n{}", rules.text(), terabyte(options));
    Ok(text)
}

fn rules_of(options: &Options) -> [bool; 3] {
    [options.speculation, options.preemption, options.deadlines]
}

fn worlds(options: &Options) -> Result<Vec<(Measures, String)>> {
    let seeds = options.seed..options.seed.saturating_add(options.seeds);
    let world = |seed| World::new(options, seed).run().with_context(|| format!("--seed {seed} --seeds 1"));
    seeds.map(world).collect()
}

fn table(options: &Options, all: &[&Measures]) -> String {
    let Options { nodes, jobs, total, seeds, seed, .. } = options;
    let head = format!("{nodes} nodes, {jobs} of {total} jobs at a time, {seeds} seeds from {seed}");
    let mut table = Table::new(&[&head, "median", "least", "most", "goal"]);
    let mut row = |name: &str, value: &dyn Fn(&Measures) -> f64, digits: usize, goal: &str| {
        let mut values: Vec<f64> = all.iter().map(|it| value(it)).collect();
        values.sort_by(f64::total_cmp);
        let cell = |share| format!("{:.digits$}", quantile(&values, share));
        table.row(vec![name.to_owned(), cell(0.5), cell(0.0), cell(1.0), goal.to_owned()]);
    };
    row("tasks", &|it| it.tasks as f64, 0, "");
    row("attempts", &|it| it.starts as f64, 0, "");
    row("attempts that were not the first", &|it| it.again as f64, 0, "");
    row("nodes at work while tasks wait, %", &|it| 100.0 * it.utilisation(), 2, "≥ 95");
    row("a start after it could have been, p50, ms", &|it| 1000.0 * quantile(&it.gaps, 0.5), 0, "");
    row("a start after it could have been, p99, ms", &|it| 1000.0 * quantile(&it.gaps, 0.99), 0, "");
    row("makespan, s", &|it| it.makespan, 1, "");
    row("least possible, s", &|it| it.bound, 1, "");
    row("makespan to the least possible", &Measures::to_bound, 3, "≤ 1.10");
    row("a job's latency, p50, s", &|it| quantile(&it.latencies, 0.5), 1, "");
    row("a job's latency, p99, s", &|it| quantile(&it.latencies, 0.99), 1, "");
    row("until an urgent job's first task starts, p50, s", &|it| quantile(&it.urgent, 0.5), 2, "");
    row("until an urgent job's first task starts, p99, s", &|it| quantile(&it.urgent, 0.99), 2, "");
    row("jobs that were due and late, %", &|it| 100.0 * it.lateness(), 1, "");
    row("work that came to nothing, %", &|it| 100.0 * it.waste(), 2, "");
    row("events", &|it| it.events as f64, 0, "");
    table.text()
}

fn rule(name: &str, all: &[&Measures]) -> Vec<String> {
    let median = |value: &dyn Fn(&Measures) -> f64| {
        let mut values: Vec<f64> = all.iter().map(|it| value(it)).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5)
    };
    vec![
        name.to_owned(),
        format!("{:.1}", median(&|it| it.makespan)),
        format!("{:.3}", median(&Measures::to_bound)),
        format!("{:.1}", median(&|it| quantile(&it.latencies, 0.5))),
        format!("{:.1}", median(&|it| quantile(&it.latencies, 0.99))),
        format!("{:.2}", median(&|it| quantile(&it.urgent, 0.5))),
        format!("{:.2}", median(&|it| quantile(&it.urgent, 0.99))),
        format!("{:.1} %", 100.0 * median(&Measures::lateness)),
        format!("{:.2} %", 100.0 * median(&Measures::waste)),
    ]
}

/// What a terabyte of sources an hour asks of a fleet, by what the simulated jobs are made of.
fn terabyte(options: &Options) -> String {
    let frames = 1e12 / 3600.0 / load::BYTES_PER_FRAME;
    let cores = frames / load::FRAMES_PER_CORE_SECOND;
    let speed = 1.0 - options.trouble.slow * (1.0 - options.trouble.slow_speed);
    let nodes = options.nodes as f64 * speed;
    let mut table = Table::new(&["1 TB of sources an hour", ""]);
    let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
    row("bytes a frame", format!("{:.0}", load::BYTES_PER_FRAME));
    row("frames a second", format!("{frames:.0}"));
    row("frames that a core encodes in a second", format!("{:.2}", load::FRAMES_PER_CORE_SECOND));
    row("cores that takes", format!("{cores:.0}"));
    row("share of this fleet", format!("{:.1} %", 100.0 * cores / nodes));
    table.text()
}

impl Default for Options {
    /// The fleet that the goals are about.
    fn default() -> Self {
        Self {
            nodes: 10_000,
            jobs: 500,
            total: 1500,
            seeds: 1,
            seed: 1,
            trace: false,
            speculation: true,
            preemption: true,
            deadlines: true,
            trouble: Trouble::usual(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(nodes: u64, jobs: u64, trouble: Trouble) -> Options {
        Options { nodes, jobs, total: 2 * jobs, trouble, ..Options::default() }
    }

    #[test]
    fn fifty_small_fleets_that_everything_befalls_end_all_their_jobs() {
        let options = Options { seeds: 50, ..small(10, 2, Trouble::harsh()) };
        let again: u64 = worlds(&options).unwrap().iter().map(|(it, _)| it.again).sum();
        assert!(again > 1000, "hardly anything had to be done again: {again}");
    }

    #[test]
    fn a_seed_gives_the_same_world_again_and_its_trace() {
        let options = Options { trace: true, ..small(20, 4, Trouble::harsh()) };
        let (first, second) = (worlds(&options).unwrap(), worlds(&options).unwrap());
        assert_eq!(first[0].1, second[0].1);
        assert!(first[0].1.contains("Submit"), "{}", &first[0].1[..200]);
        let other = worlds(&Options { seed: 2, ..options }).unwrap();
        assert_ne!(first[0].1, other[0].1);
    }

    #[test]
    fn a_fleet_with_the_usual_troubles_keeps_its_nodes_at_work() {
        let (measures, _) = worlds(&small(60, 8, Trouble::usual())).unwrap().remove(0);
        assert!(measures.utilisation() > 0.95, "{}", measures.utilisation());
        assert!(measures.to_bound() >= 1.0, "the bound is none: {}", measures.to_bound());
    }
}
