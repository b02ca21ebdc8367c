//! One pass over the source: what it works on, and what follows from that.

use std::sync::atomic::AtomicBool;

use vtp_encoder_node::cache::Cache;
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::format::captions::carries;
use vtp_engine::ladder::{Look, Method, Rendition};
use vtp_engine::media::audio::AudioMode;
use vtp_engine::media::scale::output_color;
use vtp_engine::plan::{Plan, plan};
use vtp_engine::stills::{Every, Stills};
use vtp_engine::subtitles::file::Parsed;
use vtp_splitter::Source;
use vtp_stitcher::{Durability, OutputLayout, VideoTimeline};

use super::crew::Fleet;
use crate::child::{Adoption, Pool};
use crate::encode::failure::EncodeFailure;
use crate::encode::output::Dirs;
use crate::encode::request::EncodeRequest;
use crate::plan::settings as plan_settings;
use crate::progress::ProgressEvent;
use crate::telemetry::span::Told;

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

impl Told for PassError {
    fn told(&self) -> String {
        match self {
            Self::OtherFrames(doubt) => doubt.clone(),
            Self::Failure(failure) => failure.told(),
        }
    }
}

impl Pass<'_> {
    /// The captions that at least one rendition carries. Renditions that can't carry them are told in a warning, which is added to
    /// `warnings`.
    pub(super) fn captions(&self, warnings: &mut Vec<String>) -> Vec<Channel> {
        let captions = &self.source.info.captions;
        let (with, without): (Vec<&Rendition>, Vec<&Rendition>) =
            self.renditions.iter().partition(|rendition| carries(rendition.codec()));
        if !captions.is_empty() && !without.is_empty() {
            let names: Vec<&str> = without.iter().map(|rendition| rendition.name.as_str()).collect();
            warnings.push(format!("the captions in the video are not in {}: their codec holds none", names.join(", ")));
        }
        if with.is_empty() { Vec::new() } else { captions.clone() }
    }

    /// How the source is cut.
    pub(super) fn plan(&self) -> Plan {
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

    /// Whether all video of the ladder is copied.
    pub(super) fn only_copies(&self) -> bool {
        self.renditions.iter().all(|r| r.method == Method::Copy)
    }

    /// Whether packets are all that is delivered.
    pub(super) fn decodes_nothing(&self) -> bool {
        self.only_copies() && self.archive.is_none()
    }

    /// Tells what is to come.
    pub(super) fn announce(&self, plan: &Plan) {
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
    pub(super) fn stills(&self, plan: &Plan) -> Stills {
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

    /// What the stitcher is told, without subtitles and captions.
    pub(super) fn layout(&self, plan: Plan, audio: Vec<vtp_stitcher::AudioTrack>, stills: Stills) -> OutputLayout {
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
