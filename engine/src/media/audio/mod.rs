//! Sound: decoded over the whole source in one go, never per chunk, and never changed in place or length beyond what
//! [`crate::pcm`] decides.

pub mod decode;

pub use decode::{AudioDecoder, Sound};
