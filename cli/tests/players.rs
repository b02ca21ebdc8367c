//! What we write, in the players that it is for: hls.js, dash.js and Shaka Player in Chromium. Each picture of the clip
//! carries its number and each audio track its own pitch, so that what is shown and heard is known for certain.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use common::players::{DASH_JS, HLS_JS, HLS_JS_STREAMS, PLAYERS, Player, SHAKA_DASH, SHAKA_HLS, drive, drive_after};
use common::{Scene, VTP, bundled, shared};
use serde_json::{Value, json};

/// Frames a second of the clip, and how many it has.
const RATE: f64 = 24.0;
const FRAMES: f64 = 240.0;
/// Language and pitch of each audio track.
const SOUNDS: [(&str, f64); 3] = [("en", 500.0), ("fr", 1000.0), ("de", 2000.0)];
/// Seconds to load ahead while playing.
const AHEAD: f64 = 4.0;
/// So few that seeking means loading.
const SHORT: f64 = 2.0;
/// hls.js has time 0 at the first decode time of transport streams, so all of it comes later by what reordering takes.
const STREAMS_LATE: f64 = 2.0 / RATE;
/// Players that play side by side where it does not matter how smoothly.
const LANES: u32 = 4;
/// What a browser that is short of time may drop of what it is given, besides what it drops of a plain file: a share.
const NOISE: f64 = 0.05;

/// The clip, and what was made of it in `out`.
struct Ladder {
    scene: Scene,
    report: Value,
}

impl Ladder {
    /// The one that tests which run at the same time share.
    fn shared() -> Arc<Self> {
        static MADE: Mutex<Weak<Ladder>> = Mutex::new(Weak::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.upgrade().unwrap_or_else(|| {
            let ladder = Arc::new(Self::new());
            *made = Arc::downgrade(&ladder);
            ladder
        })
    }

    fn new() -> Self {
        let scene = numbered("", "-c:a aac");
        // With B-pictures, which not every preset has.
        let options = "--speed superfast --no-measure --segment 2s --chunk 3s --hls-ts --progress none --json";
        let report = scene.vtp(&format!("encode in.mp4 --out out {options}")).json();
        Self { scene, report }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.report[name].as_array().unwrap()
    }
}

/// The frames at which a chunk starts that is not the first.
fn joins(report: &Value) -> Vec<f64> {
    let starts = report["renditions"][0]["chunks"].as_array().unwrap().iter().skip(1);
    let joins: Vec<f64> = starts.map(|chunk| (number(&chunk["start_s"]) * RATE).round()).collect();
    assert!(joins.len() > 1, "{joins:?}");
    joins
}

/// A scene with the clip in `in.mp4`, its pictures scaled and its sound coded so.
fn numbered(scale: &str, sound: &str) -> Scene {
    let scene = Scene::new();
    let tones =
        SOUNDS.map(|(_, hz)| format!("-f lavfi -i sine=frequency={hz}:sample_rate=48000:duration=10")).join(" ");
    let languages = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -metadata:s:a:2 language=deu";
    let coded = format!("-c:v libx264 -preset veryfast -g 24 {sound} {languages}");
    let maps = "-map 0:v -map 1:a -map 2:a -map 3:a";
    let filters = [scale, &numbers()].join(",");
    let filters = filters.trim_start_matches(',');
    scene.ffmpeg(&format!("-i {} {tones} {maps} -vf {filters} {coded} in.mp4", bundled().display()));
    scene
}

/// The filter that paints each picture's number along its lower edge, as `players/page/stage.js` reads it.
fn numbers() -> String {
    let place = |box_: u32, width: u32| format!("x=iw*{box_}/12:y=ih*11/12:w=iw*{width}/12:h=ih/12:t=fill");
    let bit = |bit: u32| format!("drawbox={}:c=white:enable='mod(floor(n/{})\\,2)'", place(bit + 1, 1), 1 << bit);
    let frame = [format!("drawbox={}:c=black", place(0, 12)), format!("drawbox={}:c=white", place(0, 1))];
    frame.into_iter().chain((0..10).map(bit)).collect::<Vec<_>>().join(",")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn steps(result: &Value) -> &[Value] {
    result["steps"].as_array().unwrap()
}

/// The steps that did one thing.
fn done<'a>(result: &'a Value, what: &str) -> Vec<&'a Value> {
    steps(result).iter().filter(|step| step["do"] == what).collect()
}

