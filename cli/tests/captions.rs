//! Captions inside the video (CEA-608 in caption data of ATSC A/53): the pictures of every rendition carry those of the
//! source's pictures, byte for byte, and the manifests tell of them.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::fs;

use common::media::turn_by_90_degrees;
use common::{Scene, bundled};

/// Frames of the clip that the tests make.
const FRAMES: usize = 96;

/// An SEI unit of H.264 with caption data (ITU-T H.264, D.1.6; ATSC A/53 Part 4, 6.2.3) of these pairs.
fn caption_unit(pairs: &[[u8; 3]]) -> Vec<u8> {
    let mut body = vec![0xB5, 0x00, 0x31];
    body.extend(b"GA94\x03");
    body.extend([0x40 | pairs.len() as u8, 0xFF]);
    body.extend(pairs.concat());
    body.push(0xFF);
    let head = [0, 0, 0, 1, 6, 4, body.len() as u8];
    [&head[..], &body, &[0x80]].concat()
}

/// What picture `place`, counted in decode order, carries: every fifth nothing; else a control code of CC1 or a pair of
/// characters that no other one has, and what stands in the second field.
fn pairs(place: usize) -> Vec<[u8; 3]> {
    let letters = [0xA1 + (place / 8) as u8, 0xB1 + (place % 8) as u8];
    match place % 5 {
        4 => Vec::new(),
        0 => vec![[0xFC, 0x94, 0x20], [0xFD, 0x80, 0x80]],
        _ => vec![[0xFC, letters[0], letters[1]], [0xFD, 0x80, 0x80]],
    }
}

/// Puts the caption data of each picture behind its access unit delimiter.
fn captioned(stream: &[u8]) -> Vec<u8> {
    const DELIMITER: [u8; 5] = [0, 0, 0, 1, 9];
    let mut out = Vec::new();
    let mut starts: Vec<usize> = (0..stream.len()).filter(|&at| stream[at..].starts_with(&DELIMITER)).collect();
    assert_eq!(starts.len(), FRAMES);
    starts.push(stream.len());
    for (place, ends) in starts.windows(2).enumerate() {
        let (delimiter, rest) = stream[ends[0]..ends[1]].split_at(DELIMITER.len() + 1);
        out.extend_from_slice(delimiter);
        match &pairs(place)[..] {
            [] => {}
            pairs => out.extend(caption_unit(pairs)),
        }
        out.extend_from_slice(rest);
    }
    out
}

/// A clip with captions in `in.mp4`, with pictures that are reordered.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.ffmpeg(&format!(
        "-i {} -frames:v {FRAMES} -an -s 960x540 -c:v libx264 -preset veryfast -bf 0 -g 24 -x264-params aud=1 plain.h264",
        bundled().display()
    ));
    let stream = fs::read(scene.path("plain.h264")).unwrap();
    fs::write(scene.path("with.h264"), captioned(&stream)).unwrap();
    scene.ffmpeg("-r 24 -i with.h264 -c copy straight.mp4");
    // FFmpeg keeps them when it encodes; from an elementary stream it can't tell when reordered pictures are shown.
    scene.ffmpeg("-i straight.mp4 -c:v libx264 -preset veryfast -bf 2 -g 24 in.mp4");
    scene
}

/// Caption data: when its picture is shown, in ticks of 90 kHz, and its bytes.
type Caption = (i64, Vec<u8>);

/// The caption data that FFmpeg decodes of a file's pictures.
fn captions(scene: &Scene, file: &str) -> Vec<Caption> {
    packets(scene, &format!("-f lavfi -i movie={file}[out0+subcc] -select_streams s"))
}

/// The caption data in the temporal units of an AV1 file. (Decoders may give that of a picture which was decoded before it is
/// shown to another one: dav1d 1.0 does.)
fn captions_of_units(scene: &Scene, file: &str) -> Vec<Caption> {
    const BEFORE: [u8; 9] = [4, 0xB5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3];
    let units = packets(scene, &format!("-i {file}")).into_iter();
    let found = units.filter_map(|(time, bytes)| {
        let at = bytes.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
        let pairs = usize::from(bytes[at] & 0x1F);
        Some((time, bytes[at + 2..][..3 * pairs].to_vec()))
    });
    found.collect()
}

/// When packets are shown, and their bytes.
fn packets(scene: &Scene, of: &str) -> Vec<Caption> {
    let shown = scene.ffprobe(&format!("{of} -show_packets -show_data"));
    let packets = shown["packets"].as_array().unwrap().iter();
    let time = |value: &serde_json::Value| (value.as_str().unwrap().parse::<f64>().unwrap() * 90_000.0).round() as i64;
    packets.map(|it| (time(&it["pts_time"]), bytes(it["data"].as_str().unwrap()))).collect()
}

