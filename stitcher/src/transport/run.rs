//! Writes transport streams of proven segments, and reads each segment back before the next is made.

use std::fs;
use std::path::Path;

use vtp_engine::ladder::AudioCodec;
use vtp_engine::subtitles::vtt::TIMESTAMP_MAP;

use super::feed::{Pictures, Sound};
use super::mux::{LEAD, Muxer, Unit};
use super::packet::Program;
use super::proof::{Fault, Prover};
use super::share::{Share, share};
use super::source::Track;
use super::{clock, segment_name};
use crate::Error;
use crate::files::{Folder, at, write_bytes};
use crate::layout::Durability;
use crate::listing::{
    AudioListing, KeyPicture, Listing, Presentation, SubtitleListing, VideoListing, Written, text_name,
};
use crate::proof::read::{Reason, unreadable};
use crate::stop::Stop;

/// How much earlier than its pictures the sound of a segment may begin, in ticks: half a second.
const MOST_BACK: i64 = 45_000;

/// Writes streams of the renditions that `takes` says, of all sound in AAC, and what goes with them, beside their segments in
/// `dir`. What is returned tells of them as the presentation does of the segments. With `alone` key pictures can be fetched by
/// themselves.
pub(crate) fn write(
    stop: Stop<'_>,
    dir: &Path,
    durability: Durability,
    presentation: &Presentation,
    takes: &[bool],
    alone: bool,
) -> Result<Presentation, Error> {
    let taken = presentation.video.iter().zip(takes).filter(|(_, takes)| **takes).map(|(video, _)| video);
    let videos: Vec<(&VideoListing, Track)> =
        taken.map(|video| Ok((video, Track::open(dir, &video.listing, true)?))).collect::<Result<_, Error>>()?;
    let audios: Vec<(&AudioListing, Track)> = (presentation.audio.iter())
        .filter(|audio| audio.codec == AudioCodec::Aac)
        .map(|audio| Ok((audio, Track::open(dir, &audio.listing, false)?)))
        .collect::<Result<_, Error>>()?;
    let most = |tracks: &mut dyn Iterator<Item = &Track>| tracks.map(Track::ahead).max().unwrap_or(0);
    let delay = most(&mut videos.iter().map(|(_, track)| track));
    let priming = most(&mut audios.iter().map(|(_, track)| track));
    let (start, back) = (clock::start(delay + priming + 2 * LEAD), delay.min(MOST_BACK));
    let job = Job { stop, dir, durability, start, back, alone };
    let muxed = muxed(&audios);
    let sound = muxed.and_then(|place| audios.get(place));
    let video = videos.iter().map(|(video, track)| job.video(video, track, sound)).collect::<Result<_, _>>()?;
    let audio = audios.iter().enumerate().map(|(place, (audio, track))| match Some(place) == muxed {
        true => Ok(AudioListing { muxed: true, ..(*audio).clone() }),
        false => job.audio(audio, track),
    });
    Ok(Presentation {
        video,
        audio: audio.collect::<Result<_, _>>()?,
        subtitles: presentation.subtitles.iter().map(|track| job.subtitles(track)).collect::<Result<_, _>>()?,
        captions: presentation.captions.clone(),
        sheets: None,
        told_target_s: 0,
    })
}

/// The place of the sound that goes with the pictures: the default track, in stereo.
fn muxed(audios: &[(&AudioListing, Track)]) -> Option<usize> {
    let of = |wanted: &dyn Fn(&AudioListing) -> bool| audios.iter().position(|(audio, _)| wanted(audio));
    of(&|it| it.default && !it.surround).or_else(|| of(&|it| !it.surround)).or_else(|| of(&|_| true))
}

/// What all streams have in common.
struct Job<'a> {
    /// Asked before each segment.
    stop: Stop<'a>,
    dir: &'a Path,
    durability: Durability,
    /// Where time 0 is, in ticks.
    start: i64,
    /// How much earlier than its pictures the sound of a segment begins, in ticks.
    back: i64,
    alone: bool,
}

