//! Subtitles: every cue of the source and of files beside it is in the output, at its time, in each segment that shows it.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::fs;

use common::{Scene, bundled, shared};
use serde_json::Value;

/// A cue as a WebVTT file has it: its line of timing, and its text.
type Cue = (String, String);

/// The cues of each WebVTT segment of a track, read as RFC 8216 and WebVTT have it.
fn segments(scene: &Scene, track: &str) -> Vec<Vec<Cue>> {
    let playlist = fs::read_to_string(scene.path(&format!("out/{track}/index.m3u8"))).unwrap();
    let names = playlist.lines().filter(|line| !line.starts_with('#'));
    let read = |name: &str| fs::read_to_string(scene.path(&format!("out/{track}/{name}"))).unwrap();
    names.map(|name| cues(&read(name))).collect()
}

fn cues(text: &str) -> Vec<Cue> {
    let mut blocks = text.split("\n\n");
    assert_eq!(blocks.next().unwrap().trim_end(), "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000");
    let cue = |block: &str| block.split_once('\n').map(|(time, text)| (time.to_owned(), text.trim_end().to_owned()));
    blocks.map(|block| cue(block).unwrap()).collect()
}

/// All cues of a track; one that stands in several segments counts once.
fn all(scene: &Scene, track: &str) -> Vec<Cue> {
    let mut found: Vec<Cue> = Vec::new();
    for cue in segments(scene, track).into_iter().flatten() {
        if !found.contains(&cue) {
            found.push(cue);
        }
    }
    found
}

fn cue(time: &str, text: &str) -> Cue {
    (time.to_owned(), text.to_owned())
}

fn master(scene: &Scene) -> String {
    fs::read_to_string(scene.path("out/master.m3u8")).unwrap()
}

const SRT: &str = "1\n00:00:00,500 --> 00:00:01,250\n<i>One</i> & <font color=red>red</font>\n\n\
                   2\n00:00:01,000 --> 00:00:07,000\nLong\nin two lines\n\n\
                   3\n00:00:09,000 --> 00:00:59,000\nPast the end\n";
