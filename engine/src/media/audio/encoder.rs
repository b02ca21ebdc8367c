//! An encoder of AAC-LC (ISO/IEC 14496-3), Opus (RFC 6716) or FLAC (RFC 9639): planar floats in, raw access units out. One
//! encoder runs over a whole track. Of AC-3 and E-AC-3 only silence is made with it.
//!
//! Floats hold integers of 24 bits exactly, so what a decoder gives in no more bits is in FLAC as it was.

use ffmpeg_next::{self as ffmpeg, ChannelLayout, Packet, codec, ffi, frame};

use super::form::{Form, Kept, pack, whole};
use super::resample::Planes;
use super::terms::UnitSink;
use crate::format::flac;
use crate::ladder::AudioCodec;
use crate::loudness::Meter;
use crate::media::{Error, Kind};

/// The sampling frequencies of ISO/IEC 14496-3, 1.6.3.4, that every player knows.
const RATES: [u32; 12] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000];

/// `rate` where AAC has it, 48 kHz otherwise and always in Opus; FLAC has all.
pub(super) fn rate_for(codec: AudioCodec, rate: u32) -> u32 {
    match codec {
        AudioCodec::Flac => rate,
        AudioCodec::Aac if RATES.contains(&rate) => rate,
        AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Ac3 | AudioCodec::Eac3 => 48_000,
    }
}

/// Bits a second of AAC for `channels` at `rate`: 128 kb/s for stereo at 44.1 and 48 kHz, in proportion elsewhere.
fn bit_rate(rate: u32, channels: u16) -> usize {
    let mono = match rate {
        ..=8000 => 24_000,
        8001..=12_000 => 32_000,
        12_001..=16_000 => 40_000,
        16_001..=24_000 => 48_000,
        24_001..=32_000 => 56_000,
        32_001..=48_000 => 72_000,
        _ => 96_000,
    };
    match channels {
        1 => mono,
        _ => mono * 8 * usize::from(channels) / 9,
    }
}

/// Bits a second of Opus.
fn opus_bit_rate(channels: u16) -> usize {
    match channels {
        1 => 64_000,
        2 => 96_000,
        _ => 256_000,
    }
}

/// Bits a second of AC-3 and E-AC-3.
fn dolby_bit_rate(channels: u16) -> usize {
    match channels {
        1 => 96_000,
        2 => 192_000,
        _ => 448_000,
    }
}

/// The encoder, and the samples that don't fill an access unit yet.
pub(super) struct Encoder {
    codec: AudioCodec,
    encoder: codec::encoder::audio::Encoder,
    form: Form,
    layout: ChannelLayout,
    pending: Planes,
    /// What every sample is multiplied by.
    factor: f32,
    channels: u16,
    taken: u64,
    priming: u32,
    config: Vec<u8>,
}

impl Encoder {
    /// An encoder of `channels` in their usual layout at `rate`.
    ///
    /// # Errors
    /// [`Kind::Internal`] when this FFmpeg has no such encoder or it refuses the settings.
    pub(super) fn open(codec: AudioCodec, rate: u32, channels: u16) -> Result<Self, Error> {
        let (name, form, bits) = match codec {
            AudioCodec::Aac => ("aac", Form::Planes, bit_rate(rate, channels)),
            AudioCodec::Opus => ("libopus", Form::Floats, opus_bit_rate(channels)),
            AudioCodec::Ac3 => ("ac3", Form::Planes, dolby_bit_rate(channels)),
            AudioCodec::Eac3 => ("eac3", Form::Planes, dolby_bit_rate(channels)),
            AudioCodec::Flac => {
                return Self::lossless(
                    rate,
                    Kept { channels, layout: ChannelLayout::default(channels.into()), bits: 24 },
                );
            }
        };
        let layout = ChannelLayout::default(channels.into());
        Self::with((codec, name), rate, form, layout, |audio| audio.set_bit_rate(bits))
    }

    /// An encoder of FLAC at `rate`.
    ///
    /// # Errors
    /// As [`Encoder::open`].
    pub(super) fn lossless(rate: u32, kept: Kept) -> Result<Self, Error> {
        let codec = AudioCodec::Flac;
        Self::with((codec, "flac"), rate, Form::Integers(kept.bits), kept.layout, |audio| {
            // SAFETY: the context is valid and not yet opened, the time these fields may be set.
            unsafe {
                let raw = &mut *audio.as_mut_ptr();
                raw.frame_size = codec.frame().cast_signed();
                raw.bits_per_raw_sample = kept.bits.into();
            }
        })
    }

