//! One audio track on disk: access units in, segments out, on a thread of its own. Memory is bounded by one segment.
//!
//! Audio is cut where video is, at the first audio frame that starts (after priming) at or after the boundary.

use std::path::Path;
use std::sync::Arc;

use crate::boxes::codec::audio_name;
use crate::boxes::{AudioInit, FragmentSamples, audio_init, fragment_head, segment_type};
use crate::early::Heard;
use crate::files::{Folder, write_bytes};
use crate::language::Language;
use crate::layout::{AudioTrack, OutputLayout};
use crate::listing::{INIT, Written, segment_name};
use crate::{Error, boxes};

/// How much longer than the target an audio segment after the last video boundary may be, in seconds, so that the few
/// frames by which audio outlasts video do not become a segment of their own.
pub(crate) const GRACE_S: f64 = 0.25;

/// Where audio is cut, in video media time: endless, in ascending order.
#[derive(Clone, Debug)]
pub struct Cuts {
    planned: Arc<[u64]>,
    next: usize,
    tail: u64,
    step: u64,
}

impl Cuts {
    /// Follows the starts of the video segments and the end of the last one. Where video starts late, and after the
    /// last start, segments have the target length.
    pub fn new(starts: &[u64], end: u64, timescale: u32, target_s: f64) -> Self {
        let ticks = |seconds: f64| ((seconds * f64::from(timescale)).round() as u64).max(1);
        let step = ticks(target_s);
        let first = starts.first().copied().unwrap_or(end);
        let lead = (1..).map(|n| n * step).take_while(|at| at + step / 2 < first);
        let own = starts.iter().copied().skip_while(|start| *start <= step / 2 && *start == first);
        let last = starts.last().copied().unwrap_or(0);
        let tail = end.max(last + step) + ticks(GRACE_S);
        Self { planned: lead.chain(own).collect(), next: 0, tail, step }
    }

    /// All cuts after 0 and before `end`.
    pub(crate) fn before(&self, end: u64) -> impl Iterator<Item = u64> {
        let tail = (0..).map(|n| self.tail.saturating_add(self.step.saturating_mul(n)));
        self.planned.iter().copied().chain(tail).filter(|cut| *cut > 0).take_while(move |cut| *cut < end)
    }

    /// Takes the next cut if it is not after `samples` at `rate` a second; with it all that are not after it either.
    fn reached(&mut self, samples: u64, rate: u32, timescale: u32) -> bool {
        let mut any = false;
        while u128::from(samples) * u128::from(timescale) >= u128::from(self.due()) * u128::from(rate) {
            any = true;
            match self.planned.get(self.next) {
                Some(_) => self.next += 1,
                None => self.tail += self.step,
            }
        }
        any
    }

    fn due(&self) -> u64 {
        self.planned.get(self.next).copied().unwrap_or(self.tail)
    }
}

/// Writes one audio track. Hand it to the thread that has the frames, and what it leaves behind to
/// [`Stitcher::finish`](crate::Stitcher::finish).
#[derive(Debug)]
pub struct AudioWriter {
    track: usize,
    name: String,
    spec: AudioTrack,
    folder: Folder,
    cuts: Cuts,
    video_timescale: u32,
    sizes: Vec<u32>,
    bytes: Vec<u8>,
    segments: Vec<Written>,
    /// Who tells of the segments before the end, if anybody does.
    told: Option<Heard>,
    start: u64,
}

/// A whole audio track on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedAudio {
    pub(crate) track: usize,
    pub(crate) segments: Vec<Written>,
}

impl AudioWriter {
    pub(crate) fn create(
        dir: &Path,
        layout: &OutputLayout,
        track: usize,
        (cuts, video_timescale): (Cuts, u32),
    ) -> Result<Self, Error> {
        let missing = || Error::Layout(format!("there is no audio track {track}"));
        let name = layout.audio_folders().into_iter().nth(track).ok_or_else(missing)?;
        let spec = layout.audio.get(track).ok_or_else(missing)?.clone();
        audio_name(spec.codec, &spec.config).map_err(|source| Error::Boxes { name: name.clone(), source })?;
        Ok(Self {
            track,
            folder: Folder::create(dir.join(&name), layout.durability)?,
            name,
            spec,
            cuts,
            video_timescale,
            sizes: Vec::new(),
            bytes: Vec::new(),
            segments: Vec::new(),
            told: None,
            start: 0,
        })
    }

    /// Has every segment told there, too, as soon as it is written.
    pub(crate) fn told_to(self, heard: Heard) -> Self {
        Self { told: Some(heard), ..self }
    }

