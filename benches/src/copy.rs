//! `--ladder copy` against `ffmpeg -c copy -f hls`: interleaved runs, medians and ratios.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::measured::{self, Measured, median};
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
            let mut vtp = Command::new(&options.vtp);
            vtp.arg("encode").arg(clip).arg("--out").arg(&ours).args([
                "--force",
                "--progress",
                "none",
                "--ladder",
                "copy",
            ]);
            let mine = succeed(&mut vtp, &scratch.path().join("vtp"))?;
            let mut ffmpeg = peer::copy_command(&options.ffmpeg, clip, SEGMENT_S, &theirs);
            let peer = succeed(&mut ffmpeg, &scratch.path().join("ffmpeg"))?;
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

fn succeed(command: &mut Command, log: &std::path::Path) -> Result<Measured> {
    let run = measured::run(command, log, LIMIT)?;
    let said = || std::fs::read_to_string(log.with_extension("err")).unwrap_or_default();
    ensure!(run.status.is_some_and(|status| status.success()), "{command:?}: {}", said());
    Ok(run)
}
