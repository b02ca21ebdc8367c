//! What we write, in the players that it is for: hls.js, dash.js and Shaka Player in Chromium. Each picture of the clip
//! carries its number and each audio track its own pitch, so that what is shown and heard is known for certain.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use common::players::{DASH_JS, HLS_JS, PLAYERS, Player, SHAKA_DASH, SHAKA_HLS, drive};
use common::{Scene, bundled, shared};
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
        let scene = Scene::new();
        let tones = SOUNDS.map(|(_, hz)| format!("-f lavfi -i sine=frequency={hz}:sample_rate=48000:duration=10"));
        let languages = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -metadata:s:a:2 language=deu";
        let coded = format!("-c:v libx264 -preset veryfast -g 24 -c:a aac {languages}");
        let maps = "-map 0:v -map 1:a -map 2:a -map 3:a";
        scene.ffmpeg(&format!(
            "-i {} {} {maps} -vf {} {coded} in.mp4",
            bundled().display(),
            tones.join(" "),
            numbers()
        ));
        // With B-pictures, which not every preset has.
        let options = "--speed superfast --no-measure --segment 2s --chunk 3s --progress none --json";
        let report = scene.vtp(&format!("encode in.mp4 --out out {options}")).json();
        Self { scene, report }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.report[name].as_array().unwrap()
    }

    /// The frames at which a chunk starts that is not the first.
    fn joins(&self) -> Vec<f64> {
        let starts = self.list("renditions")[0]["chunks"].as_array().unwrap().iter().skip(1);
        let joins: Vec<f64> = starts.map(|chunk| (number(&chunk["start_s"]) * RATE).round()).collect();
        assert!(joins.len() > 1, "{joins:?}");
        joins
    }
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

/// Every picture that was shown while playing is the one that belongs there, and no one goes back. A browser that is short
/// of time may show the next one by the time that it is looked at. Returns their widths.
fn right_pictures<'a>(steps: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    let shown: Vec<_> = steps.into_iter().flat_map(|step| step["frames"].as_array().unwrap()).collect();
    let numbers: Vec<f64> = shown.iter().map(|frame| number(&frame[1])).collect();
    let late: Vec<f64> =
        shown.iter().zip(&numbers).map(|(frame, shown)| shown - (number(&frame[0]) * RATE).round()).collect();
    assert!(late.iter().all(|late| (0.0..=2.0).contains(late)), "{late:?}");
    let exact = late.iter().filter(|late| **late == 0.0).count();
    assert!(2 * exact >= late.len(), "{exact} of {} pictures are what they should be: {late:?}", late.len());
    assert!(numbers.is_sorted(), "{numbers:?}");
    shown.iter().map(|frame| frame[2].as_u64().unwrap()).collect()
}

/// It played to its end without standing still, and all is there, without a gap.
fn played_through(ladder: &Ladder, result: &Value, dropped_of_file: f64) {
    let playing = done(result, "play");
    for step in &playing {
        assert_eq!(step["waits"], 0, "{}: waits for data", result["player"]);
        assert!(
            number(&step["longest_stand_s"]) < 0.5,
            "{}: stands for {} s",
            result["player"],
            step["longest_stand_s"]
        );
    }
    let end = playing.last().unwrap();
    let sound: f64 = number(&ladder.list("audio")[0]["samples"]) / number(&ladder.list("audio")[0]["sample_rate"]);
    let due = sound.max(FRAMES / RATE);
    assert_eq!(end["ended"], true);
    assert!((number(&end["duration"]) - due).abs() < 0.03, "{} s instead of {due}", end["duration"]);
    assert!((number(&end["time"]) - number(&end["duration"])).abs() < 0.03, "ends at {}", end["time"]);
    let [range] = &end["buffered"].as_array().unwrap()[..] else { panic!("gaps: {}", end["buffered"]) };
    // hls.js drops what was played when it changes the rendition.
    assert!(number(&range[1]) > FRAMES / RATE - 0.001, "{range}");
    let (dropped, given) = (number(&end["dropped_frames"]), number(&end["total_frames"]));
    assert!(given >= FRAMES - 2.0, "{given} pictures were decoded");
    assert!(dropped <= dropped_of_file + NOISE * given, "{dropped} of {given} dropped, of the file {dropped_of_file}");
}

/// How many pictures the browser drops of a plain file, played at twice its rate.
fn dropped_of_file(scene: &Scene) -> Option<f64> {
    static FOUND: Mutex<Option<f64>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_none() {
        let file = Player { page: "native", manifest: "in.mp4" };
        let case = file.case(".", &json!({}), &[json!({ "do": "play", "rate": 2.0 })]);
        let results = drive(&scene.path(""), &[case])?;
        all_well(&results[0]);
        *found = Some(number(&steps(&results[0])[1]["dropped_frames"]));
    }
    *found
}

/// Plays at this rate from the start to the end, and changes the rendition on the way, as players that adapt do.
fn plays(player: Player, rate: f64) {
    let ladder = Ladder::shared();
    let asked = [
        json!({ "do": "play", "to": 1.5, "rate": rate }),
        json!({ "do": "rendition", "place": "another", "smooth": true }),
        json!({ "do": "play", "rate": rate }),
    ];
    let Some(noise) = dropped_of_file(&ladder.scene) else { return };
    let case = player.case("out", &json!({ "buffer": AHEAD }), &asked);
    let Some(results) = drive(&ladder.scene.path(""), &[case]) else { return };
    let played = &results[0];
    all_well(played);
    played_through(&ladder, played, noise);
    let widths = right_pictures(steps(played));
    for rendition in ladder.list("renditions") {
        let shown = widths.iter().filter(|width| rendition["width"] == **width).count();
        assert!(shown > 10, "{shown} pictures of {}", rendition["width"]);
    }
}

