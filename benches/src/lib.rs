//! The benchmark harness behind `vtp bench`: commands that measure and write tables, never timed tests.
//!
//! * [`ladder`]: the whole pipeline against one `ffmpeg` command that makes the same ladder
//! * [`copy`]: `--ladder copy` against `ffmpeg -c copy`
//! * [`gate`]: what measuring and the gate cost, against the peer that encodes and then measures
//! * [`truth`]: our scores against those of the peer's `libvmaf` filter
//! * [`sweep`]: every file of a folder through `vtp encode` and an independent checker

pub mod copy;
pub mod gate;
pub mod ladder;
mod measured;
mod ours;
mod peer;
mod report;
pub mod sweep;
mod table;
pub mod truth;
mod vmaf;
