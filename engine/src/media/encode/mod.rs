//! Encodes the pictures of one chunk for one rendition: pictures in presentation order in, samples in decode order
//! out. It scales nothing, and writes neither files nor containers.
//!
//! The samples of separately encoded chunks join into one stream: their parameter sets are the same, every chunk
//! begins with an IDR picture and refers to nothing before it, and the rate caps hold across the joins
//! ([`ChunkCap`]).

mod by_segment;
mod captions;
mod context;
mod encoder;
mod level;
mod lossless;
mod samples;
mod settings;
mod vbv;

pub use level::level_for;
pub use vbv::{ChunkCap, ChunkShape};

use captions::Captioned;

use super::{Error, Kind, Picture};
use crate::ladder::{Method, Rendition, VideoCodec};
use crate::source::VideoInfo;

/// One encoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPicture<'a> {
    /// The presentation time that the picture was sent with.
    pub pts: i64,
    /// Whether decoding can start here.
    pub sync: bool,
    /// As files hold it: NAL units with four-byte lengths (ISO/IEC 14496-15), parameter sets left out; a VP9 frame or
    /// superframe; an AV1 temporal unit without its delimiter; a frame of FFV1.
    pub sample: &'a [u8],
}

/// Receives encoded pictures in decode order.
pub type SampleSink<'a> = &'a mut dyn FnMut(EncodedPicture<'_>) -> Result<(), Error>;

/// Encodes the pictures of one chunk.
///
/// Both calls block for as long as encoding takes, on the calling thread alone. Every picture sent comes out exactly
/// once, at the latest from `finish`. After an error the encoder is of no more use.
pub trait VideoEncoder: Send {
    /// Takes the picture shown at `pts` (strictly rising, in the source's time base) and hands over the samples that
    /// are ready. With `force_idr` the picture becomes an IDR picture.
    ///
    /// # Errors
    /// Whatever `sink` answers; [`Kind::Unsupported`] for a picture that the rendition can't hold; lack of memory.
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), Error>;

    /// Hands over the remaining samples. Nothing can be sent after it.
    ///
    /// # Errors
    /// As [`VideoEncoder::send`].
    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), Error>;

    /// The decoder configuration record (the payload of `avcC`, `hvcC`, `av1C`, of `vpcC` behind version and
    /// flags, or the ConfigurationRecord of RFC 9043 4.3).
    fn config(&self) -> &[u8];

    /// The encoder's name, such as `libx264`.
    fn name(&self) -> &'static str;
}

/// An encoder of `rendition` for one chunk of `video`.
///
/// # Errors
/// [`Kind::Unsupported`] where the rendition can't hold the source's pictures, [`Kind::Internal`] for a rendition
/// that does not encode, lack of memory.
pub fn open(video: &VideoInfo, rendition: &Rendition, chunk: ChunkShape) -> Result<Box<dyn VideoEncoder>, Error> {
    match &rendition.method {
        Method::Capped { codec, .. } => {
            let settings = settings::capped(video, rendition, chunk)?;
            match codec {
                VideoCodec::H264 => Ok(Box::new(encoder::Encoder::open(&settings, None)?)),
                VideoCodec::Hevc => Ok(Box::new(Captioned::new(encoder::Encoder::open(&settings, None)?, *codec))),
                VideoCodec::Vp9 => Ok(Box::new(by_segment::BySegment::open(settings)?)),
                VideoCodec::Av1 => Ok(Box::new(Captioned::new(by_segment::BySegment::open(settings)?, *codec))),
            }
        }
        Method::Lossless { .. } => {
            let (settings, preparer) = settings::lossless(video, rendition, chunk)?;
            Ok(Box::new(encoder::Encoder::open(&settings, Some(preparer))?))
        }
        Method::Ffv1 => Ok(Box::new(ffv1(video, rendition)?)),
        Method::Copy | Method::Stills { .. } => {
            Err(Error::new(Kind::Internal, format!("rendition {} is not encoded", rendition.name)))
        }
    }
}

/// An encoder of FFV1 that cuts pictures into as many slices as they are to have, or, where their shape does not allow that
/// (FFV1 3 has no slices whose chroma would overlap), into fewer. That is a matter of the size alone.
fn ffv1(video: &VideoInfo, rendition: &Rendition) -> Result<encoder::Encoder, Error> {
    let wanted = crate::ladder::ffv1::slices(rendition.size.samples());
    first_taken([wanted, 4, 1, 0], |slices| {
        let (settings, preparer) = settings::ffv1(video, rendition, slices)?;
        encoder::Encoder::open(&settings, Some(preparer))
    })
}

/// What `open` makes of the first of these numbers of slices that the encoder takes, which refuses settings as
/// [`Kind::Internal`]. Any other error ends the search: lack of memory must not decide on a stream's configuration.
fn first_taken<T>(counts: [u32; 4], open: impl Fn(u32) -> Result<T, Error>) -> Result<T, Error> {
    let [preferred, others @ ..] = counts;
    others.into_iter().fold(open(preferred), |opened, slices| match opened {
        Err(error) if error.kind() == Kind::Internal => open(slices),
        opened => opened,
    })
}

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod ffv1_tests;
#[cfg(test)]
mod tests;
