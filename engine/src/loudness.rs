//! How loud sound is, and what it takes to make it as loud as asked: ITU-R BS.1770-4 as EBU R 128 applies it. A track is
//! measured over its whole length first and multiplied by one number then; its dynamics stay as they are.

use ebur128::{EbuR128, Mode};
use serde::{Deserialize, Serialize};

/// The most that a true peak may reach in sound whose loudness was changed, in dBTP (EBU R 128, recommendation h).
pub const HIGHEST_PEAK_DBTP: f64 = -1.0;

/// What is not louder is silence: the absolute gate of BS.1770-4, in LUFS.
const SILENCE_LUFS: f64 = -70.0;

/// What a meter can't be made for or can't take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the loudness of sound of {channels} channels at {rate} Hz can't be measured")]
pub struct Unmeasurable {
    channels: usize,
    rate: u32,
}

/// What was measured of a track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Integrated loudness in LUFS; `None` for silence.
    pub integrated_lufs: Option<f64>,
    /// The highest true peak of any channel in dBTP; `None` if every sample is zero.
    pub true_peak_dbtp: Option<f64>,
}

/// How a track is made as loud as asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// What was asked for, in LUFS.
    pub target_lufs: f64,
    /// What it was.
    pub measured: Measured,
    /// The gain in dB that every sample of it gets.
    pub gain_db: f64,
    /// Whether the gain is less than asked for, as the true peak would go above [`HIGHEST_PEAK_DBTP`] otherwise.
    pub is_limited: bool,
}

impl Loudness {
    /// The gain that brings what was `measured` to `target_lufs`, or as near to it as its true peak allows. Silence is left
    /// alone. Sound whose peaks are too high already is made quieter even where it is to become louder.
    pub fn plan(target_lufs: f64, measured: Measured) -> Self {
        let wanted = measured.integrated_lufs.map_or(0.0, |lufs| target_lufs - lufs);
        let room = measured.true_peak_dbtp.map_or(f64::INFINITY, |peak| HIGHEST_PEAK_DBTP - peak);
        let is_limited = measured.integrated_lufs.is_some() && wanted > room;
        Self { target_lufs, measured, gain_db: if is_limited { room } else { wanted }, is_limited }
    }

    /// What every sample is multiplied by.
    pub fn factor(&self) -> f32 {
        10.0_f64.powf(self.gain_db / 20.0) as f32
    }

    /// How loud it is after the gain, in LUFS; `None` for silence.
    pub fn reached_lufs(&self) -> Option<f64> {
        self.measured.integrated_lufs.map(|lufs| lufs + self.gain_db)
    }
}

/// Measures a track as it goes by.
#[derive(Debug)]
pub struct Meter {
    meter: EbuR128,
    channels: u32,
}

impl Meter {
    /// A meter of one, two or six channels (left, right, centre, bass, two behind) at `rate` samples a second. The bass does
    /// not count, what is behind counts 1.5 dB more (BS.1770-4, annex 1).
    ///
    /// # Errors
    /// [`Unmeasurable`] for rates and numbers of channels that nothing has.
    pub fn new(channels: u16, rate: u32) -> Result<Self, Unmeasurable> {
        let error = |_| Unmeasurable { channels: channels.into(), rate };
        let meter = EbuR128::new(channels.into(), rate, Mode::I | Mode::TRUE_PEAK).map_err(error)?;
        Ok(Self { meter, channels: channels.into() })
    }

    /// Hears the next samples, one slice a channel, all of one length.
    ///
    /// # Errors
    /// [`Unmeasurable`] if the slices are not as many as the channels, or of several lengths.
    pub fn hear(&mut self, planes: &[&[f32]]) -> Result<(), Unmeasurable> {
        let error = Unmeasurable { channels: planes.len(), rate: self.meter.rate() };
        // The crate panics at what does not fit.
        let length = planes.first().map_or(0, |plane| plane.len());
        if planes.len() != self.channels as usize || planes.iter().any(|plane| plane.len() != length) {
            return Err(error);
        }
        self.meter.add_frames_planar_f32(planes).map_err(|_| error)
    }

