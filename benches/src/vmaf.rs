//! VMAF by the peer: its `libvmaf` filter over all frames of a published video.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use vtp_engine::ladder::display_size;
use vtp_engine::media::vmaf::Model;
use vtp_engine::quality::Summary;
use vtp_engine::source::VideoInfo;
use vtp_engine::units::Size;

use crate::measured::{Measured, succeed};
use crate::ours;

/// At which size two videos are compared, and how people are taken to look at them there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Both are scaled to this.
    pub(crate) size: Size,
    /// The model of the viewers.
    pub(crate) model: Model,
}

impl View {
    /// At a rendition's own size: what the encoding alone has cost.
    pub(crate) fn fidelity(size: Size) -> Self {
        Self { size, model: Model::Hd }
    }

    /// At the size of the source in square pixels, rounded up to even: what a viewer sees.
    pub(crate) fn display(video: &VideoInfo) -> Self {
        let exact = display_size(video);
        let size = Size { width: exact.width.next_multiple_of(2), height: exact.height.next_multiple_of(2) };
        Self { size, model: Model::for_display(size) }
    }

    /// The filters that make and compare both: input 0 is the distorted video, input 1 the reference. Frames are paired
    /// by their order.
    fn graph(self, threads: usize) -> String {
        let Size { width, height } = self.size;
        let alike = format!("scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/90000,setpts=N");
        let model = self.model.name();
        let vmaf = format!("libvmaf=model=version={model}:n_threads={threads}:log_fmt=json:log_path=/dev/stdout");
        format!("[0:v:0]{alike}[distorted];[1:v:0]{alike}[reference];[distorted][reference]{vmaf}[out]")
    }
}

/// Fails with a sentence unless `ffmpeg` has the filter.
pub(crate) fn require(ffmpeg: &Path) -> Result<()> {
    let answer = Command::new(ffmpeg).args(["-hide_banner", "-v", "error", "-filters"]).output();
    let answer = answer.with_context(|| format!("starting {}", ffmpeg.display()))?;
    let names = String::from_utf8_lossy(&answer.stdout);
    let is_there = names.lines().any(|line| line.split_whitespace().nth(1) == Some("libvmaf"));
    ensure!(is_there, "{} has no filter libvmaf; give an ffmpeg that has it with --peer", ffmpeg.display());
    Ok(())
}

/// What the frames of `distorted`, of which there are `frames`, score against those of `reference`, and what it took to
/// tell. The output goes to files beside `log`.
pub(crate) fn measure(
    ffmpeg: &Path,
    [distorted, reference]: [&Path; 2],
    view: View,
    frames: u32,
    log: &Path,
) -> Result<(Summary, Measured)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-nostats", "-v", "error", "-i"]).arg(distorted).arg("-i").arg(reference);
    command.args(["-lavfi", &view.graph(threads), "-map", "[out]", "-fps_mode", "passthrough", "-f", "null", "-"]);
    let took = succeed(&mut command, log, ours::LIMIT)?;
    let path = log.with_extension("out");
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let scores = parse(&text).with_context(|| format!("reading the scores of {}", distorted.display()))?;
    let found = scores.len();
    ensure!(found == frames as usize, "{}: {found} frames were compared, not {frames}", distorted.display());
    let weighed = scores.into_iter().map(|score| (score, 1.0));
    Ok((Summary::of(weighed).with_context(|| format!("{} has no frames", distorted.display()))?, took))
}

/// The scores of all frames in libvmaf's log.
fn parse(log: &[u8]) -> Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Log {
        frames: Vec<Frame>,
    }
    #[derive(Deserialize)]
    struct Frame {
        metrics: Metrics,
    }
    #[derive(Deserialize)]
    struct Metrics {
        vmaf: f64,
    }
    let log: Log = serde_json::from_slice(log)?;
    Ok(log.frames.into_iter().map(|frame| frame.metrics.vmaf).collect())
}

#[cfg(test)]
mod tests {
    use vtp_engine::source::{Color, HdrMetadata, Rotation};
    use vtp_engine::units::{Ratio, TimeBase};

    use super::*;

    fn video(width: u32, height: u32, sample_aspect: Ratio, quarter_turns: u8) -> VideoInfo {
        VideoInfo {
            stream: 0,
            codec: "h264".to_owned(),
            time_base: TimeBase(Ratio::ONE),
            size: Size { width, height },
            sample_aspect,
            picture_aspect: None,
            rotation: Rotation { quarter_turns, mirrored: false },
            pixel_format: "yuv420p".to_owned(),
            color: Color::UNSPECIFIED,
            hdr: HdrMetadata::default(),
            interlaced: false,
            top_field_first: None,
            frame_rate: Ratio::ONE,
        }
    }

    #[test]
    fn the_distorted_video_comes_first_and_both_get_the_same_size() {
        let size = Size { width: 854, height: 480 };
        let alike = "scale=854:480:flags=bicubic,format=yuv420p,settb=1/90000,setpts=N";
        let expected = format!(
            "[0:v:0]{alike}[distorted];[1:v:0]{alike}[reference];[distorted][reference]libvmaf=\
             model=version=vmaf_v0.6.1:n_threads=2:log_fmt=json:log_path=/dev/stdout[out]"
        );
        assert_eq!(View::fidelity(size).graph(2), expected);
    }

    #[test]
    fn a_display_has_square_pixels_stands_upright_and_is_even() {
        let dvd = View::display(&video(720, 575, Ratio::new(16, 15).unwrap(), 0));
        assert_eq!((dvd.size, dvd.model), (Size { width: 768, height: 576 }, Model::Hd));
        let phone = View::display(&video(3840, 2160, Ratio::ONE, 1));
        assert_eq!((phone.size, phone.model), (Size { width: 2160, height: 3840 }, Model::Uhd));
    }

    #[test]
    fn scores_are_read_in_their_order() {
        let log = br#"{"version": "3", "fps": 1.5, "frames": [
            {"frameNum": 0, "metrics": {"integer_motion2": 0.0, "vmaf": 97.5}},
            {"frameNum": 1, "metrics": {"integer_motion2": 1.0, "vmaf": 12.25}}
        ], "pooled_metrics": {"vmaf": {"mean": 54.875}}, "aggregate_metrics": {}}"#;
        assert_eq!(parse(log).unwrap(), [97.5, 12.25]);
        assert!(parse(b"").is_err());
    }
}
