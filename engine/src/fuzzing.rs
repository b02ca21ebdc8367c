//! What the fuzz targets of `fuzz/` call, and the damage that plain tests feed to the same functions. Each function
//! takes any bytes at all, and panics where a parser breaks a promise. Not part of the product.

use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::bitstream::Classifier;
use crate::bitstream::captions::{CaptionFinder, Channel};
use crate::limits::Limits;
use crate::nal;
use crate::subtitles::packet::Form;
use crate::subtitles::{self, Cue, markup, vtt};

/// Codecs that a classifier tells apart, by FFmpeg's names.
const CODECS: [&str; 9] = ["h264", "hevc", "mpeg2video", "mpeg4", "vp8", "vp9", "prores", "av1", "vc1"];

/// Takes a value off the front of the bytes that a fuzzer gives.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// As many of the next bytes as there are, at most `count`.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next bytes behind a length of two.
    pub fn block(&mut self) -> &'a [u8] {
        let length = u16::from_le_bytes([self.byte(), self.byte()]);
        self.take(length.into())
    }

    /// A signed number of 1, 2, 4 or 8 bytes, as the byte before it says.
    pub fn number(&mut self) -> i64 {
        let mut bytes = [0; 8];
        let width = 1 << (self.byte() & 3);
        let taken = self.take(width);
        bytes[..taken.len()].copy_from_slice(taken);
        let unused = 64 - 8 * width as u32;
        i64::from_le_bytes(bytes) << unused >> unused
    }

    /// Whether there is nothing more.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// A chunk's packets as they travel.
pub fn archive(data: &[u8]) {
    crate::archive::read_any(data);
}

/// An encoded chunk as it travels.
pub fn delivery(data: &[u8]) {
    crate::delivery::read_any(data);
}

/// A stream of packets: a codec and the container's flag in one byte, the codec's headers, then packet after packet.
pub fn classifier(data: &[u8]) {
    let mut data = Reader(data);
    let (head, headers) = (data.byte(), data.block());
    let codec = CODECS[usize::from(head & 0x7F) % CODECS.len()];
    let mut classifier = Classifier::new(codec, headers);
    let mut captions = CaptionFinder::new(codec, headers);
    let mut seen = BTreeSet::new();
    while !data.is_at_end() {
        let packet = data.block();
        let class = classifier.classify(packet, head & 0x80 != 0);
        captions.look(packet);
        seen.extend(captions_of(codec, headers, packet));
        assert_eq!(captions.channels(), told(&seen), "each packet adds what it has alone");
        let disposable = Classifier::new(codec, headers).is_disposable(packet);
        assert_eq!(classifier.is_disposable(packet), disposable, "it depends on no packet before: {class:?}");
        let tells = matches!(codec, "h264" | "mpeg2video");
        assert!(!disposable || tells && !packet.is_empty(), "{codec} does not tell");
    }
}

/// The captions in `packet`, where it comes first.
fn captions_of(codec: &str, headers: &[u8], packet: &[u8]) -> Vec<Channel> {
    let mut captions = CaptionFinder::new(codec, headers);
    captions.look(packet);
    captions.channels()
}

/// What is told of the channels that were seen: any of CEA-608 stand for those of CEA-708.
fn told(seen: &BTreeSet<Channel>) -> Vec<Channel> {
    let is_old = |channel: &&Channel| matches!(channel, Channel::Cea608(_));
    match seen.iter().any(|channel| is_old(&channel)) {
        true => seen.iter().filter(is_old).copied().collect(),
        false => seen.iter().copied().collect(),
    }
}

/// A byte stream, or a sample with lengths.
pub fn units(data: &[u8]) {
    let mut stored = Vec::new();
    let units: Vec<&[u8]> = nal::annex_b(data).collect();
    for unit in &units {
        assert!(!unit.is_empty() && !unit.ends_with(&[0]));
        assert!(nal::unescaped(unit).len() <= unit.len());
        let stored = nal::push_length_prefixed(&mut stored, unit);
        assert_eq!(stored, Ok(()));
    }
    let read: Result<Vec<&[u8]>, _> = nal::length_prefixed(&stored, 4).collect();
    assert_eq!(read.as_ref(), Ok(&units));
    for size in 1..=4 {
        let read: Vec<_> = nal::length_prefixed(data, size).collect();
        assert!(read.iter().rev().skip(1).all(Result::is_ok), "nothing comes after an error");
    }
    nal::avc_config_sets(data);
    if let Ok(record) = nal::avc_config(units.iter().copied()) {
        let sets = |kind| units.iter().filter(move |unit| nal::avc::unit_type(unit) == Some(kind));
        let holds = |set: &[u8]| record.windows(set.len()).any(|window| window == set);
        assert!(sets(nal::avc::SPS).chain(sets(nal::avc::PPS)).all(|set| holds(set)), "a parameter set is lost");
        assert!(nal::avc_config_sets(&record).is_some());
    }
}

