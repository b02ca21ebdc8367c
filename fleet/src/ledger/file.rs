//! A ledger that is a journal in a folder.
//!
//! `journal` has frames (`frame.rs`), one a call of [`Ledger::append`], which returns when the frame is synced
//! (`fdatasync`): whoever has many records hands them over together and pays for one sync. `lock` is held while a process
//! has the ledger open. A journal that has doubled since it was last compacted, and has more than
//! 64 MiB, is written anew with what still counts, beside the old one, and takes its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::frame::{self, Unreadable};
use super::{Epoch, Error, Ledger, Record, State};

/// A journal of fewer bytes is left as it is.
const COMPACT_FROM: u64 = 64 * 1024 * 1024;

/// A journal in a folder.
#[derive(Clone, Debug)]
pub struct FileLedger(Arc<Mutex<Journal>>);

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    state: State,
    /// Bytes that are kept.
    length: u64,
    /// Bytes after the last compaction.
    compacted: u64,
    compact_from: u64,
    broken: bool,
    _lock: File,
}

impl FileLedger {
    /// The ledger in this folder, which is made if there is none.
    ///
    /// # Errors
    /// [`Error`]: it is in use, damaged, of another release, or the disk fails.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Self::open_with(folder, COMPACT_FROM)
    }

    pub(super) fn open_with(folder: &Path, compact_from: u64) -> Result<Self, Error> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| Error::Io { path, error }
        };
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::InUse(folder.to_owned()))?;
        let path = folder.join("journal");
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(at(&path))?;
        let (state, length) = load(&path, &mut file)?;
        sync_folder(&path).map_err(at(folder))?;
        let journal =
            Journal { path, file, state, length, compacted: length, compact_from, broken: false, _lock: lock };
        Ok(Self(Arc::new(Mutex::new(journal))))
    }

    /// What is known.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Runs `work` where it may block. It ends also if nobody waits for it any longer.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let journal = Arc::clone(&self.0);
        let work = move || work(&mut journal.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Broken))
    }
}

impl Ledger for FileLedger {
    async fn claim(&mut self) -> Result<(Epoch, State), Error> {
        self.with(|journal| {
            let epoch = journal.state.epoch().0 + 1;
            let claim = Record::Claimed { epoch };
            journal.write(&frame::write(vec![claim.clone()])?)?;
            journal.state.fold(&claim);
            Ok((Epoch(epoch), journal.state.clone()))
        })
        .await
    }

    async fn append(&mut self, epoch: Epoch, records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(epoch);
        }
        self.with(move |journal| {
            journal.admit(epoch)?;
            super::check::check(&journal.state, &records)?;
            let frame = frame::write(records.clone())?;
            journal.write(&frame)?;
            records.iter().for_each(|record| journal.state.fold(record));
            journal.compact_if_due()
        })
        .await
    }
}

impl Journal {
    /// Whether whoever has claimed it as this may write.
    fn admit(&self, epoch: Epoch) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        if epoch != self.state.epoch() {
            return Err(Error::Fenced { yours: epoch, current: self.state.epoch() });
        }
        Ok(())
    }

    /// Writes a frame and syncs it. If the disk is full, what was written of it is taken back.
    fn write(&mut self, frame: &[u8]) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        if let Err(error) = self.file.write_all(frame) {
            let back = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.broken = back.is_err();
            return Err(self.failed(error));
        }
        if let Err(error) = self.file.sync_data() {
            // What a failed sync has left on the disk is unknown, and the next would not tell.
            self.broken = true;
            return Err(self.failed(error));
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    fn compact_if_due(&mut self) -> Result<(), Error> {
        if self.length < self.compact_from || self.length < self.compacted.saturating_mul(2) {
            return Ok(());
        }
        let beside = self.path.with_extension("new");
        let (file, length) = match self.write_anew(&beside) {
            Ok(written) => written,
            Err(error) => {
                // The records in question are kept, whatever becomes of this: a disk that is full is no reason to stop.
                tracing::warn!(%error, path = %self.path.display(), "the journal could not be compacted");
                self.compacted = self.length;
                return Ok(());
            }
        };
        // From here on, writing to the old file would be writing to nothing.
        let moved = std::fs::rename(&beside, &self.path).and_then(|()| sync_folder(&self.path));
        self.broken = moved.is_err();
        (self.file, self.length, self.compacted) = (file, length, length);
        moved.map_err(|error| self.failed(error))
    }

    fn write_anew(&self, beside: &Path) -> Result<(File, u64), Error> {
        let mut file = File::create(beside).map_err(|error| self.failed(error))?;
        let mut length = 0;
        // A frame a job, so that no frame grows with the number of jobs.
        for record in self.state.records() {
            let frame = frame::write(vec![record])?;
            file.write_all(&frame).map_err(|error| self.failed(error))?;
            length += frame.len() as u64;
        }
        file.sync_all().map_err(|error| self.failed(error))?;
        Ok((file, length))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::Io { path: self.path.clone(), error }
    }
}

/// Reads a journal and cuts off what was never kept.
fn load(path: &Path, file: &mut File) -> Result<(State, u64), Error> {
    let failed = |error| Error::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    let contents = frame::read(&bytes).map_err(|error| match error {
        Unreadable::Damaged(at) => Error::Damaged { path: path.to_owned(), at: at as u64 },
        Unreadable::Message(error) => error.into(),
    })?;
    let whole = contents.whole as u64;
    if contents.whole < bytes.len() {
        tracing::warn!(path = %path.display(), bytes = bytes.len() - contents.whole, "the journal's torn end is cut off");
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    file.seek(SeekFrom::Start(whole)).map_err(failed)?;
    let mut state = State::default();
    contents.records.iter().for_each(|record| state.fold(record));
    Ok((state, whole))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
