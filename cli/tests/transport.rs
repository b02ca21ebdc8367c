//! `vtp encode --hls-ts`: transport streams hold what the segments hold. FFmpeg reads both.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::Scene;
use serde_json::{Value, json};

const LADDER: &str = "--ladder mobile --no-measure --no-pictures --segment 1s --chunk 2s --hls-ts";
const BOTH: &str = "--ladder mobile,standard --no-measure --no-pictures --segment 1s --chunk 2s --hls-ts";
/// Where the streams begin, in ticks of 90 kHz.
const START: i64 = 900_000;

/// What is decoded of the first stream of a kind, piece by piece: the time in ticks of 90 kHz, and a checksum. FFmpeg has
/// nothing to remark on it.
fn decoded(scene: &Scene, input: &str, kind: &str) -> Vec<(i64, String)> {
    let how = "-fps_mode passthrough -c:v rawvideo -c:a pcm_s16le -enc_time_base 1/90000 -avoid_negative_ts disabled";
    let listing = format!("{}.txt", input.replace(['/', ' '], "_"));
    let line = format!("-v warning -noautorotate -copyts -i {input} -map 0:{kind}:0 {how} -f framemd5 -y {listing}");
    assert_eq!(scene.ffmpeg_log(&line), "", "{input}");
    let text = std::fs::read_to_string(scene.path(&listing)).unwrap();
    let base: i64 = text.lines().find_map(|line| line.strip_prefix("#tb 0: 1/")).unwrap().trim().parse().unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        (cells[2].parse::<i64>().unwrap() * 90_000 / base, cells[5].to_owned())
    });
    let mut rows: Vec<(i64, String)> = rows.collect();
    rows.sort_by_key(|(at, _)| *at);
    rows
}

/// The streams in a folder show or play what the segments in another do, at the same times to a tick.
fn same(scene: &Scene, streams: &str, kind: &str, segments: &str) -> Vec<(i64, String)> {
    let found = decoded(scene, &format!("out/{streams}/ts/index.m3u8"), kind);
    let due = decoded(scene, &format!("out/{segments}/index.m3u8"), kind);
    let sums = |rows: &[(i64, String)]| rows.iter().map(|(_, sum)| sum.clone()).collect::<Vec<_>>();
    assert!(!due.is_empty());
    assert_eq!(sums(&found), sums(&due), "{streams} {kind}");
    for ((found, _), (due, _)) in found.iter().zip(&due) {
        assert!((found - START - due).abs() <= 1, "{streams} {kind}: {found} against {due}");
    }
    found
}

/// The rules that the streams break, besides that there are several variants, which takes a ladder of several rungs.
fn broken(scene: &Scene) -> Vec<String> {
    let ended = scene.vtp("check out/master-ts.m3u8 --json");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let rules = report["rules"].as_array().unwrap().iter();
    let failed = rules.filter(|rule| rule["level"] == "must" && rule["verdict"] == "fail");
    failed.map(|rule| rule["id"].as_str().unwrap().to_owned()).filter(|id| id != "variants").collect()
}

fn text(scene: &Scene, name: &str) -> String {
    std::fs::read_to_string(scene.path(name)).unwrap()
}

/// When the frames of the source are shown, in ticks.
fn times(scene: &Scene, input: &str) -> Vec<i64> {
    scene.frames(input).into_iter().map(|frame| frame.at).collect()
}

#[test]
fn streams_show_and_play_what_the_segments_do_at_the_same_times() {
    let scene = Scene::with_clip(118);
    let report = scene.encode(&format!("in.mp4 {BOTH}"));
    let streams = &report["hls_ts"];
    assert_eq!(streams["file"], "master-ts.m3u8");
    assert_eq!((&streams["renditions"], &streams["audio"]), (&json!(["standard", "mobile"]), &json!(["audio-1"])));
    let sizes = ["mobile", "standard"].map(|name| {
        let folder = std::fs::read_dir(scene.path(&format!("out/{name}/ts"))).unwrap().map(Result::unwrap);
        let segments = folder.filter(|it| it.file_name().to_str().unwrap().ends_with(".ts"));
        segments.map(|it| it.metadata().unwrap().len()).sum::<u64>()
    });
    assert_eq!(streams["bytes"], sizes[0] + sizes[1]);
    for name in ["mobile", "standard"] {
        let shown = same(&scene, name, "v", name);
        same(&scene, name, "a", "audio-1");
        let shown: Vec<i64> = shown.into_iter().map(|(at, _)| at - START).collect();
        assert_eq!(shown, times(&scene, "in.mp4"));
    }
    assert_eq!(broken(&scene), [""; 0]);
    let master = text(&scene, "out/master-ts.m3u8");
    assert!(master.contains("#EXT-X-VERSION:3") && !master.contains("EXT-X-MEDIA"), "{master}");
    assert!(text(&scene, "out/mobile/ts/index.m3u8").contains("#EXT-X-VERSION:3"));
    // Each of the key pictures can be fetched alone. (FFmpeg remarks that there is no sound.)
    let pictures = scene.frames("out/mobile/ts/iframes.m3u8");
    let named = text(&scene, "out/mobile/ts/iframes.m3u8").matches("#EXT-X-BYTERANGE").count();
    assert_eq!(pictures.len(), named);
}