const VTT: &str = "WEBVTT\n\n00:02.000 --> 00:03.000 line:0 align:left\n<v Fred>Hi</v>\n";
const ASS: &str = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\
    Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
    StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n\
    Style: Default,Arial,16,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1\n\n\
    [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
    Dialogue: 0,0:00:03.00,0:00:04.50,Default,,0,0,0,,{\\an8\\fad(100,100)}Up, {\\b1}there{\\b0}\\Nagain\n";

/// The bundled clip at a quarter of its size, with tracks of three kinds, in `in.mkv`.
fn three_tracks() -> Scene {
    let scene = Scene::new();
    for (name, text) in [("a.srt", SRT), ("b.vtt", VTT), ("c.ass", ASS)] {
        fs::write(scene.path(name), text).unwrap();
    }
    scene.ffmpeg(&format!(
        "-i {} -i a.srt -i b.vtt -i c.ass -map 0:v -map 0:a -map 1 -map 2 -map 3 -s 320x180 -c:v libx264 -preset \
         ultrafast -g 24 -c:a pcm_s16le -c:s copy -metadata:s:s:0 language=ger -metadata:s:s:1 language=eng \
         -metadata:s:s:1 title=Loud -metadata:s:s:2 language=fre -disposition:s:0 0 -disposition:s:1 default \
         -disposition:s:2 forced in.mkv",
        bundled().display()
    ));
    scene
}

#[test]
fn text_tracks_of_every_kind_become_renditions_with_their_flags() {
    let scene = three_tracks();
    let report = scene.encode("in.mkv --segment 2s --no-measure");
    let expected = [
        cue("00:00:00.500 --> 00:00:01.250", "<i>One</i> &amp; red"),
        cue("00:00:01.000 --> 00:00:07.000", "Long\nin two lines"),
        cue("00:00:09.000 --> 00:00:59.000", "Past the end"),
    ];
    assert_eq!(all(&scene, "subtitles-de"), expected);
    let with_settings = cue("00:00:02.000 --> 00:00:03.000 line:0 align:left", "<v Fred>Hi</v>");
    assert_eq!(all(&scene, "subtitles-en"), [with_settings]);
    let above = cue("00:00:03.000 --> 00:00:04.500 line:0", "Up, <b>there</b>\nagain");
    assert_eq!(all(&scene, "subtitles-fr"), [above]);

    let master = master(&scene);
    for line in [
        "URI=\"subtitles-de/index.m3u8\",GROUP-ID=\"subtitles\",LANGUAGE=\"de\",NAME=\"German\",AUTOSELECT=YES\n",
        "LANGUAGE=\"en\",NAME=\"Loud\",DEFAULT=YES,AUTOSELECT=YES\n",
        "LANGUAGE=\"fr\",NAME=\"French (forced)\",AUTOSELECT=YES,FORCED=YES\n",
    ] {
        assert!(master.contains(line), "{line} is not in {master}");
    }
    let variants = master.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF"));
    assert!(variants.clone().count() > 0);
    for variant in variants {
        assert!(variant.contains("SUBTITLES=\"subtitles\"") && variant.contains("CLOSED-CAPTIONS=NONE"), "{variant}");
    }
    let told: Vec<(&Value, &Value)> =
        report["subtitles"].as_array().unwrap().iter().map(|it| (&it["name"], &it["cues"])).collect();
    let names = ["subtitles-de", "subtitles-en", "subtitles-fr"].map(Value::from);
    assert_eq!(told, [(&names[0], &3.into()), (&names[1], &1.into()), (&names[2], &1.into())]);
    let mpd = fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    assert_eq!(mpd.matches("contentType=\"text\"").count(), 3);
    assert_eq!(mpd.matches("codecs=\"wvtt\"").count(), 3);
    assert!(mpd.contains("value=\"forced-subtitle\"") && mpd.contains("<Label>Loud</Label>"), "{mpd}");
    // The page and the summary tell of them as well.
    let page = fs::read_to_string(scene.path("out/report.html")).unwrap();
    assert!(page.contains("subtitles-de") && page.contains("<h2>Subtitles</h2>"));
    assert!(scene.vtp("report out").ok().stdout.contains("subtitles-fr fr: \"French (forced)\", 1 cue"));
}

#[test]
fn segments_are_those_of_the_pictures_and_repeat_what_they_show() {
    let scene = three_tracks();
    scene.encode("in.mkv --segment 2s --no-measure");
    let lines = |track: &str, tag: &str| -> Vec<String> {
        let playlist = fs::read_to_string(scene.path(&format!("out/{track}/index.m3u8"))).unwrap();
        playlist.lines().filter(|line| line.starts_with(tag)).map(str::to_owned).collect()
    };
    for tag in ["#EXTINF", "#EXT-X-TARGETDURATION", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-ENDLIST"] {
        assert_eq!(lines("subtitles-de", tag), lines("180p", tag));
    }
    let holds: Vec<usize> = segments(&scene, "subtitles-de").iter().map(Vec::len).collect();
    assert_eq!(holds, [2, 1, 1, 1, 1]);
    // FFmpeg reads each as the WebVTT that it is.
    let read = scene.ffprobe("-show_packets -f webvtt out/subtitles-de/seg-00001.vtt");
    let packets = read["packets"].as_array().unwrap();
    let times: Vec<(&str, &str)> =
        packets.iter().map(|it| (it["pts_time"].as_str().unwrap(), it["duration_time"].as_str().unwrap())).collect();
    assert_eq!(times, [("0.500000", "0.750000"), ("1.000000", "6.000000")]);
}

#[test]
fn subtitles_can_be_left_out() {
    let scene = three_tracks();
    let report = scene.encode("in.mkv --no-measure --no-subtitles");
    assert_eq!(report["subtitles"], Value::Array(Vec::new()));
    assert!(!master(&scene).contains("SUBTITLES"));
    assert!(!scene.path("out/subtitles-de").exists());
}

#[test]
fn cues_of_the_source_move_with_its_start_and_those_of_files_count_from_the_start_of_the_output() {
    let scene = three_tracks();
    scene.ffmpeg("-i in.mkv -map 0 -c copy -output_ts_offset 20 late.mkv");
    fs::write(scene.path("beside.fi.srt"), "\u{FEFF}1\r\n00:00:00,100 --> 00:00:00,900\r\nÄlä\r\n").unwrap();
    let styled = "WEBVTT\n\nSTYLE\n::cue { color: red }\n\n00:02.000 --> 00:03.000\n<c.x>Hi</c>\n";
    fs::write(scene.path("styled.it.vtt"), styled).unwrap();
    fs::write(scene.path("old.srt"), b"00:00:01,000 --> 00:00:02,000\ncaf\xE9\n").unwrap();
    let report = scene.encode(
        "late.mkv --no-measure --subtitle beside.fi.srt --subtitle es,default=old.srt --subtitle styled.it.vtt",
    );
    assert_eq!(all(&scene, "subtitles-de")[0].0, "00:00:00.500 --> 00:00:01.250");
    assert_eq!(all(&scene, "subtitles-fi"), [cue("00:00:00.100 --> 00:00:00.900", "Älä")]);
    assert_eq!(all(&scene, "subtitles-es"), [cue("00:00:01.000 --> 00:00:02.000", "café")]);
    assert_eq!(all(&scene, "subtitles-it"), [cue("00:00:02.000 --> 00:00:03.000", "<c.x>Hi</c>")]);
    let default = report["subtitles"].as_array().unwrap().iter().filter(|it| it["default"] == true);
    assert_eq!(default.map(|it| &it["language"]).collect::<Vec<_>>(), ["es"]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("old.srt: it is not UTF-8"), "{warnings}");
}

#[test]
fn cues_stay_with_their_pictures_where_a_jump_of_the_source_is_healed() {
    let scene = three_tracks();
    let jump = "TS+if(gte(TS*TB\\,2.99)\\,100/TB\\,0)";
    let every = |kind: &str| format!("-bsf:{kind} setts=ts={jump}");
    let line = format!("-i in.mkv -map 0 -c copy {} {} {} jumps.mkv", every("v"), every("a"), every("s"));
    scene.ffmpeg(&line.replace("in.mkv -map 0", "in.mkv -map 0:v -map 0:a -map 0:s:2"));
    let words = "encode jumps.mkv --out out --no-measure --speed ultrafast --progress none --json";
    let report = scene.vtp(words).json();
    assert!(report["warnings"].to_string().contains("timestamps jump"), "{}", report["warnings"]);
    let found = all(&scene, "subtitles-fr");
    let start = &found[0].0[..12];
    assert!(("00:00:02.950"..="00:00:03.050").contains(&start), "{found:?}");
}

#[test]
fn files_that_are_no_subtitles_and_words_that_tell_nothing_are_usage_errors() {
    let scene = Scene::with_clip(10);
    fs::write(scene.path("x.srt"), "hello").unwrap();
    scene.vtp("encode in.mp4 --out out --subtitle x.srt").failed(2, "it has no cue in it");
    scene.vtp("encode in.mp4 --out out --subtitle none.srt").failed(2, "none.srt is not there");
    scene.vtp("encode in.mp4 --out out --subtitle klingon=x.srt").failed(2, "neither a language nor");
    fs::write(scene.path("x.srt"), SRT).unwrap();
    scene.vtp("encode in.mp4 --out out --subtitle x.srt --limit cues=2").failed(2, "--limit cues=3");
    fs::create_dir(scene.path("out")).unwrap();
    fs::copy(scene.path("x.srt"), scene.path("out/x.srt")).unwrap();
    scene.vtp("encode in.mp4 --out out --force --subtitle out/x.srt").failed(2, "lies in the folder that is written");
    assert!(scene.path("out/x.srt").exists());
}

#[test]
fn a_track_beyond_a_limit_is_left_out_with_a_sentence() {
    let scene = three_tracks();
    let report = scene.encode("in.mkv --no-measure --limit cues=2");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("stream 2 (subrip) is left out") && warnings.contains("--limit cues=3"), "{warnings}");
    assert_eq!(report["subtitles"].as_array().unwrap().len(), 2);
    // All tracks together count, too.
    let probed = scene.vtp("probe in.mkv --limit subtitles=450").ok().stdout;
    assert!(probed.contains("bytes of subtitles, and 450 are allowed here"), "{probed}");
    assert!(probed.lines().any(|line| line.starts_with("subtitles ")), "{probed}");
}

