//! Playlists of transport streams: those of fragmented MP4, in the words that protocol version 3 knows, but for I-frame
//! playlists, which need version 4. Pure.
//!
//! Tags of later versions that older readers pass over (RFC 8216bis 7) stay.

use std::io;

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, InstreamId, MasterPlaylist, MediaPlaylist};

use super::segment_name;
use crate::hls;
use crate::iframes as pictures;
use crate::listing::{IFRAMES, Listing, PLAYLIST, Presentation, SubtitleListing, VideoListing};
use crate::seal::Seal;

/// The multivariant playlist.
pub(crate) const MASTER: &str = "master-ts.m3u8";

/// Durations in fractions of seconds take this.
const VERSION: usize = 3;
/// Byte ranges and I-frames take this.
const VERSION_OF_RANGES: usize = 4;

/// A playlist: its folder below the output, its name, and its text.
pub(crate) type Text = (String, &'static str, Vec<u8>);

/// All playlists of these streams, in the order in which they are to appear.
pub(crate) fn all(streams: &Presentation, seal: Option<&Seal>) -> io::Result<Vec<Text>> {
    let target_s = streams.target_s();
    let media = streams.listings().map(|listing| {
        let mut playlist = media(listing, target_s);
        hls::date(&mut playlist, streams, listing.start_s());
        hls::protect(&mut playlist, seal);
        (&listing.folder, PLAYLIST, playlist)
    });
    let text = streams.subtitles.iter().map(|track| {
        let mut playlist = subtitles(track, target_s);
        hls::date(&mut playlist, streams, track.files.start_s());
        (&track.files.folder, PLAYLIST, playlist)
    });
    let videos = streams.video.iter().filter(|video| !video.pictures.is_empty());
    let iframes = videos.map(|video| {
        let mut playlist = iframes(video, target_s);
        hls::date(&mut playlist, streams, video.listing.start_s());
        (&video.listing.folder, IFRAMES, playlist)
    });
    let mut texts = Vec::new();
    for (folder, name, playlist) in media.chain(text).chain(iframes) {
        texts.push((folder.clone(), name, hls::text(|bytes| playlist.write_to(bytes))?));
    }
    texts.push((String::new(), MASTER, hls::text(|bytes| master(streams).write_to(bytes))?));
    Ok(texts)
}

/// The multivariant playlist of these streams.
fn master(presentation: &Presentation) -> MasterPlaylist {
    let mut master = hls::master(presentation);
    master.version = Some(VERSION);
    // Captions after CEA-708 can't be named before version 7.
    let is_known = |media: &AlternativeMedia| !matches!(media.instream_id, Some(InstreamId::Service(_)));
    master.alternatives.retain(is_known);
    let are_captions = |media: &AlternativeMedia| media.media_type == AlternativeMediaType::ClosedCaptions;
    if !presentation.captions.is_empty() && !master.alternatives.iter().any(are_captions) {
        master.variants.iter_mut().for_each(|variant| variant.closed_captions = None);
    }
    master
}

/// The media playlist of a stream.
fn media(listing: &Listing, target_s: u32) -> MediaPlaylist {
    let mut playlist = hls::media(listing, target_s);
    playlist.version = Some(VERSION);
    for (segment, place) in playlist.segments.iter_mut().zip(0..) {
        (segment.uri, segment.map) = (segment_name(place), None);
    }
    playlist
}

/// The media playlist of subtitles that go with the streams.
fn subtitles(track: &SubtitleListing, target_s: u32) -> MediaPlaylist {
    MediaPlaylist { version: Some(VERSION), ..hls::subtitles(track, target_s) }
}

/// The I-frame playlist of a stream. Each range has the tables in it.
fn iframes(video: &VideoListing, target_s: u32) -> MediaPlaylist {
    let mut playlist = pictures::playlist(video, target_s);
    playlist.version = Some(VERSION_OF_RANGES);
    for (segment, picture) in playlist.segments.iter_mut().zip(&video.pictures) {
        (segment.uri, segment.map) = (segment_name(picture.segment), None);
    }
    playlist
}
