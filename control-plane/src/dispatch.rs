//! Jobs on their way: each replica claims what nobody drives, has the fleet make it, and notes how it goes on and ends. step: claim,
//! order, renew, note. In: jobs in the database. Out: ladders, and their rows. Never: a note of a lease that is somebody else's.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument as _, Span};
use vtp_store::Store as _;

use crate::app::App;
use crate::checking;
use crate::db;
use crate::db::jobs::{self, Claimed, Ended, Lease};
use crate::end::End;
use crate::estimate::Effort;
use crate::fetching;
use crate::fleet::{Away, Made, Order, Progress};
use crate::hooks::deliver;
use crate::housekeeping;
use crate::leases::{Hold, Leases};
use crate::metrics::JOBS_DRIVEN;
use crate::problem::Problem;
use crate::report::{self, Report};
use crate::storage::{self, Object};
use crate::template::Template;
use crate::traceparent::Traceparent;

/// So often a job is tried that we stumble over; then it fails.
const MOST_STUMBLES: i16 = 5;
/// For how many seconds a job is left to others whose request is not understood here.
const LEFT_S: i64 = 10;
/// For how long it is, since it was asked for; then it fails.
const LEFT_FOR: time::Duration = time::Duration::DAY;
/// The longest report that is read, in bytes: it is in memory as a whole, and kept in the job's row.
const LONGEST_REPORT: u64 = 64 << 20;
/// How often it is looked for jobs.
const LOOK: Duration = Duration::from_millis(500);
/// How long the database may take for that.
const CLAIMING: Duration = Duration::from_secs(10);
/// Progress is noted no more often than this.
const BREATH: Duration = Duration::from_millis(500);
/// How long the fleet is left alone when it does not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// How long it is tried to tell the fleet that it need not remember a job.
const FAREWELL: Duration = Duration::from_secs(10);
/// What was told and not noted yet; more of it is lost.
const UNNOTED: usize = 64;

/// Drives jobs until `leave` says so; then it lets go of them, and another replica goes on.
pub async fn run(app: App, mut leave: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let leases = Leases::default();
    let renewing = {
        let (leases, db, lease_s) = (leases.clone(), app.drive.clone(), app.config.lease_s);
        tokio::spawn(async move { leases.renew(&db, lease_s).await })
    };
    let keeping = tokio::spawn(housekeeping::run(app.clone()));
    let telling = tokio::spawn(deliver::run(app.clone(), leave.clone()));
    let fetching = tokio::spawn(fetching::run(app.clone(), leave.clone()));
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = leave.wait_for(|leaves| *leaves) => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a job is driven no longer; its lease runs out");
                }
                continue;
            }
        }
        metrics::gauge!(JOBS_DRIVEN).set(tasks.len() as f64);
        let free = (app.config.jobs as usize).saturating_sub(tasks.len());
        let claimed = match free {
            0 => continue,
            free => timeout(CLAIMING, jobs::claim(&app.drive, free as i64, app.config.lease_s)).await,
        };
        match claimed {
            Ok(Ok(claimed)) => {
                for job in claimed {
                    let lease = leases.hold(job.id, job.lease_epoch);
                    tasks.spawn(drive(app.clone(), job, lease));
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "no jobs can be claimed"),
            Err(_) => tracing::warn!("no jobs can be claimed: the database does not answer"),
        }
    }
    renewing.abort();
    keeping.abort();
    let held = leases.held();
    tasks.shutdown().await;
    for (job, epoch) in held {
        // One that has ended, or is somebody else's, has another epoch or no lease.
        if let Err(error) = jobs::release(&app.drive, job, epoch).await {
            tracing::warn!(%job, %error, "a job is not let go of; its lease runs out");
        }
    }
    if let Err(error) = telling.await {
        tracing::error!(%error, "webhooks were told nothing");
    }
    if let Err(error) = fetching.await {
        tracing::error!(%error, "sources are not let go of; their leases run out");
    }
}

/// Drives a job. A fault of ours on the way ends nothing but this try.
async fn drive(app: App, job: Claimed, lease: Hold) {
    let (id, epoch, lease_s) = (job.id, job.lease_epoch, app.config.lease_s);
    let driven = AssertUnwindSafe(drive_traced(&app, job, lease)).catch_unwind().await;
    if driven.is_err() {
        tracing::error!(job = %id, "driving a job came to no end by a fault of ours");
        if let Err(error) = jobs::stumbled(&app.drive, id, epoch, lease_s).await {
            tracing::warn!(job = %id, %error, "it is not noted that a job came to no end; its lease runs out");
        }
    }
}

/// Drives a job, in a span of this replica's.
async fn drive_traced(app: &App, job: Claimed, lease: Hold) {
    let span = match of_job(app, &job) {
        Some(of_job) => {
            let span = tracing::info_span!("drive", epoch = job.lease_epoch);
            app.traces.begin(&span, Some(&of_job));
            span
        }
        None => Span::none(),
    };
    to_its_end(app, &job, lease).instrument(span.clone()).await;
    app.traces.end(&span, None);
}

