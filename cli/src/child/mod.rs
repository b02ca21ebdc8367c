//! Whatever looks at untrusted bytes does so in a child process, behind the walls of [`vtp_engine::sandbox`]: this program
//! started again as `vtp child`, with one end of a socket for its standard input and nothing else.
//!
//! ```text
//!  parent                                            child
//!  Pool ── start ──────────────────────────────────► walls up, then serve
//!  Child ─ Index, Census, Adopt (source's descriptor) ► demux, decode      ── Source ──►
//!        ─ Pack ───────────────────────────────────► demux               ── Piece … Packed ──►
//!        ─ AdoptChunk (an archive's descriptor) ────► what Pack made, in place of a source
//!        ─ Encode, Copy ────────────────────────────► decode, encode      ── Sample … Encoded ──►
//!        ─ OpenSound, RunSound ─────────────────────► decode, encode      ── Unit … SoundDone ──►
//! ```
//! A child is told one thing at a time and keeps the source open in between. Of a source in a store the parent reads what the
//! child asks for ([`served`]). It writes no file: what it makes comes back
//! through the socket, and is taken for data that may be anything. One that dies, falls silent or talks nonsense is
//! killed and reported with FFmpeg's last words; the next request has another child.

mod adoption;
mod death;
mod error;
mod handle;
mod input;
mod messages;
mod patience;
mod pool;
mod process;
mod serve;
mod served;
mod sound;
pub(crate) mod wire;

pub(crate) use adoption::Adoption;
pub use death::{Cause, Death};
pub use error::Error;
pub(crate) use handle::Child;
pub(crate) use input::{Bytes, Input};
pub use messages::Failure;
pub(crate) use patience::Patience;
pub(crate) use pool::walls;
pub use pool::{Pool, this_program};
pub(crate) use serve::serve;
pub(crate) use sound::Sound;

/// The subcommand that a child is started with.
pub(crate) const SUBCOMMAND: &str = "child";
