//! The command line of `vtp encode`, and what it becomes.

use std::num::NonZeroUsize;
use std::path::Path;

use clap::Args;
use vtp_engine::ladder::{AudioChoice, FactorRequest, LadderOptions, LadderRequest, Rendition, SPEEDS, VideoCodec};
use vtp_engine::limits::Limits;
use vtp_engine::quality::{Check, Sampling, Target};
use vtp_engine::source::SourceInfo;
use vtp_engine::stills::Every;
use vtp_stitcher::remux::Container;

use super::keys::KeyArguments;
use super::request::EncodeRequest;
use super::subtitles::SubtitleArguments;
use crate::Outcome;
use crate::cache::CacheArguments;
use crate::exit::{Failure, Left};
use crate::fleet::submit::ClusterArguments;
use crate::limits::LimitArguments;
use crate::parse::{self, ChunkLength, FileKind};
use crate::place::{self, Place};
use crate::progress::Style;

/// Turn a video into an HLS/DASH ladder.
///
/// Writes master.m3u8, manifest.mpd, a folder for each rendition, report.json and report.html into the output
/// folder. Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 input unusable (with error 1001 or 1005), 4 quality
/// missed (with --strict-quality), 130 interrupted.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The video to encode, a path or s3://BUCKET/KEY; it is only ever read
    #[arg(value_parser = place::parser())]
    pub(super) input: Place,

    /// Folder to write the ladder into, created if it is not there, or s3://BUCKET/PREFIX
    #[arg(long, short, value_name = "DIR", value_parser = place::parser())]
    pub(super) out: Place,

    #[command(flatten)]
    shape: ShapeArguments,

    /// Chunks encoded at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(super) quality: QualityArguments,

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
    pub(super) cluster: ClusterArguments,

    #[command(flatten)]
    subtitles: SubtitleArguments,

    #[command(flatten)]
    pub(super) cache: CacheArguments,

    #[command(flatten)]
    pub(super) limits: LimitArguments,

    /// Put black pictures where the source can't be decoded, and say so in the report, instead of failing with error 1005
    #[arg(long)]
    allow_damage: bool,

    /// Write HLS playlists that grow while the video is encoded, so that viewers can begin; what they name is proven only at
    /// the end. DIR has to be new
    #[arg(long, conflicts_with_all = ["encrypt", "force"])]
    pub(super) play_early: bool,

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
    pub(super) progress: Style,

    /// Print the report as JSON on stdout instead of a summary
    #[arg(long)]
    pub(super) json: bool,

    /// Replace the ladder in DIR, with all that is in it, once the new one is complete
    #[arg(long)]
    pub(super) force: bool,
}

/// What is asked of the quality of every chunk. It is measured as fidelity: VMAF of each rendition against the source
/// scaled to its own size.
#[derive(Debug, Args)]
#[command(next_help_heading = "Quality")]
pub(crate) struct QualityArguments {
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
    pub(super) strict_quality: bool,

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

/// What shapes the ladder and the plan; `vtp plan` knows the same options.
#[derive(Debug, Args)]
pub(crate) struct ShapeArguments {
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

    /// What is to be told of a failure in a fleet, of which nobody here knows how far it was: it may have been replacing what was in a
    /// store before.
    pub(super) fn doubted(&self, failure: Failure) -> Failure {
        match (failure, &self.out) {
            (Failure::Interrupted(Left::Nothing), Place::Store(location)) if self.force => {
                Failure::Interrupted(Left::Doubtful(location.to_string()))
            }
            (failure, _) => failure,
        }
    }

    /// `workers` is how many chunks are encoded at the same time if the user says nothing.
    pub(super) fn request(&self, workers: impl Fn() -> NonZeroUsize) -> Result<EncodeRequest, Failure> {
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

#[cfg(test)]
mod tests;
