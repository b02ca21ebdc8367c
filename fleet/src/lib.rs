//! What the roles of a fleet share: who they are to each other, and how chunk bytes travel between them.
//!
//! [`identity`] says which roles there are and what each may do; [`ca`] certifies them, [`credentials`] carries that
//! into TLS. [`transfer`] moves objects, whole and proven. [`relay`] is a bad network, for tests and measurements. No
//! FFmpeg, no SQL, no HTTP.

pub mod ca;
pub mod credentials;
pub mod identity;

pub mod relay;
pub mod transfer;