/// Nothing failed, and nobody complained: not the player, not the video element, not the console, not the server.
fn all_well(result: &Value) {
    let player = &result["player"];
    assert_eq!(result["complaints"], json!([]), "{player}");
    for step in steps(result) {
        let mut told = step.clone();
        told.as_object_mut().unwrap().remove("frames");
        assert_eq!((&step["failure"], &step["errors"]), (&Value::Null, &json!([])), "{player}: {told:#}");
    }
}

/// Takes complaints that hold this text out of a result.
fn forgive(result: &mut Value, text: &str) {
    result["complaints"].as_array_mut().unwrap().retain(|it| !it.as_str().unwrap().contains(text));
}

/// Every picture that was shown while playing is the one that belongs there, and no one goes back. A browser that is short
/// of time may show a later one by the time that it is looked at. Returns their widths.
fn right_pictures<'a>(steps: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    let shown: Vec<_> = steps.into_iter().flat_map(|step| step["frames"].as_array().unwrap()).collect();
    let numbers: Vec<f64> = shown.iter().map(|frame| number(&frame[1])).collect();
    let late: Vec<f64> =
        shown.iter().zip(&numbers).map(|(frame, shown)| shown - (number(&frame[0]) * RATE).round()).collect();
    assert!(late.iter().all(|late| (0.0..=RATE / 2.0).contains(late)), "{late:?}");
    let exact = late.iter().filter(|late| **late == 0.0).count();
    assert!(2 * exact >= late.len(), "{exact} of {} pictures are what they should be: {late:?}", late.len());
    assert!(numbers.is_sorted(), "{numbers:?}");
    shown.iter().map(|frame| frame[2].as_u64().unwrap()).collect()
}

/// It played to its end, and all is there, without a gap.
fn played_through(ladder: &Ladder, result: &Value) {
    let playing = done(result, "play");
    let end = playing.last().unwrap();
    let sound: f64 = number(&ladder.list("audio")[0]["samples"]) / number(&ladder.list("audio")[0]["sample_rate"]);
    let due = sound.max(FRAMES / RATE);
    assert_eq!(end["ended"], true);
    assert!((number(&end["duration"]) - due).abs() < 0.03, "{} s instead of {due}", end["duration"]);
    assert!((number(&end["time"]) - number(&end["duration"])).abs() < 0.03, "ends at {}", end["time"]);
    let [range] = &end["buffered"].as_array().unwrap()[..] else { panic!("gaps: {}", end["buffered"]) };
    // hls.js drops what was played when it changes the rendition.
    assert!(number(&range[1]) > FRAMES / RATE - 0.001, "{range}");
    let given = number(&end["total_frames"]);
    assert!(given >= FRAMES - 2.0, "{given} pictures were decoded");
}

/// How many pictures the browser drops of a plain file, played at twice its rate.
fn dropped_of_file(scene: &Scene) -> Option<f64> {
    static FOUND: Mutex<Option<f64>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_none() {
        let file = Player { page: "native", manifest: "in.mp4" };
        let case = file.case(".", &json!({}), &[json!({ "do": "play", "rate": 2.0 })]);
        let results = drive(&scene.path(""), 1, &[case])?;
        all_well(&results[0]);
        *found = Some(number(&steps(&results[0])[1]["dropped_frames"]));
    }
    *found
}

/// Plays at this rate from the start to the end, and changes the rendition on the way, as players that adapt do.
fn plays(player: Player, rate: f64, late: f64) {
    let ladder = Ladder::shared();
    let asked = [
        json!({ "do": "play", "to": 1.5, "rate": rate }),
        json!({ "do": "rendition", "place": "another", "smooth": true }),
        json!({ "do": "play", "rate": rate }),
    ];
    let Some(of_file) = dropped_of_file(&ladder.scene) else { return };
    let case = player.case("out", &json!({ "buffer": AHEAD }), &asked);
    let mut rough = Vec::new();
    // Other work on the machine only ever makes it rougher: the best of three counts.
    while rough.len() < 3 {
        let Some(results) = drive(&ladder.scene.path(""), 1, std::slice::from_ref(&case)) else { return };
        plays_well(&ladder, &in_place(&results[0], late));
        match roughness(&results[0], of_file) {
            None => return,
            Some(told) => rough.push(told),
        }
    }
    panic!("{rough:?}");
}

