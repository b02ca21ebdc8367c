//! A store that is a folder: an object is a file below it. Names that lead out of it, or that no file can have, it keeps nothing
//! under. What is being written lies in a hidden folder beside the objects until it is whole.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{About, Body, Error, Found, Key, Store, Version};

/// Where in the folder drafts lie. No key begins with it.
const DRAFTS: &str = ".vtp-drafts";

/// Drafts that nobody has written to for so long were left by a process that was killed.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// A folder with objects.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Path>);

impl Directory {
    /// The folder `root`, which is made if it is not there. Several processes may have it open at the same time, so that of their
    /// drafts only those are removed that nobody has written to for a day.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(root: &Path) -> Result<Self, Error> {
        let drafts = root.join(DRAFTS);
        std::fs::create_dir_all(&drafts).map_err(|error| Error::file(&drafts, error))?;
        forget_old(&drafts).map_err(|error| Error::file(&drafts, error))?;
        Ok(Self(root.into()))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0
    }

    fn path(&self, key: &Key) -> Result<PathBuf, Error> {
        let is_name = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
        match key.as_str().split('/').all(is_name) && !key.as_str().starts_with(DRAFTS) {
            true => Ok(self.0.join(key.as_str())),
            false => Err(Error::Name(key.clone())),
        }
    }

    /// Runs what blocks, on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let here = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&here)).await;
        done.map_err(|error| Error::file(&self.0, io::Error::other(error)))?
    }

    fn write(&self, path: &Path, content: &Content) -> Result<(), Error> {
        let draft = self.0.join(DRAFTS).join(format!("{:032x}", fastrand::u128(..)));
        let written = fill(&draft, content).and_then(|()| settle(&draft, path, &self.0));
        if written.is_err() {
            // The error that led here is the one to tell.
            drop(std::fs::remove_file(&draft));
        }
        written
    }

    /// Adds what lies in `folder` and below, under names that begin with `prefix`.
    fn gather(&self, folder: &Path, prefix: &str, into: &mut Vec<(Key, u64)>) -> Result<(), Error> {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if is_nothing(&error) => return Ok(()),
            entries => entries.map_err(|error| Error::file(folder, error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| Error::file(folder, error))?.path();
            // Anything else than UTF-8 was put there by somebody else.
            let Some(name) = path.strip_prefix(&self.0).ok().and_then(Path::to_str) else { continue };
            let is_wanted = name.starts_with(prefix) || prefix.starts_with(&format!("{name}/"));
            if name == DRAFTS || !is_wanted {
                continue;
            }
            let found = match std::fs::metadata(&path) {
                Err(error) if is_nothing(&error) => continue,
                found => found.map_err(|error| Error::file(&path, error))?,
            };
            match Key::new(name) {
                _ if found.is_dir() => self.gather(&path, prefix, into)?,
                Ok(key) if name.starts_with(prefix) => into.push((key, found.len())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// That nothing is there.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is written into a draft.
enum Content {
    Bytes(Bytes),
    /// A file of somebody else.
    File(PathBuf),
    /// Objects, one after the other.
    Files(Vec<PathBuf>),
}

/// Removes the drafts in a folder that are old. One that is gone meanwhile was made an object, or another process removed it.
fn forget_old(drafts: &Path) -> io::Result<()> {
    let or_gone = |result: io::Result<()>| match result {
        Err(error) if !is_nothing(&error) => Err(error),
        _ => Ok(()),
    };
    for entry in std::fs::read_dir(drafts)? {
        let path = entry?.path();
        let remove = || {
            let age = std::fs::metadata(&path)?.modified()?.elapsed();
            // What was written to in the future is not old.
            if age.is_ok_and(|age| age > OLD) { std::fs::remove_file(&path) } else { Ok(()) }
        };
        or_gone(remove())?;
    }
    Ok(())
}

fn fill(draft: &Path, content: &Content) -> Result<(), Error> {
    let file = File::create_new(draft);
    let mut file = file.map_err(|error| Error::file(draft, error))?;
    match content {
        Content::Bytes(bytes) => io::Write::write_all(&mut file, bytes).map_err(|error| Error::file(draft, error))?,
        Content::File(from) => {
            let mut source = File::open(from).map_err(|error| Error::file(from, error))?;
            io::copy(&mut source, &mut file).map_err(|error| Error::file(draft, error))?;
        }
        Content::Files(parts) => {
            for part in parts {
                match File::open(part) {
                    Err(error) if is_nothing(&error) => return Err(Error::Changed),
                    source => {
                        let mut source = source.map_err(|error| Error::file(part, error))?;
                        io::copy(&mut source, &mut file).map_err(|error| Error::file(draft, error))?;
                    }
                }
            }
        }
    }
    file.sync_all().map_err(|error| Error::file(draft, error))
}

/// Gives the draft its name, for good. Folders are made on the way; another call may remove them at the same time.
fn settle(draft: &Path, path: &Path, root: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(root);
    let mut left = 16;
    loop {
        let settled = std::fs::create_dir_all(folder).and_then(|()| std::fs::rename(draft, path));
        match settled {
            Err(error) if error.kind() == io::ErrorKind::NotFound && left > 0 => left -= 1,
            settled => {
                settled.map_err(|error| Error::file(path, error))?;
                break;
            }
        }
    }
    for folder in folder.ancestors().take_while(|it| it.starts_with(root)) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Error::file(folder, error))?;
    }
    Ok(())
}

/// A file is replaced and never written to, so the moment of its making and its number tell contents apart.
fn found(of: &Metadata) -> Found {
    let version = format!("{:x}-{:x}-{:x}.{:x}", of.ino(), of.len(), of.mtime(), of.mtime_nsec());
    Found { size: of.len(), version: Version(version) }
}

impl Store for Directory {
    async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
        let path = self.path(key)?;
        match tokio::fs::metadata(&path).await {
            Ok(of) if of.is_file() => Ok(Some(found(&of))),
            Ok(_) => Ok(None),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(Error::file(&path, error)),
        }
    }

    async fn get(&self, key: &Key, range: Range<u64>, known: &Found) -> Result<Bytes, Error> {
        let (path, known) = (self.path(key)?, known.clone());
        self.blocking(move |_| {
            let file = match File::open(&path) {
                Err(error) if is_nothing(&error) => return Err(Error::Changed),
                file => file.map_err(|error| Error::file(&path, error))?,
            };
            let of = file.metadata().map_err(|error| Error::file(&path, error))?;
            if found(&of) != known {
                return Err(Error::Changed);
            }
            let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; length];
            match file.read_exact_at(&mut bytes, range.start) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(Error::Short { got: of.len().saturating_sub(range.start), wanted: length as u64 })
                }
                read => read.map(|()| bytes.into()).map_err(|error| Error::file(&path, error)),
            }
        })
        .await
    }

    async fn put(&self, key: &Key, body: &Body, _: About) -> Result<(), Error> {
        let (path, body) = (self.path(key)?, body.clone());
        let content = match body {
            Body::Bytes(bytes) => Content::Bytes(bytes),
            Body::File(from) => Content::File(from),
        };
        self.blocking(move |here| here.write(&path, &content)).await
    }

    async fn join(&self, parts: &[Key], into: &Key, _: About) -> Result<(), Error> {
        let (parts, path) = (parts.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?, self.path(into)?);
        self.blocking(move |here| here.write(&path, &Content::Files(parts))).await
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
        let prefix = prefix.to_owned();
        self.blocking(move |here| {
            let mut all = Vec::new();
            here.gather(&here.0, &prefix, &mut all)?;
            all.sort();
            all.truncate(most);
            Ok(all)
        })
        .await
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |here| {
            for path in paths {
                match std::fs::remove_file(&path) {
                    Err(error) if !is_nothing(&error) => return Err(Error::file(&path, error)),
                    _ => {}
                }
                // Folders that are empty now go, too; the first that is not ends it.
                let folders = path.ancestors().skip(1).take_while(|it| *it != &*here.0);
                folders.map(std::fs::remove_dir).take_while(Result::is_ok).for_each(drop);
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_name_leads_out_of_the_folder_or_into_its_drafts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(&folder.path().join("store")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        for name in ["../secret", "/etc/passwd", "a/../../secret", "a//b", ".", ".vtp-drafts/x", "a/"] {
            let key = Key::new(name).unwrap();
            assert!(matches!(store.head(&key).await, Err(Error::Name(_))), "{name}");
            let put = store.put(&key, &Body::Bytes("x".into()), About::default()).await;
            assert!(matches!(put, Err(Error::Name(_))), "{name}");
        }
    }

    #[tokio::test]
    async fn what_a_killed_process_was_writing_goes_and_what_another_writes_stays_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let drafts = folder.path().join(DRAFTS);
        for (name, age) in [("left", OLD * 2), ("written", Duration::ZERO)] {
            let file = File::create(drafts.join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        assert_eq!(store.list("", 10).await.unwrap(), []);
        Directory::open(folder.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(&drafts).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["written"]);
    }
}
