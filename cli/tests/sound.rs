//! What `vtp encode` makes of sound: surround, and how loud it is. FFmpeg makes it and reads what came out.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::f64::consts::TAU;
use std::process::Command;

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
    decoded(scene, &format!("-i {file} -ss 0.5 -t 0.5"), channels)
}

/// What FFmpeg hears of the input that these words name, channel by channel.
fn decoded(scene: &Scene, input: &str, channels: usize) -> Vec<Vec<f64>> {
    scene.ffmpeg(&format!("{input} -map 0:a:0 -c:a pcm_f32le -f f32le heard.raw"));
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

/// What FFmpeg's filter `ebur128` measures of a file's sound: integrated loudness (LUFS) and true peak (dBTP).
fn r128(scene: &Scene, file: &str) -> (f64, f64) {
    let words =
        ["-hide_banner", "-nostats", "-i", file, "-map", "0:a:0", "-af", "ebur128=peak=true", "-f", "null", "-"];
    let ended = Command::new("ffmpeg").args(words).current_dir(scene.path(".")).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    let summary = &told[told.rfind("Summary:").unwrap()..];
    let figure = |name: &str| {
        let line = summary.lines().rfind(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap_or(f64::NEG_INFINITY)
    };
    (figure("I:"), figure("Peak:"))
}

/// Five seconds of pictures with sound from these sources of FFmpeg's filters, one a track.
fn loud_scene(tracks: &[&str]) -> Scene {
    let scene = Scene::new();
    let sources: String = tracks.iter().map(|source| format!(" -f lavfi -i {source}:d=5")).collect();
    let maps: String = (1..=tracks.len()).map(|input| format!(" -map {input}:a")).collect();
    let video = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=5";
    scene.ffmpeg(&format!("{video}{sources} -map 0:v{maps} -c:v libx264 -preset ultrafast -c:a pcm_s16le in.mkv"));
    scene
}

fn told(report: &Value, track: usize, figure: &str) -> Option<f64> {
    report["audio"][track]["loudness"][figure].as_f64()
}

#[test]
fn every_track_is_made_as_loud_as_asked_by_a_gain_of_its_own() {
    let surround =
        "aevalsrc=0.02*sin(440*2*PI*t)|0.02*sin(550*2*PI*t)|0.2*sin(660*2*PI*t)|0.1*sin(50*2*PI*t)|0|0:c=5.1";
    let scene = loud_scene(&["anoisesrc=c=pink:a=0.05:seed=1:r=48000", surround]);
    let report = scene.encode("in.mkv --no-measure --loudness -20");
    let folders: Vec<&str> =
        report["audio"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(folders.len(), 3);
    for (track, folder) in folders.iter().enumerate() {
        let (lufs, peak) = r128(&scene, &format!("out/{folder}/index.m3u8"));
        assert!((lufs + 20.0).abs() < 0.5, "{folder} is at {lufs} LUFS");
        assert!(peak < 0.0, "{folder} peaks at {peak} dBTP");
        let (measured, gain) = (told(&report, track, "measured_lufs"), told(&report, track, "gain_db"));
        assert!((measured.unwrap() + gain.unwrap() + 20.0).abs() < 0.02, "{report}");
        assert_eq!(report["audio"][track]["loudness"]["missed_because"], Value::Null);
    }
    let (own, _) = r128(&scene, "in.mkv");
    assert!((told(&report, 0, "measured_lufs").unwrap() - own).abs() < 0.15, "{own} LUFS by FFmpeg: {report}");
    assert_ne!(told(&report, 1, "gain_db"), told(&report, 2, "gain_db"), "the mix is measured by itself");
}

#[test]
fn a_track_with_high_peaks_gets_as_much_as_they_allow_and_the_report_says_why() {
    let beats = "aevalsrc=0.6*pow(sin(PI*t)\\,200)*sin(1000*2*PI*t)";
    let scene = loud_scene(&[beats, "anullsrc=cl=mono"]);
    let report = scene.encode("in.mkv --no-measure --loudness -8");
    let (lufs, peak) = r128(&scene, "out/audio-1/index.m3u8");
    assert!(lufs < -9.0 && (-1.5..-0.7).contains(&peak), "{lufs} LUFS, {peak} dBTP");
    let peak = told(&report, 0, "true_peak_dbtp").unwrap() + told(&report, 0, "gain_db").unwrap();
    assert!((peak + 1.0).abs() < 0.02, "{report}");
    let why = report["audio"][0]["loudness"]["missed_because"].as_str().unwrap();
    assert!(why.ends_with("LUFS, not -8.0: its true peak would be above -1 dBTP"), "{why}");
    let warnings: Vec<&str> = (report["warnings"].as_array().unwrap().iter())
        .filter_map(Value::as_str)
        .filter(|warning| warning.starts_with("audio"))
        .collect();
    assert_eq!(warnings, [format!("audio-1: {why}")], "silence needs none");
    assert_eq!((told(&report, 1, "measured_lufs"), told(&report, 1, "gain_db")), (None, Some(0.0)));
    assert_eq!(report["audio"][1]["loudness"]["missed_because"], "it is silent");
}

#[test]
fn sound_that_is_made_louder_stays_where_it_is() {
    let clicks = "aevalsrc=0.1*between(mod(t\\,1)\\,0.5\\,0.504)*cos(2*PI*1000*t)|0:c=stereo:s=48000";
    let scene = loud_scene(&[clicks]);
    let plain = scene.encode("in.mkv --no-measure");
    let louder = scene.encode_into("louder", "in.mkv --no-measure --loudness -30");
    assert_eq!(plain["audio"][0]["samples"], louder["audio"][0]["samples"]);
    let factor = 10.0_f64.powf(told(&louder, 0, "gain_db").unwrap() / 20.0);
    assert!(factor > 1.2, "{louder}");
    let one = &middle(&scene, "out/audio-1/index.m3u8", 2)[0];
    let other = &middle(&scene, "louder/audio-1/index.m3u8", 2)[0];
    assert_eq!(one.len(), other.len());
    let off = |shift: usize| -> f64 {
        one.iter().zip(&other[shift..]).map(|(one, other)| (one * factor - other).powi(2)).sum()
    };
    let best = (0..20).min_by(|&a, &b| off(a).total_cmp(&off(b)));
    assert_eq!(best, Some(0), "not a sample later");
    assert!(off(0) < 0.05 * one.iter().map(|it| (it * factor).powi(2)).sum::<f64>());
}

/// What ffprobe tells of the sound in a file.
fn probed(scene: &Scene, file: &str) -> Value {
    let words = ["-v", "error", "-select_streams", "a:0", "-show_streams", "-of", "json", file];
    let ended = Command::new("ffprobe").args(words).current_dir(scene.path(".")).output().unwrap();
    serde_json::from_slice::<Value>(&ended.stdout).unwrap()["streams"][0].clone()
}

#[test]
fn opus_stands_beside_aac_in_groups_and_sets_of_its_own_and_in_the_same_place() {
    let scene = scene();
    let report = scene.encode("in.mkv --no-measure --audio opus,aac --segment 1s");
    let tracks: Vec<(&str, &str)> = (report["audio"].as_array().unwrap().iter())
        .map(|track| (track["name"].as_str().unwrap(), track["codec"].as_str().unwrap()))
        .collect();
    let aac = ["audio-en", "audio-de", "surround-en"].map(|name| (name, "mp4a.40.2"));
    let opus = ["opus-en", "opus-de", "opus-surround-en"].map(|name| (name, "opus"));
    assert_eq!(tracks, [aac, opus].concat());

    let master = std::fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    let variants: Vec<&str> = master.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF:")).collect();
    for (group, codec) in
        [("audio", "mp4a.40.2"), ("surround", "mp4a.40.2"), ("opus", "opus"), ("opus-surround", "opus")]
    {
        assert_eq!(master.matches(&format!("GROUP-ID=\"{group}\"")).count(), 2, "{group}: {master}");
        let of = format!("AUDIO=\"{group}\"");
        let variant = variants.iter().find(|line| line.contains(&of)).unwrap();
        assert!(variant.contains(&format!(",{codec}\"")), "{variant}");
    }
    assert!(variants.len() == 4 && variants[0].contains("AUDIO=\"audio\""), "{master}");
    let manifest = std::fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    assert_eq!(manifest.matches("codecs=\"opus\"").count(), 3);
    assert_eq!(manifest.matches("codecs=\"mp4a.40.2\"").count(), 3);

    for (folder, channels) in [("opus-en", 2), ("opus-surround-en", 6)] {
        let stream = probed(&scene, &format!("out/{folder}/index.m3u8"));
        assert_eq!((&stream["codec_name"], &stream["channels"]), (&"opus".into(), &channels.into()), "{stream}");
    }
    let heard = middle(&scene, "out/opus-surround-en/index.m3u8", 6);
    for (channel, samples) in heard.iter().enumerate() {
        let level = loudness(samples, TONES[channel]);
        assert!((0.15..0.25).contains(&level), "channel {channel} is at {level}");
    }
    let checked = scene.vtp("check out --failed");
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
}

#[test]
fn clicks_are_heard_at_the_same_sample_in_opus_as_in_the_source() {
    let clicks = "aevalsrc=0.5*between(mod(t\\,1)\\,0.7\\,0.704)*cos(2*PI*1000*t)|0:c=stereo:s=44100";
    let scene = loud_scene(&[clicks]);
    scene.encode("in.mkv --no-measure --audio aac,opus");
    let source = &decoded(&scene, "-i in.mkv -ar 48000", 2)[0];
    let init = std::fs::read(scene.path("out/opus-1/init.mp4")).unwrap();
    let segments = (1..).map(|n| scene.path(&format!("out/opus-1/seg-{n:05}.m4s"))).take_while(|path| path.exists());
    let bytes: Vec<u8> = segments.flat_map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!bytes.is_empty());
    std::fs::write(scene.path("opus.mp4"), [init, bytes].concat()).unwrap();
    let opus = &decoded(&scene, "-i opus.mp4", 2)[0];
    for second in 0..5 {
        let from = second * 48_000 + 33_000;
        let off =
            |shift: usize| -> f64 { (from..from + 1600).map(|n| (source[n] - opus[n + shift - 400]).powi(2)).sum() };
        assert_eq!((0..800).min_by(|&a, &b| off(a).total_cmp(&off(b))), Some(400), "in second {second}");
    }
    assert!((240_000..240_960).contains(&opus.len()), "{} samples", opus.len());
}

#[test]
fn opus_is_not_encrypted_sample_by_sample_and_the_run_says_so() {
    let scene = loud_scene(&["anullsrc=cl=mono"]);
    std::fs::write(scene.path("key.txt"), "00112233445566778899aabbccddeeff").unwrap();
    let line = "encode in.mkv --out out --no-measure --encrypt cbcs --key file:key.txt --key-uri k --progress none";
    let ended = scene.vtp(&format!("{line} --audio aac,opus"));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("opus is not encrypted by cbcs here"), "{}", ended.stderr);
    assert_eq!(scene.vtp(&format!("{line} --audio aac")).code, Some(0));
}

#[test]
fn what_a_track_is_for_stands_in_both_manifests() {
    let scene = Scene::new();
    let inputs = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=2 -f lavfi -i sine=440:d=2";
    let maps = "-map 0:v -map 1:a -map 1:a -map 1:a -map 1:a -map 1:a -c:v libx264 -preset ultrafast -c:a aac";
    let purposes = "-disposition:a:0 default -disposition:a:1 comment -disposition:a:2 visual_impaired \
                    -disposition:a:3 hearing_impaired -disposition:a:4 0";
    let languages = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=eng -metadata:s:a:2 language=eng \
                     -metadata:s:a:3 language=eng -metadata:s:a:4 language=deu";
    scene.ffmpeg(&format!("{inputs} {maps} {purposes} {languages} in.mkv"));
    scene.encode("in.mkv --no-measure");
    let master = std::fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    let media: Vec<&str> = master.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO")).collect();
    let chosen: Vec<bool> = media.iter().map(|line| line.contains("AUTOSELECT=YES")).collect();
    assert_eq!(chosen, [true, false, true, false, true], "{master}");
    let describing: Vec<bool> =
        media.iter().map(|line| line.contains("CHARACTERISTICS=\"public.accessibility.describes-video\"")).collect();
    assert_eq!(describing, [false, false, true, false, false], "{master}");
    let manifest = std::fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    let sets: Vec<&str> =
        manifest.split("<AdaptationSet").filter(|set| set.contains("contentType=\"audio\"")).collect();
    let valued = |element: &str| -> Vec<Vec<&str>> {
        sets.iter()
            .map(|set| {
                let tags = set.split('<').filter(|tag| tag.starts_with(element));
                tags.map(|tag| tag.split("value=\"").nth(1).unwrap().split('"').next().unwrap()).collect()
            })
            .collect()
    };
    let clear = "enhanced-audio-intelligibility";
    let roles = [vec!["main"], vec!["commentary"], vec!["description"], vec![clear], vec!["alternate"]];
    assert_eq!(valued("Role "), roles, "{manifest}");
    assert_eq!(valued("Accessibility "), [vec![], vec![], vec!["description"], vec![clear], vec![]], "{manifest}");
    let checked = scene.vtp("check out --failed");
    // One size of pictures makes one variant; nothing else is broken.
    let broken: Vec<&str> = checked.stdout.lines().filter(|line| line.starts_with('✗')).collect();
    assert!(broken.len() == 1 && broken[0].starts_with("✗ variants "), "{}", checked.stdout);
}

/// The seconds that a media playlist's segments last.
fn lasts(scene: &Scene, playlist: &str) -> f64 {
    let text = std::fs::read_to_string(scene.path(playlist)).unwrap();
    let tags = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
    tags.map(|tag| tag.trim_end_matches(',').parse::<f64>().unwrap()).sum()
}

#[test]
fn a_track_that_ends_long_before_the_picture_is_silent_up_to_its_end() {
    let scene = Scene::new();
    let pictures = "-f lavfi -i testsrc2=size=160x96:rate=25:duration=16";
    let sounds = "-f lavfi -i sine=440:r=48000:d=4 -f lavfi -i sine=660:r=48000:d=16";
    scene.ffmpeg(&format!(
        "{pictures} {sounds} -map 0:v -map 1:a -map 2:a -c:v libx264 -preset ultrafast -g 25 -c:a aac in.mp4"
    ));
    let heard = |input: &str| decoded(&scene, &format!("-i {input}"), 1).remove(0);
    let source = heard("in.mp4");
    for (audio, out) in [("aac --hls-ts", "encoded"), ("copy --hls-ts", "copied"), ("opus", "opus")] {
        let report = scene.encode_into(out, &format!("in.mp4 --no-measure --segment 2s --audio {audio}"));
        let folders: Vec<&str> =
            report["audio"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        let seconds: Vec<f64> =
            folders.iter().map(|folder| lasts(&scene, &format!("{out}/{folder}/index.m3u8"))).collect();
        assert!(seconds.iter().all(|seconds| (15.99..16.05).contains(seconds)), "{folders:?}: {seconds:?}");
        // The first track's own sound, and nothing else.
        let ours = heard(&format!("{out}/{}/index.m3u8", folders[0]));
        let volume = |samples: &[f64]| (samples.iter().map(|it| it * it).sum::<f64>() / samples.len() as f64).sqrt();
        let (begin, end) = (RATE as usize, 4 * RATE as usize);
        assert!((volume(&ours[begin..end]) / volume(&source[begin..end]) - 1.0).abs() < 0.05, "{audio}");
        assert!(ours.len() >= 16 * RATE as usize && ours[end + 4096..].iter().all(|it| it.abs() < 1e-3), "{audio}");
        let checked = scene.vtp(&format!("check {out} --failed"));
        let broken: Vec<&str> = checked.stdout.lines().filter(|line| line.starts_with('✗')).collect();
        // One size of pictures makes one variant.
        let known = |line: &&str| line.starts_with("✗ variants ") || (audio == "opus" && line.contains("stereo-aac"));
        assert!(broken.iter().all(known), "{}", checked.stdout);
    }
}

/// Checksums of a track's packets.
fn packets(scene: &Scene, file: &str, track: usize) -> Vec<String> {
    let hashes = scene.ffmpeg(&format!("-i {file} -map 0:a:{track} -c copy -f framehash -hash crc32 -"));
    let of = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    hashes.lines().filter(|line| !line.starts_with('#')).map(of).collect()
}

#[test]
fn dolby_sound_is_passed_on_packet_by_packet_beside_aac_and_in_step_with_the_picture() {
    for (codec, name, folder) in [("ac3", "ac-3", "ac3-en"), ("eac3", "ec-3", "eac3-en")] {
        let scene = scene();
        scene.ffmpeg(&format!("-i in.mkv -map 0 -c copy -c:a:0 {codec} -b:a:0 384k source.mkv"));
        let report = scene.encode("source.mkv --no-measure --audio aac,copy --files mkv");
        let tracks: Vec<(&str, &str, u64)> = (report["audio"].as_array().unwrap().iter())
            .map(|it| (it["name"].as_str().unwrap(), it["codec"].as_str().unwrap(), it["channels"].as_u64().unwrap()))
            .collect();
        let aac = "mp4a.40.2";
        let due = [("audio-en", aac, 2), ("audio-de", aac, 2), ("surround-en", aac, 6), (folder, name, 6)];
        assert_eq!(tracks, due);
        let (ours, source) =
            (packets(&scene, &format!("out/{folder}/index.m3u8"), 0), packets(&scene, "source.mkv", 0));
        assert!(
            ours.ends_with(&source) && ours.len() <= source.len() + 1,
            "at most silence before it: {ours:?}, {source:?}"
        );
        let heard = |input: &str| decoded(&scene, &format!("-i {input}"), 6);
        let (ours, source) = (heard(&format!("out/{folder}/index.m3u8")), heard("source.mkv"));
        // The decoder's dither depends on how much it has decoded.
        let apart = |(ours, source): (&Vec<f64>, &Vec<f64>)| {
            let last = ours.iter().rev().zip(source.iter().rev()).take(48_000);
            last.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(ours.iter().zip(&source).map(apart).fold(0.0, f64::max) < 1e-3);
        let master = std::fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
        let group = format!("GROUP-ID=\"{codec}\"");
        let offered: Vec<&str> = master.lines().filter(|line| line.contains(&group)).collect();
        assert!(offered.len() == 2 && offered[0].contains("CHANNELS=\"6\""), "{master}");
        assert!(offered[1].contains("audio-de/"), "a language that is not there in it is there in AAC: {master}");
        assert!(
            master.contains(&format!("mp4a.40.2,{name}\"")) || master.contains(&format!("{name},mp4a.40.2\"")),
            "{master}"
        );
        scene.vtp("check out").ok();
        std::fs::write(scene.path("key.txt"), "00112233445566778899aabbccddeeff").unwrap();
        scene.encode_into(
            "sealed",
            "source.mkv --no-measure --audio copy --encrypt cbcs --key file:key.txt --key-uri k",
        );
    }
}

#[test]
fn sound_that_is_copied_alone_replaces_what_would_be_encoded_and_the_rest_is_encoded() {
    let scene = scene();
    scene.ffmpeg("-i in.mkv -map 0 -map 0:a:1 -c copy -c:a:2 libmp3lame source.mkv");
    let report = scene.encode("source.mkv --no-measure --audio copy --files mkv");
    let tracks: Vec<(&str, &str)> = (report["audio"].as_array().unwrap().iter())
        .map(|it| (it["name"].as_str().unwrap(), it["codec"].as_str().unwrap()))
        .collect();
    assert_eq!(tracks, [("ac3-en", "ac-3"), ("audio-de", "mp4a.40.2"), ("audio-de-2", "mp4a.40.2")]);
    assert_eq!(report["files"][0]["audio"].as_array().unwrap().len(), 3);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("audio track 3 was encoded, not copied: it is mp3"), "{warnings}");
    let (ours, source) = (packets(&scene, "out/audio-de/index.m3u8", 0), packets(&scene, "source.mkv", 1));
    assert!(ours.ends_with(&source), "{ours:?}, {source:?}");
    let probed = scene.ffprobe("-show_entries stream=codec_name out/video.mkv");
    let names: Vec<&str> =
        probed["streams"].as_array().unwrap().iter().map(|it| it["codec_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["h264", "ac3", "aac", "aac"]);
}

#[test]
fn sound_that_is_copied_and_sound_that_is_to_be_louder_exclude_each_other() {
    let scene = scene();
    let ended = scene.vtp("encode in.mkv --out out --audio aac,copy --loudness -23 --progress none");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("leave out --loudness, or copy in --audio"), "{}", ended.stderr);
}
