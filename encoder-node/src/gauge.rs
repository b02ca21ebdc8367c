//! Measures one rendition of one chunk while it is encoded: what the encoder gives is decoded again and held against
//! what it was given. Pictures are paired by presentation time. It judges nothing, and keeps only the pictures that
//! are to be measured and whose samples have not come out yet.

use std::collections::{BTreeMap, HashMap};

use vtp_engine::bitstream::Classifier;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{CodecParameters, SourcePacket};
use vtp_engine::media::vmaf::{Model, Motion, Scorer};
use vtp_engine::media::{self, Kind, Picture, cpu};
use vtp_engine::quality::{FrameScore, Sampling};
use vtp_engine::units::{PacketIndex, TimeBase};

use crate::Error;

/// A rendition being measured.
pub(crate) struct Gauge<'a> {
    rendition: &'a str,
    sampling: Sampling,
    frames: u32,
    /// The position of each presentation time.
    positions: HashMap<i64, u32>,
    classifier: Classifier,
    decoder: VideoDecoder,
    motion: Motion,
    /// The positions of the pictures that motion was told of: those that are measured and their neighbours.
    seen: Vec<u32>,
    pairs: Pairs,
    cpu_s: f64,
}

/// What the measured pictures wait for, and the scores of those that wait no more.
struct Pairs {
    references: BTreeMap<u32, Picture>,
    scorer: Scorer,
}

impl<'a> Gauge<'a> {
    /// A gauge for the frames with these presentation times, in order, whose encoder has the decoder configuration
    /// record `config`.
    pub(crate) fn new(
        rendition: &'a str,
        config: &[u8],
        times: impl ExactSizeIterator<Item = i64>,
        time_base: TimeBase,
        sampling: Sampling,
    ) -> Result<Self, Error> {
        let frames = times.len() as u32;
        // Pictures at their own size are judged as if they filled the display of the model.
        let scorer = Scorer::new(Model::Hd)?;
        Ok(Self {
            rendition,
            sampling,
            frames,
            positions: times.zip(0..).collect(),
            classifier: Classifier::new("h264", config),
            decoder: VideoDecoder::new(&CodecParameters::avc(config)?, time_base)?,
            motion: Motion::new()?,
            seen: Vec::new(),
            pairs: Pairs { references: BTreeMap::new(), scorer },
            cpu_s: 0.0,
        })
    }

    /// Takes the picture at `position` as it goes into the encoder. They come in order, each before its sample.
    pub(crate) fn reference(&mut self, position: u32, picture: &Picture) -> Result<(), Error> {
        let started = cpu::thread_seconds();
        let is_near_measured = (position.saturating_sub(1)..=position + 1)
            .any(|near| near < self.frames && self.sampling.takes(near, self.frames));
        if is_near_measured {
            self.motion.push(picture)?;
            self.seen.push(position);
        }
        if self.sampling.takes(position, self.frames) {
            let shared =
                picture.share().ok_or_else(|| media::Error::new(Kind::Retryable, "no memory for a picture"))?;
            self.pairs.references.insert(position, shared);
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
        if self.sampling.takes(position, self.frames) || !self.classifier.is_disposable(sample) {
            let pairs = &mut self.pairs;
            let packet = SourcePacket::of(sample);
            self.decoder.send(PacketIndex(position), packet, &mut |picture| pairs.take(&picture))?;
        }
        self.cpu_s += cpu::thread_seconds() - started;
        Ok(())
    }

    /// The scores in presentation order, and the CPU seconds that they took.
    pub(crate) fn finish(mut self) -> Result<(Vec<FrameScore>, f64), Error> {
        let started = cpu::thread_seconds();
        let pairs = &mut self.pairs;
        self.decoder.finish::<media::Error>(&mut |picture| pairs.take(&picture))?;
        if let Some(position) = self.pairs.references.keys().next() {
            let what = format!("{}: frame {position} of the chunk does not come out of its decoder", self.rendition);
            return Err(media::Error::new(Kind::Retryable, what).into());
        }
        let motion = self.seen.into_iter().zip(self.motion.finish()?).collect();
        let mut scores = self.pairs.scorer.finish(&motion)?;
        scores.sort_by_key(|(position, _)| *position);
        let weigh = |(position, score)| {
            let weight = self.sampling.weight(position, self.frames);
            FrameScore { position, score, weight }
        };
        let scores = scores.into_iter().map(weigh).collect();
        Ok((scores, self.cpu_s + cpu::thread_seconds() - started))
    }
}

impl Pairs {
    fn take(&mut self, picture: &Picture) -> Result<(), media::Error> {
        let Some(PacketIndex(position)) = picture.packet() else {
            return Err(media::Error::new(Kind::Internal, "a decoded picture has lost its packet"));
        };
        match self.references.remove(&position) {
            Some(reference) => self.scorer.push(position, &reference, picture),
            None => Ok(()),
        }
    }
}
