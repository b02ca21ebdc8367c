//! `vtp encode`: step: turn the command line into an [`EncodeRequest`], give the driver an output folder, show
//! its progress, publish or clean up. In: a video. Out: a ladder and its report. Never: transcoding itself.

pub mod driver;
mod goal;
mod keys;
pub mod output;
pub mod subtitles;
pub mod summary;
mod upload;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Args;
use vtp_engine::ladder::{AudioChoice, FactorRequest, LadderOptions, LadderRequest, Rendition, SPEEDS, VideoCodec};
use vtp_engine::limits::{Change, Limits};
use vtp_engine::quality::{Check, Sampling, Target};
use vtp_engine::source::SourceInfo;
use vtp_engine::stills::Every;

use crate::cache::CacheArguments;
use crate::child::{self, Pool};
use crate::curves::Curves;
use crate::exit::Failure;
use crate::fleet::submit::{self, ClusterArguments};
use crate::parse::{self, ChunkLength, FileKind};
use crate::place::{self, Place};
use crate::progress::{Progress, ProgressEvent, Style};
use crate::report::{Encryption, Report};
use crate::telemetry::span;
use crate::{Outcome, interrupt, page, print, records};
use goal::Goal;
use keys::KeyArguments;
use subtitles::SubtitleArguments;
use vtp_stitcher::remux::Container;
use vtp_stitcher::seal::Seal;

/// Turn a video into an HLS/DASH ladder.
///
/// Writes master.m3u8, manifest.mpd, a folder for each rendition, report.json and report.html into the output
/// folder. Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 input unusable (with error 1001 or 1005), 4 quality
/// missed (with --strict-quality), 130 interrupted.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The video to encode, a path or s3://BUCKET/KEY; it is only ever read
    #[arg(value_parser = place::parser())]
    input: Place,

    /// Folder to write the ladder into, created if it is not there, or s3://BUCKET/PREFIX
    #[arg(long, short, value_name = "DIR", value_parser = place::parser())]
    out: Place,

    #[command(flatten)]
    shape: ShapeArguments,

    /// Chunks encoded at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    #[command(flatten)]
    quality: QualityArguments,

    /// From one thumbnail to the next; `auto` is 2 s up to ten minutes, 10 s up to fifty and so on, 300 in all; `off`
    /// makes none
    #[arg(long, value_name = "auto|DURATION|off", default_value = "auto", value_parser = parse::thumbnails)]
    thumbnails: Every,

    /// Make neither thumbnails nor a poster
    #[arg(long, conflicts_with = "thumbnails")]
    no_pictures: bool,

    /// Some of mp4,mov,mkv,webm,ffv1: write a file of that kind beside the ladder. video.mp4 and so on are of the best
    /// rendition that they hold and all sound, without encoding anything again; webm takes vp9 and av1. ffv1 is archive.mkv:
    /// the source's own frames and sound, lossless, in FFV1 and FLAC
    #[arg(long = "files", value_name = "KINDS", value_delimiter = ',', conflicts_with = "encrypt")]
    kinds: Vec<FileKind>,

    /// Also write HLS in transport streams (master-ts.m3u8), for devices that know no fragmented MP4, of h264 with 8 bits and
    /// aac, without encoding anything again
    #[arg(long)]
    hls_ts: bool,

    #[command(flatten)]
    keys: KeyArguments,

    #[command(flatten)]
    cluster: ClusterArguments,

    #[command(flatten)]
    subtitles: SubtitleArguments,

    #[command(flatten)]
    cache: CacheArguments,

    #[command(flatten)]
    limits: LimitArguments,

    /// Put black pictures where the source can't be decoded, and say so in the report, instead of failing with error 1005
    #[arg(long)]
    allow_damage: bool,

    /// Write HLS playlists that grow while the video is encoded, so that viewers can begin; what they name is proven only at
    /// the end. DIR has to be new
    #[arg(long, conflicts_with_all = ["encrypt", "force"])]
    play_early: bool,

    /// Mix all sound down to stereo, and leave out what is otherwise made in 5.1 besides
    #[arg(long)]
    stereo: bool,

    /// Some of aac,opus,copy: every track of sound is made with each, AAC first; copy passes on what the source has in AAC-LC,
    /// in place of what would be encoded, and AC-3 and E-AC-3
    #[arg(long, value_name = "CODECS", value_delimiter = ',', default_value = "aac")]
    audio: Vec<AudioChoice>,

    /// Make every track as loud as this (EBU R 128), such as -23 or -16, measuring it first; by one gain over all of it, and
    /// no more than its true peak allows (-1 dBTP)
    #[arg(long, value_name = "LUFS", allow_negative_numbers = true, value_parser = parse::loudness)]
    loudness: Option<f64>,

    /// How progress is shown on stderr
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    progress: Style,

    /// Print the report as JSON on stdout instead of a summary
    #[arg(long)]
    json: bool,

    /// Replace DIR, with all that is in it, once the new ladder is complete
    #[arg(long)]
    force: bool,
}

