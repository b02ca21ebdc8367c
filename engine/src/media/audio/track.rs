//! One audio track on its way: decoded, laid on the output's timeline, converted, encoded. It reads no container.

use super::encoder::{Encoder, rate_for};
use super::form::Kept;
use super::resample::Resampler;
use super::terms::{AudioOutcome, AudioRequest, AudioTrackConfig, End, KeptSound, UnitSink};
use super::{AudioDecoder, Sound};
use crate::ladder::AudioCodec;
use crate::loudness::{Loudness, Measured, Meter};
use crate::media::demux::{CodecParameters, SourcePacket};
use crate::media::{Error, Kind};
use crate::pcm::{Clock, Edit, Moment, Timeline};

/// A track that is decoded and encoded anew.
pub(super) struct Transcoder {
    decoder: AudioDecoder,
    layer: Layer,
}

impl Transcoder {
    pub(super) fn new(parameters: &CodecParameters, request: &AudioRequest, origin: Moment) -> Result<Self, Error> {
        let decoder = AudioDecoder::new(parameters, request.info.time_base)?;
        let layer = Layer::new(request, decoder.kept(request.speakers.channels(request.info.channels)), origin)?;
        Ok(Self { decoder, layer })
    }

    /// Measures, and encodes nothing.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where there is no measure for such sound.
    pub(super) fn measuring(mut self) -> Result<Self, Error> {
        let layer = &mut self.layer;
        let meter = Meter::new(layer.channels, layer.rate);
        layer.meter = Some(meter.map_err(|error| Error::new(Kind::Unsupported, error.to_string()))?);
        Ok(self)
    }

    /// What was measured, at the end of the sound.
    pub(super) fn finish_measuring(mut self) -> Result<Option<Measured>, Error> {
        let layer = &mut self.layer;
        let mut no_units = |_: &[u8]| Ok::<_, Error>(());
        self.decoder.finish(&mut |sound| layer.hear(sound, &mut no_units))?;
        self.layer.finish(&mut no_units)?;
        Ok(self.layer.meter.map(|meter| meter.measured()))
    }

    /// Makes the sound as loud as `loudness` plans it.
    pub(super) fn set_loudness(&mut self, loudness: Loudness) {
        self.layer.encoder.set_factor(loudness.factor());
        self.layer.loudness = Some(loudness);
    }

    pub(super) fn config(&self) -> AudioTrackConfig {
        let layer = &self.layer;
        AudioTrackConfig {
            sample_rate: layer.rate,
            channels: layer.channels,
            codec: layer.encoder.codec(),
            priming: layer.encoder.priming(),
            config: layer.encoder.config().to_vec(),
            copied: false,
            encoded_because: None,
        }
    }

    pub(super) fn packet<E: From<Error>>(&mut self, packet: SourcePacket, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let layer = &mut self.layer;
        self.decoder.send(packet, &mut |sound| layer.hear(sound, sink))
    }

    pub(super) fn finish<E: From<Error>>(mut self, sink: &mut UnitSink<'_, E>) -> Result<AudioOutcome, E> {
        let layer = &mut self.layer;
        self.decoder.finish(&mut |sound| layer.hear(sound, sink))?;
        self.layer.finish(sink)?;
        let outcome = self.layer.outcome();
        let kept = self.layer.kept_bits().map(|bits| KeptSound {
            config: self.layer.encoder.config().to_vec(),
            is_rounded: self.decoder.is_finer_than(bits),
        });
        Ok(AudioOutcome { damaged: outcome.damaged + self.decoder.damaged(), kept, ..outcome })
    }

    /// Seconds of output time that are done.
    pub(super) fn reached_s(&self) -> f64 {
        self.layer.encoder.samples() as f64 / f64::from(self.layer.rate)
    }
}

/// Lays decoded sound on the timeline, run after run, one run behind the decoder: whether a jump in time is real
/// shows in the run after it.
struct Layer {
    timeline: Timeline,
    start: i64,
    held: Option<Sound>,
    resampler: Option<Resampler>,
    encoder: Encoder,
    /// What is kept of the sound, where it is lossless.
    kept: Option<Kept>,
    /// What hears the samples in place of the encoder, where they are only measured.
    meter: Option<Meter>,
    loudness: Option<Loudness>,
    rate: u32,
    channels: u16,
    /// When the first sample that is heard was to be, in seconds, and at which sample of the output it was put.
    begun: Option<(f64, i64)>,
    /// When the last one ends, in seconds.
    end_s: Option<f64>,
    end: End,
    /// Those of silence behind the sound.
    silence_after: u64,
    inserted_s: f64,
    dropped_s: f64,
    unusable: u32,
}

