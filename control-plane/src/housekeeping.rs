//! What is done now and then, by each replica: step: look, mend, forget. In: what was left lying. Out: nothing of it. Never: an answer
//! that somebody waits for.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::checking;
use crate::db::{deliveries, events, idempotency, sessions, usage, videos};

/// How often it is forgotten what is old.
const AGE: Duration = Duration::from_secs(3600);
/// How often it is looked which keys there are.
const KEYS: Duration = Duration::from_secs(60);

/// Keeps house, for ever.
pub(crate) async fn run(app: App) {
    tokio::join!(uploads(&app), age(&app), keys(&app));
}

/// Uploads that somebody began to check who is gone, those that nobody goes on with, and the bytes that nobody needs.
async fn uploads(app: &App) {
    let mut ticks = every(Duration::from_secs_f64((app.config.lease_s as f64).max(0.2)));
    loop {
        ticks.tick().await;
        checking::take_over(app).await;
        checking::begin_whole(app).await;
        match videos::give_up(&app.drive).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(uploads, "given up: they have come no further for too long"),
            Err(error) => tracing::warn!(%error, "uploads that nobody goes on with are kept for longer"),
        }
        checking::sweep(app).await;
        checking::sweep_late(app).await;
        checking::sweep_ladders(app).await;
    }
}

async fn age(app: &App) {
    let mut ticks = every(AGE);
    loop {
        ticks.tick().await;
        if let Err(error) = idempotency::tidy(&app.drive).await {
            tracing::warn!(%error, "answers that are old are kept for longer");
        }
        if let Err(error) = events::tidy(&app.drive).await {
            tracing::warn!(%error, "how jobs that ended long ago went on is kept for longer");
        }
        if let Err(error) = usage::keep(&app.drive, app.config.usage_days).await {
            tracing::warn!(%error, "there may be no room for what is used next month");
        }
        if let Err(error) = sessions::tidy(&app.drive).await {
            tracing::warn!(%error, "sessions that are over are kept for longer");
        }
        if let Err(error) = deliveries::tidy(&app.drive).await {
            tracing::warn!(%error, "what webhooks were told is kept for longer");
        }
    }
}

async fn keys(app: &App) {
    let mut ticks = every(KEYS);
    loop {
        ticks.tick().await;
        let keys = app.keys.clone();
        match tokio::task::spawn_blocking(move || keys.look_again()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the keys stay as they were"),
            Err(error) => tracing::warn!(%error, "the keys were not looked at"),
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
