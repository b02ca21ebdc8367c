//! Subtitle tracks on disk: the same cues twice, for HLS as WebVTT files (RFC 8216, 3.5), for DASH as fragments of WebVTT
//! (ISO/IEC 14496-30, 7), which DASH asks for where text comes in segments.
//!
//! Subtitles are cut where video is, and where sound is where cues go on with it after the last picture. A cue that is shown in
//! several segments stands in each of them with all its time. One that begins after both have ended, when nothing plays any
//! more, stands in the last file, and in no fragment. A fragment's samples are the stretches of time in which the same cues are
//! shown.

use std::path::Path;

use vtp_engine::subtitles::{ShownCue, vtt};
use vtp_engine::units::gcd;

use crate::audio::{Cuts, GRACE_S};
use crate::boxes::{FragmentSamples, fragment_head, segment_type, text_init, text_sample};
use crate::cut::TimedSample;
use crate::files::{Folder, write_bytes};
use crate::language::Language;
use crate::layout::{Durability, SubtitleTrack};
use crate::listing::{INIT, Written, segment_name, text_name};
use crate::{Error, boxes};

const MILLISECONDS: u32 = 1000;

/// Where subtitles are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruler {
    /// Starts of the segments, and the end of the last one; the first is 0. In units of `timescale` a second.
    pub(crate) bounds: Vec<u64>,
    pub(crate) timescale: u32,
}

impl Ruler {
    /// Cuts as `cuts`, with the last segment's end at `end`.
    pub(crate) fn new(cuts: &Cuts, end: u64, timescale: u32) -> Self {
        Self { bounds: std::iter::once(0).chain(cuts.before(end)).chain([end.max(1)]).collect(), timescale }
    }

    /// The end of what is shown and heard where pictures end at `video_end` and sound at `sound_end`: that of the pictures, or
    /// that of the sound where one of `cues` is shown while it alone goes on. For the few frames by which sound outlasts
    /// pictures that is so only where one begins then.
    pub(crate) fn end<'a>(
        mut cues: impl Iterator<Item = &'a ShownCue>,
        (video_end, sound_end): (u64, u64),
        timescale: u32,
    ) -> u64 {
        let ticks = |ms: u64| u128::from(ms) * u128::from(timescale);
        let at = |end: u64| u128::from(end) * u128::from(MILLISECONDS);
        let is_long = sound_end.saturating_sub(video_end) as f64 > GRACE_S * f64::from(timescale);
        let goes_on = cues.any(|cue| {
            let is_shown = ticks(cue.end_ms) > at(video_end) && ticks(cue.start_ms) < at(sound_end);
            is_shown && (is_long || ticks(cue.start_ms) >= at(video_end))
        });
        if goes_on { video_end.max(sound_end) } else { video_end }
    }

    /// Number of segments, at least 1.
    pub(crate) fn segments(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The same in units in which milliseconds are whole numbers, too, for fragments.
    pub(crate) fn fine(&self) -> Self {
        let common = gcd(self.timescale.into(), MILLISECONDS.into()).max(1);
        let fine = u64::from(self.timescale) / common * u64::from(MILLISECONDS);
        let timescale = u32::try_from(fine).unwrap_or(MILLISECONDS);
        let mut bounds: Vec<u64> = Vec::with_capacity(self.bounds.len());
        for bound in &self.bounds {
            let scaled = u128::from(*bound) * u128::from(timescale) / u128::from(self.timescale.max(1));
            let least = bounds.last().map_or(0, |before| before + 1);
            bounds.push(u64::try_from(scaled).unwrap_or(u64::MAX).max(least));
        }
        Self { bounds, timescale }
    }

    /// A time in milliseconds in the units of a fine ruler.
    pub(crate) fn ticks(&self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.timescale / MILLISECONDS))
    }

    /// Places of the cues that stand in each segment.
    fn share_out(&self, cues: &[ShownCue]) -> Vec<Vec<usize>> {
        let mut shares = vec![Vec::new(); self.segments()];
        let last = shares.len() - 1;
        let is_before = |bound: &u64, ms: u64, or_at: bool| {
            let (bound, time) =
                (u128::from(*bound) * u128::from(MILLISECONDS), u128::from(ms) * u128::from(self.timescale));
            bound < time || or_at && bound == time
        };
        for (place, cue) in cues.iter().enumerate() {
            let first = self.bounds.partition_point(|bound| is_before(bound, cue.start_ms, true)).saturating_sub(1);
            let after = self.bounds.partition_point(|bound| is_before(bound, cue.end_ms, false));
            let first = first.min(last);
            for share in &mut shares[first..after.clamp(first + 1, last + 1)] {
                share.push(place);
            }
        }
        shares
    }
}

