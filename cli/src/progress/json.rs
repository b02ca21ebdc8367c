//! Progress for programs: one JSON object a line, version 1. Readers skip events and members they don't know.
//!
//! Every line has `v`, `event` and `t` (seconds since the start). Events: `stage`, `planned`, `chunk_started`,
//! `chunk_done`, `progress` (at most four a second), and as the last line `done` or `failed`.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Meter, ProgressEvent, Sink, tell};
use crate::exit::Failure;

/// Version of the lines' format.
const VERSION: u32 = 1;
/// Two `progress` lines are at least this far apart.
const LEAST: Duration = Duration::from_millis(250);

/// Writes JSON lines to `to`.
pub(super) struct JsonLines<W> {
    to: W,
    told_at: Option<Duration>,
}

impl<W: Write + Send> JsonLines<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, told_at: None }
    }

    fn line(&mut self, event: &str, now: Duration, members: Value) {
        let mut object = json!({ "v": VERSION, "event": event, "t": thousandths(now.as_secs_f64()) });
        if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
            object.extend(members);
        }
        tell(&mut self.to, &object.to_string());
    }

    fn progress(&mut self, meter: &Meter, now: Duration) {
        if self.told_at.is_none_or(|told| now >= told + LEAST) {
            self.told_at = Some(now);
            self.line("progress", now, numbers(meter, now));
        }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn event(&mut self, event: &ProgressEvent, meter: &Meter, now: Duration) {
        match event {
            ProgressEvent::Planned { chunks, frames_total, duration_s, renditions, reason } => {
                let members = json!({
                    "chunks": chunks, "frames_total": frames_total, "duration_s": duration_s,
                    "renditions": renditions, "reason": reason,
                });
                self.line("planned", now, members);
            }
            ProgressEvent::ChunkStarted { chunk, worker } => {
                self.line("chunk_started", now, json!({ "chunk": chunk, "worker": worker }));
            }
            ProgressEvent::ChunkDone { chunk } => self.line("chunk_done", now, json!({ "chunk": chunk })),
            ProgressEvent::Stage(stage) => self.line("stage", now, json!({ "stage": stage })),
            ProgressEvent::Frames { .. } | ProgressEvent::AudioProgress { .. } => self.progress(meter, now),
        }
    }

    fn done(&mut self, meter: &Meter, now: Duration) {
        let members = json!({ "frames_done": meter.frames_done, "frames_total": meter.frames_total, "fraction": 1.0 });
        self.line("done", now, members);
    }

    fn failed(&mut self, failure: Failure, now: Duration) -> Failure {
        let code = match &failure {
            Failure::Input { fault, .. } => Some(fault.code()),
            _ => None,
        };
        let members = json!({ "exit": failure.code(), "code": code, "message": failure.sentence() });
        self.line("failed", now, members);
        Failure::Told(failure.code())
    }
}

fn numbers(meter: &Meter, now: Duration) -> Value {
    json!({
        "frames_done": meter.frames_done,
        "frames_total": meter.frames_total,
        "fraction": thousandths(meter.fraction()),
        "fps": meter.frames_per_s(now).map(thousandths),
        "speed": meter.speed(now).map(thousandths),
        "eta_s": meter.time_left(now).map(|left| thousandths(left.as_secs_f64())),
        "chunks_done": meter.chunks_done(),
        "chunks_running": meter.chunks_running(),
        "audio_s": meter.audio.map(|(seconds, _)| thousandths(seconds)),
    })
}

/// Rounded down to three decimals: never ahead of the truth.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).floor() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(run: impl FnOnce(&mut JsonLines<&mut Vec<u8>>)) -> Vec<Value> {
        let mut written = Vec::new();
        run(&mut JsonLines::new(&mut written));
        String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_is_an_object_with_version_event_and_time() {
        let plan = ProgressEvent::Planned {
            chunks: 2,
            frames_total: 100,
            duration_s: 4.0,
            renditions: vec!["hd".to_owned()],
            reason: None,
        };
        let lines = told(|sink| sink.event(&plan, &Meter::default(), Duration::from_millis(1500)));
        let expected = json!({
            "v": 1, "event": "planned", "t": 1.5, "chunks": 2, "frames_total": 100, "duration_s": 4.0,
            "renditions": ["hd"], "reason": null,
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn progress_comes_at_most_four_times_a_second_and_without_estimates_at_first() {
        let lines = told(|sink| {
            let mut meter = Meter::default();
            for tick in 0..10_u64 {
                let (event, now) =
                    (ProgressEvent::Frames { done: tick, total: 100 }, Duration::from_millis(tick * 100));
                meter.take(&event, now);
                sink.event(&event, &meter, now);
            }
        });
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line["event"] == "progress" && line["eta_s"].is_null()));
        assert_eq!(lines[3]["frames_done"], 9);
    }

    #[test]
    fn a_failure_is_a_line_and_is_not_told_again() {
        let failure =
            Failure::Input { fault: crate::exit::InputFault::NotAVideo, message: "no video stream".to_owned() };
        let mut left = None;
        let lines = told(|sink| left = Some(sink.failed(failure, Duration::ZERO)));
        assert_eq!(
            (&lines[0]["event"], &lines[0]["exit"], &lines[0]["code"]),
            (&json!("failed"), &json!(3), &json!(1001))
        );
        assert!(left.is_some_and(|left| left.message().is_none() && left.code() == 3));
    }
}