/// What is asked of the quality of every chunk. It is measured as fidelity: VMAF of each rendition against the source
/// scaled to its own size.
#[derive(Debug, Args)]
#[command(next_help_heading = "Quality")]
pub struct QualityArguments {
    /// Least mean fidelity of a chunk, 0 to 100; one that misses it is encoded again, better
    #[arg(long, value_name = "VMAF", default_value_t = 93.0, value_parser = parse::score)]
    quality: f64,

    /// Least first percentile of a chunk's fidelity
    #[arg(long, value_name = "VMAF", default_value_t = 80.0, value_parser = parse::score)]
    floor: f64,

    /// Encode chunks that are far better than asked again, smaller
    #[arg(long)]
    save: bool,

    /// Fail with exit code 4, leaving no output, if a chunk is not as good as asked
    #[arg(long)]
    strict_quality: bool,

    /// Measure one frame in so many, besides those near the joins of chunks; 1 measures all, odd steps are truest
    #[arg(long, value_name = "N", default_value_t = Sampling::DEFAULT.one_in,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    measure_every: u32,

    /// Don't measure what was encoded, and encode everything once
    #[arg(long, conflicts_with_all = ["quality", "floor", "save", "strict_quality", "measure_every"])]
    no_measure: bool,
}

impl QualityArguments {
    fn check(&self) -> Option<Check> {
        let sampling = Sampling::every(self.measure_every);
        let target = Target { mean: self.quality, floor: self.floor, save: self.save };
        (!self.no_measure).then_some(Check { sampling, target })
    }
}

/// How much of a source is taken on; whatever looks at one knows these.
#[derive(Debug, Args)]
pub struct LimitArguments {
    /// Refuse sources with more than this: pixels (of a picture), frames, streams, metadata and index (bytes), duration
    /// (seconds); cues (of a track of subtitles), cue (bytes of one) and subtitles (bytes of all); memory (bytes) and
    /// silence (seconds) bound the processes that work on it. Can be given several times
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    changes: Vec<Change>,
}

impl LimitArguments {
    fn limits(&self) -> Limits {
        self.changes.iter().fold(Limits::DEFAULT, |limits, change| limits.with(change))
    }

    /// The processes that look at sources, within these limits.
    pub(crate) fn children(&self) -> Result<Pool, Failure> {
        child::this_program()
            .and_then(|program| Pool::new(program, self.limits()))
            .context("cannot start processes to work in")
            .map_err(Failure::Internal)
    }
}

/// What shapes the ladder and the plan; `vtp plan` knows the same options.
#[derive(Debug, Args)]
pub struct ShapeArguments {
    /// auto, smart (what of auto the content needs, by a trial), or some of mobile,standard,hd,4k,archive,copy; nothing
    /// is ever scaled up
    #[arg(long, value_name = "RUNGS", default_value = "auto")]
    pub(crate) ladder: LadderRequest,

