//! The output folder's life: made, filled, published; or removed with everything that was made.
//!
//! ```text
//!   DIR absent or empty ──► written in place ─────────────────────┬─ publish ──► DIR complete
//!   DIR with a ladder, --force ─► written beside it (.DIR.vtp-new-…) ─┘  (swapped by rename, then the old removed)
//!                                        └─ dropped ──► whatever was made is gone, an old DIR is as it was
//! ```
//!
//! Chunks are spooled in a hidden folder inside the folder that is being written, so on the same filesystem;
//! it goes on every path. As long as a run lives it holds a lock on DIR, and on the folder that it writes. One that has a
//! hidden folder and no lock was left by a run that was killed: the next run into the same DIR begins with it emptied.
//!
//! Nothing is touched, in DIR or beside it, by a run that does not hold DIR's lock, and what it holds is DIR only as long
//! as the name leads to it.
//!
//! This module never touches the source, and replaces ladders alone: no folder that holds something else, or the source, or the
//! user's home.

mod beside;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vtp_stitcher::Durability;

use crate::exit::{Failure, advice};
use crate::held::{Held, Tried};
use crate::records;
use beside::Role;

/// How many things are named that stand in the way.
const NAMED: usize = 3;

/// What the names of work folders begin with.
const WORK: &str = ".vtp-work-";

/// Where a run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// The folder that becomes the output. It exists.
    pub out: PathBuf,
    /// A folder for spooled chunks on the same filesystem. It exists and is removed at the end.
    pub work: PathBuf,
}

impl Dirs {
    /// Empties both folders, so that work can start over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(&self) -> Result<(), Error> {
        clear(&self.work, None)?;
        clear(&self.out, Some(&self.work))
    }
}

fn clear(folder: &Path, but: Option<&Path>) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(io_error("read", folder))?;
    let paths = entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<_>>();
    for path in marks_last(paths.map_err(io_error("read", folder))?) {
        if but == Some(&path) {
            continue;
        }
        let is_folder = path.symlink_metadata().map_err(io_error("look at", &path))?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("remove", &path))?;
    }
    Ok(())
}

/// Work folders go last: as long as there is one, what is beside it is known to be unfinished.
fn marks_last(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort_by_key(|path| is_called(path, WORK));
    paths
}

/// Why an output folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something in it already.
    #[error("{} is not empty; choose another --out, or give --force to replace it", .0.display())]
    NotEmpty(PathBuf),
    /// There is something else in it than a ladder.
    #[error(
        "{} is not empty, and not a ladder: it holds {holds}; choose another --out{}",
        .folder.display(), if *.forced { ", for --force replaces ladders alone" } else { "" }
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Some of what is in it.
        holds: String,
        /// Whether it was to be replaced.
        forced: bool,
    },
    /// Another run writes into it.
    #[error("another run is writing into {}; wait for it, or choose another --out", .0.display())]
    Busy(PathBuf),
    /// While it was written it was moved away, or replaced.
    #[error("{} is not the folder any more that it was when the run began; run it again", .0.display())]
    Moved(PathBuf),
    /// It is a file.
    #[error("{} is not a folder; choose another --out", .0.display())]
    NotAFolder(PathBuf),
    /// Replacing it would delete the source, the folder that the command runs in, or the user's own.
    #[error("{} would be deleted with {}; choose another --out", .inside.display(), .folder.display())]
    Precious {
        /// The folder to be replaced.
        folder: PathBuf,
        /// What must not be deleted.
        inside: PathBuf,
    },
    /// The filesystem refuses.
    #[error("cannot {action} {}: {cause}{}", .path.display(), advice(.cause))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotEmpty(_) | Error::Foreign { .. } | Error::NotAFolder(_) | Error::Precious { .. } => {
                Self::Usage(error.to_string())
            }
            Error::Busy(_) => Self::Busy(error.to_string()),
            Error::Moved(_) | Error::Io { .. } => Self::Internal(error.into()),
        }
    }
}

/// A folder that is being written. Dropping it removes all that was made; [`Output::publish`] keeps it.
#[derive(Debug)]
pub struct Output {
    dirs: Dirs,
    plan: Plan,
    published: bool,
    /// The folder that is written, held while the run lives.
    held: Held,
}

#[derive(Debug)]
enum Plan {
    /// Written where it will stay; these folders were made for it, outermost first.
    InPlace { made: Vec<PathBuf> },
    /// Written beside `target`, which it replaces, and which is held until then.
    Replace { target: PathBuf, held: Held },
}

/// Another run that fails may take away, so many times, what this one was about to use.
const MOST_TAKEN_AWAY: u32 = 8;

impl Output {
    /// Makes the folders to write in. `source` is what must survive, if it is a file.
    ///
    /// # Errors
    /// [`Error`]; nothing is left behind then.
    pub fn prepare(target: &Path, source: Option<&Path>, force: bool) -> Result<Self, Error> {
        for _ in 0..MOST_TAKEN_AWAY {
            if let Some(output) = Self::attempt(target, source, force)? {
                return Ok(output);
            }
        }
        Err(Error::Busy(target.to_owned()))
    }

