//! Reads every file of an output once, proves conservation, and finds the buffer that the told rates need on the way.

use std::collections::BTreeMap;
use std::path::Path;

use vtp_engine::index::Index;
use vtp_engine::subtitles::ShownCue;

use super::read::{self, ReadInit, ReadSegment};
use super::subtitles::SubtitleCheck;
use super::{AudioCheck, Proof, SourceSound, VideoCheck, Violation, shift};
use crate::Error;
use crate::boxes::codec::VideoConfig;
use crate::layout::OutputLayout;
use crate::listing::{
    AudioListing, INIT, Listing, Presentation, SubtitleListing, VideoListing, segment_name, text_name,
};
use crate::rates::{self, BufferModel};
use crate::stop::Stop;
use crate::subtitles::Ruler;

/// An output whose conservation is proved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proved {
    pub(crate) proof: Proof,
    /// Seconds of buffer that no rendition needs more than at its told rate, from any segment on.
    pub(crate) buffer_s: f64,
}

/// What is proved, and what of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) layout: &'a OutputLayout,
    pub(crate) index: &'a Index,
    pub(crate) presentation: &'a Presentation,
    /// Decoder configuration of each video rendition of the presentation.
    pub(crate) configs: &'a [VideoConfig],
    /// Audio track of the layout that each one of the presentation is.
    pub(crate) tracks: &'a [usize],
    /// The source's audio, a track of the layout each.
    pub(crate) sounds: &'a [SourceSound],
    /// Where subtitles are cut.
    pub(crate) ruler: &'a Ruler,
    /// Asked before each segment.
    pub(crate) stop: Stop<'a>,
}

impl Claim<'_> {
    pub(crate) fn prove(&self) -> Result<Proved, Error> {
        let (mut frames_out, mut buffer_s) = (BTreeMap::new(), 0.0_f64);
        let mut shown = None;
        for (video, config) in self.presentation.video.iter().zip(self.configs) {
            let (frames, times, needed) = self.video(video, config)?;
            frames_out.insert(video.listing.folder.clone(), frames);
            buffer_s = buffer_s.max(needed);
            shown = Some(times);
        }
        for (listing, track) in self.presentation.subtitles.iter().zip(&self.layout.subtitles) {
            buffer_s = buffer_s.max(self.subtitles(listing, &track.cues)?);
        }
        let (mut start, mut end) = (None, None);
        for (audio, track) in self.presentation.audio.iter().zip(self.tracks) {
            buffer_s = buffer_s.max(self.audio(audio, *track)?);
        }
        for (track, sound) in self.sounds()?.iter().enumerate().filter(|(_, sound)| sound.samples > 0) {
            let name = &self.layout.audio_folders()[track];
            if !self.tracks.contains(&track) {
                return Err(Violation::AudioLength { track: name.clone(), got: 0, due: sound.samples }.into());
            }
            let shift = shift(sound, self.layout.audio[track].sample_rate, self.source(), shown.unwrap_or_default());
            let shift = shift.check(name)?;
            start = Some(larger(start, shift.start_ms));
            end = Some(larger(end, shift.end_ms));
        }
        let frames_source = self.index.frame_count();
        let proof = Proof { frames_source, frames_out, av_offset_start_ms: start, av_offset_end_ms: end, ok: true };
        Ok(Proved { proof, buffer_s })
    }

    fn sounds(&self) -> Result<&[SourceSound], Violation> {
        let (got, due) = (self.sounds.len(), self.layout.audio.len());
        if got == due { Ok(self.sounds) } else { Err(Violation::Sounds { got, due }) }
    }

    /// When the source shows its first and its last frame, in seconds.
    fn source(&self) -> (f64, f64) {
        let seconds = |frame: Option<&vtp_engine::index::FrameEntry>| {
            frame.map_or(0.0, |frame| self.layout.video.time_base.seconds(frame.pts))
        };
        (seconds(self.index.frames.first()), seconds(self.index.frames.last()))
    }

    /// Frames, when the first and the last are shown, and the buffer needed.
    fn video(&self, video: &VideoListing, config: &VideoConfig) -> Result<(u32, (f64, f64), f64), Error> {
        let listing = &video.listing;
        let mut check = VideoCheck::new(&listing.folder, self.index, &self.layout.plan, self.layout.clock(self.index));
        let (init, needed) = self.walk(listing, Some(config), |segment| check.segment(segment))?;
        let (frames, (first, last)) = check.finish()?;
        let seconds = |ticks: i64| ticks as f64 / f64::from(init.timescale);
        Ok((frames, (seconds(first), seconds(last)), needed))
    }

    /// The buffer needed.
    fn audio(&self, audio: &AudioListing, track: usize) -> Result<f64, Error> {
        let mut check = AudioCheck::new(&audio.listing.folder, audio.codec.frame());
        let (init, needed) = self.walk(&audio.listing, None, |segment| check.segment(segment))?;
        check.finish(&init, self.layout.audio[track].priming, &self.sounds()?[track])?;
        Ok(needed)
    }

    /// The buffer needed by fragments.
    fn subtitles(&self, listing: &SubtitleListing, cues: &[ShownCue]) -> Result<f64, Error> {
        let name = &listing.files.folder;
        let mut check = SubtitleCheck::new(name, self.ruler, cues, self.presentation.interval().1);
        let unreadable = |file: &str, error: std::io::Error| Violation::Unreadable {
            file: format!("{name}/{file}"),
            reason: error.to_string(),
        };
        let read = |file: &str| std::fs::read(self.dir.join(name).join(file)).map_err(|error| unreadable(file, error));
        for (place, _) in (0..).zip(&listing.files.segments) {
            self.stop.check()?;
            let file = text_name(place);
            let text = String::from_utf8(read(&file)?);
            check.file(&text.map_err(|error| unreadable(&file, std::io::Error::other(error)))?)?;
        }
        let mut place = 0;
        let (_, needed) = self.walk(&listing.fragments, None, |segment| {
            let bytes = read(&segment_name(place))?;
            place += 1;
            let head = usize::try_from(segment.head_bytes).unwrap_or(usize::MAX);
            check.fragment(segment, bytes.get(head..).unwrap_or_default())
        })?;
        check.finish()?;
        Ok(needed)
    }

    /// Reads all segments of a rendition in order.
    fn walk(
        &self,
        listing: &Listing,
        video: Option<&VideoConfig>,
        mut check: impl FnMut(&ReadSegment) -> Result<(), Violation>,
    ) -> Result<(ReadInit, f64), Error> {
        let folder = self.dir.join(&listing.folder);
        let init = read::init(&folder.join(INIT))?;
        let mut buffer = BufferModel::new(rates::whole(self.presentation.rates(listing).peak), init.timescale);
        for (place, _) in (0..).zip(&listing.segments) {
            self.stop.check()?;
            let segment = read::segment(&folder.join(segment_name(place)), init, video)?;
            buffer.segment(segment.start, segment.head_bytes);
            for sample in &segment.samples {
                buffer.sample(sample.decoded, sample.size);
            }
            check(&segment)?;
        }
        Ok((init, buffer.needed_s()))
    }
}

/// The one that is farther from zero.
fn larger(a: Option<f64>, b: f64) -> f64 {
    a.filter(|a| a.abs() >= b.abs()).unwrap_or(b)
}
