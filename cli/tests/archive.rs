//! `vtp encode --files ffv1`: archive.mkv keeps the source's frames and sound as they are; FFmpeg reads both sides.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::media::{Frame, turn_by_90_degrees};
use common::{Scene, shared};
use serde_json::Value;

/// A moving, detailed test picture with grain.
const PATTERN: &str = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=3,noise=alls=12:allf=t";
/// Whatever else is made is cheap.
const LADDER: &str = "--ladder copy --no-pictures --segment 1s --chunk 1s";
/// The same for sources that can't be copied.
const SMALL: &str = "--ladder auto --no-measure --no-pictures --segment 1s --chunk 1s";

/// The same pictures, shown at the same distances in time, to the tick.
fn assert_same(source: &[Frame], made: &[Frame]) {
    assert_eq!(source.len(), made.len());
    for (place, (a, b)) in source.iter().zip(made).enumerate() {
        assert_eq!((a.size, &a.md5), (b.size, &b.md5), "picture {place}");
        let (a, b) = (a.at - source[0].at, b.at - made[0].at);
        // Rounding of each side, where the source's clock does not tick with 90 kHz.
        assert!((a - b).abs() <= 2, "picture {place} is shown {a} and {b} ticks after the first");
    }
}

/// Makes the archive of a file here and holds its pictures against the file's.
fn archived(scene: &Scene, source: &str, ladder: &str) -> Value {
    let report = scene.encode(&format!("{source} {ladder} --files ffv1"));
    let file = &report["files"][0];
    let told = (&file["name"], &file["container"], &file["video"]);
    assert_eq!(told, (&"archive.mkv".into(), &"mkv".into(), &"ffv1".into()), "{file}");
    assert_eq!(file["bytes"], std::fs::metadata(scene.path("out/archive.mkv")).unwrap().len());
    assert_same(&scene.frames(source), &scene.frames("out/archive.mkv"));
    report
}

fn stream(scene: &Scene, file: &str, which: &str) -> Value {
    scene.ffprobe(&format!("-show_streams -select_streams {which} {file}"))["streams"][0].clone()
}

/// The samples of a track as floats.
fn sound(scene: &Scene, file: &str, track: u32) -> Vec<f32> {
    scene.ffmpeg(&format!("-i {file} -map 0:a:{track} -c:a pcm_f32le -f f32le sound.raw"));
    let bytes = std::fs::read(scene.path("sound.raw")).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// The MD5 of a track in a sample format.
fn sum(scene: &Scene, file: &str, track: u32, format: &str) -> String {
    scene.ffmpeg(&format!("-i {file} -map 0:a:{track} -c:a {format} -f md5 -"))
}

#[test]
fn a_film_is_kept_with_its_sound_and_no_manifest_names_it() {
    let scene = Scene::with_clip(118);
    let report = archived(&scene, "in.mp4", "--ladder archive,copy --no-pictures --segment 1s --chunk 2s");
    assert!(report["plan"]["chunks"].as_u64().unwrap() > 1, "{}", report["plan"]);
    assert_eq!(report["files"][0]["audio"], serde_json::json!(["flac-1"]));
    let names: Vec<&Value> = report["renditions"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["archive", "copy"]);
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let text = std::fs::read_to_string(scene.path(&format!("out/{manifest}"))).unwrap().to_lowercase();
        assert!(!text.contains("ffv1") && !text.contains("flac") && !text.contains(".mkv"), "{manifest}");
    }
    assert!(!scene.path("out/ffv1").exists() && !scene.path("out/flac-1").exists());
    // What AAC decodes to are floats, which are rounded to 24 bits and end at full scale.
    let (due, found) = (sound(&scene, "in.mp4", 0), sound(&scene, "out/archive.mkv", 0));
    assert_eq!(due.len(), found.len());
    let step = (-23_f32).exp2();
    let worst = due.iter().zip(&found).map(|(a, b)| (a.clamp(-1.0, 1.0 - step) - b).abs()).fold(0.0, f32::max);
    assert!(worst <= step / 2.0, "half a step of 24 bits, not {worst}");
    let video = stream(&scene, "out/archive.mkv", "v");
    assert_eq!((&video["codec_name"], &video["avg_frame_rate"]), (&"ffv1".into(), &"24/1".into()));
    assert_eq!(stream(&scene, "out/archive.mkv", "a")["bits_per_raw_sample"], "24");
}

