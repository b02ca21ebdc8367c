//! The output folder's life: made, filled, published; or removed with everything that was made.
//!
//! ```text
//!   DIR absent or empty ──► written in place ─────────────────────┬─ publish ──► DIR complete
//!   DIR with content, --force ──► written beside it (.DIR.vtp-new-PID) ─┘  (swapped by rename, then the old removed)
//!                                        └─ dropped ──► whatever was made is gone, an old DIR is as it was
//! ```
//!
//! Chunks are spooled in a hidden folder inside the folder that is being written, so on the same filesystem;
//! it goes on every path. As long as a run lives it holds a lock on the folder that it writes. One that has a hidden
//! folder and no lock was left by a run that was killed: the next run into the same DIR begins with it emptied.
//!
//! This module never touches the source and refuses to replace a folder that holds it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

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
            Error::Io { .. } => Self::Internal(error.into()),
        }
    }
}

/// A folder that is being written. Dropping it removes all that was made; [`Output::publish`] keeps it.
#[derive(Debug)]
pub struct Output {
    dirs: Dirs,
    plan: Plan,
    published: bool,
    /// Held while the run lives, where there are locks.
    _lock: Option<File>,
}

#[derive(Debug)]
enum Plan {
    /// Written where it will stay; these folders were made for it, outermost first.
    InPlace { made: Vec<PathBuf> },
    /// Written beside `target`, which it replaces.
    Replace { target: PathBuf },
}

impl Output {
    /// Makes the folders to write in. `source` is what must survive, if it is a file.
    ///
    /// # Errors
    /// [`Error`]; nothing is left behind then.
    pub fn prepare(target: &Path, source: Option<&Path>, force: bool) -> Result<Self, Error> {
        tidy_beside(target)?;
        match fs::read_dir(target) {
            Ok(_) => Self::into_existing(target, source, force),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = make_folders(target)?;
                if made.last().is_none_or(|last| last != target) {
                    return Self::into_existing(target, source, force);
                }
                let lock = hold(target).inspect_err(|error| {
                    // Another run that was quicker has it now.
                    if !matches!(error, Error::Busy(_)) {
                        unmake(&made);
                    }
                })?;
                Self::start(target.to_owned(), Plan::InPlace { made }, lock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::NotAFolder(target.to_owned())),
            Err(cause) => Err(Error::Io { action: "read", path: target.to_owned(), cause }),
        }
    }

    fn into_existing(target: &Path, source: Option<&Path>, force: bool) -> Result<Self, Error> {
        let lock = hold(target)?;
        let is_empty = fs::read_dir(target).map_err(io_error("read", target))?.next().is_none();
        if !is_empty && force {
            return Self::beside(target, source);
        }
        if !is_empty {
            // That nobody holds it is only known where there are locks.
            let was_killed = lock.is_some() && !named(target, WORK)?.is_empty();
            if !was_killed {
                return Err(Error::NotEmpty(target.to_owned()));
            }
            refuse_precious(&canonical(target)?, source)?;
            clear(target, None)?;
        }
        Self::start(target.to_owned(), Plan::InPlace { made: Vec::new() }, lock)
    }

    fn beside(target: &Path, source: Option<&Path>) -> Result<Self, Error> {
        let target = canonical(target)?;
        refuse_precious(&target, source)?;
        let new = sibling(&target, "new");
        fs::create_dir(&new).map_err(io_error("create", &new))?;
        let lock = hold(&new)?;
        Self::start(new, Plan::Replace { target }, lock)
    }

    /// Begins to write into `out`, which is there and held by `lock`. On an error all that was made is removed.
    fn start(out: PathBuf, plan: Plan, lock: Option<File>) -> Result<Self, Error> {
        let work = out.join(format!("{WORK}{}", std::process::id()));
        let output = Self { dirs: Dirs { out, work }, plan, published: false, _lock: lock };
        fs::create_dir(&output.dirs.work).map_err(io_error("write to", &output.dirs.out))?;
        Ok(output)
    }