/// What a viewer would notice: that it stands still, waits again and again, or drops more than of the plain file.
fn roughness(result: &Value, of_file: f64) -> Option<String> {
    let playing = done(result, "play");
    let longest = playing.iter().map(|step| number(&step["longest_stand_s"])).fold(0.0, f64::max);
    let waits: f64 = playing.iter().map(|step| number(&step["waits"])).sum();
    let dropped = number(&playing.last().unwrap()["dropped_frames"]);
    let rough = longest > 0.5 || waits > 2.0 || dropped > of_file + NOISE * FRAMES;
    rough.then(|| {
        format!("stands for {longest} s, waits {waits} times, drops {dropped} pictures; of the file {of_file}")
    })
}

/// These steps so much later.
fn moved(asked: &[Value], by: f64) -> Vec<Value> {
    let mut asked = asked.to_vec();
    for step in &mut asked {
        if let Some(to) = step.get("to").and_then(Value::as_f64) {
            step["to"] = json!(to + by);
        }
    }
    asked
}

/// A result of steps that were moved so, with its times moved back.
fn in_place(result: &Value, by: f64) -> Value {
    let mut result = result.clone();
    let back = |time: &mut Value| {
        if let Some(at) = time.as_f64() {
            *time = json!(at - by);
        }
    };
    for step in result["steps"].as_array_mut().unwrap() {
        for name in ["to", "at", "time", "duration"] {
            step.get_mut(name).into_iter().for_each(back);
        }
        step["frames"].as_array_mut().unwrap().iter_mut().for_each(|frame| back(&mut frame[0]));
        step["buffered"].as_array_mut().unwrap().iter_mut().flat_map(|it| it.as_array_mut().unwrap()).for_each(back);
    }
    result
}

/// It played through, and showed each rendition.
fn plays_well(ladder: &Ladder, played: &Value) {
    all_well(played);
    played_through(ladder, played);
    let widths = right_pictures(steps(played));
    for rendition in ladder.list("renditions") {
        let shown = widths.iter().filter(|width| rendition["width"] == **width).count();
        assert!(shown > 10, "{shown} pictures of {}", rendition["width"]);
    }
}

/// A seek to the middle of the time of a picture.
fn seek(frame: f64) -> Value {
    json!({ "do": "seek", "to": (frame + 0.5) / RATE })
}

/// Seeking to both sides of `joins`, back and forward, and playing over them.
///
/// Each join is come to from afar, for browsers take a place that is not loaded for the next that is, if that is two
/// pictures away. None may be in the last segments: where dash.js has come to the end it does not load on behind what it
/// finds loaded, whoever made the stream.
fn seeking(joins: &[f64]) -> Vec<Value> {
    let back = joins.iter().rev().flat_map(|join| [*join - 8.0, *join - 1.0, *join]);
    let forward = joins.iter().flat_map(|join| [*join - 1.0, *join]);
    let over = |join: &f64| [seek(join - 6.0), json!({ "do": "play", "to": (join + 6.5) / RATE })];
    back.chain([0.0]).chain(forward).map(seek).chain(joins.iter().flat_map(over)).collect()
}

/// Seeking to both sides of the last join, and to the last picture, which hls.js may wait for forever where nothing near
/// it was sought before.
fn seeking_the_end(join: f64) -> [Value; 5] {
    [join - 8.0, join - 1.0, join, FRAMES - 14.0, FRAMES - 1.0].map(seek)
}

/// Each picture sought is the one that is shown, and joins are played over.
fn sought(result: &Value, joins: &[f64]) {
    let player = &result["player"];
    for step in done(result, "seek") {
        let due = (number(&step["to"]) * RATE).floor();
        assert_eq!(number(&step["number"]), due, "{player}: sought {} s", step["to"]);
    }
    let played = done(result, "play");
    assert_eq!(played.len(), joins.len());
    for (step, join) in played.into_iter().zip(joins) {
        right_pictures([step]);
        let shown: Vec<f64> = step["frames"].as_array().unwrap().iter().map(|frame| number(&frame[1])).collect();
        assert!(
            shown.iter().any(|shown| shown < join) && shown.iter().any(|shown| shown > join),
            "{player}: {shown:?}"
        );
    }
}

