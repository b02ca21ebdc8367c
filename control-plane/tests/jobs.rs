//! Jobs, where several want something of them at the same time; and whose turn it is. Tests claim them in the place of a replica.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::time::Duration;

use fixture::{Platform, Somebody};
use serde_json::{Value, json};
use vtp_control_plane::Config;
use vtp_control_plane::db::jobs::{Ended, Lease};
use vtp_control_plane::db::{events, jobs};
use vtp_control_plane::end::End;
use vtp_control_plane::ids::JobId;

fn batch(somebody: &Somebody<'_>, video: &str, size: usize) -> String {
    let items = vec![json!({ "video_id": video }); size];
    let batch = somebody.post("/v1/batches", &json!({ "items": items })).ok(202);
    format!("/v1/batches/{}", batch["id"].as_str().unwrap())
}

fn id(job: &str) -> JobId {
    JobId(job.parse().unwrap())
}

/// A job that somebody has claimed once and let go of; which one.
fn job_of(platform: &Platform, video: &str, request: &Value, cancel_wanted: bool) -> String {
    platform.with_database(async |db| {
        let job: uuid::Uuid = sqlx::query_scalar(
            "INSERT INTO transcoding_jobs (video_id, user_id, request, fleet_job, lease_epoch, cancel_wanted)
             SELECT id, user_id, $2, $3, 1, $4 FROM videos WHERE id = $1::uuid RETURNING id",
        )
        .bind(video)
        .bind(request)
        .bind(jobs::number())
        .bind(cancel_wanted)
        .fetch_one(&db)
        .await
        .unwrap();
        job.to_string()
    })
}

#[test]
fn a_batch_is_cancelled_whatever_else_is_noted_of_its_jobs_meanwhile() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let place = batch(&ann, &ann.uploaded("film.mp4"), 12);
    let claimed = platform.with_database(async |db| jobs::claim(&db, 12, 600).await.unwrap());
    std::thread::scope(|scope| {
        let noting = scope.spawn(|| {
            platform.with_database(async |db| {
                let held: Vec<_> = claimed.iter().rev().map(|job| (job.id, job.lease_epoch)).collect();
                for thousandths in 0..60 {
                    let notes = held.iter().map(|(job, epoch)| {
                        let (db, body) = (&db, json!({}));
                        async move { jobs::progress(db, *job, *epoch, thousandths, &body).await.unwrap() }
                    });
                    let noted = futures_util::future::join_all(notes);
                    let (noted, renewed) = tokio::join!(noted, jobs::renew(&db, &held, 600));
                    assert!(noted.into_iter().all(|it| it) && renewed.unwrap().len() == held.len());
                }
            });
        });
        while !noting.is_finished() {
            ann.post(&format!("{place}/cancel"), &Value::Null).ok(200);
        }
        noting.join().unwrap();
    });
    let stands = ann.get(&place).ok(200);
    assert_eq!((&stands["processing"], &stands["cancelled"]), (&12.into(), &0.into()), "whoever drives them ends them");
}

#[test]
fn a_job_that_the_fleet_may_know_of_is_not_cancelled_behind_its_back() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let (alone, place) = (ann.transcode(&video), batch(&ann, &video, 2));
    let claimed = platform.with_database(async |db| jobs::claim(&db, 10, 600).await.unwrap());
    let unclaimed = ann.transcode(&video);
    let cancel = |job: &str| ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200)["status"].clone();
    assert_eq!((cancel(&alone), cancel(&unclaimed)), ("queued".into(), "cancelled".into()));
    let stands = ann.post(&format!("{place}/cancel"), &Value::Null).ok(200);
    assert_eq!((&stands["queued"], &stands["cancelled"]), (&2.into(), &0.into()));
    let held: Vec<_> = claimed.iter().map(|job| (job.id, job.lease_epoch)).collect();
    let renewed = platform.with_database(async |db| jobs::renew(&db, &held, 600).await.unwrap());
    assert!(renewed.len() == 3 && renewed.iter().all(|(_, lease)| *lease == Lease::CancelWanted), "{renewed:?}");
}

