//! The bytes of an upload by tus, as they come: step: hold the upload, keep part after part, keep what is no whole part, let go. In: one
//! request's body. Out: how far the upload is, which is never more than is kept. Never: more than a part in memory.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use ring::digest::Context;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument as _;
use uuid::Uuid;
use vtp_store::{About, Body as Content, Key, Store as _};

use crate::app::App;
use crate::db::tus as rows;
use crate::db::tus::Tus;
use crate::db::videos::Video;
use crate::ids::UserId;
use crate::problem::{Kind, Outcome, Problem};
use crate::storage::Object;
use crate::tus::{Append, Checksum, Piece, Pieces, Refusal};
use crate::{checking, part_urls};

/// How long a request waits for another to let go of the upload: one that broke off keeps what it has.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// What every body may take to come, and how many bytes of it have to come in each second besides, on average.
const USUAL: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 16 * 1024;
/// What is to be done when a body broke off of which all is kept that came.
const HEAD: &str = "ask with HEAD how far the upload is";
/// How long it is waited for more of what is not wanted.
const QUICKLY: Duration = Duration::from_secs(1);
/// How long a body may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Adds the bytes of a request to an upload of this user; how many bytes it has then. It is carried on when its client goes away: what
/// came is kept.
///
/// # Errors
/// Another request has the upload, or it is elsewhere; the body breaks off, is too long or is not what its checksum says; something
/// is away.
pub(crate) async fn receive(app: &App, user: UserId, video: &Video, append: Append, body: Body) -> Outcome<u64> {
    let (app, video) = (app.clone(), video.clone());
    let carried_out = async move {
        let _room = app.upload_memory.take(user, bytes(video.chunk_size.min(video.size()))).await?;
        let by = Uuid::now_v7();
        let held = hold(&app, &video, by).await?;
        let rest = Mutex::new(held.rest);
        let receiving = Receiving { app: &app, video: &video, by, received: bytes(held.received), rest };
        let received = tokio::select! {
            received = receiving.take(append, body) => received,
            lost = receiving.go_on() => match lost { Err(problem) => Err(problem), Ok(never) => match never {} },
        };
        if let Err(error) = rows::release(&app.db, video.id, by).await {
            tracing::warn!(video = %video.id, %error, "an upload is not let go of; it is free when its time is over");
        }
        let received = received?;
        if received == bytes(video.size()) {
            checking::begin(&app, user, video.id).await?;
        }
        Ok(received)
    };
    let carried_out = tokio::spawn(carried_out.in_current_span());
    carried_out.await.map_err(|error| Problem::internal(&error))?
}

/// Waits a little until a request has let go of the upload. What is asked of it then is asked when all is kept that came.
///
/// # Errors
/// The database is away.
pub(crate) async fn settled(app: &App, video: &Video) -> Outcome<Option<Tus>> {
    let began = Instant::now();
    while rows::is_held(&app.db, video.id).await? && began.elapsed() < PATIENCE {
        sleep(LOOK).await;
    }
    Ok(rows::find(&app.db, video.id).await?)
}

async fn hold(app: &App, video: &Video, by: Uuid) -> Outcome<Tus> {
    let began = Instant::now();
    loop {
        if let Some(held) = rows::hold(&app.db, video.id, by, app.config.lease_s).await? {
            return Ok(held);
        }
        if began.elapsed() > PATIENCE {
            let detail = "another request sends bytes of this upload; one at a time may, so ask a little later";
            return Err(Problem::new(Kind::Locked, detail));
        }
        sleep(LOOK).await;
    }
}

/// An upload that a request holds.
struct Receiving<'a> {
    app: &'a App,
    video: &'a Video,
    by: Uuid,
    /// How far it was.
    received: u64,
    /// The object that has the bytes that make no whole part.
    rest: Mutex<Option<Uuid>>,
}

