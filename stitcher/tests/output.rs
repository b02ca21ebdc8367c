//! What a folder holds after a job of made-up samples, and what it does not hold after a job that went wrong.

#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use vtp_engine::bitstream::captions::Channel;
use vtp_engine::chunk::{EncodedChunk, Sample};
use vtp_engine::index::Index;
use vtp_engine::ladder::{AudioCodec, Method, Rendition};
use vtp_engine::source::{AudioPurpose, Color};
use vtp_engine::stills::{POSTER, Poster, Stills, Thumbnails, rgb_bytes};
use vtp_engine::subtitles::ShownCue;
use vtp_engine::units::{ChunkIndex, Size};
use vtp_stitcher::proof::Violation;
use vtp_stitcher::remux::Container;
use vtp_stitcher::seal::{ContentKey, Scheme, Seal};
use vtp_stitcher::{
    AudioTrack, Delivery, Durability, Error, Extras, FinishedAudio, OutputLayout, Published, SourceSound, Stitcher,
    SubtitleTrack, cut,
};

/// A configuration record with the shape of one; nothing here decodes.
const CONFIG: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];
const RATE: u32 = 48_000;
const SAMPLES: u64 = 48_000 * 10;

/// 250 frames of 25 a second, five segments of two seconds, chunks of two, two and one; two audio tracks.
struct Job {
    folder: tempfile::TempDir,
    index: Arc<Index>,
    layout: OutputLayout,
}

fn track(language: &str, title: Option<&str>, default: bool) -> AudioTrack {
    AudioTrack {
        version_of: None,
        surround: false,
        codec: AudioCodec::Aac,
        purpose: AudioPurpose::Programme,
        language: Some(language.to_owned()),
        title: title.map(str::to_owned),
        default,
        sample_rate: RATE,
        channels: 2,
        priming: 1024,
        config: vec![0x11, 0x90],
    }
}

impl Job {
    fn new() -> Self {
        let times: Vec<i64> = (0..250).map(|frame| 1000 + frame * 40).collect();
        let plan = support::plan(&[0, 50, 100, 150, 200], 250, 2);
        let renditions = vec![support::rendition("hd", 640, 360), support::rendition("mobile", 320, 180)];
        let audio = vec![track("ger", Some("Say \"A\""), false), track("deu", None, true)];
        let layout = support::layout(renditions, audio, plan, (1, 1000), 1000);
        Self { folder: tempfile::tempdir().unwrap(), index: Arc::new(support::index(&times)), layout }
    }

    fn out(&self) -> std::path::PathBuf {
        self.folder.path().join("out")
    }

    fn stitcher(&self) -> Stitcher {
        Stitcher::new(&self.out(), self.layout.clone(), Arc::clone(&self.index), Extras::default()).unwrap()
    }

    /// Chunk `place`: IDR, P, B, B ... with a size that tells the rendition from the frame.
    fn chunk(&self, place: u32) -> EncodedChunk {
        let plan = &self.layout.plan;
        let samples = |unit: u8| {
            let segments = &plan.chunks[place as usize].segments;
            let frames =
                segments.clone().flat_map(|segment| plan.segments[segment as usize].clone().map(move |f| (f, segment)));
            frames
                .map(|(frame, segment)| {
                    let sync = plan.segments[segment as usize].start == frame;
                    let mut bytes = vec![0, 0, 0, 4 + unit, if sync { 0x65 } else { 0x41 }];
                    bytes.resize(8 + usize::from(unit), frame as u8);
                    (Sample { pts: self.index.frames[frame as usize].pts, size: bytes.len() as u32, sync }, bytes)
                })
                .collect()
        };
        let mut renditions = vec![("hd", CONFIG.to_vec(), samples(90)), ("mobile", CONFIG.to_vec(), samples(30))];
        let stills = self.layout.stills.of_chunk(plan.chunks[place as usize].frames.clone());
        renditions.extend(stills.iter().map(|it| (it.name.as_str(), Vec::new(), self.pictures(place, it))));
        support::chunk(self.folder.path(), place, renditions)
    }

