//! Chunks that are encoded somewhere else: [`cluster`] has a run's chunks made by a fleet, [`node`] makes them, [`nearby`] is a
//! fleet without a network, which does all that one does on this machine.

pub(crate) mod access;
mod body;
pub(crate) mod cluster;
mod encoder;
pub mod nearby;
pub mod node;

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
