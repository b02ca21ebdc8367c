//! What `vtp encode` makes of sound in surround. FFmpeg makes it and reads what came out.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::f64::consts::TAU;

use common::Scene;
use serde_json::Value;

/// The tone of each channel of a 5.1 source, in the order of FFmpeg: left, right, centre, bass, and the two behind.
const TONES: [f64; 6] = [300.0, 500.0, 700.0, 60.0, 1100.0, 1300.0];
const RATE: f64 = 48_000.0;

/// A second of pictures with sound of 5.1 channels, each with a tone of its own, and a second track in stereo.
fn scene() -> Scene {
    let scene = Scene::new();
    let tones: Vec<String> = TONES.iter().map(|tone| format!("0.2*sin(2*PI*{tone}*t)")).collect();
    let surround = format!("aevalsrc=exprs={}:channel_layout=5.1:sample_rate=48000:duration=2", tones.join("|"));
    let inputs =
        format!("-f lavfi -i testsrc2=size=160x96:rate=25:duration=2 -f lavfi -i {surround} -f lavfi -i sine=440:d=2");
    let tracks =
        "-map 0:v -map 1:a -map 2:a -c:v libx264 -preset ultrafast -c:a:0 ac3 -b:a:0 448k -c:a:1 aac -ac:a:1 2";
    scene.ffmpeg(&format!("{inputs} {tracks} -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu in.mkv"));
    scene
}

/// How loud `tone` is in the samples, 0 to 1 (Goertzel's algorithm).
fn loudness(samples: &[f64], tone: f64) -> f64 {
    let step = TAU * tone / RATE;
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        real += sample * (step * n as f64).cos();
        imaginary += sample * (step * n as f64).sin();
    }
    2.0 * f64::hypot(real, imaginary) / samples.len() as f64
}

/// Half a second from the middle of a file's sound, channel by channel.
fn middle(scene: &Scene, file: &str, channels: usize) -> Vec<Vec<f64>> {
    scene.ffmpeg(&format!("-i {file} -ss 0.5 -t 0.5 -map 0:a:0 -c:a pcm_f32le -f f32le heard.raw"));
    let bytes = std::fs::read(scene.path("heard.raw")).unwrap();
    let samples: Vec<f64> = bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap()).into()).collect();
    (0..channels).map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect()).collect()
}

#[test]
fn surround_is_kept_channel_by_channel_beside_a_stereo_mix_of_it() {
    let scene = scene();
    let report = scene.encode("in.mkv --no-measure");
    let tracks: Vec<(&str, u64)> = (report["audio"].as_array().unwrap().iter())
        .map(|track: &Value| (track["name"].as_str().unwrap(), track["channels"].as_u64().unwrap()))
        .collect();
    assert_eq!(tracks, [("audio-en", 2), ("audio-de", 2), ("surround-en", 6)]);
    let heard = middle(&scene, "out/surround-en/index.m3u8", 6);
    for (channel, samples) in heard.iter().enumerate() {
        let loudest =
            TONES.iter().position(|&own| TONES.iter().all(|&it| loudness(samples, it) <= loudness(samples, own)));
        assert_eq!(loudest, Some(channel));
        let level = loudness(samples, TONES[channel]);
        assert!((0.15..0.25).contains(&level), "channel {channel} is at {level}");
    }
    let stereo = middle(&scene, "out/audio-en/index.m3u8", 2);
    assert!(loudness(&stereo[0], TONES[0]) > 4.0 * loudness(&stereo[0], TONES[1]), "left stays left");
    assert!(loudness(&stereo[1], TONES[2]) > 0.02, "the centre is heard from both sides");
}

#[test]
fn playlists_offer_all_languages_in_stereo_and_again_with_surround_where_there_is_some() {
    let scene = scene();
    scene.encode("in.mkv --no-measure");
    let master = std::fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    let media = |group: &str| -> Vec<&str> {
        let of = format!("GROUP-ID=\"{group}\"");
        let lines = master.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:") && line.contains(&of));
        lines.map(|line| line.split("URI=\"").nth(1).unwrap().split('/').next().unwrap()).collect()
    };
    assert_eq!(media("audio"), ["audio-en", "audio-de"]);
    assert_eq!(media("surround"), ["surround-en", "audio-de"]);
    assert_eq!(master.matches("NAME=\"English\"").count(), 2, "one name for the same track");
    assert!(master.contains("CHANNELS=\"6\""));
    let variants: Vec<&str> = master.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF:")).collect();
    assert_eq!(variants.len(), 2);
    assert!(variants[0].contains("AUDIO=\"audio\"") && variants[1].contains("AUDIO=\"surround\""));
    let manifest = std::fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    assert_eq!(manifest.matches("contentType=\"audio\"").count(), 3);
}

#[test]
fn who_asks_for_stereo_gets_nothing_else() {
    let scene = scene();
    let report = scene.encode("in.mkv --no-measure --stereo");
    let channels: Vec<u64> =
        report["audio"].as_array().unwrap().iter().map(|track| track["channels"].as_u64().unwrap()).collect();
    assert_eq!(channels, [2, 2]);
}