/// Samples of silence that are made at once.
const SILENT_RUN: u64 = 1 << 16;

/// Farther than so many seconds from where it is put, a run has a time that is not believed.
const MOST_BELIEVED_S: f64 = 0.5;

/// What follows a run.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Another, which declares this time.
    At(Option<i64>),
    /// Nothing.
    End,
}

impl Layer {
    fn new(request: &AudioRequest, kept: Kept, origin: Moment) -> Result<Self, Error> {
        let (info, codec) = (&request.info, request.codec);
        let (rate, channels) = (rate_for(codec, info.sample_rate), kept.channels);
        let clock = Clock { time_base: info.time_base, origin, rate: info.sample_rate.max(1) };
        Ok(Self {
            timeline: Timeline::new(clock),
            start: info.start,
            held: None,
            resampler: None,
            encoder: match codec {
                AudioCodec::Flac => Encoder::lossless(rate, kept)?,
                AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Ac3 | AudioCodec::Eac3 => {
                    Encoder::open(codec, rate, channels)?
                }
            },
            kept: (codec == AudioCodec::Flac).then_some(kept),
            meter: None,
            loudness: None,
            rate,
            channels,
            begun: None,
            end_s: None,
            end: End::new(request, origin, rate),
            silence_after: 0,
            inserted_s: 0.0,
            dropped_s: 0.0,
            unusable: 0,
        })
    }

    fn hear<E: From<Error>>(&mut self, sound: Sound, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let following = sound.pts();
        match self.held.replace(sound) {
            Some(run) => self.lay(&run, Next::At(following), sink),
            None => Ok(()),
        }
    }

    fn lay<E: From<Error>>(&mut self, run: &Sound, next: Next, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        if let Err(error) = self.prepare_for(run) {
            return self.pass_over(error).map_err(E::from);
        }
        let pts = run.pts().or_else(|| self.end_s.is_none().then_some(self.start));
        let samples = run.samples();
        let edit = match next {
            Next::At(following) => self.timeline.place(pts, samples as u64, following),
            Next::End => self.timeline.place_last(pts, samples as u64),
        };
        let length_s = samples as f64 / f64::from(run.rate());
        let declared_s = pts.map_or_else(|| self.end_s.unwrap_or(0.0), |pts| self.timeline.clock().seconds_at(pts));
        // What is left out as a whole does not end the sound.
        if self.end_s.is_none() || edit != Edit::Skip(samples as u64) {
            self.end_s = Some(declared_s + length_s);
        }
        match edit {
            Edit::Keep => {
                self.begin(self.believed(declared_s, length_s, next));
                self.convert(run, 0, samples)?;
            }
            Edit::Silence(count) => {
                self.fall_silent(count, sink)?;
                self.begin(declared_s);
                self.convert(run, 0, samples)?;
            }
            Edit::Skip(count) => {
                let skipped_s = count as f64 / f64::from(run.rate());
                self.dropped_s += skipped_s;
                let from = usize::try_from(count).unwrap_or(samples).min(samples);
                if from < samples {
                    self.begin(declared_s + skipped_s);
                }
                self.convert(run, from, samples)?;
            }
            Edit::Stretch => {
                self.begin(declared_s);
                self.convert(run, 0, 1)?;
                self.convert(run, 0, samples)?;
            }
        }
        self.encode(sink)
    }

