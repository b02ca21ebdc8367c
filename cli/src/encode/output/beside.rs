//! What stands beside an output while it is replaced: the new one, until it is whole, and the old one, until that has its place. Their
//! names begin with a dot and the output's own name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, io_error, named, remove_all};
use crate::held::{self, Held, Tried};

/// What stands beside an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What was in its place before.
    Old,
    /// What will be.
    New,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    /// Whether one that nobody holds was left by a killed run only where there are locks.
    fn is_known_by_lock(self) -> bool {
        self == Self::New
    }
}

/// Whether the run that holds `target` replaces what is there, as only force does.
pub(super) fn is_being_replaced(target: &Path) -> bool {
    let Ok(place) = target.canonicalize() else { return false };
    let new = |parent| named(parent, &sibling_prefix(&place, Role::New));
    folder_of(&place).is_some_and(|parent| new(parent).is_ok_and(|new| !new.is_empty()))
}

/// The folder in which `target` is, if that can be looked through: where it can't, nothing is known to be there.
fn folder_of(target: &Path) -> Option<&Path> {
    let parent = target.parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let is_closed = || fs::read_dir(parent).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    (parent.is_dir() && !is_closed()).then_some(parent)
}

/// Puts an old output back that a killed run has moved away, where its place `target` is free.
///
/// # Errors
/// [`Error::Busy`] if the run lives that has moved it.
pub(super) fn put_back(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    for old in named(parent, &sibling_prefix(target, Role::Old))? {
        let _held = match Held::take(&old).map_err(io_error("read", &old))? {
            Tried::Held(held) => held,
            Tried::Gone => continue,
            Tried::Busy => return Err(Error::Busy(target.to_owned())),
        };
        return match fs::rename(&old, target) {
            // Where there are no locks, another run has done it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.map_err(io_error("put back", target)),
        };
    }
    Ok(())
}

/// Removes what killed runs left beside `target`, which this run holds.
pub(super) fn tidy(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    for role in [Role::Old, Role::New] {
        for left in named(parent, &sibling_prefix(target, role))? {
            if let Ok(Tried::Held(held)) = Held::take(&left)
                && (held.is_locked() || !role.is_known_by_lock())
            {
                remove_all(&left).map_err(io_error("remove", &left))?;
            }
        }
    }
    Ok(())
}

/// Puts `new` in the place of `target`, and tells where what was there is now; both at once where the filesystem can.
pub(super) fn swap_in(new: &Path, target: &Path) -> Result<PathBuf, Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        return Ok(new.to_owned());
    }
    let old = sibling(target, Role::Old, |old| fs::rename(target, old)).map_err(io_error("replace", target))?;
    match fs::rename(new, target) {
        Ok(()) => Ok(old),
        Err(cause) => Err(match fs::rename(&old, target) {
            Ok(()) => Error::Io { action: "replace", path: target.to_owned(), cause },
            Err(cause) => Error::Io { action: "put back the old output, which is now", path: old, cause },
        }),
    }
}

/// Has the names in the folder of `target` on the disk.
pub(super) fn sync_names(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    File::open(parent).and_then(|parent| held::sync_names(&parent)).map_err(io_error("write", parent))
}

/// A hidden name beside `target` that nobody else has, for which `make` makes something: a process's number may be another's, too,
/// on another machine or in another container.
pub(super) fn sibling(target: &Path, role: Role, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    loop {
        let path = target.with_file_name(format!("{}{:016x}", sibling_prefix(target, role), fastrand::u64(..)));
        match make(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
            made => return made.map(|()| path),
        }
    }
}

fn sibling_prefix(target: &Path, role: Role) -> String {
    let role = role.name();
    format!(".{}.vtp-{role}-", target.file_name().unwrap_or_default().to_string_lossy())
}