impl Receiving<'_> {
    /// Says that it is still held, as long as it is.
    async fn go_on(&self) -> Outcome<Infallible> {
        let lease_s = self.app.config.lease_s;
        loop {
            sleep(Duration::from_secs_f64((lease_s as f64 / 3.0).max(0.2))).await;
            match rows::still_holds(&self.app.drive, self.video.id, self.by, lease_s).await {
                Ok(true) => {}
                Ok(false) => return Err(taken()),
                Err(error) => tracing::warn!(video = %self.video.id, %error, "it is not said that an upload is held"),
            }
        }
    }

    async fn take(&self, append: Append, body: Body) -> Outcome<u64> {
        let received = self.received;
        if append.offset != received {
            return Err(Refusal::Offset { offset: append.offset, received }.into());
        }
        let rest = self.rest().await?;
        let pieces = Pieces::new(bytes(self.video.chunk_size), bytes(self.video.size()), received, rest);
        match append.checksum {
            None => self.take_as_it_comes(pieces, body).await,
            Some(checksum) => self.take_whole(pieces, body, &checksum).await,
        }
    }

    /// Keeps what comes, as far as it comes.
    async fn take_as_it_comes(&self, mut pieces: Pieces, body: Body) -> Outcome<u64> {
        let mut body = Coming::new(body);
        let ended = loop {
            match body.next().await {
                Ok(Some(bytes)) => {
                    for piece in pieces.push(bytes)? {
                        let end = piece.end;
                        self.put(piece).await?;
                        self.keep(end, None).await?;
                    }
                }
                Ok(None) => break Ok(()),
                Err(why) => break Err(broken(&why, HEAD)),
            }
        };
        let received = self.keep_rest(pieces).await?;
        ended.map(|()| received)
    }

    /// Keeps all of it, or nothing: parts that are put and not noted are put again.
    async fn take_whole(&self, mut pieces: Pieces, body: Body, checksum: &Checksum) -> Outcome<u64> {
        let (mut body, mut hash): (_, Context) = (Coming::new(body), checksum.context());
        while let Some(bytes) = body.next().await.map_err(|why| broken(&why, HEAD))? {
            hash.update(&bytes);
            for piece in pieces.push(bytes)? {
                self.put(piece).await?;
            }
        }
        match checksum.is_of(hash) {
            true => self.keep_rest(pieces).await,
            false => Err(Refusal::Mismatch.into()),
        }
    }

    async fn keep_rest(&self, pieces: Pieces) -> Outcome<u64> {
        let received = pieces.received();
        let name = match pieces.rest() {
            None => None,
            Some(rest) => {
                let name = Uuid::now_v7();
                let key = self.key(Object::Rest(self.video.id, name))?;
                self.app.store.put(&key, &Content::Bytes(rest.bytes), About::default()).await?;
                Some(name)
            }
        };
        self.keep(received, name).await?;
        Ok(received)
    }

    async fn put(&self, piece: Piece) -> Outcome<()> {
        let key = self.key(Object::Part(self.video.id, piece.number))?;
        Ok(self.app.store.put(&key, &Content::Bytes(piece.bytes), About::default()).await?)
    }

    async fn keep(&self, received: u64, rest: Option<Uuid>) -> Outcome<()> {
        let kept = (i64::try_from(received).map_err(|error| Problem::internal(&error))?, rest);
        match rows::keep(&self.app.db, self.video.id, self.by, kept, self.app.config.upload_keep_s).await? {
            true => self.drop_old(rest).await,
            false => Err(taken()),
        }
    }

    /// Removes what the rest was in, now that it is in `rest`.
    async fn drop_old(&self, rest: Option<Uuid>) -> Outcome<()> {
        let old = std::mem::replace(&mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner), rest);
        let Some(name) = old else { return Ok(()) };
        let old = self.key(Object::Rest(self.video.id, name))?;
        if let Err(error) = self.app.store.delete(&[old]).await {
            tracing::warn!(video = %self.video.id, %error, "the beginning of a part stays until the upload is over");
        }
        Ok(())
    }

    /// The bytes that are kept and make no whole part.
    async fn rest(&self) -> Outcome<Bytes> {
        let wanted = self.received % bytes(self.video.chunk_size);
        let name = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted == 0 || self.received == bytes(self.video.size()) {
            return Ok(Bytes::new());
        }
        let name = name.ok_or_else(|| Problem::internal(&"it is not known where the beginning of a part is"))?;
        let key = self.key(Object::Rest(self.video.id, name))?;
        let found = self.app.store.head(&key).await?;
        let found = found.ok_or_else(|| Problem::internal(&"the beginning of a part is gone from the store"))?;
        Ok(self.app.store.get(&key, 0..wanted, &found).await?)
    }

    fn key(&self, object: Object<'_>) -> Outcome<Key> {
        object.key().map_err(|error| Problem::internal(&error))
    }
}

