//! `quality.json`, version 1: what the page draws besides `report.json`, the scores of single frames and the sizes of
//! single segments. Values only.
//!
//! Readers skip members they don't know; a member that changes its meaning raises the version.

use serde::{Deserialize, Serialize};

/// Version of the format.
pub const VERSION: u32 = 1;

/// The curves of all renditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// [`VERSION`].
    pub version: u32,
    /// One for each rendition, in the ladder's order.
    pub renditions: Vec<Curve>,
}

impl Curves {
    /// The curve of the rendition `name`.
    pub fn of(&self, name: &str) -> Option<&Curve> {
        self.renditions.iter().find(|curve| curve.name == name)
    }
}

/// What one rendition is like over time. Either list of scores is empty where that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The rendition's name, as in the report.
    pub name: String,
    /// VMAF of the measured frames against the source scaled to the rendition's own size, by time.
    pub fidelity: Vec<Point>,
    /// VMAF of the measured frames, scaled up to the size of the display, against the source, by time.
    pub vmaf: Vec<Point>,
    /// Its media segments, in their order.
    pub segments: Vec<SegmentSize>,
}

/// The score of one frame, written as `[t, score]`: seconds in the output, and 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point(pub f64, pub f64);

/// One media segment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentSize {
    /// Where it starts in the output, in seconds.
    pub start_s: f64,
    /// How long it is, in seconds.
    pub duration_s: f64,
    /// Size of its file.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Curves {
        let curve = Curve {
            name: "mobile".to_owned(),
            fidelity: vec![Point(0.0, 96.5), Point(0.44, 95.25)],
            vmaf: Vec::new(),
            segments: vec![SegmentSize { start_s: 0.0, duration_s: 4.0, bytes: 81_000 }],
        };
        Curves { version: VERSION, renditions: vec![curve] }
    }

    #[test]
    fn the_format_is_that_of_the_golden_file() {
        let text = serde_json::to_string(&curves()).unwrap() + "\n";
        assert_eq!(text, include_str!("../tests/golden/quality-v1.json"));
    }

    #[test]
    fn members_that_are_not_known_are_skipped() {
        let text = include_str!("../tests/golden/quality-v1.json").replacen('{', r#"{"psnr":[1],"#, 1);
        let read: Curves = serde_json::from_str(&text.replace(r#""vmaf""#, r#""ssim":{},"vmaf""#)).unwrap();
        assert_eq!(read, curves());
    }

    #[test]
    fn a_curve_is_found_by_the_name_of_its_rendition() {
        assert!(curves().of("mobile").is_some());
        assert!(curves().of("hd").is_none());
    }
}
