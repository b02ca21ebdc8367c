//! What the body of a task says, and what its result. Whoever is at the other end is the same build of this program with the same
//! libraries, for others might make other bytes of a task: that stands in front of each.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vtp_control_plane::fleet::Outline;
use vtp_encoder_node::cache;
use vtp_engine::limits::Limits;
use vtp_store::{Found, Version};

use crate::child::{Bytes, Input};
use crate::exit::InputFault;
use crate::place::Place;
use crate::stores::Stores;

const VERSION: u16 = 2;

/// Look into a source. What is found is delivered, or told where the task doesn't say where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexOrder {
    /// Where the source is; a path is a whole one.
    pub(super) input: Place,
    /// How much of it is taken on.
    pub(super) limits: Limits,
    /// Why it is to be looked into by decoding it, if it is.
    pub(super) doubt: Option<String>,
}

/// What a splitter is to do with a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SplitOrder {
    /// Look into it.
    Index(IndexOrder),
    /// Say what `vtp encode` would make of it, given in these words.
    Plan(IndexOrder, EncodeOrder),
}

impl SplitOrder {
    /// The source.
    pub(super) fn source(&self) -> &IndexOrder {
        let (Self::Index(source) | Self::Plan(source, _)) = self;
        source
    }
}

/// What came of looking into a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Indexed {
    /// What was found is delivered.
    Found {
        /// Who hands out its packets.
        origin: String,
        /// As which it was found.
        stamp: Stamp,
    },
    /// What was found, as `vtp probe --json` tells it: for whoever did not say where to deliver it.
    Told(String),
    /// What would be made of it.
    Planned(Outline),
    /// What can't be made of it; the sentence says what to ask for instead.
    Unfit(String),
    /// It can't be used.
    Unusable {
        /// Which way.
        fault: InputFault,
        /// What is wrong and what to do.
        message: String,
    },
}

/// By which a source that was written anew is told from what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stamp {
    /// A file.
    File { size: u64, modified: (i64, i64) },
    /// An object in a store.
    Object { size: u64, version: Version },
}

impl Stamp {
    /// That of an open source.
    ///
    /// # Errors
    /// It can't be told.
    pub(super) fn of(input: &Input) -> io::Result<Self> {
        match input.bytes() {
            Bytes::File(file) => Ok(Self::from(&file.metadata()?)),
            Bytes::Store(file) => Ok(Self::from(file.found())),
        }
    }

    /// That of what is at `place` now.
    ///
    /// # Errors
    /// It can't be told, or nothing is there.
    pub(super) fn now(place: &Place, stores: &Stores) -> anyhow::Result<Self> {
        match place {
            Place::Path(path) => Ok(Self::from(&std::fs::metadata(path)?)),
            Place::Store(location) => Ok(Self::from(&stores.find(location)?)),
        }
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self::File { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

impl From<&Found> for Stamp {
    fn from(found: &Found) -> Self {
        Self::Object { size: found.size, version: found.version.clone() }
    }
}

/// Which packets a chunk is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PacketsOrder {
    /// Of which source.
    pub(super) source: IndexOrder,
    /// As which it was found.
    pub(super) stamp: Stamp,
    /// Which of its packets.
    pub(super) packets: Range<u32>,
}

/// Make a ladder: `vtp encode`, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EncodeOrder {
    /// The folder that it was given in.
    pub(super) folder: OsString,
    /// Its words, without those about the fleet.
    pub(super) words: Vec<OsString>,
}

/// What came of making a ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Encoded {
    /// It is published.
    Made {
        /// Where.
        folder: OsString,
        /// Its report, as JSON, if it is short enough to be told; it also lies there.
        report: Option<String>,
    },
    /// It can't be made.
    Failed {
        /// The exit code.
        exit: u8,
        /// What is wrong with the source, if that is why.
        fault: Option<InputFault>,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Longer reports are not told.
pub(super) const LONGEST_REPORT: usize = 512 * 1024;

#[derive(Serialize, Deserialize)]
struct Body<T> {
    version: u16,
    build: [u8; 32],
    order: T,
}

/// Why bytes can't be told, or are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// They are nothing of ours.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] postcard::Error),
    /// They were made by another build.
    #[error("it is from another build of vtp, or its libraries are others: run the same release everywhere")]
    OtherBuild,
    /// What runs here can't be told.
    #[error("which build this is can't be found out: {0}")]
    Build(String),
}

/// A hash of this program and its libraries.
fn build() -> Result<[u8; 32], Error> {
    static BUILD: OnceLock<Result<[u8; 32], String>> = OnceLock::new();
    let found = BUILD.get_or_init(|| cache::identity().map(Into::into).map_err(|error: io::Error| error.to_string()));
    found.clone().map_err(Error::Build)
}

/// An order or a result as it travels.
pub(super) fn write<T: Serialize>(order: &T) -> Result<Vec<u8>, Error> {
    Ok(postcard::to_allocvec(&Body { version: VERSION, build: build()?, order })?)
}

/// What travelled.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // The build stands before what another one may have otherwise.
    let ((version, theirs), _) = postcard::take_from_bytes::<(u16, [u8; 32])>(bytes)?;
    if version != VERSION || theirs != build()? {
        return Err(Error::OtherBuild);
    }
    Ok(postcard::from_bytes::<Body<T>>(bytes)?.order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written_and_by_its_own_build_alone() {
        let order = EncodeOrder { folder: "/films".into(), words: vec!["in.mp4".into(), "--out".into(), "d".into()] };
        let mut bytes = write(&order).unwrap();
        assert_eq!(read::<EncodeOrder>(&bytes).unwrap(), order);
        bytes[5] ^= 1;
        assert!(matches!(read::<EncodeOrder>(&bytes), Err(Error::OtherBuild)));
        assert!(matches!(read::<EncodeOrder>(&[1]), Err(Error::Unreadable(_))));
    }

    #[test]
    fn a_source_that_was_written_anew_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let stamp = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Stamp::from(&std::fs::metadata(&path).unwrap())
        };
        let (one, longer) = (stamp("one"), stamp("longer"));
        assert_ne!(one, longer);
        assert_eq!(longer, Stamp::from(&std::fs::metadata(&path).unwrap()));
    }
}
