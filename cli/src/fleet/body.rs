//! What the body of a task says: which chunk is to be made of which packets, and by which build of this program and its
//! libraries, for others might make other bytes of them.

use std::io;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use vtp_encoder_node::cache;

use crate::work::ChunkOrder;

const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Body {
    version: u16,
    build: [u8; 32],
    order: ChunkOrder,
}

/// Why a task can't be told, or not be done here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is no task of ours.
    #[error("the task can't be read: {0}")]
    Unreadable(#[from] postcard::Error),
    /// It was made by another build.
    #[error("the task is from another build of vtp, or its libraries are others: run the same release everywhere")]
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

/// An order as a task has it.
pub(super) fn write(order: &ChunkOrder) -> Result<Vec<u8>, Error> {
    Ok(postcard::to_allocvec(&Body { version: VERSION, build: build()?, order: order.clone() })?)
}

/// The order of a task.
pub(super) fn read(bytes: &[u8]) -> Result<ChunkOrder, Error> {
    // The build stands before what another one may have otherwise.
    let ((version, theirs), _) = postcard::take_from_bytes::<(u16, [u8; 32])>(bytes)?;
    if version != VERSION || theirs != build()? {
        return Err(Error::OtherBuild);
    }
    Ok(postcard::from_bytes::<Body>(bytes)?.order)
}
