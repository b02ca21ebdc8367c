//! Names of a manifest as paths in a folder, and the files there. Nothing outside of the folder is opened, and nothing
//! that is no plain file.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::playlist;
use super::stream::{Absent, Found};

/// Where files come from. Blocking.
pub trait Files {
    /// A file that is open for reading.
    type File: Read + Seek;

    /// Opens the file of this path, which is relative and has no `.` and `..` in it: itself, and its size in bytes.
    ///
    /// # Errors
    /// [`Absent`], if there is none, or it must not be opened.
    fn open(&self, path: &str) -> Found<(Self::File, u64)>;
}

/// The files in a folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `root`.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(root: &Path) -> io::Result<Self> {
        root.canonicalize().map(Self)
    }
}

impl Files for Folder {
    type File = BufReader<File>;

    fn open(&self, path: &str) -> Found<(Self::File, u64)> {
        let real = self.0.join(path).canonicalize().map_err(|_| Absent::Missing)?;
        if !real.starts_with(&self.0) {
            return Err(Absent::Outside);
        }
        if !real.is_file() {
            return Err(Absent::Missing);
        }
        let open = || File::open(&real).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = open().map_err(|error| Absent::Damaged(error.to_string()))?;
        Ok((BufReader::new(file), bytes))
    }
}

/// A part of a file: its path from the root, and start and length where it is not the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    pub(super) path: Resolved,
    pub(super) range: Option<(u64, u64)>,
}

/// A path from the root, or why there is none.
pub(super) type Resolved = Result<String, Place>;

/// Why a URI names no file in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Outside(String),
    Elsewhere(String),
}

impl Piece {
    /// What `uri` means in a manifest in `folder` (which is empty or ends with a slash).
    pub(super) fn of(folder: &str, uri: &str, range: Option<(u64, u64)>) -> Self {
        Self { path: resolve(folder, uri), range }
    }

    /// How long its path is.
    pub(super) fn bytes(&self) -> usize {
        let (Ok(path) | Err(Place::Outside(path) | Place::Elsewhere(path))) = &self.path;
        path.len()
    }

    pub(super) fn name(&self) -> String {
        let path = match &self.path {
            Ok(path) | Err(Place::Outside(path) | Place::Elsewhere(path)) => playlist::printable(path),
        };
        match self.range {
            Some((start, length)) => format!("{path}@{start}+{length}"),
            None => path,
        }
    }
}

fn resolve(folder: &str, uri: &str) -> Resolved {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    if has_scheme(uri) || path.starts_with('/') {
        return Err(Place::Elsewhere(uri.to_owned()));
    }
    let whole = format!("{folder}{}", decoded(path));
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(|| Place::Outside(uri.to_owned()))?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Percent-decoded (RFC 3986 2.1); what is no UTF-8 then stays as it was.
fn decoded(path: &str) -> String {
    let (bytes, mut out, mut at) = (path.as_bytes(), Vec::with_capacity(path.len()), 0);
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn folder_of(name: &str) -> &str {
    name.rfind('/').map_or("", |end| &name[..=end])
}

/// A part of a file as if it were one.
pub(super) struct Window<F> {
    pub(super) file: F,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) at: u64,
}

impl<F: Read> Read for Window<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let count = self.file.read(&mut buffer[..most])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<F: Seek> Seek for Window<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        let out_of_range = || io::Error::from(io::ErrorKind::InvalidInput);
        let target = target.ok_or_else(out_of_range)?;
        self.file.seek(SeekFrom::Start(self.start.checked_add(target).ok_or_else(out_of_range)?))?;
        self.at = target;
        Ok(target)
    }
}

/// Whether a URI starts with a scheme (RFC 3986 3.1).
pub(super) fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_inside_the_folder_only() {
        assert_eq!(resolve("v/", "../a/b%20c.m4s?x=1#y"), Ok("a/b c.m4s".to_owned()));
        assert_eq!(resolve("v/", "./seg.m4s"), Ok("v/seg.m4s".to_owned()));
        assert!(matches!(resolve("v/", "../../etc/passwd"), Err(Place::Outside(_))));
        assert!(matches!(resolve("", "%2e%2e/x"), Err(Place::Outside(_))));
        assert!(matches!(resolve("", "/etc/passwd"), Err(Place::Elsewhere(_))));
        assert!(matches!(resolve("", "https://host/a"), Err(Place::Elsewhere(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_and_what_is_no_file_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        let files = Folder::new(folder.path()).unwrap();
        let open = |uri: &str| files.open(uri).err();
        assert_eq!((open("link"), open("dir")), (Some(Absent::Outside), Some(Absent::Missing)));
        assert_eq!(open("none"), Some(Absent::Missing));
    }
}
