//! Progress as plain lines, for logs: one at each tenth of the work and one after a while without.

use std::io::Write;
use std::time::Duration;

use super::{Meter, ProgressEvent, Sink, tell};
use crate::exit::Failure;
use crate::text;

/// A line is due after this long, or after a twentieth of the time so far if that is longer.
const WHILE: Duration = Duration::from_secs(5);
/// Two lines are at least this far apart.
const LEAST: Duration = Duration::from_secs(1);

/// Writes lines to `to`.
pub(super) struct Plain<W> {
    to: W,
    told_at: Duration,
    told_tenth: u32,
}

impl<W: Write + Send> Plain<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, told_at: Duration::ZERO, told_tenth: 0 }
    }

    fn due(&mut self, meter: &Meter, now: Duration) -> bool {
        let since = now.saturating_sub(self.told_at);
        let tenth = (meter.fraction() * 10.0).floor() as u32;
        let due = since >= WHILE.max(now / 20) || (tenth > self.told_tenth && since >= LEAST);
        if due {
            (self.told_at, self.told_tenth) = (now, tenth);
        }
        due
    }
}

impl<W: Write + Send> Sink for Plain<W> {
    fn event(&mut self, event: &ProgressEvent, meter: &Meter, now: Duration) {
        match event {
            ProgressEvent::Planned { .. } => {
                planned_lines(event).iter().for_each(|line| tell(&mut self.to, line));
            }
            ProgressEvent::Frames { .. } if self.due(meter, now) => tell(&mut self.to, &line(meter, now)),
            ProgressEvent::Stage(stage) => tell(&mut self.to, stage),
            _ => {}
        }
    }

    fn done(&mut self, _: &Meter, _: Duration) {}

    fn failed(&mut self, failure: Failure, _: Duration) -> Failure {
        failure
    }
}

/// The plan in a line or two.
pub(super) fn planned_lines(event: &ProgressEvent) -> Vec<String> {
    let ProgressEvent::Planned { chunks, frames_total, duration_s, renditions, reason } = event else {
        return Vec::new();
    };
    let plan = format!(
        "{} in {}, {} to {}",
        text::plural(*frames_total, "frame"),
        text::span(*duration_s),
        text::plural((*chunks).into(), "chunk"),
        renditions.join(", "),
    );
    let reason = reason.as_ref().map(|reason| format!("note: {reason}"));
    std::iter::once(plan).chain(reason).collect()
}

/// ` 42 %  525/1,250 frames  61.2 fps  2.5x  0:12 left  3/8 chunks`
fn line(meter: &Meter, now: Duration) -> String {
    let percent = (meter.fraction() * 100.0).floor();
    let mut parts = vec![
        format!("{percent:>3} %"),
        format!("{}/{} frames", text::count(meter.frames_done), text::count(meter.frames_total)),
    ];
    parts.extend(meter.frames_per_s(now).map(|rate| format!("{rate:.1} fps")));
    parts.extend(meter.speed(now).map(|speed| format!("{speed:.2}x")));
    parts.extend(meter.time_left(now).map(|left| format!("{} left", text::clock(left.as_secs_f64()))));
    parts.push(format!("{}/{} chunks", meter.chunks_done(), meter.chunks));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &[(f64, ProgressEvent)]) -> Vec<String> {
        let (mut written, mut meter) = (Vec::new(), Meter::default());
        let mut sink = Plain::new(&mut written);
        for (at_s, event) in events {
            let now = Duration::from_secs_f64(*at_s);
            meter.take(event, now);
            sink.event(event, &meter, now);
        }
        String::from_utf8(written).unwrap().lines().map(str::to_owned).collect()
    }

    fn frames(done: u64) -> ProgressEvent {
        ProgressEvent::Frames { done, total: 1250 }
    }

    fn plan() -> ProgressEvent {
        ProgressEvent::Planned {
            chunks: 8,
            frames_total: 1250,
            duration_s: 50.0,
            renditions: vec!["standard".to_owned(), "mobile".to_owned()],
            reason: Some("the source has one keyframe".to_owned()),
        }
    }

    #[test]
    fn the_plan_is_told_with_its_reason() {
        let lines = told(&[(0.0, plan())]);
        assert_eq!(
            lines,
            ["1,250 frames in 50.0 s, 8 chunks to standard, mobile", "note: the source has one keyframe"]
        );
    }

    #[test]
    fn a_line_comes_with_each_tenth_of_the_work_or_after_five_seconds() {
        let started = ProgressEvent::ChunkStarted { chunk: 0, worker: 0 };
        let events = [
            (0.0, started),
            (2.5, frames(130)),
            (3.0, frames(250)), // the next tenth, but too soon after the last line
            (4.0, frames(260)),
            (6.0, frames(270)),
            (9.0, frames(300)),
        ];
        let lines = told(&events);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert_eq!(lines[0], " 10 %  130/1,250 frames  52.0 fps  0:21 left  0/0 chunks".to_owned());
        assert!(lines[1].starts_with(" 20 %  260/1,250 frames"));
        assert!(lines[2].starts_with(" 24 %  300/1,250 frames"));
    }

    #[test]
    fn a_long_run_is_told_in_few_lines() {
        let events: Vec<_> = (0..36_000).map(|tick| (f64::from(tick) / 10.0, frames(1))).collect();
        assert!((20..140).contains(&told(&events).len()));
    }
}
