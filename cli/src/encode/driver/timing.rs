//! What a run took: wall clock by stage, and the CPU of the process.

use std::collections::BTreeMap;
use std::time::Instant;

use vtp_engine::chunk::StageCpu;

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
        Timing { wall_s: self.started.elapsed().as_secs_f64(), cpu_s: process_seconds(), stages, reused }
    }
}

/// User and system CPU seconds of this process and of its children that have ended (proc(5), fields 14 to 17 of `stat`,
/// in hundredths); zero where the system does not tell.
fn process_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets that may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_cpu_of_this_process_is_known() {
        let mut sum = 0_u64;
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum + 1);
        }
        let seconds = super::process_seconds();
        assert!(seconds > 0.0 && seconds < 1000.0, "{seconds} after {sum} steps");
    }
}
