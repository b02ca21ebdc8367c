//! The benchmark harness behind `vtp bench`: commands that measure and write tables, never timed tests.
//!
//! * [`ladder`]: the whole pipeline against one `ffmpeg` command that makes the same ladder
//! * [`copy`]: `--ladder copy` against `ffmpeg -c copy`
//! * [`sweep`]: every file of a folder through `vtp encode` and an independent checker

pub mod copy;
pub mod ladder;
mod measured;
mod peer;
pub mod sweep;
mod table;