    fn with(
        (codec, name): (AudioCodec, &'static str),
        rate: u32,
        form: Form,
        layout: ChannelLayout,
        set: impl FnOnce(&mut codec::encoder::audio::Audio),
    ) -> Result<Self, Error> {
        let found = codec::encoder::find_by_name(name)
            .ok_or_else(|| Error::new(Kind::Internal, format!("this FFmpeg has no encoder {name}")))?;
        let mut audio = codec::context::Context::new_with_codec(found)
            .encoder()
            .audio()
            .map_err(|e| Error::ffmpeg("preparing the audio encoder", e))?;
        audio.set_rate(i32::try_from(rate).unwrap_or(0));
        audio.set_channel_layout(layout);
        audio.set_format(form.sample_format());
        audio.set_time_base((1, i32::try_from(rate).unwrap_or(1)));
        audio.set_flags(codec::Flags::GLOBAL_HEADER);
        set(&mut audio);
        let encoder = audio.open_as(found).map_err(|e| Error::ffmpeg("opening the audio encoder", e))?;
        // SAFETY: the context is open.
        let priming = u32::try_from(unsafe { (*encoder.as_ptr()).initial_padding }).unwrap_or(0);
        let channels = u16::try_from(layout.channels()).unwrap_or(0);
        let config = config(codec, &encoder, layout)?;
        let pending = Planes::new(channels);
        Ok(Self { codec, encoder, form, layout, pending, factor: 1.0, channels, taken: 0, priming, config })
    }

    /// What it encodes to.
    pub(super) fn codec(&self) -> AudioCodec {
        self.codec
    }

    /// Samples at the start of the first access unit that are no sound of the source's.
    pub(super) fn priming(&self) -> u32 {
        self.priming
    }

    /// The AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), the payload of `dOps` (Opus in ISOBMFF 4.3.2), or the blocks of
    /// metadata (RFC 9639 8), which know the number of samples and their MD5 once all is encoded; nothing of AC-3 and E-AC-3.
    pub(super) fn config(&self) -> &[u8] {
        &self.config
    }

    /// Multiplies every sample that is encoded from here on.
    pub(super) fn set_factor(&mut self, factor: f32) {
        self.factor = factor;
    }

    /// Has `meter` hear all samples that are pending, in place of encoding them.
    ///
    /// # Errors
    /// [`Kind::Internal`] when it refuses them.
    pub(super) fn measure(&mut self, meter: &mut Meter) -> Result<(), Error> {
        self.pending.0.iter_mut().flatten().for_each(|sample| *sample = tame(*sample));
        let planes: Vec<&[f32]> = self.pending.0.iter().map(Vec::as_slice).collect();
        meter.hear(&planes).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let heard = self.pending.len();
        self.taken += heard as u64;
        self.pending.drop_front(heard);
        Ok(())
    }

    /// Where samples to be encoded are appended.
    pub(super) fn pending(&mut self) -> &mut Planes {
        &mut self.pending
    }

    /// Number of samples given so far.
    pub(super) fn samples(&self) -> u64 {
        self.taken + self.pending.len() as u64
    }

    /// Cuts or fills what is pending so that [`Encoder::samples`] becomes `total`, as far as it can.
    pub(super) fn set_samples(&mut self, total: u64) {
        self.pending.resize(usize::try_from(total.saturating_sub(self.taken)).unwrap_or(0));
    }

    /// Encodes all whole access units that are pending.
    ///
    /// # Errors
    /// Whatever `sink` answers; [`Kind::Internal`] when the encoder fails.
    pub(super) fn encode<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let frame = self.codec.frame() as usize;
        let whole = self.pending.len() / frame * frame;
        for from in (0..whole).step_by(frame) {
            self.send(from, frame)?;
            self.receive(sink)?;
        }
        self.pending.drop_front(whole);
        Ok(())
    }

