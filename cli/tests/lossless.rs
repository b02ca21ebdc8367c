//! `--ladder archive` keeps every frame as it is, `--ladder copy` every packet; FFmpeg reads both sides.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::media::{Frame, turn_by_90_degrees};
use common::{Scene, bundled, shared};

/// A moving, detailed test picture with grain.
const PATTERN: &str = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=3,noise=alls=12:allf=t";
/// The same as x264 packs it where the open GOPs, the B-frames and the pyramid are left to it.
const OPEN_GOP: &str = "-x264-params open-gop=1:keyint=20:min-keyint=20:bframes=4:b-pyramid=normal:scenecut=0";

/// The source's frames and those of the archive made from it, with short chunks, so that there are joins.
fn archived(scene: &Scene, source: &str) -> (Vec<Frame>, Vec<Frame>) {
    let report = scene.encode(&format!("{source} --ladder archive --segment 1s --chunk 1s"));
    assert!(report["plan"]["chunks"].as_u64().unwrap() > 1, "{}", report["plan"]);
    (scene.frames(source), scene.frames("out/archive/index.m3u8"))
}

/// The same pictures, shown at the same distances in time.
fn assert_same(source: &[Frame], made: &[Frame]) {
    assert_eq!(source.len(), made.len());
    for (place, (a, b)) in source.iter().zip(made).enumerate() {
        assert_eq!((a.size, &a.md5), (b.size, &b.md5), "picture {place}");
        let (a, b) = (a.at - source[0].at, b.at - made[0].at);
        // One tick for the rounding of each side.
        assert!((a - b).abs() <= 2, "picture {place} is shown {a} and {b} ticks after the first");
    }
}

fn assert_archive_is_exact(how: &str, file: &str) {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN} {how} {file}"));
    let (source, made) = archived(&scene, file);
    assert_same(&source, &made);
}

#[test]
fn archive_keeps_the_frames_of_a_film() {
    let scene = Scene::new();
    scene.ffmpeg(&format!(
        "-i {} -vf scale=426:-2 -t 4 -c:v libx264 -preset veryfast -c:a copy in.mp4",
        bundled().display()
    ));
    let (source, made) = archived(&scene, "in.mp4");
    assert_eq!(source.len(), 96);
    assert_same(&source, &made);
}

#[test]
fn archive_keeps_the_frames_of_open_gops() {
    assert_archive_is_exact(&format!("-c:v libx264 -preset veryfast {OPEN_GOP}"), "in.mp4");
}

#[test]
fn archive_keeps_ten_bits_and_half_the_chroma() {
    assert_archive_is_exact("-c:v libx264 -preset veryfast -pix_fmt yuv422p10le -g 25", "in.mkv");
}

#[test]
fn archive_keeps_fields_as_they_are() {
    let scene = Scene::new();
    let fields = "-vf tinterlace=interleave_top,setfield=tff -c:v libx264 -preset veryfast -flags +ilme+ildct -g 12";
    scene.ffmpeg(&format!("{PATTERN} {fields} in.ts"));
    let (source, made) = archived(&scene, "in.ts");
    assert_same(&source, &made);
    let first = scene.ffprobe("-read_intervals %+#1 -show_frames -select_streams v out/archive/index.m3u8");
    let first = &first["frames"][0];
    assert_eq!((&first["interlaced_frame"], &first["top_field_first"]), (&1.into(), &1.into()), "{first}");
}

#[test]
fn archive_keeps_the_moving_fields_of_a_real_clip() {
    let Some(clip) = shared("media/torture/h264_mbaff_es.h264") else { return };
    let scene = Scene::new();
    std::os::unix::fs::symlink(clip, scene.path("in.h264")).unwrap();
    let (source, made) = archived(&scene, "in.h264");
    assert_same(&source, &made);
}

#[test]
fn archive_keeps_variable_rates() {
    let vfr =
        "-vf select='not(eq(mod(n,7),3))*not(between(n,30,44))' -fps_mode vfr -c:v libx264 -preset veryfast -g 20";
    assert_archive_is_exact(vfr, "in.mkv");
}

#[test]
fn archive_keeps_mpeg_2_of_a_broadcast() {
    assert_archive_is_exact("-c:v mpeg2video -q:v 4 -bf 2 -g 15", "in.ts");
}

#[test]
fn archive_keeps_the_rotation_as_a_flag() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN} -c:v libx264 -preset veryfast -g 25 in.mp4"));
    turn_by_90_degrees(&scene.path("in.mp4"));
    let (source, made) = archived(&scene, "in.mp4");
    assert_same(&source, &made);
    let turned = |file: &str| {
        let shown = scene.ffprobe(&format!("-show_entries stream=width,height:stream_side_data=rotation {file}"));
        let stream = &shown["streams"][0];
        let rotation = stream["side_data_list"].as_array().unwrap().iter().find_map(|data| data["rotation"].as_i64());
        (stream["width"].as_u64(), rotation)
    };
    assert_eq!(turned("in.mp4"), (Some(320), Some(-90)));
    assert_eq!(turned("out/archive/init.mp4"), turned("in.mp4"));
}

#[test]
fn copy_carries_the_packets_unchanged() {
    let scene = Scene::with_clip(118);
    let report = scene.encode("in.mp4 --ladder copy");
    assert_eq!(report["renditions"][0]["chunks"][0]["encoder"], "copy");
    let (source, made) = (scene.packets("in.mp4"), scene.packets("out/copy/index.m3u8"));
    assert!(source.len() > 100);
    assert_same(&source, &made);
}

#[test]
fn copy_of_what_cannot_be_copied_is_refused_with_a_sentence() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN} -t 1 -c:v mpeg2video in.mpg"));
    scene.vtp("encode in.mpg --out out --ladder copy --progress none").failed(2, "only H.264 is copied");
    scene.vtp("plan in.mpg --ladder copy").failed(2, "only H.264 is copied");
    assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), ["in.mpg"]);
}

#[test]
fn copy_and_encoded_renditions_have_common_segments() {
    let scene = Scene::with_clip(178);
    scene.encode("in.mp4 --ladder copy,mobile --segment 2s");
    let lengths = |rendition: &str| {
        let playlist = std::fs::read_to_string(scene.path(&format!("out/{rendition}/index.m3u8"))).unwrap();
        playlist.lines().filter(|line| line.starts_with("#EXTINF")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(lengths("copy").len() > 1);
    assert_eq!(lengths("copy"), lengths("mobile"));
    assert_eq!(scene.pictures("out/master.m3u8"), [(1280, 720, 178), (854, 480, 178)]);
}