    /// Some of h264,hevc,vp9,av1, the one that everybody plays first: every rung is made with each
    #[arg(long, value_name = "CODECS", value_delimiter = ',', default_value = "h264")]
    codec: Vec<VideoCodec>,

    /// Bits a sample, 8 or 10 [default: 10 in hevc and av1 if the source has more than 8, and where it is HDR; else 8]. HDR
    /// in 8 bits becomes SDR, as it does in h264
    #[arg(long, value_name = "BITS", value_parser = parse::depth)]
    depth: Option<u8>,

    /// Encoder preset, as x264 calls them [default: medium, veryfast where lossless]
    #[arg(long, value_name = "PRESET", value_parser = SPEEDS)]
    speed: Option<String>,

    /// Constant rate factor below each rung's rate cap, 1 (best) to 51 (smallest), or to 63 in vp9 and av1. For several
    /// codecs such as h264=21,hevc=26 [default: h264=23,hevc=28,vp9=32,av1=35]
    #[arg(long, value_name = "N", value_parser = parse::factors)]
    crf: Option<FactorRequest>,

    /// Length of a media segment
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = parse::segment_s)]
    pub(crate) segment: f64,

    /// Length of a chunk, the unit of parallel work
    #[arg(long, value_name = "DURATION", default_value = "auto", value_parser = parse::chunk_s)]
    pub(crate) chunk: ChunkLength,
}

/// Chunks that are with a fleet at the same time: enough for it to choose from, few enough to lie on a disk.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Everything that decides what is encoded, and on how many cores.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodeRequest {
    /// The source.
    pub input: Place,
    /// The rungs asked for.
    pub ladder: LadderRequest,
    /// Codecs, preset and rate factors.
    pub options: LadderOptions,
    /// Target length of a segment in seconds.
    pub segment_s: f64,
    /// Length of a chunk in seconds; `None` lets the plan choose.
    pub chunk_s: Option<f64>,
    /// How the quality of what was encoded is checked, if it is.
    pub check: Option<Check>,
    /// Thumbnails to scrub by.
    pub thumbnails: Every,
    /// Whether there is to be a poster.
    pub poster: bool,
    /// Which subtitles go into the output.
    pub subtitles: SubtitleArguments,
    /// Whether pictures that can't be decoded may be made up.
    pub allow_damage: bool,
    /// The whole files that stand beside the ladder.
    pub files: Vec<Container>,
    /// Whether there is to be HLS in transport streams, too.
    pub hls_ts: bool,
    /// Whether an archive stands there, too.
    pub archive: bool,
    /// What the output is encrypted with, if it is.
    pub seal: Option<Seal>,
    /// Whether playlists of what is there are written before all is.
    pub play_early: bool,
    /// Whether sound of more than five channels is made in surround, besides stereo.
    pub surround: bool,
    /// How loud every track is made, in LUFS; `None` is as loud as it is.
    pub loudness: Option<f64>,
    /// How sound is made, in order and each once.
    pub audio: Vec<AudioChoice>,
    /// Chunks encoded at the same time. The bytes of the result do not depend on it.
    pub workers: NonZeroUsize,
}

impl ShapeArguments {
    /// What the user set for all renditions.
    pub(crate) fn options(&self) -> LadderOptions {
        let mut codecs: Vec<VideoCodec> = Vec::new();
        for codec in &self.codec {
            if !codecs.contains(codec) {
                codecs.push(*codec);
            }
        }
        LadderOptions {
            codecs,
            crf: self.crf.clone().unwrap_or_default(),
            depth: self.depth,
            speed: self.speed.clone(),
        }
    }
}

