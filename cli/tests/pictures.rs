//! Thumbnails and poster: what they show, held against the source's frames as `ffmpeg` has them, and when they are made.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{Scene, bundled, files, shared};
use serde_json::Value;

/// Five seconds in chunks of a second, with a thumbnail every half second: on more than one sheet.
const OPTIONS: &str = "in.mp4 --chunk 1s --segment 1s --thumbnails 500ms --no-measure";

fn scene(filter: &str) -> Scene {
    let scene = Scene::new();
    let source = bundled();
    scene.ffmpeg(&format!("-i {} -t 5 -vf {filter} -c:a copy -c:v libx264 -crf 12 in.mp4", source.display()));
    scene
}

/// Red, green and blue of what `ffmpeg` makes of a file through these filters.
fn pixels(scene: &Scene, file: &str, filter: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-i",
        file,
        "-vf",
        filter,
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]);
    let output = command.current_dir(scene.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!((a.len(), a.is_empty()), (b.len(), false));
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// Each cue of the WebVTT file: start and end in seconds, the sheet, and `x,y,w,h`.
fn cues(scene: &Scene) -> Vec<(f64, f64, String, [u32; 4])> {
    let text = std::fs::read_to_string(scene.path("out/thumbnails/thumbnails.vtt")).unwrap();
    let seconds = |clock: &str| clock.split(':').fold(0.0, |sum, part| 60.0 * sum + part.parse::<f64>().unwrap());
    let cue = |block: &str| {
        let (times, target) = block.trim().split_once('\n').unwrap();
        let (start, end) = times.split_once(" --> ").unwrap();
        let (sheet, place) = target.split_once("#xywh=").unwrap();
        let place: Vec<u32> = place.split(',').map(|it| it.parse().unwrap()).collect();
        (seconds(start), seconds(end), sheet.to_owned(), place.try_into().unwrap())
    };
    text.split("\n\n").skip(1).map(cue).collect()
}

/// The pictures of an output, and the manifests that name them.
fn pictures(scene: &Scene, out: &str) -> BTreeMap<String, u64> {
    let mut files = files(&scene.path(out));
    files.retain(|name, _| name.starts_with("thumbnails/") || !name.contains('/') && !name.starts_with("report."));
    files
}

#[test]
fn each_thumbnail_shows_the_frame_in_the_middle_of_its_time() {
    let scene = scene("scale=640:360");
    let report = scene.encode(OPTIONS);
    let cues = cues(&scene);
    assert_eq!((cues.len(), &report["pictures"]["thumbnails"]["count"]), (10, &10.into()));
    for (start, end, sheet, [x, y, width, height]) in cues {
        assert_eq!((width, height), (284, 160));
        let tile = pixels(&scene, &format!("out/thumbnails/{sheet}"), &format!("crop={width}:{height}:{x}:{y}"));
        let frame = (f64::midpoint(start, end) * 24.0 + 1e-6).floor();
        let due = pixels(&scene, "in.mp4", &format!("select=eq(n\\,{frame}),scale={width}:{height}"));
        let other = pixels(&scene, "in.mp4", &format!("select=eq(n\\,{}),scale={width}:{height}", frame - 2.0));
        let (off, other) = (mean_difference(&tile, &due), mean_difference(&tile, &other));
        assert!(off < 4.0 && off <= other, "at {start} s: {off} off its frame, {other} off another");
    }
}

#[test]
fn the_poster_is_upright_in_square_pixels_and_shows_the_frame_that_the_report_names() {
    let scene = scene("scale=320:360,setsar=2,transpose=1");
    scene.ffmpeg("-i in.mp4 -c copy -metadata:s:v rotate=90 turned.mp4");
    let report = scene.encode(&OPTIONS.replace("in.mp4", "turned.mp4"));
    let poster = &report["pictures"]["poster"];
    let frame = (poster["at_s"].as_f64().unwrap() * 24.0).round();
    let (width, height) = (poster["width"].as_u64().unwrap(), poster["height"].as_u64().unwrap());
    assert!(width > height, "{poster}");
    let picture = pixels(&scene, "out/poster.jpg", "null");
    let due = pixels(&scene, "turned.mp4", &format!("select=eq(n\\,{frame}),scale={width}:{height}"));
    let off = mean_difference(&picture, &due);
    assert!(off < 4.0, "{off}");
}

#[test]
fn a_poster_of_high_dynamic_range_is_mapped_as_the_h264_renditions_are() {
    let Some(source) = shared("media/torture/hevc10_hdr10_pq.mp4") else { return };
    let scene = Scene::new();
    let report = scene.encode(&format!("{} --ladder standard --no-measure", source.display()));
    let poster = &report["pictures"]["poster"];
    let frame = (poster["at_s"].as_f64().unwrap() * report["source"]["fps"].as_f64().unwrap()).round();
    let (width, height) = (&poster["width"], &poster["height"]);
    let due = pixels(&scene, "out/standard/index.m3u8", &format!("select=eq(n\\,{frame}),scale={width}:{height}"));
    let off = mean_difference(&pixels(&scene, "out/poster.jpg", "null"), &due);
    assert!(off < 6.0, "{off}");
}

#[test]
fn pictures_depend_neither_on_the_workers_nor_on_what_was_kept() {
    let scene = scene("scale=320:180");
    scene.encode_into("one", &format!("{OPTIONS} --workers 1"));
    scene.encode_into("three", &format!("{OPTIONS} --workers 3 --cache cache"));
    let again = scene.encode_into("again", &format!("{OPTIONS} --cache cache"));
    assert!(again["timing"]["reused"].as_u64().unwrap() > 0);
    assert_eq!(again["timing"]["stages"]["decode_cpu_s"], 0.0, "nothing was decoded: {again:#}");
    let one = pictures(&scene, "one");
    assert!(one.contains_key("poster.jpg") && one.contains_key("thumbnails/sprite-001.jpg"), "{one:?}");
    assert_eq!(pictures(&scene, "three"), one);
    assert_eq!(pictures(&scene, "again"), one);
}

#[test]
fn pictures_that_are_wanted_later_are_made_without_encoding_again() {
    let scene = scene("scale=320:180");
    scene.encode_into("without", &format!("{OPTIONS} --cache cache").replace("--thumbnails 500ms", "--no-pictures"));
    let with = scene.encode_into("with", &format!("{OPTIONS} --cache cache"));
    assert_eq!(with["timing"]["stages"]["encode_cpu_s"], 0.0, "{with:#}");
    scene.encode_into("fresh", OPTIONS);
    assert_eq!(pictures(&scene, "with"), pictures(&scene, "fresh"));
}

#[test]
fn there_are_no_pictures_where_nobody_wants_them_or_nothing_is_decoded() {
    let scene = Scene::with_clip(48);
    let left = |out: &str| {
        let mut found = pictures(&scene, out);
        found.retain(|name, _| name.ends_with(".jpg") || name.starts_with("thumbnails"));
        found.into_keys().collect::<Vec<_>>()
    };
    let silent = |report: &Value| !report["warnings"].to_string().contains("thumbnails");
    assert!(silent(&scene.encode_into("none", "in.mp4 --ladder mobile --no-measure --no-pictures")));
    assert_eq!(left("none"), [""; 0]);
    assert!(silent(&scene.encode_into("poster", "in.mp4 --ladder mobile --no-measure --thumbnails off")));
    assert_eq!(left("poster"), ["poster.jpg"]);
    assert!(silent(&scene.encode_into("archive", "in.mp4 --ladder archive,copy --no-measure")));
    assert_eq!(left("archive"), left("poster").into_iter().chain(THUMBNAILS.map(str::to_owned)).collect::<Vec<_>>());
    let copied = scene.encode_into("copied", "in.mp4 --ladder copy");
    assert!(!silent(&copied), "{copied:#}");
    assert_eq!((left("copied"), &copied["pictures"]["poster"]), (Vec::new(), &Value::Null));
}

const THUMBNAILS: [&str; 3] = ["thumbnails/index.m3u8", "thumbnails/sprite-001.jpg", "thumbnails/thumbnails.vtt"];