#[test]
fn a_job_that_is_wanted_no_longer_is_given_up_and_never_ordered() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    // As if a replica had claimed it, ordered it, and were gone when it was cancelled.
    let job = job_of(&platform, &video, &json!({}), true);
    let number: i64 = platform.with_database(async |db| {
        sqlx::query_scalar("SELECT fleet_job FROM transcoding_jobs").fetch_one(&db).await.unwrap()
    });
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "cancelled");
    assert_eq!((platform.fleet.given_up(), platform.fleet.orders().len()), (vec![number.cast_unsigned()], 0));
}

#[test]
fn users_take_turns_however_many_jobs_one_has() {
    let platform = Platform::idle();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let many = batch(&ann, &ann.uploaded("film.mp4"), 2_000);
    let video = bob.uploaded("film.mp4");
    let his: Vec<JobId> = (0..3).map(|_| id(&bob.transcode(&video))).collect();
    let claim = |most| {
        let claimed = platform.with_database(async |db| jobs::claim(&db, most, 600).await.unwrap());
        claimed.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let first = claim(4);
    assert_eq!(first.iter().filter(|job| his.contains(job)).count(), 2, "two of each");
    // One place after another: whoever has fewer under way is next.
    let next = [claim(1), claim(1)].concat();
    assert_eq!(next.iter().filter(|job| his.contains(job)).count(), 1, "{next:?}");
    assert_eq!(claim(500).len(), 500, "no place stays empty");
    let stands = ann.get(&many).ok(200);
    assert_eq!(stands["queued"], 2_000, "nothing of it has begun");
    let late = bob.post(&format!("/v1/videos/{video}/transcode"), &json!({ "priority": 10 })).ok(202);
    assert_eq!(claim(1), [id(late["id"].as_str().unwrap())]);
}

#[test]
fn jobs_are_claimed_quickly_however_many_wait() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    for _ in 0..3 {
        batch(&ann, &video, 10_000);
    }
    // The quickest of some: what a machine does besides is nothing of it.
    let quickest = platform.with_database(async |db| {
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let began = std::time::Instant::now();
            assert_eq!(jobs::claim(&db, 100, 600).await.unwrap().len(), 100);
            quickest = quickest.min(began.elapsed());
        }
        quickest
    });
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}

/// As if jobs had ended so long ago.
fn age(platform: &Platform, interval: &str) {
    platform.with_database(async |db| {
        let aged = sqlx::query("UPDATE transcoding_jobs SET completed_at = completed_at - $1::text::interval");
        aged.bind(interval).execute(&db).await.unwrap();
    });
}

#[test]
fn what_a_job_that_came_to_nothing_left_in_the_store_goes_even_if_it_came_late() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let (failed, done) = (ann.transcode(&ann.uploaded("fail.mp4")), ann.transcode(&ann.uploaded("film.mp4")));
    for job in [&failed, &done] {
        ann.events(job, None);
    }
    // By whoever did not know yet that it had failed.
    let late = platform.stored(&format!("ladders/{failed}/master.m3u8"));
    std::fs::create_dir_all(late.parent().unwrap()).unwrap();
    std::fs::write(&late, "#EXTM3U").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(late.exists(), "whoever writes there may be writing still");
    age(&platform, "20 minutes");
    fixture::until("it is gone", || !late.exists());
    assert!(platform.stored(&format!("ladders/{done}/master.m3u8")).exists(), "a ladder stays");
}

