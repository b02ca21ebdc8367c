//! The whole pipeline against one `ffmpeg` command that decodes once and makes the same ladder: interleaved runs,
//! medians and ratios.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use vtp_encoder_node as node;
use vtp_engine::chunk::EncodeTask;
use vtp_engine::ladder::{LadderRequest, Rendition, VideoCodec};
use vtp_engine::media::demux::{SourceFile, SourcePacket};
use vtp_engine::plan::ChunkPlan;
use vtp_engine::units::{Attempt, PacketIndex};
use vtp_splitter::ChunkReader;

use crate::measured::{Measured, median, succeed};
use crate::ours;
use crate::peer::{self, Target};
use crate::report::Report;
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
    /// The ladder.
    pub ladder: LadderRequest,
    /// Its name on the command line.
    pub ladder_name: String,
    /// The codecs.
    pub codecs: Vec<VideoCodec>,
    /// The preset, as x264 calls it.
    pub speed: String,
    /// Segment length in seconds.
    pub segment_s: f64,
    /// Chunks at once, and the cores that the busy share is taken of.
    pub workers: usize,
    /// Runs of each side.
    pub runs: usize,
    /// Whether to measure the bare CPU: decoding, scaling and each encoder alone on one thread.
    pub bare: bool,
    /// Whether to encode the source in one chunk, too: where that agrees with the peer, all that differs comes from the
    /// chunks.
    pub whole: bool,
}

/// The longest chunk that `vtp encode` takes: every source becomes one.
const WHOLE: &str = "24h";

/// Measures every clip and returns the tables in Markdown.
pub fn run(options: &Options) -> Result<String> {
    let mut text = String::new();
    for clip in &options.clips {
        let name = clip.file_name().unwrap_or_default().to_string_lossy();
        let (workers, runs) = (options.workers, options.runs);
        let codecs = codec_names(options);
        writeln!(text, "### {name}, {codecs}, {}, {workers} workers, {runs} runs each\n", options.speed)?;
        text.push_str(&clip_tables(options, clip)?);
        text.push('\n');
    }
    Ok(text)
}

fn clip_tables(options: &Options, clip: &Path) -> Result<String> {
    let target = Target::in_codecs(clip, &options.ladder, &options.codecs, &options.speed, options.segment_s)?;
    let scratch = tempfile::tempdir()?;
    let (ours_dir, peer_dir) = (scratch.path().join("ours"), scratch.path().join("peer"));
    let (mut ours, mut theirs, mut encode_wall) = (Vec::new(), Vec::new(), Vec::new());
    // The first run of each warms the caches and does not count.
    for run in 0..=options.runs {
        let mine = measure_ours(options, clip, &ours_dir, "auto")?;
        let peer = measure_peer(options, &target, &peer_dir)?;
        eprintln!(
            "run {run}: vtp {:.2} s, {:.2} CPU s; ffmpeg {:.2} s, {:.2} CPU s",
            mine.wall_s, mine.cpu_s, peer.wall_s, peer.cpu_s
        );
        if run > 0 {
            encode_wall.push(Report::read(&ours_dir)?.timing.stages.get("encode_wall_s").copied().unwrap_or(0.0));
            ours.push(mine);
            theirs.push(peer);
        }
    }
    let mut text = time_table(&ours, &theirs);
    if options.bare {
        let bare = bare_cpu(&target)?;
        let wall = median(encode_wall);
        let busy = bare.total() / (wall * options.workers as f64);
        writeln!(
            text,
            "\nBare CPU: decode {:.2} s, scale {:.2} s, encoders alone {:.2} s, together {:.2} s; encoding took {wall:.2} s \
             of wall clock: {:.1} % of {} cores busy with bare work.",
            bare.decode_s,
            bare.scale_s,
            bare.encode_s,
            bare.total(),
            busy * 100.0,
            options.workers
        )?;
    }
    text.push('\n');
    text.push_str(&quality_table(options, &target, &ours_dir, &peer_dir)?);
    if options.whole {
        measure_ours(options, clip, &ours_dir, WHOLE)?;
        text.push_str("\nThe same, ours in one chunk:\n\n");
        text.push_str(&quality_table(options, &target, &ours_dir, &peer_dir)?);
    }
    Ok(text)
}

fn measure_ours(options: &Options, clip: &Path, out: &Path, chunk: &str) -> Result<Measured> {
    let codecs = codec_names(options);
    let (segment, workers) = (format!("{}s", options.segment_s), options.workers.to_string());
    let words = [
        ["--ladder", &options.ladder_name],
        ["--codec", &codecs],
        ["--speed", &options.speed],
        ["--segment", &segment],
        ["--workers", &workers],
        ["--chunk", chunk],
    ];
    ours::encode(&options.vtp, clip, out, &[words.as_flattened(), &["--no-measure"]].concat())
}

fn codec_names(options: &Options) -> String {
    options.codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(",")
}

fn measure_peer(options: &Options, target: &Target, out: &Path) -> Result<Measured> {
    peer::empty(out)?;
    succeed(&mut peer::ladder_command(&options.ffmpeg, target, out), &out.with_extension("log"), ours::LIMIT)
}

