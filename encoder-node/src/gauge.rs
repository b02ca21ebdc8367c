//! Measures one rendition of one chunk while it is encoded: what the encoder gives is decoded again and held against
//! what it was given. Pictures are paired by presentation time. It keeps only the pictures that are to be measured and
//! whose samples have not come out yet, and refuses only what is no encode of the source at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vtp_engine::bitstream::Classifier;
use vtp_engine::chunk::EncodeTask;
use vtp_engine::ladder::{Method, Rendition, full_size};
use vtp_engine::limits::Limits;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{CodecParameters, SourcePacket};
use vtp_engine::media::motion::Motion;
use vtp_engine::media::scale::{Scaler, Shape, output_color};
use vtp_engine::media::trace::Trace;
use vtp_engine::media::vmaf::{self, Features, Model};
use vtp_engine::media::{self, Kind, Picture, cpu};
use vtp_engine::quality::{Check, FrameScore, Likeness, Neighbour, Summary, fault, weights};
use vtp_engine::units::{PacketIndex, Size};

use crate::viewer::is_near;
use crate::{Error, Extractors};

/// A rendition being measured.
pub(crate) struct Gauge<'a> {
    rendition: &'a str,
    measured: BTreeSet<u32>,
    frames: u32,
    /// The position of each presentation time.
    positions: HashMap<i64, u32>,
    classifier: Classifier,
    decoder: VideoDecoder,
    /// The motion of the measured pictures; of those at full size it is told.
    motion: Option<Motion>,
    pairs: Pairs<'a>,
    /// The rate factor it is made at.
    crf: f64,
    full_size: Size,
    has_full_size: bool,
    cpu_s: f64,
}

/// What the gauge found.
pub(crate) struct Measured {
    /// VMAF at the rendition's own size.
    pub(crate) fidelity: Vec<FrameScore>,
    /// VMAF at the source's.
    pub(crate) vmaf: Vec<FrameScore>,
    /// CPU seconds spent.
    pub(crate) cpu_s: f64,
}

impl<'a> Gauge<'a> {
    /// A gauge for a rendition of `task`, whose encoder has the decoder configuration record `config`.
    pub(crate) fn new(
        task: &EncodeTask,
        check: Check,
        rendition: &'a Rendition,
        config: &[u8],
        extractors: &'a Extractors,
    ) -> Result<Self, Error> {
        let frames = u32::try_from(task.frames.len()).unwrap_or(u32::MAX);
        let full_size = full_size(&task.video);
        let has_full_size = full_size == rendition.size;
        let codec = rendition.codec();
        let parameters = CodecParameters::video(codec, config);
        let color = output_color(&task.video, rendition.look());
        let is_deep = matches!(rendition.method, Method::Capped { depth, .. } if depth > 8);
        let measured: BTreeSet<u32> = check.sampling.measured(frames).into_iter().collect();
        Ok(Self {
            rendition: &rendition.name,
            frames,
            positions: task.frames.iter().map(|frame| frame.pts).zip(0..).collect(),
            classifier: Classifier::new(codec.name(), parameters.extradata()),
            decoder: VideoDecoder::new(&parameters, task.video.time_base, &Limits::DEFAULT)?,
            motion: (!has_full_size).then(Motion::new),
            pairs: Pairs {
                waiting: measured.clone(),
                references: BTreeMap::new(),
                traces: BTreeMap::new(),
                full: BTreeMap::new(),
                scaler: Scaler::new(&[Shape::measured(full_size)], color),
                eight_bits: is_deep.then(|| Scaler::new(&[Shape::measured(rendition.size)], color)),
                extractors,
                own_features: Vec::new(),
                full_features: Vec::new(),
                likenesses: Vec::new(),
            },
            measured,
            crf: match rendition.method {
                Method::Capped { crf, .. } => crf.into(),
                Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => 0.0,
            },
            full_size,
            has_full_size,
            cpu_s: 0.0,
        })
    }