    /// `None` where another run has taken away what this one was about to use.
    fn attempt(target: &Path, source: Option<&Path>, force: bool) -> Result<Option<Self>, Error> {
        let mut made = Made::for_output(target)?;
        let Some(held) = hold(target, &mut made, force)? else { return Ok(None) };
        let place = canonical(target)?;
        beside::tidy(&place)?;
        let is_empty = fs::read_dir(target).map_err(io_error("read", target))?.next().is_none();
        let made = made.keep();
        if is_empty {
            // The folder itself may be another's.
            let made = if made.last().is_some_and(|last| last == target) { made } else { Vec::new() };
            return Self::start(target.to_owned(), Plan::InPlace { made }, held);
        }
        match force {
            true => Self::beside(place, source, held),
            false => Self::emptied(target, &place, source, held),
        }
    }

    /// In `target`, whose canonical name is `place`, in the place of what a run has left that was killed.
    fn emptied(target: &Path, place: &Path, source: Option<&Path>, held: Held) -> Result<Option<Self>, Error> {
        // That nobody holds it is only known where there are locks.
        let was_killed = held.is_locked() && !named(target, WORK)?.is_empty();
        if !was_killed {
            refuse_foreign(target, false)?;
            return Err(Error::NotEmpty(target.to_owned()));
        }
        refuse_precious(place, source)?;
        clear(target, None)?;
        Self::start(target.to_owned(), Plan::InPlace { made: Vec::new() }, held)
    }

    fn beside(target: PathBuf, source: Option<&Path>, held: Held) -> Result<Option<Self>, Error> {
        refuse_precious(&target, source)?;
        refuse_foreign(&target, true)?;
        let new = beside::sibling(&target, Role::New, |new| fs::create_dir(new))
            .map_err(io_error("create a folder beside", &target))?;
        let made = Made(vec![new.clone()]);
        let tried = Held::take(&new).map_err(io_error("read", &new))?;
        // Whoever else has it, or has taken it away, sees to it.
        made.keep();
        match tried {
            Tried::Held(lock) => Self::start(new, Plan::Replace { target, held }, lock),
            Tried::Busy | Tried::Gone => Ok(None),
        }
    }

    /// Begins to write into `out`, which is there and `held`. On an error all that was made is removed.
    fn start(out: PathBuf, plan: Plan, held: Held) -> Result<Option<Self>, Error> {
        let work = out.join(format!("{WORK}{}", std::process::id()));
        let mut output = Self { dirs: Dirs { out, work }, plan, published: false, held };
        match fs::create_dir(&output.dirs.work) {
            Ok(()) if output.is_in_place() => Ok(Some(output)),
            Ok(()) => {
                // It was replaced at this very moment, and this went into another's.
                unmake(std::slice::from_ref(&output.dirs.work));
                Ok(None)
            }
            // Where there are no locks: what is there is not ours.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                output.published = true;
                Err(Error::Busy(output.dirs.out.clone()))
            }
            Err(_) if !output.is_in_place() => Ok(None),
            Err(cause) => Err(Error::Io { action: "write to", path: output.dirs.out.clone(), cause }),
        }
    }

    /// Whether the names still lead to what is held.
    fn is_in_place(&self) -> bool {
        let replaced = match &self.plan {
            Plan::InPlace { .. } => true,
            Plan::Replace { target, held } => held.is_at(target),
        };
        replaced && self.held.is_at(&self.dirs.out)
    }

    /// Where to write.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// Keeps what was written and returns where it is: also through a loss of power, where it is to be [`Durability::Synced`]. An old
    /// folder of that name is gone afterwards.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Moved`]; an old folder is as it was then, and what was written is removed, unless the disk fails
    /// when all is in its place.
    pub fn publish(mut self, durability: Durability) -> Result<PathBuf, Error> {
        let (out, work) = (&self.dirs.out, &self.dirs.work);
        let published = match &self.plan {
            Plan::InPlace { .. } => out.clone(),
            Plan::Replace { target, .. } => target.clone(),
        };
        if !self.is_in_place() {
            return Err(Error::Moved(published));
        }
        // What was spooled need not reach the disk. The folder stays, for it says that the rest is not there yet.
        clear(work, None)?;
        if durability == Durability::Synced {
            self.held.sync_filesystem().map_err(io_error("write", out))?;
        }
        fs::remove_dir(work).map_err(io_error("remove", work))?;
        if durability == Durability::Synced {
            self.held.sync().map_err(io_error("write", out))?;
        }
        if let Plan::Replace { target, .. } = &self.plan {
            let replaced = beside::swap_in(out, target)?;
            if durability == Durability::Synced {
                beside::sync_names(target)?;
            }
            remove_all(&replaced).map_err(io_error("remove the old output", &replaced))?;
        }
        self.published = true;
        Ok(published)
    }
}

/// Whether nobody is writing into `folder`, and no run that did was killed before its output was published.
pub fn is_finished(folder: &Path) -> bool {
    named(folder, WORK).is_ok_and(|work| work.is_empty())
}

