//! One rendition's thread: pictures in, samples spooled durably. It decodes and scales nothing.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use vtp_engine::chunk::{EncodeTask, EncodedRendition, Sample};
use vtp_engine::ladder::{Method, Rendition, Search};
use vtp_engine::media::encode::{self, ChunkShape, EncodedPicture, VideoEncoder};
use vtp_engine::media::{self, Kind, cpu, vmaf};

use crate::gauge::Gauge;
use crate::lane::{Order, Subject};
use crate::spool::{self, SpoolWriter};
use crate::{Equipment, Error, Observer};

/// One rendition of one task.
pub(crate) struct Work<'a> {
    pub(crate) task: &'a EncodeTask,
    pub(crate) rendition: &'a Rendition,
    pub(crate) shape: ChunkShape,
    pub(crate) equipment: &'a Equipment<'a>,
}

/// What a rendition's thread gives back.
pub(crate) struct Finished {
    pub(crate) rendition: EncodedRendition,
    pub(crate) encode_s: f64,
    pub(crate) measure_s: f64,
}

impl Work<'_> {
    /// Encodes what comes until it is told to finish. When the orders end without that, the chunk was given up.
    pub(crate) fn run(self, orders: &Receiver<Order>) -> Result<Finished, Error> {
        let started = cpu::thread_seconds();
        if let Method::Stills { .. } = self.rendition.method {
            return self.keep(orders);
        }
        let mut encoder = (self.equipment.open)(&self.task.video, self.rendition, self.shape)?;
        let gauge = self.gauge(encoder.config())?;
        let mut output = Output::begin(&self, gauge)?;
        let full_motion = loop {
            match orders.recv() {
                _ if self.equipment.cancel.load(Ordering::Relaxed) => return Err(Error::Cancelled),
                Ok(Order::Encode(subject)) => self.encode(&mut *encoder, subject, &mut output)?,
                Ok(Order::Finish(full_motion)) => break full_motion,
                Err(_) => return Err(Error::Cancelled),
            }
        };
        output.collect(|sink| encoder.finish(sink))?;
        self.check(&output.samples)?;
        let measured = output.gauge.take().map(|gauge| gauge.finish(&full_motion)).transpose()?;
        let (path, samples) = output.finish()?;
        let measure_s = measured.as_ref().map_or(0.0, |it| it.cpu_s);
        let (fidelity, vmaf) = measured.map(|it| (it.fidelity, it.vmaf)).unzip();
        let (crf, search) = match self.rendition.method {
            Method::Capped { crf, search, .. } => (Some(crf), search),
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => (None, Search::Preset),
        };
        let (name, encoded_by) = (&self.rendition.name, encoder.name());
        let rendition = EncodedRendition {
            crf,
            search,
            fidelity,
            vmaf,
            ..EncodedRendition::unmeasured(name, encoder.config(), samples, path, encoded_by)
        };
        Ok(Finished { rendition, encode_s: cpu::thread_seconds() - started - measure_s, measure_s })
    }

    /// Spools the pictures themselves.
    fn keep(&self, orders: &Receiver<Order>) -> Result<Finished, Error> {
        let mut output = Output::begin(self, None)?;
        loop {
            match orders.recv() {
                _ if self.equipment.cancel.load(Ordering::Relaxed) => return Err(Error::Cancelled),
                Ok(Order::Encode(Subject { position, picture, .. })) => {
                    let entry = self.task.frames.get(position);
                    let entry = entry.ok_or_else(|| self.wrong("a picture beyond the chunk's end"))?;
                    let bytes = picture.rgb().ok_or_else(|| self.wrong("a picture that is not red, green and blue"))?;
                    let still = EncodedPicture { pts: entry.pts, sync: true, sample: &bytes };
                    output.write(still).map_err(|error| Error::spool(output.path.clone(), &error))?;
                }
                Ok(Order::Finish(_)) => break,
                Err(_) => return Err(Error::Cancelled),
            }
        }
        let (path, samples) = output.finish()?;
        let rendition = EncodedRendition::unmeasured(&self.rendition.name, &[], samples, path, "none");
        Ok(Finished { rendition, encode_s: 0.0, measure_s: 0.0 })
    }

    /// What measures this rendition, if it is to be and can be: a lossless one need not.
    fn gauge(&self, config: &[u8]) -> Result<Option<Gauge<'_>>, Error> {
        let Some(check) = self.task.check else { return Ok(None) };
        let (size, lossy) = (self.rendition.size, matches!(self.rendition.method, Method::Capped { .. }));
        if !lossy || size.width.min(size.height) < vmaf::LEAST {
            return Ok(None);
        }
        Gauge::new(self.task, check, self.rendition, config, self.equipment.extractors).map(Some)
    }

    fn encode(&self, encoder: &mut dyn VideoEncoder, subject: Subject, output: &mut Output<'_>) -> Result<(), Error> {
        let Subject { position, picture, full } = subject;
        let entry = self.task.frames.get(position).ok_or_else(|| self.wrong("a picture beyond the chunk's end"))?;
        let starts_segment = self.task.segment_starts.iter().any(|&start| start as usize == position);
        if let Some(gauge) = &mut output.gauge {
            gauge.reference(position as u32, &picture, full)?;
        }
        output.collect(|sink| encoder.send(&picture, entry.pts, starts_segment, sink))
    }

    /// Every frame's time stands on exactly one sample, and every segment starts with a sync sample.
    fn check(&self, samples: &[Sample]) -> Result<(), Error> {
        let mut by_time: Vec<_> = samples.iter().collect();
        by_time.sort_by_key(|sample| sample.pts);
        if !by_time.iter().map(|sample| sample.pts).eq(self.task.frames.iter().map(|frame| frame.pts)) {
            return Err(self.wrong("the samples are not those of the chunk's frames"));
        }
        let mut starts = self.task.segment_starts.iter();
        if !starts.all(|&start| by_time.get(start as usize).is_some_and(|sample| sample.sync)) {
            return Err(self.wrong("a segment starts with a picture that can't be decoded alone"));
        }
        Ok(())
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::Samples { rendition: self.rendition.name.clone(), what: what.to_owned() }
    }
}