impl Job<'_> {
    fn video(
        &self,
        video: &VideoListing,
        track: &Track,
        sound: Option<&(&AudioListing, Track)>,
    ) -> Result<VideoListing, Error> {
        let name = super::folder(&video.listing.folder);
        let failed = |source| Error::Transport { name: name.clone(), source };
        let folder = Folder::create(self.dir.join(&name), self.durability)?;
        let shares = share(&video.listing, sound.map(|(it, _)| &it.listing), track.clock(self.start), self.back);
        let program = Program { video: true, audio: sound.map(|(it, _)| letters(it)) };
        let alone = video.pictures.iter().map(|picture| picture.shown).filter(|_| self.alone).collect();
        let mut pictures = Pictures::new(track, alone, track.ahead() - self.back).map_err(failed)?;
        let mut heard = sound.map(|(_, track)| Sound::new(track, false)).transpose().map_err(failed)?;
        let mut muxer = Muxer::new(program, track.ahead() - self.back);
        let mut prover = Prover::new(Some(track), sound.map(|(_, track)| track), self.start)?;
        let (mut written, mut fetched) = (Vec::new(), Vec::new());
        for (place, share) in (0..).zip(&shares) {
            self.stop.check()?;
            let Share { start, ticks, video: segment, sound_until } = *share;
            let mut units = Vec::new();
            if segment.is_some() {
                pictures.segment(self.start, &mut units).map_err(|fault| fault.named(&name))?;
            }
            let samples = units.len() as u32;
            let shown: Vec<u64> = units.iter().filter(|(unit, _)| unit.alone).map(|(_, shown)| *shown).collect();
            let mut units: Vec<Unit> = units.into_iter().map(|(unit, _)| unit).collect();
            if let Some(heard) = &mut heard {
                heard.until(sound_until, self.start, &mut units).map_err(|fault| fault.named(&name))?;
            }
            let made = muxer.segment(units);
            let ranges: Vec<_> = made.pictures.into_iter().zip(shown).collect();
            let bytes = self.publish(&folder, place, &made.bytes, |bytes| prover.segment(bytes, &ranges))?;
            written.push(Written { start, ticks, bytes, samples });
            fetched.extend(ranges.into_iter().map(|(range, shown)| KeyPicture { segment: place, range, shown }));
        }
        prover.finish().map_err(|fault| told(fault, &folder.file("")))?;
        let listing = Listing { folder: name, segments: written, ..video.listing.clone() };
        Ok(VideoListing { listing, pictures: fetched, ..video.clone() })
    }

    fn audio(&self, audio: &AudioListing, track: &Track) -> Result<AudioListing, Error> {
        let name = super::folder(&audio.listing.folder);
        let folder = Folder::create(self.dir.join(&name), self.durability)?;
        let failed = |source| Error::Transport { name: name.clone(), source };
        let mut sound = Sound::new(track, true).map_err(failed)?;
        let mut muxer = Muxer::new(Program { video: false, audio: Some(letters(audio)) }, 0);
        let mut prover = Prover::new(None, Some(track), self.start)?;
        let mut segments = audio.listing.segments.clone();
        let starts: Vec<i64> =
            segments.iter().map(|it| track.clock(self.start).ticks(it.start.cast_signed())).collect();
        for (place, segment) in (0..).zip(&mut segments) {
            self.stop.check()?;
            let until = starts.get(place as usize + 1).copied().unwrap_or(i64::MAX);
            let mut units = Vec::new();
            sound.until(until, self.start, &mut units).map_err(|fault| fault.named(&name))?;
            let made = muxer.segment(units);
            segment.bytes = self.publish(&folder, place, &made.bytes, |bytes| prover.segment(bytes, &[]))?;
        }
        prover.finish().map_err(|fault| told(fault, &folder.file("")))?;
        Ok(AudioListing { listing: Listing { folder: name, segments, ..audio.listing.clone() }, ..audio.clone() })
    }

    /// The same cues, with the time at which the streams begin.
    fn subtitles(&self, track: &SubtitleListing) -> Result<SubtitleListing, Error> {
        let name = super::folder(&track.files.folder);
        let folder = Folder::create(self.dir.join(&name), self.durability)?;
        let map = TIMESTAMP_MAP.replacen("MPEGTS:0,", &format!("MPEGTS:{},", clock::wrapped(self.start)), 1);
        let mut files = Listing { folder: name, ..track.files.clone() };
        for (place, segment) in (0..).zip(&mut files.segments) {
            self.stop.check()?;
            let path = self.dir.join(&track.files.folder).join(text_name(place));
            let text = fs::read_to_string(&path).map_err(at(&path))?;
            let other = || unreadable(&path, Reason::Shape("no line that ties its times to those of media"));
            let (before, after) = text.split_once(TIMESTAMP_MAP).ok_or_else(other)?;
            let text = [before, &map, after].concat();
            let path = folder.file(&text_name(place));
            folder.publish(&text_name(place), |file| write_bytes(file, &path, text.as_bytes()))?;
            let read = fs::read(&path).map_err(at(&path))?;
            if read != text.as_bytes() {
                return Err(unreadable(&path, Reason::Shape("other cues than were written")).into());
            }
            segment.bytes = read.len() as u64;
        }
        Ok(SubtitleListing { files: files.clone(), fragments: files, ..track.clone() })
    }

    /// Writes a segment, and has what is in the file then proven. Returns its size.
    fn publish(
        &self,
        folder: &Folder,
        place: u32,
        bytes: &[u8],
        prove: impl FnOnce(&[u8]) -> Result<(), Fault>,
    ) -> Result<u64, Error> {
        let name = segment_name(place);
        let path = folder.file(&name);
        folder.publish(&name, |file| write_bytes(file, &path, bytes))?;
        let read = fs::read(&path).map_err(at(&path))?;
        prove(&read).map_err(|fault| told(fault, &path))?;
        Ok(read.len() as u64)
    }
}

