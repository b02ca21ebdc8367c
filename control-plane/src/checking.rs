//! An upload whose parts are all there: put together, counted, hashed if its hash is known, and looked at by the fleet. In: parts.
//! Out: a source, or why it is none. Never: a source that is written to again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ring::digest;
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::timeout;
use tracing::Instrument as _;
use vtp_store::{About, Key, Store as _};

use crate::app::App;
use crate::db::videos::{self, Checked, Facts, Video};
use crate::db::{fetches, jobs, tus};
use crate::fleet::{Away, Probed};
use crate::ids::{UserId, VideoId};
use crate::problem::{Kind, Outcome, Problem};
use crate::storage::{self, Object};

/// Seconds after which nobody writes for a video that is deleted: what was under way then has ended.
const SETTLED_S: i64 = 600;
/// Seconds after which it is checked again for the first time what could not be.
const PAUSE_S: i64 = 10;
/// How often what was fetched is checked that can't be, each time after a longer pause.
const MOST_CHECKS: i64 = 14;
/// Bytes that are hashed at a time.
const BLOCK: u64 = 4 << 20;

/// Checks an upload that was set to be checked, and notes what came of it. One that can't be checked now goes back to where its
/// parts are.
///
/// # Errors
/// It is no video, is damaged, or something is away.
pub(crate) async fn check(app: &App, video: &Video) -> Outcome<()> {
    let lost = || Problem::new(Kind::Conflict, "it is checked by another replica").later(1);
    let epoch = video.check_epoch;
    let checked = tokio::select! {
        checked = look(app, video) => checked,
        () = until_lost(app, video) => return Err(lost()),
    };
    let checked = match checked {
        // It was tried for hours, and nobody but us tries.
        Err(Refused::Now(problem)) if video.is_fetched() && epoch >= MOST_CHECKS => {
            tracing::error!(video = %video.id, %problem, "a source can't be checked");
            let message =
                format!("it could not be looked at, {epoch} times; that is a fault of ours, and written down");
            Err(Refused::Useless { code: 1005, message })
        }
        checked => checked,
    };
    match &checked {
        Ok(facts) => match videos::uploaded(&app.db, video.id, epoch, facts).await? {
            Checked::Noted => {}
            Checked::Lost => return Err(lost()),
            Checked::Unwanted => tidy(app, &storage::source(video.id)).await,
        },
        Err(Refused::Useless { code, message }) => {
            if !videos::failed(&app.db, video.id, epoch, i32::from(*code), message).await? {
                return Err(lost());
            }
            tidy(app, &storage::source(video.id)).await;
        }
        Err(Refused::Now(_)) => videos::uncheck(&app.db, video.id, epoch, pause_s(epoch)).await?,
    }
    if !matches!(checked, Err(Refused::Now(_))) {
        tidy(app, &storage::parts(video.id)).await;
    }
    checked.map(drop).map_err(|refused| match refused {
        Refused::Useless { code: 1001, message } => Problem::new(Kind::NotAVideo, message),
        Refused::Useless { message, .. } => Problem::new(Kind::Corrupt, message),
        Refused::Now(problem) => problem,
    })
}

/// After how many seconds it is checked again that could not be, so many times: ever more, up to some hours.
fn pause_s(times: i64) -> i64 {
    PAUSE_S << times.clamp(1, 10).saturating_sub(1)
}

/// Says that it is still checked, until another does.
async fn until_lost(app: &App, video: &Video) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64((app.config.lease_s as f64 / 3.0).max(0.2)));
    loop {
        ticks.tick().await;
        match videos::still_checks(&app.drive, video.id, video.check_epoch, app.config.lease_s).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(video = %video.id, %error, "it is not said that an upload is still checked"),
        }
    }
}

/// Begins to check uploads that somebody had begun to check who is gone, as many as there is room for, and waits for nothing.
pub(crate) async fn take_over(app: &App) {
    while let Ok(room) = Arc::clone(&app.checks).try_acquire_owned() {
        let video = match videos::take_over(&app.drive, app.config.lease_s).await {
            Ok(Some(video)) => video,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "uploads that nobody checks are not looked for"),
        };
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(problem) = check(&app, &video).await {
                tracing::info!(video = %video.id, %problem, "an upload is of no use, or can't be checked now");
            }
            drop(room);
        });
    }
}

/// Begins to check an upload all of whose bytes are there, and waits for nothing; one that somebody checks already is
/// left to them.
///
/// # Errors
/// The database is away.
pub(crate) async fn begin(app: &App, user: UserId, video: VideoId) -> Outcome<()> {
    let Some(video) = videos::check(&app.db, user, video, app.config.lease_s).await? else { return Ok(()) };
    let app = app.clone();
    let checked = async move {
        if let Err(problem) = check(&app, &video).await {
            tracing::info!(video = %video.id, %problem, "an upload is of no use, or can't be checked now");
        }
    };
    tokio::spawn(checked.in_current_span());
    Ok(())
}