/// Where the samples go: the spool, a list, and the gauge.
struct Output<'a> {
    /// For messages.
    path: PathBuf,
    writer: Box<dyn SpoolWriter + 'a>,
    samples: Vec<Sample>,
    gauge: Option<Gauge<'a>>,
    rendition: &'a str,
    observer: &'a dyn Observer,
}

impl<'a> Output<'a> {
    fn begin(work: &Work<'a>, gauge: Option<Gauge<'a>>) -> Result<Self, Error> {
        let path = work.task.spool.join(spool::name(work.rendition));
        match work.equipment.spool.begin(work.task, work.rendition) {
            Ok(writer) => Ok(Self {
                path,
                writer,
                samples: Vec::with_capacity(work.task.frames.len()),
                gauge,
                rendition: &work.rendition.name,
                observer: work.equipment.observer,
            }),
            Err(error) => Err(Error::spool(path, &error)),
        }
    }

    /// Writes whatever `encode` hands to its sink.
    fn collect(
        &mut self,
        encode: impl FnOnce(encode::SampleSink<'_>) -> Result<(), media::Error>,
    ) -> Result<(), Error> {
        let mut failed = None;
        let result = encode(&mut |picture| {
            self.write(picture).map_err(|error| {
                failed = Some(error);
                media::Error::new(Kind::Retryable, "spooling failed")
            })?;
            self.gauge.as_mut().map_or(Ok(()), |gauge| gauge.sample(picture.pts, picture.sample))
        });
        match failed {
            Some(error) => Err(Error::spool(self.path.clone(), &error)),
            None => Ok(result?),
        }
    }

    fn write(&mut self, picture: EncodedPicture<'_>) -> std::io::Result<()> {
        let size = u32::try_from(picture.sample.len()).map_err(std::io::Error::other)?;
        let sample = Sample { pts: picture.pts, size, sync: picture.sync };
        self.writer.write(sample, picture.sample)?;
        self.samples.push(sample);
        self.observer.frames_encoded(self.rendition, 1);
        Ok(())
    }

    /// Makes the samples durable.
    fn finish(self) -> Result<(PathBuf, Vec<Sample>), Error> {
        match self.writer.finish() {
            Ok(path) => Ok((path, self.samples)),
            Err(error) => Err(Error::spool(self.path, &error)),
        }
    }
}
