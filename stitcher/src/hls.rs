//! HLS playlists (RFC 8216bis) of a proved presentation. Pure: values in, text out.
//!
//! The variant whose peak is nearest to [`DEFAULT_RATE`] stands first, for that is where many players start; the others
//! follow in ascending order.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::Ordering;

use chrono::DateTime;
use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ClosedCaptionGroupId, InstreamId, Key, KeyMethod, Map, MasterPlaylist,
    MediaPlaylist, MediaPlaylistType, MediaSegment, QuotedOrUnquoted, Resolution, VariantStream,
    WRITE_OPT_FLOAT_PRECISION,
};
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::ladder::AudioCodec;
use vtp_engine::source::AudioPurpose;

use crate::iframes;
use crate::layout::audio_kind;
use crate::listing::{
    AudioListing, INIT, Listing, PLAYLIST, Presentation, SubtitleListing, VERSION, VideoListing, segment_name, single,
    text_name, video_range, whole_ms,
};
use crate::pictures::SheetListing;
use crate::rates;
use crate::seal::{Scheme, Seal};

/// The rate players should start at, in bits a second (HLS authoring specification for Apple devices, 1.32).
pub const DEFAULT_RATE: f64 = 2_000_000.0;

/// The one group of subtitles.
const SUBTITLE_GROUP: &str = "subtitles";
/// The one group of captions inside the video.
const CAPTION_GROUP: &str = "captions";

/// What subtitles for those who can't hear promise (HLS authoring specification for Apple devices, 4.5).
const ACCESSIBLE: &str =
    "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound";

/// What sound for those who can't see promises (RFC 8216bis 4.4.6.1).
const DESCRIBES: &str = "public.accessibility.describes-video";

/// The media playlist of one rendition.
pub fn media(listing: &Listing, target_s: u32) -> MediaPlaylist {
    let map = Map { uri: INIT.to_owned(), ..Map::default() };
    let segment = |(place, seconds): (u32, f64)| MediaSegment {
        uri: segment_name(place),
        duration: single(seconds),
        map: (place == 0).then(|| map.clone()),
        ..MediaSegment::empty()
    };
    MediaPlaylist {
        version: Some(VERSION),
        target_duration: target_s.into(),
        segments: (0..).zip(listing.seconds()).map(segment).collect(),
        end_list: true,
        playlist_type: Some(MediaPlaylistType::Vod),
        independent_segments: true,
        ..MediaPlaylist::default()
    }
}

/// Has a playlist tell of the key of its segments, the first of which bears the tag for all.
pub fn protect(playlist: &mut MediaPlaylist, seal: Option<&Seal>) {
    let (Some(seal), Some(first)) = (seal, playlist.segments.first_mut()) else { return };
    let method = match seal.scheme {
        Scheme::Cbcs => KeyMethod::SampleAES,
        Scheme::Aes128 => KeyMethod::AES128,
    };
    first.key = Some(Key { method, uri: Some(seal.key_uri.clone()), ..Key::default() });
}

/// Has the playlist of what begins at `start_s` seconds tell its place in `presentation`, where not all begins together:
/// without a date players may take all playlists to begin at the same time, and show a picture that begins after its
/// sound too early (Shaka Player does). The clock of the presentation begins with 1970 (RFC 8216bis 4.4.4.6).
pub fn date(playlist: &mut MediaPlaylist, presentation: &Presentation, start_s: f64) {
    let Some(first) = playlist.segments.first_mut().filter(|_| presentation.begins_apart()) else { return };
    first.program_date_time = DateTime::from_timestamp_millis(whole_ms(start_s)).map(|date| date.fixed_offset());
}

/// The media playlist of a track of subtitles.
pub fn subtitles(track: &SubtitleListing, target_s: u32) -> MediaPlaylist {
    let mut playlist = media(&track.files, target_s);
    for (segment, place) in playlist.segments.iter_mut().zip(0..) {
        (segment.uri, segment.map) = (text_name(place), None);
    }
    playlist
}

/// The multivariant playlist.
pub fn master(presentation: &Presentation) -> MasterPlaylist {
    let groups = groups(&presentation.audio);
    let mut variants: Vec<_> = (presentation.video.iter())
        .flat_map(|video| groups.iter().map(move |group| variant(video, group, presentation)))
        .collect();
    variants.sort_by_key(|variant| variant.bandwidth);
    // Players begin with the first variant, and old ones know the first codec only.
    let plays_everywhere = |variant: &VariantStream| {
        let codec = presentation.video.first().map_or("", |video| family(&video.listing.codec));
        variant.codecs.as_deref().map(family) == Some(codec)
            && variant.audio.as_deref() == groups.first().and_then(|group| group.id)
    };
    let distance = |variant: &VariantStream| (variant.bandwidth as f64 / DEFAULT_RATE).ln().abs();
    let first = (0..variants.len())
        .filter(|at| plays_everywhere(&variants[*at]))
        .min_by(|a, b| distance(&variants[*a]).total_cmp(&distance(&variants[*b])));
    if let Some(first) = first {
        variants[..=first].rotate_right(1);
    }
    variants.extend(iframes::streams(presentation));
    MasterPlaylist {
        version: Some(VERSION),
        independent_segments: true,
        alternatives: [
            groups.iter().filter(|group| group.id.is_some()).flat_map(alternatives).collect(),
            subtitle_alternatives(&presentation.subtitles),
            caption_alternatives(&presentation.captions),
        ]
        .concat(),
        variants,
        unknown_tags: presentation.sheets.iter().map(SheetListing::stream).collect(),
        ..MasterPlaylist::default()
    }
}