/// The player offers what there is.
fn offered(ladder: &Ladder, loaded: &Value) {
    let sizes = |list: &[Value]| {
        let mut sizes: Vec<_> = list.iter().map(|it| (it["width"].clone(), it["height"].clone())).collect();
        sizes.sort_by_key(|(width, _)| width.as_u64());
        sizes
    };
    assert_eq!(sizes(loaded["renditions"].as_array().unwrap()), sizes(ladder.list("renditions")));
    let languages: Vec<_> = loaded["audio"].as_array().unwrap().iter().map(|audio| &audio["language"]).collect();
    assert_eq!(languages, SOUNDS.map(|(language, _)| language));
}

#[test]
fn hls_js_plays_to_the_end_while_renditions_change() {
    plays(HLS_JS, 1.0, 0.0);
}

#[test]
fn dash_js_plays_to_the_end_while_renditions_change() {
    plays(DASH_JS, 2.0, 0.0);
}

#[test]
fn shaka_player_plays_hls_to_the_end_while_renditions_change() {
    plays(SHAKA_HLS, 2.0, 0.0);
}

#[test]
fn shaka_player_plays_dash_to_the_end_while_renditions_change() {
    plays(SHAKA_DASH, 2.0, 0.0);
}

#[test]
fn hls_js_plays_transport_streams_to_the_end_while_renditions_change() {
    plays(HLS_JS_STREAMS, 1.0, STREAMS_LATE);
}

#[test]
fn every_player_shows_what_was_sought_and_plays_what_was_chosen() {
    shows_and_plays(&PLAYERS, 0.0);
}

#[test]
fn hls_js_shows_what_was_sought_in_transport_streams_and_plays_what_was_chosen() {
    shows_and_plays(&[HLS_JS_STREAMS], STREAMS_LATE);
}

fn shows_and_plays(players: &[Player], late: f64) {
    let ladder = Ladder::shared();
    let joins = joins(&ladder.report);
    let (last, joins) = joins.split_last().unwrap();
    let mut asked = seeking(joins);
    asked.push(seek(2.0));
    let renditions = 0..ladder.list("renditions").len();
    asked.extend(renditions.map(|place| json!({ "do": "rendition", "place": place })));
    let sound = |place: usize| json!({ "do": "audio", "place": place, "hz": SOUNDS[place].1 });
    asked.extend((1..SOUNDS.len()).chain([0]).map(sound));
    asked.extend(seeking_the_end(*last));
    let cases: Vec<Value> =
        players.iter().map(|player| player.case("out", &json!({ "buffer": SHORT }), &moved(&asked, late))).collect();
    let Some(results) = drive(&ladder.scene.path(""), LANES, &cases) else { return };
    for result in &results.iter().map(|result| in_place(result, late)).collect::<Vec<_>>() {
        all_well(result);
        offered(&ladder, &steps(result)[0]);
        sought(result, joins);
        let player = &result["player"];
        let has_to_load = done(result, "seek").iter().any(|step| step["loaded"] == false);
        assert!(has_to_load, "{player}: no seek had to load anything");
        for step in done(result, "rendition") {
            assert_eq!((&step["width"], &step["height"]), (&step["due"]["width"], &step["due"]["height"]));
        }
        for step in done(result, "audio") {
            let (heard, due) = (number(&step["heard_hz"]), number(&step["hz"]));
            assert!((heard / due - 1.0).abs() < 0.03, "{player}: {heard} Hz instead of {due}");
        }
    }
}

