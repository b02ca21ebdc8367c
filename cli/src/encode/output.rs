//! The output folder's life: made, filled, published; or removed with everything that was made.
//!
//! ```text
//!   DIR absent or empty ──► written in place ─────────────────────┬─ publish ──► DIR complete
//!   DIR with content, --force ──► written beside it (.DIR.vtp-new-PID) ─┘  (swapped by rename, then the old removed)
//!                                        └─ dropped ──► whatever was made is gone, an old DIR is as it was
//! ```
//!
//! Chunks are spooled in a hidden folder inside the folder that is being written, so on the same filesystem;
//! it goes on every path. This module never touches the source and refuses to replace a folder that holds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

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
    for entry in fs::read_dir(folder).map_err(io_error("read", folder))? {
        let path = entry.map_err(io_error("read", folder))?.path();
        if but == Some(&path) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("remove", &path))?;
    }
    Ok(())
}

/// Why an output folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something in it already.
    #[error("{} is not empty; choose another --out, or give --force to replace it", .0.display())]
    NotEmpty(PathBuf),
    /// It is a file.
    #[error("{} is not a folder; choose another --out", .0.display())]
    NotAFolder(PathBuf),
    /// Replacing it would delete the source, or the folder that the command runs in.
    #[error("--force would delete {}, which is inside of {}; choose another --out", .inside.display(), .folder.display())]
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
}

#[derive(Debug)]
enum Plan {
    /// Written where it will stay; these folders were made for it, outermost first.
    InPlace { made: Vec<PathBuf> },
    /// Written beside `target`, which it replaces.
    Replace { target: PathBuf },
}

impl Output {
    /// Makes the folders to write in. `source` is what must survive.
    ///
    /// # Errors
    /// [`Error`]; nothing is left behind then.
    pub fn prepare(target: &Path, source: &Path, force: bool) -> Result<Self, Error> {
        match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Self::in_place(target, Vec::new()),
            Ok(false) if force => Self::beside(target, source),
            Ok(false) => Err(Error::NotEmpty(target.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::in_place(target, make_folders(target)?),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::NotAFolder(target.to_owned())),
            Err(cause) => Err(Error::Io { action: "read", path: target.to_owned(), cause }),
        }
    }

    fn in_place(target: &Path, made: Vec<PathBuf>) -> Result<Self, Error> {
        Self::with_work_folder(target.to_owned(), Plan::InPlace { made })
    }

    fn beside(target: &Path, source: &Path) -> Result<Self, Error> {
        let target = canonical(target)?;
        let here = std::env::current_dir().map_err(io_error("look at", Path::new(".")))?;
        for inside in [canonical(source)?, canonical(&here)?] {
            if inside.starts_with(&target) {
                return Err(Error::Precious { folder: target, inside });
            }
        }
        let new = sibling(&target, "new");
        fs::create_dir(&new).map_err(io_error("create", &new))?;
        Self::with_work_folder(new, Plan::Replace { target })
    }

    fn with_work_folder(out: PathBuf, plan: Plan) -> Result<Self, Error> {
        let work = out.join(format!(".vtp-work-{}", std::process::id()));
        let output = Self { dirs: Dirs { out, work }, plan, published: false };
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

    /// Removes all that was made, as far as it can: an error here must not hide the one that led to it.
    fn discard(&self) {
        match &self.plan {
            Plan::Replace { .. } => drop(fs::remove_dir_all(&self.dirs.out)),
            Plan::InPlace { made } if made.is_empty() => empty(&self.dirs.out),
            Plan::InPlace { made } => {
                drop(fs::remove_dir_all(&self.dirs.out));
                // Parents only if nobody else has put anything there.
                made.iter().rev().skip(1).for_each(|parent| drop(fs::remove_dir(parent)));
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published {
            self.discard();
        }
    }
}

/// Creates a folder and its missing parents; returns those that were made, outermost first.
fn make_folders(target: &Path) -> Result<Vec<PathBuf>, Error> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let mut folders: Vec<PathBuf> = target.ancestors().take_while(missing).map(Path::to_owned).collect();
    folders.reverse();
    for (depth, folder) in folders.iter().enumerate() {
        if let Err(cause) = fs::create_dir(folder) {
            folders[..depth].iter().rev().for_each(|made| drop(fs::remove_dir(made)));
            return Err(Error::Io { action: "create", path: folder.clone(), cause });
        }
    }
    Ok(folders)
}

/// Puts `new` in the place of `target` and removes what was there.
fn swap_in(new: &Path, target: &Path) -> Result<(), Error> {
    let old = sibling(target, "old");
    fs::rename(target, &old).map_err(io_error("replace", target))?;
    if let Err(cause) = fs::rename(new, target) {
        return Err(match fs::rename(&old, target) {
            Ok(()) => Error::Io { action: "replace", path: target.to_owned(), cause },
            Err(cause) => Error::Io { action: "put back the old output, which is now", path: old, cause },
        });
    }
    fs::remove_dir_all(&old).map_err(io_error("remove the old output", &old))
}

/// A hidden name beside `target`, of this process alone.
fn sibling(target: &Path, role: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.vtp-{role}-{}", std::process::id()))
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
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
            Output::prepare(&self.at(out), &self.at("in.mp4"), force)
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

    #[test]
    fn force_never_deletes_the_source() {
        let scene = Scene::new();
        let error = Output::prepare(scene.root.path(), &scene.at("in.mp4"), true).unwrap_err();
        assert!(matches!(error, Error::Precious { .. }));
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
    }

    #[test]
    fn force_never_deletes_the_folder_that_the_command_runs_in() {
        let scene = Scene::new();
        let error = Output::prepare(Path::new(".."), &scene.at("in.mp4"), true).unwrap_err();
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
