//! Objects over QUIC (RFC 9000): one connection between two peers, a stream for each object.
//!
//! [`Server`] answers, [`Client`] asks. Both show certificates; whoever is not what it should be is told so and cut
//! off before any object is named. Back-pressure is QUIC's: a receiver that does not write does not read, its windows
//! close, and the sender waits. A lost connection is made again, with back-off, and transfers go on where they were.

mod client;
mod patience;
mod server;
mod tuning;
mod wire;

pub use client::{Address, Client};
pub use server::{Server, Serves};
pub use tuning::{Congestion, Tuning};
pub use wire::Traffic;

/// Why a peer can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The credentials can't be used.
    #[error(transparent)]
    Credentials(#[from] crate::credentials::Error),
    /// The certificate's role does not do what was to be started.
    #[error("{identity} may not {what}: have a certificate issued for a {right}")]
    Role {
        /// Whose it is.
        identity: crate::identity::Identity,
        /// What it may not do.
        what: &'static str,
        /// Whose it should be.
        right: crate::identity::Role,
    },
    /// There is no socket to be had.
    #[error("{address}: {source}")]
    Socket {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}
