//! What the benchmarks read of our `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use vtp_engine::quality::{Outcome, Summary};

/// A report.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) timing: Timing,
    pub(crate) renditions: Vec<Rendition>,
}

/// How the source was cut.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    /// Number of chunks.
    pub(crate) chunks: usize,
}

/// What the run took.
#[derive(Debug, Deserialize)]
pub(crate) struct Timing {
    /// Seconds of each stage, as its name says.
    pub(crate) stages: BTreeMap<String, f64>,
    /// Encodings that were taken from the cache; `None` without one.
    #[serde(default)]
    pub(crate) reused: Option<u64>,
}

/// One rendition.
#[derive(Debug, Deserialize)]
pub(crate) struct Rendition {
    pub(crate) name: String,
    /// Number of frames.
    pub(crate) frames: u32,
    /// Size of its media segments.
    pub(crate) bytes: u64,
    /// Average segment bit rate in bits a second.
    pub(crate) average_bandwidth: u64,
    /// VMAF against the source scaled to the rendition's own size.
    pub(crate) fidelity: Option<Summary>,
    /// VMAF of the rendition scaled up to the display's size.
    pub(crate) vmaf: Option<Summary>,
    pub(crate) chunks: Vec<Chunk>,
}

/// One chunk of a rendition.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk {
    /// How often it was encoded.
    pub(crate) attempts: u32,
    /// How it stands to what was asked.
    pub(crate) outcome: Option<Outcome>,
}

impl Report {
    /// The report in the folder `out`.
    pub(crate) fn read(out: &Path) -> Result<Self> {
        let path = out.join("report.json");
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
    }

    /// The rendition of this name.
    pub(crate) fn rendition(&self, name: &str) -> Result<&Rendition> {
        let found = self.renditions.iter().find(|rendition| rendition.name == name);
        found.with_context(|| format!("our output has no {name}"))
    }

    /// How many encodings of a chunk to a rendition there were.
    pub(crate) fn encodings(&self) -> u32 {
        self.renditions.iter().map(Rendition::encodings).sum()
    }
}

impl Rendition {
    /// How many encodings of a chunk there were.
    pub(crate) fn encodings(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.attempts).sum()
    }

    /// How many chunks came out as `outcome`.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.chunks.iter().filter(|chunk| chunk.outcome == Some(outcome)).count()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report on two chunks of one rendition, the first of which was encoded twice.
    pub(crate) fn report() -> Report {
        let text = r#"{
            "version": 1, "plan": {"chunks": 2, "reason": null},
            "timing": {"wall_s": 1.0, "cpu_s": 2.0, "stages": {"encode_wall_s": 0.75}},
            "renditions": [{
                "name": "mobile", "codec": "avc1.64001e", "width": 854, "height": 480, "frames": 48, "bytes": 9000,
                "bandwidth": 40000, "average_bandwidth": 36000,
                "fidelity": {"mean": 94.5, "harmonic_mean": 94.25, "p1": 88.0, "min": 87.5, "measured": 14},
                "chunks": [{"attempts": 2, "outcome": "met"}, {"attempts": 1, "outcome": "capped"}]
            }]
        }"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_report_is_read_with_and_without_scores_at_the_displays_size() {
        let mut report = report();
        assert_eq!(report.rendition("mobile").unwrap().vmaf, None);
        let text = r#"{"mean": 80.0, "harmonic_mean": 79.0, "p1": 70.0, "min": 65.0, "measured": 14}"#;
        report.renditions[0].vmaf = serde_json::from_str(text).unwrap();
        assert_eq!(report.renditions[0].vmaf.map(|it| it.p1), Some(70.0));
        assert!(report.rendition("hd").unwrap_err().to_string().contains("no hd"));
    }

    #[test]
    fn encodings_are_counted_over_all_chunks_and_renditions() {
        let report = report();
        assert_eq!((report.encodings(), report.renditions[0].count(Outcome::Capped)), (3, 1));
    }
}
