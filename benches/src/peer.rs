//! The peer: one `ffmpeg` command that decodes once and writes the same ladder as fMP4 HLS.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vtp_engine::ladder::{Ladder, LadderOptions, LadderRequest, Method, Rendition, VideoCodec, ladder};
use vtp_engine::plan::{Plan, PlanSettings, plan};
use vtp_splitter::Source;

/// A source with what is to be made of it, by our plan.
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    pub(crate) renditions: Vec<Rendition>,
    pub(crate) plan: Plan,
    pub(crate) segment_s: f64,
}

impl Target {
    /// The ladder `request` of the source at `path` with encoder preset `speed`, in H.264.
    pub(crate) fn new(path: &Path, request: &LadderRequest, speed: &str, segment_s: f64) -> Result<Self> {
        Self::in_codecs(path, request, &[VideoCodec::H264], speed, segment_s)
    }

    /// The ladder `request` of the source at `path` in these codecs, with encoder preset `speed`.
    pub(crate) fn in_codecs(
        path: &Path,
        request: &LadderRequest,
        codecs: &[VideoCodec],
        speed: &str,
        segment_s: f64,
    ) -> Result<Self> {
        let source = Source::open(path).with_context(|| path.display().to_string())?;
        let options =
            LadderOptions { codecs: codecs.to_vec(), speed: Some(speed.to_owned()), ..LadderOptions::default() };
        let Ladder { renditions, .. } = ladder(request, &source.info, &options)?;
        let settings = PlanSettings { segment_s, chunk_s: None, copies_packets: false, context_frames: 0 };
        let plan = plan(&source.index, source.info.video.time_base, &settings);
        Ok(Self { path: path.to_owned(), source, renditions, plan, segment_s })
    }

    /// Fails with a sentence if the ladder keeps the source's pictures or packets anywhere.
    pub(crate) fn require_capped(&self) -> Result<()> {
        let kept = self.renditions.iter().find(|rendition| !matches!(rendition.method, Method::Capped { .. }));
        let name = kept.map_or("", |rendition| &rendition.name);
        ensure!(kept.is_none(), "{name} is not encoded at a rate factor; leave it out of --ladder");
        Ok(())
    }

    /// The most frames between key frames: as x264 is told for our chunks, which decides where it sees scenes change.
    fn key_distance(&self) -> u32 {
        let longest = self.plan.segments.iter().map(|segment| segment.end - segment.start).max();
        longest.unwrap_or(0).max(LEAST_KEYINT)
    }
}

/// The least `keyint` that ours is told.
const LEAST_KEYINT: u32 = 48;

/// Where segments start, as `ffmpeg` is told it. Numbers of frames, because times are rounded before they are compared,
/// and a key picture one frame beside a cut of the source costs a tenth of the bits.
fn key_frames(segments: &[Range<u32>]) -> String {
    let starts = segments.iter().map(|segment| format!("eq(n,{})", segment.start));
    format!("expr:{}", starts.collect::<Vec<_>>().join("+"))
}

/// Makes `folder` anew, with nothing in it.
pub(crate) fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

/// What `ffmpeg` is told of the encoder of a rendition, with as many threads as it likes.
fn encoder_options(rendition: &Rendition) -> Vec<(&'static str, String)> {
    let Method::Capped { codec, depth, crf, max_rate, buffer_bits, speed, .. } = &rendition.method else {
        return Vec::new();
    };
    let preset = codec.preset(speed).to_owned();
    let mut options = vec![("c", codec.encoder().to_owned()), ("crf", crf.to_string())];
    options.push(("pix_fmt", if *depth > 8 { "yuv420p10le" } else { "yuv420p" }.to_owned()));
    let capped = [("maxrate", max_rate.0.to_string()), ("bufsize", buffer_bits.to_string())];
    match codec {
        VideoCodec::H264 => {
            options.extend([("preset", preset), ("profile", "high".to_owned()), ("forced-idr", "1".to_owned())]);
            options.extend(capped);
        }
        VideoCodec::Hevc => {
            options.extend([("preset", preset), ("forced-idr", "1".to_owned()), ("tag", "hvc1".to_owned())]);
            options.push(("x265-params", "open-gop=0".to_owned()));
            options.extend(capped);
        }
        VideoCodec::Vp9 => {
            options.extend([("cpu-used", preset), ("deadline", "good".to_owned()), ("row-mt", "1".to_owned())]);
            options.push(("b", max_rate.0.to_string()));
        }
        VideoCodec::Av1 => options.push(("preset", preset)),
    }
    options
}

/// The command of `ffmpeg` that makes `target` below `out`, which exists.
pub(crate) fn ladder_command(ffmpeg: &Path, target: &Target, out: &Path) -> Command {
    let mut command = quiet(ffmpeg);
    command.arg("-i").arg(&target.path).args(["-filter_complex", &filters(&target.renditions)]);
    let has_audio = !target.source.info.audio.is_empty();
    let (keys, distance) = (key_frames(&target.plan.segments), target.key_distance().to_string());
    let base = target.source.info.video.time_base.0;
    let base = format!("{}/{}", base.num(), base.den());
    for (i, rendition) in target.renditions.iter().enumerate() {
        command.args(["-map", &format!("[out{i}]")]);
        // Every option for every stream: one without a stream number reaches the first stream alone.
        let mut option = |name: &str, value: &str| {
            command.args([&format!("-{name}:v:{i}"), value]);
        };
        for (name, value) in encoder_options(rendition) {
            option(name, &value);
        }
        option("g", &distance);
        // SVT-AV1 puts a key frame every so many and nowhere else.
        if rendition.codec() != VideoCodec::Av1 {
            option("force_key_frames", &keys);
        }
        for (name, value) in [("fps_mode", "passthrough"), ("enc_time_base", base.as_str())] {
            option(name, value);
        }
    }
    if has_audio {
        command.args(["-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", "-ac", "2"]);
    }
    let streams: Vec<String> = (0..target.renditions.len())
        .map(|i| if has_audio { format!("v:{i},agroup:a") } else { format!("v:{i}") })
        .chain(has_audio.then(|| "a:0,agroup:a".to_owned()))
        .collect();
    hls(&mut command, target.segment_s).args(["-master_pl_name", "master.m3u8", "-var_stream_map", &streams.join(" ")]);
    command.arg("-hls_segment_filename").arg(out.join("v%v/seg-%05d.m4s")).arg(out.join("v%v/index.m3u8"));
    command
}

