//! The files in an output folder that tell about the ladder: `report.json`, `quality.json`, and the page
//! `report.html` that is drawn from both. Reads and writes them; knows nothing of what is in them but their version.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::curves::{self, Curves};
use crate::exit::Failure;
use crate::report::{self, Report};

/// What was made of what, and the proof.
pub const REPORT: &str = "report.json";
/// Scores of single frames and sizes of single segments.
pub const QUALITY: &str = "quality.json";
/// Both for the eye.
pub const PAGE: &str = "report.html";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is no output of `vtp encode`.
    #[error("there is no {REPORT} in {}: give the output folder of vtp encode", .0.display())]
    NoReport(PathBuf),
    /// It is there and the system does not let it be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is not what its name says.
    #[error("{} is damaged: {cause}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        cause: serde_json::Error,
    },
    /// A newer vtp wrote it.
    #[error("{} has version {found}, and this vtp reads up to version {newest}: use a newer one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that is read.
        newest: u32,
    },
}

impl From<Error> for Failure {
    /// Another folder, or another vtp, is what helps.
    fn from(error: Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// The report in `folder`.
///
/// # Errors
/// [`Error`].
pub fn report(folder: &Path) -> Result<Report, Error> {
    read(&folder.join(REPORT), report::VERSION)?.ok_or_else(|| Error::NoReport(folder.to_owned()))
}

/// The curves in `folder`, if it has any.
///
/// # Errors
/// [`Error`], except [`Error::NoReport`].
pub fn curves(folder: &Path) -> Result<Option<Curves>, Error> {
    read(&folder.join(QUALITY), curves::VERSION)
}

/// What every version of every file has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// `None` if there is no such file.
fn read<T: DeserializeOwned>(path: &Path, newest: u32) -> Result<Option<T>, Error> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
        Err(cause) => return Err(Error::Unreadable { path: path.to_owned(), cause }),
    };
    parse(&text, path, newest).map(Some)
}

/// The value that stands in a file as `text`.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8], path: &Path, newest: u32) -> Result<T, Error> {
    let damaged = |cause| Error::Damaged { path: path.to_owned(), cause };
    let Versioned { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version > newest.into() {
        return Err(Error::Newer { path: path.to_owned(), found: version, newest });
    }
    serde_json::from_slice(text).map_err(damaged)
}

/// Writes a file of `folder` so that at any time it is whole: the old one, or the new one.
///
/// # Errors
/// Of the filesystem; an old file is as it was then.
pub fn write(folder: &Path, name: impl AsRef<Path>, text: &str) -> io::Result<()> {
    let name = name.as_ref();
    // As any new file: what the user's mask leaves of it.
    let open = Permissions::from_mode(0o666);
    let prefix = format!(".{}.vtp-new-", name.display());
    let mut file = tempfile::Builder::new().prefix(&prefix).permissions(open).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../tests/golden/report-v1.json");

    fn folder_with(report: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), REPORT, report).unwrap();
        folder
    }

    #[test]
    fn a_written_file_is_read_back_and_nothing_else_is_left() {
        let folder = folder_with("old");
        write(folder.path(), REPORT, WHOLE).unwrap();
        assert_eq!(report(folder.path()).unwrap(), report::tests::report());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_written_file_can_be_read_by_whom_the_users_mask_lets() {
        let folder = folder_with(WHOLE);
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let mode = |name| folder.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode(REPORT), mode("plain"));
    }

    #[test]
    fn a_folder_without_a_report_is_said_to_be_none_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("absent")] {
            let told = report(&path).unwrap_err().to_string();
            assert!(told.starts_with("there is no report.json in "), "{told}");
        }
    }

    #[test]
    fn a_report_of_a_newer_version_is_refused_whatever_is_in_it() {
        let error = report(folder_with(r#"{"version": 2, "ladders": []}"#).path()).unwrap_err();
        assert!(error.to_string().ends_with("has version 2, and this vtp reads up to version 1: use a newer one"));
        assert_eq!(Failure::from(error).code(), 2);
    }

    #[test]
    fn a_damaged_report_is_told_with_the_place() {
        let error = report(folder_with(&WHOLE[..WHOLE.len() / 2]).path()).unwrap_err();
        assert!(error.to_string().contains("report.json is damaged: EOF while parsing"), "{error}");
    }

    #[test]
    fn a_report_from_before_targets_were_told_is_read() {
        let mut value: serde_json::Value = serde_json::from_str(WHOLE).unwrap();
        value.as_object_mut().unwrap().remove("target");
        assert_eq!(report(folder_with(&value.to_string()).path()).unwrap().target, None);
    }

    #[test]
    fn curves_may_be_absent() {
        assert_eq!(curves(folder_with(WHOLE).path()).unwrap(), None);
    }
}
