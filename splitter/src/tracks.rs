//! Which streams of a container are used, and why the others are not.

use vtp_engine::limits::Limits;
use vtp_engine::media::Demuxer;
use vtp_engine::media::audio::AudioDecoder;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::demux::{Medium, StreamFacts};
use vtp_engine::subtitles::packet::Form;

use crate::Error;

/// FFmpeg's name of FLV.
pub(crate) const FLASH: &str = "flv";

/// The streams that are used, with decoders that have seen nothing yet.
pub(crate) struct Tracks {
    pub(crate) video: StreamFacts,
    pub(crate) video_decoder: VideoDecoder,
    pub(crate) audio: Vec<(StreamFacts, AudioDecoder)>,
    pub(crate) subtitles: Vec<(StreamFacts, Form)>,
    /// The video streams that are not used.
    pub(crate) other_videos: Vec<usize>,
    /// A sentence for each stream that is not used.
    pub(crate) left_out: Vec<String>,
}

/// The first video stream that is not a cover picture, and of its programme, if it has one, every audio stream that has a
/// decoder, and all subtitles that are text.
pub(crate) fn choose(demuxer: &Demuxer, limits: &Limits) -> Result<Tracks, Error> {
    let mut video = None;
    let mut audio = Vec::new();
    let (mut subtitles, mut other_videos) = (Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    let streams = demuxer.streams();
    let is_flash = demuxer.container() == FLASH;
    let first = streams.iter().find(|facts| facts.medium == Medium::Video);
    let programmes = first.map_or_else(Vec::new, |facts| facts.programmes.clone());
    for facts in streams {
        let (index, codec) = (facts.index, facts.codec.clone());
        match facts.medium {
            Medium::Audio | Medium::Subtitle if is_elsewhere(&facts, &programmes) => {
                left_out.push(format!("stream {index} ({codec}) belongs to another programme than the video"));
            }
            Medium::Video if video.is_none() => video = Some(facts),
            Medium::Video => {
                other_videos.push(index);
                left_out.push(format!("stream {index} ({codec}) is a second video stream"));
            }
            Medium::Cover => left_out.push(format!("stream {index} ({codec}) is a cover picture")),
            Medium::Other => left_out.push(format!("stream {index} ({codec}) is neither video, audio nor subtitles")),
            // FFmpeg takes all that scripts are told for text, such as the metadata that recorders repeat in mid-stream.
            Medium::Subtitle if is_flash => left_out.push(format!("stream {index} ({codec}) is data for scripts")),
            Medium::Subtitle => match Form::of(&codec) {
                Some(form) => subtitles.push((facts, form)),
                None if is_pictures(&codec) => left_out.push(format!(
                    "stream {index} ({codec}) is subtitles as pictures, which no player of HLS or DASH shows; give them \
                     as text with --subtitle"
                )),
                None => left_out.push(format!("stream {index} ({codec}) is subtitles in a form that is not read")),
            },
            Medium::Audio => match AudioDecoder::new(&demuxer.parameters(index)?, facts.time_base) {
                // What it is like may be known only when its first sound comes.
                Ok(decoder) => audio.push((facts, decoder)),
                Err(_) if facts.channels == 0 || facts.sample_rate == 0 => left_out.push(holds_none(&facts)),
                Err(error) => left_out.push(format!("stream {index}: {error}")),
            },
        }
    }
    let Some(video) = video else { return Err(no_video(!audio.is_empty())) };
    if let Some(vision) = video.dolby_vision.filter(|vision| vision.is_closed()) {
        return Err(Error::Unsupported(format!(
            "the pictures are in Dolby Vision of profile {}, whose colours only a decoder of Dolby's shows; give a version \
             in profile 8, in HDR10, or in SDR",
            vision.profile
        )));
    }
    let video_decoder = VideoDecoder::new(&demuxer.parameters(video.index)?, video.time_base, limits)?;
    Ok(Tracks { video, video_decoder, audio, subtitles, other_videos, left_out })
}

/// Why a stream without a sound is not used.
pub(crate) fn holds_none(facts: &StreamFacts) -> String {
    format!("stream {} ({}) is declared as audio but holds none", facts.index, facts.codec)
}

/// Whether a stream belongs to programmes, and to none of the video's.
fn is_elsewhere(facts: &StreamFacts, programmes: &[i32]) -> bool {
    let is_known = !programmes.is_empty() && !facts.programmes.is_empty();
    is_known && !facts.programmes.iter().any(|programme| programmes.contains(programme))
}

/// Whether subtitles of this codec are bitmaps.
fn is_pictures(codec: &str) -> bool {
    ["hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"].contains(&codec)
}

fn no_video(has_audio: bool) -> Error {
    let found = if has_audio { "sound but no moving pictures" } else { "no video stream" };
    Error::Unsupported(format!("the file holds {found}; give a file with a video stream"))
}