    /// What was measured of all that was heard.
    pub fn measured(&self) -> Measured {
        let peaks = (0..self.channels).filter_map(|channel| self.meter.true_peak(channel).ok());
        let peak = 20.0 * peaks.fold(0.0, f64::max).log10();
        let lufs = self.meter.loudness_global().ok();
        Measured {
            integrated_lufs: lufs.filter(|lufs| *lufs > SILENCE_LUFS),
            true_peak_dbtp: Some(peak).filter(|peak| peak.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    fn measured(lufs: f64, peak: f64) -> Measured {
        Measured { integrated_lufs: Some(lufs), true_peak_dbtp: Some(peak) }
    }

    /// Twenty seconds of 997 Hz at this level on these of so many channels.
    fn tone(dbfs: f64, on: &[usize], channels: usize) -> Measured {
        let amplitude = 10.0_f64.powf(dbfs / 20.0);
        let wave: Vec<f32> =
            (0..960_000).map(|n| (amplitude * (TAU * 997.0 * f64::from(n) / 48_000.0).sin()) as f32).collect();
        let silence = vec![0.0; wave.len()];
        let planes: Vec<&[f32]> =
            (0..channels).map(|channel| if on.contains(&channel) { &wave[..] } else { &silence[..] }).collect();
        let mut meter = Meter::new(channels as u16, 48_000).unwrap();
        meter.hear(&planes).unwrap();
        meter.measured()
    }

    #[test]
    fn a_tone_of_the_standard_is_as_loud_as_the_standard_says() {
        // BS.1770-4: 997 Hz at 0 dBFS in one channel of the front reads -3.01 LKFS; EBU Tech 3341: stereo at -23 dBFS, -23.
        let close = |measured: Measured, lufs: f64| {
            assert!((measured.integrated_lufs.unwrap() - lufs).abs() < 0.05, "{measured:?} against {lufs}");
        };
        close(tone(0.0, &[0], 2), -3.01);
        close(tone(-23.0, &[0, 1], 2), -23.0);
        close(tone(-20.0, &[2], 6), -23.01);
        close(tone(-20.0, &[4], 6), -21.52);
        assert!((tone(-6.0, &[1], 2).true_peak_dbtp.unwrap() + 6.0).abs() < 0.1);
    }

    #[test]
    fn the_bass_is_not_heard_but_its_peak_counts() {
        let bass = tone(-6.0, &[3], 6);
        assert_eq!(bass.integrated_lufs, None);
        assert!((bass.true_peak_dbtp.unwrap() + 6.0).abs() < 0.1);
    }

    #[test]
    fn silence_is_left_alone() {
        let silence = tone(0.0, &[], 2);
        assert_eq!(silence, Measured { integrated_lufs: None, true_peak_dbtp: None });
        let plan = Loudness::plan(-23.0, silence);
        assert_eq!((plan.gain_db, plan.factor(), plan.is_limited, plan.reached_lufs()), (0.0, 1.0, false, None));
    }

    #[test]
    fn the_gain_is_the_distance_to_the_target_or_what_the_peak_has_room_for() {
        let plan = |target, lufs, peak| {
            let plan = Loudness::plan(target, measured(lufs, peak));
            (plan.gain_db, plan.is_limited)
        };
        assert_eq!(plan(-23.0, -30.0, -12.0), (7.0, false));
        assert_eq!(plan(-23.0, -15.0, 0.5), (-8.0, false));
        assert_eq!(plan(-16.0, -24.0, -5.0), (4.0, true));
        assert_eq!(plan(-16.0, -16.5, 0.0), (-1.0, true));
    }

    #[test]
    fn planes_that_do_not_fit_are_refused() {
        assert!(Meter::new(0, 48_000).is_err());
        assert!(Meter::new(2, 48_000).unwrap().hear(&[&[0.0]]).is_err());
        assert!(Meter::new(2, 48_000).unwrap().hear(&[&[0.0], &[0.0, 0.0]]).is_err());
    }

    proptest! {
        #[test]
        fn no_peak_goes_beyond_the_highest_and_no_sound_beyond_the_target(
            target in -40.0_f64..-5.0, lufs in -69.0_f64..0.0, peak in -69.0_f64..12.0,
        ) {
            let plan = Loudness::plan(target, measured(lufs, peak));
            prop_assert!(plan.reached_lufs().unwrap() <= target + 1e-9);
            let moved = peak + plan.gain_db;
            prop_assert!(moved <= HIGHEST_PEAK_DBTP + 1e-9);
            prop_assert!((plan.reached_lufs().unwrap() - target).abs() < 1e-9 || (moved - HIGHEST_PEAK_DBTP).abs() < 1e-9);
        }
    }
}