#[test]
fn reordered_pictures_of_varying_duration_that_start_after_the_sound_keep_their_times() {
    let scene = Scene::new();
    let inputs = "-f lavfi -i testsrc2=size=854x480:rate=30:duration=4 -f lavfi -i sine=440:duration=4.5";
    let varying = "-filter:v select='not(mod(n\\,3))+not(mod(n\\,7))',setpts=PTS+0.5/TB -fps_mode vfr";
    scene.ffmpeg(&format!("{inputs} {varying} -c:v libx264 -preset veryfast -bf 2 -c:a aac in.mkv"));
    scene.vtp(&format!("encode in.mkv --out out --speed superfast --progress none {LADDER}")).ok();
    let shown = same(&scene, "mobile", "v", "mobile");
    same(&scene, "mobile", "a", "audio-1");
    assert!((START + 45_000..START + 48_000).contains(&shown[0].0), "{shown:?}");
    let packets = scene.ffprobe("-select_streams v -show_entries packet=pts,dts out/mobile/ts/index.m3u8");
    let packets = packets["packets"].as_array().unwrap();
    let number = |value: &Value| value.as_i64().unwrap();
    assert!(packets.iter().any(|it| it["pts"] != it["dts"]), "there are pictures out of order");
    assert!(packets.iter().is_sorted_by(|a, b| number(&a["dts"]) < number(&b["dts"])));
    assert_eq!(broken(&scene), [""; 0]);
}

#[test]
fn pictures_that_start_long_after_the_sound_and_end_before_it() {
    let scene = Scene::new();
    let inputs = "-f lavfi -i testsrc2=size=854x480:rate=25:duration=2 -f lavfi -i sine=440:duration=9";
    let late = "-filter:v setpts=PTS+3.2/TB -fps_mode vfr";
    scene.ffmpeg(&format!("{inputs} {late} -c:v libx264 -preset ultrafast -c:a aac in.mkv"));
    scene.encode(&format!("in.mkv {LADDER}"));
    let shown = same(&scene, "mobile", "v", "mobile");
    same(&scene, "mobile", "a", "audio-1");
    assert!((shown[0].0 - START - 288_000).abs() <= 4000, "{}", shown[0].0);
    let playlist = text(&scene, "out/mobile/ts/index.m3u8");
    let seconds = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    let seconds: f64 = seconds.map(|seconds| seconds.parse::<f64>().unwrap()).sum();
    assert!((seconds - 9.0).abs() < 0.05, "{playlist}");
    assert_eq!(broken(&scene), [""; 0]);
}

#[test]
fn other_sound_has_streams_of_its_own_and_subtitles_come_when_they_are_due() {
    let scene = Scene::new();
    let inputs =
        "-f lavfi -i testsrc2=size=854x480:rate=25:duration=3 -f lavfi -i sine=440:d=3 -f lavfi -i sine=880:d=3";
    let tracks = "-map 0:v -map 1:a -map 2:a -c:v libx264 -preset ultrafast -c:a:0 ac3 -ac:a:0 6 -c:a:1 aac -ac:a:1 2";
    scene.ffmpeg(&format!("{inputs} {tracks} -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu in.mkv"));
    std::fs::write(scene.path("en.srt"), "1\n00:00:01,500 --> 00:00:02,500\nHello\n").unwrap();
    let report = scene.encode(&format!("in.mkv {LADDER} --audio aac,opus --subtitle en=en.srt"));
    assert_eq!(report["hls_ts"]["audio"], json!(["audio-en", "audio-de", "surround-en"]));
    same(&scene, "mobile", "a", "audio-en");
    same(&scene, "audio-de", "a", "audio-de");
    same(&scene, "surround-en", "a", "surround-en");
    let master = text(&scene, "out/master-ts.m3u8");
    let line = |id: &str, language: &str| {
        let starts = format!("GROUP-ID=\"{id}\",LANGUAGE=\"{language}\"");
        master.lines().find(|line| line.contains(&starts)).unwrap().to_owned()
    };
    let muxed = line("audio", "en");
    assert!(muxed.contains("DEFAULT=YES") && !muxed.contains("URI"), "{muxed}");
    assert!(line("audio", "de").contains("URI=\"audio-de/ts/index.m3u8\""));
    assert!(line("surround", "en").contains("URI=\"surround-en/ts/index.m3u8\""));
    assert!(!master.contains("opus"), "{master}");
    let cues = text(&scene, "out/subtitles-en/ts/seg-00002.vtt");
    let due = text(&scene, "out/subtitles-en/seg-00002.vtt").replace("MPEGTS:0,", "MPEGTS:900000,");
    assert!(cues == due && cues.contains("Hello"), "{cues}");
    assert_eq!(broken(&scene), [""; 0]);
}

