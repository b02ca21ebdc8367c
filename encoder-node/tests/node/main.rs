//! The encoder node on real and generated clips.

#![allow(clippy::unwrap_used)]

mod chance;
mod chunk;
mod common;
mod faults;
