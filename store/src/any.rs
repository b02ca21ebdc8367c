//! One of the stores that a deployment can be configured with.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::{About, Body, Directory, Error, Found, Key, Location, S3, Store};

/// A folder, or a place in S3 below which everything is.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// A folder.
    Directory(Directory),
    /// A bucket, and what all names in it begin with: nothing, or something that ends with a slash.
    S3(S3, Location),
}

impl AnyStore {
    /// Where programs that read files or `s3://` find an object.
    pub fn address(&self, key: &Key) -> PathBuf {
        match self {
            Self::Directory(folder) => folder.root().join(key.as_str()),
            Self::S3(_, location) => format!("{location}{key}").into(),
        }
    }

    /// The address under which whoever has it may put an object of exactly `size` bytes, for so long; `None` where nobody but this
    /// process can.
    ///
    /// # Errors
    /// [`Error`]: as where there are no credentials.
    pub async fn presign_put(&self, key: &Key, size: u64, good_for: Duration) -> Result<Option<String>, Error> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::S3(bucket, location) => bucket.presign_put(&inside(location, key)?, size, good_for).await.map(Some),
        }
    }

    /// The address under which whoever has it may get an object, or a range of it, for so long; `None` where nobody but this process
    /// can.
    ///
    /// # Errors
    /// [`Error`]: as where there are no credentials.
    pub async fn presign_get(&self, key: &Key, good_for: Duration) -> Result<Option<String>, Error> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::S3(bucket, location) => bucket.presign_get(&inside(location, key)?, good_for).await.map(Some),
        }
    }
}

/// The name of an object in the bucket.
fn inside(location: &Location, key: &Key) -> Result<Key, Error> {
    Key::new(format!("{}{key}", location.key)).map_err(|_| Error::Name(key.clone()))
}

impl Store for AnyStore {
    async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
        match self {
            Self::Directory(folder) => folder.head(key).await,
            Self::S3(bucket, location) => bucket.head(&inside(location, key)?).await,
        }
    }

    async fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> Result<Bytes, Error> {
        match self {
            Self::Directory(folder) => folder.get(key, range, found).await,
            Self::S3(bucket, location) => bucket.get(&inside(location, key)?, range, found).await,
        }
    }

    async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
        match self {
            Self::Directory(folder) => folder.put(key, body, about).await,
            Self::S3(bucket, location) => bucket.put(&inside(location, key)?, body, about).await,
        }
    }

    async fn join(&self, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
        match self {
            Self::Directory(folder) => folder.join(parts, into, about).await,
            Self::S3(bucket, location) => {
                let parts = parts.iter().map(|key| inside(location, key)).collect::<Result<Vec<_>, _>>()?;
                bucket.join(&parts, &inside(location, into)?, about).await
            }
        }
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
        match self {
            Self::Directory(folder) => folder.list(prefix, most).await,
            Self::S3(bucket, location) => {
                let all = bucket.list(&format!("{}{prefix}", location.key), most).await?;
                let outside =
                    |(key, size): (Key, u64)| Some((Key::new(key.as_str().strip_prefix(&*location.key)?).ok()?, size));
                Ok(all.into_iter().filter_map(outside).collect())
            }
        }
    }

    async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
        match self {
            Self::Directory(folder) => folder.delete(keys).await,
            Self::S3(bucket, location) => {
                let keys = keys.iter().map(|key| inside(location, key)).collect::<Result<Vec<_>, _>>()?;
                bucket.delete(&keys).await
            }
        }
    }
}