/// The forms of subtitles in containers, by FFmpeg's names of their codecs.
const FORMS: [&str; 5] = ["subrip", "text", "ass", "mov_text", "webvtt"];

/// Subtitles: a form in one byte and the payload of a packet, or a whole file.
pub fn subtitles(data: &[u8]) {
    let mut data = Reader(data);
    let limits = Limits { cues: 1000, cue: 4096, subtitles: 1 << 20, ..Limits::DEFAULT };
    let cues = match FORMS.get(usize::from(data.byte())).copied().and_then(Form::of) {
        Some(form) => {
            let settings = String::from_utf8_lossy(data.block()).into_owned();
            let markup::Marked { text, settings } = form.read(data.0, &settings).marked;
            let cue = Cue { start_us: 0, end_us: 1_000_000, settings, text };
            Some(cue).filter(|cue| !cue.text.is_empty()).into_iter().collect()
        }
        None => match subtitles::file::parse(data.0, &limits) {
            Ok(parsed) => parsed.cues,
            Err(_) => return,
        },
    };
    for cue in &cues {
        assert!(!cue.text.is_empty() && !cue.text.contains("\n\n") && !cue.text.contains("-->"), "{cue:?}");
        let again = markup::vtt(&cue.text, &cue.settings);
        assert_eq!((&again.text, &again.settings), (&cue.text, &cue.settings));
    }
    let shown = subtitles::shown(&cues, 0);
    let unlimited = Limits { cues: u64::MAX, cue: u64::MAX, subtitles: u64::MAX, ..Limits::DEFAULT };
    let read = vtt::parse(&vtt::file(&shown.cues), &unlimited).unwrap_or_default();
    let [read, due]: [Vec<(u64, u64, &str)>; 2] = [
        read.iter().map(|it| (it.start_us as u64 / 1000, it.end_us as u64 / 1000, it.text.as_str())).collect(),
        shown.cues.iter().map(|it| (it.start_ms, it.end_ms, it.text.as_str())).collect(),
    ];
    assert_eq!(read, due, "what is written is read back");
}

/// An AudioSpecificConfig, an ADTS frame, an `avcC`.
#[cfg(feature = "media")]
pub fn headers(data: &[u8]) {
    crate::media::fuzzing::headers(data);
}

/// Calls `run` with `count` damaged copies of `seeds`, the same ones each time. The message of a panic has the number of
/// the case and its bytes.
pub fn each_damaged(seeds: &[Vec<u8>], count: u64, run: impl Fn(&[u8])) {
    /// Tells, when a panic passes by, of what.
    struct Told<'a, T: Debug>(u64, &'a T);
    impl<T: Debug> Drop for Told<'_, T> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("case {} of seed {SEED}: {:?}", self.0, self.1);
            }
        }
    }
    const SEED: u64 = 1;
    seeds.iter().for_each(|seed| run(seed));
    for case in 0..count {
        let mut random = fastrand::Rng::with_seed(SEED ^ case.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let bytes = damaged(seeds, &mut random);
        let _told = Told(case, &bytes);
        run(&bytes);
    }
}

