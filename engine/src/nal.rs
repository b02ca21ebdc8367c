//! NAL units of H.264 and H.265: finding them in a byte stream (ITU-T H.264, Annex B), storing them with lengths
//! (ISO/IEC 14496-15), and the record that tells a decoder about them (`avcC`). Pure.
//!
//! It looks into a sequence parameter set only as far as that record needs; it parses no pictures.

/// H.264 `nal_unit_type` (ITU-T H.264, table 7-1) of the units that matter here.
pub mod avc {
    /// Slice of a picture that is not IDR.
    pub const SLICE: u8 = 1;
    /// Slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// Filler data.
    pub const FILLER: u8 = 12;

    /// The type of an H.264 unit; `None` if it is empty.
    pub fn unit_type(unit: &[u8]) -> Option<u8> {
        unit.first().map(|header| header & 0x1F)
    }
}

/// H.265 `nal_unit_type` (ITU-T H.265, table 7-1) of the units that matter here.
pub mod hevc {
    /// Slice of an IDR picture, with leading pictures that can be decoded or with none.
    pub const IDR: std::ops::RangeInclusive<u8> = 19..=20;
    /// The first type that is no slice; what is below is.
    pub const FIRST_NOT_VCL: u8 = 32;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// Filler data.
    pub const FILLER: u8 = 38;
    /// Supplemental enhancement information that comes before the picture.
    pub const PREFIX_SEI: u8 = 39;

    /// The type of an H.265 unit; `None` if it is empty.
    pub fn unit_type(unit: &[u8]) -> Option<u8> {
        unit.first().map(|header| header >> 1 & 63)
    }
}

/// Why NAL units can't be read or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A length points past the end of the data.
    #[error("a NAL unit is longer than the data that holds it")]
    Truncated,
    /// A unit can't be stored with a length of this many bytes.
    #[error("a NAL unit of {0} bytes does not fit its length field")]
    TooLong(usize),
    /// A parameter set that a decoder configuration needs is missing or unreadable.
    #[error("the {0} is missing or unreadable")]
    ParameterSet(&'static str),
}

/// The units of a byte stream (Annex B), without start codes and trailing zeros. Empty units are skipped.
pub fn annex_b(stream: &[u8]) -> AnnexB<'_> {
    let first = start_code(stream, 0).map_or(stream.len(), |at| at + 3);
    AnnexB { stream, at: first }
}

/// Iterator over the units of a byte stream; see [`annex_b`].
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    stream: &'a [u8],
    at: usize,
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.stream.len() {
            let end = start_code(self.stream, self.at);
            let unit = without_trailing_zeros(&self.stream[self.at..end.unwrap_or(self.stream.len())]);
            self.at = end.map_or(self.stream.len(), |at| at + 3);
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// The units of a sample that stores them with lengths of `length_size` bytes (1 to 4). After an error there is
/// nothing more.
pub fn length_prefixed(sample: &[u8], length_size: usize) -> LengthPrefixed<'_> {
    LengthPrefixed { rest: sample, length_size: length_size.clamp(1, 4) }
}

/// Iterator over the units of a sample; see [`length_prefixed`].
#[derive(Clone, Debug)]
pub struct LengthPrefixed<'a> {
    rest: &'a [u8],
    length_size: usize,
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.rest.split_at_checked(self.length_size).and_then(|(length, rest)| {
            let length = length.iter().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte));
            rest.split_at_checked(length)
        });
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(unit, _)| unit).ok_or(Error::Truncated))
    }
}

/// How the units of a stream's packets are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiting {
    /// By start codes before them.
    StartCodes,
    /// By lengths of so many bytes before them, 1 to 4.
    Lengths(usize),
}

impl Delimiting {
    /// How packets of H.264 with this extradata do: by lengths where that is an `avcC` (ISO/IEC 14496-15, 5.3.3.1), whose
    /// byte 4 ends in lengthSizeMinusOne.
    pub fn of_avc(extradata: &[u8]) -> Self {
        match extradata {
            [1, _, _, _, size, ..] => Self::Lengths(usize::from(size & 3) + 1),
            _ => Self::StartCodes,
        }
    }

    /// How packets of H.265 with this extradata do: by lengths where that is an `hvcC` (ISO/IEC 14496-15, 8.3.3.1), whose
    /// byte 21 ends in lengthSizeMinusOne.
    pub fn of_hevc(extradata: &[u8]) -> Self {
        match extradata.get(21) {
            Some(size) if !extradata.starts_with(&[0, 0]) => Self::Lengths(usize::from(size & 3) + 1),
            _ => Self::StartCodes,
        }
    }