/// Removes all that was made, as far as it can: an error here must not hide the one that led to it. What is there in the place of the
/// folder that is `held` is another's.
fn discard(dirs: &Dirs, plan: &Plan, held: &Held) {
    let is_ours = held.is_at(&dirs.out);
    match plan {
        Plan::Replace { .. } if is_ours => drop(fs::remove_dir_all(&dirs.out)),
        Plan::Replace { .. } => {}
        Plan::InPlace { made } if is_ours => {
            empty(&dirs.out);
            unmake(made);
        }
        Plan::InPlace { made } => unmake(but_last(made)),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published {
            discard(&self.dirs, &self.plan, &self.held);
        }
    }
}

fn but_last(made: &[PathBuf]) -> &[PathBuf] {
    made.split_last().map_or(&[], |(_, parents)| parents)
}

/// Removes folders that were made, outermost first in `made`, as far as nobody else has put anything there.
fn unmake(made: &[PathBuf]) {
    made.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
}

/// Folders that were made, outermost first. Dropping it removes them, as far as nobody else has put anything there.
#[derive(Debug)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `target` and its missing parents, or puts there what a killed run has moved away. Others may have made some of
    /// them in the meantime, the folder itself among them.
    fn for_output(target: &Path) -> Result<Self, Error> {
        match fs::read_dir(target) {
            Ok(_) => Ok(Self(Vec::new())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                beside::put_back(target)?;
                Self::folders(target)
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::NotAFolder(target.to_owned())),
            Err(cause) => Err(Error::Io { action: "read", path: target.to_owned(), cause }),
        }
    }

    fn folders(target: &Path) -> Result<Self, Error> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let (mut made, mut taken_away) = (Self(Vec::new()), 0);
        while let Some(folder) = target.ancestors().take_while(missing).last() {
            match fs::create_dir(folder) {
                Ok(()) => made.0.push(folder.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && taken_away < MOST_TAKEN_AWAY => {
                    made.0.retain(|folder| folder.is_dir());
                    taken_away += 1;
                }
                Err(cause) => return Err(Error::Io { action: "create", path: folder.to_owned(), cause }),
            }
        }
        Ok(made)
    }

    /// Leaves the innermost alone from now on, which is another's.
    fn leave_last(&mut self) {
        self.0.pop();
    }

    /// Leaves all of them alone, and tells which they are.
    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        unmake(&self.0);
    }
}

/// Holds `target`, for which these folders were made; `None` if it was taken away.
fn hold(target: &Path, made: &mut Made, force: bool) -> Result<Option<Held>, Error> {
    match Held::take(target).map_err(io_error("read", target))? {
        Tried::Held(held) => Ok(Some(held)),
        Tried::Gone => {
            made.leave_last();
            Ok(None)
        }
        Tried::Busy => {
            // Another run that was quicker has what was made.
            made.0.clear();
            match !force && beside::is_being_replaced(target) {
                true => Err(Error::NotEmpty(target.to_owned())),
                false => Err(Error::Busy(target.to_owned())),
            }
        }
    }
}

/// What a ladder has, of which one is there even where somebody has tidied up.
pub(super) const SIGNS: [&str; 4] = [records::REPORT, "master.m3u8", "manifest.mpd", "master-ts.m3u8"];

/// Refuses a folder that holds other things than a ladder, or one that was left unfinished: nobody's films are replaced for a
/// mistyped --out.
fn refuse_foreign(folder: &Path, forced: bool) -> Result<(), Error> {
    if SIGNS.iter().any(|sign| folder.join(sign).exists()) || !named(folder, WORK)?.is_empty() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(io_error("read", folder))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED);
    let mut holds = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        holds = format!("{holds} and {more} more");
    }
    Err(Error::Foreign { folder: folder.to_owned(), holds, forced })
}

/// The source, the folder that the command runs in and the user's own are not to be deleted with `target`.
fn refuse_precious(target: &Path, source: Option<&Path>) -> Result<(), Error> {
    let here = std::env::current_dir().map_err(io_error("look at", Path::new(".")))?;
    let named = source.into_iter().chain([&*here]).map(canonical).collect::<Result<Vec<_>, _>>()?;
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    match named.into_iter().chain(home).find(|inside| inside.starts_with(target)) {
        Some(inside) => Err(Error::Precious { folder: target.to_owned(), inside }),
        None => Ok(()),
    }
}

/// Removes a folder that another run may be removing, too.
fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folders in `folder` whose names begin so.
fn named(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(io_error("read", folder))?;
    let paths = entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(io_error("read", folder))?;
    paths.retain(|path| is_called(path, prefix) && path.is_dir());
    Ok(paths)
}

fn is_called(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

fn empty(folder: &Path) {
    for path in marks_last(fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()) {
        let is_folder = path.symlink_metadata().is_ok_and(|it| it.is_dir());
        drop(if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(io_error("find", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Io { action, path, cause }
}

#[cfg(test)]
mod tests;
