//! A fleet, one file a process: [`driver`] hands out tasks, [`splitter`] looks into sources and hands out packets, [`node`] encodes
//! chunks, [`stitcher`] makes ladders of them. [`submit`] has a fleet do what `vtp encode` was asked for, [`up`] starts one on this
//! machine. [`nearby`] is a fleet without a network, which does all that one does in this process.

pub(crate) mod access;
mod deliveries;
pub mod driver;
mod encoder;
pub(crate) mod member;
pub mod nearby;
pub mod node;
pub(crate) mod orderer;
mod orders;
mod remote;
mod sources;
pub mod splitter;
pub mod stitcher;
pub(crate) mod submit;
mod told;
pub mod up;

use vtp_engine::coordinator::{Skill, Skills};
use vtp_engine::ladder::VideoCodec;
use vtp_engine::media::diagnose;

/// What the nodes of the one pool can do: encode everything on their processors.
fn skills() -> Skills {
    VideoCodec::ALL.into_iter().map(Skill::from).chain([Skill::Cpu]).collect()
}

/// The encoders that this machine lacks, by their names in FFmpeg. Each has had to encode a few pictures.
fn missing_encoders() -> Vec<&'static str> {
    let all = ["libx264", "libx265", "libvpx-vp9", "libsvtav1"];
    all.into_iter().filter(|name| diagnose::try_video_encoder(name).is_err()).collect()
}
