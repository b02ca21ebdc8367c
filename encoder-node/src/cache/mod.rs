//! Finished encodings, kept for later runs: what was encoded once from the same packets with the same settings by the
//! same build is not encoded again. That is how a run that was killed goes on where it was, and how a run with one more
//! rung or another target encodes only what is new.
//!
//! One file an encoding, named by a hash of all that decides its bytes ([`key`]); the file is the spool file itself with
//! a seal behind its samples ([`entry`]), linked into the folder when it is durable. Nothing is ever changed in place:
//! any number of processes may use a folder at once, and what is torn or damaged is recognised and made again.

pub(crate) mod entry;
mod key;
mod tools;

pub use tools::identity;

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tempfile::NamedTempFile;
use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition, StageCpu};
use vtp_engine::ladder::Rendition;

use key::Key;
pub use key::SourceHash;

use crate::stills::is_stills;
use crate::{Observer, spool};

/// What the names of entries end with.
const SUFFIX: &str = "chunk";
/// What those of pictures by themselves end with.
const STILLS: &str = "stills";

/// A folder of finished encodings.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// What decides the bytes besides task and source; found out when it is first needed.
    tools: OnceLock<Option<blake3::Hash>>,
    reused: AtomicU64,
    trouble: OnceLock<String>,
}

/// What a folder of finished encodings holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Encodings: one rendition of one chunk each.
    pub entries: u64,
    /// Their size, and that of the pictures beside them.
    pub bytes: u64,
}

impl Cache {
    /// The cache in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder can't be made or written to.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        temporary(folder)?.close()?;
        let (tools, trouble) = (OnceLock::new(), OnceLock::new());
        Ok(Self { folder: folder.to_owned(), tools, reused: AtomicU64::new(0), trouble })
    }

    /// Encodings that were taken from the cache so far.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Why something was not kept, if that happened: the first reason.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Carries out `task`, whose packets hash to `source` and are decoded with `extradata`: renditions that are in the
    /// cache are taken from it, the others are made by `encode` and kept. That an encoding can't be kept is no error; see
    /// [`Cache::trouble`].
    ///
    /// # Errors
    /// Whatever `encode` answers.
    pub fn encode<E>(
        &self,
        source: &SourceHash,
        extradata: &[u8],
        task: &EncodeTask,
        observer: &dyn Observer,
        encode: impl FnOnce(&EncodeTask) -> Result<EncodedChunk, E>,
    ) -> Result<EncodedChunk, E> {
        let Some(keys) = self.keys(source, extradata, task) else { return encode(task) };
        let mut renditions: Vec<Option<EncodedRendition>> =
            keys.iter().zip(&task.renditions).map(|(key, it)| self.take(key, it, &task.spool)).collect();
        // Pictures by themselves are no encodings that anybody waits for.
        let encodings = renditions.iter().zip(&task.renditions).filter(|(_, of)| !is_stills(of));
        for taken in encodings.filter_map(|(taken, _)| taken.as_ref()) {
            self.reused.fetch_add(1, Ordering::Relaxed);
            observer.frames_encoded(&taken.rendition, u32::try_from(task.frames.len()).unwrap_or(u32::MAX));
        }
        let lacks = |at: &usize| renditions[*at].is_none();
        let missing: Vec<usize> = (0..renditions.len()).filter(lacks).collect();
        let mut cpu = StageCpu::default();
        if !missing.is_empty() {
            let rest = missing.iter().map(|&at| task.renditions[at].clone()).collect();
            let made = encode(&EncodeTask { renditions: rest, ..task.clone() })?;
            cpu = made.cpu;
            for (at, encoded) in missing.into_iter().zip(made.renditions) {
                if let Err(error) = self.keep(&keys[at], &task.renditions[at], &encoded) {
                    self.note_trouble(&error);
                }
                renditions[at] = Some(encoded);
            }
        }
        let renditions = renditions.into_iter().flatten().collect();
        Ok(EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions, cpu })
    }

    /// The keys of the task's renditions; `None` if it is not known what would be made.
    fn keys(&self, source: &SourceHash, extradata: &[u8], task: &EncodeTask) -> Option<Vec<Key>> {
        let identity = || tools::identity().inspect_err(|error| self.note_trouble(error)).ok();
        let tools = self.tools.get_or_init(identity).as_ref()?;
        let context = key::Context::new(tools, source, extradata, task);
        let keys = task.renditions.iter().map(|rendition| context.key(rendition)).collect::<io::Result<_>>();
        keys.inspect_err(|error| self.note_trouble(error)).ok()
    }

    fn note_trouble(&self, error: &io::Error) {
        tracing::debug!(%error, folder = %self.folder.display(), "an encoding is not kept for later runs");
        self.trouble.get_or_init(|| error.to_string());
    }

    /// The encoding of this key, its file linked into the folder `spool`; `None` if there is none that is whole.
    fn take(&self, key: &Key, of: &Rendition, spool: &Path) -> Option<EncodedRendition> {
        let entry = self.path(key, of);
        let path = spool.join(spool::name(of));
        let taken = entry::read(&entry, key.as_bytes()).and_then(|encoded| {
            remove(&path)?;
            link_or_copy(&entry, &path)?;
            Ok(encoded)
        });
        match taken {
            Ok(encoded) => {
                touch(&entry);
                Some(EncodedRendition { rendition: of.name.clone(), spool: path, ..encoded })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, entry = %entry.display(), "a kept encoding is of no use");
                if error.kind() == io::ErrorKind::InvalidData {
                    drop(remove(&entry));
                }
                None
            }
        }
    }

    /// Seals the encoding's spool file and links it into the cache.
    fn keep(&self, key: &Key, of: &Rendition, encoded: &EncodedRendition) -> io::Result<()> {
        entry::seal(encoded, key.as_bytes())?;
        let entry = self.path(key, of);
        match link_or_copy(&encoded.spool, &entry) {
            // Another process was faster; the bytes are the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(&self.folder)?.sync_all(),
        }
    }

    fn path(&self, key: &Key, of: &Rendition) -> PathBuf {
        let suffix = if is_stills(of) { STILLS } else { SUFFIX };
        self.folder.join(format!("{key}.{suffix}"))
    }
}

