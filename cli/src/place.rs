//! Where a video is read from or a ladder goes: a path on this machine, or a place in S3.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vtp_store::{Location, NoLocation};

/// Where a video is read from, or a ladder goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// A path on the machine that reads or writes.
    Path(PathBuf),
    /// In S3.
    Store(Location),
}

impl Place {
    /// What a word of the command line means.
    ///
    /// # Errors
    /// It is meant to be a place in S3, and is none.
    pub(crate) fn read(word: OsString) -> Result<Self, NoLocation> {
        match word.to_str() {
            Some(text) if Location::is_meant(text) => text.parse().map(Self::Store),
            _ => Ok(Self::Path(word.into())),
        }
    }

    /// The same, given in the folder `here`.
    pub(crate) fn given_in(&self, here: &Path) -> Self {
        match self {
            Self::Path(path) => Self::Path(here.join(path)),
            Self::Store(_) => self.clone(),
        }
    }

    /// The path, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Store(_) => None,
        }
    }

    /// As something that has a name and an ending. A place in S3 can't be opened by it.
    pub(crate) fn name(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Store(location) => location.to_string().into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Store(location) => location.fmt(f),
        }
    }
}

impl From<&str> for Place {
    /// A path.
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

/// What reads places from the command line.
pub(crate) fn parser() -> impl clap::builder::TypedValueParser<Value = Place> {
    use clap::builder::TypedValueParser as _;
    clap::builder::OsStringValueParser::new().try_map(|word| {
        if word.is_empty() {
            return Err("it is empty: give a path".to_owned());
        }
        Place::read(word).map_err(|error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<Place, NoLocation> {
        Place::read(word.into())
    }

    #[test]
    fn only_what_begins_as_a_place_in_s3_is_one() {
        assert_eq!(read("s3/in.mp4"), Ok("s3/in.mp4".into()));
        assert_eq!(read("a%03d:b?.mp4"), Ok("a%03d:b?.mp4".into()));
        let place = read("s3://films/in.mp4").unwrap();
        assert_eq!((place.to_string().as_str(), place.path()), ("s3://films/in.mp4", None));
        assert!(read("s3:///in.mp4").is_err());
    }

    #[test]
    fn a_path_is_one_of_the_folder_it_was_given_in() {
        assert_eq!(read("in.mp4").unwrap().given_in(Path::new("/films")), "/films/in.mp4".into());
        let place = read("s3://films/in.mp4").unwrap();
        assert_eq!(place.given_in(Path::new("/films")), place);
    }
}
