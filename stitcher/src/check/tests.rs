//! The rules against a small stream that keeps all of them, and against copies of it that are damaged in one place each:
//! the rule that names the damage has to find it, and no other may be mistaken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Cursor;

use vtp_engine::ladder::{AudioCodec, VideoCodec};
use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::units::{Ratio, Size};

use super::files::Files;
use super::load::load_from;
use super::stream::{Absent, Found};
use super::*;
use crate::boxes::codec::VideoConfig;
use crate::boxes::{AudioInit, FragmentSamples, VideoInit, audio_init, fragment_head, video_init};
use crate::cut::TimedSample;

const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    type File = Cursor<Vec<u8>>;

    fn open(&self, path: &str) -> Found<(Self::File, u64)> {
        let bytes = self.0.get(path).ok_or(Absent::Missing)?.clone();
        let length = bytes.len() as u64;
        Ok((Cursor::new(bytes), length))
    }
}

impl Memory {
    fn put(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name.to_owned(), bytes.into());
    }

    /// Replaces text in a file, everywhere; it has to be there.
    fn replace(&mut self, name: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.0[name].clone()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.put(name, text.replace(from, to));
    }

    fn report(&self) -> Report {
        check(&load_from(self, Some("master.m3u8"), Some("manifest.mpd")).unwrap())
    }

    /// The rules that are broken.
    fn broken(&self) -> Vec<&'static str> {
        self.report().rules.iter().filter(|rule| rule.verdict.is_fail()).map(|rule| rule.id).collect()
    }
}

/// A picture of `size` bytes in one NAL unit.
fn picture(size: u32, key: bool) -> Vec<u8> {
    let mut bytes = (size - 4).to_be_bytes().to_vec();
    bytes.push(if key { 0x65 } else { 0x41 });
    bytes.resize(size as usize, 7);
    bytes
}

/// Five pictures a second in a timescale of 1000, a key picture every two seconds.
fn video_segment(number: u32, size: u32, pictures: u32) -> Vec<u8> {
    video_segment_of(number, size, pictures, 10)
}

fn video_segment_of(number: u32, size: u32, pictures: u32, every: u32) -> Vec<u8> {
    let is_key = |n: u32| n.is_multiple_of(every);
    let sample = |n| TimedSample {
        size: if is_key(n) { 2 * size } else { size },
        duration: 200,
        composition: 0,
        sync: is_key(n),
    };
    let samples: Vec<_> = (0..pictures).map(sample).collect();
    let head =
        fragment_head(number + 1, u64::from(number) * 6000, FragmentSamples::Video { samples: &samples, delay: 0 })
            .unwrap();
    let bodies = (0..pictures).flat_map(|n| picture(samples[n as usize].size, is_key(n)));
    head.into_iter().chain(bodies).collect()
}

fn video_head(size: Size) -> Vec<u8> {
    let color = Color { primaries: 1, transfer: 1, matrix: 1, full_range: None, chroma_location: 0 };
    let config = VideoConfig::new(VideoCodec::H264, &RECORD).unwrap();
    video_init(&VideoInit {
        timescale: 1000,
        size,
        sample_aspect: Ratio::ONE,
        color,
        rotation: Rotation::default(),
        hdr: HdrMetadata::default(),
        config,
        delay: 0,
    })
    .unwrap()
}

fn audio_segment(number: u32, start: u64, frames: usize) -> Vec<u8> {
    let sizes = vec![20; frames];
    let head =
        fragment_head(number + 1, start, FragmentSamples::Audio { sizes: &sizes, duration: 1024, preroll: 0 }).unwrap();
    [head, vec![9; 20 * frames]].concat()
}

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n";

fn media(seconds: [f64; 2], names: [&str; 2], map: &str) -> String {
    let entry = |n: usize| format!("#EXTINF:{:.6},\n{}\n", seconds[n], names[n]);
    format!("{HEAD}{map}{}{}#EXT-X-ENDLIST\n", entry(0), entry(1))
}

const MAP: &str = "#EXT-X-MAP:URI=\"init.mp4\"\n";
const HEARD: [f64; 2] = [5.994_667, 5.994_666];

