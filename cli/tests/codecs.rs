//! `vtp encode --codec`: ladders of every codec, read by FFmpeg, and what becomes of a high dynamic range.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::{Scene, bundled};
use serde_json::Value;

/// A PQ source of 30 frames with a mastering display and a light level, in H.265.
const HDR10: &str = "master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50):max-cll=900,300\
                     :colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:log-level=error";

fn hdr_scene() -> Scene {
    let scene = Scene::new();
    let source = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=1 -pix_fmt yuv420p10le";
    let colours = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv";
    scene.ffmpeg(&format!("{source} -c:v libx265 -preset ultrafast {colours} -x265-params {HDR10} hdr.mp4"));
    scene
}

fn text(scene: &Scene, name: &str) -> String {
    std::fs::read_to_string(scene.path(name)).unwrap()
}

/// The lines of variants in a multivariant playlist.
fn variants(master: &str) -> Vec<&str> {
    master.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF:")).collect()
}

#[test]
fn every_codec_gives_every_frame_at_its_time_in_both_manifests() {
    let scene = Scene::with_clip(118);
    let due: Vec<i64> = scene.frames("in.mp4").iter().map(|frame| frame.at).collect();
    for (codec, name) in [("hevc", "hvc1.1."), ("vp9", "vp09.00."), ("av1", "av01.0.")] {
        let out = format!("out-{codec}");
        let report =
            scene.encode_into(&out, &format!("in.mp4 --codec {codec} --ladder mobile --segment 2s --chunk 2s"));
        assert_eq!(report["renditions"][0]["name"], "mobile");
        assert!(report["renditions"][0]["codec"].as_str().unwrap().starts_with(name), "{codec}");
        assert!(report["renditions"][0]["fidelity"]["mean"].as_f64().unwrap() > 80.0, "{codec}");
        assert!(report["renditions"][0]["chunks"].as_array().unwrap().len() > 1, "{codec}");
        for manifest in ["master.m3u8", "manifest.mpd"] {
            assert_eq!(scene.pictures(&format!("{out}/{manifest}")), [(854, 480, 118)], "{codec} {manifest}");
        }
        let shown = scene.frames(&format!("{out}/mobile/index.m3u8"));
        let times: Vec<i64> = shown.iter().map(|frame| frame.at - shown[0].at + due[0]).collect();
        assert_eq!(times, due, "{codec}");
    }
}

#[test]
fn what_encoders_take_in_threads_of_their_own_is_counted() {
    let scene = Scene::new();
    std::fs::copy(bundled(), scene.path("in.mp4")).unwrap();
    for codec in ["hevc", "av1"] {
        let words = "--ladder mobile --speed veryfast --progress none --json --force";
        let told = scene.vtp(&format!("encode in.mp4 --out out --codec {codec} {words}")).ok().stdout;
        let timing = serde_json::from_str::<Value>(&told).unwrap()["timing"].clone();
        let stages = timing["stages"].as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_cpu_s"));
        let counted: f64 = stages.map(|(_, seconds)| seconds.as_f64().unwrap()).sum();
        let whole = timing["cpu_s"].as_f64().unwrap();
        assert!(
            counted > 0.7 * whole && counted <= whole + 0.1,
            "{codec}: {counted} s of {whole} s are known: {timing}"
        );
    }
}

#[test]
fn in_a_ladder_of_several_codecs_players_begin_with_the_first_and_switch_within_one() {
    let scene = Scene::with_clip(59);
    scene.encode("in.mp4 --codec h264,hevc,av1 --ladder standard,mobile --no-measure");
    let master = text(&scene, "out/master.m3u8");
    let variants = variants(&master);
    assert_eq!(variants.len(), 6);
    assert!(variants[0].contains("CODECS=\"avc1."), "{}", variants[0]);
    for codec in ["avc1.", "hvc1.", "av01."] {
        assert_eq!(variants.iter().filter(|line| line.contains(&format!("CODECS=\"{codec}"))).count(), 2, "{codec}");
    }
    let manifest = text(&scene, "out/manifest.mpd");
    assert_eq!(manifest.matches("contentType=\"video\"").count(), 3);
    assert_eq!(manifest.matches("urn:mpeg:dash:adaptation-set-switching:2016").count(), 3);
    for (id, first) in [("1", "avc1."), ("2", "hvc1."), ("3", "av01.")] {
        let set = manifest.split("<AdaptationSet").find(|set| set.starts_with(&format!(" id=\"{id}\""))).unwrap();
        let codecs: Vec<_> = set.match_indices("codecs=\"").map(|(at, found)| &set[at + found.len()..][..5]).collect();
        assert_eq!(codecs, [first, first]);
    }
}