/// Where the picture begins later than the sound, the manifests tell so, and players keep them together.
#[test]
fn a_picture_that_begins_after_its_sound_stays_with_it() {
    const LATE_S: f64 = 2.5;
    // The sound rises while this picture is shown.
    const RISES_S: f64 = 5.0;
    const RISES_TO: f64 = 2000.0;
    let scene = Scene::new();
    let picture = format!("-i {} -t 6 -an -vf {} -c:v libx264 -preset veryfast -g 24", bundled().display(), numbers());
    scene.ffmpeg(&format!("{picture} picture.mp4"));
    let sound = format!("aevalsrc='sin(2*PI*t*if(lt(t\\,{RISES_S})\\,500\\,{RISES_TO}))':s=48000:d=9");
    scene.ffmpeg(&format!(
        "-itsoffset {LATE_S} -i picture.mp4 -f lavfi -i {sound} -map 0:v -map 1:a -c:v copy -c:a aac in.mp4"
    ));
    scene.vtp(
        "encode in.mp4 --out out --ladder mobile --speed ultrafast --no-measure --segment 2s --progress none --json",
    );
    let asked = [json!({ "do": "audio", "place": 0, "hz": RISES_TO })];
    let cases: Vec<Value> =
        PLAYERS.iter().map(|player| player.case("out", &json!({ "autoplay": true }), &asked)).collect();
    let Some(results) = drive(&scene.path(""), 1, &cases) else { return };
    for result in &results {
        let heard = &steps(result)[1];
        assert_eq!(heard["failure"], Value::Null, "{}: {result:#}", result["player"]);
        // It plays on for half a second.
        let shown = number(&heard["frames"].as_array().unwrap().last().unwrap()[1]);
        let late = shown / RATE - (RISES_S - LATE_S + 0.5);
        assert!((-0.1..0.7).contains(&late), "{}: the picture is {late:+.2} s from its sound", result["player"]);
    }
}

/// Of the codecs that Chromium lacks, HEVC stands beside one that it has.
#[test]
fn av1_and_vp9_play_and_hevc_is_passed_over() {
    let scene = numbered("scale=426:240", "-c:a aac");
    let mut cases = Vec::new();
    let mut ladders = Vec::new();
    let some = [
        ("av1", "av01", &[HLS_JS, SHAKA_DASH][..]),
        ("vp9", "vp09", &[HLS_JS, DASH_JS]),
        ("hevc,h264", "avc1", &[HLS_JS, DASH_JS, SHAKA_DASH]),
    ];
    for (codecs, plays, players) in some {
        let options = "--speed ultrafast --no-measure --segment 2s --chunk 3s --progress none --json";
        let report = scene.vtp(&format!("encode in.mp4 --out {plays} --codec {codecs} {options}")).json();
        let joins = joins(&report)[..1].to_vec();
        let asked = seeking(&joins);
        cases.extend(players.iter().map(|player| player.case(plays, &json!({ "buffer": SHORT }), &asked)));
        ladders.extend(players.iter().map(|_| (plays, joins.clone())));
    }
    let Some(mut results) = drive(&scene.path(""), LANES, &cases) else { return };
    for (result, (plays, joins)) in results.iter_mut().zip(&ladders) {
        // dash.js says that it passes over what the browser does not play.
        forgive(result, "[CapabilitiesFilter]");
        all_well(result);
        let [rendition] = &steps(result)[0]["renditions"].as_array().unwrap()[..] else { panic!("{result}") };
        assert!(rendition["codec"].as_str().unwrap().starts_with(plays), "{rendition}");
        sought(result, joins);
    }
}

/// The content key of the tests, and its identifier.
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_ID: &str = "11111111-2222-3333-4444-555555555555";
/// Where a licence with it is: in the URL itself (W3C Encrypted Media Extensions, 9.1.4).
const LICENSE: &str = "data:application/json,%7B%22keys%22:%5B%7B%22kty%22:%22oct%22,%22kid%22:%22ERERESIiMzNERFVVVVVVVQ%22,\
                       %22k%22:%22AAECAwQFBgcICQoLDA0ODw%22%7D%5D,%22type%22:%22temporary%22%7D";