/// The bytes of a part, which has so many.
///
/// # Errors
/// It has more or fewer; it breaks off, or comes too slowly.
pub(crate) async fn part(body: Body, number: u32, expected: u64) -> Outcome<Bytes> {
    let of_another_size =
        |came: String| Problem::new(Kind::Invalid, format!("part {number} has {expected} bytes, and {came} came"));
    let (least, most) = (body.size_hint().lower(), body.size_hint().upper());
    if least > expected || most.is_some_and(|most| most < expected) {
        pass_over(body, expected).await;
        return Err(of_another_size(least.to_string()));
    }
    let (mut body, mut whole) = (Coming::new(body), BytesMut::new());
    while let Some(bytes) = body.next().await.map_err(|why| broken(&why, "send it again"))? {
        if (whole.len() + bytes.len()) as u64 > expected {
            return Err(of_another_size("more".to_owned()));
        }
        whole.extend_from_slice(&bytes);
    }
    match whole.len() as u64 == expected {
        true => Ok(whole.freeze()),
        false => Err(of_another_size(whole.len().to_string())),
    }
}

/// Passes over a body that is not wanted, up to so many bytes and as long as it comes quickly: clients that send it without waiting
/// hear the answer only when they have. Nothing of it is kept.
pub(crate) async fn pass_over(body: Body, most: u64) {
    let (mut body, mut passed) = (body.into_data_stream(), 0);
    let all = async {
        while let Ok(Some(Ok(bytes))) = timeout(QUICKLY, body.next()).await {
            passed += bytes.len() as u64;
            if passed > most {
                break;
            }
        }
    };
    // Whoever is slower hears it if they look before they have sent all.
    let _ = timeout(SILENCE, all).await;
}

fn broken(why: &str, what_to_do: &str) -> Problem {
    Problem::new(Kind::Unavailable, format!("the body broke off: {why}; {what_to_do}"))
}

/// A body that comes, and for how long it was waited for.
struct Coming {
    body: BodyDataStream,
    came: u64,
    waited: Duration,
}

impl Coming {
    fn new(body: Body) -> Self {
        Self { body: body.into_data_stream(), came: 0, waited: Duration::ZERO }
    }

    /// What comes next; `None` at its end.
    ///
    /// # Errors
    /// What it broke off by.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let began = Instant::now();
        let next = timeout(SILENCE, self.body.next()).await;
        self.waited += began.elapsed();
        match next {
            Ok(Some(Ok(bytes))) => {
                self.came += bytes.len() as u64;
                match is_too_slow(self.came, self.waited) {
                    true => Err(format!("{} bytes came in {} s, which is too slow", self.came, self.waited.as_secs())),
                    false => Ok(Some(bytes)),
                }
            }
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(None) => Ok(None),
            Err(_) => Err(format!("nothing came for {} s", SILENCE.as_secs())),
        }
    }
}

/// Whether so many bytes should have come in less time.
fn is_too_slow(came: u64, waited: Duration) -> bool {
    waited > USUAL + Duration::from_secs(came / SLOWEST)
}

/// That the upload is another's by now, or takes nothing any longer.
fn taken() -> Problem {
    part_urls::closed()
}

/// What the database has of bytes, which is never less than nothing.
fn bytes(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_comes_a_byte_now_and_then_is_too_slow_and_one_of_a_slow_line_is_not() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert!(is_too_slow(100, minutes(2)) && !is_too_slow(1, minutes(1)));
        assert!(!is_too_slow(5 << 20, minutes(5)) && is_too_slow(5 << 20, minutes(7)));
        assert!(!is_too_slow(10 << 30, minutes(60 * 24)));
    }
}