/// A whole subtitle track on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FinishedSubtitles {
    /// The WebVTT files, in the units of the ruler; `samples` counts cues.
    pub(crate) files: Vec<Written>,
    /// The fragments, in the units of the fine ruler.
    pub(crate) fragments: Vec<Written>,
}

/// Writes a track into the folder `name` of `dir`.
pub(crate) fn write(
    dir: &Path,
    name: &str,
    track: &SubtitleTrack,
    ruler: &Ruler,
    durability: Durability,
) -> Result<FinishedSubtitles, Error> {
    let folder = Folder::create(dir.join(name), durability)?;
    let publish = |file: &str, bytes: &[u8]| {
        let path = folder.file(file);
        folder.publish(file, |file| write_bytes(file, &path, bytes))
    };
    let boxes_error = |source: boxes::Error| Error::Boxes { name: name.to_owned(), source };
    let fine = ruler.fine();
    let language = Language::of(track.language.as_deref());
    publish(INIT, &text_init(fine.timescale, language.three_letters()).map_err(boxes_error)?)?;
    let mut finished = FinishedSubtitles { files: Vec::new(), fragments: Vec::new() };
    for (place, share) in (0_u32..).zip(ruler.share_out(&track.cues)) {
        let cues: Vec<&ShownCue> = share.iter().map(|&cue| &track.cues[cue]).collect();
        let span = |ruler: &Ruler| {
            let (start, end) = (ruler.bounds[place as usize], ruler.bounds[place as usize + 1]);
            (start, end - start)
        };
        let text = vtt::file(cues.iter().copied());
        publish(&text_name(place), text.as_bytes())?;
        let written = |(start, ticks), bytes: usize, samples: usize| Written {
            start,
            ticks,
            bytes: bytes as u64,
            samples: u32::try_from(samples).unwrap_or(u32::MAX),
        };
        finished.files.push(written(span(ruler), text.len(), cues.len()));
        let (samples, payload) = samples(&cues, &fine, place as usize).map_err(boxes_error)?;
        let head = fragment_head(place + 1, span(&fine).0, FragmentSamples::Video { samples: &samples, delay: 0 })
            .map_err(boxes_error)?;
        let bytes = [segment_type().map_err(boxes_error)?, head, payload].concat();
        publish(&segment_name(place), &bytes)?;
        finished.fragments.push(written(span(&fine), bytes.len(), samples.len()));
    }
    Ok(finished)
}

