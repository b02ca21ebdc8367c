//! `vtp encode --play-early`: playlists that grow while the video is encoded, and are the proven ones in the end.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Scene, VTP};

/// The playlists as they are now, if there are some: the master's, the picture's, the sound's.
fn playlists(scene: &Scene) -> Option<[String; 3]> {
    let read = |name: &str| fs::read_to_string(scene.path(name)).ok();
    Some([read("out/master.m3u8")?, read("out/mobile/index.m3u8")?, read("out/audio-1/index.m3u8")?])
}

/// Segments that a playlist names.
fn segments(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| line.starts_with("seg-")).collect()
}

/// How long what a playlist names lasts, in seconds.
fn seconds(playlist: &str) -> f64 {
    let lengths =
        playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok());
    lengths.sum()
}

fn start(scene: &Scene) -> Child {
    let words = "encode in.mp4 --out out --ladder mobile --speed slow --segment 1s --chunk 1s --workers 1 --play-early";
    let mut command = Command::new(VTP);
    command.args(words.split(' ')).args(["--progress", "none"]).current_dir(scene.path(".")).env("VTP_CACHE", "none");
    command.spawn().unwrap()
}

#[test]
fn what_is_there_can_be_played_before_all_is_and_the_end_is_a_proven_whole() {
    let scene = Scene::with_clip(238);
    let mut run = start(&scene);
    let (mut grown, started) = (Vec::new(), Instant::now());
    let ended = loop {
        assert!(started.elapsed() < Duration::from_secs(300), "it hangs");
        if let Some([master, picture, sound]) = playlists(&scene)
            && !picture.contains("#EXT-X-ENDLIST")
        {
            assert!(picture.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && sound.contains("#EXT-X-PLAYLIST-TYPE:EVENT"));
            let rate = master.split("BANDWIDTH=").nth(1).unwrap().split(',').next().unwrap();
            assert!(rate.parse::<u64>().unwrap() >= 800_000, "no less than the cap is told: {master}");
            for (folder, playlist) in [("mobile", &picture), ("audio-1", &sound)] {
                assert!(scene.path(&format!("out/{folder}/init.mp4")).exists());
                for name in segments(playlist) {
                    assert!(scene.path(&format!("out/{folder}/{name}")).exists(), "{folder}/{name}");
                }
            }
            // Browsers play sound on for seconds after the picture has stopped; the playlists are not read at the same moment.
            assert!(seconds(&sound) < seconds(&picture) + 2.5, "sound runs ahead: {sound} {picture}");
            grown.push(segments(&picture).len());
        }
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success());
    grown.dedup();
    assert!(grown.len() > 1 && grown.is_sorted(), "it grew: {grown:?}");
    let [_, picture, _] = playlists(&scene).unwrap();
    assert!(picture.contains("#EXT-X-PLAYLIST-TYPE:VOD") && picture.contains("#EXT-X-ENDLIST"));
    assert!(segments(&picture).len() >= *grown.last().unwrap());
    assert_eq!(scene.pictures("out/master.m3u8"), [(854, 480, 238)]);
}

#[test]
fn what_is_interrupted_leaves_no_playlist() {
    let scene = Scene::with_clip(238);
    let mut run = start(&scene);
    let started = Instant::now();
    while playlists(&scene).is_none() {
        assert!(started.elapsed() < Duration::from_secs(300), "nothing can be played");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupt = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(!scene.path("out").exists());
}

#[test]
fn a_folder_that_is_replaced_at_the_end_and_what_is_sealed_can_not_be_played_early() {
    let scene = Scene::with_clip(10);
    scene.vtp("encode in.mp4 --out out --play-early --force").failed(2, "--force");
    let sealed = "encode in.mp4 --out out --play-early --encrypt cbcs --key file:k --key-uri k";
    scene.vtp(sealed).failed(2, "--encrypt");
}