    /// The units of a packet.
    pub fn units(self, packet: &[u8]) -> Units<'_> {
        match self {
            Self::Lengths(size) if !has_start_codes(packet, size) => Units::Lengths(length_prefixed(packet, size)),
            Self::StartCodes | Self::Lengths(_) => Units::StartCodes(annex_b(packet)),
        }
    }
}

/// Whether a packet has start codes although lengths of `size` bytes are promised: some writers put them into containers
/// that ask for lengths. `00 00 00 01` is also the length of a unit that is a header alone (an end of sequence of H.264), so
/// start codes are believed only where lengths don't add up.
fn has_start_codes(packet: &[u8], size: usize) -> bool {
    size == 4 && packet.starts_with(&[0, 0, 0, 1]) && length_prefixed(packet, size).any(|unit| unit.is_err())
}

/// Iterator over the units of a packet; see [`Delimiting::units`]. After an error there is nothing more.
#[derive(Clone, Debug)]
pub enum Units<'a> {
    /// Behind start codes.
    StartCodes(AnnexB<'a>),
    /// Behind lengths.
    Lengths(LengthPrefixed<'a>),
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::StartCodes(units) => units.next().map(Ok),
            Self::Lengths(units) => units.next(),
        }
    }
}

/// Appends `unit` to `sample` behind a length of four bytes.
///
/// # Errors
/// [`Error::TooLong`] from 4 GiB on.
pub fn push_length_prefixed(sample: &mut Vec<u8>, unit: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(unit.len()).map_err(|_| Error::TooLong(unit.len()))?;
    sample.extend_from_slice(&length.to_be_bytes());
    sample.extend_from_slice(unit);
    Ok(())
}

/// The payload of a unit (header byte included) with the emulation prevention bytes taken out (ITU-T H.264, 7.3.1).
pub fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// A unit (header included) with emulation prevention bytes put in (ITU-T H.264, 7.4.1.1): the reverse of [`unescaped`].
pub fn escaped(payload: &[u8]) -> Vec<u8> {
    let mut unit = Vec::with_capacity(payload.len() + payload.len() / 64 + 1);
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

/// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1) for samples with lengths of four bytes.
///
/// # Errors
/// [`Error::ParameterSet`] when there is no sequence or picture parameter set among `units` or the former can't be
/// read; [`Error::TooLong`] when one of them exceeds 64 KiB.
pub fn avc_config<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let (mut sps, mut pps): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    for unit in units {
        match avc::unit_type(unit) {
            Some(avc::SPS) if !sps.contains(&unit) => sps.push(unit),
            Some(avc::PPS) if !pps.contains(&unit) => pps.push(unit),
            _ => {}
        }
    }
    if pps.is_empty() {
        return Err(Error::ParameterSet("picture parameter set"));
    }
    let facts = sps.first().and_then(|unit| SpsFacts::read(unit));
    let facts = facts.ok_or(Error::ParameterSet("sequence parameter set"))?;
    let mut record = vec![1, facts.profile, facts.compatibility, facts.level, 0xFC | 3];
    push_sets(&mut record, 0xE0, 31, &sps)?;
    push_sets(&mut record, 0, 255, &pps)?;
    if let Some(format) = facts.high {
        let depths = [0xF8 | format.luma_depth_minus8, 0xF8 | format.chroma_depth_minus8];
        record.extend_from_slice(&[0xFC | format.chroma_format, depths[0], depths[1], 0]);
    }
    Ok(record)
}

/// The sequence and the picture parameter sets in an `AVCDecoderConfigurationRecord`; `None` if it is cut short or one of
/// them is empty.
pub fn avc_config_sets(record: &[u8]) -> Option<[Vec<&[u8]>; 2]> {
    let (&[1, _, _, _, _], rest) = record.split_first_chunk()? else { return None };
    let (sps, rest) = take_sets(rest, 31)?;
    let (pps, _) = take_sets(rest, 255)?;
    Some([sps, pps])
}

/// Sets behind their number, of whose byte `mask` counts, and what follows them.
fn take_sets(record: &[u8], mask: u8) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = record.split_first()?;
    let mut sets = Vec::new();
    for _ in 0..count & mask {
        let (length, after) = rest.split_first_chunk()?;
        let (set, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        sets.push(Some(set).filter(|set| !set.is_empty())?);
        rest = after;
    }
    Some((sets, rest))
}

fn push_sets(record: &mut Vec<u8>, reserved: u8, most: u8, sets: &[&[u8]]) -> Result<(), Error> {
    let count = u8::try_from(sets.len()).ok().filter(|&count| count <= most).ok_or(Error::TooLong(sets.len()))?;
    record.push(reserved | count);
    for set in sets {
        let length = u16::try_from(set.len()).map_err(|_| Error::TooLong(set.len()))?;
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(set);
    }
    Ok(())
}

/// What `avcC` repeats of a sequence parameter set.
struct SpsFacts {
    profile: u8,
    compatibility: u8,
    level: u8,
    high: Option<HighFormat>,
}

