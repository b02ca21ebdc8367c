//! An audio decoder: packets in, sound out. Priming and trailing padding are dropped by libavcodec, as the container
//! declares them; damaged packets are counted, not fatal. It places nothing on a timeline: see [`crate::pcm`].

use ffmpeg_next::{self as ffmpeg, codec, ffi, frame};

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
        Ok(Self { decoder, damaged: 0 })
    }

    /// Decodes `packet` and hands all sound that becomes ready to `sink`.
    ///
    /// # Errors
    /// Whatever `sink` answers, and lack of memory. Damage in the packet is counted instead.
    pub fn send<E: From<Error>>(
        &mut self,
        packet: SourcePacket,
        sink: &mut dyn FnMut(Sound) -> Result<(), E>,
    ) -> Result<(), E> {
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
