//! What AAC's own headers say: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and ADTS (1.A.3). Bytes to values; it
//! knows no container.

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

const AAC_LC: u8 = 2;

/// An AAC-LC stream of 1024 samples an access unit, in one of the usual channel layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) struct AacHeader {
    /// samplingFrequencyIndex.
    rate_index: u8,
    /// channelConfiguration, 1 to 7.
    layout: u8,
}

/// Whether an AudioSpecificConfig says AAC-LC, in one of the usual layouts.
pub(in crate::media) fn is_aac_lc(config: &[u8]) -> bool {
    AacHeader::from_config(config).is_ok()
}

impl AacHeader {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// A clause that says why such access units can't be passed on.
    pub(in crate::media) fn from_config(config: &[u8]) -> Result<Self, &'static str> {
        let &[a, b, ..] = config else { return Err("its AudioSpecificConfig is missing") };
        let header = Self::new(a >> 3, (a & 7) << 1 | b >> 7, b >> 3 & 15)?;
        if b & 0b100 != 0 { Err("its access units hold 960 samples") } else { Ok(header) }
    }

    /// Reads the ADTS header of `frame`, and finds the access unit behind it.
    ///
    /// # Errors
    /// As [`AacHeader::from_config`].
    pub(in crate::media) fn from_adts(frame: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let &[0xFF, b, c, d, e, f, g, ..] = frame else { return Err("it has no ADTS header") };
        if b & 0xF6 != 0xF0 {
            return Err("it has no ADTS header");
        }
        if g & 3 != 0 {
            return Err("several access units share an ADTS header");
        }
        let header = Self::new((c >> 6) + 1, c >> 2 & 15, (c & 1) << 2 | d >> 6)?;
        let length = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f) >> 5;
        let start = if b & 1 == 1 { 7 } else { 9 };
        frame.get(start..length).map(|unit| (header, unit)).ok_or("an ADTS frame is cut short")
    }

    fn new(object_type: u8, rate_index: u8, layout: u8) -> Result<Self, &'static str> {
        if object_type != AAC_LC {
            return Err("it is not AAC-LC");
        }
        if usize::from(rate_index) >= RATES.len() {
            return Err("its sample rate is an unusual one");
        }
        if !(1..=7).contains(&layout) {
            return Err("its channel layout is an unusual one");
        }
        Ok(Self { rate_index, layout })
    }

    /// The AudioSpecificConfig of such a stream.
    pub(in crate::media) fn config(self) -> Vec<u8> {
        vec![AAC_LC << 3 | self.rate_index >> 1, (self.rate_index & 1) << 7 | self.layout << 3]
    }

    /// Samples a second.
    pub(in crate::media) fn rate(self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(0)
    }

    /// Number of channels.
    pub(in crate::media) fn channels(self) -> u16 {
        if self.layout == 7 { 8 } else { self.layout.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_and_written_again() {
        let header = AacHeader::from_config(&[0x11, 0x90, 0x56, 0xE5, 0]).unwrap();
        assert_eq!((header.rate(), header.channels()), (48_000, 2));
        assert_eq!(header.config(), [0x11, 0x90]);
    }

    #[test]
    fn what_no_player_expects_is_refused_with_a_reason() {
        assert_eq!(AacHeader::from_config(&[0x2B, 0x92]), Err("it is not AAC-LC"));
        assert_eq!(AacHeader::from_config(&[0x11, 0x94]), Err("its access units hold 960 samples"));
        assert_eq!(AacHeader::from_config(&[0x11, 0x80]), Err("its channel layout is an unusual one"));
        assert_eq!(AacHeader::from_config(&[0x17, 0x90]), Err("its sample rate is an unusual one"));
        assert!(AacHeader::from_config(&[0x11]).is_err());
    }

    #[test]
    fn an_adts_header_is_taken_off() {
        let frame = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x3F, 0xFC, 0xAA, 0xBB, 0xCC];
        let (header, unit) = AacHeader::from_adts(&frame).unwrap();
        assert_eq!((header.rate(), header.channels(), unit), (48_000, 2, &[0xAA, 0xBB][..]));
    }

    #[test]
    fn an_adts_frame_that_is_cut_short_is_refused() {
        let frame = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x7F, 0xFC, 0xAA, 0xBB, 0xCC];
        assert_eq!(AacHeader::from_adts(&frame), Err("an ADTS frame is cut short"));
        assert_eq!(AacHeader::from_adts(&frame[..6]), Err("it has no ADTS header"));
    }
}