/// The sample format that the record tells from the High profiles on.
struct HighFormat {
    chroma_format: u8,
    luma_depth_minus8: u8,
    chroma_depth_minus8: u8,
}

impl SpsFacts {
    /// ITU-T H.264, 7.3.2.1.1, up to `bit_depth_chroma_minus8`.
    fn read(unit: &[u8]) -> Option<Self> {
        let payload = unescaped(unit);
        let &[_, profile, compatibility, level, ref rest @ ..] = payload.as_slice() else { return None };
        let high = if matches!(profile, 66 | 77 | 88) { None } else { Some(HighFormat::read(rest)?) };
        Some(Self { profile, compatibility, level, high })
    }
}

impl HighFormat {
    fn read(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits { payload, at: 0 };
        let _seq_parameter_set_id = bits.exp_golomb()?;
        let chroma_format = bits.exp_golomb().filter(|&format| format <= 3)?;
        if chroma_format == 3 {
            bits.bit()?; // separate_colour_plane_flag
        }
        let luma = bits.exp_golomb().filter(|&depth| depth <= 6)?;
        let chroma = bits.exp_golomb().filter(|&depth| depth <= 6)?;
        Some(Self {
            chroma_format: u8::try_from(chroma_format).ok()?,
            luma_depth_minus8: u8::try_from(luma).ok()?,
            chroma_depth_minus8: u8::try_from(chroma).ok()?,
        })
    }
}

/// Reads bits, the most significant first (ITU-T H.264, 7.2).
pub(crate) struct Bits<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<u32> {
        let byte = self.payload.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// `u(n)`: a number of `count` bits, 64 at most.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u64> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u64::from(self.bit()?)))
    }

    /// A number of at most eight bits.
    pub(crate) fn small(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.bits(count)?).ok()
    }

    /// Passes over so many bits, all of which are there.
    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        let at = self.at + count as usize;
        (at <= 8 * self.payload.len()).then(|| self.at = at)
    }

    /// Passes over a bit, and where it is set over so many more.
    pub(crate) fn skip_if_told(&mut self, count: u32) -> Option<()> {
        let is_told = self.bit()? == 1;
        self.skip(if is_told { count } else { 0 })
    }

    /// `ue(v)` (ITU-T H.264, 9.1).
    pub(crate) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        let mut value = 1_u64;
        for _ in 0..zeros {
            value = value << 1 | u64::from(self.bit()?);
        }
        u32::try_from(value - 1).ok()
    }
}

/// Where the next `00 00 01` at or after `from` begins.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(&third) = stream.get(at + 2) {
        match third {
            0 => at += 1,
            1 if stream[at] == 0 && stream[at + 1] == 0 => return Some(at),
            _ => at += 3,
        }
    }
    None
}

fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().rev().take_while(|&&byte| byte == 0).count();
    &unit[..unit.len() - zeros]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_found_behind_short_and_long_start_codes() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 9, 0, 0, 0, 1, 0x65];
        let units: Vec<_> = annex_b(&stream).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 9], &[0x65]]);
    }

    #[test]
    fn data_without_a_start_code_holds_no_unit() {
        assert_eq!(annex_b(&[]).next(), None);
        assert_eq!(annex_b(&[0, 0, 2, 1]).next(), None);
        assert_eq!(annex_b(&[0, 0, 1]).next(), None);
    }

    #[test]
    fn a_length_past_the_end_is_an_error_and_the_last_word() {
        let mut units = length_prefixed(&[0, 0, 0, 1, 0x65, 0, 0, 0, 2, 1], 4);
        assert_eq!(units.next(), Some(Ok(&[0x65][..])));
        assert_eq!(units.next(), Some(Err(Error::Truncated)));
        assert_eq!(units.next(), None);
    }

    #[test]
    fn start_codes_are_believed_where_lengths_do_not_add_up() {
        let units = |packet: &[u8]| -> Vec<Vec<u8>> {
            Delimiting::Lengths(4).units(packet).map(|unit| unit.unwrap().to_vec()).collect()
        };
        assert_eq!(units(&[0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x65, 1]), [vec![9, 0xF0], vec![0x65, 1]]);
        assert_eq!(units(&[0, 0, 0, 1, 10, 0, 0, 0, 1, 0x67, 0x42, 0xC0]), [vec![10], vec![0x67, 0x42, 0xC0]]);
        assert_eq!(units(&[0, 0, 0, 1, 10, 0, 0, 0, 2, 0x65, 1]), [vec![10], vec![0x65, 1]], "an end of sequence");
        assert_eq!(units(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 11]), [vec![0x65, 1], vec![11]], "an end of stream");
    }

    #[test]
    fn emulation_prevention_bytes_are_taken_out_and_nothing_else() {
        assert_eq!(unescaped(&[0x67, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0x67, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(unescaped(&[0x67, 0, 3, 0]), [0x67, 0, 3, 0]);
    }

    #[test]
    fn the_record_of_a_high_profile_tells_the_sample_format() {
        // ue: id 0 = 1, chroma_format 1 = 010, luma 2 = 011, chroma 2 = 011 -> 1010 0110 11..
        let (sps, pps) = ([0x67, 110, 0, 40, 0b1010_0110, 0b1110_0000], [0x68, 0xEE]);
        let record = avc_config([&sps[..], &pps[..]]).unwrap();
        let mut expected = vec![1, 110, 0, 40, 0xFF, 0xE1, 0, 6];
        expected.extend_from_slice(&sps);
        expected.extend_from_slice(&[1, 0, 2, 0x68, 0xEE, 0xFD, 0xFA, 0xFA, 0]);
        assert_eq!(record, expected);
    }

    #[test]
    fn the_record_of_a_main_profile_ends_with_the_picture_parameter_sets() {
        let record = avc_config([&[0x67, 77, 0x40, 31, 0x80][..], &[0x68, 0xEE]]).unwrap();
        assert_eq!(record, [1, 77, 0x40, 31, 0xFF, 0xE1, 0, 5, 0x67, 77, 0x40, 31, 0x80, 1, 0, 2, 0x68, 0xEE]);
    }

    #[test]
    fn the_parameter_sets_of_a_record_are_read_back_and_cut_off_or_empty_ones_are_none() {
        let (sps, pps) = ([0x67, 77, 0x40, 31, 0x80], [0x68, 0xEE]);
        let record = avc_config([&sps[..], &pps]).unwrap();
        assert_eq!(avc_config_sets(&record), Some([vec![&sps[..]], vec![&pps]]));
        assert!((0..record.len()).all(|end| avc_config_sets(&record[..end]).is_none()));
        assert_eq!(avc_config_sets(&[1, 77, 0x40, 31, 0xFF, 0xE1, 0, 0, 1, 0, 1, 0x68]), None);
    }

    #[test]
    fn a_missing_or_cut_off_parameter_set_is_refused() {
        let (sps, pps) = ([0x67, 77, 0x40, 31, 0x80], [0x68, 0xEE]);
        assert_eq!(avc_config([&sps[..]]), Err(Error::ParameterSet("picture parameter set")));
        assert_eq!(avc_config([&pps[..]]), Err(Error::ParameterSet("sequence parameter set")));
        assert_eq!(avc_config([&[0x67, 100, 0][..], &pps]), Err(Error::ParameterSet("sequence parameter set")));
        assert_eq!(avc_config([&[0x67, 100, 0, 40][..], &pps]), Err(Error::ParameterSet("sequence parameter set")));
    }

    /// A unit as an encoder writes it: no start code inside and no zero at its end.
    fn unit() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0_u8..5, 1..40).prop_map(|mut bytes| {
            for at in 2..bytes.len() {
                if bytes[at - 2] == 0 && bytes[at - 1] == 0 && bytes[at] < 3 {
                    bytes[at] = 3;
                }
            }
            bytes.push(0x80);
            bytes
        })
    }

    proptest! {
        #[test]
        fn what_is_escaped_has_no_start_code_and_comes_back(bytes in proptest::collection::vec(0_u8..5, 0..60)) {
            let unit = escaped(&bytes);
            prop_assert!(!unit.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{:?}", unit);
            prop_assert_eq!(unescaped(&unit), bytes);
        }

        #[test]
        fn units_survive_a_byte_stream_and_a_sample(units in proptest::collection::vec(unit(), 0..6), zeros in 0_usize..3) {
            let (mut stream, mut sample) = (Vec::new(), Vec::new());
            for unit in &units {
                stream.extend(std::iter::repeat_n(0, zeros));
                stream.extend_from_slice(&[0, 0, 1]);
                stream.extend_from_slice(unit);
                push_length_prefixed(&mut sample, unit).unwrap();
            }
            prop_assert_eq!(annex_b(&stream).collect::<Vec<_>>(), units.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let read: Result<Vec<_>, _> = length_prefixed(&sample, 4).collect();
            prop_assert_eq!(read.unwrap(), units.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(0_u8..4, 0..60), size in 0_usize..6) {
            for unit in annex_b(&bytes) {
                prop_assert!(!unit.is_empty() && !unit.ends_with(&[0]));
            }
            let units: Vec<_> = length_prefixed(&bytes, size).collect();
            prop_assert!(units.iter().rev().skip(1).all(Result::is_ok));
            let _ = avc_config([&[&[0x67, 100, 0, 40], bytes.as_slice()].concat()[..], &[0x68, 1]]);
        }
    }
}
