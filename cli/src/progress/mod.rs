//! Progress: the driver reports events, a [`Meter`] makes sense of them, a sink shows it on stderr.
//!
//! What is shown never goes backwards (a chunk that is tried again does not take its frames back), unless another begins the whole
//! work anew, and is never ahead of the truth (nothing reaches 100 % before the ladder is published). Nothing here encodes or waits.

mod bar;
mod json;
mod meter;
mod plain;

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
pub use meter::Meter;

/// What a driver tells while it works. Events of several threads may come in any order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ProgressEvent {
    /// The plan is made.
    Planned {
        /// Number of chunks.
        chunks: u32,
        /// Frames of the source.
        frames_total: u64,
        /// Length of the source's video in seconds.
        duration_s: f64,
        /// Names of the renditions.
        renditions: Vec<String>,
        /// Why the plan is less parallel than it could be, if it is.
        reason: Option<String>,
    },
    /// A worker took a chunk.
    ChunkStarted {
        /// Which chunk.
        chunk: u32,
        /// Which worker, from 0.
        worker: usize,
    },
    /// Source frames encoded so far, over the whole source. A frame counts in parts: as the share of its
    /// renditions' work that is done; the sum is rounded down.
    Frames {
        /// Frames encoded.
        done: u64,
        /// Frames of the source.
        total: u64,
    },
    /// All renditions of a chunk are encoded.
    ChunkDone {
        /// Which chunk.
        chunk: u32,
    },
    /// Audio encoded so far; the slowest stream counts.
    AudioProgress {
        /// Seconds encoded.
        seconds: f64,
        /// Seconds there are.
        total: f64,
    },
    /// The work enters a stage; a short phrase such as `indexing`, `encoding`, `proving`.
    Stage(Cow<'static, str>),
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// A bar with frames, speed and the time that is left
    Bar,
    /// A line from time to time
    Plain,
    /// One JSON object a line
    Json,
    /// Nothing
    None,
}

impl Style {
    /// What `auto` stands for: a bar needs a terminal that can move its cursor and a person before it.
    fn resolve(self, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let for_a_person =
            is_terminal && variable("TERM").is_none_or(|term| term != "dumb") && variable("CI").is_none();
        match self {
            Self::Auto if for_a_person => Self::Bar,
            Self::Auto => Self::Plain,
            chosen => chosen,
        }
    }
}

/// One way of showing progress. `now` is the time since the start of the work.
trait Sink: Send {
    /// Shows an event that `meter` has already taken in.
    fn event(&mut self, event: &ProgressEvent, meter: &Meter, now: Duration);

    /// The ladder is published.
    fn done(&mut self, meter: &Meter, now: Duration);

    /// Takes away what must not stay on the screen, and tells the failure where its reader expects it. Returns
    /// the failure as it is still to be told.
    fn failed(&mut self, failure: Failure, now: Duration) -> Failure;
}

/// Takes the driver's events from any thread and shows them.
pub struct Progress {
    started: Instant,
    state: Mutex<(Meter, Option<Box<dyn Sink>>)>,
}

impl Progress {
    /// Shows progress in this style, from now on.
    pub fn new(style: Style) -> Self {
        let style = style.resolve(std::io::stderr().is_terminal(), |name| std::env::var(name).ok());
        let sink: Option<Box<dyn Sink>> = match style {
            Style::Bar => Some(Box::new(bar::Bar::new())),
            Style::Json => Some(Box::new(json::JsonLines::new(std::io::stderr()))),
            Style::Plain | Style::Auto => Some(Box::new(plain::Plain::new(std::io::stderr()))),
            Style::None => None,
        };
        Self { started: Instant::now(), state: Mutex::new((Meter::default(), sink)) }
    }

    /// Takes in and shows an event.
    pub fn event(&self, event: ProgressEvent) {
        self.with(|meter, sink, now| {
            meter.take(&event, now);
            sink.event(&event, meter, now);
        });
    }

    /// The work is begun anew by another, who has nothing of it: what is shown begins anew, too.
    pub fn begin_anew(&self) {
        self.with(|meter, _, _| *meter = Meter::default());
    }

    /// Shows that the ladder is published.
    pub fn finish(&self) {
        self.with(|meter, sink, now| sink.done(meter, now));
    }

    /// Shows that the work has failed; returns what is still to be told.
    pub fn fail(&self, failure: Failure) -> Failure {
        let mut failure = Some(failure);
        let told = self.with(|_, sink, now| failure.take().map(|failure| sink.failed(failure, now))).flatten();
        told.or(failure).unwrap_or(Failure::Told(crate::exit::INTERNAL))
    }

    fn with<T>(&self, show: impl FnOnce(&mut Meter, &mut dyn Sink, Duration) -> T) -> Option<T> {
        let now = self.started.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (meter, sink) = &mut *state;
        sink.as_mut().map(|sink| show(meter, sink.as_mut(), now))
    }
}

/// Writes a line for whoever watches; one who has stopped watching is no reason to stop the work.
fn tell(to: &mut impl Write, line: &str) {
    drop(writeln!(to, "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Left;

    fn resolve(style: Style, is_terminal: bool, environment: &[(&str, &str)]) -> Style {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        style.resolve(is_terminal, find)
    }

    #[test]
    fn auto_is_a_bar_only_on_a_terminal_that_a_person_watches() {
        assert_eq!(resolve(Style::Auto, true, &[("TERM", "xterm")]), Style::Bar);
        assert_eq!(resolve(Style::Auto, false, &[("TERM", "xterm")]), Style::Plain);
        assert_eq!(resolve(Style::Auto, true, &[("TERM", "dumb")]), Style::Plain);
        assert_eq!(resolve(Style::Auto, true, &[("CI", "true")]), Style::Plain);
    }

    #[test]
    fn a_chosen_style_is_kept() {
        for style in [Style::Bar, Style::Plain, Style::Json, Style::None] {
            assert_eq!(resolve(style, false, &[("CI", "1")]), style);
        }
    }

    #[test]
    fn a_failure_is_still_to_be_told_when_nothing_is_shown() {
        let failure = Progress::new(Style::None).fail(Failure::Interrupted(Left::Nothing));
        assert_eq!(failure.code(), 130);
        assert!(failure.message().is_some());
    }
}