#[test]
fn copied_pictures_without_sound_and_sealed_streams_are_what_they_were() {
    let scene = Scene::with_clip(118);
    scene.ffmpeg("-i in.mp4 -an -c copy mute.mp4");
    let report = scene.encode("mute.mp4 --ladder copy,mobile,archive --no-measure --hls-ts");
    assert_eq!(report["hls_ts"]["renditions"], json!(["copy", "mobile"]));
    let told = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it.as_str().unwrap().starts_with("archive is not in master-ts.m3u8"));
    assert!(told, "{}", report["warnings"]);
    let shown = same(&scene, "copy", "v", "copy");
    assert_eq!(shown.into_iter().map(|(at, _)| at - START).collect::<Vec<_>>(), times(&scene, "mute.mp4"));

    std::fs::write(scene.path("key.txt"), "8f2b90c1d4e56a7788990a1b2c3d4e5f").unwrap();
    let key: Vec<u8> =
        vec![0x8F, 0x2B, 0x90, 0xC1, 0xD4, 0xE5, 0x6A, 0x77, 0x88, 0x99, 0x0A, 0x1B, 0x2C, 0x3D, 0x4E, 0x5F];
    std::fs::write(scene.path("key.bin"), key).unwrap();
    let line = format!("in.mp4 {LADDER}");
    scene.encode_into("clear", &line);
    scene.encode_into("sealed", &format!("{line} --encrypt aes-128 --key file:key.txt --key-uri ../../../key.bin"));
    let open = "-allowed_extensions ALL -protocol_whitelist file,crypto,data";
    let frames = |input: &str| {
        let how = "-map 0:v -map 0:a -c copy -copyts -f framemd5 -";
        scene.ffmpeg(&format!("{input} {how}")).lines().filter(|line| !line.starts_with('#')).count()
    };
    let sealed = format!("{open} -i sealed/mobile/ts/index.m3u8");
    assert_eq!(frames(&sealed), frames("-i clear/mobile/ts/index.m3u8"));
    let shown = |input: &str| scene.ffmpeg(&format!("{input} -map 0:v -map 0:a -c:v rawvideo -c:a pcm_s16le -f md5 -"));
    assert_eq!(shown(&sealed), shown("-i clear/mobile/ts/index.m3u8"));
    let segment = std::fs::read(scene.path("sealed/mobile/ts/seg-00001.ts")).unwrap();
    assert_ne!(segment[0], 0x47, "it is sealed");
    let playlist = text(&scene, "sealed/mobile/ts/index.m3u8");
    assert!(playlist.contains("#EXT-X-KEY:METHOD=AES-128,URI=\"../../../key.bin\""), "{playlist}");
    assert!(!scene.path("sealed/mobile/ts/iframes.m3u8").exists());
}

#[test]
fn the_bytes_do_not_depend_on_the_workers_and_nothing_is_left_of_what_is_refused() {
    let scene = Scene::with_clip(118);
    for workers in [1, 3] {
        scene.encode_into(&format!("by-{workers}"), &format!("in.mp4 {LADDER} --workers {workers}"));
    }
    let files = scene.files();
    let streams: Vec<&String> =
        files.keys().filter(|name| name.starts_with("by-1/") && name.contains("/ts/")).collect();
    assert!(streams.len() > 3, "{streams:?}");
    for name in streams.into_iter().map(|name| name.trim_start_matches("by-1/")).chain(["master-ts.m3u8"]) {
        assert_eq!(files[&format!("by-1/{name}")], files[&format!("by-3/{name}")], "{name}");
    }
    let line = "encode in.mp4 --out x --progress none --speed ultrafast --no-measure --hls-ts --ladder";
    std::fs::write(scene.path("key.txt"), "8f2b90c1d4e56a7788990a1b2c3d4e5f").unwrap();
    let sealed = "mobile --encrypt cbcs --key file:key.txt --key-uri k";
    scene.vtp(&format!("{line} {sealed}")).failed(2, "take --encrypt aes-128");
    scene.vtp(&format!("{line} mobile --codec hevc")).failed(2, "add h264 to --codec");
    scene.vtp(&format!("{line} archive")).failed(2, "and none is made");
    scene.vtp(&format!("{line} mobile --audio opus")).failed(2, "add aac to --audio");
    assert!(!scene.path("x").exists());
}
