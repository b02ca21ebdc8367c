//! The sound of a source, made by a child: what the tracks will be first, then all of their access units.

use vtp_engine::media::audio::{AudioOutcome, AudioRequest, AudioTrackConfig, TaskSink};
use vtp_engine::pcm::Moment;

use super::adoption::Adoption;
use super::error::Error;
use super::handle::Child;
use super::messages::{Reply, Request};
use crate::stop::Stop;

/// Samples a second, and channels, that no sound has more of.
const MOST_RATE: u32 = 768_000;
const MOST_CHANNELS: u16 = 64;
/// Access units, and bytes, of what precedes and ends a track.
const SLACK_UNITS: u64 = 64;
const SLACK_BYTES: u64 = 1 << 20;
/// Seconds by which sound may be longer than sources may be.
const SLACK_S: u64 = 60;

/// Sound that a child has prepared.
pub(crate) struct Sound {
    child: Child,
    configs: Vec<AudioTrackConfig>,
    /// The most seconds that a track may have.
    longest_s: u64,
}

/// What may still come of a track.
struct Room {
    units: u64,
    bytes: u64,
}

impl Room {
    /// Of a track of so many seconds: as many access units as hold those and some for what precedes and ends it, and bytes as
    /// in samples of 64 bits. What a child says of a track is no reason to take any number of bytes.
    fn of(config: &AudioTrackConfig, seconds: u64) -> Self {
        let samples = u64::from(config.sample_rate.min(MOST_RATE)) * seconds;
        let bytes = samples.saturating_mul(u64::from(config.channels.min(MOST_CHANNELS))).saturating_mul(8);
        Self { units: samples / u64::from(config.codec.frame()) + SLACK_UNITS, bytes: bytes + SLACK_BYTES }
    }

    /// Whether there is room for an access unit of so many bytes, which takes it.
    fn has(&mut self, bytes: usize) -> bool {
        match (self.units.checked_sub(1), self.bytes.checked_sub(bytes as u64)) {
            (Some(units), Some(bytes)) => {
                *self = Self { units, bytes };
                true
            }
            _ => false,
        }
    }
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
            Reply::SoundConfigs(configs) if configs.len() == tracks => {
                let longest_s = child.longest_s().max(seconds.ceil() as u64).saturating_add(SLACK_S);
                Ok(Self { child, configs, longest_s })
            }
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
        let mut room: Vec<Room> = self.configs.iter().map(|config| Room::of(config, self.longest_s)).collect();
        loop {
            match self.child.reply(cancel)? {
                Reply::Unit { track, bytes }
                    if room.get_mut(usize::from(track)).is_some_and(|room| room.has(bytes.len())) =>
                {
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

#[cfg(test)]
mod tests {
    use vtp_engine::ladder::AudioCodec;

    use super::*;

    fn config(sample_rate: u32, channels: u16) -> AudioTrackConfig {
        let (codec, config) = (AudioCodec::Aac, Vec::new());
        AudioTrackConfig { codec, sample_rate, channels, priming: 0, config, copied: false, encoded_because: None }
    }

    #[test]
    fn no_more_access_units_and_bytes_come_than_a_track_can_have() {
        let due = 48_000 * 10 / 1024 + SLACK_UNITS;
        let mut room = Room::of(&config(48_000, 2), 10);
        assert_eq!((0..2 * due).filter(|_| room.has(1000)).count() as u64, due);
        let mut room = Room::of(&config(48_000, 2), 10);
        assert!(room.has(48_000 * 10 * 2 * 8) && !room.has(SLACK_BYTES as usize + 1) && room.has(SLACK_BYTES as usize));
    }

    #[test]
    fn what_a_track_is_said_to_be_is_believed_up_to_what_there_is() {
        assert!(Room::of(&config(u32::MAX, u16::MAX), 10).bytes < 10 << 30);
    }
}
