//! `vtp encode --encrypt`: what FFmpeg decrypts is what was encoded, and the key is told nowhere.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::Scene;
use common::media::Frame;

const KEY: &str = "8f2b90c1d4e56a7788990a1b2c3d4e5f";

/// A scene with a clip and a key in a file, as text and as bytes.
fn scene() -> Scene {
    let scene = Scene::with_clip(118);
    std::fs::write(scene.path("key.txt"), format!("{KEY}\n")).unwrap();
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&KEY[2 * at..2 * at + 2], 16).unwrap()).collect();
    std::fs::write(scene.path("key.bin"), bytes).unwrap();
    scene
}

fn sealed(scene: &Scene, out: &str, more: &str) {
    let line = format!("in.mp4 --ladder mobile --no-measure --key file:key.txt --key-uri ../../key.bin {more}");
    let report = scene.encode_into(out, &line);
    assert!(report["encryption"]["key_id"].is_string());
}

/// Everything that a run wrote, but media, as text.
fn told(scene: &Scene, out: &str) -> String {
    let names = scene.files().into_keys().filter(|name| name.starts_with(out));
    let texts = names.filter(|name| ["m3u8", "mpd", "json", "html", "vtt"].iter().any(|kind| name.ends_with(kind)));
    texts.map(|name| std::fs::read_to_string(scene.path(&name)).unwrap()).collect()
}

/// The initialization segment and all segments of a track, in one file.
fn joined(scene: &Scene, folder: &str, to: &str) {
    let mut names: Vec<String> =
        scene.files().into_keys().filter(|name| name.starts_with(&format!("{folder}/seg-"))).collect();
    names.sort();
    let files = std::iter::once(format!("{folder}/init.mp4")).chain(names);
    let bytes: Vec<u8> = files.flat_map(|name| std::fs::read(scene.path(&name)).unwrap()).collect();
    std::fs::write(scene.path(to), bytes).unwrap();
}

fn sound(scene: &Scene, input: &str) -> String {
    scene.ffmpeg(&format!("{input} -map 0:a:0 -c:a pcm_s16le -f md5 -"))
}

#[test]
fn whole_segments_decrypt_to_the_pictures_and_the_sound_that_were_encoded() {
    let scene = scene();
    scene.encode("in.mp4 --ladder mobile --no-measure");
    sealed(&scene, "sealed", "--encrypt aes-128");
    let allow = "-allowed_extensions ALL -protocol_whitelist file,crypto,data";
    let clear: Vec<Frame> = scene.frames("out/mobile/index.m3u8");
    let how = "-map 0:v:0 -fps_mode passthrough -c:v rawvideo -enc_time_base 1/90000 -f framemd5 -";
    let decrypted = scene.ffmpeg(&format!("{allow} -i sealed/mobile/index.m3u8 {how}"));
    let sums: Vec<&str> =
        decrypted.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit(", ").next().unwrap()).collect();
    assert_eq!(sums, clear.iter().map(|frame| frame.md5.as_str()).collect::<Vec<_>>());
    let heard =
        [sound(&scene, "-i out/audio-1/index.m3u8"), sound(&scene, &format!("{allow} -i sealed/audio-1/index.m3u8"))];
    assert_eq!(heard[0], heard[1]);
    let playlist = std::fs::read_to_string(scene.path("sealed/mobile/index.m3u8")).unwrap();
    assert!(playlist.contains("#EXT-X-KEY:METHOD=AES-128,URI=\"../../key.bin\""), "{playlist}");
    assert!(!scene.path("sealed/manifest.mpd").exists(), "DASH can't play these");
    assert!(!told(&scene, "sealed").contains("I-FRAME"), "nor can key pictures be fetched alone");
}

#[test]
fn samples_sealed_by_cbcs_decrypt_to_what_was_encoded_and_both_manifests_say_how() {
    for codec in ["h264", "hevc"] {
        let scene = scene();
        scene.encode(&format!("in.mp4 --ladder mobile --no-measure --codec {codec}"));
        let more = format!(
            "--encrypt cbcs --codec {codec} --key-id 00112233-4455-6677-8899-aabbccddeeff --license-url https://l/1"
        );
        sealed(&scene, "sealed", &more);
        joined(&scene, "out/mobile", "clear.mp4");
        joined(&scene, "sealed/mobile", "sealed.mp4");
        let how = "-map 0:v:0 -fps_mode passthrough -c:v rawvideo -f framemd5 -";
        let clear = scene.ffmpeg(&format!("-i clear.mp4 {how}"));
        // FFmpeg 5.1 takes the maps of one fragment for those of another where it can look ahead.
        let decrypt = format!("-decryption_key {KEY} -seekable 0");
        assert_eq!(scene.ffmpeg(&format!("{decrypt} -i sealed.mp4 {how}")), clear, "{codec}");
        joined(&scene, "sealed/audio-1", "sound.mp4");
        joined(&scene, "out/audio-1", "clear-sound.mp4");
        let heard = sound(&scene, &format!("{decrypt} -i sound.mp4"));
        assert_eq!(heard, sound(&scene, "-i clear-sound.mp4"), "{codec}");
        let playlist = std::fs::read_to_string(scene.path("sealed/mobile/index.m3u8")).unwrap();
        assert!(playlist.contains("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"../../key.bin\""), "{playlist}");
        let manifest = std::fs::read_to_string(scene.path("sealed/manifest.mpd")).unwrap();
        assert_eq!(manifest.matches("cenc:default_KID=\"00112233-4455-6677-8899-aabbccddeeff\"").count(), 2);
        assert!(manifest.contains("https://l/1"));
    }
}

#[test]
fn the_key_stands_in_no_file_and_in_no_word_that_is_printed() {
    let scene = scene();
    for scheme in ["cbcs", "aes-128"] {
        sealed(&scene, scheme, &format!("--encrypt {scheme}"));
        let words = told(&scene, scheme).to_lowercase();
        assert!(!words.contains(KEY) && !words.contains(&KEY[..16]), "{scheme}");
    }
    let ended = scene.vtp(&format!("encode in.mp4 --out x --encrypt cbcs --key {KEY} --key-uri k"));
    assert_eq!(ended.code, Some(2));
    assert!(
        !ended.stderr.contains("key itself is") && ended.stderr.contains("never the key itself"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_can_not_be_sealed_is_refused_before_anything_is_encoded() {
    let scene = scene();
    let line = "encode in.mp4 --out x --encrypt cbcs --key file:key.txt --key-uri k";
    scene.vtp(&format!("{line} --codec av1")).failed(2, "av1 is not encrypted by cbcs here");
    scene.vtp(&format!("{line} --ladder copy")).failed(2, "video that is copied is not encrypted by cbcs");
    scene.vtp("encode in.mp4 --out x --encrypt cbcs --key file:none --key-uri k").failed(2, "none can't be read");
    scene.vtp("encode in.mp4 --out x --encrypt cbcs").failed(2, "--key");
    assert!(!scene.path("x").exists());
}