    /// Encodes what is left. Nothing can be encoded after it.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub(super) fn finish<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        self.encode(sink)?;
        let rest = self.pending.len();
        if rest > 0 {
            self.send(0, rest)?;
            self.pending.drop_front(rest);
        }
        self.encoder.send_eof().map_err(|e| Error::ffmpeg("finishing the sound", e))?;
        self.receive(sink)?;
        self.config = config(self.codec, &self.encoder, self.layout)?;
        Ok(())
    }

    fn send(&mut self, from: usize, count: usize) -> Result<(), Error> {
        let mut frame = frame::Audio::new(self.form.sample_format(), count, self.layout);
        let planes = if self.form == Form::Planes { self.pending.0.len() } else { 1 };
        if frame.planes() != planes {
            return Err(Error::new(Kind::Retryable, "no memory for a frame of sound"));
        }
        frame.set_pts(i64::try_from(self.taken).ok());
        frame.set_rate(self.encoder.rate());
        for (channel, plane) in self.pending.0.iter().enumerate() {
            let samples = plane[from..from + count].iter().map(|sample| tame(*sample) * self.factor);
            let place = (channel, usize::from(self.channels));
            match self.form {
                Form::Planes => {
                    frame.plane_mut::<f32>(channel).iter_mut().zip(samples).for_each(|(to, sample)| *to = sample);
                }
                Form::Floats => pack(frame.data_mut(0), place, samples.map(f32::to_ne_bytes)),
                Form::Integers(bits @ ..=16) => {
                    let narrow = |sample| i16::try_from(whole(sample, bits)).unwrap_or(0).to_ne_bytes();
                    pack(frame.data_mut(0), place, samples.map(narrow));
                }
                // The encoder takes the uppermost bits.
                Form::Integers(bits) => {
                    pack(frame.data_mut(0), place, samples.map(|it| (whole(it, bits) << (32 - bits)).to_ne_bytes()));
                }
            }
        }
        self.taken += count as u64;
        self.encoder.send_frame(&frame).map_err(|e| Error::ffmpeg("encoding sound", e))
    }

    fn receive<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                // Behind its last access unit FLAC's gives its header again, in an empty packet.
                Ok(()) if packet.size() == 0 => {}
                Ok(()) => sink(packet.data().unwrap_or_default())?,
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN }) => return Ok(()),
                Err(e) => return Err(Error::ffmpeg("encoding sound", e).into()),
            }
        }
    }
}

/// What tells a decoder about what this encoder gives, as far as it knows.
fn config(
    codec: AudioCodec,
    encoder: &codec::encoder::audio::Encoder,
    layout: ChannelLayout,
) -> Result<Vec<u8>, Error> {
    // SAFETY: the context is open; its extradata is null or `extradata_size` bytes that live as long as it.
    let headers = unsafe {
        let raw = &*encoder.as_ptr();
        let size = usize::try_from(raw.extradata_size).unwrap_or(0);
        if raw.extradata.is_null() { &[] } else { std::slice::from_raw_parts(raw.extradata, size) }
    };
    match codec {
        AudioCodec::Aac | AudioCodec::Ac3 | AudioCodec::Eac3 => Ok(headers.to_vec()),
        AudioCodec::Opus => {
            opus_config(headers).ok_or_else(|| Error::new(Kind::Internal, "the encoder of Opus tells no header"))
        }
        AudioCodec::Flac => Ok(flac::metadata(headers, u32::try_from(layout.bits()).unwrap_or(0))),
    }
}

/// The payload of `dOps` (Opus in ISOBMFF 4.3.2) from a header as Ogg has it (RFC 7845 5.1), whose numbers are little-endian.
fn opus_config(header: &[u8]) -> Option<Vec<u8>> {
    let fields = header.strip_prefix(b"OpusHead")?;
    let (&[_, channels, skip0, skip1, rate0, rate1, rate2, rate3, gain0, gain1], mapping) =
        fields.split_first_chunk()?;
    let numbers = [0, channels, skip1, skip0, rate3, rate2, rate1, rate0, gain1, gain0];
    let mapping = match mapping {
        [0, ..] => &mapping[..1],
        [_, ..] => mapping.get(..3 + usize::from(channels))?,
        [] => return None,
    };
    Some([&numbers[..], mapping].concat())
}