/// The span of a job, if it is traced.
fn of_job(app: &App, job: &Claimed) -> Option<Traceparent> {
    job.traceparent.as_ref().map(|above| app.traces.of_job(job.id, above))
}

/// Drives a job to its end, or until it is somebody else's. Its lease is renewed until the end is noted.
async fn to_its_end(app: &App, job: &Claimed, lease: Hold) {
    let holding = hold(app, job, lease);
    tokio::pin!(holding);
    let end = tokio::select! {
        end = until_made(app, job) => end,
        () = &mut holding => return,
    };
    let end = match end {
        Ok(end) => end,
        Err(NotUnderstood(error)) => return leave_to_others(app, job, &error).await,
    };
    let noting = note_end(app, job, end);
    tokio::pin!(noting);
    tokio::select! {
        () = &mut noting => {}
        // What is noted of a lease that is lost is not taken: that is seen there, and nothing of it is left half done.
        () = holding => noting.await,
    }
}

/// A request that was accepted, and that this build can't read: a newer one did.
struct NotUnderstood(serde_json::Error);

/// Leaves a job for a while to whoever understands its request.
async fn leave_to_others(app: &App, job: &Claimed, error: &serde_json::Error) {
    tracing::warn!(job = %job.id, %error, "a request is not understood; it is left to newer replicas");
    if let Err(error) = jobs::put_off(&app.drive, job.id, job.lease_epoch, LEFT_S).await {
        tracing::warn!(job = %job.id, %error, "a job is not let go of; its lease runs out");
    }
}

/// Has the fleet make a job, or give it up where it is wanted no longer.
async fn until_made(app: &App, job: &Claimed) -> Result<End, NotUnderstood> {
    if job.cancel_wanted {
        // It may have been ordered by whoever had it before.
        give_up(app, job).await;
        return Ok(End::Cancelled);
    }
    if job.stumbles >= MOST_STUMBLES {
        give_up(app, job).await;
        let message = format!(
            "it was tried {} times, and came to no end each time by a fault of ours, which is written down: tell us the job's id",
            job.stumbles
        );
        return Ok(End::Failed { code: None, message });
    }
    let template = match serde_json::from_value::<Template>(job.request.clone()) {
        Ok(template) => template,
        Err(error) if OffsetDateTime::now_utc() - job.queued_at < LEFT_FOR => return Err(NotUnderstood(error)),
        Err(error) => return Ok(End::Failed { code: None, message: error.to_string() }),
    };
    let order = match order(app, job, &template) {
        Ok(order) => order,
        Err(message) => return Ok(End::Failed { code: None, message }),
    };
    let (tell, told) = mpsc::channel(UNNOTED);
    // Each goes on whatever the other waits for.
    let made = tokio::select! {
        made = make(app, order, tell) => made,
        never = note(app, job, told) => match never {},
    };
    Ok(match made {
        Made::Ladder(report) => {
            let report = whole(app, job, report).await;
            let (outputs, effort) = match Report::read(&report) {
                Ok(told) => (told.outputs(), Effort::of(&template, &told)),
                Err(error) => {
                    tracing::error!(job = %job.id, %error, "the report of a ladder is not understood");
                    (report::manifests().to_vec(), None)
                }
            };
            let bytes = outputs.iter().filter_map(|it| it.file_size).sum();
            End::Completed { report, outputs, bytes, effort }
        }
        Made::Failed { code, message } => End::Failed { code, message: for_users(app, job, message) },
        Made::Cancelled => End::Cancelled,
    })
}