fn told(fault: Fault, path: &Path) -> Error {
    match fault {
        Fault::Damage(damage) => unreadable(path, Reason::Shape(damage)).into(),
        Fault::Source(error) => error,
    }
}

/// Three letters of the track's language.
fn letters(audio: &AudioListing) -> [u8; 3] {
    audio.language.three_letters().as_bytes().try_into().unwrap_or(*b"und")
}

#[cfg(test)]
mod tests {
    use super::super::testing::presentation;
    use super::*;

    fn streams(dir: &Path, start: u64) -> (Presentation, Presentation) {
        let clear = presentation(dir, start);
        let made = write(Stop(&|| false), dir, Durability::Buffered, &clear, &[true], true).unwrap();
        (clear, made)
    }

    /// The tracks and the segments of the stream of pictures and sound, and the pictures in each that can be fetched alone.
    struct Stream {
        tracks: [Track; 2],
        segments: Vec<Vec<u8>>,
        pictures: Vec<Vec<(std::ops::Range<u64>, u64)>>,
    }

    impl Stream {
        fn written(dir: &Path) -> Self {
            let (clear, made) = streams(dir, 0);
            let tracks = [(&clear.video[0].listing, true), (&clear.audio[1].listing, false)]
                .map(|(listing, is_video)| Track::open(dir, listing, is_video).unwrap());
            let folder = dir.join("video/ts");
            let places = 0..made.video[0].listing.segments.len() as u32;
            let read = |place| fs::read(folder.join(segment_name(place))).unwrap();
            let of = |place: u32| {
                let pictures = made.video[0].pictures.iter().filter(|picture| picture.segment == place);
                pictures.map(|picture| (picture.range.clone(), picture.shown)).collect()
            };
            Self { tracks, segments: places.clone().map(read).collect(), pictures: places.map(of).collect() }
        }

        /// What the proof says of these segments.
        fn proved(&self, segments: &[Vec<u8>]) -> Result<(), String> {
            let [video, audio] = &self.tracks;
            let mut prover = Prover::new(Some(video), Some(audio), 900_000).unwrap();
            let told = |fault| match fault {
                Fault::Damage(damage) => damage.to_owned(),
                Fault::Source(error) => error.to_string(),
            };
            for (segment, pictures) in segments.iter().zip(&self.pictures) {
                prover.segment(segment, pictures).map_err(told)?;
            }
            prover.finish().map_err(told)
        }
    }

