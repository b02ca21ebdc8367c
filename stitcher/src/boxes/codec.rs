//! Decoder configurations: what an initialization segment carries of them, and their RFC 6381 names. Pure.

use mp4_atom::{Ac3SpecificBox, Atom, Avcc, Dops, Ec3SpecificBox, Hvcc};
use vtp_engine::format::{self, av1, hevc, vp9};
use vtp_engine::ladder::{AudioCodec, VideoCodec};

use super::Error;

/// The decoder configuration of a video rendition: its codec and the record that tells a decoder about it, which was read
/// once and so is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    codec: VideoCodec,
    record: Vec<u8>,
    name: String,
}

impl VideoConfig {
    /// Reads a decoder configuration record: the payload of `avcC` or `hvcC` (ISO/IEC 14496-15 5.3.3.1, 8.3.3.1), which must
    /// hold every kind of parameter set, of `av1C`, or of `vpcC` behind version and flags.
    pub fn new(codec: VideoCodec, record: &[u8]) -> Result<Self, Error> {
        let cut_off = || Error::Config(format!("a record of {codec} that is cut off"));
        let name = match codec {
            VideoCodec::H264 => {
                let avcc = Avcc::decode_body(&mut &record[..]).map_err(unreadable)?;
                if avcc.sequence_parameter_sets.is_empty() || avcc.picture_parameter_sets.is_empty() {
                    return Err(Error::Config("avcC without parameter sets".to_owned()));
                }
                let (profile, level) = (avcc.avc_profile_indication, avcc.avc_level_indication);
                format!("avc1.{profile:02X}{:02X}{level:02X}", avcc.profile_compatibility)
            }
            VideoCodec::Hevc => {
                let hvcc = Hvcc::decode_body(&mut &record[..]).map_err(unreadable)?;
                // Video, sequence and picture parameter sets (ITU-T H.265, table 7-1).
                if !(32..=34).all(|kind| hvcc.arrays.iter().any(|it| it.nal_unit_type == kind && !it.nalus.is_empty()))
                {
                    return Err(Error::Config("hvcC without parameter sets".to_owned()));
                }
                hevc::name(record).ok_or_else(cut_off)?
            }
            VideoCodec::Vp9 => vp9::name(record).ok_or_else(cut_off)?,
            VideoCodec::Av1 => av1::name(record).ok_or_else(cut_off)?,
        };
        Ok(Self { codec, record: record.to_vec(), name })
    }

    /// The codec as RFC 6381 names it: sample entry, profile, level and what else the codec tells there.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The sample entry's type, and the configuration box within it: its type and payload.
    pub(super) fn entry(&self) -> (&'static [u8; 4], &'static [u8; 4], Vec<u8>) {
        match self.codec {
            VideoCodec::H264 => (b"avc1", b"avcC", self.record.clone()),
            VideoCodec::Hevc => (b"hvc1", b"hvcC", self.record.clone()),
            VideoCodec::Vp9 => (b"vp09", b"vpcC", [&[1, 0, 0, 0][..], &self.record].concat()),
            VideoCodec::Av1 => (b"av01", b"av1C", self.record.clone()),
        }
    }

    /// Whether a sample is a picture that decoding can start at whatever came before. `None` where the sample cannot be read.
    pub fn is_key(&self, sample: &[u8]) -> Option<bool> {
        format::is_key(self.codec, &self.record, sample)
    }
}

/// The RFC 6381 name of sound with this decoder configuration: an AudioSpecificConfig, or the payload of `dOps`, `dac3` or
/// `dec3`. FLAC is in no manifest.
pub fn audio_name(codec: AudioCodec, config: &[u8]) -> Result<String, Error> {
    match codec {
        AudioCodec::Aac => mpeg4_audio_name(config),
        // Opus in ISOBMFF 4.4 writes it as the sample entry's type; browsers know it like this.
        AudioCodec::Opus => opus_config(config).map(|_| "opus".to_owned()),
        AudioCodec::Ac3 => Ac3SpecificBox::decode_body(&mut &config[..]).map(|_| "ac-3".to_owned()).map_err(unreadable),
        AudioCodec::Eac3 => {
            Ec3SpecificBox::decode_body(&mut &config[..]).map(|_| "ec-3".to_owned()).map_err(unreadable)
        }
        AudioCodec::Flac => Err(of_archives_alone()),
    }
}

fn unreadable(error: mp4_atom::Error) -> Error {
    Error::Config(error.to_string())
}

/// What is only in archives is in no segment.
pub(super) fn of_archives_alone() -> Error {
    Error::Config("FLAC is for archives alone".to_owned())
}

/// Reads the payload of `dOps` (Opus in ISOBMFF 4.3.2).
pub(super) fn opus_config(config: &[u8]) -> Result<Dops, Error> {
    Dops::decode_body(&mut &config[..]).map_err(unreadable)
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
        assert_eq!(VideoConfig::new(VideoCodec::H264, &RECORD).unwrap().name(), "avc1.64001F");
        assert_eq!(mpeg4_audio_name(&[0x12, 0x10]).unwrap(), "mp4a.40.2");
        assert_eq!(mpeg4_audio_name(&[0xF9, 0x40]).unwrap(), "mp4a.40.42");
        assert!(mpeg4_audio_name(&[]).is_err());
        assert_eq!(audio_name(AudioCodec::Aac, &[0x12, 0x10]).unwrap(), "mp4a.40.2");
        assert_eq!(audio_name(AudioCodec::Opus, &[0, 2, 1, 56, 0, 0, 187, 128, 0, 0, 0]).unwrap(), "opus");
        assert!(audio_name(AudioCodec::Opus, &[0, 2]).is_err());
        assert_eq!(audio_name(AudioCodec::Ac3, &[0x10, 0x3D, 0xE0]).unwrap(), "ac-3");
        assert_eq!(audio_name(AudioCodec::Eac3, &[0x07, 0xD0, 0x20, 0x0F, 0, 1, 0x10]).unwrap(), "ec-3");
        assert!(audio_name(AudioCodec::Ac3, &[0x10]).is_err() && audio_name(AudioCodec::Eac3, &[0x07]).is_err());
    }

    #[test]
    fn a_record_that_is_cut_off_or_without_parameter_sets_is_refused() {
        for codec in VideoCodec::ALL {
            assert!(VideoConfig::new(codec, &[1]).is_err());
        }
        assert!(VideoConfig::new(VideoCodec::H264, &[1, 0x64, 0, 0x1F, 0xFF, 0xE0, 0]).is_err());
        assert!(VideoConfig::new(VideoCodec::H264, &[]).is_err());
    }
}
