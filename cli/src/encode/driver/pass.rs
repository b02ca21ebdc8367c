//! One pass over the source: plan, encode, stitch, prove.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vtp_encoder_node::Copier;
use vtp_encoder_node::cache::Cache;
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::format::captions::carries;
use vtp_engine::ladder::{AudioChoice, Look, Method, Rendition, VideoCodec};
use vtp_engine::media::audio::AudioMode;
use vtp_engine::media::scale::output_color;
use vtp_engine::plan::{Plan, plan};
use vtp_engine::stills::{Every, Stills};
use vtp_engine::subtitles::file::Parsed;
use vtp_splitter::Source;
use vtp_stitcher::seal::{Scheme, Seal};
use vtp_stitcher::{Durability, OutputLayout, Published, Stitcher, VideoTimeline};

use super::EncodeFailure;
use super::archive;
use super::audio::{self, Finished, Writer};
use super::crew::{Fleet, Job};
use super::run::{Gathered, Run};
use super::subtitles;
use super::timing::Stopwatch;
use crate::child::{Adoption, Pool};
use crate::encode::EncodeRequest;
use crate::encode::output::Dirs;
use crate::plan::settings as plan_settings;
use crate::progress::ProgressEvent;
use crate::telemetry::span::{self, Told};

/// What a pass works on.
pub(super) struct Pass<'a> {
    pub(super) request: &'a EncodeRequest,
    pub(super) source: &'a Source,
    /// What is in the files of subtitles of the request.
    pub(super) files: &'a [Parsed],
    pub(super) renditions: &'a [Rendition],
    /// The rendition that goes into the archive, if there is to be one.
    pub(super) archive: Option<&'a Rendition>,
    pub(super) dirs: &'a Dirs,
    pub(super) progress: &'a (dyn Fn(ProgressEvent) + Sync),
    pub(super) cancel: &'a AtomicBool,
    /// The processes that work on the source, and what they are told of it.
    pub(super) children: &'a Pool,
    pub(super) adoption: &'a Adoption,
    /// Where encodings are kept, if they are.
    pub(super) cache: Option<&'a Cache>,
    /// Who encodes, where it is not this machine.
    pub(super) fleet: Option<&'a dyn Fleet>,
    /// Chunks do not decode as the whole does: make one of it.
    pub(super) in_one_chunk: bool,
}

/// What a pass made.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) published: Published,
    pub(super) audio: Option<Finished>,
    pub(super) gathered: Gathered,
    /// The captions that the pictures carry.
    pub(super) captions: Vec<Channel>,
    /// What a user should know of the subtitles and the archive.
    pub(super) warnings: Vec<String>,
}

/// Why a pass made nothing.
pub(super) enum PassError {
    /// Other frames came out than the index expects.
    OtherFrames(String),
    Failure(EncodeFailure),
}

