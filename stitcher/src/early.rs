//! Playlists of what is there already, for viewers who don't want to wait for the end: EVENT playlists (RFC 8216bis 4.4.3.5)
//! that grow until the proven ones take their places. What they name is not proven yet.

use std::sync::{Arc, Mutex};

use m3u8_rs::{MasterPlaylist, MediaPlaylist, MediaPlaylistType};
use vtp_engine::ladder::{Method, Rendition};

use crate::hls;
use crate::layout::AudioTrack;
use crate::listing::{Listing, PLAYLIST, Presentation, Written};

/// How much longer than a video segment one of sound may be, in seconds: a frame of sound, and what it may outlast the last
/// picture by.
const LONGER_S: f64 = 0.5;

/// How much more than the cap of a rendition, or than what it took so far, is asked of a network.
const HEADROOM: f64 = 1.1;

/// The segments of an audio track as they are written, by the thread that writes them and by who tells of them.
pub(crate) type Heard = Arc<Mutex<Vec<Written>>>;

/// What is told before the end.
#[derive(Debug)]
pub(crate) struct Early {
    /// The target duration of all playlists, in whole seconds.
    pub(crate) target_s: u32,
    /// The segments of every audio track of the layout.
    pub(crate) heard: Vec<Heard>,
    /// Whether there is a multivariant playlist, without which nobody finds the others.
    pub(crate) is_playable: bool,
}

impl Early {
    /// Nothing is told yet of an output with so many audio tracks and with video segments of up to `longest_s` seconds,
    /// `segment_s` as a rule.
    pub(crate) fn new(tracks: usize, longest_s: f64, segment_s: f64) -> Self {
        let target_s = (longest_s.max(segment_s) + LONGER_S).ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        Self { target_s, heard: (0..tracks).map(|_| Heard::default()).collect(), is_playable: false }
    }

    /// The segments of every audio track so far; `None` if one has none yet. Those that begin after the picture ends, at
    /// `until` seconds, wait for it: browsers go on with sound alone for seconds, and pass over the pictures that come then.
    pub(crate) fn segments(&self, tracks: &[AudioTrack], until: f64) -> Option<Vec<Vec<Written>>> {
        let begins_s = |track: &AudioTrack, segment: &Written| {
            segment.start.saturating_sub(track.priming.into()) as f64 / f64::from(track.sample_rate.max(1))
        };
        let all = self.heard.iter().zip(tracks).map(|(heard, track)| {
            let heard = heard.lock().map(|it| it.clone()).unwrap_or_default();
            let due = heard.iter().take_while(|segment| begins_s(track, segment) < until).count();
            (!heard.is_empty()).then(|| heard[..due.max(1)].to_vec())
        });
        all.collect()
    }
}

/// The playlist of a rendition that is still growing.
pub(crate) fn media(listing: &Listing, target_s: u32) -> MediaPlaylist {
    MediaPlaylist { end_list: false, playlist_type: Some(MediaPlaylistType::Event), ..hls::media(listing, target_s) }
}

/// The multivariant playlist. What the renditions will take in the end is not known: their caps are told, or a little more
/// than they took so far.
pub(crate) fn master(presentation: &Presentation, renditions: &[Rendition]) -> MasterPlaylist {
    let mut master = hls::master(presentation);
    master.variants.retain(|variant| !variant.is_i_frame);
    master.unknown_tags.clear();
    for variant in &mut master.variants {
        let own = renditions.iter().find(|rendition| variant.uri == format!("{}/{PLAYLIST}", rendition.name));
        let cap = own.map_or(0, |rendition| match rendition.method {
            Method::Capped { max_rate, .. } => max_rate.0,
            _ => 0,
        });
        variant.bandwidth = (HEADROOM * variant.bandwidth.max(cap) as f64).ceil() as u64;
        variant.average_bandwidth = None;
    }
    master
}
