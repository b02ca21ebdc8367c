//! `--quality T --save` against `ab-av1 auto-encode --min-vmaf T`: both look for the fewest bits of x264 that are as good
//! as asked. What each delivers is measured by the peer's `libvmaf` filter over all frames.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vtp_engine::ladder::{LadderRequest, Method, Preset, Rendition, display_size};
use vtp_engine::quality::{Outcome, Summary};
use vtp_engine::units::Size;
use vtp_splitter::Source;

use crate::measured::{Measured, median, succeed};
use crate::ours;
use crate::peer::{self, Target};
use crate::report::Report;
use crate::table::Table;
use crate::vmaf::{self, View};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// The `ab-av1` binary. It runs `ffprobe` from the search path.
    pub ab_av1: PathBuf,
    /// The `ffmpeg` that it encodes and measures with, and that measures what both deliver.
    pub ffmpeg: PathBuf,
    /// The clips.
    pub clips: Vec<PathBuf>,
    /// The least VMAF that is asked for.
    pub target: f64,
    /// The rung; the highest that is not above the source if `None`.
    pub rung: Option<Preset>,
    /// x264's preset.
    pub speed: String,
    /// Whether `ab-av1` has to keep our rate cap and our distance of key frames.
    pub alike: bool,
    /// Runs of each side.
    pub runs: usize,
}

/// Length of our segments, which start with key frames, in seconds.
const SEGMENT_S: f64 = 4.0;

/// What one side has made of a clip.
#[derive(Clone, Debug)]
struct Delivered {
    runs: Vec<Measured>,
    /// Size of the coded pictures.
    bytes: u64,
    /// VMAF of all frames against the source scaled to the rendition's size.
    scores: Summary,
}

impl Delivered {
    fn wall_s(&self) -> f64 {
        median(self.runs.iter().map(|run| run.wall_s))
    }

    fn cpu_s(&self) -> f64 {
        median(self.runs.iter().map(|run| run.cpu_s))
    }
}

const HEAD: [&str; 16] = [
    "clip",
    "rendition",
    "vtp VMAF",
    "ab-av1 VMAF",
    "vtp off target",
    "ab-av1 off target",
    "vtp p1",
    "ab-av1 p1",
    "vtp wall s",
    "ab-av1 wall s",
    "ratio",
    "vtp CPU s",
    "ab-av1 CPU s",
    "vtp video bytes",
    "ab-av1 video bytes",
    "ratio",
];

/// Measures every clip and returns a table in Markdown with its notes.
pub fn run(options: &Options) -> Result<String> {
    vmaf::require(&options.ffmpeg)?;
    let mut table = Table::new(&HEAD);
    let mut notes = String::new();
    for clip in &options.clips {
        let (target, ours, theirs, report) = measure(options, clip)?;
        let rendition = &target.renditions[0];
        let name = clip.file_name().unwrap_or_default().to_string_lossy();
        table.row(row([name.as_ref(), &rendition.name], rendition.size, options.target, [&ours, &theirs]));
        writeln!(notes, "* {name}: {}", note(rendition, &report)?)?;
    }
    let asked = format!(
        "{}, libx264, {}, VMAF {}, {}.",
        version(&options.ab_av1)?,
        options.speed,
        options.target,
        if options.alike { "both under our rate cap, key frames as far apart" } else { "ab-av1 without a rate cap" }
    );
    Ok(format!("{asked}\n\n{}\nOurs under the rate cap:\n\n{notes}", table.text()))
}

fn measure(options: &Options, clip: &Path) -> Result<(Target, Delivered, Delivered, Report)> {
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);
    let mut pictures = at("pictures");
    pictures.set_extension(clip.extension().unwrap_or_default());
    peer::copy_video(&options.ffmpeg, clip, &pictures)?;
    let rung = options.rung.map_or_else(|| highest(clip), Ok)?;
    let target = Target::new(&pictures, &LadderRequest::Presets(vec![rung]), &options.speed, SEGMENT_S)?;
    let rendition = &target.renditions[0];
    tools(&options.ffmpeg, &at("tools"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let mine = encode_ours(options, &pictures, rung, &at("ours"))?;
        peer::empty(&at("work"))?;
        let mut command = encode_theirs(options, &target, &at("theirs.mp4"), [&at("tools"), &at("work")])?;
        let peer = succeed(&mut command, &at("ab-av1.log"), ours::LIMIT)?;
        eprintln!(
            "run {run}: vtp {:.2} s, {:.2} CPU s; ab-av1 {:.2} s, {:.2} CPU s",
            mine.wall_s, mine.cpu_s, peer.wall_s, peer.cpu_s
        );
        ours.push(mine);
        theirs.push(peer);
    }
    let delivered = |file: &Path, runs: Vec<Measured>| -> Result<Delivered> {
        let (view, frames) = (View::fidelity(rendition.size), target.source.index.frame_count());
        let (scores, _) = vmaf::measure(&options.ffmpeg, [file, &pictures], view, frames, &at("judge.log"))?;
        Ok(Delivered { runs, bytes: peer::video_bytes(&options.ffmpeg, file)?, scores })
    };
    let ours = delivered(&at("ours").join(&rendition.name).join("index.m3u8"), ours)?;
    let theirs = delivered(&at("theirs.mp4"), theirs)?;
    let report = Report::read(&at("ours"))?;
    Ok((target, ours, theirs, report))
}