/// What `folder` holds; nothing if it is not there.
///
/// # Errors
/// It can't be read.
pub fn usage(folder: &Path) -> io::Result<Usage> {
    let entries = list(folder)?;
    Ok(Usage {
        entries: entries.iter().map(|it| u64::from(it.is_encoding)).sum(),
        bytes: entries.iter().map(|it| it.bytes).sum(),
    })
}

/// Deletes what was not used for longest until `folder` holds at most `most_bytes`, and what interrupted runs left half
/// copied. Returns what was deleted.
///
/// # Errors
/// It can't be read, or a file can't be deleted.
pub fn trim(folder: &Path, most_bytes: u64) -> io::Result<Usage> {
    remove_leftovers(folder)?;
    let mut entries = list(folder)?;
    entries.sort_by_key(|it| it.used);
    let mut excess = entries.iter().map(|it| it.bytes).sum::<u64>().saturating_sub(most_bytes);
    let mut deleted = Usage::default();
    for entry in entries {
        if excess == 0 {
            break;
        }
        remove(&entry.path)?;
        excess = excess.saturating_sub(entry.bytes);
        deleted = Usage { entries: deleted.entries + u64::from(entry.is_encoding), bytes: deleted.bytes + entry.bytes };
    }
    Ok(deleted)
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    is_encoding: bool,
}

fn list(folder: &Path) -> io::Result<Vec<Kept>> {
    let is_encoding = |path: &Path| path.extension().is_some_and(|it| it == SUFFIX);
    let kept = files(folder, |name| [SUFFIX, STILLS].iter().any(|it| name.ends_with(&format!(".{it}"))))?;
    let facts = |path: PathBuf| match path.metadata() {
        Ok(facts) => {
            Ok(Some(Kept { bytes: facts.len(), used: facts.modified()?, is_encoding: is_encoding(&path), path }))
        }
        // Another process deleted it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    kept.into_iter().filter_map(|path| facts(path).transpose()).collect()
}

/// A copy into the folder takes less.
const LONGEST_COPY_S: u64 = 3600;

/// Deletes copies that were never finished.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for path in files(folder, |name| name.starts_with(TEMPORARY))? {
        let is_old = |facts: fs::Metadata| {
            facts.modified().is_ok_and(|at| at.elapsed().is_ok_and(|it| it.as_secs() > LONGEST_COPY_S))
        };
        if path.metadata().is_ok_and(is_old) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Deletes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files of `folder` by name; none if it is not there.
fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.file_name().and_then(|it| it.to_str()).is_some_and(&wanted)).collect())
}

const TEMPORARY: &str = ".new-";

/// A file in `folder` that is nobody else's, gone when it is dropped: processes of several containers may have one number.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    // As any new file: what the user's mask leaves of it.
    let open = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(TEMPORARY).permissions(open).tempfile_in(folder)
}

/// Gives `from` the second name `to`, or, where that can't be (another filesystem, one without links, somebody else's
/// file), copies it there durably. What stands under `to` is always whole.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => copy(from, to),
        linked => linked,
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut half = temporary(to.parent().unwrap_or(Path::new(".")))?;
    io::copy(&mut File::open(from)?, half.as_file_mut())?;
    half.as_file().sync_all()?;
    half.persist(to)?;
    Ok(())
}

/// Remembers that an entry was used just now. Where that fails it is deleted a little early.
fn touch(entry: &Path) {
    let touched = File::options().append(true).open(entry).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(%error, entry = %entry.display(), "the use of an entry is not remembered");
    }
}

#[cfg(test)]
mod tests;