    /// Pictures whose pixels tell the frame, and in the poster's candidates whether it is the best: frame 150.
    fn pictures(&self, place: u32, rendition: &Rendition) -> Vec<(Sample, Vec<u8>)> {
        let Method::Stills { positions } = &rendition.method else { panic!("{rendition:?}") };
        let bytes = rgb_bytes(rendition.size);
        let picture = |position: &u32| {
            let frame = self.layout.plan.chunks[place as usize].frames.start + position;
            let contrast = if frame == 150 { 200 } else { 20 };
            let pixel = |at: usize| if (at / 12).is_multiple_of(2) { 40 } else { 40 + contrast };
            let rgb = (0..bytes).map(|at| if rendition.name == POSTER { pixel(at) } else { frame as u8 }).collect();
            (Sample { pts: self.index.frames[frame as usize].pts, size: bytes as u32, sync: true }, rgb)
        };
        positions.iter().map(picture).collect()
    }

    /// The same with thumbnails every 300 ms, 34 in all, and a poster from the segments.
    fn with_pictures() -> Self {
        let mut job = Self::new();
        let size = Size { width: 16, height: 10 };
        let frames = (0..34).map(|place| (place * 15 / 2 + 3).min(249)).collect();
        let thumbnails = Some(Thumbnails { interval_ms: 300, size, frames });
        job.layout.stills = Stills { thumbnails, poster: Some(Poster { size, frames: vec![50, 100, 150, 200] }) };
        job
    }

    fn deliver(&self, stitcher: &mut Stitcher) {
        for place in 0..3 {
            stitcher.add_chunk(self.chunk(place)).unwrap();
        }
    }

    fn audio(&self, stitcher: &Stitcher) -> Vec<FinishedAudio> {
        let write = |track| {
            let mut writer = stitcher.audio_writer(track).unwrap();
            for frame in 0..=SAMPLES.div_ceil(1024) {
                writer.frame(&[frame as u8; 200]).unwrap();
            }
            writer.finish().unwrap()
        };
        (0..2).map(write).collect()
    }

    fn sounds(&self) -> [SourceSound; 2] {
        [SourceSound { start_s: 1.0, end_s: 11.0, start_sample: 0, silence_after: 0, samples: SAMPLES }; 2]
    }

