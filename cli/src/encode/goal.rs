//! Where a ladder goes: a folder, or a place in a store. What goes into a store is made in a folder for temporary files first, and
//! nothing of it is there before all of it is proven.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use vtp_store::{Location, Store as _};

use super::Arguments;
use super::output::{Dirs, Output};
use super::upload::{self, Piece, UploadError};
use crate::exit::Failure;
use crate::place::Place;
use crate::progress::ProgressEvent;
use crate::stores::{Bucket, Stores, Trouble};

/// How often it is looked whether an upload is still wanted.
const LOOK: Duration = Duration::from_millis(50);
/// For how long what was put into a store is taken back.
const WITHDRAWAL: Duration = Duration::from_secs(60);

/// Where a run writes, and what becomes of it. Dropping it leaves nothing.
pub(super) struct Goal {
    output: Output,
    store: Option<Remote>,
}

/// A place in a store that a ladder goes to.
struct Remote {
    location: Location,
    bucket: Bucket,
    /// Whether something was there before, which is replaced.
    replaces: bool,
    /// The folder that it is made in.
    _scratch: TempDir,
}

impl Goal {
    /// Makes a place to write in.
    ///
    /// # Errors
    /// [`Failure::Usage`] where there is something already that is not to be replaced, or must not be.
    pub(super) fn prepare(arguments: &Arguments, stores: &Stores) -> Result<Self, Failure> {
        let location = match &arguments.out {
            Place::Path(path) => {
                let output = Output::prepare(path, arguments.input.path(), arguments.force)?;
                return Ok(Self { output, store: None });
            }
            Place::Store(location) => folder(location)?,
        };
        if arguments.play_early {
            return Err(Failure::Usage("--play-early needs an --out that is a folder of this machine".to_owned()));
        }
        refuse_precious(&arguments.input, &location)?;
        let bucket = stores.bucket(&location)?;
        let there = bucket.block_on(bucket.store.list(&location.key, 1));
        let there = there.map_err(|error| Trouble::Store { location: location.clone(), error })?;
        if !there.is_empty() && !arguments.force {
            return Err(Failure::Usage(format!(
                "{location} is not empty; choose another --out, or give --force to replace it"
            )));
        }
        let scratch = tempfile::Builder::new().prefix("vtp-ladder-").tempdir();
        let scratch = scratch.context("cannot make a folder for temporary files").map_err(Failure::Internal)?;
        let output = Output::prepare(&scratch.path().join("ladder"), arguments.input.path(), false)?;
        let store = Remote { location, bucket, replaces: !there.is_empty(), _scratch: scratch };
        Ok(Self { output, store: Some(store) })
    }

    /// Where to write.
    pub(super) fn dirs(&self) -> &Dirs {
        self.output.dirs()
    }

    /// Keeps what was written, and tells where it is.
    ///
    /// # Errors
    /// [`Failure`]; nothing that looks finished is left then, but where something was replaced in a store.
    pub(super) fn publish(
        self,
        progress: &(dyn Fn(ProgressEvent) + Sync),
        cancelled: &AtomicBool,
    ) -> Result<PathBuf, Failure> {
        let folder = self.output.publish()?;
        let Some(store) = self.store else { return Ok(folder) };
        progress(ProgressEvent::Stage("uploading".into()));
        let pieces = upload::pieces(&folder).context("cannot read what was made").map_err(Failure::Internal)?;
        store.publish(&pieces, cancelled)?;
        Ok(store.location.to_string().into())
    }
}

impl Remote {
    fn publish(&self, pieces: &[Piece], cancelled: &AtomicBool) -> Result<(), Failure> {
        let sent = self.bucket.block_on(async {
            tokio::select! {
                sent = upload::upload(&self.bucket.store, &self.location.key, pieces) => Some(sent),
                () = raised(cancelled) => None,
            }
        });
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.failed(error, pieces)),
            None => {
                self.withdraw(pieces);
                Err(Failure::Interrupted)
            }
        }
    }

    fn failed(&self, error: UploadError, pieces: &[Piece]) -> Failure {
        self.withdraw(pieces);
        let error = anyhow::Error::from(error).context(format!("cannot write to {}", self.location));
        Failure::Internal(match self.replaces {
            true => error.context("what was there before is damaged: run it again"),
            false => error,
        })
    }

    /// Takes back what was put there. The error that led here is the one to tell.
    fn withdraw(&self, pieces: &[Piece]) {
        let withdrawn = self.bucket.block_on(async {
            let withdrawal = upload::withdraw(&self.bucket.store, &self.location.key, pieces);
            tokio::time::timeout(WITHDRAWAL, withdrawal).await
        });
        let why = match withdrawn {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::warn!(location = %self.location, why, "what was put there is left behind");
    }
}

async fn raised(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// The place as a folder, whose name ends with a slash.
fn folder(location: &Location) -> Result<Location, Failure> {
    let name = location.key.trim_end_matches('/');
    match name.is_empty() {
        // Replacing a ladder there would remove all else that is in the bucket.
        true => Err(Failure::Usage(format!("{location} is a whole bucket; give --out a prefix in it"))),
        false => Ok(Location { bucket: location.bucket.clone(), key: format!("{name}/") }),
    }
}

/// The source is not to be replaced by what is made of it.
fn refuse_precious(source: &Place, location: &Location) -> Result<(), Failure> {
    match source {
        Place::Store(it) if it.bucket == location.bucket && it.key.starts_with(&location.key) => {
            Err(Failure::Usage(format!("{source} lies in {location}, which is written; choose another --out")))
        }
        Place::Store(_) | Place::Path(_) => Ok(()),
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble.is_of_the_place() {
            true => Self::Usage(trouble.to_string()),
            false => Self::Internal(trouble.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_folder_and_no_whole_bucket() {
        let folder = |text: &str| folder(&text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(folder("s3://films/a/b").unwrap(), "s3://films/a/b/");
        assert_eq!(folder("s3://films/a/b//").unwrap(), "s3://films/a/b/");
        assert!(folder("s3://films").is_err() && folder("s3://films/").is_err());
    }

    #[test]
    fn what_would_be_written_over_its_source_is_refused() {
        let at = |text: &str| Place::Store(text.parse().unwrap());
        let out = folder(&"s3://films/a".parse().unwrap()).unwrap();
        assert!(refuse_precious(&at("s3://films/a/in.mp4"), &out).is_err());
        assert!(refuse_precious(&at("s3://films/a.mp4"), &out).is_ok());
        assert!(refuse_precious(&at("s3://other/a/in.mp4"), &out).is_ok());
        assert!(refuse_precious(&"a/in.mp4".into(), &out).is_ok());
    }
}