/// The samples of a segment and their bytes: one for each stretch of time in which the same of `cues`, which are in order,
/// are shown.
fn samples(cues: &[&ShownCue], fine: &Ruler, place: usize) -> Result<(Vec<TimedSample>, Vec<u8>), boxes::Error> {
    let (start, end) = (fine.bounds[place], fine.bounds[place + 1]);
    let edges = cues.iter().flat_map(|cue| [cue.start_ms, cue.end_ms]).map(|ms| fine.ticks(ms));
    let mut times: Vec<u64> = edges.filter(|time| (start + 1..end).contains(time)).chain([start, end]).collect();
    times.sort_unstable();
    times.dedup();
    let (mut samples, mut payload) = (Vec::new(), Vec::new());
    let (mut active, mut rest) = (Vec::<&ShownCue>::new(), cues);
    for span in times.windows(2) {
        let begun = rest.partition_point(|cue| fine.ticks(cue.start_ms) <= span[0]);
        active.extend(&rest[..begun]);
        rest = &rest[begun..];
        active.retain(|cue| fine.ticks(cue.end_ms) > span[0]);
        let sample = text_sample(active.iter().map(|cue| (cue.settings.as_str(), cue.text.as_str())))?;
        let too_large = |_| boxes::Error::Range { what: "a sample of text" };
        samples.push(TimedSample {
            size: u32::try_from(sample.len()).map_err(too_large)?,
            duration: u32::try_from(span[1] - span[0]).map_err(too_large)?,
            composition: 0,
            sync: true,
        });
        payload.extend(sample);
    }
    Ok((samples, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start_ms: u64, end_ms: u64) -> ShownCue {
        ShownCue { start_ms, end_ms, settings: String::new(), text: format!("{start_ms}") }
    }

    fn ruler() -> Ruler {
        Ruler { bounds: vec![0, 48, 96, 120], timescale: 24 }
    }

    #[test]
    fn a_cue_stands_in_every_segment_that_shows_it_and_one_after_the_end_in_the_last() {
        let cues = [cue(0, 2000), cue(1999, 2001), cue(2000, 4000), cue(0, 9000), cue(5000, 6000), cue(7000, 8000)];
        assert_eq!(ruler().share_out(&cues), [vec![0, 1, 3], vec![1, 2, 3], vec![3, 4, 5]]);
    }

    #[test]
    fn segments_go_on_with_the_sound_where_a_cue_does_and_are_cut_as_it_is() {
        let cuts = Cuts::new(&[0, 96, 192], 240, 24, 4.0);
        let bounds =
            |cues: &[ShownCue], sound_end| Ruler::new(&cuts, Ruler::end(cues.iter(), (240, sound_end), 24), 24).bounds;
        assert_eq!(bounds(&[cue(0, 10_000)], 600), [0, 96, 192, 240]);
        assert_eq!(bounds(&[cue(9000, 11_000)], 600), [0, 96, 192, 294, 390, 486, 582, 600]);
        assert_eq!(bounds(&[cue(20_000, 21_000)], 490), [0, 96, 192, 294, 390, 486, 490]);
        assert_eq!(bounds(&[cue(25_000, 26_000)], 600), [0, 96, 192, 240], "when nothing plays any more");
        assert_eq!(bounds(&[cue(9000, 11_000)], 239), [0, 96, 192, 240]);
        assert_eq!(bounds(&[cue(9000, 11_000)], 244), [0, 96, 192, 240], "a few frames of sound");
        assert_eq!(bounds(&[cue(10_000, 11_000)], 244), [0, 96, 192, 244]);
    }

    #[test]
    fn a_fine_ruler_has_whole_milliseconds_and_the_same_bounds() {
        assert_eq!(ruler().fine(), Ruler { bounds: vec![0, 6000, 12_000, 15_000], timescale: 3000 });
        let odd = Ruler { bounds: vec![0, 4_000_000_000, 4_000_000_001], timescale: 1_000_000_007 };
        assert_eq!(odd.fine(), Ruler { bounds: vec![0, 3999, 4000], timescale: 1000 });
    }

    #[test]
    fn samples_change_where_cues_come_and_go_and_fill_the_segment() {
        let cues = [cue(500, 1500), cue(1000, 3000)];
        let refs: Vec<&ShownCue> = cues.iter().collect();
        let (samples, payload) = samples(&refs, &ruler().fine(), 0).unwrap();
        let spans: Vec<u32> = samples.iter().map(|sample| sample.duration).collect();
        assert_eq!(spans, [1500, 1500, 1500, 1500]);
        assert_eq!(samples.iter().map(|sample| sample.size as usize).sum::<usize>(), payload.len());
        assert_eq!(&payload[..8], b"\0\0\0\x08vtte");
    }
}
