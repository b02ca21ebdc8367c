//! Progress for a person before a terminal: a bar, and a line below it about chunks, audio and stage.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plain::planned_lines;
use super::{Meter, ProgressEvent, Sink};
use crate::exit::Failure;
use crate::text;

/// The spinner turns this often, so that a long first chunk does not look like a hang.
const TICK: Duration = Duration::from_millis(120);

/// Two lines at the bottom of the terminal, gone at the end.
pub(super) struct Bar {
    lines: MultiProgress,
    main: ProgressBar,
    detail: ProgressBar,
}

impl Bar {
    pub(super) fn new() -> Self {
        let lines = MultiProgress::new();
        let main = lines.add(ProgressBar::no_length().with_style(style("{spinner:.cyan} {wide_msg}")));
        let detail = lines.add(ProgressBar::no_length().with_style(style("  {wide_msg:.dim}")));
        main.enable_steady_tick(TICK);
        Self { lines, main, detail }
    }

    fn planned(&self, event: &ProgressEvent, meter: &Meter) {
        for line in planned_lines(event) {
            // The terminal may be gone; the work goes on.
            drop(self.lines.println(line));
        }
        if meter.frames_total > 0 {
            self.main.set_length(meter.frames_total);
            self.main.set_style(style("{spinner:.cyan} {bar:24.cyan/dim} {wide_msg}").progress_chars("━╸─"));
        }
    }

    fn show(&self, meter: &Meter, now: Duration) {
        self.main.set_position(meter.frames_done);
        self.main.set_message(headline(meter, now));
        self.detail.set_message(detail(meter));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Sink for Bar {
    fn event(&mut self, event: &ProgressEvent, meter: &Meter, now: Duration) {
        if matches!(event, ProgressEvent::Planned { .. }) {
            self.planned(event, meter);
        }
        self.show(meter, now);
    }

    fn done(&mut self, _: &Meter, _: Duration) {
        self.main.finish_and_clear();
        self.detail.finish_and_clear();
    }

    fn failed(&mut self, failure: Failure, _: Duration) -> Failure {
        self.main.finish_and_clear();
        self.detail.finish_and_clear();
        failure
    }
}

/// ` 42 %  525/1,250 frames  61 fps  2.5x  0:12 left`; before the plan, the stage.
fn headline(meter: &Meter, now: Duration) -> String {
    if meter.frames_total == 0 {
        return meter.stage.to_string();
    }
    let percent = (meter.fraction() * 100.0).floor();
    let mut parts = vec![
        format!("{percent:>2} %"),
        format!("{}/{} frames", text::count(meter.frames_done), text::count(meter.frames_total)),
    ];
    parts.extend(meter.frames_per_s(now).map(|rate| format!("{rate:.0} fps")));
    parts.extend(meter.speed(now).map(|speed| format!("{speed:.2}x")));
    parts.extend(meter.time_left(now).map(|left| format!("{} left", text::clock(left.as_secs_f64().ceil()))));
    parts.join("  ")
}

/// `encoding · 3 of 8 chunks done, 2 running · audio 0:12 of 0:52`
fn detail(meter: &Meter) -> String {
    if meter.frames_total == 0 {
        return String::new();
    }
    let mut parts = vec![meter.stage.to_string()];
    let running = match meter.chunks_running() {
        0 => String::new(),
        running => format!(", {running} running"),
    };
    parts.push(format!("{} of {} done{running}", meter.chunks_done(), text::plural(meter.chunks.into(), "chunk")));
    if let Some((seconds, total)) = meter.audio.filter(|(seconds, total)| seconds < total) {
        parts.push(format!("audio {} of {}", text::clock(seconds), text::clock(total)));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(events: &[ProgressEvent]) -> Meter {
        let mut meter = Meter::default();
        events.iter().for_each(|event| meter.take(event, Duration::ZERO));
        meter
    }

    fn plan() -> ProgressEvent {
        ProgressEvent::Planned { chunks: 8, frames_total: 1250, duration_s: 50.0, renditions: Vec::new(), reason: None }
    }

    #[test]
    fn before_the_plan_only_the_stage_is_told() {
        let meter = meter(&[ProgressEvent::Stage("indexing".into())]);
        assert_eq!((headline(&meter, Duration::ZERO), detail(&meter)), ("indexing".to_owned(), String::new()));
    }

    #[test]
    fn a_running_encode_is_told_in_two_lines() {
        let meter = meter(&[
            plan(),
            ProgressEvent::Stage("encoding".into()),
            ProgressEvent::ChunkStarted { chunk: 0, worker: 0 },
            ProgressEvent::ChunkStarted { chunk: 1, worker: 1 },
            ProgressEvent::ChunkDone { chunk: 1 },
            ProgressEvent::AudioProgress { seconds: 12.0, total: 50.0 },
            ProgressEvent::Frames { done: 500, total: 1250 },
        ]);
        let now = Duration::from_secs(10);
        assert_eq!(headline(&meter, now), "40 %  500/1,250 frames  50 fps  2.00x  0:15 left");
        assert_eq!(detail(&meter), "encoding · 1 of 8 chunks done, 1 running · audio 0:12 of 0:50");
    }
}