#[test]
fn what_a_job_made_goes_when_it_is_deleted_and_the_video_and_the_report_stay() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let (gone, kept) = (ann.transcode(&video), ann.transcode(&video));
    for job in [&gone, &kept] {
        ann.events(job, None);
    }
    let outputs = |job: &str| ann.get(&format!("/v1/jobs/{job}/outputs")).ok(200)["data"].as_array().unwrap().clone();
    let master = outputs(&gone)[0]["playback_url"].as_str().unwrap().to_owned();
    platform.nobody().get(&master).text(200);
    for _ in 0..2 {
        ann.delete(&format!("/v1/jobs/{gone}/outputs")).ok(204);
        assert!(outputs(&gone).is_empty());
    }
    assert_eq!(platform.nobody().get(&master).status(), 404);
    assert!(!platform.stored(&format!("ladders/{gone}")).exists());
    ann.get(&format!("/v1/jobs/{gone}/report")).ok(200);
    assert!(!outputs(&kept).is_empty() && platform.stored(&format!("ladders/{kept}/master.m3u8")).exists());
    ann.get(&format!("/v1/videos/{video}")).ok(200);
    // What came into the store later goes, too.
    let late = platform.stored(&format!("ladders/{gone}/master.m3u8"));
    std::fs::create_dir_all(late.parent().unwrap()).unwrap();
    std::fs::write(&late, "#EXTM3U").unwrap();
    platform.with_database(async |db| {
        let aged =
            sqlx::query("UPDATE transcoding_jobs SET outputs_deleted_at = outputs_deleted_at - interval '1 hour'");
        aged.execute(&db).await.unwrap();
    });
    age(&platform, "1 hour");
    fixture::until("it is gone", || !late.exists());

    ann.delete(&format!("/v1/videos/{video}?with_outputs=maybe")).problem(422);
    ann.delete(&format!("/v1/videos/{video}?with_outputs=true")).ok(204);
    assert!(outputs(&kept).is_empty());
    assert!(!platform.stored(&format!("ladders/{kept}")).exists());
}

#[test]
fn a_ladder_that_is_ready_when_its_video_was_deleted_with_all_that_is_made_of_it_is_not_kept() {
    use vtp_control_plane::db::outputs::NewOutput;
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let (unwanted, kept) = (ann.transcode(&video), ann.transcode(&ann.uploaded("film.mp4")));
    let claimed = platform.with_database(async |db| jobs::claim(&db, 2, 600).await.unwrap());
    ann.delete(&format!("/v1/videos/{video}?with_outputs=true")).ok(204);
    let master = NewOutput {
        format: "hls".to_owned(),
        rendition: None,
        resolution: None,
        bitrate: None,
        file_size: None,
        storage_path: "master.m3u8".to_owned(),
        is_default: true,
    };
    let end = End::Completed { report: json!({}), outputs: vec![master], bytes: 0, effort: None };
    let ended = platform.with_database(async |db| {
        let mut ended = Vec::new();
        for job in &claimed {
            ended.push((job.id, jobs::end(&db, job.id, job.video_id, job.lease_epoch, &end).await.unwrap()));
        }
        ended
    });
    assert!(
        ended.contains(&(id(&unwanted), Ended::Unwanted)) && ended.contains(&(id(&kept), Ended::Noted)),
        "{ended:?}"
    );
    let stands = |job: &str| ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"].clone();
    assert_eq!((stands(&unwanted), stands(&kept)), ("cancelled".into(), "completed".into()));
    let outputs = |job: &str| ann.get(&format!("/v1/jobs/{job}/outputs")).ok(200)["data"].as_array().unwrap().len();
    assert_eq!((outputs(&unwanted), outputs(&kept)), (0, 1));
    let unswept = || platform.with_database(async |db| jobs::unswept(&db, 600).await.unwrap());
    platform.with_database(async |db| {
        let aged = "UPDATE transcoding_jobs SET outputs_deleted_at = outputs_deleted_at - interval '20 minutes'";
        sqlx::query(aged).execute(&db).await.unwrap();
    });
    assert_eq!(unswept(), [], "whoever made it has ended a moment ago, and may be writing");
    age(&platform, "20 minutes");
    assert_eq!(unswept(), [id(&unwanted)]);
}

#[test]
fn a_video_that_is_deleted_again_is_not_there_and_nothing_comes_of_it() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let job = ann.transcode(&video);
    platform.with_database(async |db| jobs::claim(&db, 1, 600).await.unwrap());
    ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200);
    ann.delete(&format!("/v1/videos/{video}")).ok(204);
    for _ in 0..2 {
        ann.delete(&format!("/v1/videos/{video}?with_outputs=true")).problem(404);
    }
    let (told, unwanted): (i64, i64) = platform.with_database(async |db| {
        let count = "SELECT (SELECT count(*) FROM job_events WHERE kind = 'cancelling'),
                            (SELECT count(*) FROM transcoding_jobs WHERE outputs_deleted_at IS NOT NULL)";
        sqlx::query_as(count).fetch_one(&db).await.unwrap()
    });
    assert_eq!((told, unwanted), (1, 0));
}