    /// Where to write.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// Keeps what was written and returns where it is. An old folder of that name is gone afterwards.
    ///
    /// # Errors
    /// [`Error::Io`]; an old folder is as it was then, and what was written is removed.
    pub fn publish(mut self) -> Result<PathBuf, Error> {
        fs::remove_dir_all(&self.dirs.work).map_err(io_error("remove", &self.dirs.work))?;
        let published = match &self.plan {
            Plan::InPlace { .. } => self.dirs.out.clone(),
            Plan::Replace { target } => {
                swap_in(&self.dirs.out, target)?;
                target.clone()
            }
        };
        self.published = true;
        Ok(published)
    }
}

/// Whether nobody is writing into `folder`, and no run that did was killed before its output was published.
pub fn is_finished(folder: &Path) -> bool {
    named(folder, WORK).is_ok_and(|work| work.is_empty())
}

/// Removes all that was made, as far as it can: an error here must not hide the one that led to it.
fn discard(dirs: &Dirs, plan: &Plan) {
    match plan {
        Plan::Replace { .. } => drop(fs::remove_dir_all(&dirs.out)),
        Plan::InPlace { made } => {
            empty(&dirs.out);
            unmake(made);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published {
            discard(&self.dirs, &self.plan);
        }
    }
}

/// Removes folders that were made, outermost first in `made`, as far as nobody else has put anything there.
fn unmake(made: &[PathBuf]) {
    made.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
}

/// Another run that fails may take the parents away so many times that this one was about to use.
const MOST_TAKEN_AWAY: u32 = 8;

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

/// Holds `folder` against other runs as long as what it answers lives; `None` where the filesystem has no locks.
///
/// # Errors
/// [`Error::Busy`] if another run holds it.
fn hold(folder: &Path) -> Result<Option<File>, Error> {
    let lock = File::open(folder).map_err(io_error("read", folder))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, folder = %folder.display(), "there are no locks here");
            Ok(None)
        }
    }
}

/// Removes what killed runs left beside `target`. An old output whose place nothing has taken is put back.
fn tidy_beside(target: &Path) -> Result<(), Error> {
    let parent = match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if parent.is_dir() => parent,
        _ => return Ok(()),
    };
    // Where it can't be listed, nothing is known to be left.
    if fs::read_dir(parent).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        return Ok(());
    }
    for old in named(parent, &sibling_prefix(target, "old"))? {
        if target.exists() {
            remove_all(&old).map_err(io_error("remove", &old))?;
        } else {
            fs::rename(&old, target).map_err(io_error("put back", target))?;
        }
    }
    for new in named(parent, &sibling_prefix(target, "new"))? {
        if let Ok(Some(_lock)) = hold(&new) {
            remove_all(&new).map_err(io_error("remove", &new))?;
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

/// Puts `new` in the place of `target` and removes what was there; both at once where the filesystem can.
fn swap_in(new: &Path, target: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        return remove_all(new).map_err(io_error("remove the old output", new));
    }
    let old = sibling(target, "old");
    fs::rename(target, &old).map_err(io_error("replace", target))?;
    if let Err(cause) = fs::rename(new, target) {
        return Err(match fs::rename(&old, target) {
            Ok(()) => Error::Io { action: "replace", path: target.to_owned(), cause },
            Err(cause) => Error::Io { action: "put back the old output, which is now", path: old, cause },
        });
    }
    remove_all(&old).map_err(io_error("remove the old output", &old))
}

/// A hidden name beside `target`, of this process alone.
fn sibling(target: &Path, role: &str) -> PathBuf {
    target.with_file_name(sibling_prefix(target, role) + &std::process::id().to_string())
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
        let published = output.publish().unwrap();
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
                output.unwrap_or_else(|error| panic!("round {round}: {error}")).publish().unwrap();
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
        output.publish().unwrap();
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
        output._lock.as_ref().unwrap().unlock().unwrap();
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
        output.publish().unwrap();
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
