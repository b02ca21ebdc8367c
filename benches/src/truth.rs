//! Whether our scores are true: those of all frames and of the sampled ones against the peer's `libvmaf` filter run over
//! the published files.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use vtp_engine::ladder::LadderRequest;
use vtp_engine::quality::Summary;

use crate::ours;
use crate::peer::Target;
use crate::report::{Rendition, Report};
use crate::table::Table;
use crate::vmaf::{self, View};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// The peer's binary, with its filter `libvmaf`.
    pub ffmpeg: PathBuf,
    /// The clips.
    pub clips: Vec<PathBuf>,
    /// The ladder.
    pub ladder: LadderRequest,
    /// Its name on the command line.
    pub ladder_name: String,
    /// x264's preset.
    pub speed: String,
}

const HEAD: [&str; 10] = [
    "clip",
    "rendition",
    "score",
    "ffmpeg mean",
    "ours, all frames",
    "ours, sampled",
    "frames measured",
    "ffmpeg p1",
    "ours, all frames, p1",
    "ours, sampled, p1",
];

/// One of the scores that a report has.
#[derive(Clone, Copy, Debug)]
enum Score {
    Fidelity,
    Vmaf,
}

impl Score {
    fn name(self) -> &'static str {
        match self {
            Self::Fidelity => "fidelity",
            Self::Vmaf => "vmaf",
        }
    }

    fn of(self, rendition: &Rendition) -> Option<Summary> {
        match self {
            Self::Fidelity => rendition.fidelity,
            Self::Vmaf => rendition.vmaf,
        }
    }
}

/// Measures every clip and returns a table in Markdown.
pub fn run(options: &Options) -> Result<String> {
    vmaf::require(&options.ffmpeg)?;
    let mut table = Table::new(&HEAD);
    for clip in &options.clips {
        for row in clip_rows(options, clip)? {
            eprintln!("{}", row.join("  "));
            table.row(row);
        }
    }
    Ok(table.text())
}

fn clip_rows(options: &Options, clip: &Path) -> Result<Vec<Vec<String>>> {
    let target = Target::new(clip, &options.ladder, &options.speed, 4.0)?;
    target.require_capped()?;
    let scratch = tempfile::tempdir()?;
    let (full_dir, sampled_dir) = (scratch.path().join("full"), scratch.path().join("sampled"));
    let (full, sampled) =
        (encode(options, clip, &full_dir, &["--measure-every", "1"])?, encode(options, clip, &sampled_dir, &[])?);
    let name = clip.file_name().unwrap_or_default().to_string_lossy();
    let mut rows = Vec::new();
    for rendition in &target.renditions {
        let ours = [full.rendition(&rendition.name)?, sampled.rendition(&rendition.name)?];
        let bytes = ours.map(|it| it.bytes);
        ensure!(bytes[0] == bytes[1], "{name}, {}: two runs made {bytes:?} bytes of the same", rendition.name);
        let playlist = full_dir.join(&rendition.name).join("index.m3u8");
        let views = [
            (Score::Fidelity, View::fidelity(rendition.size)),
            (Score::Vmaf, View::display(&target.source.info.video)),
        ];
        for (score, view) in views {
            let inputs = [playlist.as_path(), &target.path];
            let log = scratch.path().join("judge.log");
            let (truth, _) = vmaf::measure(&options.ffmpeg, inputs, view, ours[0].frames, &log)?;
            let what =
                [name.as_ref().to_owned(), format!("{} {}", rendition.name, rendition.size), score.name().to_owned()];
            rows.push(row(what, truth, ours.map(|it| score.of(it)), ours[0].frames));
        }
    }
    Ok(rows)
}

fn encode(options: &Options, clip: &Path, out: &Path, more: &[&str]) -> Result<Report> {
    let shape = ["--ladder", &options.ladder_name, "--speed", &options.speed];
    ours::encode(&options.vtp, clip, out, &[&shape[..], &ours::ONCE, more].concat())?;
    Report::read(out)
}

/// The peer's figures and ours: of all frames, and of those that were sampled.
fn row(what: [String; 3], truth: Summary, [full, sampled]: [Option<Summary>; 2], frames: u32) -> Vec<String> {
    let or_none = |of: Option<Summary>, tell: &dyn Fn(Summary) -> String| of.map_or("-".to_owned(), tell);
    let off = |of| or_none(of, &|it| format!("{:+.3}", it.mean - truth.mean));
    let p1 = |of| or_none(of, &|it| format!("{:.2}", it.p1));
    let figures = [
        format!("{:.3}", truth.mean),
        off(full),
        off(sampled),
        or_none(sampled, &|it| format!("{} of {frames}", it.measured)),
        format!("{:.2}", truth.p1),
        p1(full),
        p1(sampled),
    ];
    what.into_iter().chain(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(mean: f64, p1: f64, measured: u32) -> Summary {
        Summary { mean, harmonic_mean: mean, p1, min: p1, measured }
    }

    #[test]
    fn ours_are_told_as_differences_to_the_peers() {
        let what = ["clip", "mobile 854x480", "fidelity"].map(str::to_owned);
        let ours = [Some(summary(90.003, 80.0, 240)), Some(summary(89.9, 81.0, 31))];
        let row = row(what, summary(90.0, 80.01, 240), ours, 240);
        assert_eq!(row.len(), HEAD.len());
        assert_eq!(row[3..], ["90.000", "+0.003", "-0.100", "31 of 240", "80.01", "80.00", "81.00"].map(str::to_owned));
    }

    #[test]
    fn a_score_that_the_report_does_not_have_is_left_open() {
        let what = ["clip", "mobile 854x480", "vmaf"].map(str::to_owned);
        let row = row(what, summary(90.0, 80.0, 240), [None, None], 240);
        assert_eq!(row[3..], ["90.000", "-", "-", "-", "80.00", "-", "-"].map(str::to_owned));
    }
}