/// Begins to check uploads by tus that are whole and that nobody checks: nobody comes to complete them.
pub(crate) async fn begin_whole(app: &App) {
    let whole = match tus::unchecked(&app.drive).await {
        Ok(whole) => whole,
        Err(error) => return tracing::warn!(%error, "uploads that are whole are not looked for"),
    };
    for (user, video) in whole {
        if let Err(problem) = begin(app, user, video).await {
            tracing::warn!(%video, %problem, "an upload that is whole is not checked yet");
        }
    }
}

/// The numbers of the parts of an upload that lie in the store and have the bytes that they have to have, in order.
///
/// # Errors
/// The store is away.
pub(crate) async fn there(app: &App, video: &Video) -> Result<Vec<u32>, vtp_store::Error> {
    let found = app.store.list(&storage::parts(video.id), usize::MAX).await?;
    let parts = found.into_iter().filter_map(|(key, size)| {
        let number = storage::part_number(video.id, &key)?;
        (video.part_size(number) == Some(size)).then_some(number)
    });
    Ok(parts.collect())
}

enum Refused {
    /// Whatever is done.
    Useless { code: u16, message: String },
    /// Later it may do.
    Now(Problem),
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Now(error.into())
    }
}

async fn look(app: &App, video: &Video) -> Result<Facts, Refused> {
    let key = source(video)?;
    let parts = parts(app, video).await?;
    app.store.join(&parts, &key, About::default()).await?;
    let found = app.store.head(&key).await?.ok_or_else(|| Problem::internal(&"what was put together is not there"))?;
    let size = u64::try_from(video.size()).unwrap_or_default();
    if found.size != size {
        let message = format!("{} bytes have arrived, and {size} were announced; {}", found.size, again(video));
        return Err(Refused::Useless { code: 1005, message });
    }
    if let Some(wanted) = &video.sha256 {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut place = 0;
        while place < size {
            let bytes = app.store.get(&key, place..(place + BLOCK).min(size), &found).await?;
            place += bytes.len() as u64;
            hash.update(&bytes);
        }
        if hash.finish().as_ref() != &wanted[..] {
            let message = format!("what has arrived does not have the hash that was announced; {}", again(video));
            return Err(Refused::Useless { code: 1005, message });
        }
    }
    let probed = app.fleet.probe(app.store.address(&key)).await;
    let probed = probed.map_err(|Away(why)| {
        tracing::warn!(video = %video.id, why, "an upload can't be looked into");
        Problem::new(Kind::Unavailable, "the fleet can't look into it now: it is busy or away")
    });
    match probed? {
        Probed::Video(probe) => Ok(facts(probe, size)),
        // How its place is called says nothing to anybody outside.
        Probed::Unusable { code, message } => {
            let place = app.store.address(&key).display().to_string();
            Err(Refused::Useless { code, message: message.replace(&place, &video.original_filename) })
        }
    }
}

/// What its user does about a video that has not arrived as it should.
fn again(video: &Video) -> &'static str {
    if video.is_fetched() { "look at what its URL names, and send that again" } else { "upload it again" }
}

/// The parts that make the whole, in order.
async fn parts(app: &App, video: &Video) -> Result<Vec<Key>, Refused> {
    let key = |object: Object<'_>| object.key().map_err(|error| Refused::Now(Problem::internal(&error)));
    if !video.is_fetched() {
        let parts =
            (0..video.parts()).map(|number| key(Object::Part(video.id, number))).collect::<Result<Vec<_>, _>>()?;
        // They come past us, so one may be another by now than when it was completed.
        let is_there = there(app, video).await?.len();
        if is_there != parts.len() {
            let detail = format!("{} parts are missing; see missing_parts", parts.len().saturating_sub(is_there));
            return Err(Refused::Now(Problem::new(Kind::Conflict, detail)));
        }
        return Ok(parts);
    }
    let fetched = fetches::parts(&app.drive, video.id).await?;
    fetched.into_iter().map(|(number, epoch)| key(Object::Fetched(video.id, epoch, number))).collect()
}

/// Where the source of a video is.
pub(crate) fn source(video: &Video) -> Outcome<Key> {
    Object::Source(video.id, &video.original_filename).key().map_err(|error| Problem::internal(&error))
}

/// What the columns have of what `vtp probe --json` tells.
fn facts(probe: Value, size: u64) -> Facts {
    let duration = probe["duration_s"].as_f64().filter(|it| *it > 0.0);
    let video = &probe["source"]["video"];
    let resolution = match (video["size"]["width"].as_u64(), video["size"]["height"].as_u64()) {
        (Some(width), Some(height)) => Some(format!("{width}x{height}")),
        _ => None,
    };
    Facts {
        duration,
        format: probe["source"]["container"].as_str().map(str::to_owned),
        resolution,
        bitrate: duration.map(|seconds| (size as f64 * 8.0 / seconds) as i64),
        metadata: probe,
    }
}

/// Removes what begins so, if that can be. What is left is looked for again, when nobody can be writing any longer.
pub(crate) async fn tidy(app: &App, prefix: &str) {
    tidy_of(app, prefix, |_| true).await;
}

