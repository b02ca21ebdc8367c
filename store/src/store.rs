//! What a store is: the trait and its words. No I/O.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest name that S3 takes, in bytes of UTF-8.
const LONGEST: usize = 1024;

/// An object's name in its store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// What is no key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an object's name has 1 to {LONGEST} bytes, and no zero byte")]
pub struct NoKey;

impl Key {
    /// # Errors
    /// [`NoKey`].
    pub fn new(name: impl Into<String>) -> Result<Self, NoKey> {
        let name = name.into();
        match (1..=LONGEST).contains(&name.len()) && !name.contains('\0') {
            true => Ok(Self(name)),
            false => Err(NoKey),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(name: String) -> Result<Self, NoKey> {
        Self::new(name)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells the contents that an object has had apart: where two are the same, so are the bytes. In S3 it is the entity tag.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Version(pub String);

/// An object that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its length in bytes.
    pub size: u64,
    /// What its contents are known by.
    pub version: Version,
}

/// What becomes an object's contents.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Bytes),
    /// What is in this file, which nobody writes to meanwhile.
    File(PathBuf),
}

impl Body {
    /// Its length in bytes.
    pub(crate) async fn size(&self) -> Result<u64, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => {
                let found = tokio::fs::metadata(path).await.map_err(|error| Error::file(path, error))?;
                Ok(found.len())
            }
        }
    }
}

/// What whoever fetches an object over HTTP is told of it. A store that serves nothing keeps none of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct About {
    /// Its media type (RFC 9110, 8.3).
    pub content_type: Option<&'static str>,
    /// For how long it may be kept (RFC 9111, 5.2).
    pub cache_control: Option<&'static str>,
}

/// Keeps objects.
///
/// *Atomic*: an object is there with all its bytes, or as it was before; what was begun and not ended shows nowhere. *Durable*:
/// it is kept, as far as the store keeps anything, when [`Store::put`] returns. *Consistent*: what was put is found, got and
/// listed from then on. *Idempotent*: each call may be made again. *Unknown after an error*, or after a future was dropped:
/// whether it was done.
pub trait Store: Clone + Send + Sync + 'static {
    /// What is there under this name; `None` if nothing is.
    ///
    /// # Errors
    /// [`Error`].
    fn head(&self, key: &Key) -> impl Future<Output = Result<Option<Found>, Error>> + Send;

    /// These bytes of the object, exactly; of the version that `found` names.
    ///
    /// # Errors
    /// [`Error::Changed`] if it has other contents by now or is gone; [`Error::Short`] where they don't come whole.
    fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// Puts `body` in the place of what may be there.
    ///
    /// # Errors
    /// [`Error`]; [`Error::File`] if the body can't be read.
    fn put(&self, key: &Key, body: &Body, about: About) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes one object of several, in this order; they stay. In S3 each but the last has 5 MiB at least.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Changed`] where one of them is not there.
    fn join(&self, parts: &[Key], into: &Key, about: About) -> impl Future<Output = Result<(), Error>> + Send;

    /// The names that begin so, with sizes in bytes, in order; the first `most` of them.
    ///
    /// # Errors
    /// [`Error`].
    fn list(&self, prefix: &str, most: usize) -> impl Future<Output = Result<Vec<(Key, u64)>, Error>> + Send;

    /// Removes these; those that are not there don't matter.
    ///
    /// # Errors
    /// [`Error`]; some of them may be gone.
    fn delete(&self, keys: &[Key]) -> impl Future<Output = Result<(), Error>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_anything_that_s3_takes() {
        assert!(Key::new("a/b c/ü.mp4").is_ok() && Key::new("../x").is_ok());
        assert!(Key::new("").is_err() && Key::new("a\0b").is_err() && Key::new("x".repeat(1025)).is_err());
    }
}
