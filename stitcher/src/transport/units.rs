//! Access units as transport streams carry them: H.264 as a byte stream (ITU-T H.264, Annex B), AAC with ADTS headers
//! (ISO/IEC 14496-3, 1.A.3). Pure.

use vtp_engine::nal::{self, avc};

/// Bytes of an ADTS header without a checksum.
pub(super) const ADTS_HEADER: usize = 7;
/// An access unit delimiter that promises nothing of the kinds of slices (H.264, 7.3.2.4).
const DELIMITER: [u8; 2] = [avc::AUD, 0xF0];
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why a sample can't be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not made of NAL units.
    #[error(transparent)]
    Nal(#[from] nal::Error),
    /// The decoder configuration is of another kind.
    #[error("{0}")]
    Config(&'static str),
    /// ADTS tells the length in 13 bits.
    #[error("an access unit of {0} bytes is too long for ADTS")]
    Long(usize),
}

/// What turns samples of H.264 into byte streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Avc {
    /// How many bytes a unit's length has.
    pub(super) length_size: usize,
    /// The parameter sets, those of sequences first.
    pub(super) sets: Vec<Vec<u8>>,
}

impl Avc {
    /// Reads an `AVCDecoderConfigurationRecord`.
    pub(super) fn new(record: &[u8]) -> Result<Self, Error> {
        let unreadable = Error::Config("an avcC that can't be read");
        let length_size = usize::from(record.get(4).ok_or(unreadable)? & 3) + 1;
        let sets = nal::avc_config_sets(record).ok_or(unreadable)?;
        Ok(Self { length_size, sets: sets.into_iter().flatten().map(<[u8]>::to_vec).collect() })
    }

    /// The byte stream of a sample: a delimiter first, and before a picture at which decoding can start the parameter sets,
    /// if it has none of its own.
    pub(super) fn byte_stream(&self, sample: &[u8], key: bool) -> Result<Vec<u8>, Error> {
        let units: Vec<&[u8]> = nal::length_prefixed(sample, self.length_size).collect::<Result<_, _>>()?;
        let kind = |unit: &&[u8]| avc::unit_type(unit);
        let own = units.first().filter(|unit| kind(unit) == Some(avc::AUD)).copied();
        let has_sets = units.iter().any(|unit| kind(unit) == Some(avc::SPS));
        let sets = self.sets.iter().filter(|_| key && !has_sets).map(Vec::as_slice);
        let rest = units.iter().skip(usize::from(own.is_some())).copied().filter(|unit| !unit.is_empty());
        let mut stream = Vec::with_capacity(sample.len() + 64);
        for unit in std::iter::once(own.unwrap_or(&DELIMITER)).chain(sets).chain(rest) {
            stream.extend(START_CODE);
            stream.extend(unit);
        }
        Ok(stream)
    }
}

/// What puts ADTS headers before access units of AAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Adts {
    /// audioObjectType less one.
    profile: u8,
    rate: u8,
    channels: u8,
}

impl Adts {
    /// Reads an AudioSpecificConfig (1.6.2.1).
    pub(super) fn new(config: &[u8]) -> Result<Self, Error> {
        let &[a, b, ..] = config else { return Err(Error::Config("an AudioSpecificConfig that is cut off")) };
        let (kind, rate, channels) = (a >> 3, (a & 7) << 1 | b >> 7, b >> 3 & 15);
        if !(1..=4).contains(&kind) || rate > 12 || !(1..=7).contains(&channels) {
            return Err(Error::Config("AAC of a kind, rate or channels that ADTS has no number for"));
        }
        Ok(Self { profile: kind - 1, rate, channels })
    }

    /// The access unit behind its header.
    pub(super) fn frame(self, unit: &[u8]) -> Result<Vec<u8>, Error> {
        let length = unit.len() + ADTS_HEADER;
        let told = u16::try_from(length).ok().filter(|length| *length < 1 << 13).ok_or(Error::Long(unit.len()))?;
        let low = |bits: u16| (bits & 0xFF) as u8;
        let header = [
            0xFF,
            0xF1,
            self.profile << 6 | self.rate << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | low(told >> 11),
            low(told >> 3),
            // Of how full the decoder's buffer is nothing is said.
            low((told & 7) << 5) | 0x1F,
            0xFC,
        ];
        Ok([&header[..], unit].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: [u8; 19] = [1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x1F, 1, 0, 4, 0x68, 0xEB, 0xEF, 0x20];

    fn sample(units: &[&[u8]]) -> Vec<u8> {
        let mut sample = Vec::new();
        units.iter().for_each(|unit| nal::push_length_prefixed(&mut sample, unit).unwrap());
        sample
    }

    fn units(sample_units: &[&[u8]], key: bool) -> Vec<Vec<u8>> {
        let stream = Avc::new(&RECORD).unwrap().byte_stream(&sample(sample_units), key).unwrap();
        nal::annex_b(&stream).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn a_key_picture_comes_with_its_parameter_sets_and_every_picture_with_a_delimiter() {
        let (sps, pps): (&[u8], &[u8]) = (&RECORD[8..12], &RECORD[15..19]);
        assert_eq!(units(&[&[0x65, 1], &[0x65, 2]], true), [&[9, 0xF0][..], sps, pps, &[0x65, 1], &[0x65, 2]]);
        assert_eq!(units(&[&[0x41, 1]], false), [&[9, 0xF0][..], &[0x41, 1]]);
    }

    #[test]
    fn what_a_sample_has_of_these_itself_is_not_doubled() {
        assert_eq!(units(&[&[9, 0x10], &[0x67, 7], &[0x68, 8], &[0x65, 1]], true).len(), 4);
        assert_eq!(units(&[&[9, 0x10], &[0x41, 1]], false), [&[9, 0x10][..], &[0x41, 1]]);
    }

    #[test]
    fn a_torn_sample_and_a_torn_record_are_refused() {
        assert!(Avc::new(&RECORD[..10]).is_err());
        let torn = Avc::new(&RECORD).unwrap().byte_stream(&[0, 0, 0, 9, 1], false);
        assert_eq!(torn, Err(Error::Nal(nal::Error::Truncated)));
    }

    #[test]
    fn an_adts_header_tells_rate_channels_and_length() {
        // AAC-LC, 48 kHz, stereo.
        let frame = Adts::new(&[0x11, 0x90, 0x56, 0xE5, 0]).unwrap().frame(&[0xAA, 0xBB, 0xCC]).unwrap();
        assert_eq!(frame, [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x5F, 0xFC, 0xAA, 0xBB, 0xCC]);
        let adts = Adts::new(&[0x11, 0xB0]).unwrap();
        assert_eq!(adts.channels, 6);
        assert_eq!(adts.frame(&[0; 8185]), Err(Error::Long(8185)));
        assert!(adts.frame(&[0; 8184]).is_ok());
        for wrong in [&[0x11][..], &[0x2B, 0x92], &[0x11, 0x80], &[0x17, 0x90]] {
            assert!(Adts::new(wrong).is_err());
        }
    }
}
