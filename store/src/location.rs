//! `s3://BUCKET/KEY`, as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const SCHEME: &str = "s3://";

/// A place in S3: a bucket, and a name in it or what names begin with. It is text that people may see; no secret is in it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// An object's name, or what the names of several begin with; may be empty.
    pub key: String,
}

/// What is no place in S3.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoLocation {
    /// It begins otherwise.
    #[error("a place in S3 is written s3://BUCKET/KEY")]
    Scheme,
    /// The bucket's name is none.
    #[error("{0:?} is no bucket's name: those have 3 to 63 small letters, digits, dots and hyphens")]
    Bucket(String),
}

impl Location {
    /// Whether `text` is meant to be a place in S3.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl FromStr for Location {
    type Err = NoLocation;

    fn from_str(text: &str) -> Result<Self, NoLocation> {
        let rest = text.strip_prefix(SCHEME).ok_or(NoLocation::Scheme)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_usual = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'.' | b'-' | b'_');
        match (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_usual) {
            true => Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() }),
            false => Err(NoLocation::Bucket(bucket.to_owned())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), NoLocation> {
        text.parse().map(|it: Location| (it.bucket, it.key))
    }

    #[test]
    fn a_place_is_a_bucket_and_whatever_follows() {
        let is = |bucket: &str, key: &str| Ok((bucket.to_owned(), key.to_owned()));
        assert_eq!(read("s3://films/a/b c.mp4"), is("films", "a/b c.mp4"));
        assert_eq!(read("s3://films"), is("films", ""));
        assert_eq!(read("s3://films//a?b#c%20d"), is("films", "/a?b#c%20d"));
        assert_eq!("s3://films/a".parse::<Location>().unwrap().to_string(), "s3://films/a");
    }

    #[test]
    fn what_is_none_is_told_why() {
        assert_eq!(read("/films/a"), Err(NoLocation::Scheme));
        assert_eq!(read("s3:///a"), Err(NoLocation::Bucket(String::new())));
        assert_eq!(read("s3://Films:80/a"), Err(NoLocation::Bucket("Films:80".to_owned())));
    }
}
