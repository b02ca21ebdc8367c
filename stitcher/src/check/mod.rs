//! A linter for HLS and DASH on disk, ours and other people's.
//!
//! *In:* a folder with a multivariant playlist, an MPD, or both. *Out:* a [`Report`]: every rule, by its name and in our
//! words, and whether it holds. *Never:* decodes, hands what it reads to FFmpeg, opens anything outside of the folder,
//! or writes.
//!
//! What is read may be hostile or damaged: the readers ([`playlist`], [`mpd`], [`boxes`], [`transport`], [`webvtt`])
//! take any bytes, read a bounded amount of them, and are fuzzed. [`load`] is the shell that opens files; it makes a
//! [`stream::Stream`], and the [`rules`] are functions of that.

pub mod boxes;
mod codecs;
pub mod files;
mod key;
pub mod load;
pub mod mpd;
pub mod playlist;
pub mod rule;
mod rules;
pub mod stream;
#[cfg(test)]
pub(crate) mod tests;
pub mod transport;
pub mod webvtt;

use serde::Serialize;

pub use load::{Entry, find, load};
pub use rule::{Area, Failure, Level, Rule, Verdict};
pub use rules::rules;
use stream::Stream;

/// What a check came to, as programs read it: version 1. Members may be added; one that changes its meaning raises the
/// version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// 1.
    pub version: u32,
    /// The playlist that was checked.
    pub playlist: Option<String>,
    /// The MPD that was checked.
    pub mpd: Option<String>,
    /// How many rules came to what.
    pub summary: Summary,
    /// Every rule, in a fixed order.
    pub rules: Vec<Judged>,
}

/// How many rules came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// They hold.
    pub passed: usize,
    /// They are absolute, and do not hold.
    pub must_failed: usize,
    /// They are recommended, and do not hold.
    pub should_failed: usize,
    /// There is nothing that they are about.
    pub not_applicable: usize,
    /// They can't be told from the files.
    pub not_checked: usize,
}

/// A rule and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name.
    pub id: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it is about.
    pub area: Area,
    /// How binding it is.
    pub level: Level,
    /// What it asks.
    pub text: &'static str,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Judges a stream by all rules.
pub fn check(stream: &Stream) -> Report {
    let rules: Vec<Judged> = rules().map(|rule| judge(rule, stream)).collect();
    let mut summary = Summary::default();
    for rule in &rules {
        *match (&rule.verdict, rule.level) {
            (Verdict::Pass, _) => &mut summary.passed,
            (Verdict::Fail { .. }, Level::Must) => &mut summary.must_failed,
            (Verdict::Fail { .. }, Level::Should) => &mut summary.should_failed,
            (Verdict::NotApplicable(_), _) => &mut summary.not_applicable,
            (Verdict::NotChecked(_), _) => &mut summary.not_checked,
        } += 1;
    }
    let playlist = stream.hls.as_ref().and_then(|hls| match &hls.master {
        Some(master) => Some(master.name.clone()),
        None => hls.renditions.first().map(|rendition| rendition.name.clone()),
    });
    let mpd = stream.dash.as_ref().map(|dash| dash.name.clone());
    Report { version: 1, playlist, mpd, summary, rules }
}

fn judge(rule: &Rule, stream: &Stream) -> Judged {
    let Rule { id, source, area, level, text, .. } = *rule;
    Judged { id, source, area, level, text, verdict: rule.judge(stream) }
}