#[test]
fn it_is_ffv1_of_version_3_in_frames_that_stand_alone_and_damage_is_found_by_its_checksums() {
    let scene = Scene::with_clip(59);
    archived(&scene, "in.mp4", LADDER);
    let log = scene.ffmpeg_log("-v debug -debug pict -i out/archive.mkv -map 0:v -frames:v 1 -f null -");
    assert!(log.contains("global: ver:3.") && log.contains("ec:1 intra:1"), "{log}");
    let packets = scene.ffprobe("-show_entries packet=flags,size,pos -select_streams v out/archive.mkv");
    let packets = packets["packets"].as_array().unwrap();
    assert!(packets.iter().all(|it| it["flags"].as_str().unwrap().starts_with('K')));
    let number = |value: &Value| value.as_str().unwrap().parse::<usize>().unwrap();
    let (at, size) = (number(&packets[30]["pos"]), number(&packets[30]["size"]));
    let path = scene.path("out/archive.mkv");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at + size / 2] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    let complaints = scene.ffmpeg_log("-v error -i out/archive.mkv -map 0:v -f null -");
    assert!(complaints.contains("CRC mismatch"), "{complaints}");
}

#[test]
fn fields_of_ten_bits_and_half_the_chroma_are_kept_and_told() {
    let scene = Scene::new();
    let fields = "-vf tinterlace=interleave_top,setfield=tff -c:v libx264 -preset veryfast -flags +ilme+ildct -pix_fmt yuv422p10le";
    let told = "-color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv -aspect 64:45";
    scene.ffmpeg(&format!("{PATTERN} {fields} {told} -g 12 in.mkv"));
    archived(&scene, "in.mkv", "--ladder archive --no-pictures --segment 1s --chunk 1s");
    let video = stream(&scene, "out/archive.mkv", "v");
    assert_eq!((&video["field_order"], &video["pix_fmt"]), (&"tb".into(), &"yuv422p10le".into()));
    for of in ["color_primaries", "color_transfer", "color_space", "color_range", "display_aspect_ratio"] {
        assert_eq!(video[of], stream(&scene, "in.mkv", "v")[of], "{of}");
    }
    let frames = scene.ffprobe("-read_intervals %+#1 -show_frames -select_streams v out/archive.mkv");
    let first = &frames["frames"][0];
    assert_eq!((&first["interlaced_frame"], &first["top_field_first"]), (&1.into(), &1.into()), "{first}");
}

#[test]
fn full_chroma_and_variable_rates_are_kept() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN} -t 2 -c:v libx264 -preset veryfast -pix_fmt yuv444p -g 25 in.mp4"));
    archived(&scene, "in.mp4", LADDER);
    let vfr =
        "-vf select='not(eq(mod(n,7),3))*not(between(n,30,44))',setpts=PTS*1.001 -fps_mode vfr -c:v libx264 -g 20";
    scene.ffmpeg(&format!("{PATTERN} {vfr} -preset veryfast -video_track_timescale 90000 vfr.mp4"));
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    archived(&scene, "vfr.mp4", LADDER);
}

#[test]
fn real_clips_are_kept_frame_by_frame() {
    let clips = [
        "d_h264_hi422_10bit_1080i.mp4",
        "d_h264_vfr_dropped.mp4",
        "h264_444_opengop_editlist_1fps.mp4",
        "mov_prores_hq_quicktime.mov",
        "vp9_alpha.webm",
    ];
    for clip in clips {
        let Some(path) = shared(&format!("media/torture/{clip}")) else { return };
        let scene = Scene::new();
        std::os::unix::fs::symlink(path, scene.path(clip)).unwrap();
        archived(&scene, clip, SMALL);
    }
}

#[test]
fn every_track_of_sound_is_kept_to_the_bit_with_its_names() {
    let scene = Scene::new();
    let six =
        "aevalsrc=.1*sin(300*t)|.2*sin(500*t)|.3*sin(700*t)|.4*sin(900*t)|.5*sin(1100*t)|.6*sin(1300*t):c=5.1(side)";
    let inputs = format!("-f lavfi -i sine=440:d=2:r=44100 -f lavfi -i {six}:s=96000:d=2.3 -f lavfi -i sine=880:d=1");
    let tracks = "-map 0:v -map 1:a -map 2:a -map 3:a -c:v libx264 -preset ultrafast -t 3";
    let codecs = "-c:a:0 pcm_s16le -c:a:1 pcm_s24le -c:a:2 pcm_u8 -ar:a:2 8000";
    let names =
        "-metadata:s:a:0 language=deu -metadata:s:a:0 title=Ton -metadata:s:a:1 language=eng -disposition:a:1 default";
    scene.ffmpeg(&format!("{PATTERN} {inputs} {tracks} {codecs} {names} -disposition:a:0 0 in.mkv"));
    let report = archived(&scene, "in.mkv", LADDER);
    assert_eq!(report["files"][0]["audio"], serde_json::json!(["flac-de", "flac-en", "flac-3"]));
    for (track, format) in [(0, "pcm_s16le"), (1, "pcm_s24le"), (2, "pcm_s16le")] {
        assert_eq!(sum(&scene, "in.mkv", track, format), sum(&scene, "out/archive.mkv", track, format), "{track}");
    }
    let all = scene.ffprobe("-show_streams -select_streams a out/archive.mkv");
    let of = |what: &dyn Fn(&Value) -> Value| all["streams"].as_array().unwrap().iter().map(what).collect::<Vec<_>>();
    assert_eq!(of(&|it| it["sample_rate"].clone()), ["44100", "96000", "8000"]);
    assert_eq!(of(&|it| it["channels"].clone()), [1, 6, 1]);
    assert_eq!(of(&|it| it["bits_per_raw_sample"].clone()), ["16", "24", "16"]);
    assert_eq!(of(&|it| it["disposition"]["default"].clone()), [0, 1, 0]);
    assert_eq!(of(&|it| it["tags"]["language"].clone())[..2], ["ger", "eng"]);
    assert_eq!(all["streams"][0]["tags"]["title"], "Ton");
    // FLAC's own sum over all samples, and their number.
    let header = std::fs::read(scene.path("out/archive.mkv")).unwrap();
    let block = header.windows(4).position(|four| four == b"fLaC").unwrap() + 8;
    let packed = u64::from_be_bytes(header[block + 10..block + 18].try_into().unwrap());
    assert_eq!(packed & 0xF_FFFF_FFFF, 88_200);
    assert!(header[block + 18..block + 34] != [0; 16]);
}