/// AES-128 in HLS, and cbcs with ClearKey. (hls.js has no ClearKey for playlists that name a key by its URI alone.)
#[test]
fn players_decrypt_what_was_encrypted() {
    let scene = numbered("scale=426:240", "-c:a aac");
    std::fs::write(scene.path("key.hex"), KEY).unwrap();
    let options = "--speed superfast --no-measure --segment 2s --chunk 3s --key file:key.hex --key-uri ../key.bin";
    let license = format!("--key-id {KEY_ID} --license-url {LICENSE}");
    for (out, how) in [("whole", "--encrypt aes-128"), ("samples", &format!("--encrypt cbcs {license}"))] {
        scene.vtp(&format!("encode in.mp4 --out {out} {how} {options} --progress none")).ok();
        std::fs::write(scene.path(out).join("key.bin"), (0..16).collect::<Vec<u8>>()).unwrap();
    }
    let asked = [
        seek(125.0),
        seek(60.0),
        json!({ "do": "play", "to": 3.5 }),
        json!({ "do": "audio", "place": 1, "hz": SOUNDS[1].1 }),
    ];
    let (whole, clear_keys) = (json!({ "buffer": AHEAD }), json!({ KEY_ID.replace('-', ""): KEY }));
    let samples = json!({ "buffer": AHEAD, "clear_keys": clear_keys });
    let cases = [
        HLS_JS.case("whole", &whole, &asked),
        SHAKA_HLS.case("whole", &whole, &asked),
        DASH_JS.case("samples", &samples, &asked),
        SHAKA_DASH.case("samples", &samples, &asked),
        // By what the MPD says alone.
        SHAKA_DASH.case("samples", &whole, &asked),
        SHAKA_HLS.case("samples", &samples, &asked),
    ];
    let Some(results) = drive(&scene.path(""), LANES, &cases) else { return };
    results.iter().for_each(all_well);
    for step in results.iter().flat_map(|result| done(result, "seek")) {
        let (due, at) = ((number(&step["to"]) * RATE).floor(), (number(&step["at"]) * RATE).round());
        // What came through a decryption module is not for pages to look at, and on a busy machine the browser passes
        // over some of it: it has shown the last picture that was loaded, 15 behind the one that was sought.
        let through_module = step["number"].is_null();
        assert!(at == due || (through_module && (due..due + RATE).contains(&at)), "{step}");
        assert!(through_module || number(&step["number"]) == due, "{step}");
    }
    let by_players = results[..2].iter().flat_map(|result| done(result, "seek"));
    by_players.for_each(|step| assert!(step["number"].is_number(), "{step}"));
}

#[test]
fn subtitles_are_shown_when_their_time_has_come() {
    let scene = numbered("scale=426:240", "-c:a aac");
    let cue = |from: &str, to: &str, text: &str| format!("1\n00:00:0{from} --> 00:00:0{to}\n{text}\n\n");
    // The second one lasts over the end of a segment.
    let english = [cue("1,500", "2,500", "The first words"), cue("3,200", "4,500", "The last ones")].concat();
    std::fs::write(scene.path("en.srt"), english).unwrap();
    std::fs::write(scene.path("fr.srt"), cue("1,500", "2,500", "Des mots")).unwrap();
    let options = "--speed superfast --no-measure --segment 2s --chunk 3s --progress none";
    scene.vtp(&format!("encode in.mp4 --out out --hls-ts --subtitle en=en.srt --subtitle fr=fr.srt {options}")).ok();
    let asked =
        [json!({ "do": "text", "place": 0, "to": 4.8 }), seek(6.0), json!({ "do": "text", "place": 1, "to": 2.8 })];
    let players = PLAYERS.into_iter().chain([HLS_JS_STREAMS]);
    let cases: Vec<Value> = players.map(|player| player.case("out", &json!({ "buffer": AHEAD }), &asked)).collect();
    let Some(results) = drive(&scene.path(""), LANES, &cases) else { return };
    let due = [vec![("The first words", 1.5, 2.5), ("The last ones", 3.2, 4.5)], vec![("Des mots", 1.5, 2.5)]];
    for result in &results {
        all_well(result);
        let languages: Vec<_> =
            steps(result)[0]["texts"].as_array().unwrap().iter().map(|it| &it["language"]).collect();
        assert_eq!(languages, ["en", "fr"]);
        for (step, due) in done(result, "text").into_iter().zip(&due) {
            let seen = step["seen"].as_array().unwrap();
            assert_eq!(seen.len(), due.len(), "{}: {seen:?}", result["player"]);
            for (cue, (text, from, until)) in seen.iter().zip(due) {
                assert_eq!(cue["text"], *text);
                let (shown, gone) = (number(&cue["from"]), number(&cue["until"]));
                // No text comes early or stays. dash.js loads texts later than it could, and comes late with some; the others do where
                // the machine has much else to do.
                let late = if result["player"] == "dash" { until - from } else { 0.9 };
                let in_time = shown >= *from && shown < from + late && gone < until + 0.9 && gone > until - late;
                assert!(in_time, "{}: {text} from {shown} s until {gone} s", result["player"]);
            }
        }
    }
}

