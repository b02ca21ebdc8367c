//! `--ladder copy` against `ffmpeg -c copy -f hls`: interleaved runs, medians and ratios.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::measured::{Measured, median, succeed};
use crate::ours;
use crate::peer;
use crate::table::Table;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// The peer's binary.
    pub ffmpeg: PathBuf,
    /// The clips.
    pub clips: Vec<PathBuf>,
    /// Runs of each side.
    pub runs: usize,
}

const LIMIT: Duration = Duration::from_secs(600);
const SEGMENT_S: f64 = 4.0;

/// Measures every clip and returns a table in Markdown.
pub fn run(options: &Options) -> Result<String> {
    let mut table =
        Table::new(&["clip", "vtp wall s", "ffmpeg wall s", "ratio (median of pairs)", "vtp CPU s", "ffmpeg CPU s"]);
    for clip in &options.clips {
        let scratch = tempfile::tempdir()?;
        let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("peer"));
        std::fs::create_dir_all(&theirs)?;
        let mut runs: Vec<(Measured, Measured)> = Vec::new();
        for run in 0..=options.runs {
            let mine = ours::encode(&options.vtp, clip, &ours, &["--ladder", "copy"])?;
            let mut ffmpeg = peer::copy_command(&options.ffmpeg, clip, SEGMENT_S, &theirs);
            let peer = succeed(&mut ffmpeg, &scratch.path().join("ffmpeg"), LIMIT)?;
            if run > 0 {
                runs.push((mine, peer));
            }
        }
        let figure = |of: fn(&(Measured, Measured)) -> f64| median(runs.iter().map(of));
        table.row(vec![
            clip.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format!("{:.3}", figure(|r| r.0.wall_s)),
            format!("{:.3}", figure(|r| r.1.wall_s)),
            format!("{:.2}", figure(|r| r.0.wall_s / r.1.wall_s)),
            format!("{:.2}", figure(|r| r.0.cpu_s)),
            format!("{:.2}", figure(|r| r.1.cpu_s)),
        ]);
    }
    Ok(table.text())
}
