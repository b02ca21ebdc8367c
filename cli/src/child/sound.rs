//! The sound of a source, made by a child: what the tracks will be first, then all of their access units.

use vtp_engine::media::audio::{AudioOutcome, AudioRequest, AudioTrackConfig, TaskSink};
use vtp_engine::pcm::Moment;

use super::adoption::Adoption;
use super::error::Error;
use super::handle::Child;
use super::messages::{Reply, Request};
use crate::stop::Stop;

/// Sound that a child has prepared.
pub(crate) struct Sound {
    child: Child,
    configs: Vec<AudioTrackConfig>,
}

impl Sound {
    /// Has `child` prepare the sound of a source, whose output begins at `origin` and is so many seconds long.
    pub(crate) fn open(
        mut child: Child,
        adoption: &Adoption,
        requests: Vec<AudioRequest>,
        origin: Moment,
        seconds: f64,
        cancel: &dyn Stop,
    ) -> Result<Self, Error> {
        child.adopt(adoption, cancel)?;
        let tracks = requests.len();
        // Decoding and encoding takes a hundredth of that.
        child.allow_sound((seconds.max(0.0) * tracks as f64) as u64)?;
        child.send(&Request::OpenSound { requests, origin })?;
        match child.reply(cancel)? {
            Reply::SoundConfigs(configs) if configs.len() == tracks => Ok(Self { child, configs }),
            reply => Err(child.said_unasked(&reply)),
        }
    }

    /// What each track will be.
    pub(crate) fn configs(&self) -> &[AudioTrackConfig] {
        &self.configs
    }

    /// Makes it. `take` gets every access unit with the place of its track, `reached` the seconds done. The child is given
    /// back with what became of the tracks.
    ///
    /// # Errors
    /// Whatever the child or `take` answers.
    pub(crate) fn run<E: From<Error>>(
        mut self,
        cancel: &dyn Stop,
        reached: &mut dyn FnMut(f64),
        take: &mut TaskSink<'_, E>,
    ) -> Result<(Vec<AudioOutcome>, Child), E> {
        self.child.send(&Request::RunSound)?;
        loop {
            match self.child.reply(cancel)? {
                Reply::Unit { track, bytes } if usize::from(track) < self.configs.len() => {
                    take(usize::from(track), &bytes)?;
                }
                Reply::SoundReached { seconds } => reached(seconds),
                Reply::SoundDone(outcomes) if outcomes.len() == self.configs.len() => {
                    return Ok((outcomes, self.child));
                }
                reply => return Err(self.child.said_unasked(&reply).into()),
            }
        }
    }
}
