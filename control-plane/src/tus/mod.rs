//! The protocol tus 1.0.0 (<https://tus.io/protocols/resumable-upload>) as values: what requests say, what follows from it and from how
//! far an upload is, and how its bytes fall into parts. No socket, no store, no clock.

mod headers;
mod metadata;
mod pieces;

pub use headers::{Append, Asked, Checksum, NewTus, begins, continues, require_version};
pub use metadata::Metadata;
pub use pieces::{Piece, Pieces};

/// The version that is spoken.
pub const VERSION: &str = "1.0.0";
/// The extensions that are spoken.
pub const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";
/// The checksums that are known.
pub const CHECKSUMS: &str = "sha1,sha256";
/// The media type of the bytes of an upload.
pub const MEDIA_TYPE: &str = "application/offset+octet-stream";

/// How far an upload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Bytes that are kept, from the first on.
    pub received: u64,
    /// Bytes that it has.
    pub length: u64,
    /// It takes bytes.
    pub is_open: bool,
}

/// Why a request is not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It speaks another version of the protocol, or does not say which.
    #[error("say which version of tus this is: Tus-Resumable: {VERSION}")]
    Version,
    /// Its bytes are of another media type.
    #[error("the bytes of an upload are of the type {MEDIA_TYPE}")]
    MediaType,
    /// A header is missing, or says nothing that is known.
    #[error("{0}")]
    Header(&'static str),
    /// Its checksum is none that is known.
    #[error("Upload-Checksum: sha1 or sha256, a blank, and the checksum in base64")]
    Checksum,
    /// It goes on elsewhere than where the upload is.
    #[error("the upload is at byte {received}, and this begins at {offset}; ask where it is with HEAD")]
    Offset {
        /// Where it goes on.
        offset: u64,
        /// Where the upload is.
        received: u64,
    },
    /// It has more bytes than are left.
    #[error("the upload has {0} bytes, and this goes beyond them")]
    TooLong(u64),
    /// The upload takes no bytes any longer.
    #[error("this upload is complete, and takes no bytes any longer")]
    Closed,
    /// What came is not what its checksum says; nothing of it is kept.
    #[error("what came is not what Upload-Checksum says, and is not kept; send it again")]
    Mismatch,
}
