//! What a pass does: plans, encodes, stitches and proves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vtp_encoder_node::Copier;
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::ladder::{AudioChoice, Method, Rendition, VideoCodec};
use vtp_engine::media::audio::AudioTrackConfig;
use vtp_engine::plan::Plan;
use vtp_splitter::Source;
use vtp_stitcher::seal::{Scheme, Seal};
use vtp_stitcher::{Extras, OutputLayout, Published, Stitcher};

use super::archive;
use super::audio::{self, Finished, Writer};
use super::crew::Job;
use super::pass::{Pass, PassError};
use super::run::{Gathered, Run};
use super::subtitles;
use super::tally::Encoded;
use super::timing::Stopwatch;
use crate::child::Sound;
use crate::encode::failure::EncodeFailure;
use crate::plan::settings as plan_settings;
use crate::progress::ProgressEvent;
use crate::stop::{Either, Stop as _};
use crate::telemetry::span;

/// What a pass made.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) published: Published,
    pub(super) audio: Option<Finished>,
    pub(super) gathered: Gathered,
    /// The captions that the pictures carry.
    pub(super) captions: Vec<Channel>,
    /// What a user should know of the ladder, the subtitles and the archive.
    pub(super) warnings: Vec<String>,
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

/// Plans, encodes, stitches and proves.
pub(super) fn make(pass: &Pass<'_>, watch: &mut Stopwatch) -> Result<Made, PassError> {
    let plan = pass.plan();
    pass.announce(&plan);
    let index = Arc::new(pass.source.index.clone());
    let sound = audio::open(pass, pass.cancel)?;
    let configs = sound.as_ref().map(|sound| sound.configs().to_vec()).unwrap_or_default();
    let stills = pass.stills(&plan);
    let mut texts = subtitles::gather(&pass.request.subtitles, pass.source, pass.files, pass.children.limits());
    let captions = pass.captions(&mut texts.warnings);
    let layout = OutputLayout {
        subtitles: texts.tracks,
        captions: captions.clone(),
        ..pass.layout(plan.clone(), audio::tracks(pass, &configs), stills.clone())
    };
    let heard = layout.audio.len();
    let mut stitcher = Stitcher::new(&pass.dirs.out, layout, Arc::clone(&index), extras(pass, &configs)?)?;
    texts.warnings.extend(not_streamed(&stitcher.not_streamed()));
    let writer = |track: usize| match track.checked_sub(heard) {
        None => stitcher.audio_writer(track).map(Writer::from),
        Some(track) => stitcher.archive_sound(track).map(Writer::from),
    };
    let writers: Vec<Writer> = (0..configs.len()).map(writer).collect::<Result<_, _>>()?;
    let stop = AtomicBool::new(false);
    let job = Job {
        source: pass.source,
        children: pass.children,
        adoption: pass.adoption,
        index,
        plan: &plan,
        renditions: pass.renditions,
        spool: &pass.dirs.work,
        context_frames: plan_settings(&pass.source.info, pass.renditions, pass.request.segment_s, None).context_frames,
        encoded: Encoded::default(),
        stop: &stop,
        one_frame_a_packet: pass.source.index.has_one_frame_a_packet(),
        hidden: pass.source.index.hidden_packets(),
        check: pass.request.check,
        cache: pass.cache,
        stills,
        copy: copied(pass.source, pass.renditions)?,
        fleet: pass.fleet,
        archive: pass.archive,
    };
    let (audio, gathered) = encode(pass, &job, &mut stitcher, sound.map(|sound| (sound, writers)))?;
    watch.lap("encode");
    if pass.cancel.is_raised() {
        return Err(EncodeFailure::Cancelled.into());
    }
    (pass.progress)(ProgressEvent::Stage("proving".into()));
    let (tracks, sounds) = audio.as_ref().map(|a| (a.tracks.clone(), a.sounds.clone())).unwrap_or_default();
    let archived = audio.as_ref().map(|a| a.archived.as_slice()).unwrap_or_default();
    let published = span::within(tracing::info_span!("proof"), || {
        stitcher.finish_unless(&|| pass.cancel.is_raised(), tracks, &sounds, archived)
    })?;
    watch.lap("prove");
    let kept = audio.as_ref().and_then(|audio| audio.outcomes.get(heard..)).unwrap_or_default();
    texts.warnings.extend(archive::warnings(pass, kept));
    Ok(Made { plan, published, audio, gathered, captions, warnings: texts.warnings })
}

/// All that is asked for besides the ladder.
///
/// # Errors
/// [`EncodeFailure::Usage`] if the ladder can't be sealed as it is to be.
fn extras(pass: &Pass<'_>, configs: &[AudioTrackConfig]) -> Result<Extras, EncodeFailure> {
    let request = pass.request;
    if let Some(seal) = &request.seal {
        sealable(pass.renditions, &request.audio, seal)?;
    }
    let archive = |rendition| archive::spec(pass, rendition, audio::archived(pass, configs));
    Ok(Extras {
        seal: request.seal.clone(),
        play_early: request.play_early,
        files: request.files.clone(),
        streams: request.hls_ts.then(|| pass.source.info.video.pixel_format.clone()),
        archive: pass.archive.map(archive),
    })
}

/// Makes pictures and sound side by side. Where one of them fails, the other is given up.
fn encode(
    pass: &Pass<'_>,
    job: &Job<'_>,
    stitcher: &mut Stitcher,
    sound: Option<(Sound, Vec<Writer>)>,
) -> Result<(Option<Finished>, Gathered), PassError> {
    let no_sound = AtomicBool::new(false);
    // Pictures may be done long before the sound: it hears itself that nobody wants it any more.
    let stop = Either(pass.cancel, job.stop);
    std::thread::scope(|scope| {
        let tracks = sound.as_ref().map_or(0, |(_, writers)| writers.len());
        let span = tracing::info_span!("sound", tracks = span::number(tracks));
        let made = |(sound, writers)| {
            let mut watched = Watched { has_failed: &no_sound, is_well: false };
            let made = span::within(span, || audio::run(pass, sound, writers, &stop));
            watched.is_well = made.is_ok();
            made
        };
        let sound = sound.map(|sound| scope.spawn(|| made(sound)));
        let run = Run::start(pass, scope, job, stitcher, &no_sound).carry_out();
        if run.is_err() {
            job.stop.store(true, Ordering::Relaxed);
        }
        let audio = sound.map(|thread| thread.join().map_err(panicked)).transpose();
        let audio = audio.map_err(PassError::from).and_then(|audio| Ok(audio.transpose()?.flatten()));
        match (run, audio) {
            // Nobody cancelled it: it was given up for the sound.
            (Err(PassError::Failure(EncodeFailure::Cancelled)), Err(sound)) if !pass.cancel.is_raised() => Err(sound),
            (run, audio) => {
                let gathered = run?;
                Ok((audio?, gathered))
            }
        }
    })
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
    if seal.scheme != Scheme::Cbcs {
        return Ok(());
    }
    if renditions.iter().any(|rendition| rendition.method == Method::Copy) {
        // How long the headers of its slices are, which have to stay clear, is up to whoever encoded it.
        let what = "video that is copied is not encrypted by cbcs: leave out copy, or take --encrypt aes-128";
        return Err(EncodeFailure::Usage(what.to_owned()));
    }
    let mut codecs = renditions.iter().map(Rendition::codec);
    let unfit = codecs.find(|codec| matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1)).map(VideoCodec::name);
    let opus = audio.contains(&AudioChoice::Opus).then(|| AudioChoice::Opus.name());
    match unfit.or(opus) {
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
