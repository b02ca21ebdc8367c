//! Sources whose containers or streams are odd in one way each, made by FFmpeg's own tools.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vtp_splitter::Source;

/// Writes `folder/name` with FFmpeg. `None` if there is no such command here.
fn generate(folder: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments.split_whitespace()).arg(&path).stdin(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "ffmpeg writes {name}");
            Some(path)
        }
        Err(error) => {
            eprintln!("SKIPPED: no ffmpeg command to generate {name} with ({error})");
            None
        }
    }
}

fn open(path: &Path) -> Source {
    vtp_engine::media::silence_log();
    Source::open(path).unwrap()
}

#[test]
fn few_frames_a_second_that_matroska_reorders_keep_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, codec) = ("-f lavfi -i testsrc2=s=160x90:r=5:d=10", "-c:v libx264 -preset ultrafast -bf 3");
    let arguments = format!("{pictures} {codec} -pix_fmt yuv420p -b_strategy 0");
    let Some(path) = generate(folder.path(), "low.mkv", &arguments) else { return };
    let source = open(&path);
    assert_eq!(source.index.heals, []);
    let times: Vec<i64> = source.index.frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(times.len(), 50);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 200), "{times:?}");
}