impl Arguments {
    /// How much of it is taken on.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.limits()
    }

    /// What shapes the ladder.
    pub(crate) fn shape(&self) -> &ShapeArguments {
        &self.shape
    }

    /// Refuses whole files that can't hold what is made of a source, in these renditions.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(crate) fn check_files(&self, info: &SourceInfo, renditions: &[Rendition]) -> Outcome {
        let names = self.audio.iter().map(|way| match way {
            AudioChoice::Opus => "opus",
            AudioChoice::Aac | AudioChoice::Copy => "mp4a.40.2",
        });
        let tracks = 0..info.audio.len();
        let versions: Vec<(usize, &str)> =
            tracks.flat_map(|track| names.clone().map(move |name| (track, name))).collect();
        let kinds = self.kinds.iter().filter_map(|kind| if let FileKind::Whole(it) = kind { Some(*it) } else { None });
        for kind in kinds {
            kind.check(renditions, info.video.rotation, &versions)
                .map_err(|refusal| Failure::Usage(refusal.to_string()))?;
        }
        Ok(())
    }

    /// The video.
    pub(crate) fn input(&self) -> &Place {
        &self.input
    }

    /// The same, given in the folder `here`: for a process that is in another one.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what only the process has that they were given to.
    pub(crate) fn given_in(mut self, here: &Path) -> Result<Self, Failure> {
        let keys = self.keys.paths()?;
        let subtitles = self.subtitles.files.iter_mut().map(|file| &mut file.path);
        for path in subtitles.chain(keys) {
            *path = here.join(&*path);
        }
        self.input = self.input.given_in(here);
        self.out = self.out.given_in(here);
        Ok(self)
    }

    /// `workers` is how many chunks are encoded at the same time if the user says nothing.
    fn request(&self, workers: impl Fn() -> NonZeroUsize) -> Result<EncodeRequest, Failure> {
        if self.loudness.is_some() && self.audio.contains(&AudioChoice::Copy) {
            let what = "sound that is copied stays as loud as it is: leave out --loudness, or copy in --audio";
            return Err(Failure::Usage(what.to_owned()));
        }
        Ok(EncodeRequest {
            input: self.input.clone(),
            ladder: self.shape.ladder.clone(),
            options: self.shape.options(),
            segment_s: self.shape.segment,
            chunk_s: self.shape.chunk.0,
            check: self.quality.check(),
            thumbnails: if self.no_pictures { Every::Never } else { self.thumbnails },
            poster: !self.no_pictures,
            subtitles: self.subtitles.clone(),
            allow_damage: self.allow_damage,
            files: Container::ALL.into_iter().filter(|it| self.kinds.contains(&FileKind::Whole(*it))).collect(),
            hls_ts: self.hls_ts,
            archive: self.kinds.contains(&FileKind::Archive),
            seal: self.keys.seal()?,
            play_early: self.play_early,
            surround: !self.stereo,
            loudness: self.loudness,
            audio: AudioChoice::ALL.into_iter().filter(|way| self.audio.contains(way)).collect(),
            workers: self.workers.unwrap_or_else(workers),
        })
    }
}

/// Runs the command, which was given as `words`.
///
/// # Errors
/// [`Failure`] with the exit code; nothing that looks finished is left behind then.
pub fn run(arguments: &Arguments, words: &[OsString]) -> Outcome {
    let progress = Progress::new(arguments.progress);
    let (input, fleet) = (name(&arguments.input), arguments.cluster.is_given());
    let made = span::within(tracing::info_span!("encode", input, fleet), || match fleet {
        true => submit::run(&arguments.cluster, words, &progress),
        false => here(arguments, &progress),
    });
    let shown = made.and_then(|Made { report, folder }| {
        progress.finish();
        show(&report, &folder, arguments.json)
    });
    shown.map_err(|failure| progress.fail(failure))
}

/// What a file is called, without where it is.
pub(crate) fn name(place: &Place) -> String {
    place.name().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn here(arguments: &Arguments, progress: &Progress) -> Result<Made, Failure> {
    make(arguments, None, &|event| progress.event(event), &*interrupt::listen()?)
}

/// A ladder that is published, and where: in a folder, or, where it looks like one, in a store.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) report: Report,
    pub(crate) folder: PathBuf,
}