/// The highest rung that is not above the source.
fn highest(clip: &Path) -> Result<Preset> {
    let source = Source::open(clip).with_context(|| clip.display().to_string())?;
    let size = display_size(&source.info.video);
    let fitting = Preset::ALL.into_iter().filter(|preset| preset.height().is_some_and(|height| height <= size.height));
    fitting.max_by_key(|preset| preset.height()).with_context(|| {
        format!("{}: no rung is as low as its {} lines; give a larger clip", clip.display(), size.height)
    })
}

fn encode_ours(options: &Options, source: &Path, rung: Preset, out: &Path) -> Result<Measured> {
    let (target, segment) = (options.target.to_string(), format!("{SEGMENT_S}s"));
    let words = [
        ["--ladder", rung.name()],
        ["--speed", &options.speed],
        ["--segment", &segment],
        ["--quality", &target],
        ["--floor", "0"],
    ];
    ours::encode(&options.vtp, source, out, &[words.as_flattened(), &["--save"]].concat())
}

/// The command of `ab-av1` that makes `out`. It finds `ffmpeg` in the folder `tools`, and works in the folder `work`.
fn encode_theirs(options: &Options, target: &Target, out: &Path, [tools, work]: [&Path; 2]) -> Result<Command> {
    let mut command = Command::new(&options.ab_av1);
    command.args(["auto-encode", "--input"]).arg(&target.path).arg("--output").arg(out);
    command.arg("--temp-dir").arg(work).args(words(options, target));
    command.env("PATH", search_path(tools)?).env("XDG_CACHE_HOME", work);
    Ok(command)
}

/// What `ab-av1` is told besides the files. Its scores are those of the rendition at its own size, as ours are; it may
/// take as many bits as it needs; and it remembers nothing of earlier runs.
fn words(options: &Options, target: &Target) -> Vec<String> {
    let rendition = &target.renditions[0];
    let asked = options.target.to_string();
    let model = format!("model=version={}", View::fidelity(rendition.size).model.name());
    let mut words: Vec<String> = [
        ["--encoder", "libx264"],
        ["--preset", &options.speed],
        ["--pix-format", "yuv420p"],
        ["--min-vmaf", &asked],
        ["--vmaf", &model],
        ["--vmaf-scale", "none"],
        ["--max-encoded-percent", "1000"],
        ["--cache", "false"],
    ]
    .as_flattened()
    .iter()
    .map(|&word| word.to_owned())
    .collect();
    if rendition.size != target.source.info.video.size {
        let Size { width, height } = rendition.size;
        words.extend(["--vfilter".to_owned(), format!("scale={width}:{height}:flags=bicubic")]);
    }
    if let (true, Method::Capped { max_rate, buffer_bits, .. }) = (options.alike, &rendition.method) {
        words.extend(["--keyint".to_owned(), format!("{SEGMENT_S}s")]);
        words.extend(["--enc".to_owned(), format!("maxrate={}", max_rate.0)]);
        words.extend(["--enc".to_owned(), format!("bufsize={buffer_bits}")]);
    }
    words
}

/// Makes the folder `tools` with `ffmpeg` in it, unless that is one of the search path.
fn tools(ffmpeg: &Path, tools: &Path) -> Result<()> {
    peer::empty(tools)?;
    if ffmpeg.components().count() > 1 {
        let whole = ffmpeg.canonicalize().with_context(|| format!("finding {}", ffmpeg.display()))?;
        std::os::unix::fs::symlink(whole, tools.join("ffmpeg")).context("naming ffmpeg")?;
    }
    Ok(())
}

