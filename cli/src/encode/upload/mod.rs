//! A finished ladder on its way into a store: segments first, then media playlists, then what players begin with, so that nobody
//! ever finds a playlist of something that is not there. It is counted at the end. In: a folder. Out: objects. Never: a name
//! outside of its prefix; an object that somebody else has put there meanwhile.
//!
//! ```text
//!  claim ──► media ──► media playlists ──► is the claim ours? ──► manifests ──► count ──► is the claim ours? ──► no claim
//! ```
//! Stores have no locks. In their place an object says whose upload is under way; who finds another's there later has been taken
//! over, and leaves everything as it is.

mod pieces;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use vtp_store::{About, Body, Error, Key, Store};

use super::output::SIGNS;
use crate::stores::patiently;
use pieces::Turn;
pub(super) use pieces::{Piece, pieces};

/// Objects that are under way at the same time.
const AT_A_TIME: usize = 8;
/// What the object with the claim is called. No piece is.
const CLAIM: &str = ".vtp-upload";

/// Whose upload is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The run: in a fleet the same for all attempts at a job.
    run: u64,
    /// This attempt at it.
    attempt: u64,
}

impl Claim {
    /// That of an attempt at `run`.
    pub(super) fn new(run: u64) -> Self {
        Self { run, attempt: fastrand::u64(..) }
    }
}

/// What stands under a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// What an earlier attempt at the same run has left.
    Remains,
    /// What another run has left that was cut off, or is under way.
    Unfinished,
    /// A ladder.
    Ladder,
    /// Something else.
    Something,
}

/// Why a ladder is not in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// One of its files can't be put there.
    #[error("{key}: {error}")]
    Put {
        /// Which one.
        key: String,
        /// Why.
        #[source]
        error: Error,
    },
    /// What is there can't be told or removed.
    #[error(transparent)]
    Store(#[from] Error),
    /// It is not what was put there, or there is more.
    #[error("{0} was put there by somebody else meanwhile")]
    Otherwise(String),
    /// Another run has begun to write there.
    #[error("another run writes to the same place")]
    TakenOver,
    /// It was not wanted any longer.
    #[error("cancelled")]
    Stopped,
}

/// An upload under names that begin with `prefix`.
pub(super) struct Upload<'a, S> {
    pub(super) store: &'a S,
    pub(super) prefix: &'a str,
    pub(super) claim: Claim,
    /// What was there when it began, and may be replaced.
    pub(super) before: Before,
    /// Whether it is not wanted any longer.
    pub(super) cancelled: &'a AtomicBool,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    /// One of the pieces was not put, so no other is begun.
    has_failed: AtomicBool,
    /// What may be there by it.
    begun: Mutex<Vec<Key>>,
}

/// What stands under a prefix, for `run`.
///
/// # Errors
/// Those of the store.
pub(super) async fn look<S: Store>(store: &S, prefix: &str, run: u64) -> Result<Before, Error> {
    if patiently(|| false, || store.list(prefix, 1)).await?.is_empty() {
        return Ok(Before::Nothing);
    }
    Ok(match claimed(store, prefix).await? {
        Some(claim) if claim.run == run => Before::Remains,
        Some(_) => Before::Unfinished,
        None if has_one_of(store, prefix, &SIGNS).await? => Before::Ladder,
        None => Before::Something,
    })
}