#[test]
fn outputs_of_a_job_that_goes_on_are_not_deleted() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("hang.mp4"));
    assert_eq!(ann.delete(&format!("/v1/jobs/{job}/outputs")).problem(409)["retry"], "after_change");
    ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200);
    ann.events(&job, None);
    ann.delete(&format!("/v1/jobs/{job}/outputs")).ok(204);
}

#[test]
fn a_job_that_we_stumble_over_each_time_fails_after_some_tries_and_others_go_on() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let (stumbling, other) = (ann.transcode(&ann.uploaded("stumble.mp4")), ann.transcode(&ann.uploaded("film.mp4")));
    assert_eq!(ann.events(&other, None).pop().unwrap().kind, "completed");
    let end = ann.events(&stumbling, None).pop().unwrap();
    assert_eq!(end.kind, "failed");
    assert!(end.data["error_message"].as_str().unwrap().contains("5 times"), "{end:?}");
    let number = platform.with_database(async |db| {
        let number = sqlx::query_scalar("SELECT fleet_job FROM transcoding_jobs WHERE id = $1::uuid");
        number.bind(&stumbling).fetch_one(&db).await.unwrap()
    });
    let number = i64::cast_unsigned(number);
    assert!(platform.fleet.given_up().contains(&number), "the fleet is told");
    assert_eq!(platform.fleet.orders().iter().filter(|it| it.number == number).count(), 5);
}

#[test]
fn a_job_whose_request_a_newer_replica_accepted_is_left_to_it_by_an_older_one() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = job_of(&platform, &ann.uploaded("film.mp4"), &json!({ "ladder": ["holograms"] }), false);
    let claims = || -> i64 {
        platform.with_database(async |db| {
            sqlx::query_scalar("SELECT lease_epoch FROM transcoding_jobs").fetch_one(&db).await.unwrap()
        })
    };
    fixture::until("the older one has claimed it", || claims() == 2);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((&ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"], claims()), (&"queued".into(), 2));
    // As if this were the newer one.
    platform.with_database(async |db| {
        sqlx::query("UPDATE transcoding_jobs SET request = '{}'").execute(&db).await.unwrap();
    });
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "completed");
}

#[test]
fn leases_are_renewed_also_while_somebody_who_is_gone_without_a_word_holds_one_of_the_jobs() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    batch(&ann, &ann.uploaded("film.mp4"), 3);
    platform.with_database(async |db| {
        let claimed = jobs::claim(&db, 3, 600).await.unwrap();
        let held: Vec<_> = claimed.iter().map(|job| (job.id, job.lease_epoch)).collect();
        let lease = async |job: JobId| {
            let renewed = tokio::time::timeout(Duration::from_secs(5), jobs::renew(&db, &held, 600)).await.unwrap();
            renewed.unwrap().into_iter().find(|(id, _)| *id == job).map(|(_, lease)| lease)
        };
        let mut gone = db.begin().await.unwrap();
        let locked = sqlx::query("SELECT FROM transcoding_jobs WHERE id = $1 FOR NO KEY UPDATE").bind(held[0].0);
        locked.execute(&mut *gone).await.unwrap();
        assert_eq!(lease(held[0].0).await, Some(Lease::Busy));
        assert_eq!(lease(held[1].0).await, Some(Lease::Held));
        gone.rollback().await.unwrap();
        assert_eq!(lease(held[0].0).await, Some(Lease::Held));
        let taken = sqlx::query("UPDATE transcoding_jobs SET lease_epoch = lease_epoch + 1 WHERE id = $1");
        taken.bind(held[2].0).execute(&db).await.unwrap();
        assert_eq!(lease(held[2].0).await, None);
    });
}

