//! An encoder of libavcodec's at work on one chunk: pictures in, samples out. What it is told is decided in
//! [`super::settings`].

use ffmpeg_next::{self as ffmpeg, Packet};

use super::context::Context;
use super::lossless::Preparer;
use super::settings::{Coding, Settings};
use super::{ChunkCap, EncodedPicture, SampleSink, VideoEncoder, samples};
use crate::ladder::VideoCodec;
use crate::media::{Error, Kind, Picture};
use crate::units::Ratio;

/// An encoder at work.
pub(super) struct Encoder {
    context: Context,
    name: &'static str,
    coding: Coding,
    config: Vec<u8>,
    preparer: Option<Preparer>,
    packet: Packet,
    sample: Vec<u8>,
    sample_aspect: Ratio,
    cap: Option<Cap>,
}

/// The rate cap, told to the encoder anew with every picture that comes out.
struct Cap {
    chunk: ChunkCap,
    frame_rate: Ratio,
}

impl Encoder {
    /// Opens the encoder. `preparer` brings pictures into the format it was opened for, where they are not scaled.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the encoder refuses the settings; lack of memory.
    pub(super) fn open(settings: &Settings, preparer: Option<Preparer>) -> Result<Self, Error> {
        let context = Context::open(settings)?;
        let config = samples::config(settings, context.extradata())?;
        // Other encoders don't listen while they work.
        let cap = settings.cap.filter(|_| settings.coding == Coding::Ladder(VideoCodec::H264));
        let cap = cap.map(|chunk| Cap { chunk, frame_rate: settings.frame_rate });
        let (packet, sample) = (Packet::empty(), Vec::new());
        let Settings { encoder: name, coding, sample_aspect, .. } = *settings;
        Ok(Self { context, name, coding, config, preparer, packet, sample, sample_aspect, cap })
    }

    fn receive(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        while self.context.receive(&mut self.packet)? {
            self.sample.clear();
            let unit = self.packet.data().unwrap_or_default();
            let sync = samples::write(self.coding, unit, &mut self.sample)
                .map_err(|error| Error::new(Kind::Internal, format!("{}: {error}", self.name)))?;
            let pts = self.packet.pts();
            let pts = pts.ok_or_else(|| Error::new(Kind::Internal, format!("{} lost a timestamp", self.name)))?;
            if let Some(Cap { chunk, frame_rate }) = &mut self.cap {
                chunk.count(8 * self.sample.len() as u64);
                self.context.set_max_rate(chunk.max_rate(*frame_rate));
            }
            sink(EncodedPicture { pts, sync, sample: &self.sample })?;
        }
        Ok(())
    }
}

impl VideoEncoder for Encoder {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), Error> {
        let mut picture = match &mut self.preparer {
            Some(preparer) => preparer.prepare(picture)?,
            None => picture.share()?,
        };
        self.context.check(&picture)?;
        let frame = picture.frame_mut();
        frame.set_pts(Some(pts));
        // FFV1 has it in every frame, and what the container says of it counts.
        if self.coding == Coding::Ffv1 {
            picture.set_sample_aspect(self.sample_aspect);
        }
        let frame = picture.frame_mut();
        // What the picture was in the source would otherwise bind the encoder.
        frame.set_kind(if force_idr { ffmpeg::picture::Type::I } else { ffmpeg::picture::Type::None });
        self.context.send(Some(&picture))?;
        self.receive(sink)
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        self.context.send(None)?;
        self.receive(sink)
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