/// It makes the container as long as FFmpeg counts: 1193 hours.
#[test]
fn a_cue_that_ends_before_it_begins_does_not_refuse_the_video() {
    let scene = Scene::with_clip(72);
    let cues = "1\n00:00:00,500 --> 00:00:01,000\nright\n\n2\n00:00:02,500 --> 00:00:02,000\nwrong\n";
    std::fs::write(scene.path("cues.srt"), cues).unwrap();
    scene.ffmpeg("-i in.mp4 -i cues.srt -map 0:v -map 1:s -c copy wrong.mkv");
    let report = scene.encode("wrong.mkv --no-measure --ladder mobile");
    assert_eq!(report["proof"]["frames_out"], 72);
    let track = report["subtitles"][0]["name"].as_str().unwrap();
    assert_eq!(all(&scene, track)[0], cue("00:00:00.500 --> 00:00:01.000", "right"));
    assert!(!report["warnings"].to_string().contains("declares"), "{}", report["warnings"]);
}

#[test]
fn bitmap_subtitles_are_left_out_with_the_reason() {
    let Some(source) = shared("media/torture/mts_sony_paff_1080i.mts") else { return };
    let scene = Scene::new();
    let report = scene.encode(&format!("{} --no-measure --ladder mobile", source.display()));
    assert!(report["warnings"].to_string().contains("subtitles as pictures"), "{}", report["warnings"]);
    assert_eq!(report["subtitles"], Value::Array(Vec::new()));
}

