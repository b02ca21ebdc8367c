//! `vtp encode` from a source to a ladder: what is written, reported and shown on the way, for sources of all
//! shapes. FFmpeg reads what came out.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;

use common::media::turn_by_90_degrees;
use common::{Scene, bundled, files};
use serde_json::Value;

/// A moving test picture; size, rate and length are still to come.
const PATTERN: &str = "-f lavfi -i testsrc2=";
const X264: &str = "-c:v libx264 -preset veryfast -g 25";

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn a_ladder_is_written_with_every_frame_in_every_rendition() {
    let scene = Scene::with_clip(118);
    let before = scene.files();
    let report = scene.encode("in.mp4");
    assert_eq!(names(&report["renditions"]), ["standard", "mobile"]);
    assert_eq!(names(&report["audio"]), ["audio-1"]);
    for manifest in ["out/master.m3u8", "out/manifest.mpd"] {
        assert_eq!(scene.pictures(manifest), [(1280, 720, 118), (854, 480, 118)], "{manifest}");
        // FFmpeg does not take off the padding of the last frame of sound.
        let (heard, told) = (scene.samples(manifest), report["audio"][0]["samples"].as_u64().unwrap());
        assert!((told..told + 2048).contains(&heard), "{manifest}: {heard} samples instead of {told}");
    }
    let mut after = scene.files();
    assert_eq!(after.remove("in.mp4"), before.get("in.mp4").copied(), "the source is as it was");
    for file in after.keys() {
        let folders = ["out/standard/", "out/mobile/", "out/audio-1/", "out/thumbnails/"];
        let known = [
            "master.m3u8",
            "manifest.mpd",
            "manifest-thumbnails.mpd",
            "poster.jpg",
            "report.json",
            "quality.json",
            "report.html",
        ];
        let is_known = folders.iter().any(|folder| file.starts_with(folder))
            || known.iter().any(|name| *file == format!("out/{name}"));
        assert!(is_known, "{file} is in the output");
    }
}

#[test]
fn the_report_has_every_member_and_is_the_one_that_is_printed() {
    let scene = Scene::with_clip(59);
    let printed = scene.encode("in.mp4 --ladder mobile");
    let written: Value = serde_json::from_slice(&std::fs::read(scene.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(printed, written);
    let members: [(&str, &[&str]); 9] = [
        (
            "",
            &[
                "version",
                "source",
                "plan",
                "target",
                "choices",
                "renditions",
                "audio",
                "pictures",
                "proof",
                "timing",
                "warnings",
            ],
        ),
        ("/source", &["bytes", "duration_s", "frames", "width", "height", "fps", "codec"]),
        ("/plan", &["chunks", "reason"]),
        (
            "/renditions/0",
            &[
                "name",
                "codec",
                "width",
                "height",
                "frames",
                "bytes",
                "bandwidth",
                "average_bandwidth",
                "fidelity",
                "vmaf",
                "joins",
                "chunks",
            ],
        ),
        ("/renditions/0/chunks/0", &["index", "start_s", "frames", "bytes", "attempts", "encoder", "crf"]),
        ("/audio/0", &["name", "codec", "language", "channels", "sample_rate", "samples", "bytes", "bandwidth"]),
        ("/proof", &["frames_source", "frames_out", "av_offset_start_ms", "av_offset_end_ms", "ok"]),
        ("/timing", &["wall_s", "cpu_s", "stages"]),
        ("/timing/stages", &["index_wall_s", "encode_wall_s", "prove_wall_s"]),
    ];
    for (place, due) in members {
        let object = written.pointer(place).unwrap().as_object().unwrap();
        due.iter().for_each(|name| assert!(object.contains_key(*name), "{place}/{name}"));
    }
    let bytes: u64 = files(&scene.path("out/mobile"))
        .into_keys()
        .filter(|name| name.ends_with(".m4s"))
        .map(|name| scene.path("out/mobile").join(name).metadata().unwrap().len())
        .sum();
    assert_eq!(written["renditions"][0]["bytes"], bytes);
}

#[test]
fn the_summary_names_what_was_made_and_what_was_proven() {
    let scene = Scene::with_clip(59);
    let told = scene.vtp("encode in.mp4 --out out --ladder mobile --speed ultrafast").ok();
    for due in
        ["mobile     854x480", "proven: 59 frames in, 59 out of every rendition", "out/master.m3u8", "out/manifest.mpd"]
    {
        assert!(told.stdout.contains(due), "{due:?} is not in {}", told.stdout);
    }
    assert!(told.stderr.starts_with("indexing\n59 frames in 2.5 s"), "{}", told.stderr);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_workers() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("-i {} -t 6 -vf scale=854:-2 {X264} -c:a copy in.mp4", bundled().display()));
    let bytes = |workers: u32| {
        let out = format!("out{workers}");
        let line = format!("in.mp4 --ladder archive,mobile,copy --segment 1s --chunk 1s --workers {workers}");
        let report = scene.encode_into(&out, &line);
        assert!(report["plan"]["chunks"].as_u64().unwrap() >= 5, "{}", report["plan"]);
        let mut files = files(&scene.path(&out));
        assert!(files.remove("report.json").is_some() && files.remove("report.html").is_some());
        files
    };
    let with_one: BTreeMap<_, _> = bytes(1);
    assert!(with_one.len() > 20);
    assert_eq!(with_one, bytes(2));
    assert_eq!(with_one, bytes(8));
}

#[test]
fn progress_for_programs_never_goes_backwards_and_ends_at_the_total() {
    let scene = Scene::with_clip(118);
    let told = scene.vtp("encode in.mp4 --out out --ladder standard --speed ultrafast --chunk 1s --progress json").ok();
    let lines: Vec<Value> = told.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["v"] == 1 && line["event"].is_string()));
    assert!(lines.windows(2).all(|pair| pair[0]["t"].as_f64() <= pair[1]["t"].as_f64()));
    let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
    let planned = of("planned").next().unwrap();
    assert_eq!((&planned["frames_total"], &planned["renditions"]), (&118.into(), &serde_json::json!(["standard"])));
    for counted in ["frames_done", "fraction", "chunks_done"] {
        let values: Vec<f64> = of("progress").map(|line| line[counted].as_f64().unwrap()).collect();
        assert!(!values.is_empty() && values.is_sorted(), "{counted}: {values:?}");
    }
    assert!(of("progress").all(|line| line["fraction"].as_f64().unwrap() < 1.0));
    assert_eq!(of("chunk_started").count(), of("chunk_done").count());
    assert_eq!(planned["chunks"], of("chunk_done").count());
    let done = lines.last().unwrap();
    assert_eq!((&done["event"], &done["frames_done"], &done["fraction"]), (&"done".into(), &118.into(), &1.0.into()));
}

