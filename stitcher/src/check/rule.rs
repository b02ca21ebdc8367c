//! What a rule is, and what can become of it. Values only.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::playlist::printable;
use super::stream::Stream;

/// Failures of one rule that are told one by one; what is more is counted.
const TOLD: usize = 100;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The files that manifests name.
    Files,
    /// How playlists are written.
    Playlists,
    /// The multivariant playlist.
    Multivariant,
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitles,
    /// I-frame playlists.
    TrickPlay,
    /// How segments follow each other.
    Continuity,
    /// The MPD.
    Dash,
    /// How a server hands it out.
    Delivery,
}

impl Area {
    /// The area's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Playlists => "Playlists",
            Self::Multivariant => "Multivariant playlist",
            Self::Video => "Video",
            Self::Audio => "Audio",
            Self::Subtitles => "Subtitles",
            Self::TrickPlay => "Trick play",
            Self::Continuity => "Continuity",
            Self::Dash => "DASH",
            Self::Delivery => "Delivery",
        }
    }
}

/// How binding a rule is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Absolute.
    Must,
    /// There may be reasons not to.
    Should,
}

/// Something that is not as a rule asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The playlist, segment or element.
    pub place: String,
    /// What is wrong with it, with figures.
    pub what: String,
}

/// What became of a rule. Programs read it as `verdict`, which is `pass`, `fail`, `not_applicable` or `not_checked`; `reason`,
/// why it does not apply or was not checked; `failures`, and `failures_left_out`, how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds wherever it applies.
    Pass,
    /// It does not hold.
    Fail {
        /// Where, the first hundred.
        failures: Vec<Failure>,
        /// How many more there are.
        more: usize,
    },
    /// There is nothing that it is about; why.
    NotApplicable(&'static str),
    /// It can't be told from the files; why.
    NotChecked(&'static str),
}

impl Verdict {
    /// Where the rule does not hold, as far as that is told.
    pub fn failures(&self) -> &[Failure] {
        match self {
            Self::Fail { failures, .. } => failures,
            Self::Pass | Self::NotApplicable(_) | Self::NotChecked(_) => &[],
        }
    }

    /// Why the rule does not apply or was not checked.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::NotApplicable(why) | Self::NotChecked(why) => Some(why),
            Self::Pass | Self::Fail { .. } => None,
        }
    }

    /// Whether the rule does not hold.
    pub fn is_fail(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, left_out) = match self {
            Self::Pass => ("pass", 0),
            Self::Fail { more, .. } => ("fail", *more),
            Self::NotApplicable(_) => ("not_applicable", 0),
            Self::NotChecked(_) => ("not_checked", 0),
        };
        let mut told = serializer.serialize_struct("Verdict", 4)?;
        told.serialize_field("verdict", name)?;
        told.serialize_field("reason", &self.reason())?;
        told.serialize_field("failures", self.failures())?;
        told.serialize_field("failures_left_out", &left_out)?;
        told.end()
    }
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, which never changes.
    pub id: &'static str,
    /// Where it comes from: a number of the HLS authoring specification for Apple devices (revision 2025-06-26), a
    /// clause of RFC 8216bis, of ISO/IEC 23009-1 or 23000-19.
    pub source: &'static str,
    /// What it is about.
    pub area: Area,
    /// How binding it is.
    pub level: Level,
    /// What it asks, in our words.
    pub text: &'static str,
    /// Judges a stream by it.
    pub(super) judge: fn(&Stream) -> Verdict,
}

impl Rule {
    /// Judges a stream by the rule.
    pub fn judge(&self, stream: &Stream) -> Verdict {
        (self.judge)(stream)
    }
}

/// Collects what a rule finds.
#[derive(Debug, Default)]
pub(super) struct Findings {
    looked: bool,
    unknown: bool,
    failures: Vec<Failure>,
    more: usize,
}

impl Findings {
    /// The rule applies to something.
    pub(super) fn look(&mut self) {
        self.looked = true;
    }

    /// The rule applies to something that can't be looked at.
    pub(super) fn unknown(&mut self) {
        self.unknown = true;
    }

    /// The rule applies to `place`, and is broken there.
    pub(super) fn fail(&mut self, place: &str, what: impl Into<String>) {
        self.looked = true;
        if self.failures.len() == TOLD {
            self.more += 1;
        } else {
            // Names and values of somebody's making are in both.
            self.failures.push(Failure { place: printable(place), what: printable(&what.into()) });
        }
    }

    /// The rule applies to `place`, and `holds` or not.
    pub(super) fn hold(&mut self, holds: bool, place: &str, what: impl FnOnce() -> String) {
        match holds {
            true => self.look(),
            false => self.fail(place, what()),
        }
    }

    /// The verdict; `absent` says what there is none of where the rule applied to nothing.
    pub(super) fn verdict(self, absent: &'static str) -> Verdict {
        match self {
            Self { failures, more, .. } if !failures.is_empty() => Verdict::Fail { failures, more },
            Self { looked: true, unknown: true, .. } => {
                Verdict::NotChecked("it holds as far as it can be told, but not everything can be read here")
            }
            Self { looked: true, .. } => Verdict::Pass,
            Self { unknown: true, .. } => Verdict::NotChecked("what it is about can't be read here"),
            _ => Verdict::NotApplicable(absent),
        }
    }
}
