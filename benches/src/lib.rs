//! The benchmark harness behind `vtp bench`: commands that measure and write tables, never timed tests.
//!
//! * [`ladder`]: the whole pipeline against one `ffmpeg` command that makes the same ladder
//! * [`copy`]: `--ladder copy` against `ffmpeg -c copy`
//! * [`gate`]: what measuring and the gate cost, against the peer that encodes and then measures
//! * [`truth`]: our scores against those of the peer's `libvmaf` filter
//! * [`chunking`]: what encoding in chunks costs in bits, as a Bjøntegaard delta rate
//! * [`ab_av1`]: a target of quality, against `ab-av1 auto-encode`
//! * [`kill`]: runs that are killed at random moments, and go on
//! * [`sweep`]: every file of a folder through `vtp encode` and an independent checker
//! * [`mutate`]: damaged copies of files through `vtp encode`
//! * [`simulate`]: the coordinator of a fleet in virtual time, and how fast it is
//! * [`transfer`]: chunk bytes by QUIC, against HTTP/1.1 and over a bad network
//! * [`tasks`]: how fast work can be handed out over a real nats-server

pub mod ab_av1;
pub mod api;
mod bjontegaard;
pub mod chunking;
pub mod copy;
pub mod gate;
pub mod kill;
pub mod ladder;
mod measured;
pub mod mutate;
mod ours;
mod pchip;
mod peer;
mod processes;
mod report;
pub mod simulate;
pub mod sweep;
pub mod table;
pub mod tasks;
pub mod transfer;
pub mod truth;
mod vmaf;

pub use processes::kill_all;
