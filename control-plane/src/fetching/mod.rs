//! Sources on their way from where they lie. step: claim, fetch in parts, have it checked. In: URLs in the database. Out: videos, as if
//! they had been uploaded. Never: a byte from where it may not be gone, a part of a lease that is somebody else's.

mod answer;
mod http;
mod parts;
mod patience;
pub(crate) mod place;
mod s3;

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use vtp_store::{AnyStore, Key};

use self::place::{Allowed, Place};
use crate::app::App;
use crate::checking;
use crate::db::fetches::{self, Claimed, Noted};
use crate::db::videos;
use crate::ids::VideoId;
use crate::problem::Problem;
use crate::storage;

/// How often it is looked for sources.
const LOOK: Duration = Duration::from_millis(500);
/// How long a source is left alone when something of ours is away.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a source is not fetched, for now or at all.
#[derive(Debug)]
enum Stop {
    /// It is not to be had, whatever is done.
    Useless {
        /// A number of the API.
        code: Option<u16>,
        /// What is wrong, and what to do.
        message: String,
    },
    /// Later it may be.
    Later {
        /// What is wrong.
        why: String,
        /// How long its server wants us to wait.
        wait: Option<Duration>,
    },
    /// What has come is of other contents than what is there.
    Anew,
    /// It is somebody else's by now, or not wanted any longer.
    Lost,
    /// Something of ours is away.
    Ours(Problem),
}

impl<E: Into<Problem>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

impl Stop {
    fn useless(code: Option<u16>, message: impl Into<String>) -> Self {
        Self::Useless { code, message: message.into() }
    }

    fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), wait: None }
    }
}

/// Does something with what is allowed.
pub(crate) fn with_allowed<T>(app: &App, what: impl FnOnce(&Allowed<'_>) -> T) -> T {
    let ours = match &app.store {
        AnyStore::S3(_, location) => Some(location),
        AnyStore::Directory(_) => None,
    };
    what(&Allowed { outside: &|url| app.outside.check(url), buckets: &app.config.source_buckets, ours })
}

/// Fetches sources until `leave` says so; then it lets go of them, and another replica goes on.
pub(crate) async fn run(app: App, mut leave: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = leaving(&mut leave) => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a source is fetched no longer; its lease runs out");
                }
            }
        }
        let free = (app.config.fetches as usize).saturating_sub(tasks.len());
        if free == 0 {
            continue;
        }
        match fetches::claim(&app.drive, free as i64, each(app.config.fetches), app.config.lease_s).await {
            Ok(claimed) => {
                for source in claimed {
                    tasks.spawn(drive(app.clone(), source, leave.clone()));
                }
            }
            Err(error) => tracing::warn!(%error, "no sources can be claimed"),
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// How many sources of one user are fetched at the same time, of so many on a replica: it takes some users to fill it.
fn each(fetches: u32) -> i64 {
    i64::from((fetches / 4).max(1))
}

/// A source that is fetched here.
struct Fetch {
    app: App,
    of: Claimed,
    /// Since when it is not noted how long it takes.
    since: Instant,
}

impl Fetch {
    /// Seconds that it has taken since that was noted.
    fn unnoted_s(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// Bytes that have come and are kept.
    fn kept(&self) -> u64 {
        self.of.fetched_bytes.unsigned_abs()
    }

    /// Notes how large a source is, if it may be that large and there is room for it, and what its contents are known by.
    async fn announce(&mut self, size: Option<u64>, version: Option<String>) -> Result<(), Stop> {
        let most = self.app.config.largest_source();
        if size.is_some_and(|size| size > most) {
            return Err(too_large(most));
        }
        let size = size.and_then(|size| i64::try_from(size).ok());
        taken(fetches::sized(&self.app.drive, &self.of, size, version.as_deref()).await?)?;
        self.of.file_size = size;
        self.of.fetch_version = version;
        Ok(())
    }
}

fn too_large(most: u64) -> Stop {
    Stop::useless(Some(1002), format!("a file has {most} bytes at most, and it has more"))
}

fn taken(noted: Noted) -> Result<(), Stop> {
    match noted {
        Noted::Yes => Ok(()),
        Noted::Lost => Err(Stop::Lost),
        Noted::Full { used, limit } => {
            let message = format!("{used} of {limit} bytes are used besides; delete videos, or take a larger plan");
            Err(Stop::useless(Some(1004), message))
        }
    }
}

/// Fetches a source to its end, or until it is somebody else's or we are to leave; and has it checked.
async fn drive(app: App, of: Claimed, mut leave: watch::Receiver<bool>) {
    let (video, epoch) = (of.id, of.fetch_epoch);
    let mut fetch = Fetch { app: app.clone(), of, since: Instant::now() };
    let fetched = tokio::select! {
        fetched = all_of(&mut fetch) => fetched,
        () = until_lost(&app, video, epoch) => Err(Stop::Lost),
        () = leaving(&mut leave) => {
            return noted(video, let_go(&fetch, fetch.of.fetch_failures, Duration::ZERO).await);
        }
    };
    let ended = match fetched {
        Ok(()) => tokio::select! {
            checked = check(&fetch) => checked,
            // It is checked by another.
            () = leaving(&mut leave) => Ok(()),
        },
        Err(stop) => stopped(&fetch, stop).await,
    };
    noted(video, ended);
}

async fn leaving(leave: &mut watch::Receiver<bool>) {
    // Whoever would say so being gone says so, too.
    let _ = leave.wait_for(|leaves| *leaves).await;
}

/// What can't be noted is seen by whoever claims the source next.
fn noted(video: VideoId, ended: sqlx::Result<()>) {
    if let Err(error) = ended {
        tracing::warn!(%video, %error, "it is not noted what came of a source; its lease runs out");
    }
}

/// Says that a source is still fetched, until it is somebody else's or not wanted any longer.
async fn until_lost(app: &App, video: VideoId, epoch: i64) {
    let mut ticks = interval(Duration::from_secs_f64((app.config.lease_s as f64 / 3.0).max(0.2)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match fetches::renew(&app.drive, video, epoch, app.config.lease_s).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%video, %error, "it is not said that a source is still fetched"),
        }
    }
}

/// Has all of it come.
async fn all_of(fetch: &mut Fetch) -> Result<(), Stop> {
    let of = &fetch.of;
    if of.file_size == Some(of.fetched_bytes) {
        // It could not be checked when it had come.
        return Ok(());
    }
    if of.fetched_bytes % of.chunk_size != 0 {
        // Its end has come, but nobody noted that it was the end.
        return Err(Stop::Anew);
    }
    let place = with_allowed(&fetch.app, |allowed| Place::read(&of.fetch_from, allowed));
    match place.map_err(|refused| Stop::useless(None, refused.to_string()))? {
        Place::Http(url) => http::fetch(fetch, url).await,
        Place::S3(location) => s3::fetch(fetch, location).await,
    }
}

/// Has what has come checked, as an upload is.
async fn check(fetch: &Fetch) -> sqlx::Result<()> {
    let (app, of) = (&fetch.app, &fetch.of);
    if !fetches::whole(&app.drive, of, app.config.lease_s).await? {
        return stopped(fetch, Stop::Lost).await;
    }
    let Some(video) = videos::get(&app.drive, of.user_id, of.id).await? else {
        return stopped(fetch, Stop::Lost).await;
    };
    // It has a lease of its own by now, and is not to keep others from being fetched.
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(problem) = checking::check(&app, &video).await {
            tracing::info!(video = %video.id, %problem, "a source is of no use, or can't be checked now");
        }
    });
    Ok(())
}