fn time_table(ours: &[Measured], theirs: &[Measured]) -> String {
    let mut table = Table::new(&["", "vtp", "ffmpeg", "ratio (median of pairs)"]);
    type Figure = (&'static str, fn(&Measured) -> f64);
    let figures: [Figure; 3] = [("wall s", |m| m.wall_s), ("CPU s", |m| m.cpu_s), ("peak memory MiB", |m| m.peak_mib)];
    for (name, figure) in figures {
        let ratio = median(ours.iter().zip(theirs).map(|(mine, peer)| figure(mine) / figure(peer)));
        let of = |runs: &[Measured]| format!("{:.2}", median(runs.iter().map(figure)));
        table.row(vec![name.to_owned(), of(ours), of(theirs), format!("{ratio:.3}")]);
    }
    table.text()
}

fn quality_table(options: &Options, target: &Target, ours: &Path, theirs: &Path) -> Result<String> {
    let mut table =
        Table::new(&["rendition", "vtp bytes", "ffmpeg bytes", "ratio", "vtp PSNR", "ffmpeg PSNR", "difference dB"]);
    let report = Report::read(ours)?;
    for (i, rendition) in target.renditions.iter().enumerate() {
        report.rendition(&rendition.name)?;
        let (mine, peer) = (ours.join(&rendition.name), theirs.join(format!("v{i}")));
        let bytes = [peer::segment_bytes(&mine)?, peer::segment_bytes(&peer)?];
        let psnr = |folder: &Path| peer::psnr(&options.ffmpeg, &folder.join("index.m3u8"), &target.path, rendition);
        let (a, b) = (psnr(&mine)?, psnr(&peer)?);
        table.row(vec![
            format!("{} {}", rendition.name, rendition.size),
            bytes[0].to_string(),
            bytes[1].to_string(),
            format!("{:.3}", bytes[0] as f64 / bytes[1] as f64),
            format!("{a:.2}"),
            format!("{b:.2}"),
            format!("{:+.2}", a - b),
        ]);
    }
    Ok(table.text())
}

/// CPU seconds of the work itself.
#[derive(Clone, Copy, Debug, Default)]
struct Bare {
    decode_s: f64,
    scale_s: f64,
    encode_s: f64,
}

impl Bare {
    fn total(self) -> f64 {
        self.decode_s + self.scale_s + self.encode_s
    }
}

/// Every chunk once for each rendition, one after the other, so that an encoder is alone on its thread; decoding and
/// scaling count once, as a chunk with all renditions needs them.
fn bare_cpu(target: &Target) -> Result<Bare> {
    let index = Arc::new(target.source.index.clone());
    let mut reader = ChunkReader::new(&SourceFile::open(&target.path)?, &target.source, Arc::clone(&index))?;
    let mut bare = Bare::default();
    for chunk in &target.plan.chunks {
        for (place, rendition) in target.renditions.iter().enumerate() {
            let cpu = encode(target, &mut reader, chunk, std::slice::from_ref(rendition))?;
            bare.encode_s += cpu.encode_s;
            if place == 0 {
                bare.decode_s += cpu.decode_s;
            }
            bare.scale_s += cpu.scale_s;
        }
    }
    Ok(bare)
}

fn encode(
    target: &Target,
    reader: &mut ChunkReader,
    chunk: &ChunkPlan,
    renditions: &[Rendition],
) -> Result<vtp_engine::chunk::StageCpu> {
    let spool = tempfile::tempdir()?;
    let frames = chunk.frames.start as usize..chunk.frames.end as usize;
    let segments = &target.plan.segments[chunk.segments.start as usize..chunk.segments.end as usize];
    let task = EncodeTask {
        chunk: chunk.index,
        last: chunk.frames.end == target.source.index.frame_count(),
        attempt: Attempt(1),
        video: target.source.info.video.clone(),
        frames: target.source.index.frames[frames].to_vec(),
        one_frame_a_packet: target.source.index.has_one_frame_a_packet(),
        hidden: Vec::new(),
        concealed: false,
        context: (Vec::new(), Vec::new()),
        segment_starts: segments.iter().map(|segment| segment.start - chunk.frames.start).collect(),
        renditions: renditions.to_vec(),
        check: None,
        spool: spool.path().to_owned(),
    };
    reader.start(chunk.packets.clone())?;
    let parameters = target.source.video_parameters()?;
    let mut packets = Packets(reader);
    let extractors = node::Extractors::for_workers(NonZeroUsize::MIN);
    let cancel = AtomicBool::new(false);
    let done = node::encode_chunk(&task, &mut packets, &node::Equipment::new(parameters, &extractors, &cancel))?;
    Ok(done.cpu)
}

struct Packets<'a>(&'a mut ChunkReader);

impl node::PacketSource for Packets<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, node::Error> {
        self.0
            .next_packet(&mut || {})
            .map_err(|e| node::Error::Packets { message: e.to_string(), class: node::Class::Permanent })
    }
}