/// Opus alone, so that what is heard is Opus; beside AAC it stands in groups that players choose by themselves.
#[test]
fn every_player_plays_each_track_in_opus() {
    let scene = numbered("scale=426:240", "-c:a aac");
    let report = scene.encode("in.mp4 --no-measure --segment 2s --audio opus");
    let codecs: Vec<_> = report["audio"].as_array().unwrap().iter().map(|audio| &audio["codec"]).collect();
    assert_eq!(codecs, ["opus"; SOUNDS.len()]);
    let sound = |place: usize| json!({ "do": "audio", "place": place, "hz": SOUNDS[place].1 });
    let asked = [seek(125.0), json!({ "do": "play", "to": 7.0 }), seek(60.0), sound(1), sound(2), sound(0)];
    let cases = PLAYERS.map(|player| player.case("out", &json!({ "buffer": AHEAD }), &asked));
    let Some(results) = drive(&scene.path(""), LANES, &cases) else { return };
    for result in &results {
        all_well(result);
        for step in done(result, "audio") {
            let (heard, due) = (number(&step["heard_hz"]), number(&step["hz"]));
            assert!((heard / due - 1.0).abs() < 0.03, "{}: {heard} Hz instead of {due}", result["player"]);
        }
    }
}

/// What is played while it is encoded: playlists that grow are played from their start, and on as they grow, to an end that
/// nobody knew when it began.
#[test]
fn what_is_still_being_encoded_plays_from_its_start_and_on_to_its_end() {
    let scene = numbered("scale=640:360", "-c:a aac");
    let words = "encode in.mp4 --out out --play-early --speed slow --segment 1s --chunk 1s --workers 1 --progress none";
    let mut command = Command::new(VTP);
    command.args(words.split(' ')).current_dir(scene.path(".")).env("VTP_CACHE", "none");
    let mut run = None;
    let begin = || {
        run = Some(command.spawn().unwrap());
        let started = Instant::now();
        while !scene.path("out/master.m3u8").exists() {
            assert!(started.elapsed() < Duration::from_secs(100), "nothing can be played");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let asked = [seek(10.0), json!({ "do": "play", "to": 9.6, "patience_s": 80 }), seek(30.0), seek(200.0)];
    let cases = [HLS_JS, SHAKA_HLS].map(|player| player.case("out", &json!({ "buffer": AHEAD }), &asked));
    let results = drive_after(begin, &scene.path(""), LANES, &cases);
    assert!(run.is_none_or(|mut run| run.wait().unwrap().success()));
    let Some(results) = results else { return };
    for result in &results {
        all_well(result);
        let loaded = &steps(result)[0];
        assert_eq!(loaded["growing"], true, "{loaded}");
        let playing = done(result, "play");
        right_pictures(playing.iter().copied());
        // Where sound is there before its pictures are, these are passed over: a third of all, when it was.
        let dropped = number(&playing[0]["dropped_frames"]);
        assert!(dropped < FRAMES / 5.0, "{}: {dropped} pictures were dropped", result["player"]);
        for step in done(result, "seek") {
            assert_eq!(number(&step["number"]), (number(&step["to"]) * RATE).floor(), "{}", result["player"]);
        }
    }
}

/// A film with stereo, 5.1, which is kept beside its mix, and Opus, in three languages, one of them unknown.
#[test]
fn a_real_film_plays_with_each_of_its_sounds() {
    let Some(film) = shared("media/torture/d_mkv_3audio_51_2srt_chapters.mkv") else { return };
    let scene = Scene::new();
    let report = scene.encode(&format!("{} --no-measure", film.display()));
    let channels: Vec<_> = report["audio"].as_array().unwrap().iter().map(|audio| &audio["channels"]).collect();
    assert_eq!(channels, [2, 2, 2, 6]);
    let cases = PLAYERS.map(|player| {
        // In HLS the surround sound is another group, of which players take one.
        let sounds = if player.manifest.ends_with(".mpd") { 4 } else { 3 };
        let each = (0..sounds).map(|place| json!({ "do": "audio", "place": place }));
        let asked: Vec<Value> = [json!({ "do": "play", "to": 1.0 })].into_iter().chain(each).collect();
        player.case("out", &json!({ "buffer": AHEAD }), &asked)
    });
    let Some(mut results) = drive(&scene.path(""), LANES, &cases) else { return };
    for result in &mut results {
        // The film's picture starts 21 ms after its sound, which dash.js remarks upon.
        forgive(result, "Adjusting playback time 0.02");
        all_well(result);
        assert!(done(result, "audio").iter().all(|step| number(&step["heard_hz"]) > 0.0));
    }
}
