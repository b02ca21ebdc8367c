//! Seals a finished output: every published media file is encrypted, and opened again to see that what was sealed is what
//! was proven. Pure: bytes in, bytes out.
//!
//! Two ways: `cbcs`, the samples of CMAF files (ISO/IEC 23001-7, 23000-19 8.2), which HLS and DASH share; and whole segments
//! by AES-128 (RFC 8216bis 4.4.4.4), which only HLS has.

pub(crate) mod boxes;
mod cbcs;
mod whole;

use std::fmt;
use std::ops::Range;

use vtp_engine::ladder::VideoCodec;

/// A content key of 128 bits. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey([u8; 16]);

impl ContentKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to derive others from.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The key that a file or a variable holds: 16 bytes, or 32 hexadecimal digits, white space around them aside.
    ///
    /// # Errors
    /// [`Error::Key`] for anything else. It does not repeat what it was given.
    pub fn read(content: &[u8]) -> Result<Self, Error> {
        if let Ok(bytes) = content.try_into() {
            return Ok(Self(bytes));
        }
        let digits = content.trim_ascii();
        let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
        let byte = |at: usize| u8::try_from(digit(at)? << 4 | digit(at + 1)?).ok();
        let bytes: Option<Vec<u8>> = (0..32).step_by(2).map(byte).collect();
        let bytes = bytes.filter(|_| digits.len() == 32).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(Error::Key)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

/// How an output is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Samples, in a pattern of one encrypted block of ten.
    Cbcs,
    /// Whole segments.
    Aes128,
}

/// What an output is sealed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// How.
    pub scheme: Scheme,
    /// The key.
    pub key: ContentKey,
    /// By what players ask for the key.
    pub key_id: [u8; 16],
    /// The constant initialization vector of `cbcs`.
    pub iv: [u8; 16],
    /// Where players get the key.
    pub key_uri: String,
    /// Where ClearKey players get a licence, if that is to stand in the MPD.
    pub license_url: Option<String>,
}

impl Seal {
    /// The key's identifier as a UUID.
    pub fn key_uuid(&self) -> String {
        let hex: String = self.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

/// What is in a track's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Video.
    Video(VideoCodec),
    /// Sound.
    Audio,
}

/// Why a file can't be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No key.
    #[error("a key has 16 bytes, or 32 hexadecimal digits")]
    Key,
    /// Its samples are of another shape.
    #[error("{0} can't be encrypted by samples here: use h264 or hevc")]
    Codec(VideoCodec),
    /// It is not laid out as our files are.
    #[error("a file that is not laid out as it was written: {0}")]
    Layout(&'static str),
}

impl Seal {
    /// The initialization segment that goes with sealed segments.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn init(&self, init: &[u8]) -> Result<Vec<u8>, Error> {
        match self.scheme {
            Scheme::Cbcs => cbcs::init(self, init),
            Scheme::Aes128 => Ok(init.to_vec()),
        }
    }

    /// The initialization segment again, from the sealed one.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open_init(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        match self.scheme {
            Scheme::Cbcs => cbcs::open_init(sealed),
            Scheme::Aes128 => Ok(sealed.to_vec()),
        }
    }

    /// A sealed segment, the `place`-th of its track, counted from 0.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn segment(&self, place: u32, content: Content, segment: &[u8]) -> Result<Vec<u8>, Error> {
        match self.scheme {
            Scheme::Cbcs => cbcs::segment(self, content, segment),
            Scheme::Aes128 => Ok(whole::seal(&self.key, place, segment)),
        }
    }

    /// The segment again, from a sealed one and the sealed initialization segment.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(&self, place: u32, init: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        match self.scheme {
            Scheme::Cbcs => cbcs::open(&self.key, init, sealed),
            Scheme::Aes128 => whole::open(&self.key, place, sealed),
        }
    }
}

/// Where the fragments of a segment stand in it, each a `moof` and its `mdat`.
///
/// # Errors
/// [`Error::Layout`] where there are none to be seen.
pub(crate) fn fragments(segment: &[u8]) -> Result<Vec<Range<u64>>, Error> {
    let (mut found, mut at, mut start) = (Vec::new(), 0, None);
    for it in boxes::boxes(segment)? {
        let end = at + it.whole.len() as u64;
        match (&it.kind, start) {
            (b"moof", _) => start = Some(at),
            (b"mdat", Some(from)) => {
                found.push(from..end);
                start = None;
            }
            _ => {}
        }
        at = end;
    }
    if found.is_empty() { Err(Error::Layout("a segment without a fragment")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_or_their_digits_and_is_never_printed() {
        let digits = "000102030405060708090a0B0C0D0E0F";
        let key = ContentKey::read(digits.as_bytes()).unwrap();
        assert_eq!(key, ContentKey::new(std::array::from_fn(|at| at as u8)));
        assert_eq!(ContentKey::read(format!("  {digits}\n").as_bytes()).unwrap(), key);
        assert_eq!(ContentKey::read(&key.0).unwrap(), key);
        for wrong in ["", "0011", &digits[1..], "0x0102030405060708090a0B0C0D0E0F", &format!("{digits}00")] {
            assert_eq!(ContentKey::read(wrong.as_bytes()), Err(Error::Key), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "ContentKey(..)");
    }
}