/// Notes why a source is not fetched now, or not at all.
async fn stopped(fetch: &Fetch, stop: Stop) -> sqlx::Result<()> {
    let (app, of) = (&fetch.app, &fetch.of);
    match stop {
        Stop::Useless { code, message } => give_up(fetch, code, &message).await,
        Stop::Later { why, wait } => again(fetch, &why, wait).await,
        Stop::Anew if of.fetched_bytes == 0 => again(fetch, "what comes is no whole file", None).await,
        Stop::Anew => {
            let Some(fetch_epoch) = fetches::begin_again(&app.drive, of).await? else { return Ok(()) };
            // Until it is let go of, another may have it already, if the store took long.
            let is_old = |key: &Key| storage::fetched_under(of.id, key).is_some_and(|epoch| epoch < fetch_epoch);
            checking::tidy_of(app, &storage::parts(of.id), is_old).await;
            let anew = Fetch { app: app.clone(), of: Claimed { fetch_epoch, ..of.clone() }, since: fetch.since };
            let_go(&anew, of.fetch_failures, Duration::ZERO).await
        }
        Stop::Lost => {
            // What was deleted meanwhile leaves nothing; what is somebody else's is theirs.
            if videos::get(&app.drive, of.user_id, of.id).await?.is_none() {
                checking::tidy(app, &storage::parts(of.id)).await;
            }
            Ok(())
        }
        Stop::Ours(problem) => {
            tracing::warn!(video = %of.id, %problem, "a source can't be kept now");
            let_go(fetch, of.fetch_failures, PAUSE).await
        }
    }
}

/// Tries again later, unless that was done often enough.
async fn again(fetch: &Fetch, why: &str, wait: Option<Duration>) -> sqlx::Result<()> {
    let failures = fetch.of.fetch_failures.saturating_add(1);
    tracing::info!(video = %fetch.of.id, why, failures, "a source does not come for now");
    match patience::pause(failures, wait) {
        Some(pause) => let_go(fetch, failures, pause).await,
        None => give_up(fetch, None, &format!("{why}; it was tried {failures} times")).await,
    }
}

async fn let_go(fetch: &Fetch, failures: i32, pause: Duration) -> sqlx::Result<()> {
    fetches::later(&fetch.app.drive, &fetch.of, failures, fetch.unnoted_s(), pause.as_secs_f64()).await
}

async fn give_up(fetch: &Fetch, code: Option<u16>, why: &str) -> sqlx::Result<()> {
    let why = format!("it can't be fetched: {why}");
    if fetches::failed(&fetch.app.drive, &fetch.of, code.map(i32::from), &why).await? {
        checking::tidy(&fetch.app, &storage::parts(fetch.of.id)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_four_users_to_fill_a_replica() {
        assert_eq!([0, 1, 4, 7, 8, 16].map(each), [1, 1, 1, 1, 2, 4]);
    }
}