/// Seeks to both sides of every join, forward and back, plays over it, and asks for every rendition and audio track.
fn seeks_and_chooses(player: Player) {
    let ladder = Ladder::shared();
    let joins = ladder.joins();
    // The middle of a picture's time.
    let middle = |frame: f64| (frame + 0.5) / RATE;
    // Coming from afar, for browsers take a place that is not loaded for the next that is, if that is two pictures away,
    // and hls.js may wait forever where the last picture is sought before anything near it was.
    let back = joins.iter().rev().flat_map(|join| [*join - 8.0, *join - 1.0, *join]);
    let forward = joins.iter().flat_map(|join| [*join - 1.0, *join]);
    let targets: Vec<f64> = [FRAMES - 14.0, FRAMES - 1.0].into_iter().chain(back).chain([0.0]).chain(forward).collect();
    let seek = |frame: f64| json!({ "do": "seek", "to": middle(frame) });
    let over = |join: &f64| [seek(join - 6.0), json!({ "do": "play", "to": middle(join + 6.0) })];
    let mut asked: Vec<Value> = targets.iter().copied().map(seek).collect();
    asked.extend(joins.iter().flat_map(over));
    asked.push(seek(1.0));
    let renditions = ladder.list("renditions").len();
    asked.extend((0..renditions).map(|place| json!({ "do": "rendition", "place": place })));
    let sounds =
        (1..SOUNDS.len()).chain([0]).map(|place| json!({ "do": "audio", "place": place, "hz": SOUNDS[place].1 }));
    asked.extend(sounds);
    let Some(results) = drive(&ladder.scene.path(""), &[player.case("out", &json!({ "buffer": SHORT }), &asked)])
    else {
        return;
    };
    let result = &results[0];
    all_well(result);
    offered(&ladder, &steps(result)[0]);
    let sought = done(result, "seek");
    for (step, frame) in sought.iter().zip(&targets) {
        assert_eq!(number(&step["number"]), *frame, "{}: sought {} s", result["player"], step["to"]);
    }
    assert!(sought.iter().any(|step| step["loaded"] == false), "no seek had to load anything");
    for (step, join) in done(result, "play").into_iter().zip(&joins) {
        let shown = step["frames"].as_array().unwrap();
        right_pictures([step]);
        assert!(
            shown.iter().any(|frame| number(&frame[1]) < *join) && shown.iter().any(|frame| number(&frame[1]) > *join)
        );
    }
    for step in done(result, "rendition") {
        assert_eq!((&step["width"], &step["height"]), (&step["due"]["width"], &step["due"]["height"]));
    }
    for step in done(result, "audio") {
        let (heard, due) = (number(&step["heard_hz"]), number(&step["hz"]));
        assert!((heard / due - 1.0).abs() < 0.03, "{}: {heard} Hz instead of {due}", result["player"]);
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
    plays(HLS_JS, 1.0);
}

#[test]
fn dash_js_plays_to_the_end_while_renditions_change() {
    plays(DASH_JS, 2.0);
}

#[test]
fn shaka_player_plays_hls_to_the_end_while_renditions_change() {
    plays(SHAKA_HLS, 2.0);
}

#[test]
fn shaka_player_plays_dash_to_the_end_while_renditions_change() {
    plays(SHAKA_DASH, 2.0);
}

#[test]
fn hls_js_shows_what_was_sought_and_plays_what_was_chosen() {
    seeks_and_chooses(HLS_JS);
}

#[test]
fn dash_js_shows_what_was_sought_and_plays_what_was_chosen() {
    seeks_and_chooses(DASH_JS);
}

#[test]
fn shaka_player_shows_what_was_sought_of_hls_and_plays_what_was_chosen() {
    seeks_and_chooses(SHAKA_HLS);
}

#[test]
fn shaka_player_shows_what_was_sought_of_dash_and_plays_what_was_chosen() {
    seeks_and_chooses(SHAKA_DASH);
}

/// A film with stereo, 5.1 and Opus, in three languages, one of them unknown.
#[test]
fn a_real_film_plays_with_each_of_its_sounds() {
    let Some(film) = shared("media/torture/d_mkv_3audio_51_2srt_chapters.mkv") else { return };
    let scene = Scene::new();
    let report = scene.encode(&format!("{} --no-measure", film.display()));
    let sounds = report["audio"].as_array().unwrap().len();
    assert_eq!(sounds, 3);
    let each = (0..sounds).map(|place| json!({ "do": "audio", "place": place }));
    let asked: Vec<Value> = [json!({ "do": "play", "to": 1.0 })].into_iter().chain(each).collect();
    let cases = PLAYERS.map(|player| player.case("out", &json!({ "buffer": AHEAD }), &asked));
    let Some(mut results) = drive(&scene.path(""), &cases) else { return };
    for result in &mut results {
        // The film's picture starts 21 ms after its sound, which dash.js remarks upon.
        let complaints = result["complaints"].as_array_mut().unwrap();
        complaints.retain(|it| !it.as_str().unwrap().contains("Adjusting playback time 0.02"));
        all_well(result);
        assert!(done(result, "audio").iter().all(|step| number(&step["heard_hz"]) > 0.0));
    }
}