/// Floating-point sources may hold what no encoder takes: infinities and numbers that are none.
fn tame(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-4.0, 4.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_and_what_is_no_number_are_silenced_before_the_encoder_sees_them() {
        let mut encoder = Encoder::open(AudioCodec::Aac, 48_000, 1).unwrap();
        encoder.pending().0[0].extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX].repeat(1024));
        let mut units = 0;
        let mut sink = |_: &[u8]| -> Result<(), Error> {
            units += 1;
            Ok(())
        };
        encoder.finish(&mut sink).unwrap();
        assert_eq!(units, 5, "four access units and the one that priming adds");
    }

    #[test]
    fn every_rate_opens_with_mono_and_stereo_and_states_its_config() {
        for rate in RATES {
            for channels in [1, 2, 6] {
                let encoder = Encoder::open(AudioCodec::Aac, rate, channels).unwrap();
                assert!(encoder.config().len() >= 2 && encoder.priming() == 1024, "{rate} Hz, {channels} channels");
            }
        }
        let rates = [44_100, 37_800, 192_000];
        assert_eq!(rates.map(|rate| rate_for(AudioCodec::Aac, rate)), [44_100, 48_000, 48_000]);
        assert_eq!(rates.map(|rate| rate_for(AudioCodec::Opus, rate)), [48_000; 3]);
    }

    #[test]
    fn opus_makes_as_many_units_as_hold_the_sound_and_what_goes_before_it() {
        for (channels, samples) in [(1, 960), (2, 4800), (2, 4801), (6, 5448), (6, 5449)] {
            let mut encoder = Encoder::open(AudioCodec::Opus, 48_000, channels).unwrap();
            let priming = u64::from(encoder.priming());
            assert!(priming > 0);
            encoder.set_samples(samples);
            let mut units = 0;
            let mut sink = |_: &[u8]| -> Result<(), Error> {
                units += 1;
                Ok(())
            };
            encoder.finish(&mut sink).unwrap();
            assert_eq!(units, (samples + priming).div_ceil(960), "{channels} channels, {samples} samples");
        }
    }

    #[test]
    fn flac_holds_every_whole_number_and_tells_how_many_there_are() {
        use ChannelLayout as Is;
        let layouts = [(16, 2, Is::STEREO), (24, 1, Is::MONO), (24, 6, Is::_5POINT1), (16, 3, Is::_2POINT1)];
        for (bits, channels, layout) in layouts {
            let numbers = [0, 1, -1, 77, (1 << (bits - 1)) - 1, -(1 << (bits - 1)), 12_345];
            let one = (1_i32 << (bits - 1)) as f32;
            assert!(numbers.iter().all(|&number| whole(number as f32 / one, bits) == number), "{bits}");
            assert_eq!([whole(2.0, bits), whole(-2.0, bits)], [(1 << (bits - 1)) - 1, -(1 << (bits - 1))]);
            let mut encoder = Encoder::lossless(96_000, Kept { channels, layout, bits }).unwrap();
            encoder.set_samples(10_000);
            let mut units = 0;
            let mut sink = |unit: &[u8]| -> Result<(), Error> {
                units += 1;
                assert_eq!(unit[0], 0xFF);
                Ok(())
            };
            encoder.finish(&mut sink).unwrap();
            assert_eq!(units, 3, "4096, 4096 and 1808 samples");
            let info = flac::StreamInfo::read(&encoder.config()[4..38]).unwrap();
            assert_eq!((info.sample_rate, info.channels, info.bits, info.samples), (96_000, channels, bits, 10_000));
            assert!(info.md5 != [0; 16]);
            assert_eq!(
                encoder.config().len() > 38,
                layout == Is::_2POINT1,
                "2.1 is not what FLAC takes three channels for"
            );
        }
    }

    #[test]
    fn the_header_of_opus_becomes_big_endian_and_keeps_its_mapping() {
        let encoder = |channels| Encoder::open(AudioCodec::Opus, 48_000, channels).unwrap();
        let stereo = encoder(2);
        let skip = (stereo.priming() as u16).to_be_bytes();
        assert_eq!(stereo.config(), [0, 2, skip[0], skip[1], 0, 0, 0xBB, 0x80, 0, 0, 0]);
        let surround = encoder(6);
        assert_eq!((surround.config().len(), surround.config()[10]), (19, 1));
        assert!(opus_config(b"OpusHead").is_none() && opus_config(&stereo.config).is_none());
    }
}