    fn run(&self, order: [u32; 3]) -> Result<Published, Error> {
        let mut stitcher = self.stitcher();
        for place in order {
            assert_eq!(stitcher.add_chunk(self.chunk(place))?, Delivery::Accepted);
        }
        let audio = self.audio(&stitcher);
        stitcher.finish(audio, &self.sounds(), &[])
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.out().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.out().join(path).exists()
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            let inner = files(&entry.path());
            let name = entry.file_name().into_string().unwrap();
            found.extend(inner.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.push((entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn whatever_order_chunks_arrive_in_the_output_has_the_same_bytes() {
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    let outputs = orders.map(|order| {
        let job = Job::new();
        let published = job.run(order).unwrap();
        (files(&job.out()), published)
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
    assert!(outputs[0].0.iter().all(|(path, _)| !path.ends_with(".part")));
}

#[test]
fn segments_appear_as_chunks_become_contiguous_and_manifests_only_at_the_end() {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    stitcher.add_chunk(job.chunk(1)).unwrap();
    assert!(!job.has("hd/init.mp4"));
    stitcher.add_chunk(job.chunk(0)).unwrap();
    assert_eq!(stitcher.published_chunks(), 2);
    assert!(job.has("hd/seg-00004.m4s") && job.has("mobile/seg-00004.m4s") && !job.has("hd/seg-00005.m4s"));
    assert!(!job.has("hd/index.m3u8") && !job.has("master.m3u8"));
    stitcher.add_chunk(job.chunk(2)).unwrap();
    let audio = job.audio(&stitcher);
    stitcher.finish(audio, &job.sounds(), &[]).unwrap();
    assert!(job.has("master.m3u8") && job.has("manifest.mpd") && job.has("hd/index.m3u8"));
    assert_eq!(fs::read_dir(job.folder.path()).unwrap().count(), 1, "spool files are deleted");
}

#[test]
fn the_multivariant_playlist_tells_what_players_must_know() {
    let job = Job::new();
    let published = job.run([0, 1, 2]).unwrap();
    let master = job.read("master.m3u8");
    let (hd, audio) = (&published.renditions[0], &published.audio[0]);
    let expected = format!(
        "BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"avc1.64001F,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=25,VIDEO-RANGE=SDR,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE",
        hd.bandwidth + audio.bandwidth,
        hd.average_bandwidth + audio.average_bandwidth
    );
    let line = master.lines().find(|line| line.contains("RESOLUTION=640x360")).unwrap();
    let rates =
        |line: &str| -> Vec<u64> { line.split(&['=', ','][..]).filter_map(|part| part.parse().ok()).take(2).collect() };
    for (got, due) in rates(line).iter().zip(rates(&expected)) {
        assert!(got.abs_diff(due) <= 1, "{line} is not {expected}");
    }
    assert_eq!(line.split_once(",CODECS").unwrap().1, expected.split_once(",CODECS").unwrap().1);
    assert!(master.contains("NAME=\"Say 'A'\",AUTOSELECT=YES") || master.contains("NAME=\"Say 'A'\",CHANNELS"));
    assert!(master.contains("URI=\"audio-de-2/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\""), "{master}");
    assert_eq!(master.matches("AUTOSELECT=YES").count(), 1, "one track of a language is chosen by itself");
}

#[test]
fn subtitles_and_captions_are_listed_in_both_manifests_and_cut_as_video_is() {
    let mut job = Job::new();
    let cue = |start_ms, end_ms| ShownCue { start_ms, end_ms, settings: String::new(), text: format!("{start_ms}") };
    let track = |forced, cues| SubtitleTrack {
        language: Some("fre".to_owned()),
        title: None,
        default: false,
        forced,
        hearing_impaired: !forced,
        cues,
    };
    job.layout.subtitles =
        vec![track(false, vec![cue(0, 2001), cue(9999, 10_000)]), track(true, vec![cue(50_000, 60_000)])];
    job.layout.captions = vec![Channel::Cea608(1), Channel::Cea608(3)];
    let published = job.run([0, 1, 2]).unwrap();
    let told: Vec<_> = published.subtitles.iter().map(|it| (it.name.as_str(), it.title.as_str(), it.cues)).collect();
    assert_eq!(told, [("subtitles-fr", "French", 2), ("subtitles-fr-2", "French (forced)", 1)]);
    let holds = |track: &str, place: u32| job.read(&format!("{track}/seg-0000{place}.vtt")).matches("-->").count();
    assert_eq!([1, 2, 3, 4, 5].map(|place| holds("subtitles-fr", place)), [1, 1, 0, 0, 1]);
    assert_eq!([4, 5].map(|place| holds("subtitles-fr-2", place)), [0, 1], "what comes too late stands in the last");
    let playlist = job.read("subtitles-fr/index.m3u8");
    assert!(playlist.contains("#EXT-X-TARGETDURATION:2\n") && !playlist.contains("EXT-X-MAP"), "{playlist}");
    assert_eq!(playlist.matches("#EXTINF:2.000000").count(), 5);
    let master = job.read("master.m3u8");
    let accessible = "NAME=\"French\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,";
    assert!(master.contains(accessible), "{master}");
    assert!(master.contains("NAME=\"French (forced)\",AUTOSELECT=YES,FORCED=YES\n"), "{master}");
    assert_eq!(master.matches("SUBTITLES=\"subtitles\",CLOSED-CAPTIONS=\"captions\"").count(), 2, "{master}");
    assert!(master.contains("NAME=\"CC3\",INSTREAM-ID=\"CC3\""), "{master}");
    let mpd = dash_mpd_core::parse(&job.read("manifest.mpd")).unwrap();
    let sets = &mpd.periods[0].adaptations;
    assert_eq!(sets[0].Accessibility[0].value.as_deref(), Some("CC1=und;CC3=und"));
    let roles: Vec<_> = sets[3..].iter().map(|set| (set.id.as_deref(), set.Role[0].value.as_deref())).collect();
    assert_eq!(roles, [(Some("4"), Some("caption")), (Some("5"), Some("forced-subtitle"))]);
    let ids: std::collections::HashSet<_> = sets.iter().map(|set| set.id.clone()).collect();
    assert_eq!(ids.len(), sets.len());
}

#[test]
fn a_cue_that_is_shown_when_only_sound_is_left_is_in_files_and_fragments() {
    let mut job = Job::new();
    let cue = |start_ms, end_ms| ShownCue { start_ms, end_ms, settings: String::new(), text: format!("at {start_ms}") };
    job.layout.subtitles = vec![SubtitleTrack {
        language: Some("fre".to_owned()),
        title: None,
        default: false,
        forced: false,
        hearing_impaired: false,
        cues: vec![cue(9500, 11_000), cue(13_000, 14_000), cue(50_000, 51_000)],
    }];
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let samples = u64::from(RATE) * 15;
    let write = |track| {
        let mut writer = stitcher.audio_writer(track).unwrap();
        (0..=samples.div_ceil(1024)).for_each(|frame| writer.frame(&[frame as u8; 200]).unwrap());
        writer.finish().unwrap()
    };
    let audio = (0..2).map(write).collect();
    stitcher.finish(audio, &job.sounds().map(|sound| SourceSound { end_s: 16.0, samples, ..sound }), &[]).unwrap();
    let of = |name: &str| fs::read(job.out().join("subtitles-fr").join(name)).unwrap();
    let has = |place: u32, kind: &str, text: &str| {
        of(&format!("seg-{place:05}.{kind}")).windows(text.len()).any(|part| part == text.as_bytes())
    };
    for kind in ["vtt", "m4s"] {
        let places = |text| (1..=8).filter(|place| has(*place, kind, text)).collect::<Vec<u32>>();
        assert_eq!((places("at 9500"), places("at 13000")), (vec![5, 6], vec![7]), "{kind}");
    }
    assert!(has(8, "vtt", "at 50000") && !has(8, "m4s", "at 50000"));
    let extinf = |playlist: &str| job.read(playlist).matches("#EXTINF").count();
    assert_eq!((extinf("subtitles-fr/index.m3u8"), extinf("audio-de/index.m3u8")), (8, 8));
}

#[test]
fn what_can_not_be_had_besides_the_ladder_is_refused_before_anything_is_written() {
    let job = Job::new();
    let key = ContentKey::new([7; 16]);
    let (key_uri, license_url) = ("k".to_owned(), None);
    let seal = Seal { scheme: Scheme::Cbcs, key, key_id: [1; 16], iv: [2; 16], key_uri, license_url };
    let sealed = Extras { seal: Some(seal), ..Extras::default() };
    for extras in [
        Extras { play_early: true, ..sealed.clone() },
        Extras { files: vec![Container::Mp4], ..sealed.clone() },
        Extras { files: vec![Container::WebM], ..Extras::default() },
        Extras { streams: Some("yuv420p".to_owned()), ..sealed },
    ] {
        let refused = Stitcher::new(&job.out(), job.layout.clone(), Arc::clone(&job.index), extras);
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    assert!(!job.out().exists());
}

#[test]
fn what_is_there_can_be_played_early_without_a_track_that_stays_empty() {
    let job = Job::new();
    let extras = Extras { play_early: true, ..Extras::default() };
    let mut stitcher = Stitcher::new(&job.out(), job.layout.clone(), Arc::clone(&job.index), extras).unwrap();
    let (mut writer, empty) = (stitcher.audio_writer(0).unwrap(), stitcher.audio_writer(1).unwrap());
    (0..300).for_each(|frame| writer.frame(&[frame as u8; 200]).unwrap());
    stitcher.add_chunk(job.chunk(0)).unwrap();
    assert!(!stitcher.is_playable());
    empty.leave_as_it_is();
    stitcher.add_chunk(job.chunk(1)).unwrap();
    assert!(stitcher.is_playable());
    let master = job.read("master.m3u8");
    assert!(master.contains("audio-de/index.m3u8") && !master.contains("audio-de-2/"), "{master}");
}

#[test]
fn each_rendition_has_a_playlist_of_its_key_pictures() {
    let job = Job::new();
    job.run([0, 1, 2]).unwrap();
    let text = job.read("hd/iframes.m3u8");
    assert!(
        text.starts_with("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n"),
        "{text}"
    );
    assert!(text.contains("#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-BYTERANGE:"), "{text}");
    assert_eq!(text.matches("#EXTINF:2.000000,\nseg-0000").count(), 5, "{text}");
    let range = text.lines().find_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:")).unwrap();
    let (length, offset) = range.split_once('@').unwrap();
    let (length, offset): (usize, usize) = (length.parse().unwrap(), offset.parse().unwrap());
    let segment = fs::read(job.out().join("hd/seg-00001.m4s")).unwrap();
    assert_eq!(&segment[offset + 4..offset + 8], b"moof");
    assert_eq!(&segment[offset + length - 98..][..5], [0, 0, 0, 94, 0x65], "it ends with the key picture");
    assert_eq!(&segment[offset + length + 4..offset + length + 8], b"moof");
    let master = job.read("master.m3u8");
    let line = master.lines().find(|line| line.contains("hd/iframes.m3u8")).unwrap();
    let rate = 8 * length / 2;
    let expected = format!(
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={rate},AVERAGE-BANDWIDTH={rate},CODECS=\"avc1.64001F\",RESOLUTION=640x360,VIDEO-RANGE=SDR,URI=\"hd/iframes.m3u8\""
    );
    assert_eq!(line, expected);
    assert!(master.find("I-FRAME").unwrap() > master.rfind("#EXT-X-STREAM-INF").unwrap());
}

#[test]
fn pictures_come_in_any_order_and_every_manifest_names_them() {
    let outputs = [[0, 1, 2], [2, 1, 0]].map(|order| {
        let job = Job::with_pictures();
        let published = job.run(order).unwrap();
        assert_eq!(fs::read_dir(job.folder.path()).unwrap().count(), 1, "spool files are deleted");
        assert!(!job.read("manifest.mpd").contains("image"), "there are readers that take every set for media");
        (job.read("master.m3u8"), job.read("manifest-thumbnails.mpd"), files(&job.out()), published.pictures)
    });
    assert_eq!(outputs[0], outputs[1]);
    let (master, mpd, files, pictures) = &outputs[0];
    assert!(master.contains("#EXT-X-IMAGE-STREAM-INF:BANDWIDTH="), "{master}");
    let mpd = dash_mpd_core::parse(mpd).unwrap();
    let images = mpd.periods[0].adaptations.last().unwrap();
    let template = images.SegmentTemplate.as_ref().unwrap();
    assert_eq!((images.contentType.as_deref(), template.duration), (Some("image"), Some(7500.0)));
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains("sprite")).collect();
    assert_eq!(names, ["thumbnails/sprite-001.jpg", "thumbnails/sprite-002.jpg"]);
    let thumbnails = pictures.thumbnails.as_ref().unwrap();
    assert_eq!((thumbnails.count, thumbnails.sheets), (34, 2));
    assert_eq!(pictures.poster.as_ref().unwrap().at_s, 6.0, "the candidate with the most to see");
}

#[test]
fn pictures_of_other_frames_or_none_are_refused() {
    let job = Job::with_pictures();
    let mut less = job.chunk(0);
    less.renditions.pop();
    assert!(matches!(job.stitcher().add_chunk(less), Err(Error::Renditions { .. })));
    let mut other = job.chunk(0);
    other.renditions[2].samples[0].pts += 1;
    assert!(matches!(job.stitcher().add_chunk(other), Err(Error::Pictures { .. })));
    let mut larger = job.chunk(0);
    larger.renditions[2].samples[0].size += 1;
    assert!(matches!(job.stitcher().add_chunk(larger), Err(Error::Pictures { .. })));
}

#[test]
fn a_damaged_sheet_is_found_before_anything_is_published() {
    let job = Job::with_pictures();
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let audio = job.audio(&stitcher);
    fs::write(job.out().join("thumbnails/sprite-001.jpg"), b"no picture").unwrap();
    let error = stitcher.finish(audio, &job.sounds(), &[]).unwrap_err();
    assert!(matches!(error, Error::NotProved(Violation::Unreadable { .. })), "{error}");
    assert!(!job.has("master.m3u8") && !job.has("thumbnails/thumbnails.vtt") && !job.has("poster.jpg"));
}

#[test]
fn media_playlists_share_a_target_and_tell_durations_to_the_microsecond() {
    let job = Job::new();
    job.run([0, 1, 2]).unwrap();
    let (video, audio) = (job.read("mobile/index.m3u8"), job.read("audio-de/index.m3u8"));
    assert!(video.contains("#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2.000000,\nseg-00001.m4s\n"), "{video}");
    assert!(audio.contains("#EXTINF:2.005333,\nseg-00001.m4s\n"), "{audio}");
    for text in [video, audio] {
        assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n"));
        assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("#EXT-X-ENDLIST\n"));
        assert_eq!(text.matches("#EXTINF").count(), 5);
    }
}

#[test]
fn the_mpd_can_be_parsed_and_lists_the_same_segments() {
    let job = Job::new();
    let published = job.run([0, 1, 2]).unwrap();
    let text = job.read("manifest.mpd");
    assert!(text.contains("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\""), "{text}");
    let mpd = dash_mpd_core::parse(&text).unwrap();
    let sets = &mpd.periods[0].adaptations;
    assert_eq!(sets.len(), 3);
    let rows = |set: usize| {
        let template = sets[set].SegmentTemplate.as_ref().unwrap();
        let rows = &template.SegmentTimeline.as_ref().unwrap().segments;
        rows.iter().map(|row| (row.t, row.d, row.r)).collect::<Vec<_>>()
    };
    assert_eq!(rows(0), [(Some(0), 2000, Some(4))]);
    let (first, last) = ((Some(0), 94 * 1024, Some(2)), (None, 93 * 1024, None));
    assert_eq!(rows(1), [first, last, (None, 94 * 1024, None)], "the first segment has 95 frames, one of them priming");
    assert_eq!(sets[0].representations[0].bandwidth, Some(published.renditions[0].bandwidth));
    assert_eq!(sets[1].lang.as_deref(), Some("de"));
    assert_eq!(mpd.mediaPresentationDuration.unwrap().as_millis(), 10_005);
    assert!(mpd.maxSegmentDuration.unwrap().as_millis() >= 2005);
}

#[test]
fn pictures_that_are_kept_have_their_own_colours_beside_those_that_are_made() {
    let mut job = Job::new();
    job.layout.renditions[0].method = Method::Copy;
    let made = Color { primaries: 1, transfer: 13, matrix: 1, full_range: Some(false), chroma_location: 0 };
    (job.layout.video.color, job.layout.video.made_color) = (Color { matrix: 0, full_range: Some(true), ..made }, made);
    job.run([0, 1, 2]).unwrap();
    let told = |path: &str| {
        let bytes = fs::read(job.out().join(path)).unwrap();
        let at = bytes.windows(8).position(|it| it == b"colrnclx").unwrap() + 8;
        bytes[at..at + 7].to_vec()
    };
    assert_eq!(told("hd/init.mp4"), [0, 1, 0, 13, 0, 0, 0x80]);
    assert_eq!(told("mobile/init.mp4"), [0, 1, 0, 13, 0, 1, 0]);
}

#[test]
fn the_report_counts_the_bytes_of_the_segment_files() {
    let job = Job::new();
    let published = job.run([0, 1, 2]).unwrap();
    let on_disk = |folder: &str| -> u64 {
        files(&job.out().join(folder))
            .iter()
            .filter(|(name, _)| name.ends_with(".m4s"))
            .map(|(_, bytes)| bytes.len() as u64)
            .sum()
    };
    for rendition in &published.renditions {
        assert_eq!(rendition.bytes, on_disk(&rendition.name));
        assert_eq!(rendition.bytes, rendition.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>());
        assert_eq!(
            rendition.chunks.iter().map(|chunk| (chunk.start_s, chunk.frames)).collect::<Vec<_>>(),
            [(0.0, 100), (4.0, 100), (8.0, 50)]
        );
    }
    assert_eq!(published.audio[1].bytes, on_disk("audio-de-2"));
    let proof = serde_json::to_value(&published.proof).unwrap();
    assert_eq!(proof["frames_source"], 250);
    assert_eq!(proof["frames_out"], serde_json::json!({ "hd": 250, "mobile": 250 }));
    assert_eq!(proof["ok"], true);
    assert!(proof["av_offset_start_ms"].as_f64().unwrap().abs() < 1e-6);
}

#[test]
fn a_chunk_that_comes_again_changes_nothing() {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    for place in [2, 0] {
        stitcher.add_chunk(job.chunk(place)).unwrap();
    }
    for place in [2, 0] {
        let again = job.chunk(place);
        assert_eq!(stitcher.add_chunk(again.clone()).unwrap(), Delivery::Duplicate);
        assert!(again.renditions[0].spool.exists(), "its spool is still the caller's");
    }
    stitcher.add_chunk(job.chunk(1)).unwrap();
    let audio = job.audio(&stitcher);
    assert!(stitcher.finish(audio, &job.sounds(), &[]).unwrap().proof.ok);
}

#[test]
fn chunks_that_do_not_fit_are_refused() {
    let job = Job::new();
    let mut other = job.chunk(0);
    other.chunk = ChunkIndex(3);
    assert!(matches!(job.stitcher().add_chunk(other), Err(Error::UnknownChunk(_))));
    let mut less = job.chunk(0);
    less.renditions.pop();
    assert!(matches!(job.stitcher().add_chunk(less), Err(Error::Renditions { .. })));
    let mut stitcher = job.stitcher();
    stitcher.add_chunk(job.chunk(0)).unwrap();
    let mut odd = job.chunk(1);
    odd.renditions[1].config[3] = 0x20;
    assert!(matches!(stitcher.add_chunk(odd), Err(Error::Config { .. })));
    let mut short = job.chunk(0);
    fs::write(&short.renditions[0].spool, [0; 100]).unwrap();
    short.renditions[0].encoder.clear();
    let refused = job.stitcher().add_chunk(short);
    assert!(matches!(&refused, Err(error @ Error::Io { .. }) if error.is_retryable()), "{refused:?}");
}

/// Runs a job to its last step, damages what it wrote, and expects to see no manifest.
fn refused_after(damage: impl FnOnce(&Path)) -> Error {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let audio = job.audio(&stitcher);
    damage(&job.out());
    let error = stitcher.finish(audio, &job.sounds(), &[]).unwrap_err();
    let named = files(&job.out()).into_iter().filter(|(path, _)| path.contains("m3u8") || path.contains("mpd"));
    assert_eq!(named.count(), 0);
    error
}

fn copy(out: &Path, from: &str, to: &str) {
    fs::copy(out.join(from), out.join(to)).unwrap();
}

#[test]
fn damage_on_disk_is_found_before_anything_is_published() {
    let damages: [fn(&Path); 6] = [
        |out| fs::remove_file(out.join("hd/seg-00002.m4s")).unwrap(),
        |out| fs::write(out.join("mobile/seg-00003.m4s"), [0; 64]).unwrap(),
        |out| copy(out, "hd/seg-00002.m4s", "hd/seg-00003.m4s"),
        |out| {
            let path = out.join("hd/seg-00001.m4s");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        },
        |out| fs::remove_file(out.join("audio-de-2/init.mp4")).unwrap(),
        |out| copy(out, "hd/init.mp4", "audio-de/init.mp4"),
    ];
    for damage in damages {
        let error = refused_after(damage);
        assert!(matches!(error, Error::NotProved(_)), "{error}");
    }
}

#[test]
fn an_output_that_is_not_wanted_any_more_is_given_up_at_any_moment_and_named_by_nothing() {
    let finished_unless_at = |moment: usize| {
        let (job, asked) = (Job::new(), Cell::new(0));
        let extras = Extras { files: vec![Container::Mp4], ..Extras::default() };
        let mut stitcher = Stitcher::new(&job.out(), job.layout.clone(), Arc::clone(&job.index), extras).unwrap();
        job.deliver(&mut stitcher);
        let audio = job.audio(&stitcher);
        let is_cancelled = || asked.replace(asked.get() + 1) >= moment;
        let finished = stitcher.finish_unless(&is_cancelled, audio, &job.sounds(), &[]);
        let paths = files(&job.out()).into_iter().map(|(path, _)| path);
        let named = |path: &String| ["m3u8", "mpd", "video.mp4"].iter().any(|name| path.contains(name));
        (finished, paths.filter(named).count(), asked.get())
    };
    let (finished, _, moments) = finished_unless_at(usize::MAX);
    assert!(finished.is_ok() && moments > 40, "{moments}");
    for moment in (0..moments).step_by(moments / 20) {
        let (finished, named, _) = finished_unless_at(moment);
        assert!(matches!(finished, Err(Error::Cancelled)), "{moment}: {finished:?}");
        assert_eq!(named, 0, "{moment}");
    }
}

#[test]
fn nothing_is_published_before_everything_has_arrived() {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    stitcher.add_chunk(job.chunk(0)).unwrap();
    let audio = job.audio(&stitcher);
    let error = stitcher.finish(audio, &job.sounds(), &[]).unwrap_err();
    assert!(matches!(error, Error::MissingChunk(ChunkIndex(1))), "{error}");
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let mut audio = job.audio(&stitcher);
    audio.pop();
    assert!(matches!(stitcher.finish(audio, &job.sounds(), &[]), Err(Error::MissingAudio { .. })));
}

#[test]
fn a_track_without_samples_is_left_out() {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let mut audio = job.audio(&stitcher);
    audio[1] = stitcher.audio_writer(1).unwrap().finish().unwrap();
    let mut sounds = job.sounds();
    sounds[1].samples = 0;
    let published = stitcher.finish(audio, &sounds, &[]).unwrap();
    assert_eq!(published.audio.len(), 1);
    let master = job.read("master.m3u8");
    assert_eq!((master.matches("EXT-X-MEDIA").count(), master.matches("DEFAULT=YES").count()), (1, 1));
}

#[test]
fn an_output_that_must_survive_a_power_failure_has_the_same_bytes() {
    let (buffered, mut synced) = (Job::new(), Job::new());
    synced.layout.durability = Durability::Synced;
    buffered.run([0, 1, 2]).unwrap();
    synced.run([2, 0, 1]).unwrap();
    assert_eq!(files(&buffered.out()), files(&synced.out()));
}

#[test]
fn a_picture_that_starts_after_the_sound_keeps_its_distance() {
    let mut job = Job::new();
    job.layout.video.origin -= 3500;
    let mut sounds = job.sounds();
    for sound in &mut sounds {
        sound.start_s -= 3.5;
        sound.end_s -= 3.5;
    }
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let audio = job.audio(&stitcher);
    let published = stitcher.finish(audio, &sounds, &[]).unwrap();
    assert!(published.proof.ok && published.proof.av_offset_start_ms.unwrap().abs() < 1e-6);
    let mpd = dash_mpd_core::parse(&job.read("manifest.mpd")).unwrap();
    let template = mpd.periods[0].adaptations[0].SegmentTemplate.as_ref().unwrap();
    assert_eq!(template.SegmentTimeline.as_ref().unwrap().segments[0].t, Some(3500));
}

#[test]
fn sound_that_would_play_too_late_is_not_published() {
    let job = Job::new();
    let mut stitcher = job.stitcher();
    job.deliver(&mut stitcher);
    let audio = job.audio(&stitcher);
    let mut sounds = job.sounds();
    sounds[1].start_s -= 0.02;
    let error = stitcher.finish(audio, &sounds, &[]).unwrap_err();
    assert!(matches!(error, Error::NotProved(Violation::Offset { .. })), "{error}");
    assert!(!job.has("master.m3u8"));
}

#[test]
fn a_time_base_of_one_tick_a_frame_is_refined_for_reordered_pictures() {
    let index = support::index(&[0, 1, 2, 3, 4]);
    let plan = support::plan(&[0], 5, 1);
    let layout = support::layout(vec![support::rendition("hd", 64, 64)], Vec::new(), plan.clone(), (1, 25), 0);
    let clock = layout.clock(&index);
    assert_eq!(clock.timescale, 25 * 32);
    let order = [0, 4, 2, 1, 3].map(|pts| Sample { pts, size: 1, sync: pts == 0 });
    let segments = cut::cut(&order, &plan.chunks[0], &plan, &index, clock, 0).unwrap();
    assert_eq!(segments[0].ticks, 5 * 32);
    let fine = support::layout(vec![support::rendition("hd", 64, 64)], Vec::new(), plan, (1, 90_000), 0);
    assert_eq!(fine.clock(&support::index(&[0, 3600, 7200, 10_800, 14_400])).timescale, 90_000);
}