#[test]
fn the_bytes_of_every_codec_do_not_depend_on_the_number_of_workers() {
    let scene = Scene::with_clip(118);
    let line = "in.mp4 --codec hevc,vp9,av1 --ladder mobile --no-measure";
    scene.encode_into("one", &format!("{line} --workers 1"));
    scene.encode_into("three", &format!("{line} --workers 3"));
    let of = |out: &str| {
        let media = scene.files().into_iter().filter(|(name, _)| name.ends_with(".m4s") || name.ends_with(".mp4"));
        media.filter_map(|(name, hash)| Some((name.strip_prefix(out)?.to_owned(), hash))).collect::<Vec<_>>()
    };
    assert!(of("one/").len() > 6);
    assert_eq!(of("one/"), of("three/"));
}

#[test]
fn hdr10_stays_hdr10_with_all_its_metadata_and_becomes_sdr_in_h264() {
    let scene = hdr_scene();
    scene.encode("hdr.mp4 --codec h264,hevc,av1");
    let side_data = |file: &str| -> Vec<Value> {
        let shown = scene.ffprobe(&format!("-select_streams v:0 -show_streams {file}"));
        let mut found = shown["streams"][0]["side_data_list"].as_array().cloned().unwrap_or_default();
        found.sort_by_key(|it| it["side_data_type"].to_string());
        found
    };
    let colours = |file: &str| {
        let fields = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries";
        scene.ffprobe(&format!("-select_streams v:0 -show_entries {fields} {file}"))["streams"][0].clone()
    };
    // FFmpeg reads them from frames where the container of the source does not say.
    let shown = scene.ffprobe("-select_streams v:0 -read_intervals %+#1 -show_frames hdr.mp4");
    let due: Vec<Value> = {
        let all = shown["frames"][0]["side_data_list"].as_array().unwrap();
        let mut due: Vec<_> =
            all.iter().filter(|it| it.get("max_content").is_some() || it.get("red_x").is_some()).cloned().collect();
        due.sort_by_key(|it| it["side_data_type"].to_string());
        due
    };
    assert_eq!(due.len(), 2);
    for name in ["180p-hevc", "180p-av1"] {
        let file = format!("out/{name}/index.m3u8");
        assert_eq!(side_data(&file), due, "{name}");
        let told = colours(&file);
        assert_eq!(told["pix_fmt"], "yuv420p10le", "{name}");
        assert_eq!(
            [&told["color_primaries"], &told["color_transfer"], &told["color_space"], &told["color_range"]],
            ["bt2020", "smpte2084", "bt2020nc", "tv"],
            "{name}"
        );
    }
    let told = colours("out/180p/index.m3u8");
    assert_eq!(told["pix_fmt"], "yuv420p");
    assert_eq!([&told["color_primaries"], &told["color_transfer"], &told["color_space"]], ["bt709", "bt709", "bt709"]);
    assert!(side_data("out/180p/index.m3u8").is_empty());
    let master = text(&scene, "out/master.m3u8");
    for line in variants(&master) {
        let range = if line.contains("avc1.") { "VIDEO-RANGE=SDR" } else { "VIDEO-RANGE=PQ" };
        assert!(line.contains(range), "{line}");
    }
}

#[test]
fn hlg_is_kept_by_its_name() {
    let scene = Scene::new();
    let source = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=0.4 -pix_fmt yuv420p10le";
    let colours = "-color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc -color_range tv";
    let tags = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:log-level=error";
    scene.ffmpeg(&format!("{source} -c:v libx265 -preset ultrafast {colours} -x265-params {tags} in.mp4"));
    scene.encode("in.mp4 --codec hevc");
    assert!(text(&scene, "out/master.m3u8").contains("VIDEO-RANGE=HLG"));
    let shown = scene.ffprobe("-select_streams v:0 -show_entries stream=color_transfer out/96p/index.m3u8");
    assert_eq!(shown["streams"][0]["color_transfer"], "arib-std-b67");
}

#[test]
fn what_can_not_be_is_refused_with_a_sentence() {
    let scene = Scene::with_clip(10);
    scene.vtp("encode in.mp4 --out out --codec h264,hevc --crf 23").failed(2, "h264=23,hevc=28");
    scene.vtp("encode in.mp4 --out out --codec av1 --crf 23.5").failed(2, "in steps of 1");
    scene.vtp("encode in.mp4 --out out --depth 10").failed(2, "h264 in 10 bits is played by hardly anything");
    scene.vtp("encode in.mp4 --out out --codec divx").failed(2, "the codecs are h264, hevc, vp9 and av1");
    assert!(!scene.path("out").exists());
}