/// The command of `ffmpeg` that copies the source into HLS below `out`, which exists.
pub(crate) fn copy_command(ffmpeg: &Path, source: &Path, segment_s: f64, out: &Path) -> Command {
    let mut command = quiet(ffmpeg);
    command.arg("-i").arg(source).args(["-map", "0:v:0", "-map", "0:a:0?", "-c", "copy"]);
    hls(&mut command, segment_s).arg("-hls_segment_filename").arg(out.join("seg-%05d.m4s")).arg(out.join("index.m3u8"));
    command
}

/// Copies the pictures of `source` into a file of their own, whose name tells its format.
pub(crate) fn copy_video(ffmpeg: &Path, source: &Path, to: &Path) -> Result<()> {
    let mut command = quiet(ffmpeg);
    command.arg("-i").arg(source).args(["-map", "0:v:0", "-c", "copy"]).arg(to);
    let answer = command.output().with_context(|| format!("starting {}", ffmpeg.display()))?;
    ensure!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(())
}

/// Size of the coded pictures in `file`, without what its container adds.
pub(crate) fn video_bytes(ffmpeg: &Path, file: &Path) -> Result<u64> {
    let mut command = quiet(ffmpeg);
    command.arg("-i").arg(file).args(["-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]);
    let answer = command.output().with_context(|| format!("starting {}", ffmpeg.display()))?;
    ensure!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
    sum_of_sizes(&String::from_utf8_lossy(&answer.stdout))
}

/// The sum of the sizes in a listing of packets: stream, two times, duration, size, checksum.
fn sum_of_sizes(listing: &str) -> Result<u64> {
    let rows = listing.lines().filter(|line| !line.starts_with('#'));
    let size = |row: &str| row.split(',').nth(4)?.trim().parse::<u64>().ok();
    rows.map(|row| size(row).with_context(|| format!("no size in {row:?}"))).sum()
}

fn quiet(ffmpeg: &Path) -> Command {
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-nostats", "-v", "error", "-y"]);
    command
}

fn hls(command: &mut Command, segment_s: f64) -> &mut Command {
    // Segments end at the key frames; any value below the shortest distance of two does that.
    let time = format!("{:.3}", segment_s / 8.0);
    command.args(["-f", "hls", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod", "-hls_time", &time])
}

fn filters(renditions: &[Rendition]) -> String {
    let outputs: String = (0..renditions.len()).map(|i| format!("[in{i}]")).collect();
    let scales = renditions.iter().enumerate().map(|(i, rendition)| {
        let (width, height) = (rendition.size.width, rendition.size.height);
        format!(";[in{i}]scale={width}:{height}:flags=bicubic[out{i}]")
    });
    format!("[0:v:0]split={}{outputs}{}", renditions.len(), scales.collect::<String>())
}

/// Mean PSNR (luma, dB) of `playlist`'s video against `source` scaled to its size, by `ffmpeg`'s own filter.
pub(crate) fn psnr(ffmpeg: &Path, playlist: &Path, source: &Path, rendition: &Rendition) -> Result<f64> {
    let (width, height) = (rendition.size.width, rendition.size.height);
    let graph = format!(
        "[0:v:0]settb=1/90000,setpts=N[a];[1:v:0]scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/90000,setpts=N[b];[a][b]psnr"
    );
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-nostats", "-v", "info", "-i"]).arg(playlist).arg("-i").arg(source);
    command.args(["-lavfi", &graph, "-fps_mode", "passthrough", "-f", "null", "-"]);
    let answer = command.output().context("measuring PSNR")?;
    let text = String::from_utf8_lossy(&answer.stderr);
    let value = text.rsplit("PSNR y:").next().and_then(|rest| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).with_context(|| format!("no PSNR of {}: {text}", playlist.display()))
}

/// Size of all media segments below `folder`.
pub(crate) fn segment_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|ending| ending == "m4s") {
            sum += path.metadata()?.len();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn key_frames_are_told_by_their_numbers() {
        assert_eq!(key_frames(&[0..96]), "expr:eq(n,0)");
        assert_eq!(key_frames(&[0..96, 96..150, 150..151]), "expr:eq(n,0)+eq(n,96)+eq(n,150)");
    }

    #[test]
    fn the_sizes_of_packets_are_added_up() {
        let listing =
            "#tb 0: 1/12288\n0,  -1024,  0,  512,  1500, 0x1a2b3c4d, S=1, 8\n0,  -512,  512,  512,  250, 0x0\n";
        assert_eq!(sum_of_sizes(listing).unwrap(), 1750);
        assert!(sum_of_sizes("0, 1\n").is_err());
    }
}
