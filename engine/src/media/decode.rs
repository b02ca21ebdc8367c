//! A video decoder: packets in, pictures out. Damaged packets are counted, not fatal, as in FFmpeg's own tools.

use ffmpeg_next::{self as ffmpeg, codec, ffi, frame};

use super::demux::{CodecParameters, SourcePacket};
use super::error::words;
use super::{Error, Kind, Picture, codecs};
use crate::limits::Limits;
use crate::units::{PacketIndex, TimeBase};

/// Decodes one video stream, single-threaded: the parallelism is in the chunks.
pub struct VideoDecoder {
    decoder: codec::decoder::Video,
    damaged: u32,
}

impl VideoDecoder {
    /// A decoder for a stream from its start: it shows what FFmpeg's own tools show. `parameters` are the stream's,
    /// whose packets carry times in `time_base`. Pictures that `limits` don't allow count as damaged.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when there is no decoder for the codec.
    pub fn new(parameters: &CodecParameters, time_base: TimeBase, limits: &Limits) -> Result<Self, Error> {
        Self::open(parameters, time_base, limits, 0)
    }

    /// A decoder for a run of packets from the middle: it also shows pictures of which it can't know that they are
    /// whole (leading pictures; what an H.264 decoder holds back at the end of a run that began at a recovery
    /// point). The caller knows from the index which pictures it wants.
    ///
    /// # Errors
    /// As [`VideoDecoder::new`].
    pub fn for_chunk(parameters: &CodecParameters, time_base: TimeBase, limits: &Limits) -> Result<Self, Error> {
        Self::open(parameters, time_base, limits, ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT)
    }

    fn open(parameters: &CodecParameters, time_base: TimeBase, limits: &Limits, flags: u32) -> Result<Self, Error> {
        let name = parameters.codec_name();
        let context = codecs::context(parameters.to_ffmpeg()?, &name, limits.pixels);
        let mut context = context.map_err(|error| match error.kind() {
            Kind::Unsupported => Error::new(Kind::Unsupported, no_decoder(&name, None)),
            _ => error,
        })?;
        // SAFETY: the context is valid and not yet opened, the time these fields may be set.
        unsafe {
            let raw = &mut *context.as_mut_ptr();
            raw.pkt_timebase = ffi::AVRational { num: time_base.0.num() as i32, den: time_base.0.den() as i32 };
            raw.flags |= flags as i32;
        }
        let decoder =
            context.decoder().video().map_err(|error| Error::new(Kind::Unsupported, no_decoder(&name, Some(error))))?;
        Ok(Self { decoder, damaged: 0 })
    }

    /// The picture that `packet` shows if it is decoded as a stream of its own, and nothing of it is remembered: to
    /// learn what pictures are like without waiting for those that the decoder holds back for reordering. `None` where it
    /// gives none, or there is no memory for it.
    pub fn look_at(&mut self, packet: &SourcePacket) -> Option<Picture> {
        if packet.data().is_empty() {
            return None;
        }
        let mut frame = frame::Video::empty();
        let decoder = &mut self.decoder;
        let seen = decoder.send_packet(&packet.packet).is_ok()
            && decoder.send_eof().is_ok()
            && decoder.receive_frame(&mut frame).is_ok();
        decoder.flush();
        seen.then(|| Picture::decoded(frame).ok()).flatten()
    }

    /// Decodes `packet`, the `index`-th of its stream, and hands every picture that becomes ready to `sink`. One without
    /// payload is passed over, as by FFmpeg's own tools: libavcodec would take it for the end of the stream.
    ///
    /// # Errors
    /// Whatever `sink` answers, and lack of memory. Damage in the packet is counted instead.
    pub fn send<E: From<Error>>(
        &mut self,
        index: PacketIndex,
        mut packet: SourcePacket,
        sink: &mut dyn FnMut(Picture) -> Result<(), E>,
    ) -> Result<(), E> {
        if packet.data().is_empty() {
            return Ok(());
        }
        packet.packet.set_position(index.0 as isize);
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

    /// Hands over the pictures that the decoder still holds back. Nothing can be sent after it.
    ///
    /// # Errors
    /// Whatever `sink` answers.
    pub fn finish<E: From<Error>>(&mut self, sink: &mut dyn FnMut(Picture) -> Result<(), E>) -> Result<(), E> {
        if self.decoder.send_eof().is_err() {
            self.damaged += 1;
        }
        self.receive(sink)
    }

    /// Number of packets and pictures that the decoder complained of.
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    fn receive<E: From<Error>>(&mut self, sink: &mut dyn FnMut(Picture) -> Result<(), E>) -> Result<(), E> {
        loop {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => sink(Picture::decoded(frame)?)?,
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN }) => return Ok(()),
                Err(ffmpeg::Error::Other { errno: ffi::ENOMEM }) => return Err(out_of_memory().into()),
                Err(_) => self.damaged += 1,
            }
        }
    }
}

fn no_decoder(codec: &str, error: Option<ffmpeg::Error>) -> String {
    let why = error.map_or(String::new(), |error| format!(" ({})", words(error)));
    format!(
        "there is no decoder for {codec} here{why}; give H.264, H.265, VP9, AV1, ProRes, MPEG-2 or another codec of FFmpeg's"
    )
}

fn out_of_memory() -> Error {
    Error::new(Kind::Retryable, "the decoder ran out of memory")
}

#[cfg(test)]
mod tests {
    use crate::media::testing::{decode_file, generate};

    #[test]
    fn pictures_that_are_stored_from_the_lowest_row_up_are_as_others() {
        let folder = tempfile::tempdir().unwrap();
        let clip = |name: &str, options: &str| {
            let source = "-f lavfi -i testsrc2=size=66x50:rate=5:duration=1 -c:v rawvideo -pix_fmt bgr24";
            let arguments: Vec<&str> = source.split(' ').chain(options.split_whitespace()).collect();
            generate(folder.path(), name, &arguments)
        };
        let Some(down) = clip("down.avi", "") else { return };
        let Some(up) = clip("up.avi", "-vf vflip -flipped_raw_rgb 1") else { return };
        let checksums = |path| decode_file(path).iter().map(|picture| picture.checksum()).collect::<Vec<_>>();
        let (down, up) = (checksums(&down), checksums(&up));
        assert_eq!(down.len(), 5);
        assert_eq!(down, up);
    }
}
