//! `vtp encode --files`: whole files hold what the ladder holds. FFmpeg reads both.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::Scene;
use common::media::turn_by_90_degrees;
use serde_json::Value;

const LADDER: &str = "--ladder mobile --no-measure --no-pictures --segment 1s --chunk 2s";

/// What is decoded of a stream, piece by piece: the time in ticks of 90 kHz, and a checksum. What comes before the start is
/// priming of sound; FFmpeg passes it on from playlists and Matroska, but not from MP4.
fn decoded(scene: &Scene, file: &str, stream: &str) -> Vec<(i64, String)> {
    let how = "-fps_mode passthrough -c:v rawvideo -c:a pcm_s16le -enc_time_base 1/90000 -avoid_negative_ts disabled";
    let text = scene.ffmpeg(&format!("-noautorotate -copyts -i {file} -map 0:{stream} {how} -f framemd5 -"));
    let base: i64 = text.lines().find_map(|line| line.strip_prefix("#tb 0: 1/")).unwrap().trim().parse().unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        (cells[2].parse::<i64>().unwrap() * 90_000 / base, cells[5].to_owned())
    });
    let mut rows: Vec<(i64, String)> = rows.filter(|(at, _)| *at > -100).collect();
    rows.sort_by_key(|(at, _)| *at);
    rows
}

/// A stream of a file is that of a playlist, and no time is off by more than the container rounds.
fn same(scene: &Scene, file: &str, stream: &str, playlist: &str) {
    let (found, due) = (decoded(scene, file, stream), decoded(scene, playlist, &stream[..1]));
    let sums = |rows: &[(i64, String)]| rows.iter().map(|(_, sum)| sum.clone()).collect::<Vec<_>>();
    assert!(due.len() > 10);
    assert_eq!(sums(&found), sums(&due), "{file} {stream}");
    for ((found, _), (due, _)) in found.iter().zip(&due) {
        assert!((found - due).abs() <= rounding(file, stream), "{file} {stream}: {found} against {due}");
    }
}

/// By how much times may be rounded, in ticks of 90 kHz: Matroska has milliseconds, and FFmpeg rounds those of priming, too.
fn rounding(file: &str, stream: &str) -> i64 {
    match file.rsplit('.').next() {
        Some("mkv" | "webm") if stream.starts_with('v') => 46,
        Some("mkv" | "webm") => 90,
        _ => 1,
    }
}