    /// Encodes what is pending, or measures it.
    fn encode<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        match &mut self.meter {
            Some(meter) => self.encoder.measure(meter).map_err(E::from),
            None => self.encoder.encode(sink),
        }
    }

    /// Damage can yield sound of a shape that nothing converts: it is left out, and its time becomes silence.
    fn pass_over(&mut self, error: Error) -> Result<(), Error> {
        match error.kind() {
            Kind::Unsupported => {
                self.unusable += 1;
                Ok(())
            }
            Kind::Corrupt | Kind::Retryable | Kind::Internal => Err(error),
        }
    }

    /// Takes in a change of format, layout or rate.
    fn prepare_for(&mut self, run: &Sound) -> Result<(), Error> {
        if self.resampler.as_ref().is_some_and(|resampler| resampler.accepts(run)) {
            return Ok(());
        }
        self.drain_resampler()?;
        let unmixed = self.kept.is_some_and(|kept| kept.channels == run.channels());
        self.resampler = Some(Resampler::new(run, self.rate, self.channels, unmixed)?);
        let placed = i64::try_from(scaled(self.encoder.samples(), self.rate, run.rate())).unwrap_or(i64::MAX);
        self.timeline.set_rate(run.rate(), placed);
        Ok(())
    }

    /// Brings out what the resampling filter holds back, to as many samples as went in at the other rate.
    fn drain_resampler(&mut self) -> Result<(), Error> {
        let Some(mut resampler) = self.resampler.take() else { return Ok(()) };
        resampler.flush(self.encoder.pending())?;
        let placed = u64::try_from(self.timeline.len()).unwrap_or(0);
        self.encoder.set_samples(scaled(placed, self.timeline.clock().rate, self.rate));
        Ok(())
    }

    /// When a run begins that is left where the one before it ends: as it declares, unless that is elsewhere by more than a
    /// damaged time would be believed; then by what follows it.
    fn believed(&self, declared_s: f64, length_s: f64, next: Next) -> f64 {
        let put_s = self.encoder.samples() as f64 / f64::from(self.rate);
        match next {
            Next::At(Some(following)) if (declared_s - put_s).abs() > MOST_BELIEVED_S => {
                self.timeline.clock().seconds_at(following) - length_s
            }
            Next::At(_) | Next::End => declared_s,
        }
    }

    /// Notes where the first sample is put that was to be heard at this time; of the others nothing.
    fn begin(&mut self, declared_s: f64) {
        if self.begun.is_none() {
            let held_back = self.resampler.as_ref().map_or(0, |resampler| resampler.held_back(self.rate));
            let place = i64::try_from(self.encoder.samples() + held_back).unwrap_or(i64::MAX);
            self.begun = Some((declared_s, place));
        }
    }

    fn convert(&mut self, run: &Sound, from: usize, to: usize) -> Result<(), Error> {
        match self.resampler.as_mut() {
            Some(resampler) if to > from => resampler.convert(run, from, to - from, self.encoder.pending()),
            _ => Ok(()),
        }
    }

    fn fall_silent<E: From<Error>>(&mut self, count: u64, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let mut left = count;
        while left > 0 {
            let Some(resampler) = self.resampler.as_mut() else { return Ok(()) };
            left -= resampler.silence(left, self.encoder.pending())?;
            self.encode(sink)?;
        }
        self.inserted_s += count as f64 / f64::from(self.timeline.clock().rate);
        Ok(())
    }

    fn finish<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        if let Some(last) = self.held.take() {
            self.lay(&last, Next::End, sink)?;
        }
        self.drain_resampler()?;
        match &mut self.meter {
            Some(meter) => self.encoder.measure(meter).map_err(E::from),
            None => {
                self.last_out(sink)?;
                self.encoder.finish(sink)
            }
        }
    }

    /// Goes on in silence up to the end of the picture.
    fn last_out<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let heard = self.encoder.samples();
        if heard == 0 {
            return Ok(());
        }
        let missing = self.end.missing(heard);
        while self.encoder.samples() < heard + missing {
            self.encoder.set_samples((heard + missing).min(self.encoder.samples() + SILENT_RUN));
            self.encoder.encode(sink)?;
        }
        self.silence_after = missing;
        self.inserted_s += missing as f64 / f64::from(self.rate);
        Ok(())
    }

    /// Bits a sample, where the sound is lossless.
    fn kept_bits(&self) -> Option<u8> {
        self.kept.map(|kept| kept.bits)
    }

    fn outcome(&self) -> AudioOutcome {
        let (start_s, start_sample) = self.begun.unwrap_or_default();
        AudioOutcome {
            samples: self.encoder.samples(),
            start_s,
            start_sample,
            end_s: self.end_s.unwrap_or_default(),
            inserted_silence_s: self.inserted_s,
            silence_after: self.silence_after,
            dropped_s: self.dropped_s,
            damaged: self.unusable,
            slips: self.timeline.slips(),
            loudness: self.loudness,
            kept: None,
        }
    }
}

/// A number of samples at one rate, as the nearest number at another.
fn scaled(samples: u64, from: u32, to: u32) -> u64 {
    let from = u128::from(from.max(1));
    u64::try_from((u128::from(samples) * u128::from(to) + from / 2) / from).unwrap_or(u64::MAX)
}