/// Has the fleet give a job up, until it has answered.
async fn give_up(app: &App, job: &Claimed) {
    while let Err(Away(why)) = app.fleet.cancel(job.fleet_job as u64).await {
        tracing::warn!(job = %job.id, why, "the fleet is away");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Holds a job until it is somebody else's. Where it is not wanted any longer, the fleet is told, and told again with each renewal.
async fn hold(app: &App, job: &Claimed, mut lease: Hold) {
    let cancels = app.cancels.of(job.id.0);
    loop {
        let told = cancels.notified();
        let lease = tokio::select! {
            lease = lease.next() => lease,
            () = told => match jobs::is_unwanted(&app.drive, job.id).await {
                Ok(true) => Lease::CancelWanted,
                // It is looked again with the next renewal.
                Ok(false) | Err(_) => continue,
            },
        };
        match lease {
            Lease::Held | Lease::Busy => {}
            Lease::CancelWanted => {
                if let Err(error) = app.fleet.cancel(job.fleet_job as u64).await {
                    tracing::debug!(job = %job.id, %error, "not cancelled yet");
                }
            }
            Lease::Lost => return,
        }
    }
}

/// What the fleet is told.
fn order(app: &App, job: &Claimed, template: &Template) -> Result<Order, String> {
    let key = |object: Object<'_>| object.key().map_err(|error| error.to_string());
    let source = key(Object::Source(job.video_id, &job.original_filename))?;
    let out = key(Object::Ladder(job.id, ""))?;
    Ok(Order {
        number: job.fleet_job as u64,
        priority: u8::try_from(job.priority).unwrap_or(5),
        user: job.user_id.number(),
        source: app.store.address(&source),
        out: app.store.address(&out),
        words: template.words(),
        trace: of_job(app, job),
    })
}

/// Asks the fleet until it answers.
async fn make(app: &App, order: Order, tell: mpsc::Sender<Progress>) -> Made {
    loop {
        match app.fleet.make(order.clone(), tell.clone()).await {
            Ok(made) => return made,
            Err(Away(why)) => {
                tracing::warn!(why, "the fleet is away");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Notes what is told of a job, but not every bit of it, for ever.
async fn note(app: &App, job: &Claimed, mut told: mpsc::Receiver<Progress>) -> Infallible {
    let (mut last, mut reached) = (None::<Instant>, 0);
    while let Some(progress) = told.recv().await {
        let body = match progress {
            Progress::Stage(stage) => json!({ "stage": stage }),
            Progress::Frames { done, total } => {
                let now = thousandths(done, total);
                if now <= reached || last.is_some_and(|last| last.elapsed() < BREATH) {
                    continue;
                }
                (last, reached) = (Some(Instant::now()), now);
                json!({ "frames_done": done, "frames_total": total })
            }
        };
        match jobs::progress(&app.drive, job.id, job.lease_epoch, reached, &body).await {
            // One that is somebody else's by now is let go of when the lease is to be renewed.
            Ok(_) => {}
            Err(error) => tracing::warn!(job = %job.id, %error, "progress is not noted"),
        }
    }
    std::future::pending().await
}

/// How far frames that are encoded bring a job: proving and publishing are the last thousandth.
fn thousandths(done: u64, total: u64) -> i16 {
    (999 * done.min(total)).checked_div(total).and_then(|it| i16::try_from(it).ok()).unwrap_or_default()
}

/// Notes how a job has ended; then the fleet need not remember it. An end that can't be noted whatever is waited for is a failure,
/// and if that can't be either, the job is left to whoever claims it next.
async fn note_end(app: &App, job: &Claimed, mut end: End) {
    let mut is_last = false;
    loop {
        match jobs::end(&app.drive, job.id, job.video_id, job.lease_epoch, &end).await {
            Ok(Ended::Noted) => break,
            Ok(Ended::Unwanted) => {
                end = End::Cancelled;
                break;
            }
            Ok(Ended::Lost) => return,
            Err(error) if db::is_passing(&error) => {
                tracing::warn!(job = %job.id, %error, "the end of a job is not noted yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::error!(job = %job.id, %error, "the end of a job can't be noted");
                if is_last {
                    return;
                }
                is_last = true;
                let message = "how it has ended can't be noted; it is a fault of ours, and written down".to_owned();
                end = End::Failed { code: None, message };
            }
        }
    }
    tracing::info!(job = %job.id, "a job has ended");
    if let Some(above) = &job.traceparent {
        app.traces.ended(job.id, above, job.queued_at, &end);
    }
    if !matches!(end, End::Completed { .. }) {
        checking::tidy(app, &storage::ladder(job.id)).await;
    }
    match timeout(FAREWELL, app.fleet.forget(job.fleet_job as u64)).await {
        Ok(Ok(())) => {}
        Ok(Err(Away(why))) => tracing::debug!(job = %job.id, why, "the fleet remembers a job for a while"),
        Err(_) => tracing::debug!(job = %job.id, "the fleet remembers a job for a while"),
    }
}

/// The report: one that is too long to be told lies beside the ladder.
async fn whole(app: &App, job: &Claimed, told: Value) -> Value {
    if !told.is_null() {
        return told;
    }
    let read = async || {
        let key = Object::Ladder(job.id, "report.json").key().map_err(|error| Problem::internal(&error))?;
        let found = app.store.head(&key).await?.ok_or_else(|| Problem::not_found("report"))?;
        if found.size > LONGEST_REPORT {
            return Err(Problem::internal(&format!("it has {} bytes, more than are read", found.size)));
        }
        let bytes = app.store.get(&key, 0..found.size, &found).await?;
        serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))
    };
    loop {
        match read().await {
            Ok(report) => return report,
            Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(PAUSE).await,
            Err(problem) => {
                tracing::warn!(job = %job.id, %problem, "the report of a ladder can't be read");
                return Value::Null;
            }
        }
    }
}

/// How places of ours are called says nothing to anybody outside.
fn for_users(app: &App, job: &Claimed, message: String) -> String {
    let place = Object::Source(job.video_id, &job.original_filename).key().map(|key| app.store.address(&key));
    place.map(|place| message.replace(&*place.to_string_lossy(), &job.original_filename)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_what_frames_say_and_the_last_thousandth_is_the_proof() {
        let at = |done| thousandths(done, 240);
        assert_eq!([at(0), at(120), at(240), at(300), thousandths(1, 0)], [0, 499, 999, 999, 0]);
    }
}
