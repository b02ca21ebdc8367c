//! Units: rationals, time bases, frame and packet numbers. Arithmetic exists only where it means something.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A ratio of two positive integers, always in lowest terms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Ratio {
    num: u32,
    den: u32,
}

/// A ratio as it is written down, which may be one that nobody can mean.
#[derive(Serialize, Deserialize)]
struct Written {
    num: u32,
    den: u32,
}

/// Two numbers that are no ratio.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{num}/{den} is no ratio of positive numbers")]
pub struct NoRatio {
    num: u32,
    den: u32,
}

impl TryFrom<Written> for Ratio {
    type Error = NoRatio;

    fn try_from(Written { num, den }: Written) -> Result<Self, NoRatio> {
        Self::new(num, den).ok_or(NoRatio { num, den })
    }
}

impl From<Ratio> for Written {
    fn from(Ratio { num, den }: Ratio) -> Self {
        Self { num, den }
    }
}

impl Ratio {
    /// One to one.
    pub const ONE: Ratio = Ratio { num: 1, den: 1 };

    /// `num / den` in lowest terms; `None` if either is zero.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let divisor = gcd(num.into(), den.into()) as u32;
        Some(Self { num: num / divisor, den: den / divisor })
    }

    /// The numerator, at least 1.
    pub fn num(self) -> u32 {
        self.num
    }

    /// The denominator, at least 1.
    pub fn den(self) -> u32 {
        self.den
    }

    /// The value as a float.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The greatest common divisor; `gcd(0, n)` is `n`.
pub fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How long one tick of a timestamp is: `num / den` seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TimeBase(pub Ratio);

impl TimeBase {
    /// Microseconds, in which times of several streams are compared.
    pub const MICROSECONDS: Self = Self(Ratio { num: 1, den: 1_000_000 });

    /// A time base of `1 / rate` seconds; `None` for a rate of zero.
    pub fn per_second(rate: u32) -> Option<Self> {
        Ratio::new(1, rate).map(Self)
    }

    /// Seconds at `ticks`.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * self.0.as_f64()
    }

    /// Ticks at `seconds`, rounded to the nearest.
    pub fn ticks(self, seconds: f64) -> i64 {
        (seconds / self.0.as_f64()).round() as i64
    }

    /// `ticks` of this base in `target`, rounded down.
    pub fn rescale_floor(self, ticks: i64, target: TimeBase) -> i64 {
        let (num, den) = self.conversion(target);
        clamp_i64((i128::from(ticks) * num).div_euclid(den))
    }

    /// `ticks` of this base in `target`, rounded to the nearest, halves up.
    pub fn rescale(self, ticks: i64, target: TimeBase) -> i64 {
        let (num, den) = self.conversion(target);
        clamp_i64((2 * i128::from(ticks) * num + den).div_euclid(2 * den))
    }

    fn conversion(self, target: TimeBase) -> (i128, i128) {
        (i128::from(self.0.num) * i128::from(target.0.den), i128::from(self.0.den) * i128::from(target.0.num))
    }

    /// The ISO BMFF timescale (ticks a second) in which every tick of this base is a whole number, and the
    /// number of those per tick: `seconds = ticks * multiplier / timescale`.
    pub fn timescale(self) -> (u32, u32) {
        (self.0.den, self.0.num)
    }
}

fn clamp_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// A frame's place in presentation order, from 0, over the whole source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FrameIndex(pub u32);

/// A video packet's place in decode order, from 0, over the whole source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PacketIndex(pub u32);

/// A chunk's place in presentation order, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ChunkIndex(pub u32);

/// Which try at a task this is, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Attempt(pub u32);

/// A picture size in samples (pixels).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// Samples of luma.
    pub fn samples(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A bit rate in bits per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BitRate(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_reduced_and_refuses_zero() {
        assert_eq!(Ratio::new(1001, 30_000).map(|r| (r.num(), r.den())), Some((1001, 30_000)));
        assert_eq!(Ratio::new(4, 6).map(|r| (r.num(), r.den())), Some((2, 3)));
        assert_eq!(Ratio::new(0, 6), None);
        assert_eq!(Ratio::new(6, 0), None);
    }

    #[test]
    fn a_ratio_that_was_written_down_is_one_or_is_refused() {
        let read = |text: &str| serde_json::from_str::<Ratio>(text).map_err(|error| error.to_string());
        let film = Ratio::new(1001, 24_000).unwrap();
        assert_eq!(read(&serde_json::to_string(&film).unwrap()), Ok(film));
        assert_eq!(postcard::to_allocvec(&film), postcard::to_allocvec(&(1001_u32, 24_000_u32)));
        assert_eq!(read(r#"{"num":4,"den":6}"#), Ok(Ratio::new(2, 3).unwrap()));
        for [num, den] in [[0, 0], [1, 0], [0, 1]] {
            let refused = read(&format!(r#"{{"num":{num},"den":{den}}}"#)).unwrap_err();
            assert!(refused.starts_with(&format!("{num}/{den} is no ratio of positive numbers")), "{refused}");
        }
    }

    #[test]
    fn rescaling_rounds_down_or_to_the_nearest_also_below_zero() {
        let (ms, audio) = (TimeBase::per_second(1000).unwrap(), TimeBase::per_second(44_100).unwrap());
        assert_eq!(ms.rescale(-1, audio), -44);
        assert_eq!(ms.rescale_floor(-1, audio), -45);
        assert_eq!(audio.rescale_floor(44, ms), 0);
        assert_eq!(audio.rescale(44, ms), 1);
    }
}
