//! Which streams of a container are used, and why the others are not.

use vtp_engine::limits::Limits;
use vtp_engine::media::Demuxer;
use vtp_engine::media::audio::AudioDecoder;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{Medium, StreamFacts};

use crate::Error;

/// The streams that are used, with decoders that have seen nothing yet.
pub(crate) struct Tracks {
    pub(crate) video: StreamFacts,
    pub(crate) video_decoder: VideoDecoder,
    pub(crate) audio: Vec<(StreamFacts, AudioDecoder)>,
    /// A sentence for each stream that is not used.
    pub(crate) left_out: Vec<String>,
}

/// The first video stream that is not a cover picture, and every audio stream that has a decoder.
pub(crate) fn choose(demuxer: &Demuxer, limits: &Limits) -> Result<Tracks, Error> {
    let mut video = None;
    let mut audio = Vec::new();
    let mut left_out = Vec::new();
    for facts in demuxer.streams() {
        let (index, codec) = (facts.index, facts.codec.clone());
        match facts.medium {
            Medium::Video if video.is_none() => video = Some(facts),
            Medium::Video => left_out.push(format!("stream {index} ({codec}) is a second video stream")),
            Medium::Cover => left_out.push(format!("stream {index} ({codec}) is a cover picture")),
            Medium::Other => left_out.push(format!("stream {index} ({codec}) is neither video nor audio")),
            Medium::Audio if facts.channels == 0 || facts.sample_rate == 0 => {
                left_out.push(format!("stream {index} ({codec}) is declared as audio but holds none"));
            }
            Medium::Audio => match AudioDecoder::new(&demuxer.parameters(index)?, facts.time_base) {
                Ok(decoder) => audio.push((facts, decoder)),
                Err(error) => left_out.push(format!("stream {index}: {error}")),
            },
        }
    }
    let Some(video) = video else { return Err(no_video(!audio.is_empty())) };
    let video_decoder = VideoDecoder::new(&demuxer.parameters(video.index)?, video.time_base, limits)?;
    Ok(Tracks { video, video_decoder, audio, left_out })
}

fn no_video(has_audio: bool) -> Error {
    let found = if has_audio { "sound but no moving pictures" } else { "no video stream" };
    Error::Unsupported(format!("the file holds {found}; give a file with a video stream"))
}
