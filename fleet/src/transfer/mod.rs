//! How chunk bytes travel: nodes fetch a chunk's packets from an origin, and deliver what they encoded to a spool.
//!
//! An *object* is some bytes with an [`ObjectId`] and a length that is known when it is opened. It travels in blocks
//! of 256 KiB, each behind its hash; the hash of the whole comes last, and is the plain BLAKE3 of the object, of
//! which the blocks' are subtrees ([`tree`]). The receiver writes what it has verified to a draft beside the object's
//! place ([`Landing`]). However a transfer ends, the next one goes on behind the last whole block of the draft, once
//! both sides agree on what is before it.
//!
//! ```text
//! fetch     Fetch(id, want) ─►                 deliver   Deliver(id, length) ─►
//!           ◄─ Start, blocks, End                        ◄─ Want
//!                                                        Start, blocks, End ─►
//!                                                        ◄─ Receipt
//! ```
//!
//! [`protocol`] and [`tree`] are pure. [`sending`] and [`receiving`] are the two ends, whatever lies between: nothing
//! ([`local`]), or QUIC ([`quic`]). What is refused, and by whom, is an [`Error`].

mod error;
pub mod faulty;
mod landing;
pub mod local;
mod object;
pub mod protocol;
pub mod quic;
pub mod receiving;
pub mod sending;
mod spool;
pub mod tree;

use std::future::Future;
use std::path::Path;

pub use error::Error;
pub use landing::{Landed, Landing, Opened};
pub use object::{Assembled, FileObject, Object, Origin, Part};
pub use protocol::{Kind, ObjectId};
pub use spool::{FolderSpool, Nothing, Spool};

/// Moves objects, from an origin and to a spool.
///
/// * **Blocking:** never the thread; a future may take as long as the network does.
/// * **Idempotence:** both may be called again with the same arguments, after success too. An object that is there
///   already
///   is not sent again.
/// * **Durability:** when either succeeds, the object is on the receiver's disk, whole, under its own name.
/// * **Failure:** an error of either leaves nothing under that name. [`Error::is_retryable`] tells whether trying
///   again may help; if
///   it may, nothing is known of whether the object arrived. What was verified before stays in the draft.
/// * **Cancel safety:** dropping a future is as good as an error.
/// * **Ordering:** none between objects. Two calls for the same place at once are not for one process to make: one of
///   them
///   fails with [`Error::Busy`].
pub trait Transfer: Send + Sync + 'static {
    /// Brings the origin's object `id` to the file `place`.
    fn fetch(&self, id: ObjectId, place: &Path) -> impl Future<Output = Result<Landed, Error>> + Send;

    /// Brings `object` to the spool, as `id`.
    fn deliver<O: Object>(&self, id: ObjectId, object: &O) -> impl Future<Output = Result<Landed, Error>> + Send;
}