    /// Takes the picture at `position` as it goes into the encoder, and as it is shown at full size if it is to be
    /// looked at so. They come in order, each before its sample.
    pub(crate) fn reference(&mut self, position: u32, picture: &Picture, full: Option<Picture>) -> Result<(), Error> {
        let started = cpu::thread_seconds();
        if is_near(position, &self.measured) {
            let picture = &self.pairs.in_eight_bits(picture)?;
            if let Some(motion) = &mut self.motion {
                motion.push(position, picture)?;
            }
            self.pairs.traces.insert(position, Trace::of(picture)?);
            if self.measured.contains(&position) {
                self.pairs.references.insert(position, picture.share()?);
            }
        }
        if let Some(full) = full.filter(|_| !self.has_full_size) {
            self.pairs.full.insert(position, full);
        }
        self.cpu_s += cpu::thread_seconds() - started;
        Ok(())
    }

    /// Takes a sample as it comes out of the encoder.
    pub(crate) fn sample(&mut self, pts: i64, sample: &[u8]) -> Result<(), media::Error> {
        let started = cpu::thread_seconds();
        let unknown = || media::Error::new(Kind::Internal, format!("{}: a sample at an unknown time", self.rendition));
        let position = *self.positions.get(&pts).ok_or_else(unknown)?;
        // Samples that are not measured, and that no other refers to, need not be decoded.
        if self.pairs.wants(position) || !self.classifier.is_disposable(sample) {
            let pairs = &mut self.pairs;
            let packet = SourcePacket::of(sample)?;
            self.decoder.send(PacketIndex(position), packet, &mut |picture| pairs.take(&picture))?;
        }
        self.cpu_s += cpu::thread_seconds() - started;
        Ok(())
    }

    /// What was found, once all samples have come. `full_motion` is that of the source at full size, by position.
    ///
    /// # Errors
    /// [`Error::Unfaithful`] if what was encoded does not show the source.
    pub(crate) fn finish(mut self, full_motion: &BTreeMap<u32, f64>) -> Result<Measured, Error> {
        let started = cpu::thread_seconds();
        let pairs = &mut self.pairs;
        self.decoder.finish::<media::Error>(&mut |picture| pairs.take(&picture))?;
        self.refuse_undecodable()?;
        let own_motion = self.motion.map(Motion::finish);
        let motion = own_motion.as_ref().unwrap_or(full_motion);
        let (own, full) = (in_order(self.pairs.own_features), in_order(self.pairs.full_features));
        let model = Model::for_display(self.full_size);
        // Pictures at their own size are judged as if they filled the display of the model.
        let fidelity = scored(Model::Hd, &own, motion, self.frames)?;
        let mean = Summary::of(fidelity.iter().map(|it| (it.score, it.weight))).map_or(0.0, |summary| summary.mean);
        if let Some(fault) = fault(&self.pairs.likenesses, self.crf, mean) {
            return Err(Error::Unfaithful { rendition: self.rendition.to_owned(), why: fault.to_string() });
        }
        let vmaf = match self.has_full_size {
            true => scored(model, &own, motion, self.frames)?,
            false => scored(model, &full, full_motion, self.frames)?,
        };
        Ok(Measured { fidelity, vmaf, cpu_s: self.cpu_s + cpu::thread_seconds() - started })
    }

    fn refuse_undecodable(&self) -> Result<(), Error> {
        let unfaithful = |why: String| Err(Error::Unfaithful { rendition: self.rendition.to_owned(), why });
        if let Some(position) = self.pairs.references.keys().chain(self.pairs.full.keys()).next() {
            return unfaithful(format!("frame {position} of the chunk does not come out of its decoder"));
        }
        if self.decoder.damaged() > 0 {
            return unfaithful(format!("its decoder finds {} samples damaged", self.decoder.damaged()));
        }
        Ok(())
    }
}

/// Features by the position of their frame.
fn in_order(mut features: Vec<(u32, Features)>) -> Vec<(u32, Features)> {
    features.sort_by_key(|(position, _)| *position);
    features
}

