//! Files that appear whole: written under a temporary name in the same folder, then renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::layout::Durability;

/// A folder of the output.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    durability: Durability,
}

impl Folder {
    /// Creates the folder (and those above it) where it does not exist.
    pub(crate) fn create(path: PathBuf, durability: Durability) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(Self { path, durability })
    }

    /// Where `name` is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the draft of `name` is.
    pub(crate) fn draft_of(&self, name: &str) -> PathBuf {
        self.file(&format!(".{name}.part"))
    }

    /// Lets `write` fill a file that readers see under `name` only once it is whole.
    pub(crate) fn publish(&self, name: &str, write: impl FnOnce(&mut File) -> Result<(), Error>) -> Result<(), Error> {
        let draft = self.draft(name, write)?;
        self.reveal(&draft, name)
    }

    /// The first half of [`Folder::publish`]: the file is complete, but under its temporary name, which is returned.
    pub(crate) fn draft(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let draft = self.draft_of(name);
        let mut file = File::create(&draft).map_err(at(&draft))?;
        let written = write(&mut file).and_then(|()| match self.durability {
            Durability::Synced => file.sync_data().map_err(at(&draft)),
            Durability::Buffered => Ok(()),
        });
        if let Err(error) = written {
            discard(&draft);
            return Err(error);
        }
        Ok(draft)
    }

    /// The second half: gives a draft its name.
    pub(crate) fn reveal(&self, draft: &Path, name: &str) -> Result<(), Error> {
        let path = self.file(name);
        fs::rename(draft, &path).map_err(at(&path))?;
        match self.durability {
            Durability::Synced => File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(at(&self.path)),
            Durability::Buffered => Ok(()),
        }
    }
}

/// Writes `bytes`, naming `path` in errors.
pub(crate) fn write_bytes(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes).map_err(at(path))
}

/// Removes a file that must not stay; that it cannot be removed is told, and does not hide the first error.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "file left behind");
    }
}

/// Names the file in an I/O error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}
