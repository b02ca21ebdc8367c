//! What encoding in chunks costs in bits: Bjøntegaard's delta rate of the default chunks against one encode of the whole
//! with the same settings and the same segments.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use vtp_engine::ladder::{LadderRequest, Method, Rendition};

use crate::bjontegaard::{self, Point};
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
    /// The peer's binary, whose filters `psnr` and `libvmaf` are used.
    pub ffmpeg: PathBuf,
    /// The clips.
    pub clips: Vec<PathBuf>,
    /// The ladder.
    pub ladder: LadderRequest,
    /// Its name on the command line.
    pub ladder_name: String,
    /// x264's preset.
    pub speed: String,
    /// Segment length in seconds.
    pub segment_s: f64,
    /// The constant rate factors of the points.
    pub crfs: Vec<f32>,
}

/// The longest chunk that `vtp encode` takes: every source becomes one.
const WHOLE: &str = "24h";

/// An encode that takes this share of its rate cap is held back by it: its rate factor no longer decides its rate, and
/// the point is on no curve.
const AT_THE_CAP: f64 = 0.9;

/// One encode of one rendition.
#[derive(Clone, Copy, Debug)]
struct Encode {
    bytes: u64,
    /// Share of the rate cap that it takes on average.
    load: f64,
    /// PSNR of luma in dB, of the mean error of all frames.
    psnr: f64,
    /// Mean VMAF of all frames against the source scaled to the rendition's size.
    fidelity: f64,
}

/// One rendition at one rate factor, both ways.
#[derive(Clone, Copy, Debug)]
struct Pair {
    crf: f32,
    chunked: Encode,
    whole: Encode,
}

impl Pair {
    fn is_at_the_cap(&self) -> bool {
        self.chunked.load.max(self.whole.load) >= AT_THE_CAP
    }
}

/// A rendition at all rate factors.
#[derive(Debug)]
struct Curves {
    rendition: Rendition,
    pairs: Vec<Pair>,
}

const RATES: [&str; 7] = ["clip", "rung", "chunks", "BD-rate PSNR", "BD-rate VMAF", "goal", "points used"];

const POINTS: [&str; 11] = [
    "clip",
    "rung",
    "crf",
    "chunked bytes",
    "whole bytes",
    "chunked, of the cap",
    "whole, of the cap",
    "chunked PSNR dB",
    "whole PSNR dB",
    "chunked VMAF",
    "whole VMAF",
];

/// Measures every clip and returns the tables in Markdown.
pub fn run(options: &Options) -> Result<String> {
    vmaf::require(&options.ffmpeg)?;
    let mut rates = Table::new(&RATES);
    let mut points = Table::new(&POINTS);
    for clip in &options.clips {
        let name = clip.file_name().unwrap_or_default().to_string_lossy();
        let (chunks, curves) = measure(options, clip)?;
        for of in &curves {
            rates.row([vec![name.to_string()], rate_cells(of, chunks)].concat());
            for pair in &of.pairs {
                points.row([vec![name.to_string()], point_cells(&of.rendition, pair)].concat());
            }
        }
    }
    let mut text = rates.text();
    let most = AT_THE_CAP * 100.0;
    writeln!(text, "\nThe points, {}; those that take {most} % of the rate cap are not used:\n", options.speed)?;
    Ok(text + &points.text())
}

fn measure(options: &Options, clip: &Path) -> Result<(usize, Vec<Curves>)> {
    let target = Target::new(clip, &options.ladder, &options.speed, options.segment_s)?;
    target.require_capped()?;
    let scratch = tempfile::tempdir()?;
    let (chunked_dir, whole_dir) = (scratch.path().join("chunked"), scratch.path().join("whole"));
    let name = clip.file_name().unwrap_or_default().to_string_lossy();
    let mut chunks = 0;
    let mut curves: Vec<Curves> =
        target.renditions.iter().map(|rendition| Curves { rendition: rendition.clone(), pairs: Vec::new() }).collect();
    for &crf in &options.crfs {
        let chunked = encode(options, clip, &chunked_dir, crf, "auto")?;
        let whole = encode(options, clip, &whole_dir, crf, WHOLE)?;
        ensure!(whole.plan.chunks == 1, "{name}: --chunk {WHOLE} made {} chunks", whole.plan.chunks);
        chunks = chunked.plan.chunks;
        for of in &mut curves {
            let name = &of.rendition.name;
            let lengths = [segment_lengths(&chunked_dir.join(name))?, segment_lengths(&whole_dir.join(name))?];
            ensure!(lengths[0] == lengths[1], "{name}: the segments differ: {lengths:?}");
            let chunked = figures(options, &target, &of.rendition, &chunked, &chunked_dir)?;
            let whole = figures(options, &target, &of.rendition, &whole, &whole_dir)?;
            let pair = Pair { crf, chunked, whole };
            eprintln!("{}", point_cells(&of.rendition, &pair).join("  "));
            of.pairs.push(pair);
        }
    }
    Ok((chunks, curves))
}

/// Encodes at the same settings throughout: without the gate and without repairs of joins, which change rate factors.
fn encode(options: &Options, clip: &Path, out: &Path, crf: f32, chunk: &str) -> Result<Report> {
    let (crf, segment) = (crf.to_string(), format!("{}s", options.segment_s));
    let shape = [
        ["--ladder", &options.ladder_name],
        ["--speed", &options.speed],
        ["--segment", &segment],
        ["--crf", &crf],
        ["--chunk", chunk],
    ];
    ours::encode(&options.vtp, clip, out, &[shape.as_flattened(), &["--no-measure"]].concat())?;
    Report::read(out)
}

