//! What the gate costs: our ladder not measured, measured and gated, and the peer's, which is measured when it is done.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vtp_engine::ladder::{LadderRequest, Rendition};
use vtp_engine::quality::{Outcome, Summary};

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
    /// Segment length in seconds.
    pub segment_s: f64,
    /// Chunks at once.
    pub workers: usize,
    /// Runs of each side.
    pub runs: usize,
    /// Whether to measure also without encoding anything again.
    pub no_retries: bool,
}

/// One run of each side.
#[derive(Clone, Copy, Debug)]
struct Round {
    plain: Measured,
    gated: Measured,
    once: Option<Measured>,
    peer_encoding: Measured,
    peer_measuring: Measured,
}

impl Round {
    fn peer(&self) -> Measured {
        self.peer_encoding.then(self.peer_measuring)
    }
}

/// Measures every clip and returns the tables in Markdown.
pub fn run(options: &Options) -> Result<String> {
    vmaf::require(&options.ffmpeg)?;
    let mut text = String::new();
    for clip in &options.clips {
        let name = clip.file_name().unwrap_or_default().to_string_lossy();
        let (workers, runs) = (options.workers, options.runs);
        writeln!(text, "### {name}, {}, {workers} workers, {runs} runs each\n", options.speed)?;
        text.push_str(&clip_tables(options, clip)?);
        text.push('\n');
    }
    Ok(text)
}

fn clip_tables(options: &Options, clip: &Path) -> Result<String> {
    let target = Target::new(clip, &options.ladder, &options.speed, options.segment_s)?;
    target.require_capped()?;
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);
    let (mut rounds, mut theirs) = (Vec::new(), Vec::new());
    // The first run of each warms the caches and does not count.
    for run in 0..=options.runs {
        let plain = encode(options, clip, &at("plain"), &["--no-measure"])?;
        let gated = encode(options, clip, &at("gated"), &[])?;
        let once = options.no_retries.then(|| encode(options, clip, &at("once"), &ours::ONCE)).transpose()?;
        peer::empty(&at("peer"))?;
        let mut command = peer::ladder_command(&options.ffmpeg, &target, &at("peer"));
        let peer_encoding = succeed(&mut command, &at("peer.log"), ours::LIMIT)?;
        let (scores, peer_measuring) = judge(options, &target, &at("peer"))?;
        let round = Round { plain, gated, once, peer_encoding, peer_measuring };
        eprintln!("run {run}: {}", line(&round));
        if run > 0 {
            rounds.push(round);
        }
        theirs = scores;
    }
    let report = Report::read(&at("gated"))?;
    let counts = Counts { plain: Report::read(&at("plain"))?.encodings(), gated: report.encodings() };
    let quality = quality_table(&target.renditions, &report, &at("peer"), &theirs)?;
    Ok(format!("{}\n{}\n{quality}", time_table(&rounds, counts), ratio_table(&rounds)))
}

fn encode(options: &Options, clip: &Path, out: &Path, more: &[&str]) -> Result<Measured> {
    let (segment, workers) = (format!("{}s", options.segment_s), options.workers.to_string());
    let words = [
        ["--ladder", &options.ladder_name],
        ["--speed", &options.speed],
        ["--segment", &segment],
        ["--workers", &workers],
    ];
    ours::encode(&options.vtp, clip, out, &[words.as_flattened(), more].concat())
}

/// The peer measures what it has published, one rendition after the other, and what that took.
fn judge(options: &Options, target: &Target, folder: &Path) -> Result<(Vec<Summary>, Measured)> {
    let (mut scores, mut total): (Vec<Summary>, Option<Measured>) = (Vec::new(), None);
    for (i, rendition) in target.renditions.iter().enumerate() {
        let playlist = folder.join(format!("v{i}/index.m3u8"));
        let inputs = [playlist.as_path(), &target.path];
        let (view, frames) = (View::fidelity(rendition.size), target.source.index.frame_count());
        let (summary, took) =
            vmaf::measure(&options.ffmpeg, inputs, view, frames, &folder.with_file_name("judge.log"))?;
        scores.push(summary);
        total = Some(total.map_or(took, |before| before.then(took)));
    }
    Ok((scores, total.context("the ladder has no rendition")?))
}

fn line(round: &Round) -> String {
    let told = |name: &str, run: Measured| format!("{name} {:.2} s, {:.2} CPU s", run.wall_s, run.cpu_s);
    let mut parts = vec![told("not measured", round.plain), told("gated", round.gated)];
    parts.extend(round.once.map(|once| told("measured once", once)));
    parts.extend([told("ffmpeg", round.peer_encoding), told("libvmaf", round.peer_measuring)]);
    parts.join("; ")
}

/// How many encodings of a chunk to a rendition there were.
#[derive(Clone, Copy, Debug)]
struct Counts {
    plain: u32,
    gated: u32,
}