/// A playlist's text.
pub fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    // The crate's one knob for EXTINF; nothing else here writes playlists otherwise.
    WRITE_OPT_FLOAT_PRECISION.store(6, Ordering::Relaxed);
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    Ok(bytes)
}

/// The sample entry's type, with which the RFC 6381 name of a codec begins.
fn family(codec: &str) -> &str {
    codec.split(['.', ',']).next().unwrap_or(codec)
}

/// Sound that variants offer together: every track, once.
struct Group<'a> {
    id: Option<&'static str>,
    tracks: Vec<&'a AudioListing>,
}

/// For each codec all tracks in stereo; and, where some are there in surround too, all tracks with those in surround. A track
/// that a codec lacks is in its groups, too, in the first version that there is. Without sound, or any but the one that goes
/// with the pictures, there is nothing to choose, and one group without a name.
fn groups(audio: &[AudioListing]) -> Vec<Group<'_>> {
    if audio.iter().all(|track| track.muxed) {
        return vec![Group { id: None, tracks: audio.iter().collect() }];
    }
    let mut names = HashSet::new();
    let firsts: Vec<&AudioListing> = audio.iter().filter(|track| names.insert(&track.name)).collect();
    let is_of = |track: &AudioListing, codec, surround| track.codec == codec && track.surround == surround;
    let version = |first: &AudioListing, codec, surround| {
        audio.iter().find(|track| track.name == first.name && is_of(track, codec, surround))
    };
    let group = |codec, surround| {
        let best = |first| version(first, codec, surround).or(version(first, codec, false)).unwrap_or(first);
        let tracks = firsts.iter().map(|first| best(first)).collect();
        Group { id: Some(audio_kind(codec, surround)), tracks }
    };
    let is_there = |&(codec, surround): &(AudioCodec, bool)| audio.iter().any(|track| is_of(track, codec, surround));
    let all = AudioCodec::ALL.into_iter().flat_map(|codec| [(codec, false), (codec, true)]);
    let mut groups: Vec<Group<'_>> = all.filter(is_there).map(|(codec, surround)| group(codec, surround)).collect();
    // Where no track has two versions, each codec's group is the same one.
    groups.dedup_by(|a, b| a.tracks == b.tracks);
    groups
}

fn variant(video: &VideoListing, group: &Group<'_>, presentation: &Presentation) -> VariantStream {
    let own = presentation.rates(&video.listing);
    let audio = || group.tracks.iter().filter(|it| !it.muxed).map(|audio| presentation.rates(&audio.listing));
    let text = || presentation.subtitles.iter().map(|track| presentation.rates(&track.files));
    let most = |rates: &mut dyn Iterator<Item = f64>| rates.fold(0.0, f64::max);
    let peak = most(&mut audio().map(|it| it.peak)) + most(&mut text().map(|it| it.peak));
    let average = most(&mut audio().map(|it| it.average)) + most(&mut text().map(|it| it.average));
    // Where one variant has captions, none may say that it has none (RFC 8216bis 4.4.6.2).
    let captions = match presentation.captions.is_empty() {
        true => Some(ClosedCaptionGroupId::None),
        false => {
            presentation.carries_captions(video.codec).then(|| ClosedCaptionGroupId::GroupId(CAPTION_GROUP.to_owned()))
        }
    };
    let mut codecs = vec![video.listing.codec.clone()];
    for audio in &group.tracks {
        if !codecs.contains(&audio.listing.codec) {
            codecs.push(audio.listing.codec.clone());
        }
    }
    let range = QuotedOrUnquoted::Unquoted(video_range(video.transfer).to_owned());
    VariantStream {
        uri: format!("{}/{PLAYLIST}", video.listing.folder),
        bandwidth: rates::whole(own.peak + peak),
        average_bandwidth: Some(rates::whole(own.average + average)),
        codecs: Some(codecs.join(",")),
        resolution: Some(Resolution { width: video.display.width.into(), height: video.display.height.into() }),
        frame_rate: Some(((video.frame_rate.as_f64() * 1000.0).round() / 1000.0).max(0.001)),
        audio: group.id.map(str::to_owned),
        subtitles: (!presentation.subtitles.is_empty()).then(|| SUBTITLE_GROUP.to_owned()),
        closed_captions: captions,
        other_attributes: Some(HashMap::from([("VIDEO-RANGE".to_owned(), range)])),
        ..VariantStream::default()
    }
}

