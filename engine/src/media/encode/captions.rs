//! Captions inside the video, for encoders that drop what lies beside their pictures. (libx264 writes it itself.)

use std::collections::BTreeMap;

use super::{EncodedPicture, SampleSink, VideoEncoder};
use crate::format::captions::insert;
use crate::ladder::VideoCodec;
use crate::media::{Error, Kind, Picture};

/// An encoder whose samples get the captions of the pictures that they are made of.
pub(super) struct Captioned<E> {
    encoder: E,
    codec: VideoCodec,
    /// Caption data of pictures that did not come out yet, by their presentation times.
    waiting: BTreeMap<i64, Vec<u8>>,
}

impl<E: VideoEncoder> Captioned<E> {
    /// The same encoder, of `codec`, with captions.
    pub(super) fn new(encoder: E, codec: VideoCodec) -> Self {
        Self { encoder, codec, waiting: BTreeMap::new() }
    }
}

/// A sink that adds to each sample the captions that wait for it.
fn adding<'a>(
    codec: VideoCodec,
    waiting: &'a mut BTreeMap<i64, Vec<u8>>,
    sink: SampleSink<'a>,
) -> impl FnMut(EncodedPicture<'_>) -> Result<(), Error> + 'a {
    move |picture| {
        let Some(triples) = waiting.remove(&picture.pts) else { return sink(picture) };
        let sample = insert(codec, picture.sample, &triples)
            .ok_or_else(|| Error::new(Kind::Internal, "an encoded picture that captions can't be put beside"))?;
        sink(EncodedPicture { sample: &sample, ..picture })
    }
}

impl<E: VideoEncoder> VideoEncoder for Captioned<E> {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), Error> {
        let Self { encoder, codec, waiting } = self;
        match picture.captions() {
            Some(triples) => {
                waiting.insert(pts, triples);
                // Later versions of FFmpeg may write them, too.
                encoder.send(&picture.without_captions()?, pts, force_idr, &mut adding(*codec, waiting, sink))
            }
            None => encoder.send(picture, pts, force_idr, &mut adding(*codec, waiting, sink)),
        }
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        let Self { encoder, codec, waiting } = self;
        encoder.finish(&mut adding(*codec, waiting, sink))
    }

    fn config(&self) -> &[u8] {
        self.encoder.config()
    }

    fn name(&self) -> &'static str {
        self.encoder.name()
    }
}