/// Makes the ladder; `fleet` encodes its chunks, if there is one.
///
/// # Errors
/// [`Failure`]; nothing that looks finished is left behind then.
pub(crate) fn make(
    arguments: &Arguments,
    fleet: Option<&dyn driver::Fleet>,
    progress: &(dyn Fn(ProgressEvent) + Sync),
    cancelled: &AtomicBool,
) -> Result<Made, Failure> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let request = arguments.request(|| if fleet.is_some() { IN_FLIGHT } else { cores() })?;
    let children = arguments.limits.children()?;
    let job = fleet.and_then(driver::Fleet::run);
    if let Some(job) = job
        && let Some(made) = goal::published(arguments, children.stores(), job)?
    {
        return Ok(made);
    }
    crate::probe::require_video(&request.input)?;
    if let Some(out) = arguments.out.path() {
        request.subtitles.files.iter().try_for_each(|file| file.require_outside(out))?;
    }
    // One looks into the source, and another is ready when the first encodes or makes sound.
    children.start_ahead(2);
    let run = job.unwrap_or_else(|| fastrand::u64(..));
    let goal = Goal::prepare(arguments, children.stores(), run)?;
    // A fleet keeps what it needs to go on.
    let keeps = fleet.is_none();
    let (cache, doubt) = if keeps { arguments.cache.open() } else { (None, None) };
    let run = driver::run(&request, goal.dirs(), &children, cache.as_ref(), fleet, progress, cancelled);
    // Whatever came of the run, what it kept counts.
    let untold = || cache.as_ref()?.trouble().map(|why| format!("not all was kept for later runs: {why}"));
    let doubt = doubt.or_else(untold).or_else(|| arguments.cache.trim().filter(|_| keeps));
    let driver::Outcome { mut report, curves } = run?;
    report.warnings.extend(doubt);
    report.encryption = request.seal.as_ref().map(Encryption::of);
    report.job = job.map(|job| job.to_string());
    if arguments.quality.strict_quality {
        strictly(&report)?;
    }
    span::within(tracing::info_span!("publish"), || {
        write_report(&report, &curves, &goal.dirs().out)?;
        Ok(Made { report, folder: goal.publish(progress, cancelled)? })
    })
}

/// Every chunk whose quality was checked is as good as asked, or the run has failed.
fn strictly(report: &Report) -> Outcome {
    let chunks =
        report.renditions.iter().flat_map(|rendition| rendition.chunks.iter().map(move |chunk| (rendition, chunk)));
    let mut missed = chunks.filter(|(_, chunk)| chunk.met_target == Some(false));
    let Some((rendition, chunk)) = missed.next() else { return Ok(()) };
    let others = match missed.count() {
        0 => String::new(),
        more => format!(", and {} more", crate::text::plural(more as u64, "chunk")),
    };
    let fidelity =
        chunk.fidelity.map_or(String::new(), |it| format!(" (mean {:.1}, first percentile {:.1})", it.mean, it.p1));
    Err(Failure::Quality(format!(
        "chunk {} of {} at {:.1} s is not as good as asked{fidelity}{others}; nothing was kept: ask for less with \
         --quality and --floor, or leave out --strict-quality to get what is reachable",
        chunk.index, rendition.name, chunk.start_s
    )))
}

/// Writes `report.json`, `quality.json`, and the page that is drawn from both.
fn write_report(report: &Report, curves: &Curves, folder: &Path) -> Outcome {
    let write = |name: &str, text: &str| {
        records::write(folder, name, text).with_context(|| format!("cannot write {}", folder.join(name).display()))
    };
    let all = || {
        write(records::REPORT, &(serde_json::to_string_pretty(report).context("cannot write the report")? + "\n"))?;
        write(records::QUALITY, &(serde_json::to_string(curves).context("cannot write the curves")? + "\n"))?;
        write(records::PAGE, &page::render(report, Some(curves)))
    };
    all().map_err(Failure::Internal)
}

fn show(report: &Report, folder: &Path, json: bool) -> Outcome {
    let text = if json {
        serde_json::to_string_pretty(report).context("cannot print the report").map_err(Failure::Internal)? + "\n"
    } else {
        summary::render(report, folder)
    };
    print(&text)
}

#[cfg(test)]
mod tests;