/// Two sizes of video, sound, subtitles and I-frames: twelve seconds in segments of six.
pub(crate) fn good() -> Memory {
    let mut files = Memory::default();
    let mut peaks = HashMap::new();
    let mut add = |files: &mut Memory, folder: &'static str, segments: [Vec<u8>; 2], seconds: [f64; 2]| {
        let rate = |n: usize| 8.0 * segments[n].len() as f64 / seconds[n];
        peaks.insert(
            folder,
            (rate(0).max(rate(1)), (rate(0) * seconds[0] + rate(1) * seconds[1]) / (seconds[0] + seconds[1])),
        );
        for (n, segment) in segments.into_iter().enumerate() {
            files.put(&format!("{folder}/{}.m4s", n + 1), segment);
        }
        files.put(&format!("{folder}/index.m3u8"), media(seconds, ["1.m4s", "2.m4s"], MAP));
    };
    for (folder, size, scale) in [("a", 400, 2), ("b", 100, 1)] {
        files.put(&format!("{folder}/init.mp4"), video_head(Size { width: 64 * scale, height: 36 * scale }));
        add(&mut files, folder, [video_segment(0, size, 30), video_segment(1, size, 30)], [6.0, 6.0]);
    }
    let config = vec![0x11, 0x90];
    let sound = AudioInit {
        sample_rate: 48_000,
        channels: 2,
        priming: 1024,
        language: "eng".to_owned(),
        codec: AudioCodec::Aac,
        config,
    };
    files.put("s/init.mp4", audio_init(&sound).unwrap());
    add(&mut files, "s", [audio_segment(0, 0, 282), audio_segment(1, 282 * 1024, 281)], HEARD);
    for (n, cue) in [(1, "00:01.000 --> 00:02.000"), (2, "00:07.000 --> 00:08.000")] {
        files.put(&format!("t/{n}.vtt"), format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n{cue}\nHi\n"));
    }
    files.put("t/index.m3u8", media([6.0, 6.0], ["1.vtt", "2.vtt"], ""));
    frames(&mut files);
    manifests(&mut files, &peaks);
    files
}

/// The I-frames of `a`: a part of a segment each, with its `moof` and its first picture.
fn frames(files: &mut Memory) {
    let mut text = format!("{HEAD}#EXT-X-I-FRAMES-ONLY\n{}", MAP.replace("init.mp4", "a/init.mp4"));
    let segment = files.0["a/1.m4s"].clone();
    let body = segment.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
    for _ in 0..12 {
        text += &format!("#EXTINF:1.0,\n#EXT-X-BYTERANGE:{}@0\na/1.m4s\n", body + 800);
    }
    files.put("frames.m3u8", text + "#EXT-X-ENDLIST\n");
}

fn manifests(files: &mut Memory, peaks: &HashMap<&str, (f64, f64)>) {
    let variant = |folder: &str, size: &str| {
        let (peak, average) = (peaks[folder].0 + peaks["s"].0, peaks[folder].1 + peaks["s"].1);
        format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={:.0},AVERAGE-BANDWIDTH={average:.0},CODECS=\"avc1.64001F,mp4a.40.2\",\
             RESOLUTION={size},FRAME-RATE=5.000,VIDEO-RANGE=SDR,AUDIO=\"s\",SUBTITLES=\"t\"\n{folder}/index.m3u8\n",
            peak * 1.03
        )
    };
    let master = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",\
         URI=\"s/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"English\",LANGUAGE=\"en\",URI=\"t/index.m3u8\"\n{}{}\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9000,CODECS=\"avc1.64001F\",RESOLUTION=128x72,URI=\"frames.m3u8\"\n",
        variant("a", "128x72"),
        variant("b", "64x36"),
    );
    files.put("master.m3u8", master);
    let template = |scale: u32, rows: &str| {
        format!(
            "<SegmentTemplate timescale=\"{scale}\" initialization=\"$RepresentationID$/init.mp4\" startNumber=\"1\" \
             media=\"$RepresentationID$/$Number$.m4s\"><SegmentTimeline>{rows}</SegmentTimeline></SegmentTemplate>"
        )
    };
    let video = |id: &str, size: (u32, u32)| {
        let ((width, height), rate) = (size, peaks[id].0);
        format!(
            "<Representation id=\"{id}\" mimeType=\"video/mp4\" codecs=\"avc1.64001F\" bandwidth=\"{rate:.0}\" \
             width=\"{width}\" height=\"{height}\" frameRate=\"5\"/>"
        )
    };
    let mpd = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" profiles=\"urn:x\" \
         mediaPresentationDuration=\"PT12S\" minBufferTime=\"PT6S\"><Period id=\"1\" start=\"PT0S\">\
         <AdaptationSet contentType=\"video\" segmentAlignment=\"true\" startWithSAP=\"1\">{}{}{}</AdaptationSet>\
         <AdaptationSet contentType=\"audio\" segmentAlignment=\"true\" startWithSAP=\"1\">{}<Representation id=\"s\" \
         mimeType=\"audio/mp4\" codecs=\"mp4a.40.2\" bandwidth=\"{:.0}\" audioSamplingRate=\"48000\"/></AdaptationSet>\
         </Period></MPD>",
        template(1000, "<S t=\"0\" d=\"6000\" r=\"1\"/>"),
        video("a", (128, 72)),
        video("b", (64, 36)),
        template(48_000, "<S t=\"0\" d=\"287744\" r=\"1\"/>"),
        peaks["s"].0 * 1.05,
    );
    files.put("manifest.mpd", mpd);
}

