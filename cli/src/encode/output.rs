//! The output folder's life: made, filled, published; or removed with everything that was made.
//!
//! ```text
//!   DIR absent or empty ──► written in place ─────────────────────┬─ publish ──► DIR complete
//!   DIR with content, --force ──► written beside it (.DIR.vtp-new-…) ─┘  (swapped by rename, then the old removed)
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
//! This module never touches the source and refuses to replace a folder that holds it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use vtp_stitcher::Durability;

use crate::exit::Failure;
use crate::held::{self, Held, Tried};

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
    /// Another run writes into it.
    #[error("another run is writing into {}; wait for it, or choose another --out", .0.display())]
    Busy(PathBuf),
    /// While it was written it was moved away, or replaced.
    #[error("{} is not the folder any more that it was when the run began; run it again", .0.display())]
    Moved(PathBuf),
    /// It is a file.
    #[error("{} is not a folder; choose another --out", .0.display())]
    NotAFolder(PathBuf),
    /// Replacing it would delete the source, or the folder that the command runs in.
    #[error("{} would be deleted, which is inside of {}; choose another --out", .inside.display(), .folder.display())]
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

/// What a user can do about it, as a clause; empty where that is not known.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose an --out that you may write to"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space or choose another --out",
        _ => "",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotEmpty(_) | Error::NotAFolder(_) | Error::Precious { .. } => Self::Usage(error.to_string()),
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
        let made = match fs::read_dir(target) {
            Ok(_) => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                put_back(target)?;
                make_folders(target)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NotAFolder(target.to_owned()));
            }
            Err(cause) => return Err(Error::Io { action: "read", path: target.to_owned(), cause }),
        };
        let held = match Held::take(target) {
            Ok(Tried::Held(held)) => held,
            Ok(Tried::Gone) => {
                unmake(but_last(&made));
                return Ok(None);
            }
            // Another run that was quicker has what was made.
            Ok(Tried::Busy) if !force && is_being_replaced(target) => return Err(Error::NotEmpty(target.to_owned())),
            Ok(Tried::Busy) => return Err(Error::Busy(target.to_owned())),
            Err(cause) => {
                unmake(&made);
                return Err(Error::Io { action: "read", path: target.to_owned(), cause });
            }
        };
        let place = canonical(target)?;
        tidy_beside(&place).inspect_err(|_| unmake(&made))?;
        let is_empty = fs::read_dir(target).map_err(io_error("read", target))?.next().is_none();
        if is_empty {
            // The folder itself may be another's.
            let made = if made.last().is_some_and(|last| last == target) { made } else { Vec::new() };
            return Self::start(target.to_owned(), Plan::InPlace { made }, held);
        }
        if force {
            return Self::beside(place, source, held);
        }
        // That nobody holds it is only known where there are locks.
        let was_killed = held.is_locked() && !named(target, WORK)?.is_empty();
        if !was_killed {
            return Err(Error::NotEmpty(target.to_owned()));
        }
        refuse_precious(&place, source)?;
        clear(target, None)?;
        Self::start(target.to_owned(), Plan::InPlace { made: Vec::new() }, held)
    }

    fn beside(target: PathBuf, source: Option<&Path>, held: Held) -> Result<Option<Self>, Error> {
        refuse_precious(&target, source)?;
        let new =
            sibling(&target, "new", |new| fs::create_dir(new)).map_err(io_error("create a folder beside", &target))?;
        match Held::take(&new) {
            Ok(Tried::Held(lock)) => Self::start(new, Plan::Replace { target, held }, lock),
            Ok(Tried::Busy | Tried::Gone) => Ok(None),
            Err(cause) => {
                unmake(std::slice::from_ref(&new));
                Err(Error::Io { action: "read", path: new, cause })
            }
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
            let replaced = swap_in(out, target)?;
            if durability == Durability::Synced {
                sync_names_beside(target)?;
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

/// Creates a folder and its missing parents. Returns those that it made, outermost first: others may have been made by
/// another run in the meantime, the folder itself among them.
fn make_folders(target: &Path) -> Result<Vec<PathBuf>, Error> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let (mut made, mut taken_away) = (Vec::<PathBuf>::new(), 0);
    while let Some(folder) = target.ancestors().take_while(missing).last() {
        match fs::create_dir(folder) {
            Ok(()) => made.push(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && taken_away < MOST_TAKEN_AWAY => {
                made.retain(|folder| folder.is_dir());
                taken_away += 1;
            }
            Err(cause) => {
                unmake(&made);
                return Err(Error::Io { action: "create", path: folder.to_owned(), cause });
            }
        }
    }
    Ok(made)
}

/// The source, and the folder that the command runs in, are not to be deleted with `target`.
fn refuse_precious(target: &Path, source: Option<&Path>) -> Result<(), Error> {
    let here = std::env::current_dir().map_err(io_error("look at", Path::new(".")))?;
    let precious = source.into_iter().chain([&*here]).map(canonical).collect::<Result<Vec<_>, _>>()?;
    match precious.into_iter().find(|inside| inside.starts_with(target)) {
        Some(inside) => Err(Error::Precious { folder: target.to_owned(), inside }),
        None => Ok(()),
    }
}

/// Whether the run that holds `target` replaces what is there, as only force does.
fn is_being_replaced(target: &Path) -> bool {
    let Ok(place) = target.canonicalize() else { return false };
    let new = |parent| named(parent, &sibling_prefix(&place, "new"));
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
fn put_back(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    for old in named(parent, &sibling_prefix(target, "old"))? {
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
fn tidy_beside(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    for (role, is_known_by_lock) in [("old", false), ("new", true)] {
        for left in named(parent, &sibling_prefix(target, role))? {
            if let Ok(Tried::Held(held)) = Held::take(&left)
                && (held.is_locked() || !is_known_by_lock)
            {
                remove_all(&left).map_err(io_error("remove", &left))?;
            }
        }
    }
    Ok(())
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

/// Puts `new` in the place of `target`, and tells where what was there is now; both at once where the filesystem can.
fn swap_in(new: &Path, target: &Path) -> Result<PathBuf, Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        return Ok(new.to_owned());
    }
    let old = sibling(target, "old", |old| fs::rename(target, old)).map_err(io_error("replace", target))?;
    match fs::rename(new, target) {
        Ok(()) => Ok(old),
        Err(cause) => Err(match fs::rename(&old, target) {
            Ok(()) => Error::Io { action: "replace", path: target.to_owned(), cause },
            Err(cause) => Error::Io { action: "put back the old output, which is now", path: old, cause },
        }),
    }
}

/// Has the names in the folder of `target` on the disk.
fn sync_names_beside(target: &Path) -> Result<(), Error> {
    let Some(parent) = folder_of(target) else { return Ok(()) };
    File::open(parent).and_then(|parent| held::sync_names(&parent)).map_err(io_error("write", parent))
}

/// A hidden name beside `target` that nobody else has, for which `make` makes something: a process's number may be another's, too,
/// on another machine or in another container.
fn sibling(target: &Path, role: &str, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    loop {
        let path = target.with_file_name(format!("{}{:016x}", sibling_prefix(target, role), fastrand::u64(..)));
        match make(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
            made => return made.map(|()| path),
        }
    }
}

fn sibling_prefix(target: &Path, role: &str) -> String {
    format!(".{}.vtp-{role}-", target.file_name().unwrap_or_default().to_string_lossy())
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
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A folder with a source in it, and a place for the output beside it.
    struct Scene {
        root: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("in.mp4"), b"source").unwrap();
            Self { root }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        fn with_old_output(self) -> Self {
            fs::create_dir(self.at("out")).unwrap();
            fs::write(self.at("out/master.m3u8"), b"old").unwrap();
            self
        }

        fn prepare(&self, out: &str, force: bool) -> Result<Output, Error> {
            Output::prepare(&self.at(out), Some(&self.at("in.mp4")), force)
        }

        fn names(&self) -> BTreeSet<String> {
            let entries = fs::read_dir(self.root.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    fn write_ladder(output: &Output) {
        fs::write(output.dirs().work.join("chunk"), b"spooled").unwrap();
        fs::create_dir(output.dirs().out.join("hd")).unwrap();
        fs::write(output.dirs().out.join("master.m3u8"), b"new").unwrap();
    }

    #[test]
    fn a_published_folder_holds_the_ladder_and_no_spool() {
        let scene = Scene::new();
        let output = scene.prepare("a/b/out", false).unwrap();
        write_ladder(&output);
        let published = output.publish(Durability::Synced).unwrap();
        assert_eq!(published, scene.at("a/b/out"));
        let names: BTreeSet<_> = fs::read_dir(published).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, BTreeSet::from(["hd".into(), "master.m3u8".into()]));
    }

    #[test]
    fn a_failed_run_leaves_nothing_not_even_the_parents_it_made() {
        let scene = Scene::new();
        let output = scene.prepare("a/b/out", false).unwrap();
        write_ladder(&output);
        drop(output);
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
    }

    #[test]
    fn a_failed_run_leaves_an_empty_folder_empty() {
        let scene = Scene::new();
        fs::create_dir(scene.at("out")).unwrap();
        let output = scene.prepare("out", false).unwrap();
        write_ladder(&output);
        drop(output);
        assert_eq!(fs::read_dir(scene.at("out")).unwrap().count(), 0);
    }

    /// Has so many runs prepare their outputs at the same moment.
    fn at_once(count: usize, prepare: impl Fn(usize) -> Result<Output, Error> + Sync) -> Vec<Result<Output, Error>> {
        let (all, prepare) = (&std::sync::Barrier::new(count), &prepare);
        std::thread::scope(|scope| {
            let run = |number| {
                scope.spawn(move || {
                    all.wait();
                    prepare(number)
                })
            };
            let runs: Vec<_> = (0..count).map(run).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        })
    }

    #[test]
    fn runs_that_begin_at_once_share_the_parents_that_one_of_them_made() {
        for round in 0..100 {
            let scene = Scene::new();
            let outputs = at_once(4, |number| scene.prepare(&format!("a/b/out-{number}"), false));
            for output in outputs {
                output.unwrap_or_else(|error| panic!("round {round}: {error}")).publish(Durability::Buffered).unwrap();
            }
            assert_eq!(fs::read_dir(scene.at("a/b")).unwrap().count(), 4);
        }
    }

    #[test]
    fn of_runs_that_begin_at_once_in_one_folder_one_has_it_whole() {
        for round in 0..100 {
            let scene = Scene::new();
            let outputs = at_once(4, |_| scene.prepare("a/out", false));
            let (made, refused): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Result::is_ok);
            assert_eq!(made.len(), 1, "round {round}: {refused:?}");
            assert!(refused.iter().all(|it| matches!(it, Err(Error::Busy(_)))), "round {round}: {refused:?}");
            assert!(made[0].as_ref().unwrap().dirs().work.is_dir(), "round {round}: another run emptied it");
        }
    }

    #[test]
    fn of_runs_that_replace_an_output_at_once_one_does_and_the_others_are_told() {
        for round in 0..100 {
            let scene = Scene::new().with_old_output();
            let outputs = at_once(4, |_| scene.prepare("out", true));
            let (mut made, refused): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Result::is_ok);
            assert_eq!(made.len(), 1, "round {round}: {refused:?}");
            assert!(refused.iter().all(|it| matches!(it, Err(Error::Busy(_)))), "round {round}: {refused:?}");
            let output = made.remove(0).unwrap();
            write_ladder(&output);
            output.publish(Durability::Buffered).unwrap();
            assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
            assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
        }
    }

    #[test]
    fn runs_that_fail_take_no_folder_away_that_another_has_begun_to_write() {
        let scene = Scene::new();
        let runs = at_once(4, |number| {
            for _ in 0..500 {
                match scene.prepare("a/out", number % 2 == 0) {
                    Ok(output) => assert!(output.dirs().work.is_dir(), "another run has taken it away"),
                    Err(Error::Busy(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            scene.prepare(&format!("last-{number}"), false)
        });
        runs.into_iter().for_each(|run| drop(run.unwrap()));
    }

    #[test]
    fn a_folder_that_was_replaced_meanwhile_is_neither_published_nor_emptied() {
        for force in [false, true] {
            let scene = if force { Scene::new().with_old_output() } else { Scene::new() };
            let replaced = |output: &Output| {
                write_ladder(output);
                fs::rename(scene.at("out"), scene.at("elsewhere")).unwrap();
                fs::create_dir(scene.at("out")).unwrap();
                fs::write(scene.at("out/notes"), b"another's").unwrap();
            };
            let output = scene.prepare("out", force).unwrap();
            replaced(&output);
            assert!(matches!(output.publish(Durability::Buffered).unwrap_err(), Error::Moved(_)));
            assert_eq!(fs::read(scene.at("out/notes")).unwrap(), b"another's");
            assert_eq!(scene.names(), BTreeSet::from(["elsewhere".into(), "in.mp4".into(), "out".into()]));
        }
    }

    #[test]
    fn a_new_output_that_nobody_has_locked_yet_is_left_alone_by_who_does_not_hold_the_folder() {
        let scene = Scene::new().with_old_output();
        let _output = scene.prepare("out", true).unwrap();
        fs::create_dir(scene.at(".out.vtp-new-1")).unwrap();
        assert!(matches!(scene.prepare("out", true).unwrap_err(), Error::Busy(_)));
        assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
        assert!(scene.at(".out.vtp-new-1").is_dir());
    }

    #[test]
    fn an_old_output_is_not_put_back_while_the_run_lives_that_replaces_it() {
        let scene = Scene::new().with_old_output();
        let _output = scene.prepare("out", true).unwrap();
        // As between the two steps of a swap.
        fs::rename(scene.at("out"), scene.at(".out.vtp-old-1")).unwrap();
        assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::Busy(_)));
        assert!(scene.at(".out.vtp-old-1").is_dir());
    }

    #[test]
    fn an_existing_output_is_refused_without_force_and_untouched() {
        let scene = Scene::new().with_old_output();
        let error = scene.prepare("out", false).unwrap_err();
        assert!(matches!(error, Error::NotEmpty(_)));
        assert_eq!(Failure::from(error).code(), 2);
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
    }

    #[test]
    fn with_force_the_old_output_stays_until_the_new_one_is_complete() {
        let scene = Scene::new().with_old_output();
        let output = scene.prepare("out", true).unwrap();
        write_ladder(&output);
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
        output.publish(Durability::Synced).unwrap();
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
    }

    #[test]
    fn with_force_a_failed_run_leaves_the_old_output_as_it_was() {
        let scene = Scene::new().with_old_output();
        let output = scene.prepare("out", true).unwrap();
        write_ladder(&output);
        drop(output);
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
    }

    /// What a run that is killed leaves: nothing of it is dropped, but its lock is gone.
    fn killed(output: Output) {
        let output = std::mem::ManuallyDrop::new(output);
        output.held.release().unwrap();
        if let Plan::Replace { held, .. } = &output.plan {
            held.release().unwrap();
        }
    }

    #[test]
    fn what_a_killed_run_left_is_taken_over() {
        let scene = Scene::new();
        let output = scene.prepare("a/out", false).unwrap();
        write_ladder(&output);
        fs::rename(&output.dirs.work, scene.at("a/out/.vtp-work-1")).unwrap();
        killed(output);
        let output = scene.prepare("a/out", false).unwrap();
        assert_eq!(fs::read_dir(scene.at("a/out")).unwrap().count(), 1, "the work folder alone");
        write_ladder(&output);
        output.publish(Durability::Buffered).unwrap();
        assert_eq!(fs::read(scene.at("a/out/master.m3u8")).unwrap(), b"new");
    }

    #[test]
    fn what_is_cut_off_while_it_removes_an_unfinished_output_leaves_the_mark_that_says_so() {
        let paths = |names: [&str; 4]| names.map(|name| Path::new("out").join(name)).to_vec();
        let removed = marks_last(paths([".vtp-work-7", "hd", ".vtp-work-1", "master.m3u8"]));
        assert_eq!(removed, paths(["hd", "master.m3u8", ".vtp-work-7", ".vtp-work-1"]));
    }

    #[test]
    fn a_folder_that_a_run_is_writing_is_refused_even_with_force() {
        let scene = Scene::new();
        let output = scene.prepare("out", false).unwrap();
        write_ladder(&output);
        for force in [false, true] {
            assert!(matches!(scene.prepare("out", force).unwrap_err(), Error::Busy(_)));
        }
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
    }

    #[test]
    fn a_new_output_that_is_about_to_take_its_place_is_left_alone() {
        let scene = Scene::new().with_old_output();
        let output = scene.prepare("out", true).unwrap();
        write_ladder(&output);
        // As between the last two steps of publishing.
        fs::remove_dir_all(&output.dirs.work).unwrap();
        assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
        assert_eq!(fs::read(output.dirs.out.join("master.m3u8")).unwrap(), b"new");
    }

    #[test]
    fn what_a_killed_run_left_beside_an_old_output_goes_with_the_next_run() {
        let scene = Scene::new().with_old_output();
        let output = scene.prepare("out", true).unwrap();
        write_ladder(&output);
        fs::rename(&output.dirs.out, scene.at(".out.vtp-new-1")).unwrap();
        killed(output);
        assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
    }

    #[test]
    fn an_old_output_that_was_moved_away_by_a_killed_run_is_put_back() {
        let scene = Scene::new().with_old_output();
        fs::rename(scene.at("out"), scene.at(".out.vtp-old-1")).unwrap();
        assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
    }

    #[test]
    fn force_never_deletes_the_source() {
        let scene = Scene::new();
        let error = Output::prepare(scene.root.path(), Some(&scene.at("in.mp4")), true).unwrap_err();
        assert!(matches!(error, Error::Precious { .. }));
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
    }

    #[test]
    fn force_never_deletes_the_folder_that_the_command_runs_in() {
        let scene = Scene::new();
        let error = Output::prepare(Path::new(".."), Some(&scene.at("in.mp4")), true).unwrap_err();
        assert!(matches!(error, Error::Precious { .. }));
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_refused() {
        let scene = Scene::new();
        assert!(matches!(scene.prepare("in.mp4", true).unwrap_err(), Error::NotAFolder(_)));
        assert!(matches!(scene.prepare("in.mp4/out", true).unwrap_err(), Error::NotAFolder(_)));
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::Io { action: "write to", path: "out".into(), cause };
        assert!(error.to_string().ends_with("free some space or choose another --out"));
        assert_eq!(Failure::from(error).code(), 1);
    }
}