/// One of the seeds with some damage.
fn damaged(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = random.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let most = 1 << random.u32(..10);
        let end = at + random.usize(..=(bytes.len() - at).min(most));
        match random.u8(..8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.u8(..8);
                }
            }
            2 | 3 => {
                // A number at its limits, with either end first.
                let extreme = [0, 1, u64::MAX, u64::MAX >> 1, 1 << 63, random.u64(..)];
                let value = random.choice(extreme).unwrap_or(0).rotate_left(8 * random.u32(..2));
                let run = at..bytes.len().min(at + (1 << random.u32(..4)));
                let count = run.len();
                bytes[run].copy_from_slice(&value.to_be_bytes()[..count]);
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let other = random.choice(seeds).map_or(&[][..], Vec::as_slice);
                let from = random.usize(..=other.len());
                bytes.splice(at..end, other[from..].iter().copied().take(1 << random.u32(..10)));
            }
            _ => bytes[at..end].fill_with(|| random.u8(..)),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`classifier`] reads it.
    fn stream(head: u8, headers: &[u8], packets: &[&[u8]]) -> Vec<u8> {
        let block = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
        [vec![head], block(headers), packets.iter().flat_map(|packet| block(packet)).collect()].concat()
    }

    #[test]
    fn no_damage_makes_the_classifier_panic() {
        let lengths = [1, 100, 0, 31, 0xFF];
        let sei = [0, 0, 0, 7, 0x06, 6, 1, 0xC0, 0x80, 0, 0, 0, 0, 0, 2, 0x41, 0x9A];
        let seeds = [
            stream(0, &lengths, &[&[0, 0, 0, 2, 0x65, 0x88], &sei, &[0, 0, 0, 1, 0x65, 0x88]]),
            stream(0, &[], &[&[0, 0, 1, 0x06, 6, 1, 0xC0, 0x80, 0, 0, 1, 0x41, 0x9A], &[0, 0, 1, 0x65]]),
            stream(1, &[], &[&[0, 0, 1, 42, 1, 0x80], &[0, 0, 1, 16, 1], &[0, 0, 1, 72, 1, 0, 0, 1, 2, 1]]),
            stream(2, &[], &[&[0, 0, 1, 0, 0, 0x08], &[0, 0, 1, 0, 0, 0x18]]),
            stream(3, &[], &[&[0, 0, 1, 0xB6, 0x10], &[0, 0, 1, 0xB6, 0x50]]),
            stream(4, &[], &[&[0x10], &[1], &[]]),
            stream(0x85, &[], &[&[0x84, 0xC0], &[0x82], &[0xB0, 0xFF]]),
            stream(8, &[], &[&[1], &[2]]),
        ];
        each_damaged(&seeds, 20_000, classifier);
    }

    #[test]
    fn no_damage_makes_the_readers_of_subtitles_panic() {
        let packet = |form: u8, payload: &[u8]| [&[form, 0, 0], payload].concat();
        let file = |text: &str| [&[0xFF], text.as_bytes()].concat();
        let seeds = [
            packet(0, b"{\\an8}a <i>b</i> &amp; <font color=x>c</font>\r\nd"),
            packet(2, b"0,0,Default,,0,0,0,,{\\i1\\pos(1,2)}a\\Nb{\\p1}m 0 0{\\p0}"),
            packet(3, b"\0\x04abcd\0\0\0\x16styl\0\x01\0\x01\0\x02\0\x01\x02\x12\xff\xff\xff\xff"),
            [&[4, 8, 0], &b"line:10%<v.x Fred>a <00:01.000>b</v><ruby>c<rt>d</ruby>"[..]].concat(),
            file("1\n00:00:01,000 --> 00:00:02,000\n<b>a</b>\n\n2\n00:00:01,500 --> 00:00:09,000\nb\n"),
            file("WEBVTT\n\nSTYLE\nx\n\n00:01.000 --> 00:02.000 line:0\na\n\nb\n00:03.000 --> 00:04.000\nc\n"),
            file("[Script Info]\n[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,{\\an5}a,b"),
        ];
        each_damaged(&seeds, 20_000, subtitles);
    }

    #[test]
    fn no_damage_makes_the_readers_of_units_panic() {
        let seeds = [
            vec![0, 0, 0, 1, 0x67, 110, 0, 40, 0xA6, 0xE0, 0, 0, 1, 0x68, 0xEE, 0x3C, 0, 0, 3, 1, 0, 0, 1, 0x65, 9],
            vec![0, 0, 0, 4, 0x67, 77, 0x40, 31, 0, 0, 0, 2, 0x68, 0xEE],
            vec![0, 0, 1, 0x67, 66, 0, 31, 0x80, 0, 0, 1, 0x68, 1],
        ];
        each_damaged(&seeds, 20_000, units);
    }

    #[test]
    fn numbers_of_any_width_keep_their_sign() {
        let mut data = Reader(&[0, 0xFF, 1, 0, 0x80, 2, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
        let numbers: Vec<i64> = std::iter::from_fn(|| (!data.is_at_end()).then(|| data.number())).collect();
        assert_eq!(numbers, [-1, -32768, 1, i64::MIN, 0]);
    }
}
