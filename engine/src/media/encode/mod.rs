//! Encodes the pictures of one chunk for one rendition: pictures in presentation order in, samples in decode order
//! out. It scales nothing, and writes neither files nor containers.
//!
//! The samples of separately encoded chunks join into one stream: their parameter sets are the same, every chunk
//! begins with an IDR picture and refers to nothing before it, and the rate caps hold across the joins
//! ([`ChunkCap`]).

mod level;
mod lossless;
mod pad;
mod settings;
mod vbv;
mod x264;

pub use level::level_for;
pub use vbv::{ChunkCap, ChunkShape};

use super::{Error, Kind, Picture};
use crate::ladder::{Method, Rendition};
use crate::source::VideoInfo;

/// One encoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPicture<'a> {
    /// The presentation time that the picture was sent with.
    pub pts: i64,
    /// Whether decoding can start here.
    pub sync: bool,
    /// NAL units with four-byte lengths (ISO/IEC 14496-15), parameter sets left out.
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

    /// The decoder configuration record (`avcC`'s payload).
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
        Method::Capped { .. } => Ok(Box::new(x264::X264::open(&settings::capped(video, rendition, chunk)?, None)?)),
        Method::Lossless { .. } => {
            let (settings, preparer) = settings::lossless(video, rendition, chunk)?;
            Ok(Box::new(x264::X264::open(&settings, Some(preparer))?))
        }
        Method::Copy => {
            Err(Error::new(Kind::Internal, format!("rendition {} copies packets, it is not encoded", rendition.name)))
        }
    }
}

#[cfg(test)]
mod tests;
