//! What nodes and splitters deliver to a stitcher: only what somebody here waits for, and on the disk only as long as that. Never: a
//! file that is left behind by a job that was stopped, failed, or was done by another.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vtp_engine::coordinator::JobId;
use vtp_fleet::transfer::{Error, FolderSpool, ObjectId, Spool};

/// A spool that takes what is of jobs that are awaited. Clones share them.
#[derive(Clone)]
pub(super) struct Deliveries {
    spool: FolderSpool,
    awaited: Arc<Mutex<HashSet<JobId>>>,
}

/// Somebody waits for what is made in a job. With this goes what was delivered of it.
pub(super) struct Awaited {
    deliveries: Deliveries,
    job: JobId,
}

impl Deliveries {
    pub(super) fn new(spool: FolderSpool) -> Self {
        Self { spool, awaited: Arc::default() }
    }

    /// Takes what is made in `job`, as long as what this answers is there.
    pub(super) fn awaits(&self, job: JobId) -> Awaited {
        self.awaited().insert(job);
        Awaited { deliveries: self.clone(), job }
    }

    /// Removes what nobody waits for: what was on its way while the job ended comes after it was cleared.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.spool.folder)? {
            let entry = entry?;
            let job = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(JobId);
            if job.is_none_or(|job| !self.awaited().contains(&job)) {
                remove(&entry.path());
            }
        }
        Ok(())
    }

    fn awaited(&self) -> MutexGuard<'_, HashSet<JobId>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool for Deliveries {
    fn place(&self, id: ObjectId) -> Result<PathBuf, Error> {
        match self.awaited().contains(&id.job) {
            true => self.spool.place(id),
            false => Err(Error::NotFound(id)),
        }
    }

    fn most(&self) -> u64 {
        self.spool.most()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.deliveries.awaited().remove(&self.job);
        remove(&self.deliveries.spool.folder_of(self.job));
    }
}

/// Removes a folder that need not be there.
pub(super) fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %folder.display(), "left behind");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{Attempt, ChunkIndex};
    use vtp_fleet::transfer::Kind;

    use super::*;

    #[test]
    fn what_is_delivered_is_taken_while_somebody_waits_for_it_and_gone_when_nobody_does() {
        let folder = tempfile::tempdir().unwrap();
        let deliveries = Deliveries::new(FolderSpool { folder: folder.path().to_owned(), most: 10 });
        let id = ObjectId { job: JobId(7), chunk: ChunkIndex(3), attempt: Attempt(1), kind: Kind::Encoded };
        assert!(matches!(deliveries.place(id), Err(Error::NotFound(_))));
        let awaited = deliveries.awaits(id.job);
        let place = deliveries.place(id).unwrap();
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "delivered").unwrap();
        deliveries.sweep().unwrap();
        assert!(place.exists());
        drop(awaited);
        assert!(!place.exists() && deliveries.place(id).is_err());
        // It was on its way.
        std::fs::create_dir_all(&place).unwrap();
        deliveries.sweep().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