/// The search path with the folder `first` in front.
fn search_path(first: &Path) -> Result<OsString> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).context("making a search path")
}

fn version(ab_av1: &Path) -> Result<String> {
    let answer = Command::new(ab_av1).arg("--version").output();
    let answer = answer.with_context(|| format!("starting {}", ab_av1.display()))?;
    ensure!(answer.status.success(), "{} --version: {}", ab_av1.display(), String::from_utf8_lossy(&answer.stderr));
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

fn row([clip, rung]: [&str; 2], size: Size, asked: f64, [ours, theirs]: [&Delivered; 2]) -> Vec<String> {
    let two = |value: f64| format!("{value:.2}");
    let off = |of: &Delivered| format!("{:+.2}", of.scores.mean - asked);
    let ratio = |mine: f64, peer: f64| format!("{:.3}", mine / peer);
    vec![
        clip.to_owned(),
        format!("{rung} {size}"),
        two(ours.scores.mean),
        two(theirs.scores.mean),
        off(ours),
        off(theirs),
        two(ours.scores.p1),
        two(theirs.scores.p1),
        two(ours.wall_s()),
        two(theirs.wall_s()),
        ratio(ours.wall_s(), theirs.wall_s()),
        two(ours.cpu_s()),
        two(theirs.cpu_s()),
        ours.bytes.to_string(),
        theirs.bytes.to_string(),
        ratio(ours.bytes as f64, theirs.bytes as f64),
    ]
}

/// What our cap is and whether it held us back.
fn note(rendition: &Rendition, report: &Report) -> Result<String> {
    let of = report.rendition(&rendition.name)?;
    let cap = match &rendition.method {
        Method::Capped { max_rate, .. } => format!("{} kb/s", max_rate.0 / 1000),
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => "none".to_owned(),
    };
    Ok(format!(
        "{} {cap}; chunks: {}, encodings of them: {}; as good as asked: {}, held back by the cap: {}, missed: {}",
        rendition.name,
        of.chunks.len(),
        of.encodings(),
        of.count(Outcome::Met),
        of.count(Outcome::Capped),
        of.count(Outcome::Missed),
    ))
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{BitRate, Ratio};

    use super::*;

    fn rendition() -> Rendition {
        Rendition {
            name: "mobile".to_owned(),
            size: Size { width: 854, height: 480 },
            sample_aspect: Ratio::ONE,
            method: Method::h264(23.0, BitRate(800_000), 1_600_000, "medium"),
        }
    }

    fn delivered(wall_s: f64, bytes: u64, mean: f64) -> Delivered {
        let run = Measured { wall_s, cpu_s: 2.0 * wall_s, peak_mib: 1.0, status: None };
        let scores = Summary { mean, harmonic_mean: mean, p1: mean - 5.0, min: mean - 9.0, measured: 240 };
        Delivered { runs: vec![run], bytes, scores }
    }

    #[test]
    fn a_row_tells_how_far_each_side_is_from_what_was_asked() {
        let size = Size { width: 854, height: 480 };
        let sides = [&delivered(10.0, 900, 93.25), &delivered(20.0, 1000, 92.5)];
        let row = row(["clip", "mobile"], size, 93.0, sides);
        assert_eq!(row.len(), HEAD.len());
        assert_eq!(row[2..6], ["93.25", "92.50", "+0.25", "-0.50"].map(str::to_owned));
        assert_eq!((row[10].as_str(), row[15].as_str()), ("0.500", "0.900"));
    }

    #[test]
    fn the_note_says_what_the_cap_is_and_whether_it_bound() {
        let expected =
            "mobile 800 kb/s; chunks: 2, encodings of them: 3; as good as asked: 1, held back by the cap: 1, missed: 0";
        assert_eq!(note(&rendition(), &crate::report::tests::report()).unwrap(), expected);
    }

    #[test]
    fn the_given_ffmpeg_is_found_before_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let (ffmpeg, tools_dir) = (folder.path().join("ffmpeg-9"), folder.path().join("tools"));
        std::fs::write(&ffmpeg, "it").unwrap();
        tools(&ffmpeg, &tools_dir).unwrap();
        assert_eq!(std::fs::read(tools_dir.join("ffmpeg")).unwrap(), b"it");
        let path = search_path(&tools_dir).unwrap();
        assert_eq!(std::env::split_paths(&path).next(), Some(tools_dir));
        assert!(tools(&folder.path().join("none"), &folder.path().join("tools")).is_err());
    }
}
