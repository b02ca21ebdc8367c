//! Plans: what would be made of a video, and what that would take.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::sync::atomic::Ordering;

use fixture::Platform;
use serde_json::{Value, json};
use vtp_control_plane::Config;

#[test]
fn a_plan_says_what_would_be_made_and_what_it_takes_and_makes_nothing() {
    let platform = Platform::without_limits(|config| Config { core_hour: Some("0.04 EUR".parse().unwrap()), ..config });
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let plan = |output: Value| ann.post("/v1/plans", &json!({ "video_id": video, "output": output }));
    let told = plan(json!({})).ok(200);
    assert_eq!((&told["frames"], &told["segments"], &told["video_id"]), (&240.into(), &3.into(), &json!(video)));
    assert_eq!(told["renditions"][0]["name"], "mobile");
    assert_eq!(told["chunks"].as_array().unwrap().len(), 1);
    let estimate = &told["estimate"];
    assert_eq!((&estimate["basis"], &estimate["slots"]), (&"reference".into(), &2.into()));
    assert_eq!(estimate["cost"]["currency"], "EUR");
    assert!(estimate["cpu_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(ann.get("/v1/jobs").ok(200)["data"], json!([]));
    let deeds = ann.get("/v1/audit").ok(200)["data"].to_string();
    assert!(deeds.contains("/complete") && !deeds.contains("plans"), "a question is no deed: {deeds}");
    let refused = plan(json!({ "ladder": ["archive"] })).problem(422);
    assert_eq!(refused["detail"], "film.mp4 can't be archived", "where it lies is told to nobody");
    plan(json!({ "ladder": ["auto", "hd"] })).problem(422);
}

#[test]
fn what_ladders_took_is_kept_and_plans_are_told_from_it() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    for _ in 0..3 {
        let job = ann.transcode(&video);
        fixture::until("it is made", || ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"] == "completed");
        assert_eq!(ann.get(&format!("/v1/jobs/{job}")).ok(200)["cpu_seconds"], 10.0);
    }
    let told = ann.post("/v1/plans", &json!({ "video_id": video })).ok(200);
    let estimate = &told["estimate"];
    assert_eq!((&estimate["basis"], &estimate["ladders"]), (&"measured".into(), &3.into()));
    assert!((estimate["cpu_seconds"].as_f64().unwrap() - 10.0).abs() < 1e-6, "{estimate}");
    let other = json!({ "video_id": video, "output": { "speed": "slow" } });
    assert_eq!(ann.post("/v1/plans", &other).ok(200)["estimate"]["basis"], "reference", "none was made so");
}

#[test]
fn there_is_no_plan_of_what_is_not_whole_or_somebody_else_s_or_while_the_fleet_is_away() {
    let platform = Platform::idle();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let video = ann.uploaded("film.mp4");
    bob.post("/v1/plans", &json!({ "video_id": video })).problem(404);
    let begun = ann.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": 5 })).ok(201);
    ann.post("/v1/plans", &json!({ "video_id": begun["video_id"] })).problem(409);
    platform.fleet.is_away.store(true, Ordering::Relaxed);
    ann.post("/v1/plans", &json!({ "video_id": video })).problem(503);
}