impl<E: Into<EncodeFailure>> From<E> for PassError {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

impl From<vtp_stitcher::Error> for EncodeFailure {
    fn from(error: vtp_stitcher::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<audio::Error> for EncodeFailure {
    fn from(error: audio::Error) -> Self {
        match error {
            audio::Error::Child(error) => error.into(),
            audio::Error::Otherwise => Self::Internal(error.into()),
            audio::Error::Stitcher(error) => error.into(),
        }
    }
}

impl Told for PassError {
    fn told(&self) -> String {
        match self {
            Self::OtherFrames(doubt) => doubt.clone(),
            Self::Failure(failure) => failure.told(),
        }
    }
}

impl Pass<'_> {
    /// Plans, encodes, stitches and proves.
    pub(super) fn run(&self, watch: &mut Stopwatch) -> Result<Made, PassError> {
        let plan = self.plan();
        self.announce(&plan);
        let index = Arc::new(self.source.index.clone());
        let sound = audio::open(self)?;
        let configs = sound.as_ref().map(|sound| sound.configs().to_vec()).unwrap_or_default();
        let stills = self.stills(&plan);
        let (request, limits) = (&self.request.subtitles, self.children.limits());
        let mut texts = subtitles::gather(request, self.source, self.files, limits);
        let captions = self.captions(&mut texts.warnings);
        let layout = OutputLayout {
            subtitles: texts.tracks,
            captions: captions.clone(),
            ..self.layout(plan.clone(), audio::tracks(self, &configs), stills.clone())
        };
        let heard = layout.audio.len();
        let mut stitcher = Stitcher::new(&self.dirs.out, layout, Arc::clone(&index))?;
        if let Some(seal) = &self.request.seal {
            sealable(self.renditions, &self.request.audio, seal)?;
            stitcher.seal_with(seal.clone());
        }
        if self.request.play_early {
            stitcher.play_early();
        }
        let refused = stitcher.also_write(&self.request.files);
        refused.map_err(|refusal| EncodeFailure::Usage(refusal.to_string()))?;
        if self.request.hls_ts {
            let left = stitcher.also_stream(&self.source.info.video.pixel_format);
            let left = left.map_err(|refusal| EncodeFailure::Usage(refusal.to_string()))?;
            texts.warnings.extend(not_streamed(&left));
        }
        if let Some(rendition) = self.archive {
            let spec = archive::spec(self, rendition, audio::archived(self, &configs));
            stitcher.also_archive(spec).map_err(|refusal| EncodeFailure::Usage(refusal.to_string()))?;
        }
        let writer = |track: usize| match track.checked_sub(heard) {
            None => stitcher.audio_writer(track).map(Writer::from),
            Some(track) => stitcher.archive_sound(track).map(Writer::from),
        };
        let writers: Vec<Writer> = (0..configs.len()).map(writer).collect::<Result<_, _>>()?;
        let stop = AtomicBool::new(false);
        let job = Job {
            source: self.source,
            children: self.children,
            adoption: self.adoption,
            index,
            plan: &plan,
            renditions: self.renditions,
            spool: &self.dirs.work,
            context_frames: plan_settings(&self.source.info, self.renditions, self.request.segment_s, None)
                .context_frames,
            encoded: AtomicU64::new(0),
            stop: &stop,
            one_frame_a_packet: self.source.index.has_one_frame_a_packet(),
            hidden: self.source.index.hidden_packets(),
            check: self.request.check,
            cache: self.cache,
            stills,
            copy: copied(self.source, self.renditions)?,
            fleet: self.fleet,
            archive: self.archive,
        };
        let no_sound = AtomicBool::new(false);
        let (audio, gathered) = std::thread::scope(|scope| {
            let span = tracing::info_span!("sound", tracks = span::number(configs.len()));
            let made = |sound| {
                let mut watched = Watched { has_failed: &no_sound, is_well: false };
                let made = span::within(span, || audio::run(self, sound, writers, job.stop));
                watched.is_well = made.is_ok();
                made
            };
            let sound = sound.map(|sound| scope.spawn(|| made(sound)));
            let run = Run::start(self, scope, &job, &mut stitcher, &no_sound).carry_out();
            if run.is_err() {
                job.stop.store(true, Ordering::Relaxed);
            }
            let audio = sound.map(|thread| thread.join().map_err(panicked)).transpose();
            let audio = audio.map_err(PassError::from).and_then(|audio| Ok(audio.transpose()?.flatten()));
            match (run, audio) {
                // Nobody cancelled it: it was given up for the sound.
                (Err(PassError::Failure(EncodeFailure::Cancelled)), Err(sound))
                    if !self.cancel.load(Ordering::Relaxed) =>
                {
                    Err(sound)
                }
                (run, audio) => {
                    let gathered = run?;
                    Ok((audio?, gathered))
                }
            }
        })?;
        watch.lap("encode");
        if self.cancel.load(Ordering::Relaxed) {
            return Err(EncodeFailure::Cancelled.into());
        }
        (self.progress)(ProgressEvent::Stage("proving".into()));
        let (tracks, sounds) = audio.as_ref().map(|a| (a.tracks.clone(), a.sounds.clone())).unwrap_or_default();
        stitcher.archived(audio.as_ref().map(|a| a.archived.clone()).unwrap_or_default());
        let published = span::within(tracing::info_span!("proof"), || stitcher.finish(tracks, &sounds))?;
        watch.lap("prove");
        let kept = audio.as_ref().and_then(|audio| audio.outcomes.get(heard..)).unwrap_or_default();
        texts.warnings.extend(archive::warnings(self, kept));
        Ok(Made { plan, published, audio, gathered, captions, warnings: texts.warnings })
    }

    /// The captions that any rendition carries; what of them is lost goes to `warnings`.
    fn captions(&self, warnings: &mut Vec<String>) -> Vec<Channel> {
        let captions = &self.source.info.captions;
        let (with, without): (Vec<&Rendition>, Vec<&Rendition>) =
            self.renditions.iter().partition(|rendition| carries(rendition.codec()));
        if !captions.is_empty() && !without.is_empty() {
            let names: Vec<&str> = without.iter().map(|rendition| rendition.name.as_str()).collect();
            warnings.push(format!("the captions in the video are not in {}: their codec holds none", names.join(", ")));
        }
        if with.is_empty() { Vec::new() } else { captions.clone() }
    }

    fn plan(&self) -> Plan {
        let chunk_s = if self.in_one_chunk { Some(f64::INFINITY) } else { self.request.chunk_s };
        let settings = plan_settings(&self.source.info, self.renditions, self.request.segment_s, chunk_s);
        let mut plan = plan(&self.source.index, self.source.info.video.time_base, &settings);
        if self.in_one_chunk {
            plan.reason = Some("parts of this source do not decode as the whole does, so it is one chunk".to_owned());
        }
        plan
    }

    /// Where all video is copied, sound is too if it can be, and is to stay as loud as it is.
    pub(super) fn audio_mode(&self) -> AudioMode {
        if self.only_copies() && self.request.loudness.is_none() {
            AudioMode::CopyIfPossible
        } else {
            AudioMode::Encode
        }
    }

    pub(super) fn only_copies(&self) -> bool {
        self.renditions.iter().all(|r| r.method == Method::Copy)
    }

    /// Whether packets are all that is delivered.
    pub(super) fn decodes_nothing(&self) -> bool {
        self.only_copies() && self.archive.is_none()
    }

    fn announce(&self, plan: &Plan) {
        (self.progress)(ProgressEvent::Planned {
            chunks: plan.chunks.len() as u32,
            frames_total: self.source.index.frame_count().into(),
            duration_s: crate::report::duration_s(&self.source.info, &self.source.index),
            renditions: self.renditions.iter().map(|r| r.name.clone()).collect(),
            reason: plan.reason.clone(),
        });
        (self.progress)(ProgressEvent::Stage(if self.decodes_nothing() { "copying" } else { "encoding" }.into()));
    }

    /// The pictures that go with the video: those that the user wants, and none where nothing is decoded.
    fn stills(&self, plan: &Plan) -> Stills {
        let (every, info) = (self.request.thumbnails, &self.source.info.video);
        if self.decodes_nothing() {
            return Stills::default();
        }
        let stills = Stills::plan(info, &self.source.index, self.source.origin, &plan.segments, every);
        Stills { poster: stills.poster.filter(|_| self.request.poster), ..stills }
    }

    /// Why there are no pictures although they are wanted.
    pub(super) fn without_pictures(&self) -> Option<String> {
        let is_wanted = self.request.poster || self.request.thumbnails != Every::Never;
        let why = "there are no thumbnails and no poster: where packets are copied, nothing is decoded";
        (is_wanted && self.decodes_nothing()).then(|| why.to_owned())
    }

    fn layout(&self, plan: Plan, audio: Vec<vtp_stitcher::AudioTrack>, stills: Stills) -> OutputLayout {
        let video = &self.source.info.video;
        OutputLayout {
            video: VideoTimeline {
                time_base: video.time_base,
                origin: self.source.origin,
                color: video.color,
                made_color: output_color(video, Look::Kept),
                hdr: video.hdr,
                rotation: video.rotation,
            },
            renditions: self.renditions.to_vec(),
            audio,
            subtitles: Vec::new(),
            captions: Vec::new(),
            plan,
            target_segment_s: self.request.segment_s,
            stills,
            durability: Durability::Buffered,
        }
    }
}

/// The rendition that copies the packets of `source`, if one does.
///
/// # Errors
/// [`EncodeFailure::Usage`] if they can't be copied.
pub(crate) fn copied(source: &Source, renditions: &[Rendition]) -> Result<Option<Rendition>, EncodeFailure> {
    let Some(rendition) = renditions.iter().find(|r| r.method == Method::Copy) else { return Ok(None) };
    let parameters = source.video_parameters()?;
    match Copier::new(&source.info.video, &source.index, parameters) {
        Ok(_) => Ok(Some(rendition.clone())),
        Err(refused) => Err(EncodeFailure::Usage(refused.to_string())),
    }
}

/// Every rendition can be sealed so.
///
/// # Errors
/// [`EncodeFailure::Usage`] if one can't.
fn sealable(renditions: &[Rendition], audio: &[AudioChoice], seal: &Seal) -> Result<(), EncodeFailure> {
    let mut codecs = renditions.iter().map(Rendition::codec);
    let unfit = codecs.find(|codec| matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1)).map(VideoCodec::name);
    let opus = audio.contains(&AudioChoice::Opus).then(|| AudioChoice::Opus.name());
    let unfit = unfit.or(opus);
    match unfit.filter(|_| seal.scheme == Scheme::Cbcs) {
        None => Ok(()),
        Some(codec) => {
            let what = format!("{codec} is not encrypted by cbcs here: leave it out, or take --encrypt aes-128");
            Err(EncodeFailure::Usage(what))
        }
    }
}

/// What is told of renditions that are in no transport stream.
fn not_streamed(names: &[String]) -> Option<String> {
    let (last, others) = names.split_last()?;
    let (names, are) = match others {
        [] => (last.clone(), "is"),
        others => (format!("{} and {last}", others.join(", ")), "are"),
    };
    Some(format!("{names} {are} not in master-ts.m3u8: old devices play upright H.264 with 8 bits in 4:2:0"))
}

/// Raises a flag at its end, however that comes, unless all is well.
struct Watched<'a> {
    has_failed: &'a AtomicBool,
    is_well: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.is_well {
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> EncodeFailure {
    EncodeFailure::Internal(anyhow::anyhow!("the audio thread panicked"))
}
