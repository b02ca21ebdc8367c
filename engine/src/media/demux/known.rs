//! Opening a container without decoding any of it, where its headers or an earlier opening tell all there is to know.
//!
//! `avformat_find_stream_info` decodes up to twenty pictures of each H.264 stream, to learn their format and how they
//! are reordered: half of the time that copying a short clip takes.

use std::sync::Arc;

use ffmpeg_next::{ffi, format};
use h264_reader::nal::sps::{FrameMbsFlags, SeqParameterSet};
use h264_reader::nal::{Nal as _, RefNal};

use super::stream::{self, Medium};
use super::{CodecParameters, Demuxer, SourceFile, no_stream};
use crate::media::Error;
use crate::media::audio::is_aac_lc;
use crate::nal;

/// The container whose headers state every stream's codec and every packet's times (ISO/IEC 14496-12).
const ISO_MEDIA: &str = "mov,mp4,m4a,3gp,3g2,mj2";

/// A lower sample rate may stand for twice as much (SBR, ISO/IEC 14496-3, 4.6.18), which only decoding tells.
const LEAST_PLAIN_RATE: i32 = 32_000;

/// A container that was opened before: what its streams are is known and need not be found by decoding.
#[derive(Clone, Debug)]
pub struct KnownContainer {
    file: SourceFile,
    streams: Arc<[CodecParameters]>,
}

impl KnownContainer {
    /// The container in `file`, with these streams (see [`Demuxer::all_parameters`]).
    pub fn new(file: SourceFile, streams: Vec<CodecParameters>) -> Self {
        Self { file, streams: streams.into() }
    }

    /// Opens it again.
    ///
    /// # Errors
    /// As [`Demuxer::open`].
    pub fn open(&self) -> Result<Demuxer, Error> {
        Demuxer::open_as(&self.file, &self.streams)
    }

    /// Its file.
    pub fn file(&self) -> &SourceFile {
        &self.file
    }

    /// The codec parameters of all its streams.
    pub fn streams(&self) -> &[CodecParameters] {
        &self.streams
    }

    /// The codec parameters of stream `index`.
    ///
    /// # Errors
    /// [`Kind::Internal`] if there is no such stream.
    ///
    /// [`Kind::Internal`]: crate::media::Kind::Internal
    pub fn parameters(&self, index: usize) -> Result<&CodecParameters, Error> {
        self.streams.get(index).ok_or_else(|| no_stream(index))
    }
}

/// Whether the freshly opened `input` needs no probing: its times are stated, and its streams are either the `known`
/// ones, which it is told, or such whose headers say enough.
pub(super) fn skips_probing(input: &mut format::context::Input, known: &[CodecParameters]) -> Result<bool, Error> {
    if input.format().name() != ISO_MEDIA {
        return Ok(false);
    }
    if known.is_empty() {
        return Ok(input.streams().count() > 0 && input.streams().all(|stream| is_told(&stream)));
    }
    if input.streams().count() != known.len() {
        return Ok(false);
    }
    let mut same = true;
    for (stream, known) in input.streams_mut().zip(known) {
        same &= tell(stream, known)?;
    }
    Ok(same)
}

/// Whether the headers say of a stream what decoding would.
fn is_told(stream: &format::stream::Stream<'_>) -> bool {
    let (facts, parameters) = (stream::facts(stream), stream.parameters());
    // SAFETY: the parameters belong to the open context that `stream` borrows.
    let raw = unsafe { &*parameters.as_ptr() };
    match facts.medium {
        Medium::Video => {
            facts.codec == "h264" && raw.width > 0 && raw.height > 0 && codes_frames(stream::extradata(raw))
        }
        Medium::Audio => {
            facts.codec == "aac"
                && raw.sample_rate >= LEAST_PLAIN_RATE
                && facts.channels > 0
                && is_aac_lc(stream::extradata(raw))
        }
        Medium::Cover | Medium::Subtitle | Medium::Other => true,
    }
}

/// Whether an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) tells that no picture consists of fields.
pub(in crate::media) fn codes_frames(record: &[u8]) -> bool {
    let Some([sets, _]) = nal::avc_config_sets(record) else { return false };
    let codes_frames = |set: &&[u8]| {
        let read = SeqParameterSet::from_bits(RefNal::new(set, &[], true).rbsp_bits());
        nal::avc::unit_type(set) == Some(nal::avc::SPS)
            && read.is_ok_and(|set| matches!(set.frame_mbs_flags, FrameMbsFlags::Frames))
    };
    !sets.is_empty() && sets.iter().all(codes_frames)
}

/// Tells a stream what it is; `false` if the container says that it has another codec.
fn tell(mut stream: format::stream::StreamMut<'_>, known: &CodecParameters) -> Result<bool, Error> {
    let told = known.to_ffmpeg()?;
    // SAFETY: both parameter sets are valid; those of the stream belong to the open context that `stream` borrows,
    // from which nothing was read yet.
    let code = unsafe {
        let own = (*stream.as_mut_ptr()).codecpar;
        if !known.has_codec_of(&*own) {
            return Ok(false);
        }
        ffi::avcodec_parameters_copy(own, told.as_ptr())
    };
    if code < 0 { Err(Error::code("copying codec parameters", code)) } else { Ok(true) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// By libx264 for 160 x 96, progressive and interlaced.
    pub(crate) const FRAMES: &[u8] = &[
        0x01, 0x64, 0x00, 0x0B, 0xFF, 0xE1, 0x00, 0x18, 0x67, 0x64, 0x00, 0x0B, 0xAC, 0xD9, 0x42, 0x8D, 0xB0, 0x11,
        0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0F, 0x14, 0x29, 0x96, 0x01, 0x00, 0x06, 0x68,
        0xEB, 0xE3, 0xCB, 0x22, 0xC0, 0xFD, 0xF8, 0xF8, 0x00,
    ];
    pub(crate) const FIELDS: &[u8] = &[
        0x01, 0x64, 0x00, 0x15, 0xFF, 0xE1, 0x00, 0x18, 0x67, 0x64, 0x00, 0x15, 0xAC, 0xD9, 0x42, 0x9B, 0x60, 0x22,
        0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x64, 0x3E, 0x28, 0x53, 0x2C, 0x01, 0x00, 0x06, 0x68,
        0xFB, 0xA3, 0xCB, 0x22, 0xC0, 0xFD, 0xF8, 0xF8, 0x00,
    ];

    #[test]
    fn a_record_tells_whether_pictures_may_consist_of_fields() {
        assert!(codes_frames(FRAMES));
        assert!(!codes_frames(FIELDS));
    }

    #[test]
    fn a_damaged_record_tells_nothing() {
        assert!((0..FRAMES.len() - 13).all(|end| !codes_frames(&FRAMES[..end])));
    }

    #[test]
    fn a_record_with_an_empty_parameter_set_tells_nothing() {
        let with_empty_pps = [&FRAMES[..FRAMES.len() - 13], &[1, 0, 0, 0x68, 0xF8, 0xF8, 0]].concat();
        assert!(!codes_frames(&with_empty_pps));
        assert!(!codes_frames(&[1, 0x64, 0, 0x0B, 0xFF, 0xE1, 0, 0, 0]));
    }
}
