//! Playlists of what is there already, for viewers who don't want to wait for the end: EVENT playlists (RFC 8216bis 4.4.3.5)
//! that grow until the proven ones take their places. What they name is not proven yet.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use m3u8_rs::{MasterPlaylist, MediaPlaylist, MediaPlaylistType};
use vtp_engine::index::Index;
use vtp_engine::ladder::{Method, Rendition};

use crate::audio::FinishedAudio;
use crate::hls;
use crate::layout::{AudioTrack, OutputLayout};
use crate::listing::{Listing, PLAYLIST, Presentation, Written};

/// How much longer than a video segment one of sound may be, in seconds: a frame of sound, and what it may outlast the last
/// picture by.
const LONGER_S: f64 = 0.5;

/// How much more than the cap of a rendition, or than what it took so far, is asked of a network.
const HEADROOM: f64 = 1.1;

/// An audio track as it is written, by the thread that writes it and by who tells of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Track>>);

#[derive(Debug, Default)]
struct Track {
    segments: Vec<Written>,
    /// Whether nothing is added any more.
    is_over: bool,
}

impl Heard {
    /// Another segment is there.
    pub(crate) fn add(&self, segment: Written) {
        self.with(|track| track.segments.push(segment));
    }

    /// There will be no more than are there.
    pub(crate) fn end(&self) {
        self.with(|track| track.is_over = true);
    }

    fn with<T>(&self, of: impl FnOnce(&mut Track) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is told before the end.
#[derive(Debug)]
pub(crate) struct Early {
    /// The target duration of all playlists, in whole seconds.
    pub(crate) target_s: u32,
    /// Every audio track of the layout.
    pub(crate) heard: Vec<Heard>,
    /// Whether there is a multivariant playlist, without which nobody finds the others.
    pub(crate) is_playable: bool,
}

impl Early {
    /// Nothing is told yet of an output of this layout.
    pub(crate) fn of(layout: &OutputLayout, index: &Index) -> Self {
        let clock = layout.clock(index);
        let seconds = |frames: &Range<u32>| -> Option<f64> {
            let (start, end) = (clock.frame_time(index, frames.start)?, clock.frame_time(index, frames.end)?);
            Some(end.saturating_sub(start) as f64 / f64::from(clock.timescale))
        };
        let longest = layout.plan.segments.iter().filter_map(seconds).fold(0.0, f64::max);
        Self::new(layout.audio.len(), longest, layout.target_segment_s)
    }

    /// Nothing is told yet of an output with so many audio tracks and with video segments of up to `longest_s` seconds,
    /// `segment_s` as a rule.
    fn new(tracks: usize, longest_s: f64, segment_s: f64) -> Self {
        let target_s = (longest_s.max(segment_s) + LONGER_S).ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        Self { target_s, heard: (0..tracks).map(|_| Heard::default()).collect(), is_playable: false }
    }

    /// The audio tracks so far, without those that stay empty; `None` if one has no segment yet. Segments that begin after the
    /// picture ends, at `until` seconds, wait for it: browsers go on with sound alone for seconds, and pass over the pictures
    /// that come then.
    pub(crate) fn heard(&self, tracks: &[AudioTrack], until: f64) -> Option<Vec<FinishedAudio>> {
        let begins_s = |spec: &AudioTrack, segment: &Written| {
            segment.start.saturating_sub(spec.priming.into()) as f64 / f64::from(spec.sample_rate.max(1))
        };
        let all = self.heard.iter().zip(tracks).enumerate().map(|(track, (heard, spec))| {
            heard.with(|Track { segments, is_over }| {
                let due = segments.iter().take_while(|segment| begins_s(spec, segment) < until).count().max(1);
                match segments.get(..due) {
                    Some(due) => Some(Some(FinishedAudio { track, segments: due.to_vec() })),
                    None => is_over.then_some(None),
                }
            })
        });
        Some(all.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
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

#[cfg(test)]
mod tests {
    use vtp_engine::ladder::AudioCodec;
    use vtp_engine::source::AudioPurpose;

    use super::*;

    fn track() -> AudioTrack {
        AudioTrack {
            version_of: None,
            surround: false,
            codec: AudioCodec::Aac,
            language: None,
            title: None,
            default: false,
            purpose: AudioPurpose::Programme,
            sample_rate: 48_000,
            channels: 2,
            priming: 0,
            config: Vec::new(),
        }
    }

    #[test]
    fn a_track_that_stays_empty_is_waited_for_only_until_that_is_known() {
        let (early, tracks) = (Early::new(2, 2.0, 2.0), [track(), track()]);
        let places = || {
            let heard = early.heard(&tracks, 10.0)?;
            Some(heard.iter().map(|it| (it.track, it.segments.len())).collect::<Vec<_>>())
        };
        let segment = |start| Written { start, ticks: 96_000, bytes: 1, samples: 1 };
        assert_eq!(places(), None);
        early.heard[1].add(segment(0));
        assert_eq!(places(), None, "the first one may still come");
        early.heard[0].end();
        assert_eq!(places(), Some(vec![(1, 1)]));
        early.heard[1].add(segment(96_000));
        early.heard[1].add(segment(480_000));
        early.heard[1].end();
        assert_eq!(places(), Some(vec![(1, 2)]), "and the third begins when pictures end");
    }
}