#[test]
fn a_good_stream_keeps_every_rule() {
    let report = good().report();
    let broken: Vec<_> = report.rules.iter().filter(|rule| rule.verdict.is_fail()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let idle: Vec<_> = report.rules.iter().filter(|rule| rule.verdict != Verdict::Pass).map(|rule| rule.id).collect();
    assert_eq!(idle, ["keys", "ts-counters", "mpd-nominal", "gzip", "mime-types", "tls"]);
}

#[test]
fn programs_read_of_every_rule_what_became_of_it_why_and_where() {
    let of = |verdict| {
        let judged = Judged { id: "i", source: "s", area: Area::Files, level: Level::Must, text: "t", verdict };
        serde_json::to_string(&judged).unwrap()
    };
    let told = |end: &str| format!(r#"{{"id":"i","source":"s","area":"files","level":"must","text":"t",{end}}}"#);
    let failures = vec![Failure { place: "p".to_owned(), what: "w".to_owned() }];
    assert_eq!(
        of(Verdict::Fail { failures, more: 2 }),
        told(r#""verdict":"fail","reason":null,"failures":[{"place":"p","what":"w"}],"failures_left_out":2"#)
    );
    for (verdict, name, reason) in [
        (Verdict::Pass, "pass", "null"),
        (Verdict::NotApplicable("a"), "not_applicable", r#""a""#),
        (Verdict::NotChecked("b"), "not_checked", r#""b""#),
    ] {
        let end = format!(r#""verdict":"{name}","reason":{reason},"failures":[],"failures_left_out":0"#);
        assert_eq!(of(verdict), told(&end));
    }
}

/// What is done to the stream, and the rules that it breaks.
type Damage = (fn(&mut Memory), &'static [&'static str]);

const MASTER: &str = "master.m3u8";
const MPD: &str = "manifest.mpd";

fn without(text: &mut Memory, name: &str, line: &str) {
    text.replace(name, &format!("{line}\n"), "");
}

const DAMAGES: &[Damage] = &[
    // Files.
    (|s| drop(s.0.remove("b/2.m4s")), &["files-present"]),
    (|s| drop(s.0.remove("b/index.m3u8")), &["files-present", "shared-media"]),
    (|s| s.put("s/1.m4s", ""), &["files-present"]),
    (|s| s.0.get_mut("b/2.m4s").unwrap().truncate(900), &["files-whole"]),
    (|s| s.put("b/1.m4s", "nothing of the kind"), &["files-whole"]),
    (|s| s.0.get_mut("b/init.mp4").unwrap().truncate(200), &["files-whole"]),
    (
        |s| {
            swap(s, "b/init.mp4", b"cmfc", b"none");
            swap(s, "b/init.mp4", b"cmf2", b"none");
        },
        &["cmaf-brand"],
    ),
    (|s| s.replace("b/index.m3u8", "2.m4s", "other.m4s"), &["files-present", "shared-media"]),
    // Playlists.
    (|s| s.replace("b/index.m3u8", "#EXTM3U", "\u{FEFF}#EXTM3U"), &["utf8"]),
    (|s| s.replace("b/index.m3u8", "#EXTM3U", "#EXTM3U8"), &["extm3u"]),
    (|s| s.replace(MASTER, "FRAME-RATE=5.000", "FRAME-RATE=5.000,FRAME-RATE=5.000"), &["attributes"]),
    (
        |s| s.replace(MASTER, "NAME=\"English\",L", "NAME=\"English\"L"),
        &[
            "attributes",
            "required-attributes",
            "language",
            "channels",
            "shared-media",
            "codecs",
            "bandwidth",
            "average-bandwidth",
        ],
    ),
    (|s| s.replace("b/index.m3u8", "#EXT-X-VERSION:7", "#EXT-X-VERSION:7\n#EXT-X-VERSION:7"), &["tags-once"]),
    (|s| s.replace(MASTER, "#EXT-X-VERSION:7", "#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6"), &["tags-apart"]),
    (|s| s.replace("b/index.m3u8", "1.m4s\n", "1.m4s\n#EXT-X-MEDIA-SEQUENCE:0\n"), &["tags-order"]),
    (|s| s.replace("b/index.m3u8", "#EXT-X-VERSION:7", "#EXT-X-VERSION:3"), &["version"]),
    (|s| s.replace("t/index.m3u8", "#EXTINF:6.000000,\n1.vtt", "1.vtt"), &["extinf", "same-boundaries"]),
    (
        |s| s.replace("b/index.m3u8", "#EXTINF:6.000000,\n2", "#EXTINF:9.000000,\n2"),
        &["target-duration", "extinf-sums", "same-duration"],
    ),
    (|s| without(s, "b/index.m3u8", "#EXT-X-TARGETDURATION:6"), &["target-duration"]),
    (
        |s| {
            s.replace(
                "t/index.m3u8",
                MAP_PLACE,
                "#EXT-X-KEY:METHOD=ROT13\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:6.000000,\n1.vtt",
            )
        },
        &["keys"],
    ),
    (|s| s.replace("t/index.m3u8", "TARGETDURATION:6", "TARGETDURATION:10"), &["target-6s"]),
    (|s| s.replace("t/index.m3u8", "6.000000", "3.000000"), &["nominal-6s", "same-boundaries"]),
    (|s| without(s, "b/index.m3u8", "#EXT-X-ENDLIST"), &["vod"]),
    (|s| without(s, "b/index.m3u8", "#EXT-X-PLAYLIST-TYPE:VOD"), &["vod"]),
    (|s| without(s, "b/index.m3u8", "#EXT-X-MAP:URI=\"init.mp4\""), &["map"]),
    // The multivariant playlist.
    (|s| s.replace(MASTER, "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO"), &["group-members"]),
    (|s| s.replace(MASTER, "AUDIO=\"s\"", "AUDIO=\"none\""), &["groups", "codecs", "bandwidth", "average-bandwidth"]),
    (|s| s.replace(MASTER, "TYPE=SUBTITLES,GROUP-ID=\"t\",", "TYPE=SUBTITLES,"), &["required-attributes", "groups"]),
    (|s| s.replace(MASTER, "LANGUAGE=\"en\",DEFAULT", "DEFAULT"), &["language"]),
    (
        |s| {
            let captions = "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"CC1\",INSTREAM-ID=\"CC1\"";
            s.replace(MASTER, "#EXT-X-VERSION:7", &format!("#EXT-X-VERSION:7\n{captions}"));
        },
        &["language"],
    ),
    (|s| s.replace(MASTER, "avc1.64001F,mp4a", "avc1.640028,mp4a"), &["codecs"]),
    (|s| s.replace(MASTER, "avc1.64001F,mp4a.40.2", "avc1.64001F"), &["codecs"]),
    (|s| s.replace(MASTER, "CODECS=\"avc1.64001F\",RES", "RES"), &["codecs"]),
    (|s| s.replace(MASTER, "RESOLUTION=64x36", "RESOLUTION=128x72"), &["resolution"]),
    (|s| s.replace(MASTER, "RESOLUTION=64x36,", ""), &["resolution"]),
    (|s| s.replace(MASTER, "RESOLUTION=64x36", "RESOLUTION=64x48"), &["resolution", "aspect"]),
    (
        |s| s.replace(MASTER, "b/index.m3u8", "a/index.m3u8"),
        &["resolution", "bandwidth", "bandwidth-bound", "average-bandwidth", "shared-media"],
    ),
    (|s| without(s, MASTER, "#EXT-X-INDEPENDENT-SEGMENTS"), &["independent-multivariant", "independent-media"]),
    (|s| s.replace(MASTER, "FRAME-RATE=5.000,", ""), &["frame-rate"]),
    (|s| s.replace(MASTER, "FRAME-RATE=5.000", "FRAME-RATE=25.000"), &["frame-rate"]),
    (|s| s.replace(MASTER, "VIDEO-RANGE=SDR", "VIDEO-RANGE=PQ"), &["video-range"]),
    (|s| s.replace(MASTER, "BANDWIDTH=", "BANDWIDTH=1"), &["bandwidth", "average-bandwidth"]),
    (|s| s.replace(MASTER, "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1"), &["average-bandwidth"]),
    (|s| s.replace(MASTER, "AVERAGE-BANDWIDTH=", "MEAN="), &["average-bandwidth-told"]),
    (|s| s.replace(MASTER, "CHANNELS=\"2\"", "CHANNELS=\"6\""), &["channels"]),
    (|s| drop_second_variant(s), &["variants", "shared-media"]),
    (|s| s.replace(MASTER, "a/index.m3u8", "c/index.m3u8"), &["files-present", "shared-media"]),
    (
        |s| {
            s.put("b/2.m4s", video_segment(1, 1000, 30));
            s.replace("b/index.m3u8", "#EXTINF:6.000000,\n2", "#EXTINF:3.000000,\n2");
        },
        &[
            "peak-to-average",
            "bandwidth",
            "bandwidth-bound",
            "average-bandwidth",
            "nominal-6s",
            "extinf-sums",
            "same-duration",
            "mpd-bandwidth",
        ],
    ),
    (|s| turn_variants(s), &["default-variant"]),
    // Video and sound.
    (|s| s.put("b/1.m4s", video_segment_of(0, 100, 30, 30)), &["key-frames"]),
    (
        |s| (0..2).for_each(|_| swap(s, "b/init.mp4", &1000_u32.to_be_bytes(), &13_000_u32.to_be_bytes())),
        &["at-most-60fps", "frame-rate", "extinf-sums", "mpd-timeline", "mpd-media", "mpd-bandwidth", "mpd-aligned"],
    ),
    (|s| swap(s, "b/init.mp4", b"avc1", b"avc3"), &["sample-entry", "codecs", "mpd-codecs"]),
    (|s| swap(s, "b/init.mp4", b"avc1", b"mp4v"), &["video-container", "codecs", "mpd-codecs"]),
    (
        |s| swap(s, "b/init.mp4", &[1, 0x64, 0, 0x1F, 0xFF], &[1, 0x64, 0, 0x3C, 0xFF]),
        &["video-profile", "codecs", "mpd-codecs"],
    ),
    (|s| swap(s, "b/1.m4s", &[0, 0, 0, 196, 0x65], &[0, 0, 0, 196, 0x41]), &["opens-with-key", "mpd-sap"]),
    (|s| swap(s, "s/init.mp4", &[0x11, 0x90], &[0xF9, 0x40]), &["stereo-aac", "codecs", "mpd-codecs"]),
    // Subtitles and I-frames.
    (|s| s.replace("t/1.vtt", "X-TIMESTAMP-MAP", "X-MAP"), &["timestamp-map"]),
    (|s| s.replace("t/1.vtt", "00:02.000", "00:00.500"), &["webvtt"]),
    (|s| s.put("t/1.vtt", "<tt xmlns=\"http://www.w3.org/ns/ttml\"/>"), &["subtitle-format"]),
    (
        |s| {
            let line = s.0[MASTER].clone();
            let text = String::from_utf8(line).unwrap();
            let at = text.find("#EXT-X-I-FRAME-STREAM-INF").unwrap();
            s.put(MASTER, &text[..at])
        },
        &["iframe-playlists"],
    ),
    (|s| without(s, "frames.m3u8", "#EXT-X-I-FRAMES-ONLY"), &["iframes-only", "files-whole", "iframe-ranges"]),
    (|s| s.replace("frames.m3u8", "#EXTINF:1.0", "#EXTINF:2.0"), &["iframe-density"]),
    (|s| s.replace("frames.m3u8", "@0\n", "@8\n"), &["iframe-ranges", "files-whole"]),
    // Continuity.
    (
        |s| swap(s, "b/2.m4s", &6000_u64.to_be_bytes(), &6500_u64.to_be_bytes()),
        &["key-frames", "continuous", "decode-times", "mpd-timeline", "mpd-continuous", "mpd-aligned"],
    ),
    (
        |s| swap(s, "b/2.m4s", &6000_u64.to_be_bytes(), &6001_u64.to_be_bytes()),
        &["decode-times", "mpd-continuous", "mpd-aligned"],
    ),
    (
        |s| s.put("b/2.m4s", video_segment(1, 100, 40)),
        &["bandwidth-bound", "segment-length", "extinf-sums", "mpd-timeline"],
    ),
    (|s| s.replace("b/index.m3u8", "TARGETDURATION:6", "TARGETDURATION:7"), &["target-6s", "same-target"]),
    (
        |s| s.replace("b/index.m3u8", "#EXTINF:6.000000,\n2", "#EXT-X-DISCONTINUITY\n#EXTINF:6.000000,\n2"),
        &["discontinuity-places"],
    ),
    (
        |s| {
            s.put("b/other.mp4", s.0["s/init.mp4"].clone());
            s.replace("b/index.m3u8", "#EXTINF:6.000000,\n2", "#EXT-X-MAP:URI=\"other.mp4\"\n#EXTINF:6.000000,\n2");
        },
        &["discontinuity-marked", "extinf-sums"],
    ),
    // DASH.
    (|s| s.replace(MPD, "<Period id", "<Perio id"), &["mpd"]),
    (|s| s.put(MPD, "<MPD"), &["mpd"]),
    (|s| s.replace(MPD, "media=\"$RepresentationID$/$Number$.m4s\"", "media=\"$What$\""), &["mpd"]),
    (|s| s.replace(MPD, " minBufferTime=\"PT6S\"", ""), &["mpd-attributes"]),
    (|s| s.replace(MPD, "\"PT12S\"", "\"PT13S\""), &["mpd-duration"]),
    (
        |s| s.replace(MPD, "timescale=\"1000\"", "timescale=\"1000\" presentationTimeOffset=\"12000\""),
        &["mpd-period-start"],
    ),
    (|s| s.replace(MPD, "d=\"6000\" r=\"1\"", "d=\"5800\" r=\"1\""), &["mpd-timeline"]),
    (|s| s.replace(MPD, "<SegmentTimeline><S t=\"0\" d=\"6000\" r=\"1\"/></SegmentTimeline>", "<X/>"), &["mpd"]),
    (
        |s| {
            s.replace(MPD, "<SegmentTimeline><S t=\"0\" d=\"6000\" r=\"1\"/></SegmentTimeline>", "");
            s.replace(MPD, "timescale=\"1000\"", "timescale=\"1000\" duration=\"2500\"");
        },
        &["files-present", "shared-media", "mpd-nominal"],
    ),
    (|s| s.replace(MPD, "codecs=\"avc1.64001F\"", "codecs=\"avc1.640028\""), &["mpd-codecs"]),
    (|s| s.replace(MPD, "width=\"64\"", "width=\"66\""), &["mpd-media"]),
    (|s| s.replace(MPD, "frameRate=\"5\"", "frameRate=\"30000/1001\""), &["mpd-media"]),
    (|s| s.replace(MPD, "frameRate=\"5\"", "frameRate=\"2753910000/550782000\""), &["mpd-media"]),
    (|s| s.replace(MPD, "bandwidth=\"", "bandwidth=\"1\" old=\""), &["mpd-bandwidth"]),
];

const MAP_PLACE: &str = "#EXTINF:6.000000,\n1.vtt";

/// The text of the multivariant playlist up to its variants, both of them, and what follows.
fn variants(files: &Memory) -> [String; 4] {
    let text = String::from_utf8(files.0[MASTER].clone()).unwrap();
    let at = |what: &str| text.find(what).unwrap();
    let first = at("#EXT-X-STREAM-INF");
    let second = first + 1 + text[first + 1..].find("#EXT-X-STREAM-INF").unwrap();
    let end = at("#EXT-X-I-FRAME");
    [&text[..first], &text[first..second], &text[second..end], &text[end..]].map(str::to_owned)
}

fn drop_second_variant(files: &mut Memory) {
    let [head, first, _, tail] = variants(files);
    files.put(MASTER, [head, first, tail].concat());
}

fn turn_variants(files: &mut Memory) {
    let [head, first, second, tail] = variants(files);
    files.put(MASTER, [head, second, first, tail].concat());
}

/// Replaces the first such bytes by as many others.
fn swap(files: &mut Memory, name: &str, from: &[u8], to: &[u8]) {
    let bytes = files.0.get_mut(name).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap_or_else(|| panic!("{from:?} is not in {name}"));
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn every_damage_is_found_by_the_rules_that_name_it_and_no_others() {
    let mut wrong = Vec::new();
    for (place, (damage, expected)) in DAMAGES.iter().enumerate() {
        let mut files = good();
        damage(&mut files);
        let (found, due) = (files.broken(), expected.iter().copied().collect::<BTreeSet<_>>());
        if found.iter().copied().collect::<BTreeSet<_>>() != due {
            wrong.push(format!("damage {place}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_that_files_can_break_is_broken_by_some_damage() {
    let broken: BTreeSet<&str> = DAMAGES.iter().flat_map(|(_, expected)| expected.iter().copied()).collect();
    let never: Vec<&str> = rules().map(|rule| rule.id).filter(|id| !broken.contains(id)).collect();
    // Those of a server, and those that have tests of their own.
    assert_eq!(never, ["one-audio", "ts-counters", "gzip", "mime-types", "tls"]);
}

/// A transport stream with one picture and two streams of sound, whose counters start at `counter`.
pub(crate) fn transport_segment(counter: u8, seconds: u64) -> Vec<u8> {
    let packet = |pid: u16, counter: u8, body: &[u8]| {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![0x47, 0x40 | high, low, 0x10 | counter];
        packet.extend_from_slice(body);
        packet.resize(188, 0xFF);
        packet
    };
    let pat = [0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 1, 2, 3, 4];
    let pmt = [
        &[0, 2, 0xB0, 28, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0][..],
        &[0x1B, 0xE1, 0, 0xF0, 0, 0x0F, 0xE1, 1, 0xF0, 0, 0x0F, 0xE1, 2, 0xF0, 0, 1, 2, 3, 4],
    ];
    let picture = |seconds: u64, kind: u8| {
        let time = 90_000 * seconds;
        let bits = [
            0x21 | (time >> 29 & 14),
            time >> 22 & 255,
            1 | (time >> 14 & 254),
            time >> 7 & 255,
            1 | (time << 1 & 254),
        ];
        let mut pes = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5];
        pes.extend(bits.map(|bits| bits as u8));
        pes.extend([0, 0, 1, 0x67, 0x64, 0, 0x1F, 9, 0, 0, 1, kind, 9]);
        pes
    };
    [
        packet(0, counter, &pat),
        packet(0x1000, counter, &pmt.concat()),
        packet(0x100, counter, &picture(seconds, 0x65)),
        packet(0x100, (counter + 1) & 15, &picture(seconds + 1, 0x41)),
    ]
    .concat()
}

#[test]
fn transport_streams_are_checked_for_lost_packets_and_a_second_sound() {
    let mut files = Memory::default();
    files.put("1.ts", transport_segment(0, 0));
    files.put("2.ts", transport_segment(1, 2));
    let text = format!("{HEAD}#EXTINF:2.0,\n1.ts\n#EXTINF:2.0,\n2.ts\n#EXT-X-ENDLIST\n");
    files.put("index.m3u8", text);
    let broken = |files: &Memory| {
        let report = check(&load_from(files, Some("index.m3u8"), None).unwrap());
        let failed = report.rules.into_iter().filter(|rule| rule.verdict.is_fail());
        failed.map(|rule| (rule.id, rule.verdict.failures()[0].what.clone())).collect::<BTreeMap<_, _>>()
    };
    let found = broken(&files);
    assert_eq!(found["one-audio"], "there are 2 streams of audio");
    // The counter of the pictures goes on with 2 and not with 1.
    assert_eq!(found["ts-counters"], "PID 256 goes on with 1 after 1");
    assert!(!found.contains_key("opens-with-key") && !found.contains_key("continuous"), "{found:?}");
    files.put("2.ts", transport_segment(1, 5));
    let found = broken(&files);
    assert_eq!(found["continuous"], "a gap of 3.000 s in video before it, a frame is 1.000 s");
    // How long the last picture is shown only the next segment tells.
    assert!(found["extinf-sums"].contains("up to 3.000 s off"), "{found:?}");
    files.replace("index.m3u8", "#EXTINF:2.0,\n1.ts", "#EXTINF:5.0,\n1.ts");
    assert!(!broken(&files).contains_key("extinf-sums"));
}

#[test]
fn a_stream_that_a_transport_segment_has_nothing_of_is_not_looked_for_in_it() {
    let mut files = Memory::default();
    // The second one has no pictures, though its tables tell of them.
    files.put("1.ts", transport_segment(0, 0));
    files.put("2.ts", transport_segment(1, 2)[..376].to_vec());
    files.put("index.m3u8", format!("{HEAD}#EXTINF:2.0,\n1.ts\n#EXTINF:2.0,\n2.ts\n#EXT-X-ENDLIST\n"));
    let stream = load_from(&files, Some("index.m3u8"), None).unwrap();
    let playlist = stream.hls.as_ref().unwrap().renditions[0].playlist().unwrap();
    assert_eq!(playlist.codecs(), ["avc1.64001F"], "and none of sound");
    let failed: Vec<_> = check(&stream).rules.into_iter().filter(|rule| rule.verdict.is_fail()).collect();
    let ids: Vec<&str> = failed.iter().map(|rule| rule.id).collect();
    assert!(!ids.contains(&"discontinuity-marked") && !ids.contains(&"opens-with-key"), "{ids:?}");
}

#[test]
fn what_is_encrypted_as_a_whole_is_not_looked_into() {
    let mut files = good();
    files.replace("b/index.m3u8", "#EXTINF:6.000000,\n1", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:6.000000,\n1");
    files.put("b/1.m4s", vec![0xAA; files.0["b/1.m4s"].len()]);
    files.put("b/2.m4s", vec![0xAA; files.0["b/2.m4s"].len()]);
    assert!(load_from(&files, Some(MASTER), None).is_ok());
    let report = check(&load_from(&files, Some(MASTER), None).unwrap());
    let broken: Vec<_> = report.rules.iter().filter(|rule| rule.verdict.is_fail()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn thumbnails_and_subtitles_of_their_own_form_are_no_fault() {
    let mut files = good();
    files.put("i/1.jpg", [0xFF, 0xD8, 0xFF, 0xE0]);
    let images =
        format!("{HEAD}#EXT-X-IMAGES-ONLY\n#EXTINF:12,\n#EXT-X-TILES:RESOLUTION=16x9,LAYOUT=4x3,DURATION=1\n1.jpg\n");
    files.put("i/index.m3u8", images.replace("DURATION:6", "DURATION:12") + "#EXT-X-ENDLIST\n");
    files.replace(
        MASTER,
        "#EXT-X-I-FRAME-S",
        "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=9,URI=\"i/index.m3u8\"\n#EXT-X-I-FRAME-S",
    );
    let tiles = "<AdaptationSet contentType=\"image\" mimeType=\"image/jpeg\"><SegmentTemplate media=\"i/$Number$.jpg\" \
                 duration=\"12\"/><Representation id=\"i\" bandwidth=\"9\"/></AdaptationSet></Period>";
    files.replace(MPD, "</Period>", tiles);
    assert_eq!(files.broken(), [""; 0]);
    files.replace("i/index.m3u8", "1.jpg", "2.jpg");
    assert_eq!(files.broken(), ["files-present"]);
}

#[test]
fn what_a_playlist_says_moves_no_cursor() {
    let mut files = good();
    files.replace(MASTER, "AUDIO=\"s\"", "AUDIO=\"\u{1B}[2J\u{9B}31m\"");
    files.replace("b/index.m3u8", "2.m4s", "\u{1B}]0;x\u{7}2.m4s");
    let report = files.report();
    let text = format!("{:?}", report.rules.iter().flat_map(|rule| rule.verdict.failures()).collect::<Vec<_>>());
    assert!(text.contains("in the group") && text.contains("no such file"), "{text}");
    assert!(!text.contains("\\u{1b}") && !text.contains("\\u{9b}") && !text.contains("\\u{7}"), "{text}");
}

#[test]
fn the_json_is_that_of_the_golden_file() {
    let mut files = good();
    drop(files.0.remove("b/2.m4s"));
    let mut report = files.report();
    report.rules.retain(|rule| matches!(rule.id, "files-present" | "keys" | "target-6s" | "tls"));
    let text = serde_json::to_string_pretty(&report).unwrap() + "\n";
    assert_eq!(text, include_str!("../../tests/golden/check-v1.json"));
}
