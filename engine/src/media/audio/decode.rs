//! An audio decoder: packets in, sound out. Priming and trailing padding are dropped by libavcodec, as the container
//! declares them; damaged packets are counted, not fatal. It places nothing on a timeline: see [`crate::pcm`].

use ffmpeg_next::format::Sample;
use ffmpeg_next::{self as ffmpeg, ChannelLayout, codec, ffi, frame};

use super::form::Kept;
use crate::media::demux::{CodecParameters, SourcePacket};
use crate::media::error::words;
use crate::media::picture::some_timestamp;
use crate::media::{Error, Kind, codecs};
use crate::units::TimeBase;

/// A run of decoded samples (an FFmpeg frame, reference counted).
pub struct Sound(frame::Audio);

impl Sound {
    /// Presentation time of the first sample, in the unit of the packets' times. `None` where the container gives
    /// none, and for all but the first frame of a packet that holds several: such sound follows on what came before.
    pub fn pts(&self) -> Option<i64> {
        some_timestamp(self.raw().pts)
    }

    /// Samples a second, at least 1.
    pub fn rate(&self) -> u32 {
        self.0.rate()
    }

    /// Number of channels, at least 1.
    pub fn channels(&self) -> u16 {
        self.0.channels()
    }

    /// Number of samples of each channel, at least 1.
    pub fn samples(&self) -> usize {
        self.0.samples()
    }

    pub(crate) fn raw(&self) -> &ffi::AVFrame {
        // SAFETY: `self.0` owns a valid frame for as long as `self` lives.
        unsafe { &*self.0.as_ptr() }
    }
}

/// Decodes one audio stream.
pub struct AudioDecoder {
    decoder: codec::decoder::Audio,
    name: String,
    damaged: u32,
}

impl AudioDecoder {
    /// A decoder for `parameters`, whose packets carry times in `time_base`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when this FFmpeg has no decoder for the codec.
    pub fn new(parameters: &CodecParameters, time_base: TimeBase) -> Result<Self, Error> {
        let name = parameters.codec_name();
        // Sound has no pictures.
        let mut context = codecs::context(parameters.to_ffmpeg()?, &name, 1)?;
        let rational = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        // SAFETY: the context is valid and not yet opened, the time these fields may be set. Without the packets'
        // time base libavcodec would drop priming but leave the times where they were.
        unsafe {
            let raw = &mut *context.as_mut_ptr();
            raw.pkt_timebase = ffi::AVRational { num: rational(time_base.0.num()), den: rational(time_base.0.den()) };
        }
        let decoder = context
            .decoder()
            .audio()
            .map_err(|e| Error::new(Kind::Unsupported, format!("no decoder for {name} here: {}", words(e))))?;
        Ok(Self { decoder, name, damaged: 0 })
    }

    /// Decodes `packet` and hands all sound that becomes ready to `sink`. One without payload is passed over: libavcodec
    /// would take it for the end of the stream.
    ///
    /// # Errors
    /// Whatever `sink` answers, and lack of memory. Damage in the packet is counted instead.
    pub fn send<E: From<Error>>(
        &mut self,
        packet: SourcePacket,
        sink: &mut dyn FnMut(Sound) -> Result<(), E>,
    ) -> Result<(), E> {
        if packet.data().is_empty() {
            return Ok(());
        }
        loop {
            match self.decoder.send_packet(&packet.packet) {
                Ok(()) => return self.receive(sink),
                Err(ffmpeg::Error::Other { errno: ffi::EAGAIN }) => self.receive(sink)?,
                Err(ffmpeg::Error::Other { errno: ffi::ENOMEM }) => return Err(out_of_memory().into()),
                Err(_) => {
                    self.damaged += 1;
                    return self.receive(sink);
                }
            }
        }
    }

    /// Hands over the sound that the decoder still holds back. Nothing can be sent after it.
    ///
    /// # Errors
    /// Whatever `sink` answers.
    pub fn finish<E: From<Error>>(&mut self, sink: &mut dyn FnMut(Sound) -> Result<(), E>) -> Result<(), E> {
        if self.decoder.send_eof().is_err() {
            self.damaged += 1;
        }
        self.receive(sink)
    }

    /// What its sound is like where it is kept as it is, in so many channels: 16 bits where samples are known to have no more,
    /// else 24, which is what decoders of lossy codecs, whose samples are floats, are rounded to.
    pub(super) fn kept(&self, channels: u16) -> Kept {
        // SAFETY: the context is open.
        let (order, count) = unsafe {
            let layout = &(*self.decoder.as_ptr()).ch_layout;
            (layout.order, layout.nb_channels)
        };
        let is_told = order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE && count == i32::from(channels);
        let usual = ChannelLayout::default(channels.into());
        let layout = if is_told { self.decoder.channel_layout() } else { usual };
        let layout = if layout.channels() == i32::from(channels) { layout } else { usual };
        let bits = if matches!(self.decoder.format(), Sample::U8(_) | Sample::I16(_)) { 16 } else { 24 };
        Kept { channels, layout, bits }
    }

    /// Whether what was decoded last is stored in the source with more than so many bits: integers, or floats of PCM.
    pub(super) fn is_finer_than(&self, bits: u8) -> bool {
        // SAFETY: the context is open.
        let raw = unsafe { (*self.decoder.as_ptr()).bits_per_raw_sample };
        match self.decoder.format() {
            Sample::None | Sample::U8(_) => false,
            Sample::I16(_) => bits < 16,
            Sample::I32(_) | Sample::I64(_) => raw == 0 || raw > bits.into(),
            Sample::F32(_) | Sample::F64(_) => self.name.starts_with("pcm_"),
        }
    }

    /// Number of packets and frames that the decoder complained of.
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    fn receive<E: From<Error>>(&mut self, sink: &mut dyn FnMut(Sound) -> Result<(), E>) -> Result<(), E> {
        loop {
            let mut frame = frame::Audio::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) if is_sound(&frame) => sink(Sound(frame))?,
                Ok(()) => self.damaged += 1,
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN }) => return Ok(()),
                Err(ffmpeg::Error::Other { errno: ffi::ENOMEM }) => return Err(out_of_memory().into()),
                Err(_) => self.damaged += 1,
            }
        }
    }
}

/// Whether a frame has what [`Sound`] promises; broken headers can yield one without a rate.
fn is_sound(frame: &frame::Audio) -> bool {
    frame.samples() > 0 && frame.rate() > 0 && frame.channels() > 0
}

fn out_of_memory() -> Error {
    Error::new(Kind::Retryable, "the audio decoder ran out of memory")
}