#[test]
fn how_a_job_went_on_is_forgotten_after_a_week_and_how_it_ended_is_not() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("film.mp4"));
    let told = ann.events(&job, None);
    assert!(told.iter().filter(|it| it.kind == "progress").count() > 1);
    let forget = || platform.with_database(async |db| events::tidy(&db).await.unwrap());
    age(&platform, "6 days");
    forget();
    assert_eq!(ann.events(&job, None).len(), told.len());
    age(&platform, "2 days");
    forget();
    let left = ann.events(&job, None);
    assert_eq!(left.iter().map(|it| &*it.kind).collect::<Vec<_>>(), ["queued", "completed"]);
    assert_eq!(left[1].number, told.last().unwrap().number, "numbers stay");
}

#[test]
fn a_job_that_is_cancelled_again_and_again_is_told_of_once() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("film.mp4"));
    platform.with_database(async |db| jobs::claim(&db, 1, 600).await.unwrap());
    for _ in 0..3 {
        ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200);
    }
    let told: i64 = platform.with_database(async |db| {
        let count = sqlx::query_scalar("SELECT count(*) FROM job_events WHERE kind = 'cancelling'");
        count.fetch_one(&db).await.unwrap()
    });
    assert_eq!(told, 1);
}

#[test]
fn a_batch_that_would_be_too_much_is_accepted_when_enough_has_ended() {
    let platform = Platform::without_limits(|config| Config { jobs: 0, open_jobs: 5, ..config });
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let video = ann.uploaded("film.mp4");
    let first = batch(&ann, &video, 3);
    let more = json!({ "items": vec![json!({ "video_id": video }); 3] });
    let refused = ann.post("/v1/batches", &more);
    assert_eq!((refused.header("retry-after"), refused.problem(429)["code"].clone()), ("60".to_owned(), 2001.into()));
    batch(&bob, &bob.uploaded("film.mp4"), 5);
    ann.post(&format!("{first}/cancel"), &Value::Null).ok(200);
    ann.post("/v1/batches", &more).ok(202);
}

#[test]
fn sources_that_are_fetched_for_jobs_that_were_cancelled_count_until_they_have_ended() {
    let platform = Platform::without_limits(|config| Config { jobs: 0, fetches: 0, open_jobs: 5, ..config });
    let ann = platform.register("ann@example.com");
    let urls = |count: usize| {
        let url = |at: usize| json!({ "url": format!("https://example.com/{at}.mp4") });
        json!({ "items": (0..count).map(url).collect::<Vec<_>>() })
    };
    let first = ann.post("/v1/batches", &urls(3)).ok(202);
    ann.post(&format!("/v1/batches/{}/cancel", first["id"].as_str().unwrap()), &Value::Null).ok(200);
    ann.post("/v1/batches", &urls(3)).problem(429);
    ann.post("/v1/batches", &urls(2)).ok(202);
    let another = json!({ "url": "https://example.com/film.mp4" });
    ann.post("/v1/videos", &another).problem(429);
    let video = ann.get("/v1/videos").ok(200)["data"][4]["id"].as_str().unwrap().to_owned();
    ann.delete(&format!("/v1/videos/{video}")).ok(204);
    ann.post("/v1/videos", &another).ok(201);
    ann.post("/v1/videos", &another).problem(429);
}

#[test]
fn of_batches_that_come_at_once_no_more_is_accepted_than_of_those_that_come_one_by_one() {
    let platform = Platform::without_limits(|config| Config { jobs: 0, open_jobs: 5, ..config });
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let items = json!({ "items": vec![json!({ "video_id": video }); 2] });
    for _ in 0..10 {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..6).map(|_| scope.spawn(|| ann.post("/v1/batches", &items))).collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect()
        });
        let accepted: Vec<_> = answers.into_iter().filter(|it| it.status() == 202).map(|it| it.ok(202)).collect();
        assert_eq!(accepted.len(), 2, "{accepted:?}");
        for batch in accepted {
            ann.post(&format!("/v1/batches/{}/cancel", batch["id"].as_str().unwrap()), &Value::Null).ok(200);
        }
    }
}
