//! What a run took: wall clock by stage, and the CPU of the process.

use std::collections::BTreeMap;
use std::time::Instant;

use vtp_engine::chunk::StageCpu;

use crate::cpu::CpuTime;
use crate::report::Timing;

/// A stopwatch with named laps.
#[derive(Debug)]
pub(super) struct Stopwatch {
    started: Instant,
    lap_started: Instant,
    stages: BTreeMap<String, f64>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, lap_started: now, stages: BTreeMap::new() }
    }

    /// Ends the stage `name`, adding to what it took before.
    pub(super) fn lap(&mut self, name: &str) {
        let now = Instant::now();
        *self.stages.entry(format!("{name}_wall_s")).or_default() += (now - self.lap_started).as_secs_f64();
        self.lap_started = now;
    }

    /// All of it so far, with the CPU seconds of the chunks that were taken, and how many encodings an earlier run had made.
    pub(super) fn timing(&self, chunks: StageCpu, reused: Option<u64>) -> Timing {
        let mut stages = self.stages.clone();
        stages.insert("decode_cpu_s".to_owned(), chunks.decode_s);
        stages.insert("scale_cpu_s".to_owned(), chunks.scale_s);
        stages.insert("encode_cpu_s".to_owned(), chunks.encode_s);
        stages.insert("measure_cpu_s".to_owned(), chunks.measure_s);
        Timing { wall_s: self.started.elapsed().as_secs_f64(), cpu_s: cpu_seconds(), stages, reused }
    }
}

/// CPU seconds of this process and of its children that have ended; zero where the system does not tell.
fn cpu_seconds() -> f64 {
    CpuTime::of("self").map_or(0.0, |time| time.own_s + time.children_s)
}