#[test]
fn odd_names_are_names() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN}size=128x72:rate=25:duration=1 {X264} in.mp4"));
    for name in ["-clip.mp4", "http:clip.mp4", "a%03d.mp4", "blank and \"quote\" ?.mp4", "ä–日.mp4"] {
        std::fs::rename(scene.path("in.mp4"), scene.path(name)).unwrap();
        let out = format!("out of {name}");
        let ended = scene.run(&["encode", name, "--out", &out, "--speed", "ultrafast", "--progress", "none"]);
        assert!(ended.ok().stdout.contains("proven: 25 frames in, 25 out"), "{name}");
        std::fs::rename(scene.path(name), scene.path("in.mp4")).unwrap();
    }
}

#[test]
fn variable_rates_keep_their_times() {
    let scene = Scene::new();
    let vfr = "-vf select='not(eq(mod(n,7),3))*not(between(n,30,44))' -fps_mode vfr";
    scene.ffmpeg(&format!("{PATTERN}size=320x180:rate=25:duration=3 {vfr} {X264} in.mp4"));
    scene.encode("in.mp4 --chunk 1s --segment 1s");
    let times = |file: &str| {
        let frames = scene.frames(file);
        frames.iter().map(|frame| frame.at - frames[0].at).collect::<Vec<_>>()
    };
    assert_eq!(times("out/180p/index.m3u8"), times("in.mp4"));
}

#[test]
fn odd_sizes_become_even_and_other_pixels_square() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN}size=321x181:rate=25:duration=1 -vf setsar=4/3 -pix_fmt yuv444p {X264} in.mkv"));
    scene.encode("in.mkv");
    let pictures = scene.pictures("out/master.m3u8");
    let &[(width, height, 25)] = &pictures[..] else { panic!("{pictures:?}") };
    assert_eq!((width % 2, height % 2), (0, 0));
    let aspect = width as f64 / height as f64;
    assert!((aspect - 321.0 / 181.0 * 4.0 / 3.0).abs() < 0.02, "{width}x{height}");
}

#[test]
fn a_turned_picture_is_put_upright() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN}size=320x180:rate=25:duration=1 {X264} in.mp4"));
    turn_by_90_degrees(&scene.path("in.mp4"));
    scene.encode("in.mp4");
    assert_eq!(scene.pictures("out/manifest.mpd"), [(180, 320, 25)]);
}

#[test]
fn ten_bits_and_fields_become_what_players_show() {
    let scene = Scene::new();
    let fields = "-vf tinterlace=interleave_top,setfield=tff -pix_fmt yuv420p10le -flags +ilme+ildct";
    scene.ffmpeg(&format!("{PATTERN}size=320x180:rate=50:duration=2 {fields} {X264} in.mkv"));
    scene.encode("in.mkv --chunk 1s --segment 1s");
    let entries = "-show_entries stream=pix_fmt,field_order:frame=interlaced_frame";
    let shown = scene.ffprobe(&format!("{entries} -select_streams v out/180p/index.m3u8"));
    assert_eq!(shown["streams"][0]["pix_fmt"], "yuv420p");
    let frames = shown["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 50);
    assert!(frames.iter().all(|frame| frame["interlaced_frame"] == 0));
}

#[test]
fn late_sound_stays_late() {
    let scene = Scene::new();
    let tone = "-f lavfi -itsoffset 0.7 -i sine=frequency=440:sample_rate=48000:duration=2";
    scene.ffmpeg(&format!("{PATTERN}size=320x180:rate=25:duration=3 {tone} {X264} -c:a aac in.mp4"));
    scene.encode("in.mp4");
    let heard = scene.ffmpeg_log("-i out/master.m3u8 -map 0:a:0 -af silencedetect=noise=-50dB:duration=0.2 -f null -");
    let end = heard.lines().find_map(|line| line.split("silence_end: ").nth(1)).unwrap();
    let end: f64 = end.split_whitespace().next().unwrap().parse().unwrap();
    assert!((end - 0.7).abs() < 0.05, "the sound starts at {end} s");
}