/// The same of those alone that are `old`.
pub(crate) async fn tidy_of(app: &App, prefix: &str, old: impl Fn(&Key) -> bool) {
    if let Err(error) = remove(app, prefix, old).await {
        tracing::warn!(%error, prefix, "left behind in the store");
    }
}

async fn remove(app: &App, prefix: &str, old: impl Fn(&Key) -> bool) -> Result<(), vtp_store::Error> {
    let there = app.store.list(prefix, usize::MAX).await?;
    let keys: Vec<Key> = there.into_iter().map(|(key, _)| key).filter(old).collect();
    app.store.delete(&keys).await
}

/// Removes all that is in the store of a video that was deleted just now, if that can be. It is looked for again when nobody can be
/// writing any longer.
pub(crate) async fn forget(app: &App, video: VideoId) {
    tidy(app, &storage::parts(video)).await;
    tidy(app, &storage::source(video)).await;
}

/// Does to its end what is to be done of something that is noted already, and waits for it no longer than for so long: whoever asked for
/// it is answered then.
pub(crate) async fn go_on_with(what: impl Future<Output = ()> + Send + 'static, patience: Duration) {
    let done = tokio::spawn(what.in_current_span());
    match timeout(patience, done).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "what was noted is not done; it is looked for again"),
        Err(_) => tracing::info!("what was noted takes long, and goes on"),
    }
}

/// Removes parts that were put into the store when their uploads were over, by addresses that were still good; of what is of no use, all.
pub(crate) async fn sweep_late(app: &App) {
    let late = Leftovers {
        what: "parts that came late",
        found: videos::late(&app.drive, SETTLED_S).await,
        prefixes: |(video, is_useless)| {
            let whole = is_useless.then(|| storage::source(video));
            [storage::parts(video)].into_iter().chain(whole).collect()
        },
        note: |db, (video, _)| async move { videos::late_is_gone(&db, video).await }.boxed(),
    };
    late.sweep(app).await;
}

/// Removes what is in the store of jobs that came to nothing a while ago, or whose outputs were deleted, and notes that it is gone:
/// whoever was at them may have been putting something there when they ended.
pub(crate) async fn sweep_ladders(app: &App) {
    let ladders = Leftovers {
        what: "what is left of jobs that came to nothing, or whose outputs are not wanted",
        found: jobs::unswept(&app.drive, SETTLED_S).await,
        prefixes: |job| vec![storage::ladder(job)],
        note: |db, job| async move { jobs::swept(&db, job).await }.boxed(),
    };
    ladders.sweep(app).await;
}

/// Removes all that is in the store of videos that were deleted a while ago, and notes that it is gone.
pub(crate) async fn sweep(app: &App) {
    let deleted = Leftovers {
        what: "bytes of videos that are deleted",
        found: videos::unswept(&app.drive, SETTLED_S).await,
        prefixes: |video| vec![storage::parts(video), storage::source(video)],
        note: |db, video| async move { videos::swept(&db, video).await }.boxed(),
    };
    deleted.sweep(app).await;
}

/// What may be left in the store of things that are over.
struct Leftovers<T> {
    /// As this is told of where it can't be removed.
    what: &'static str,
    /// The things.
    found: sqlx::Result<Vec<T>>,
    /// What the names of its objects begin with.
    prefixes: fn(T) -> Vec<String>,
    /// Notes that nothing of it is left.
    note: fn(PgPool, T) -> BoxFuture<'static, sqlx::Result<()>>,
}

impl<T: Copy + std::fmt::Debug> Leftovers<T> {
    /// Removes it. What can't be removed now is found the next time.
    async fn sweep(self, app: &App) {
        let Self { what, found, prefixes, note } = self;
        let found = match found {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, what, "not looked for"),
        };
        for one in found {
            let removed = async {
                for prefix in prefixes(one) {
                    remove(app, &prefix, |_| true).await.map_err(|error| error.to_string())?;
                }
                note(app.drive.clone(), one).await.map_err(|error| error.to_string())
            };
            if let Err(error) = removed.await {
                tracing::warn!(error, what, ?one, "left for the next time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_long_goes_on_when_it_is_waited_for_no_longer() {
        let (done, mut is_done) = tokio::sync::watch::channel(false);
        let slowly = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            done.send_replace(true);
        };
        go_on_with(slowly, Duration::ZERO).await;
        assert!(!*is_done.borrow());
        is_done.wait_for(|it| *it).await.unwrap();
    }

    #[test]
    fn what_the_probe_tells_fills_the_columns() {
        let probe = serde_json::json!({
            "duration_s": 10.0,
            "source": { "container": "mov,mp4", "video": { "size": { "width": 1280, "height": 720 } } },
        });
        let facts = facts(probe, 1_250_000);
        assert_eq!((facts.duration, facts.bitrate), (Some(10.0), Some(1_000_000)));
        assert_eq!((facts.resolution.as_deref(), facts.format.as_deref()), (Some("1280x720"), Some("mov,mp4")));
        assert_eq!(super::facts(Value::Null, 7), Facts { metadata: Value::Null, ..Facts::default() });
    }
}