async fn has_one_of<S: Store>(store: &S, prefix: &str, names: &[&str]) -> Result<bool, Error> {
    for name in names {
        let Ok(key) = Key::new(format!("{prefix}{name}")) else { continue };
        if patiently(|| false, || store.head(&key)).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file `piece` of what was put under `prefix` and is whole; `None` if it is not there, or an upload is under way or was cut off.
///
/// # Errors
/// Those of the store.
pub(super) async fn finished<S: Store>(store: &S, prefix: &str, piece: &str) -> Result<Option<Bytes>, Error> {
    let key = name(prefix, piece)?;
    let Some(found) = patiently(|| false, || store.head(&key)).await? else { return Ok(None) };
    if claimed(store, prefix).await?.is_some() {
        return Ok(None);
    }
    match patiently(|| false, || store.get(&key, 0..found.size, &found)).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Changed) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose upload is under way, if one is.
async fn claimed<S: Store>(store: &S, prefix: &str) -> Result<Option<Claim>, Error> {
    let key = name(prefix, CLAIM)?;
    let Some(found) = patiently(|| false, || store.head(&key)).await? else { return Ok(None) };
    match patiently(|| false, || store.get(&key, 0..found.size, &found)).await {
        // Whatever it says, it is nobody's of ours.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or(Claim { run: 0, attempt: 0 }))),
        Err(Error::Changed) => Ok(Some(Claim { run: 0, attempt: 0 })),
        Err(error) => Err(error),
    }
}

fn name(prefix: &str, name: &str) -> Result<Key, Error> {
    Key::new(format!("{prefix}{name}")).map_err(|error| Error::Refused(error.to_string()))
}

impl<'a, S: Store> Upload<'a, S> {
    pub(super) fn new(store: &'a S, prefix: &'a str, claim: Claim, before: Before, cancelled: &'a AtomicBool) -> Self {
        Self { store, prefix, claim, before, cancelled, progress: Progress::default() }
    }

    /// Puts all pieces there; what else is there goes only if it is to be replaced.
    ///
    /// # Errors
    /// [`UploadError`]; then what was put is taken back, unless somebody else has taken over.
    pub(super) async fn carry_out(&self, pieces: &[Piece]) -> Result<(), UploadError> {
        let done = self.put_all(pieces).await;
        match &done {
            // What is there is another's, or may be.
            Ok(()) | Err(UploadError::TakenOver) => {}
            Err(_) => self.take_back().await,
        }
        done
    }

    /// Whether something that was there before may be damaged.
    pub(super) fn has_damaged(&self) -> bool {
        let is_piece = |key: &Key| !key.as_str().ends_with(CLAIM);
        matches!(self.before, Before::Ladder | Before::Unfinished) && self.begun().iter().any(is_piece)
    }

    async fn put_all(&self, pieces: &[Piece]) -> Result<(), UploadError> {
        let found = look(self.store, self.prefix, self.claim.run).await?;
        if self.before == Before::Nothing && found != Before::Nothing {
            return Err(UploadError::Otherwise(self.prefix.to_owned()));
        }
        let claim = serde_json::to_vec(&self.claim).map_err(|error| Error::Refused(error.to_string()))?;
        let claim = Body::Bytes(claim.into());
        self.put(name(self.prefix, CLAIM)?, &claim, About::default()).await?;
        for turn in Turn::ALL {
            if turn == Turn::Manifest {
                self.require_claim().await?;
            }
            self.put_turn(pieces.iter().filter(|piece| piece.turn() == turn)).await?;
        }
        self.count(pieces).await?;
        self.require_claim().await?;
        Ok(self.patiently(|| async { self.store.delete(&[name(self.prefix, CLAIM)?]).await }).await?)
    }

    /// Puts some pieces; those that are under way when one fails are waited for.
    async fn put_turn(&self, pieces: impl Iterator<Item = &Piece>) -> Result<(), UploadError> {
        let puts: Vec<_> = pieces
            .map(|piece| async {
                let (key, body) = (name(self.prefix, &piece.name)?, Body::File(piece.path.clone()));
                self.put(key, &body, piece.about()).await
            })
            .collect();
        let (mut puts, mut outcome) = (stream::iter(puts).buffer_unordered(AT_A_TIME), Ok(()));
        while let Some(put) = puts.next().await {
            if put.is_err() && outcome.is_ok() {
                self.progress.has_failed.store(true, Ordering::Relaxed);
                outcome = put;
            }
        }
        outcome
    }

    async fn put(&self, key: Key, body: &Body, about: About) -> Result<(), UploadError> {
        if self.is_stopped() {
            return Err(UploadError::Stopped);
        }
        self.begun().push(key.clone());
        let put = self.patiently(|| self.store.put(&key, body, about)).await;
        put.map_err(|error| match self.cancelled.load(Ordering::Relaxed) {
            true => UploadError::Stopped,
            false => UploadError::Put { key: key.to_string(), error },
        })
    }

    /// Holds what is there against what was put, and removes what else is there if it was to be replaced.
    async fn count(&self, pieces: &[Piece]) -> Result<(), UploadError> {
        let there = self.patiently(|| self.store.list(self.prefix, usize::MAX)).await?;
        let mut there: BTreeMap<Key, u64> = there.into_iter().collect();
        there.remove(&name(self.prefix, CLAIM)?);
        for piece in pieces {
            let key = name(self.prefix, &piece.name)?;
            if there.remove(&key) != Some(piece.size) {
                return Err(UploadError::Otherwise(key.to_string()));
            }
        }
        let others: Vec<Key> = there.into_keys().collect();
        match others.first() {
            Some(other) if self.before == Before::Nothing => Err(UploadError::Otherwise(other.to_string())),
            _ => Ok(self.patiently(|| self.store.delete(&others)).await?),
        }
    }

    async fn require_claim(&self) -> Result<(), UploadError> {
        match claimed(self.store, self.prefix).await? {
            Some(claim) if claim == self.claim => Ok(()),
            _ => Err(UploadError::TakenOver),
        }
    }

    /// Takes back what was put, if nobody has taken over. The error that led here is the one to tell.
    async fn take_back(&self) {
        let begun = self.begun().clone();
        let taken_back = async {
            self.require_claim().await?;
            // The claim, which is the first of them, goes last.
            let (claim, pieces) = begun.split_at(begun.len().min(1));
            patiently(|| false, || self.store.delete(pieces)).await?;
            patiently(|| false, || self.store.delete(claim)).await.map_err(UploadError::from)
        };
        match taken_back.await {
            // What is there is another's.
            Ok(()) | Err(UploadError::TakenOver) => {}
            Err(error) => {
                let objects = begun.len();
                tracing::warn!(prefix = self.prefix, objects, %error, "what was put there is left behind");
            }
        }
    }

    async fn patiently<T, F: Future<Output = Result<T, Error>>>(&self, call: impl FnMut() -> F) -> Result<T, Error> {
        patiently(|| self.is_stopped(), call).await
    }

    fn is_stopped(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.progress.has_failed.load(Ordering::Relaxed)
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, Vec<Key>> {
        self.progress.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
