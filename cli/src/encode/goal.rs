//! Where a ladder goes: a folder, or a place in a store. What goes into a store is made in a folder for temporary files first, and
//! nothing of it is there before all of it is proven.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use vtp_stitcher::Durability;
use vtp_store::Location;

use super::arguments::Arguments;
use super::made::Made;
use super::output::{self, Dirs, Output};
use super::upload::{self, Before, Claim, Piece, Upload, UploadError};
use crate::exit::{Failure, Left};
use crate::place::Place;
use crate::progress::ProgressEvent;
use crate::records;
use crate::report::Report;
use crate::scratch::Scratch;
use crate::stores::{Bucket, Stores, Trouble};

/// Where a run writes, and what becomes of it. Dropping it leaves nothing.
pub(super) struct Goal {
    output: Output,
    store: Option<Remote>,
}

/// A place in a store that a ladder goes to.
struct Remote {
    location: Location,
    bucket: Bucket,
    /// Whose upload it is.
    claim: Claim,
    /// What was there before, and is replaced.
    before: Before,
    /// The folder that it is made in.
    _scratch: Scratch,
}

/// What an earlier attempt at the fleet's job `run` has published, if one has: it may have been lost, or told to stop, before it was
/// known of. It is whole, so nothing is left to do.
///
/// # Errors
/// [`Failure`], where a store can't be asked.
pub(super) fn published(arguments: &Arguments, stores: &Stores, run: u64) -> Result<Option<Made>, Failure> {
    let found = match &arguments.out {
        // Where there is something else, or something damaged, whoever wants to write there is told.
        Place::Path(path) if output::is_finished(path) => {
            records::report(path).ok().map(|report| (report, path.clone()))
        }
        Place::Path(_) => None,
        Place::Store(location) => {
            let location = folder(location)?;
            let bucket = stores.bucket(&location)?;
            let bytes = bucket.block_on(upload::finished(&bucket.store, &location.key, records::REPORT));
            let bytes = bytes.map_err(|error| Trouble::Store { location: location.clone(), error })?;
            let report = bytes.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
            report.map(|report| (report, location.to_string().into()))
        }
    };
    let is_ours = |(report, _): &(Report, PathBuf)| report.job == Some(run.to_string());
    Ok(found.filter(is_ours).map(|(report, folder)| Made { report, folder }))
}

impl Goal {
    /// Makes a place to write in, for `run`: what an earlier attempt at the same has left in a store is gone on with.
    ///
    /// # Errors
    /// [`Failure::Usage`] where there is something already that is not to be replaced, or must not be.
    pub(super) fn prepare(arguments: &Arguments, stores: &Stores, run: u64) -> Result<Self, Failure> {
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
        let before = bucket.block_on(upload::look(&bucket.store, &location.key, run));
        let before = before.map_err(|error| Trouble::Store { location: location.clone(), error })?;
        let refused = match before {
            Before::Something if arguments.force => {
                Some("is not empty, and no ladder; choose another --out, for --force replaces ladders alone")
            }
            Before::Something => Some("is not empty, and no ladder; choose another --out"),
            _ if arguments.force => None,
            Before::Nothing | Before::Remains => None,
            Before::Unfinished => Some(
                "has what another run has left that was cut off, or is under way; choose another --out, or give --force to \
                 replace it",
            ),
            Before::Ladder => Some("is not empty; choose another --out, or give --force to replace it"),
        };
        if let Some(why) = refused {
            return Err(Failure::Usage(format!("{location} {why}")));
        }
        let scratch =
            Scratch::new("ladder").context("cannot make a folder for temporary files").map_err(Failure::Internal)?;
        let output = Output::prepare(&scratch.path().join("ladder"), arguments.input.path(), false)?;
        let store = Remote { location, bucket, claim: Claim::new(run), before, _scratch: scratch };
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
        // Much time may have passed since it was last looked at.
        if cancelled.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted(Left::Nothing));
        }
        // What is uploaded next is in the store then, or nowhere.
        let durability = if self.store.is_some() { Durability::Buffered } else { Durability::Synced };
        let folder = self.output.publish(durability)?;
        let Some(store) = self.store else { return Ok(folder) };
        progress(ProgressEvent::Stage("uploading".into()));
        let pieces = upload::pieces(&folder).context("cannot read what was made").map_err(Failure::Internal)?;
        store.publish(&pieces, cancelled)?;
        Ok(store.location.to_string().into())
    }
}

impl Remote {
    fn publish(&self, pieces: &[Piece], cancelled: &AtomicBool) -> Result<(), Failure> {
        let (store, prefix) = (&self.bucket.store, &*self.location.key);
        let upload = Upload::new(store, prefix, self.claim, self.before, cancelled);
        let Err(error) = self.bucket.block_on(upload.carry_out(pieces)) else { return Ok(()) };
        let is_cancelled = matches!(error, UploadError::Stopped);
        let error = anyhow::Error::from(error).context(format!("cannot write to {}", self.location));
        match (is_cancelled, upload.has_damaged()) {
            (true, false) => Err(Failure::Interrupted(Left::Nothing)),
            (true, true) => Err(Failure::Interrupted(Left::Damaged(self.location.to_string()))),
            (false, false) => Err(Failure::Internal(error)),
            (false, true) => Err(Failure::Internal(error.context("what was there before is damaged: run it again"))),
        }
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
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn into(folder: &std::path::Path) -> Arguments {
        let folder = folder.display().to_string();
        Line::try_parse_from(["encode", "/nowhere/in.mp4", "--out", &folder]).unwrap().arguments
    }

    /// The report of a ladder that a fleet has made in the job `job`.
    fn report(job: u64) -> String {
        let report = include_str!("../../tests/golden/report-v1.json");
        let mut report: Report = serde_json::from_str(report).unwrap();
        report.job = Some(job.to_string());
        serde_json::to_string(&report).unwrap()
    }

    #[test]
    fn the_attempt_after_one_that_has_published_finds_its_ladder_and_no_other_does() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let (arguments, stores) = (into(&out), Stores::default());
        let found = |job| published(&arguments, &stores, job).unwrap();
        assert!(found(7).is_none(), "nothing is there");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join(records::REPORT), report(7)).unwrap();
        let made = found(7).unwrap();
        assert_eq!((made.folder, made.report.job.as_deref()), (out.clone(), Some("7")));
        assert!(found(8).is_none());
        std::fs::create_dir(out.join(".vtp-work-1")).unwrap();
        assert!(found(7).is_none(), "it was cut off before it was whole");
    }

    #[test]
    fn what_is_told_to_stop_at_the_last_moment_is_not_published() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let goal = Goal::prepare(&into(&out), &Stores::default(), 7).unwrap();
        std::fs::write(goal.dirs().out.join("master.m3u8"), "whole").unwrap();
        let published = goal.publish(&|_| {}, &AtomicBool::new(true));
        assert!(matches!(published, Err(Failure::Interrupted(Left::Nothing))));
        assert!(!out.exists());
    }

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