#[test]
fn samples_finer_than_24_bits_are_rounded_and_that_is_said() {
    let scene = Scene::new();
    scene.ffmpeg(&format!(
        "{PATTERN} -f lavfi -i sine=440:d=1 -t 1 -c:v libx264 -c:a pcm_f32le -preset ultrafast in.mkv"
    ));
    let report = archived(&scene, "in.mkv", LADDER);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("audio track 1: its samples have more than the 24 bits"), "{warnings}");
}

#[test]
fn pictures_that_are_to_be_turned_stay_as_they_are_and_the_file_says_how() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("{PATTERN} -t 1 -c:v libx264 -preset veryfast -g 25 in.mp4"));
    turn_by_90_degrees(&scene.path("in.mp4"));
    let report = archived(&scene, "in.mp4", LADDER);
    assert!(report["warnings"].to_string().contains("how they are to be turned"), "{}", report["warnings"]);
    let bytes = std::fs::read(scene.path("out/archive.mkv")).unwrap();
    let roll = [&[0x76, 0x75, 0x88][..], &(-90.0_f64).to_be_bytes()].concat();
    assert!(bytes.windows(roll.len()).any(|it| it == roll), "a quarter clockwise is -90 degrees of ProjectionPoseRoll");
}

#[test]
fn the_bytes_do_not_depend_on_the_workers_and_what_was_encoded_once_is_not_encoded_again() {
    let scene = Scene::with_clip(118);
    for (out, workers) in [("by-1", 1), ("by-2", 2)] {
        let report = scene.encode_into(out, &format!("in.mp4 {LADDER} --files ffv1 --cache kept --workers {workers}"));
        let chunks = report["plan"]["chunks"].as_u64().unwrap();
        assert!(chunks > 1);
        assert_eq!(report["timing"]["reused"], if out == "by-1" { 0 } else { chunks });
    }
    let report = scene.encode_into("anew", &format!("in.mp4 {LADDER} --files ffv1 --workers 2"));
    assert_eq!(report["timing"]["reused"], Value::Null);
    let files = scene.files();
    for out in ["by-2", "anew"] {
        assert_eq!(files["by-1/archive.mkv"], files[&format!("{out}/archive.mkv")], "{out}");
    }
}

#[test]
fn what_it_can_not_hold_is_refused_with_a_sentence_before_anything_is_encoded() {
    let scene = Scene::new();
    scene.ffmpeg("-f lavfi -i testsrc2=size=64x64:rate=5:duration=1 -pix_fmt pal8 -c:v rawvideo pal.avi");
    scene.ffmpeg(&format!("{PATTERN} -f lavfi -i sine=440:d=1 -t 1 -c:v libx264 -c:a pcm_s16le -ac 16 many.mkv"));
    let run = |line: &str| scene.vtp(&format!("encode {line} --out x --progress none --no-pictures"));
    run("pal.avi --files ffv1").failed(2, "FFV1 can't hold pixel format pal8 without loss");
    run("many.mkv --files ffv1").failed(2, "audio track 1 has 16 channels, and FLAC holds no more than 8");
    run("many.mkv --files ffv2").failed(2, "mp4, mov, mkv, webm and ffv1");
    run("many.mkv --files ffv1 --encrypt cbcs --key env:K --key-uri k").failed(2, "--encrypt");
    run("many.mkv --files webm,ffv1 --codec vp9").failed(2, "FLAC holds no more than 8");
    assert!(!scene.path("x").exists());
}