    /// Takes the next access unit (of AAC raw, without ADTS header). The first `priming` samples of the track are not presented.
    pub fn frame(&mut self, frame: &[u8]) -> Result<(), Error> {
        let at = self.start + self.sizes.len() as u64 * u64::from(self.spec.codec.frame());
        let shown = at.saturating_sub(self.spec.priming.into());
        if shown > 0 && self.cuts.reached(shown, self.spec.sample_rate, self.video_timescale) {
            self.flush()?;
        }
        let size =
            u32::try_from(frame.len()).map_err(|_| self.error(boxes::Error::Range { what: "a frame of sound" }))?;
        self.sizes.push(size);
        self.bytes.extend_from_slice(frame);
        Ok(())
    }

    /// Tells that nothing comes any more, so that nobody waits for a track that is empty.
    pub fn leave_as_it_is(&self) {
        self.told.iter().for_each(Heard::end);
    }

    /// The track is complete. A track that presents nothing (no frames, or no more than priming) leaves no segments
    /// and is left out of the manifests.
    pub fn finish(mut self) -> Result<FinishedAudio, Error> {
        let end = self.start + self.sizes.len() as u64 * u64::from(self.spec.codec.frame());
        if end > self.spec.priming.into() {
            self.flush()?;
        }
        self.leave_as_it_is();
        Ok(FinishedAudio { track: self.track, segments: self.segments })
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.sizes.is_empty() {
            return Ok(());
        }
        if self.segments.is_empty() {
            self.write_init()?;
        }
        let place =
            u32::try_from(self.segments.len()).map_err(|_| self.error(boxes::Error::Range { what: "a count" }))?;
        let samples = FragmentSamples::Audio {
            sizes: &self.sizes,
            duration: self.spec.codec.frame(),
            preroll: self.spec.codec.preroll(),
        };
        let head = fragment_head(place + 1, self.start, samples).map_err(|source| self.error(source))?;
        let head = [segment_type().map_err(|source| self.error(source))?, head].concat();
        let name = segment_name(place);
        let path = self.folder.file(&name);
        self.folder.publish(&name, |file| {
            write_bytes(file, &path, &head)?;
            write_bytes(file, &path, &self.bytes)
        })?;
        let ticks = self.sizes.len() as u64 * u64::from(self.spec.codec.frame());
        let bytes = (head.len() + self.bytes.len()) as u64;
        let written = Written { start: self.start, ticks, bytes, samples: self.sizes.len() as u32 };
        self.segments.push(written);
        self.told.iter().for_each(|told| told.add(written));
        self.start += ticks;
        self.sizes.clear();
        self.bytes.clear();
        Ok(())
    }

    fn write_init(&self) -> Result<(), Error> {
        let init = audio_init(&AudioInit {
            sample_rate: self.spec.sample_rate,
            channels: self.spec.channels,
            priming: self.spec.priming,
            language: Language::of(self.spec.language.as_deref()).three_letters().to_owned(),
            codec: self.spec.codec,
            config: self.spec.config.clone(),
        });
        let bytes = init.map_err(|source| self.error(source))?;
        let path = self.folder.file(INIT);
        self.folder.publish(INIT, |file| write_bytes(file, &path, &bytes))
    }

    fn error(&self, source: boxes::Error) -> Error {
        Error::Boxes { name: self.name.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(starts: &[u64], end: u64, until: u64) -> Vec<u64> {
        let mut cuts = Cuts::new(starts, end, 1000, 4.0);
        (1..=until).filter(|ms| cuts.reached(*ms, 1000, 1000)).collect()
    }

    #[test]
    fn audio_is_cut_where_video_segments_start_and_not_for_the_frames_that_outlast_it() {
        assert_eq!(cuts(&[0, 4000, 8000], 12_000, 12_100), [4000, 8000]);
    }

    #[test]
    fn audio_that_goes_on_keeps_the_target_length() {
        assert_eq!(cuts(&[0, 4000], 5000, 17_000), [4000, 8250, 12_250, 16_250]);
    }

    #[test]
    fn audio_before_a_late_video_keeps_the_target_length() {
        assert_eq!(cuts(&[11_000, 15_000], 19_000, 19_000), [4000, 8000, 11_000, 15_000]);
        assert_eq!(cuts(&[40, 4040], 8000, 8000), [4040]);
    }

    #[test]
    fn two_boundaries_within_one_audio_frame_make_one_cut() {
        let mut cuts = Cuts::new(&[0, 10, 20, 4000], 8000, 1000, 4.0);
        assert!(cuts.reached(48 * 21, 48_000, 1000));
        assert!(!cuts.reached(48 * 42, 48_000, 1000));
    }
}