/// The lengths of the segments in a folder's playlist, as they stand there.
fn segment_lengths(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("index.m3u8");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().filter(|line| line.starts_with("#EXTINF:")).map(str::to_owned).collect())
}

fn figures(options: &Options, target: &Target, rendition: &Rendition, report: &Report, out: &Path) -> Result<Encode> {
    let of = report.rendition(&rendition.name)?;
    let playlist = out.join(&rendition.name).join("index.m3u8");
    let (view, log) = (View::fidelity(rendition.size), out.join("vmaf.log"));
    let pair = [playlist.as_path(), target.path.as_path()];
    let (fidelity, _) = vmaf::measure(&options.ffmpeg, pair, view, target.source.index.frame_count(), &log)?;
    let psnr = peer::psnr(&options.ffmpeg, &playlist, &target.path, rendition)?;
    let load = match &rendition.method {
        Method::Capped { max_rate, .. } => of.average_bandwidth as f64 / max_rate.0 as f64,
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => 0.0,
    };
    Ok(Encode { bytes: of.bytes, load, psnr, fidelity: fidelity.mean })
}

fn rate_cells(of: &Curves, chunks: usize) -> Vec<String> {
    let free: Vec<Pair> = of.pairs.iter().filter(|pair| !pair.is_at_the_cap()).copied().collect();
    vec![
        format!("{} {}", of.rendition.name, of.rendition.size),
        chunks.to_string(),
        delta(&free, |encode| encode.psnr),
        delta(&free, |encode| encode.fidelity),
        "≤ +0.5 %".to_owned(),
        format!("{} of {}", free.len(), of.pairs.len()),
    ]
}

/// The delta rate in percent, or why there is none.
fn delta(pairs: &[Pair], quality: fn(&Encode) -> f64) -> String {
    let point = |encode: &Encode| Point { rate: encode.bytes as f64, quality: quality(encode) };
    let curve = |of: fn(&Pair) -> &Encode| -> Vec<Point> { pairs.iter().map(|pair| point(of(pair))).collect() };
    match bjontegaard::delta_rate(&curve(|pair| &pair.whole), &curve(|pair| &pair.chunked)) {
        Ok(share) => format!("{:+.2} %", share * 100.0),
        Err(error) => format!("none: {error}"),
    }
}

fn point_cells(rendition: &Rendition, pair: &Pair) -> Vec<String> {
    let (chunked, whole) = (pair.chunked, pair.whole);
    vec![
        rendition.name.clone(),
        pair.crf.to_string(),
        chunked.bytes.to_string(),
        whole.bytes.to_string(),
        format!("{:.0} %", chunked.load * 100.0),
        format!("{:.0} %", whole.load * 100.0),
        format!("{:.3}", chunked.psnr),
        format!("{:.3}", whole.psnr),
        format!("{:.3}", chunked.fidelity),
        format!("{:.3}", whole.fidelity),
    ]
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{BitRate, Ratio, Size};

    use super::*;

    fn curves(factor: f64) -> Curves {
        let rendition = Rendition {
            name: "mobile".to_owned(),
            size: Size { width: 854, height: 480 },
            sample_aspect: Ratio::ONE,
            method: Method::h264(23.0, BitRate(800_000), 1_600_000, "medium"),
        };
        let pair = |crf: f32| {
            let quality = 60.0 - f64::from(crf);
            let load = if crf < 20.0 { 0.95 } else { 0.5 };
            let whole =
                Encode { bytes: (1e12 / f64::from(crf).powi(3)) as u64, load, psnr: quality, fidelity: quality };
            Pair { crf, whole, chunked: Encode { bytes: (whole.bytes as f64 * factor) as u64, ..whole } }
        };
        Curves { rendition, pairs: [19.0, 23.0, 27.0, 31.0].map(pair).to_vec() }
    }

    #[test]
    fn a_chunked_encode_that_takes_more_for_the_same_shows_by_how_much() {
        let cells = rate_cells(&curves(1.01), 4);
        let expected = ["mobile 854x480", "4", "+1.00 %", "+1.00 %", "≤ +0.5 %", "3 of 4"];
        assert_eq!(cells, expected.map(str::to_owned));
        assert_eq!(RATES.len(), cells.len() + 1);
    }

    #[test]
    fn a_point_at_the_rate_cap_does_not_count() {
        let mut curves = curves(1.01);
        assert!(curves.pairs[0].is_at_the_cap());
        curves.pairs[0].chunked.bytes *= 3;
        assert_eq!(rate_cells(&curves, 4)[2], "+1.00 %");
        let cells = point_cells(&curves.rendition, &curves.pairs[0]);
        assert_eq!((cells.len() + 1, cells[4].as_str()), (POINTS.len(), "95 %"));
    }

    #[test]
    fn where_there_is_no_delta_rate_the_table_says_why() {
        let mut curves = curves(1.0);
        curves.pairs.truncate(1);
        assert_eq!(rate_cells(&curves, 4)[2], "none: fewer than two points make no curve");
    }

    #[test]
    fn segments_are_compared_by_the_lengths_in_their_playlist() {
        let folder = tempfile::tempdir().unwrap();
        let text = "#EXTM3U\n#EXTINF:4.000000,\nseg-1.m4s\n#EXTINF:2.500000,\nseg-2.m4s\n#EXT-X-ENDLIST\n";
        std::fs::write(folder.path().join("index.m3u8"), text).unwrap();
        assert_eq!(segment_lengths(folder.path()).unwrap(), ["#EXTINF:4.000000,", "#EXTINF:2.500000,"]);
    }
}
