//! Folders for what is made on the way, where the system keeps temporary files. One is held as long as somebody has it, and gone
//! with them; what killed processes have left is held by nobody, and goes when the next folder is made. Never: touches what is
//! another user's, or has another name.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::held::{Held, Tried};

/// What all names begin with.
const PREFIX: &str = "vtp-scratch-";
/// So many new folders may be taken for left ones, in the moment before they are held.
const MOST_TAKEN: u32 = 8;

/// A folder for what is made on the way. With this it is gone.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _held: Held,
}

impl Scratch {
    /// A new one; `what` is in its name.
    ///
    /// # Errors
    /// It can't be made.
    pub(crate) fn new(what: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), what)
    }

    fn within(parent: &Path, what: &str) -> io::Result<Self> {
        if let Err(error) = remove_left(parent) {
            tracing::debug!(%error, folder = %parent.display(), "it is not known what killed processes left");
        }
        for _ in 0..MOST_TAKEN {
            let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{what}-")).tempdir_in(parent)?;
            if let Tried::Held(held) = Held::take(folder.path())? {
                return Ok(Self { folder, _held: held });
            }
        }
        Err(io::Error::other(format!("others take away what is made in {}", parent.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes those that nobody holds. One that can't be removed stays.
fn remove_left(parent: &Path) -> io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let is_ours = entry.metadata().is_ok_and(|facts| facts.is_dir() && facts.uid() == ours);
        if is_ours && let Err(error) = remove_if_left(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "what a killed process left can't be removed");
        }
    }
    Ok(())
}

fn remove_if_left(folder: PathBuf) -> io::Result<()> {
    let Tried::Held(held) = Held::take(&folder)? else { return Ok(()) };
    // That nobody has it is only known where there are locks.
    if !held.is_locked() {
        return Ok(());
    }
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_and_what_somebody_has_stays() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let had = Scratch::within(parent.path(), "ladder").unwrap();
        for name in ["vtp-scratch-ladder-1", "vtp-scratch-node-2", "another's"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("chunk"), "left").unwrap();
        }
        std::os::unix::fs::symlink(at("another's"), at("vtp-scratch-link")).unwrap();
        let new = Scratch::within(parent.path(), "ladder").unwrap();
        assert!(had.path().is_dir() && new.path().is_dir() && at("another's/chunk").exists());
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 4);
        drop((had, new));
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 2);
    }

    #[test]
    fn those_that_are_made_at_once_leave_each_other_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let scratch = Scratch::within(parent.path(), "ladder").unwrap();
                        fs::write(scratch.path().join("chunk"), "made").unwrap();
                        std::thread::yield_now();
                        assert!(scratch.path().join("chunk").exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
    }
}