/// The scores of measured frames, whose features come in presentation order.
fn scored(
    model: Model,
    features: &[(u32, Features)],
    motion: &BTreeMap<u32, f64>,
    frames: u32,
) -> Result<Vec<FrameScore>, Error> {
    let positions: Vec<u32> = features.iter().map(|(position, _)| *position).collect();
    let unknown = |at: &u32| media::Error::new(Kind::Internal, format!("no motion is known of picture {at}"));
    let with_motion = |(at, features): &(u32, Features)| Ok((*features, *motion.get(at).ok_or_else(|| unknown(at))?));
    let pairs: Vec<_> = features.iter().map(with_motion).collect::<Result<_, media::Error>>()?;
    let scores = vmaf::scores(model, &pairs)?;
    let weighed = positions.iter().zip(scores).zip(weights(&positions, frames));
    Ok(weighed.map(|((&position, score), weight)| FrameScore { position, score, weight }).collect())
}

/// What the measured pictures wait for, and the features of those that wait no more.
struct Pairs<'a> {
    /// Positions that are measured and have not come out of the decoder.
    waiting: BTreeSet<u32>,
    references: BTreeMap<u32, Picture>,
    /// Of the references and of the pictures beside them.
    traces: BTreeMap<u32, Trace>,
    /// References at full size.
    full: BTreeMap<u32, Picture>,
    /// To full size.
    scaler: Scaler,
    /// To what is measured, where the rendition has more bits a sample.
    eight_bits: Option<Scaler>,
    extractors: &'a Extractors,
    own_features: Vec<(u32, Features)>,
    full_features: Vec<(u32, Features)>,
    likenesses: Vec<Likeness>,
}

impl Pairs<'_> {
    fn wants(&self, position: u32) -> bool {
        self.references.contains_key(&position) || self.full.contains_key(&position)
    }

    /// The picture as it is measured.
    fn in_eight_bits(&mut self, picture: &Picture) -> Result<Picture, media::Error> {
        match &mut self.eight_bits {
            None => picture.share(),
            Some(scaler) => {
                let scaled = scaler.scale(picture)?.into_iter().next();
                scaled.ok_or_else(|| media::Error::new(Kind::Internal, "a scaler without an output"))
            }
        }
    }

    fn take(&mut self, picture: &Picture) -> Result<(), media::Error> {
        let Some(PacketIndex(position)) = picture.packet() else {
            return Err(media::Error::new(Kind::Internal, "a decoded picture has lost its packet"));
        };
        if !self.wants(position) {
            return Ok(());
        }
        let picture = &self.in_eight_bits(picture)?;
        if let Some(reference) = self.references.remove(&position) {
            self.likenesses.extend(self.likeness(position, picture)?);
            self.own_features.push((position, self.extractors.extract(&reference, picture)?));
            self.forget(position);
        }
        if let Some(reference) = self.full.remove(&position) {
            for picture in self.scaler.scale(picture)? {
                self.full_features.push((position, self.extractors.extract(&reference, &picture)?));
            }
        }
        Ok(())
    }

    fn likeness(&self, position: u32, picture: &Picture) -> Result<Option<Likeness>, media::Error> {
        let Some(own) = self.traces.get(&position) else { return Ok(None) };
        let shown = Trace::of(picture)?;
        let beside = |at: Option<u32>| {
            let trace = self.traces.get(&at?)?;
            Some(Neighbour { distance: trace.distance(&shown), motion: trace.distance(own) })
        };
        Ok(Some(Likeness {
            levels: own.levels_to(&shown),
            own: own.distance(&shown),
            before: beside(position.checked_sub(1)),
            after: beside(position.checked_add(1)),
        }))
    }

    /// Forgets what no picture that is still to come needs.
    fn forget(&mut self, taken: u32) {
        self.waiting.remove(&taken);
        let needed = self.waiting.first().map_or(u32::MAX, |first| first.saturating_sub(1));
        self.traces = self.traces.split_off(&needed);
    }
}