    #[test]
    fn streams_tell_what_the_segments_do_and_one_track_of_sound_is_in_those_of_the_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let (clear, made) = streams(dir.path(), 0);
        let [video] = &made.video[..] else { panic!("{made:?}") };
        assert_eq!(video.listing.folder, "video/ts");
        let times = |listing: &Listing| listing.segments.iter().map(|it| (it.start, it.ticks)).collect::<Vec<_>>();
        // Sound goes on for a second, which is a segment of its own.
        assert_eq!(times(&video.listing), [(0, 25), (25, 25), (50, 26), (76, 25)]);
        let shown = |pictures: &[KeyPicture]| pictures.iter().map(|it| (it.segment, it.shown)).collect::<Vec<_>>();
        assert_eq!(shown(&video.pictures), shown(&clear.video[0].pictures));
        assert_eq!(made.audio.iter().map(|it| it.muxed).collect::<Vec<_>>(), [false, true]);
        assert_eq!(made.audio[0].listing.folder, "other/ts");
        assert_eq!(times(&made.audio[0].listing), times(&clear.audio[0].listing));
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert_eq!(video.listing.segments[1].bytes, size("video/ts/seg-00002.ts"));
        assert_eq!(made.audio[0].listing.segments[3].bytes, size("other/ts/seg-00004.ts"));
        assert_eq!(made.subtitles[0].files.segments[1].bytes, size("text/ts/seg-00002.vtt"));
        let text = fs::read_to_string(dir.path().join("text/ts/seg-00001.vtt")).unwrap();
        assert!(text.contains("X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000"), "{text}");
        assert!(!dir.path().join("sound/ts").exists());
    }

    #[test]
    fn sound_before_the_pictures_has_segments_of_its_own_and_after_a_day_the_clock_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let starts = |made: &Presentation| {
            made.video[0].listing.segments.iter().map(|it| (it.start, it.samples)).collect::<Vec<_>>()
        };
        let (_, made) = streams(dir.path(), 3);
        assert_eq!(starts(&made), [(0, 0), (25, 0), (50, 0), (75, 25), (100, 25), (125, 25)]);
        // The last of these seconds is beyond 2^33 ticks. All is proven while it is written.
        let clear = Presentation { audio: Vec::new(), ..presentation(dir.path(), 95_432) };
        let made = write(Stop(&|| false), dir.path(), Durability::Buffered, &clear, &[true], true).unwrap();
        assert_eq!(starts(&made), [95_432, 95_433, 95_434].map(|second| (second * 25, 25)));
        let read = |place| {
            let bytes = fs::read(dir.path().join("video/ts").join(segment_name(place))).unwrap();
            super::super::read::Reader::default().segment(&bytes).unwrap().units[0].pts
        };
        assert!(read(0) > 8_589_000_000 && read(2) < 180_000, "{} {}", read(0), read(2));
    }

    #[test]
    fn what_was_written_is_proven_and_a_damaged_stream_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let stream = Stream::written(dir.path());
        let whole = &stream.segments;
        assert_eq!(stream.proved(whole), Ok(()));
        let refused = |what: &str, damage: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut segments = whole.clone();
            damage(&mut segments);
            let told = stream.proved(&segments).unwrap_err();
            assert!(told.contains(what), "{told:?} instead of {what:?}");
        };
        let place = |bytes: &[u8], of: &[u8]| bytes.windows(of.len()).rposition(|it| it == of).unwrap();
        refused("a picture of other bytes", &|segments| {
            let at = place(&segments[1], &[0, 0, 0, 1, 0x41]) + 6;
            segments[1][at] ^= 1;
        });
        refused("sound of other bytes", &|segments| {
            let at = place(&segments[1], &[0xFF, 0xF1, 0x4C]) + 10;
            segments[1][at] ^= 1;
        });
        refused("told to be another kind", &|segments| {
            let at = place(&segments[1], &[0xFF, 0xF1, 0x4C]) + 2;
            segments[1][at] ^= 4;
        });
        refused("heard at another time", &|segments| {
            let at = place(&segments[1], &[0, 0, 1, 0xC0]) + 13;
            segments[1][at] ^= 2;
        });
        refused("shown at another time", &|segments| {
            let at = place(&segments[2], &[0, 0, 1, 0xE0]) + 13;
            segments[2][at] ^= 4;
        });
        refused("a counter that does not go on", &|segments| drop(segments[1].drain(940..1128)));
        refused("no whole number of packets", &|segments| segments[0].truncate(1000));
        refused("wrong checksum", &|segments| segments[0][12] ^= 1);
        refused("without its sync byte", &|segments| segments[0][188] = 0);
        refused("shown at another time", &|segments| segments.swap(0, 1));
        refused("a counter that does not go on", &|segments| segments.swap(1, 2));
        refused("sound is missing at the end", &|segments| drop(segments.pop()));
        refused("pictures are missing at the end", &|segments| segments.truncate(2));
        let other =
            Stream { pictures: vec![vec![(0..376, 0)], vec![], vec![], vec![]], segments: Vec::new(), ..stream };
        assert!(other.proved(whole).is_err(), "no picture is where one is named");
    }
}