/// Real files with subtitles: the cues that FFmpeg reads of them are in the output, to the millisecond.
#[test]
fn every_cue_of_real_files_is_in_the_output() {
    let names =
        ["mkv_srt.mkv", "mov_text_subs.mp4", "multi_2video_2audio_sub.mp4", "d_mkv_3audio_51_2srt_chapters.mkv"];
    for name in names {
        let Some(source) = shared(&format!("media/torture/{name}")) else { return };
        let scene = Scene::new();
        let report = scene.encode(&format!("{} --no-measure --segment 2s", source.display()));
        for (place, track) in report["subtitles"].as_array().unwrap().iter().enumerate() {
            let listing = scene.ffprobe(&format!("-select_streams s:{place} -show_packets {}", source.display()));
            let milliseconds =
                |value: &Value| (value.as_str().unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64;
            // A packet of 2 bytes of 3GPP timed text shows nothing.
            let packets = listing["packets"].as_array().unwrap().iter().filter(|it| it["size"] != "2");
            let due: Vec<(i64, i64)> = packets
                .map(|it| (milliseconds(&it["pts_time"]), milliseconds(&it["duration_time"])))
                .map(|(start, length)| (start, start + length))
                .collect();
            let found: Vec<(i64, i64)> =
                all(&scene, track["name"].as_str().unwrap()).iter().map(|(time, _)| span(time)).collect();
            assert_eq!(found, due, "{name}");
        }
    }
}

/// Milliseconds of a line of timing.
fn span(line: &str) -> (i64, i64) {
    let ms = |time: &str| {
        let parts: Vec<i64> = time.split([':', '.']).map(|part| part.parse().unwrap()).collect();
        ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
    };
    let mut words = line.split(' ');
    (ms(words.next().unwrap()), ms(words.nth(1).unwrap()))
}
