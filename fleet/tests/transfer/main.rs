//! Objects on their way between real peers: one suite for every kind of transfer, then what the network, the disk and
//! other peers can do to them. All sockets are of the loopback device.
#![allow(clippy::unwrap_used, reason = "what the helpers can't do fails the test")]

mod bad_network;
mod bad_peers;
mod credentials;
mod pressure;
mod scene;
mod suite;