/// The bytes of a hexadecimal dump: of each line what stands between the colon and two blanks.
fn bytes(dump: &str) -> Vec<u8> {
    let lines = dump.lines().filter_map(|line| line.split_once(": "));
    let digits: String = lines.flat_map(|(_, rest)| rest.split("  ").next().unwrap().split(' ')).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// A rendition as one file.
fn whole(scene: &Scene, rendition: &str) -> String {
    let folder = scene.path(&format!("out/{rendition}"));
    let playlist = fs::read_to_string(folder.join("index.m3u8")).unwrap();
    let names = std::iter::once("init.mp4").chain(playlist.lines().filter(|line| !line.starts_with('#')));
    let bytes: Vec<u8> = names.flat_map(|name| fs::read(folder.join(name)).unwrap()).collect();
    fs::write(scene.path(&format!("{rendition}.mp4")), bytes).unwrap();
    format!("{rendition}.mp4")
}

/// Its transport streams as one file.
fn whole_stream(scene: &Scene, rendition: &str) -> String {
    let folder = scene.path(&format!("out/{rendition}/ts"));
    let playlist = fs::read_to_string(folder.join("index.m3u8")).unwrap();
    let names = playlist.lines().filter(|line| !line.starts_with('#'));
    let bytes: Vec<u8> = names.flat_map(|name| fs::read(folder.join(name)).unwrap()).collect();
    fs::write(scene.path(&format!("{rendition}.ts")), bytes).unwrap();
    format!("{rendition}.ts")
}

#[test]
fn captions_in_the_video_are_carried_through_encoding_and_scaling() {
    let scene = scene();
    let report = scene.encode("in.mp4 --no-measure --segment 1s --chunk 1s --hls-ts");
    assert_eq!(report["captions"], serde_json::json!(["CC1"]));
    let due = captions(&scene, "in.mp4");
    assert_eq!(due.len(), FRAMES - FRAMES / 5);
    let names: Vec<&str> =
        report["renditions"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let file = whole(&scene, name);
        assert_eq!(captions(&scene, &file), due, "{name}");
        // Time 0 is at ten seconds of the streams.
        let streamed = captions(&scene, &whole_stream(&scene, name));
        let streamed: Vec<Caption> = streamed.into_iter().map(|(at, bytes)| (at - 900_000, bytes)).collect();
        assert_eq!(streamed, due, "{name} in transport streams");
    }
    let master = fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    let media =
        "TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",LANGUAGE=\"und\",NAME=\"CC1\",AUTOSELECT=YES,INSTREAM-ID=\"CC1\"";
    assert!(master.contains(media), "{master}");
    let old = fs::read_to_string(scene.path("out/master-ts.m3u8")).unwrap();
    assert!(old.contains(media) && old.contains("CLOSED-CAPTIONS=\"captions\""), "{old}");
    assert!(master.contains("CLOSED-CAPTIONS=\"captions\"") && !master.contains("CLOSED-CAPTIONS=NONE"), "{master}");
    let mpd = fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    assert!(mpd.contains("schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"CC1=und\""), "{mpd}");
}

#[test]
fn captions_in_the_video_are_carried_by_h265_and_av1_and_missed_by_vp9() {
    let scene = scene();
    let due = captions(&scene, "in.mp4");
    let report = scene.encode("in.mp4 --no-measure --ladder mobile --codec h264,hevc,av1,vp9 --segment 2s");
    let renditions = report["renditions"].as_array().unwrap();
    assert_eq!(renditions.len(), 4);
    for rendition in renditions {
        let (name, codec) = (rendition["name"].as_str().unwrap(), rendition["codec"].as_str().unwrap());
        let file = whole(&scene, name);
        let found = if codec.starts_with("av01") { captions_of_units(&scene, &file) } else { captions(&scene, &file) };
        let expected = if codec.starts_with("vp09") { &[][..] } else { &due };
        assert_eq!(found, expected, "{codec}");
    }
    assert!(report["warnings"].to_string().contains("their codec holds none"), "{}", report["warnings"]);
    let master = fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    assert_eq!(master.matches("CLOSED-CAPTIONS=\"captions\"").count(), 3, "{master}");
    assert!(!master.contains("CLOSED-CAPTIONS=NONE"), "{master}");
    let mpd = fs::read_to_string(scene.path("out/manifest.mpd")).unwrap();
    assert_eq!(mpd.matches("urn:scte:dash:cc:cea-608:2015").count(), 3);
}

#[test]
fn captions_in_the_video_are_carried_through_lossless_copies_and_packet_copies() {
    let scene = scene();
    let due = captions(&scene, "in.mp4");
    for ladder in ["archive", "copy"] {
        scene.encode(&format!("in.mp4 --no-measure --ladder {ladder} --force"));
        let file = whole(&scene, ladder);
        assert_eq!(captions(&scene, &file), due, "{ladder}");
    }
}

#[test]
fn captions_in_the_video_are_carried_through_deinterlacing_and_turning() {
    let scene = scene();
    let fields = "-vf setfield=tff -c:v libx264 -preset veryfast -flags +ildct+ilme -x264-params tff=1 -g 24";
    scene.ffmpeg(&format!("-i in.mp4 {fields} fields.mp4"));
    turn_by_90_degrees(&scene.path("fields.mp4"));
    let due = captions(&scene, "fields.mp4");
    assert_eq!(due.len(), FRAMES - FRAMES / 5);
    scene.encode("fields.mp4 --no-measure --ladder mobile");
    let file = whole(&scene, "mobile");
    assert_eq!(captions(&scene, &file), due);
}

#[test]
fn a_video_without_captions_says_that_there_are_none() {
    let scene = Scene::with_clip(24);
    let report = scene.encode("in.mp4 --no-measure --ladder mobile");
    assert_eq!(report["captions"], serde_json::json!([]));
    let master = fs::read_to_string(scene.path("out/master.m3u8")).unwrap();
    assert!(master.contains("CLOSED-CAPTIONS=NONE") && !master.contains("TYPE=CLOSED-CAPTIONS"), "{master}");
    assert!(!fs::read_to_string(scene.path("out/manifest.mpd")).unwrap().contains("Accessibility"));
}
