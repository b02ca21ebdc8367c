//! An encoder that begins anew with every segment, where one can't be told to put a key frame that nothing refers across
//! (SVT-AV1 puts key frames where it likes; what libvpx does behind a forced one depends on what came before).

use super::encoder::Encoder;
use super::settings::Settings;
use super::{SampleSink, VideoEncoder};
use crate::media::{Error, Kind, Picture};

/// Encodes each segment of a chunk by an encoder of its own, one after the other.
pub(super) struct BySegment {
    settings: Settings,
    encoder: Encoder,
    /// Whether the encoder was given a picture already.
    has_begun: bool,
}

impl BySegment {
    /// Opens the first encoder.
    ///
    /// # Errors
    /// As [`Encoder::open`].
    pub(super) fn open(settings: Settings) -> Result<Self, Error> {
        let encoder = Encoder::open(&settings, None)?;
        Ok(Self { settings, encoder, has_begun: false })
    }
}

impl VideoEncoder for BySegment {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), Error> {
        if force_idr && self.has_begun {
            self.encoder.finish(sink)?;
            let next = Encoder::open(&self.settings, None)?;
            if next.config() != self.encoder.config() {
                let what = format!("{} changed its headers from one segment to the next", self.settings.encoder);
                return Err(Error::new(Kind::Internal, what));
            }
            self.encoder = next;
        }
        self.has_begun = true;
        self.encoder.send(picture, pts, force_idr, sink)
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        self.encoder.finish(sink)
    }

    fn config(&self) -> &[u8] {
        self.encoder.config()
    }

    fn name(&self) -> &'static str {
        self.encoder.name()
    }
}
