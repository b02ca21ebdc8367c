//! What a job is below stands in its row, so that whoever drives it knows, whichever replica that is, and whenever.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use fixture::{Platform, until};
use serde_json::json;

#[test]
fn a_job_goes_on_below_its_request_when_another_replica_drives_it() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("slow.mp4");
    let said = [("traceparent", "the span of ann")];
    let place = format!("/v1/videos/{video}/transcode");
    let job = ann.post_with(&place, &json!({}), &said).ok(202)["id"].as_str().unwrap().to_owned();
    until("it is ordered", || !platform.fleet.orders().is_empty());
    platform.replace();
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "completed");
    let orders = platform.fleet.orders();
    assert!(orders.len() > 1, "the second replica has ordered it, too");
    let expected = format!("{job} below the span of ann");
    assert!(orders.iter().all(|it| it.trace.as_ref().is_some_and(|it| it.0 == expected)), "{orders:?}");
    until("its span is told", || !platform.spans.told().is_empty());
    assert_eq!(platform.spans.told(), [(job, "the span of ann".to_owned())]);
}

#[test]
fn all_jobs_of_a_batch_are_below_its_request_and_where_nobody_traces_a_job_is_below_nothing() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let items = json!({ "items": [{ "video_id": video }, { "video_id": video }] });
    let batch = ann.post_with("/v1/batches", &items, &[("traceparent", "the span of ann")]).ok(202);
    let alone = ann.transcode(&video);
    // Said twice, it is not said.
    let place = format!("/v1/videos/{video}/transcode");
    ann.post_with(&place, &json!({}), &[("traceparent", "one"), ("traceparent", "other")]).ok(202);
    until("all are ordered", || platform.fleet.orders().len() >= 4);
    let (traced, others): (Vec<_>, Vec<_>) = platform.fleet.orders().into_iter().partition(|it| it.trace.is_some());
    assert_eq!((traced.len(), others.len()), (2, 2));
    let place = format!("/v1/batches/{}/jobs", batch["id"].as_str().unwrap());
    let jobs = ann.get(&place).ok(200)["data"].as_array().unwrap().clone();
    for job in jobs {
        let expected = format!("{} below the span of ann", job["id"].as_str().unwrap());
        assert!(traced.iter().any(|it| it.trace.as_ref().unwrap().0 == expected), "{traced:?}");
    }
    assert_eq!(ann.events(&alone, None).pop().unwrap().kind, "completed");
    assert!(platform.spans.told().iter().all(|(job, _)| *job != alone));
}
