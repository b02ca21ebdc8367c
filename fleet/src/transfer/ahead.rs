//! Fetching the next object while the current one is used: one ahead, and never more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::landing::Landed;
use super::protocol::ObjectId;
use super::{Error, Transfer};

/// Fetches objects, one ahead of their use. Dropping it stops what it has begun.
#[derive(Debug)]
pub struct Ahead<T> {
    transfer: Arc<T>,
    next: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    id: ObjectId,
    place: PathBuf,
    fetch: Stopping,
}

/// A task that ends when nobody waits for it any more.
#[derive(Debug)]
struct Stopping(JoinHandle<Result<Landed, Error>>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Transfer> Ahead<T> {
    /// Fetches by `transfer`.
    pub const fn new(transfer: Arc<T>) -> Self {
        Self { transfer, next: None }
    }

    /// Begins to fetch what will be wanted next. What was begun before and not taken is given up; its draft stays.
    pub fn begin(&mut self, id: ObjectId, place: &Path) {
        if self.next.as_ref().is_some_and(|begun| begun.id == id && begun.place == place) {
            return;
        }
        let (transfer, place) = (Arc::clone(&self.transfer), place.to_owned());
        let fetch = {
            let place = place.clone();
            tokio::spawn(async move { transfer.fetch(id, &place).await })
        };
        self.next = Some(Begun { id, place, fetch: Stopping(fetch) });
    }

    /// The object: the one that was begun, or fetched now.
    ///
    /// # Errors
    /// Those of [`Transfer::fetch`].
    pub async fn take(&mut self, id: ObjectId, place: &Path) -> Result<Landed, Error> {
        match self.next.take() {
            Some(mut begun) if begun.id == id && begun.place == place => match (&mut begun.fetch.0).await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => Err(Error::Lost(error.to_string())),
                },
            },
            other => {
                // Another one that was begun is not in the way of this one: both go on.
                self.next = other;
                self.transfer.fetch(id, place).await
            }
        }
    }
}