fn alternatives(group: &Group<'_>) -> Vec<AlternativeMedia> {
    // Of several tracks of one language and with the same characteristics only one may be chosen by itself (RFC 8216bis
    // 4.4.6.1): the default or the first.
    let describes = |track: &AudioListing| track.purpose == AudioPurpose::Description;
    let kind = |track: &AudioListing| (track.language.tag(), describes(track));
    let mut chosen: HashSet<_> = group.tracks.iter().filter(|track| track.default).map(|track| kind(track)).collect();
    let one = |track: &&AudioListing| AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: (!track.muxed).then(|| format!("{}/{PLAYLIST}", track.listing.folder)),
        group_id: group.id.unwrap_or_default().to_owned(),
        language: Some(track.language.tag()),
        name: track.name.clone(),
        default: track.default,
        autoselect: track.default || (track.purpose != AudioPurpose::Commentary && chosen.insert(kind(track))),
        characteristics: describes(track).then(|| DESCRIBES.to_owned()),
        // Of objects their number and how they are coded (Apple's authoring rules, 9.12).
        channels: Some(match track.objects {
            Some(count) => format!("{count}/JOC"),
            None => track.channels.to_string(),
        }),
        ..AlternativeMedia::default()
    };
    group.tracks.iter().map(one).collect()
}

fn subtitle_alternatives(tracks: &[SubtitleListing]) -> Vec<AlternativeMedia> {
    // As with sound: one of a kind is chosen by itself. Forced ones always are (RFC 8216bis 4.4.6.1).
    let kind = |track: &SubtitleListing| (track.language.tag(), track.forced, track.hearing_impaired);
    let mut chosen: HashSet<_> = tracks.iter().filter(|track| track.default).map(kind).collect();
    let one = |track: &SubtitleListing| AlternativeMedia {
        media_type: AlternativeMediaType::Subtitles,
        uri: Some(format!("{}/{PLAYLIST}", track.files.folder)),
        group_id: SUBTITLE_GROUP.to_owned(),
        language: Some(track.language.tag()),
        name: track.name.clone(),
        default: track.default,
        autoselect: track.forced || track.default || chosen.insert(kind(track)),
        forced: track.forced,
        characteristics: track.hearing_impaired.then(|| ACCESSIBLE.to_owned()),
        ..AlternativeMedia::default()
    };
    tracks.iter().map(one).collect()
}

/// Captions name no language of their own.
fn caption_alternatives(captions: &[Channel]) -> Vec<AlternativeMedia> {
    let one = |channel: &Channel| {
        let (id, name) = match *channel {
            Channel::Cea608(number) => (InstreamId::CC(number), format!("CC{number}")),
            Channel::Cea708(number) => (InstreamId::Service(number), format!("Service {number}")),
        };
        AlternativeMedia {
            media_type: AlternativeMediaType::ClosedCaptions,
            group_id: CAPTION_GROUP.to_owned(),
            language: Some("und".to_owned()),
            name,
            autoselect: captions.first() == Some(channel),
            instream_id: Some(id),
            ..AlternativeMedia::default()
        }
    };
    captions.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn one_track_of_a_language_and_of_its_characteristics_is_chosen_by_itself() {
        use AudioPurpose::{Commentary, Description, Programme};
        let track = |language, purpose, default| AudioListing {
            listing: Listing::new("a".to_owned(), "mp4a.40.2".to_owned(), 10, &[], 0),
            name: "A".to_owned(),
            language: Language::of(Some(language)),
            default,
            surround: false,
            muxed: false,
            purpose,
            codec: AudioCodec::Aac,
            channels: 2,
            objects: None,
            sample_rate: 48_000,
        };
        let audio = [
            (track("en", Description, true), true),
            (track("en", Programme, false), true),
            (track("en", Programme, false), false),
            (track("en", Description, false), false),
            (track("de", Commentary, false), false),
            (track("de", Description, false), true),
        ];
        let group = Group { id: Some("audio"), tracks: audio.iter().map(|(track, _)| track).collect() };
        let found: Vec<bool> = alternatives(&group).iter().map(|it| it.autoselect).collect();
        assert_eq!(found, audio.iter().map(|(_, due)| *due).collect::<Vec<_>>());
        let text = |forced, hearing_impaired| SubtitleListing {
            files: Listing::new("t".to_owned(), "wvtt".to_owned(), 10, &[], 0),
            fragments: Listing::new("t".to_owned(), "wvtt".to_owned(), 10, &[], 0),
            name: "T".to_owned(),
            language: Language::of(Some("en")),
            default: false,
            forced,
            hearing_impaired,
        };
        let texts = [(false, false), (false, true), (true, false), (false, true)].map(|(a, b)| text(a, b));
        let found: Vec<bool> = subtitle_alternatives(&texts).iter().map(|it| it.autoselect).collect();
        assert_eq!(found, [true, true, true, false]);
    }
}
