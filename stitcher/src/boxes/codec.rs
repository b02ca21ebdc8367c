//! Decoder configurations: what an initialization segment carries of them, and their RFC 6381 names. Pure.

use mp4_atom::{Atom, Avcc};

use super::Error;

/// The decoder configuration of a video rendition. A further codec is a further variant: everything that depends on
/// the codec matches on this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoConfig {
    /// H.264 with its parameter sets in the sample entry (`avc1`).
    Avc(Avcc),
}

impl VideoConfig {
    /// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 5.3.3.1), the payload of `avcC`. It must hold a
    /// sequence and a picture parameter set.
    pub fn avc(record: &[u8]) -> Result<Self, Error> {
        let avcc = Avcc::decode_body(&mut &record[..]).map_err(|error| Error::Config(error.to_string()))?;
        if avcc.sequence_parameter_sets.is_empty() || avcc.picture_parameter_sets.is_empty() {
            return Err(Error::Config("avcC without parameter sets".to_owned()));
        }
        Ok(Self::Avc(avcc))
    }

    /// The codec as RFC 6381 names it: sample entry, profile, constraints and level.
    pub fn name(&self) -> String {
        match self {
            Self::Avc(avcc) => format!(
                "avc1.{:02X}{:02X}{:02X}",
                avcc.avc_profile_indication, avcc.profile_compatibility, avcc.avc_level_indication
            ),
        }
    }

    /// Whether a sample is a picture that decoding can start at whatever came before: for H.264, one whose slices are
    /// all of an IDR picture. `None` where the sample cannot be read.
    pub fn is_key(&self, sample: &[u8]) -> Option<bool> {
        let Self::Avc(avcc) = self;
        let mut rest = sample;
        let mut slices = 0;
        while !rest.is_empty() {
            let (length, body) = rest.split_at_checked(usize::from(avcc.length_size))?;
            let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (unit, after) = body.split_at_checked(length)?;
            match unit.first()? & 31 {
                5 => slices += 1,
                1..=4 => return Some(false),
                _ => {}
            }
            rest = after;
        }
        Some(slices > 0)
    }
}

/// The RFC 6381 name of MPEG-4 audio with an AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
pub fn mpeg4_audio_name(config: &[u8]) -> Result<String, Error> {
    let short = || Error::Config("AudioSpecificConfig is too short".to_owned());
    let first = *config.first().ok_or_else(short)?;
    let object_type = match first >> 3 {
        31 => 32 + (first & 7) * 8 + (config.get(1).ok_or_else(short)? >> 5),
        plain => plain,
    };
    Ok(format!("mp4a.40.{object_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

    #[test]
    fn names_tell_profile_constraints_and_level() {
        assert_eq!(VideoConfig::avc(&RECORD).unwrap().name(), "avc1.64001F");
        assert_eq!(mpeg4_audio_name(&[0x12, 0x10]).unwrap(), "mp4a.40.2");
        assert_eq!(mpeg4_audio_name(&[0xF9, 0x40]).unwrap(), "mp4a.40.42");
        assert!(mpeg4_audio_name(&[]).is_err());
    }

    #[test]
    fn a_record_without_parameter_sets_is_refused() {
        assert!(VideoConfig::avc(&[1, 0x64, 0, 0x1F, 0xFF, 0xE0, 0]).is_err());
        assert!(VideoConfig::avc(&[]).is_err());
    }

    #[test]
    fn only_idr_slices_make_a_key_picture() {
        let config = VideoConfig::avc(&RECORD).unwrap();
        let sei_and = |kind: u8| vec![0, 0, 0, 2, 6, 0xFF, 0, 0, 0, 3, kind, 1, 2];
        assert_eq!(config.is_key(&sei_and(0x65)), Some(true));
        assert_eq!(config.is_key(&sei_and(0x41)), Some(false));
        assert_eq!(config.is_key(&[0, 0, 0, 1, 6]), Some(false));
        assert_eq!(config.is_key(&[0, 0, 0, 9, 0x65]), None);
    }
}