/// Seconds and the kinds of streams that `ffprobe` sees, and how it calls the container.
fn shown(scene: &Scene, file: &str) -> (f64, Vec<String>, String) {
    let shown = scene.ffprobe(&format!("-show_streams -show_format {file}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let streams = shown["streams"].as_array().unwrap().iter();
    let kinds = streams.map(|it| format!("{} {}", text(&it["codec_name"]), text(&it["tags"]["language"])));
    let duration = shown["format"]["duration"].as_str().unwrap().parse().unwrap();
    (duration, kinds.map(|it| it.trim().to_owned()).collect(), text(&shown["format"]["tags"]["major_brand"]))
}

#[test]
fn every_file_shows_and_plays_what_the_playlists_do_at_the_same_times() {
    let scene = Scene::with_clip(118);
    let report = scene.encode(&format!("in.mp4 {LADDER} --files mp4,mov,mkv"));
    let files: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(files, ["video.mp4", "video.mov", "video.mkv"]);
    for file in files.iter().map(|name| format!("out/{name}")) {
        same(&scene, &file, "v", "out/mobile/index.m3u8");
        same(&scene, &file, "a", "out/audio-1/index.m3u8");
        let duration = shown(&scene, &file).0;
        assert!((duration - 118.0 / 24.0).abs() < 0.05, "{file}: {duration}");
        let first = |input: &str| scene.ffmpeg(&format!("{input} -map 0:v:0 -frames:v 1 -c:v rawvideo -f md5 -"));
        assert_eq!(first(&format!("-ss 3.01 -i {file}")), first(&format!("-i {file} -ss 3.01")), "{file} seeks");
    }
    for (file, brand) in [("mp4", "isom"), ("mov", "qt  ")] {
        let bytes = std::fs::read(scene.path(&format!("out/video.{file}"))).unwrap();
        let place = |kind: &[u8]| bytes.windows(4).position(|four| four == kind).unwrap();
        assert!(place(b"moov") < place(b"mdat"), "{file} plays while it arrives");
        assert_eq!(shown(&scene, &format!("out/video.{file}")).2.trim(), brand.trim());
    }
}

#[test]
fn pictures_of_varying_duration_that_start_after_the_sound_keep_their_times() {
    let scene = Scene::new();
    let inputs = "-f lavfi -i testsrc2=size=854x480:rate=30:duration=4 -f lavfi -i sine=440:duration=4.5";
    let varying = "-filter:v select='not(mod(n\\,3))+not(mod(n\\,7))',setpts=PTS+0.5/TB -fps_mode vfr";
    scene.ffmpeg(&format!("{inputs} {varying} -c:v libx264 -preset medium -bf 2 -c:a aac in.mkv"));
    scene.encode(&format!("in.mkv {LADDER} --files mp4,mov,mkv"));
    for kind in ["mp4", "mov", "mkv"] {
        let file = format!("out/video.{kind}");
        same(&scene, &file, "v", "out/mobile/index.m3u8");
        same(&scene, &file, "a", "out/audio-1/index.m3u8");
        let first = decoded(&scene, &file, "v")[0].0;
        assert!((45_000..48_000).contains(&first), "{file}: {first}");
    }
}

#[test]
fn every_track_of_sound_is_there_with_its_language_and_one_of_them_plays_first() {
    let scene = Scene::new();
    let inputs =
        "-f lavfi -i testsrc2=size=854x480:rate=25:duration=2 -f lavfi -i sine=440:d=2 -f lavfi -i sine=880:d=2";
    let tracks = "-map 0:v -map 1:a -map 2:a -c:v libx264 -preset ultrafast -c:a:0 ac3 -ac:a:0 6 -c:a:1 aac -ac:a:1 2";
    scene.ffmpeg(&format!("{inputs} {tracks} -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu in.mkv"));
    scene.encode(&format!("in.mkv {LADDER} --codec hevc --files mp4,mov,mkv"));
    for (kind, german) in [("mp4", "deu"), ("mov", "deu"), ("mkv", "ger")] {
        let file = format!("out/video.{kind}");
        let (_, streams, _) = shown(&scene, &file);
        let sound = ["aac eng".to_owned(), format!("aac {german}"), "aac eng".to_owned()];
        assert_eq!(streams[1..], sound, "{file}");
        assert!(streams[0].starts_with("hevc"), "{streams:?}");
        let all = scene.ffprobe(&format!("-show_streams -select_streams a {file}"));
        let of = |what: &dyn Fn(&Value) -> u64| all["streams"].as_array().unwrap().iter().map(what).collect::<Vec<_>>();
        assert_eq!(of(&|it| it["disposition"]["default"].as_u64().unwrap()), [1, 0, 0], "{file}");
        assert_eq!(of(&|it| it["channels"].as_u64().unwrap()), [2, 2, 6], "{file}");
        for (track, folder) in ["audio-en", "audio-de", "surround-en"].iter().enumerate() {
            same(&scene, &file, &format!("a:{track}"), &format!("out/{folder}/index.m3u8"));
        }
    }
}

#[test]
fn webm_takes_the_codec_that_it_holds_and_a_picture_on_its_side_stays_so() {
    let scene = Scene::new();
    scene.ffmpeg("-f lavfi -i testsrc2=size=854x480:rate=25:duration=2 -c:v libx264 -preset ultrafast in.mp4");
    let report = scene.encode(&format!("in.mp4 {LADDER} --codec h264,vp9,av1 --files webm,mp4,mkv"));
    let of = |kind: &str| {
        let mut files = report["files"].as_array().unwrap().iter();
        files.find(|it| it["container"] == kind).unwrap()["video"].as_str().unwrap().to_owned()
    };
    let vp9 = of("webm");
    assert!(of("mp4") == of("mkv") && of("mp4") != vp9);
    same(&scene, "out/video.webm", "v", &format!("out/{vp9}/index.m3u8"));
    assert_eq!(shown(&scene, "out/video.webm").1, ["vp9"]);

    turn_by_90_degrees(&scene.path("in.mp4"));
    scene.encode_into("turned", "in.mp4 --ladder copy --files mp4,mov");
    scene.vtp("encode in.mp4 --out x --ladder copy --files mkv --progress none").failed(2, "but upright pictures");
    for kind in ["mp4", "mov"] {
        let shown = scene.ffprobe(&format!("-show_streams turned/video.{kind}"));
        let rotation = &shown["streams"][0]["side_data_list"][0]["rotation"];
        assert_eq!(rotation.as_i64().map(i64::abs), Some(90), "{kind}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_workers_and_nothing_is_left_of_what_is_refused() {
    let scene = Scene::with_clip(118);
    for workers in [1, 3] {
        let line = format!("in.mp4 {LADDER} --files mp4,mkv --workers {workers}");
        scene.encode_into(&format!("by-{workers}"), &line);
    }
    let files = scene.files();
    for kind in ["mp4", "mkv"] {
        assert_eq!(files[&format!("by-1/video.{kind}")], files[&format!("by-3/video.{kind}")], "{kind}");
    }
    let line = "encode in.mp4 --out x --progress none --speed ultrafast --ladder mobile --no-measure";
    scene.vtp(&format!("{line} --files webm")).failed(2, "webm holds none of the video that is made, but vp9 and av1");
    scene.vtp(&format!("{line} --files webm --codec vp9")).failed(2, "webm does not hold the sound that is made");
    scene.vtp(&format!("{line} --files avi")).failed(2, "mp4, mov, mkv, webm and ffv1");
    scene.vtp(&format!("{line} --files mp4 --encrypt cbcs --key env:K --key-uri k")).failed(2, "--encrypt");
    assert!(!scene.path("x").exists());
}

/// The cues that FFmpeg finds in a track of subtitles: when they come, when they are gone, in seconds, and their text.
fn cues(scene: &Scene, file: &str, track: usize) -> Vec<(f64, f64, String)> {
    let text = scene.ffmpeg(&format!("-copyts -i {file} -map 0:s:{track} -c:s srt -f srt -"));
    let seconds = |clock: &str| {
        let parts = clock.trim().replace(',', ".");
        parts.split(':').fold(0.0, |sum, part| 60.0 * sum + part.parse::<f64>().unwrap())
    };
    let cue = |block: &str| {
        let (_, rest) = block.trim_start().split_once('\n')?;
        let (times, text) = rest.split_once('\n').unwrap_or((rest, ""));
        let (start, end) = times.split_once(" --> ")?;
        Some((seconds(start), seconds(end), text.trim().to_owned()))
    };
    text.replace('\r', "").split("\n\n").filter_map(cue).collect()
}

#[test]
fn subtitles_stand_in_every_file_with_their_languages_flags_and_looks() {
    let scene = Scene::with_clip(118);
    let first = "1\n00:00:00,500 --> 00:00:02,000\nHello <i>you</i>\n\n2\n00:00:01,000 --> 00:00:03,000\na & b\n";
    std::fs::write(scene.path("in.en.srt"), first).unwrap();
    std::fs::write(scene.path("signs.srt"), "1\n00:00:03,000 --> 00:00:04,000\nAusgang\n").unwrap();
    let line = "--codec h264,vp9 --audio aac,opus --files mp4,mov,mkv,webm";
    let report = scene.encode(&format!("in.mp4 {LADDER} {line} --subtitle in.en.srt --subtitle de,forced=signs.srt"));
    for (container, codec) in [("mp4", "mov_text"), ("mov", "mov_text"), ("mkv", "subrip"), ("webm", "webvtt")] {
        let file = format!("out/video.{container}");
        let probed = scene.ffprobe(&format!("-show_streams -select_streams s {file}"));
        let streams = probed["streams"].as_array().unwrap();
        let told: Vec<(&str, &str)> = (streams.iter())
            .map(|it| (it["codec_name"].as_str().unwrap(), it["tags"]["language"].as_str().unwrap()))
            .collect();
        let german = if matches!(container, "mkv" | "webm") { "ger" } else { "deu" };
        assert_eq!(told, [(codec, "eng"), (codec, german)], "{container}");
        if matches!(container, "mkv" | "webm") {
            assert_eq!(streams[1]["disposition"]["forced"], 1, "{container}");
        }
        let (english, german) = (cues(&scene, &file, 0), cues(&scene, &file, 1));
        let text = |text: &str| english.iter().any(|(_, _, it)| it.contains(text));
        assert!(text("Hello <i>you</i>") && text("a & b"), "{container}: {english:?}");
        assert!((english[0].0 - 0.5).abs() < 0.002, "{container}: {english:?}");
        // In timed text what overlaps is shown together, in pieces; and then nothing is.
        assert!((english.iter().map(|it| it.1).fold(0.0, f64::max) - 3.0).abs() < 0.002, "{container}: {english:?}");
        assert!((german[0].0 - 3.0).abs() < 0.002 && german[0].2.contains("Ausgang"), "{container}: {german:?}");
    }
    let held =
        |file: &Value| file["subtitles"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
    let held: Vec<Vec<String>> = report["files"].as_array().unwrap().iter().map(held).collect();
    assert_eq!(held, vec![["subtitles-en", "subtitles-de"]; 4]);
}
