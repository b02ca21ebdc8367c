//! The proof for one subtitle track: what its files say, read back, against the cues that are due. Pure.

use vtp_engine::limits::Limits;
use vtp_engine::subtitles::{ShownCue, vtt};

use super::Violation;
use super::read::ReadSegment;
use crate::subtitles::Ruler;

/// Compares the segments of a subtitle track, one after the other, with its cues.
#[derive(Clone, Debug)]
pub(crate) struct SubtitleCheck<'a> {
    track: &'a str,
    ruler: &'a Ruler,
    fine: Ruler,
    /// Those that no file had yet, and those shown in the segment before, or later on.
    rest: &'a [ShownCue],
    active: Vec<&'a ShownCue>,
    /// When all that is shown and heard has ended, in seconds.
    end_s: f64,
    /// The same of fragments.
    fragments_rest: &'a [ShownCue],
    fragments_active: Vec<&'a ShownCue>,
    files: usize,
    fragments: usize,
}

impl<'a> SubtitleCheck<'a> {
    /// Nothing seen yet of a presentation that ends after `end_s` seconds; `due` are in order.
    pub(crate) fn new(track: &'a str, ruler: &'a Ruler, due: &'a [ShownCue], end_s: f64) -> Self {
        Self {
            track,
            ruler,
            fine: ruler.fine(),
            rest: due,
            active: Vec::new(),
            end_s,
            fragments_rest: due,
            fragments_active: Vec::new(),
            files: 0,
            fragments: 0,
        }
    }

    /// Takes the text of the next WebVTT file.
    pub(crate) fn file(&mut self, text: &str) -> Result<(), Violation> {
        let place = self.files;
        self.files += 1;
        let Some(&end) = self.ruler.bounds.get(place + 1) else { return Err(self.wrong(place, "is one too many")) };
        let mut head = text.lines();
        if !vtt::is_signed(text) || head.nth(1) != Some(vtt::TIMESTAMP_MAP) {
            return Err(self.wrong(place, "does not begin as a WebVTT segment does"));
        }
        let unlimited = Limits { cues: u64::MAX, cue: u64::MAX, subtitles: u64::MAX, ..Limits::DEFAULT };
        let read = vtt::parse(text, &unlimited).map_err(|_| self.wrong(place, "can't be read"))?;
        // Compared in units of a thousandth of the ruler's.
        let later = |ms: u64, bound: u64| u128::from(ms) * u128::from(self.ruler.timescale) > u128::from(bound) * 1000;
        let at_or_later =
            |ms: u64, bound: u64| u128::from(ms) * u128::from(self.ruler.timescale) >= u128::from(bound) * 1000;
        let start = self.ruler.bounds[place];
        self.active.retain(|cue| later(cue.end_ms, start));
        let begun = match place + 1 == self.ruler.segments() {
            true => self.rest.len(),
            false => self.rest.partition_point(|cue| !at_or_later(cue.start_ms, end)),
        };
        self.active.extend(&self.rest[..begun]);
        self.rest = &self.rest[begun..];
        let same = read.len() == self.active.len()
            && read.iter().zip(&self.active).all(|(read, due)| {
                let times = [(read.start_us, due.start_ms), (read.end_us, due.end_ms)];
                times.iter().all(|(us, ms)| i128::from(*us) == i128::from(*ms) * 1000)
                    && (&read.settings, &read.text) == (&due.settings, &due.text)
            });
        if same { Ok(()) } else { Err(self.wrong(place, "does not hold the cues that are shown in it")) }
    }

    /// Takes the next fragment, whose samples are the bytes `payload`.
    pub(crate) fn fragment(&mut self, read: &ReadSegment, payload: &[u8]) -> Result<(), Violation> {
        let place = self.fragments;
        self.fragments += 1;
        let Some(&end) = self.fine.bounds.get(place + 1) else { return Err(self.wrong(place, "is one too many")) };
        if read.fragments != 1 || read.start != self.fine.bounds[place] || read.end() != end {
            return Err(self.wrong(place, "is not as long as it should be"));
        }
        let mut rest = payload;
        for sample in &read.samples {
            let (bytes, after) = rest
                .split_at_checked(sample.size as usize)
                .ok_or_else(|| self.wrong(place, "has samples without bytes"))?;
            rest = after;
            let shown = cues_of(bytes).ok_or_else(|| self.wrong(place, "has a sample that is no WebVTT"))?;
            self.sample(place, (sample.decoded, sample.decoded + u64::from(sample.duration)), &shown)?;
        }
        Ok(())
    }