fn time_table(rounds: &[Round], counts: Counts) -> String {
    let mut table = Table::new(&["", "wall s", "CPU s", "peak memory MiB", "encodings"]);
    let mut row = |name: &str, of: &dyn Fn(&Round) -> Measured, encodings: Option<u32>| {
        let figure = |pick: fn(&Measured) -> f64| format!("{:.2}", median(rounds.iter().map(|round| pick(&of(round)))));
        let encodings = encodings.map_or("-".to_owned(), |count| count.to_string());
        table.row(vec![name.to_owned(), figure(|m| m.wall_s), figure(|m| m.cpu_s), figure(|m| m.peak_mib), encodings]);
    };
    row("vtp, not measured", &|round| round.plain, Some(counts.plain));
    row("vtp, gated", &|round| round.gated, Some(counts.gated));
    if rounds.iter().all(|round| round.once.is_some()) {
        row("vtp, measured, nothing encoded again", &|round| round.once.unwrap_or(round.plain), Some(counts.plain));
    }
    row("ffmpeg, encoding", &|round| round.peer_encoding, None);
    row("ffmpeg, measuring", &|round| round.peer_measuring, None);
    row("ffmpeg, both", &Round::peer, None);
    table.text()
}

fn ratio_table(rounds: &[Round]) -> String {
    let mut table = Table::new(&["", "ratio (median of pairs)", "goal"]);
    let mut row = |name: &str, ratios: Vec<f64>, goal: &str| {
        if !ratios.is_empty() {
            table.row(vec![name.to_owned(), format!("{:.3}", median(ratios)), goal.to_owned()]);
        }
    };
    let each = |ratio: fn(&Round) -> Option<f64>| rounds.iter().filter_map(ratio).collect();
    row("CPU, gated to not measured", each(|it| Some(it.gated.cpu_s / it.plain.cpu_s)), "≤ 1.15");
    row(
        "CPU, measured, nothing encoded again, to not measured",
        each(|it| Some(it.once?.cpu_s / it.plain.cpu_s)),
        "≤ 1.15",
    );
    row("wall, gated to ffmpeg's both", each(|it| Some(it.gated.wall_s / it.peer().wall_s)), "≤ 0.60");
    row("wall, gated to not measured", each(|it| Some(it.gated.wall_s / it.plain.wall_s)), "");
    table.text()
}

const QUALITY: [&str; 12] = [
    "rendition",
    "vtp bytes",
    "vtp fidelity",
    "vtp p1",
    "chunks",
    "encodings",
    "met",
    "capped",
    "missed",
    "ffmpeg bytes",
    "ffmpeg fidelity",
    "ffmpeg p1",
];

/// Fidelity of what was published, ours as our report has it, the peer's as it has measured itself.
fn quality_table(renditions: &[Rendition], report: &Report, peer: &Path, theirs: &[Summary]) -> Result<String> {
    let mut table = Table::new(&QUALITY);
    for (i, (rendition, peers)) in renditions.iter().zip(theirs).enumerate() {
        let mine = report.rendition(&rendition.name)?;
        let score = |pick: fn(&Summary) -> f64| mine.fidelity.as_ref().map_or("-".to_owned(), |it| two(pick(it)));
        table.row(vec![
            format!("{} {}", rendition.name, rendition.size),
            mine.bytes.to_string(),
            score(|it| it.mean),
            score(|it| it.p1),
            mine.chunks.len().to_string(),
            mine.encodings().to_string(),
            mine.count(Outcome::Met).to_string(),
            mine.count(Outcome::Capped).to_string(),
            mine.count(Outcome::Missed).to_string(),
            peer::segment_bytes(&peer.join(format!("v{i}")))?.to_string(),
            two(peers.mean),
            two(peers.p1),
        ]);
    }
    Ok(table.text())
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(wall_s: f64, cpu_s: f64) -> Measured {
        Measured { wall_s, cpu_s, peak_mib: 100.0, status: None }
    }

    fn round(slow: f64) -> Round {
        Round {
            plain: took(10.0 * slow, 20.0 * slow),
            gated: took(12.0 * slow, 23.0 * slow),
            once: None,
            peer_encoding: took(9.0 * slow, 18.0 * slow),
            peer_measuring: took(11.0 * slow, 22.0 * slow),
        }
    }

    #[test]
    fn ratios_are_taken_of_each_pair_so_that_a_slow_run_does_not_skew_them() {
        let rounds = [round(1.0), round(3.0), round(1.5)];
        let expected = "\
| CPU, gated to not measured | 1.150 | ≤ 1.15 |
| wall, gated to ffmpeg's both | 0.600 | ≤ 0.60 |
";
        assert!(ratio_table(&rounds).contains(expected), "{}", ratio_table(&rounds));
    }

    #[test]
    fn the_pure_cost_of_measuring_is_told_where_it_was_asked_for() {
        assert!(!time_table(&[round(1.0)], Counts { plain: 6, gated: 8 }).contains("nothing encoded again"));
        let once = [Round { once: Some(took(11.0, 22.0)), ..round(1.0) }];
        let times = time_table(&once, Counts { plain: 6, gated: 8 });
        assert!(times.contains("| vtp, gated | 12.00 | 23.00 | 100.00 | 8 |"), "{times}");
        assert!(times.contains("| vtp, measured, nothing encoded again | 11.00 | 22.00 | 100.00 | 6 |"), "{times}");
        assert!(ratio_table(&once).contains("not measured | 1.100 |"), "{}", ratio_table(&once));
    }
}
