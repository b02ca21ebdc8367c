//! Folders that are held against others: as long as the value lives, no other process that asks has the folder. A name may lead to
//! another folder a moment later, so that a lock counts is only known once it was held against what the name leads to.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A folder that is held, where its filesystem has locks.
#[derive(Debug)]
pub(crate) struct Held {
    folder: File,
    is_locked: bool,
}

/// What came of trying to hold a folder.
#[derive(Debug)]
pub(crate) enum Tried {
    Held(Held),
    /// Somebody else holds it.
    Busy,
    /// It is not there, or was taken away or replaced at this very moment.
    Gone,
}

impl Held {
    /// Holds `folder`, if nobody does.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) fn take(folder: &Path) -> io::Result<Tried> {
        let opened = match File::open(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tried::Gone),
            opened => opened?,
        };
        let is_locked = match opened.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(Tried::Busy),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, folder = %folder.display(), "there are no locks here");
                false
            }
        };
        let held = Self { folder: opened, is_locked };
        Ok(if held.is_at(folder) { Tried::Held(held) } else { Tried::Gone })
    }

    /// Whether others are kept from it: the filesystem has locks.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Whether `path` leads to this folder, as far as anybody can know.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let is_same = || {
            let (held, there) = (self.folder.metadata()?, std::fs::metadata(path)?);
            Ok::<_, io::Error>((held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        !self.is_locked || is_same().unwrap_or(false)
    }

    /// Has all that was written to its filesystem on the disk: one call, whatever number of files that is.
    ///
    /// # Errors
    /// Something that was written since it is held is lost.
    pub(crate) fn sync_filesystem(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.folder)?)
    }

    /// Has the names in it on the disk.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_names(&self.folder)
    }

    /// Lets go of it, as the end of a process does.
    #[cfg(test)]
    pub(crate) fn release(&self) -> io::Result<()> {
        self.folder.unlock()
    }
}

/// Has the names in a folder on the disk, where its filesystem does that for folders.
///
/// # Errors
/// Of the disk.
pub(crate) fn sync_names(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            tracing::debug!(%error, "folders are not synced here");
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_a_folder_until_they_let_go_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let Tried::Held(held) = Held::take(folder.path()).unwrap() else { panic!("nobody holds it") };
        assert!(matches!(Held::take(folder.path()).unwrap(), Tried::Busy));
        drop(held);
        assert!(matches!(Held::take(folder.path()).unwrap(), Tried::Held(_)));
    }

    #[test]
    fn a_folder_that_was_replaced_is_not_the_one_that_is_held() {
        let root = tempfile::tempdir().unwrap();
        let (folder, elsewhere) = (root.path().join("it"), root.path().join("elsewhere"));
        assert!(matches!(Held::take(&folder).unwrap(), Tried::Gone));
        std::fs::create_dir(&folder).unwrap();
        let Tried::Held(held) = Held::take(&folder).unwrap() else { panic!("nobody holds it") };
        assert!(held.is_at(&folder));
        std::fs::rename(&folder, &elsewhere).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert!(held.is_at(&elsewhere) && !held.is_at(&folder) && !held.is_at(&root.path().join("absent")));
    }
}