    /// A sample shows what is due from its start on, and nothing comes or goes before its end.
    fn sample(&mut self, place: usize, (start, end): (u64, u64), shown: &[(&[u8], &[u8])]) -> Result<(), Violation> {
        let fine = &self.fine;
        let begun = self.fragments_rest.partition_point(|cue| fine.ticks(cue.start_ms) <= start);
        self.fragments_active.extend(&self.fragments_rest[..begun]);
        self.fragments_rest = &self.fragments_rest[begun..];
        self.fragments_active.retain(|cue| fine.ticks(cue.end_ms) > start);
        let steady = self.fragments_active.iter().all(|cue| fine.ticks(cue.end_ms) >= end)
            && self.fragments_rest.first().is_none_or(|cue| fine.ticks(cue.start_ms) >= end);
        let due = self.fragments_active.iter().map(|cue| (cue.settings.as_bytes(), cue.text.as_bytes()));
        if steady && due.eq(shown.iter().copied()) {
            Ok(())
        } else {
            Err(self.wrong(place, "does not show the cues that are due, when they are"))
        }
    }

    /// All segments were seen.
    pub(crate) fn finish(self) -> Result<(), Violation> {
        let due = self.ruler.segments();
        let got = self.files.min(self.fragments);
        if self.fragments_rest.first().is_some_and(|cue| (cue.start_ms as f64) < self.end_s * 1000.0) {
            return Err(self.wrong(due.saturating_sub(1), "ends before all cues are shown"));
        }
        if got == due && self.rest.is_empty() {
            return Ok(());
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Err(Violation::Segments { track: self.track.to_owned(), got: count(got), due: count(due) })
    }

    fn wrong(&self, place: usize, reason: &'static str) -> Violation {
        let segment = u32::try_from(place + 1).unwrap_or(u32::MAX);
        Violation::Text { track: self.track.to_owned(), segment, reason }
    }
}

/// Settings and text of the cues in a sample (ISO/IEC 14496-30, 7.4); `None` if it is none.
pub(crate) fn cues_of(sample: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut cues = Vec::new();
    let top = boxes_of(sample)?;
    for (kind, body) in &top {
        match *kind {
            b"vtte" if top.len() == 1 && body.is_empty() => {}
            b"vttc" => {
                let parts = boxes_of(body)?;
                let part = |name: &[u8; 4]| parts.iter().find(|(kind, _)| *kind == name).map(|(_, body)| *body);
                cues.push((part(b"sttg").unwrap_or_default(), part(b"payl")?));
            }
            _ => return None,
        }
    }
    (!top.is_empty()).then_some(cues)
}

/// The boxes that fill `bytes`.
fn boxes_of(mut bytes: &[u8]) -> Option<Vec<(&[u8; 4], &[u8])>> {
    let mut boxes = Vec::new();
    while !bytes.is_empty() {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_be_bytes(*size)).ok()?.checked_sub(8)?;
        let (body, after) = rest.split_at_checked(size)?;
        boxes.push((kind, body));
        bytes = after;
    }
    Some(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::text_sample;

    #[test]
    fn samples_are_read_as_they_are_written() {
        for cues in [&[][..], &[("", "a")], &[("line:0", "a\nb"), ("", "<i>c</i>")]] {
            let sample = text_sample(cues.iter().copied()).unwrap();
            let due: Vec<(&[u8], &[u8])> = cues.iter().map(|(a, b)| (a.as_bytes(), b.as_bytes())).collect();
            assert_eq!(cues_of(&sample), Some(due));
        }
        for broken in [&b""[..], b"\0\0\0\x09vtte", b"\0\0\0\x08abcd", b"\0\0\0\x08vttc", b"\0\0\0\x07vtte"] {
            assert_eq!(cues_of(broken), None, "{broken:?}");
        }
    }

    fn cue(start_ms: u64, end_ms: u64) -> ShownCue {
        ShownCue { start_ms, end_ms, settings: String::new(), text: format!("{start_ms}") }
    }

    fn files(due: &[ShownCue], files: &[&[usize]]) -> Result<(), Violation> {
        let ruler = Ruler { bounds: vec![0, 2000, 4000], timescale: 1000 };
        let mut check = SubtitleCheck::new("t", &ruler, due, 4.0);
        files.iter().try_for_each(|places| check.file(&vtt::file(places.iter().map(|&place| &due[place]))))
    }

    #[test]
    fn a_file_has_to_hold_all_that_is_shown_in_it_and_nothing_else() {
        let due = [cue(0, 1000), cue(1500, 2500), cue(2000, 3000), cue(5000, 6000)];
        assert_eq!(files(&due, &[&[0, 1], &[1, 2, 3]]), Ok(()));
        for wrong in [&[&[0][..], &[1, 2, 3]], &[&[0, 1], &[2, 3]], &[&[0, 1, 2], &[1, 2, 3]], &[&[0, 1], &[1, 2]]] {
            assert!(matches!(files(&due, wrong), Err(Violation::Text { .. })), "{wrong:?}");
        }
        assert!(files(&due, &[&[0, 1], &[1, 2, 3], &[]]).is_err());
    }
}
