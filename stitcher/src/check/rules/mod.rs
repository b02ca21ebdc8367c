//! The rules, one file an area. Each is a function of a [`Stream`]; none does I/O.

mod audio;
mod continuity;
mod dash;
mod delivery;
mod files;
mod multivariant;
mod playlists;
mod rates;
mod subtitles;
mod trick_play;
mod video;

use super::boxes::Media;
use super::playlist::{Attributes, Playlist};
use super::rule::{Rule, Verdict};
use super::stream::{Hls, MediaPlaylist, Rendition, Role, Stream};

/// Every rule, area by area.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        files::RULES,
        playlists::RULES,
        multivariant::RULES,
        rates::RULES,
        video::RULES,
        audio::RULES,
        subtitles::RULES,
        trick_play::RULES,
        continuity::RULES,
        dash::RULES,
        delivery::RULES,
    ]
    .into_iter()
    .flatten()
}

const NO_PLAYLIST: &str = "there is no playlist";
const NO_MULTIVARIANT: &str = "there is no multivariant playlist";
const NO_VIDEO: &str = "there is no video";
const NO_AUDIO: &str = "there is no audio";

/// Every media playlist that was read.
fn playlists(stream: &Stream) -> impl Iterator<Item = (&Rendition, &MediaPlaylist)> {
    let renditions = stream.hls.iter().flat_map(|hls| &hls.renditions);
    renditions.filter_map(|rendition| Some((rendition, rendition.playlist()?)))
}

/// Every media playlist that was read, save those of I-frames and images.
fn whole(stream: &Stream) -> impl Iterator<Item = (&Rendition, &MediaPlaylist)> {
    playlists(stream).filter(|(rendition, media)| {
        let is_marked = media.text.has("EXT-X-I-FRAMES-ONLY") || media.text.has("EXT-X-IMAGES-ONLY");
        !is_marked && rendition.roles != [Role::IFrames] && rendition.roles != [Role::Images]
    })
}

/// Every playlist, the multivariant one first.
fn texts(stream: &Stream) -> impl Iterator<Item = &Playlist> {
    let masters = stream.hls.iter().filter_map(|hls| hls.master.as_ref());
    masters.chain(playlists(stream).map(|(_, media)| &media.text))
}

/// The multivariant playlist.
fn master(stream: &Stream) -> Option<(&Hls, &Playlist)> {
    let hls = stream.hls.as_ref()?;
    Some((hls, hls.master.as_ref()?))
}

/// A variant of a multivariant playlist.
struct Variant<'a> {
    place: String,
    attributes: &'a Attributes,
    rendition: Option<&'a Rendition>,
}

fn variants<'a>(hls: &'a Hls, master: &'a Playlist) -> impl Iterator<Item = Variant<'a>> {
    master.variants().map(|(line, attributes, uri)| Variant {
        place: at(master, line),
        attributes,
        rendition: uri.and_then(|uri| named(hls, master, uri)),
    })
}

/// The rendition that a multivariant playlist names by a URI.
fn named<'a>(hls: &'a Hls, master: &Playlist, uri: &str) -> Option<&'a Rendition> {
    let name = super::load::rendition_name(&master.name, uri);
    hls.renditions.iter().find(|rendition| rendition.name == name)
}

/// The renditions with their own playlists in the group of this type that a variant names.
fn group<'a>(hls: &'a Hls, master: &'a Playlist, kind: &'a str, variant: &'a Attributes) -> Vec<&'a Rendition> {
    let Some(id) = variant.get(kind) else { return Vec::new() };
    let members = master
        .tags("EXT-X-MEDIA")
        .filter(|(_, _, media)| media.get("TYPE") == Some(kind) && media.get("GROUP-ID") == Some(id));
    members.filter_map(|(_, _, media)| named(hls, master, media.get("URI")?)).collect()
}

/// `master.m3u8:7`.
fn at(playlist: &Playlist, line: usize) -> String {
    format!("{}:{line}", playlist.name)
}

/// Whether a rendition is one of video.
fn is_video(rendition: &Rendition, media: &MediaPlaylist) -> bool {
    (rendition.is(Role::Variant) || rendition.is(Role::Video)) && media.holds(Media::Video)
}

/// For a rule that needs a server.
fn needs_server(_: &Stream) -> Verdict {
    Verdict::NotChecked("it takes a server")
}
