//! A chunk's packets as they travel to who decodes them: what a decoder must be told, and then packet after packet. Pure; it
//! reads any bytes, and trusts no length before the bytes are there.
//!
//! ```text
//! "VTPK", version u16, length u32, codec parameters, first u32, end u32      (little-endian, as all numbers)
//! then for each packet from first to end, or for some of them, in ascending order:
//!   place u32, present u8 (1: pts, 2: dts), pts i64, dts i64, duration i64, flags u32,
//!   side data u8, each: kind u32, length u32, bytes
//!   length u32, bytes, CRC-32 of all of the packet u32
//! then the place `end`
//! ```
//! Codec parameters are opaque here: whoever decodes knows them.

use std::io::{self, Read, Write};
use std::ops::Range;

use crate::units::PacketIndex;

const MAGIC: [u8; 4] = *b"VTPK";
const VERSION: u16 = 1;
/// No field of bytes is longer.
const LONGEST: u32 = 1 << 30;
/// No packet has more pieces of side data.
const MOST_SIDE_DATA: usize = 64;
/// Bytes that are made room for before they are there.
const ROOM: u32 = 1 << 16;

/// A packet as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketRecord {
    /// Presentation time in the stream's time base.
    pub pts: Option<i64>,
    /// Decode time in the stream's time base.
    pub dts: Option<i64>,
    /// Duration in the stream's time base; 0 where it is not told.
    pub duration: i64,
    /// FFmpeg's flags.
    pub flags: u32,
    /// What containers keep beside the payload: FFmpeg's number of the kind, and the bytes.
    pub side_data: Vec<(u32, Vec<u8>)>,
    /// The payload.
    pub data: Vec<u8>,
}

/// What an archive says before its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What a decoder must be told.
    pub parameters: Vec<u8>,
    /// The packets that it was made for.
    pub packets: Range<u32>,
}

/// Why bytes are no archive, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They can't be read, or end too soon.
    #[error("the chunk's packets can't be read: {0}")]
    Io(#[from] io::Error),
    /// Another version wrote them.
    #[error(
        "the chunk's packets were written by another version ({found}; this one reads {VERSION}): update all nodes"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// They say what no archive says.
    #[error("the chunk's packets are damaged: {0}")]
    Damaged(&'static str),
}

/// Writes an archive.
pub struct Writer<W> {
    out: W,
    next: u32,
    end: u32,
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// Those of `out`; parameters that are too long.
    pub fn new(mut out: W, head: &Head) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&length(&head.parameters)?)?;
        out.write_all(&head.parameters)?;
        out.write_all(&[head.packets.start, head.packets.end].map(u32::to_le_bytes).concat())?;
        Ok(Self { out, next: head.packets.start, end: head.packets.end, record: Vec::new() })
    }

    /// Adds the packet that has this place.
    ///
    /// # Errors
    /// Those of `out`; a packet that is too long, or is not behind the one before.
    pub fn packet(&mut self, place: PacketIndex, packet: &PacketRecord) -> io::Result<()> {
        if !(self.next..self.end).contains(&place.0) {
            return Err(io::Error::other("a packet that is not the archive's, or not in order"));
        }
        self.next = place.0 + 1;
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.extend(place.0.to_le_bytes());
        record.push(u8::from(packet.pts.is_some()) | u8::from(packet.dts.is_some()) << 1);
        for time in [packet.pts.unwrap_or(0), packet.dts.unwrap_or(0), packet.duration] {
            record.extend(time.to_le_bytes());
        }
        record.extend(packet.flags.to_le_bytes());
        let count = u8::try_from(packet.side_data.len()).ok().filter(|count| usize::from(*count) <= MOST_SIDE_DATA);
        record.push(count.ok_or_else(|| io::Error::other("a packet with too much side data"))?);
        for (kind, bytes) in &packet.side_data {
            record.extend(kind.to_le_bytes());
            record.extend(length(bytes)?);
            record.extend(bytes);
        }
        record.extend(length(&packet.data)?);
        record.extend(&packet.data);
        let sum = crc32fast::hash(&record);
        record.extend(sum.to_le_bytes());
        self.out.write_all(&record)?;
        self.record = record;
        Ok(())
    }

    /// Ends it: without this it is not whole.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.end.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    length.map(u32::to_le_bytes).ok_or_else(|| io::Error::other("a field that is too long"))
}

/// Reads an archive.
pub struct Reader<R> {
    input: R,
    head: Head,
    /// The least place that the next packet may have.
    next: u32,
    is_at_end: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read one.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(mut input: R) -> Result<Self, Error> {
        let mut fields = Fields::new(&mut input);
        if fields.array()? != MAGIC {
            return Err(Error::Damaged("they are something else"));
        }
        let found = u16::from_le_bytes(fields.array()?);
        if found != VERSION {
            return Err(Error::Version { found });
        }
        let parameters = fields.bytes()?;
        let packets = fields.number()?..fields.number()?;
        if packets.start > packets.end {
            return Err(Error::Damaged("they end before they begin"));
        }
        Ok(Self { input, next: packets.start, head: Head { parameters, packets }, is_at_end: false })
    }

    /// What it says before its packets.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next packet; `None` behind the last.
    ///
    /// # Errors
    /// [`Error`]. What follows it can't be read either.
    pub fn next_packet(&mut self) -> Result<Option<(PacketIndex, PacketRecord)>, Error> {
        if self.is_at_end {
            return Ok(None);
        }
        let mut fields = Fields::new(&mut self.input);
        let place = fields.number()?;
        if place == self.head.packets.end {
            // A damaged place may look like the end.
            if (&mut self.input).take(1).read_to_end(&mut Vec::new())? > 0 {
                return Err(Error::Damaged("something behind their end"));
            }
            self.is_at_end = true;
            return Ok(None);
        }
        if !(self.next..self.head.packets.end).contains(&place) {
            return Err(Error::Damaged("a packet out of place"));
        }
        let [present] = fields.array()?;
        let mut time = || fields.array().map(i64::from_le_bytes);
        let (pts, dts, duration) = (time()?, time()?, time()?);
        let flags = fields.number()?;
        let [count] = fields.array()?;
        if present > 3 || usize::from(count) > MOST_SIDE_DATA {
            return Err(Error::Damaged("a packet that says what none says"));
        }
        let side_data = (0..count).map(|_| Ok((fields.number()?, fields.bytes()?))).collect::<Result<_, Error>>()?;
        let data = fields.bytes()?;
        let sum = fields.sum.finalize();
        if u32::from_le_bytes(Fields::new(&mut self.input).array()?) != sum {
            return Err(Error::Damaged("a packet whose checksum is another"));
        }
        self.next = place + 1;
        let told = |bit: u8, time: i64| (present & bit != 0).then_some(time);
        let packet = PacketRecord { pts: told(1, pts), dts: told(2, dts), duration, flags, side_data, data };
        Ok(Some((PacketIndex(place), packet)))
    }
}

/// Fields one after the other, added up.
struct Fields<'a, R> {
    input: &'a mut R,
    sum: crc32fast::Hasher,
}

impl<'a, R: Read> Fields<'a, R> {
    fn new(input: &'a mut R) -> Self {
        Self { input, sum: crc32fast::Hasher::new() }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes behind their length.
    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let length = self.number()?;
        if length > LONGEST {
            return Err(Error::Damaged("a field that is too long"));
        }
        let mut bytes = Vec::with_capacity(length.min(ROOM) as usize);
        if (&mut *self.input).take(length.into()).read_to_end(&mut bytes)? < length as usize {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

/// Any bytes, for the fuzz targets: what is read is what can be written.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    let mut written = Writer::new(Vec::new(), reader.head()).unwrap_or_else(|error| panic!("{error}"));
    while let Ok(Some((place, packet))) = reader.next_packet() {
        written.packet(place, &packet).unwrap_or_else(|error| panic!("{error}"));
    }
    let bytes = written.finish().unwrap_or_else(|error| panic!("{error}"));
    let length = bytes.len() - 4;
    assert_eq!(bytes[..length], data[..length]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::each_damaged;

    fn packet() -> impl Strategy<Value = PacketRecord> {
        let side_data = prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..9)), 0..3);
        let data = prop::collection::vec(any::<u8>(), 0..40);
        (any::<Option<i64>>(), any::<Option<i64>>(), any::<i64>(), any::<u32>(), side_data, data).prop_map(
            |(pts, dts, duration, flags, side_data, data)| PacketRecord { pts, dts, duration, flags, side_data, data },
        )
    }

    fn written(head: &Head, packets: &[(PacketIndex, PacketRecord)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), head).unwrap();
        packets.iter().for_each(|(place, packet)| writer.packet(*place, packet).unwrap());
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(PacketIndex, PacketRecord)>, Error> {
        let mut reader = Reader::new(bytes)?;
        std::iter::from_fn(|| reader.next_packet().transpose()).collect()
    }

    fn example() -> Vec<u8> {
        let head = Head { parameters: b"h264".to_vec(), packets: 7..10 };
        let side_data = vec![(3, vec![1, 2])];
        let packet = |pts, data: &[u8]| PacketRecord { pts, data: data.to_vec(), ..PacketRecord::default() };
        let packets = [
            (
                PacketIndex(7),
                PacketRecord { dts: Some(-1), duration: 2, flags: 1, side_data, ..packet(Some(1), b"abc") },
            ),
            (PacketIndex(9), packet(None, b"")),
        ];
        written(&head, &packets)
    }

    #[test]
    fn the_format_stays_as_it_is() {
        let golden = concat!(
            "5654504b",
            "0100",
            "04000000",
            "68323634",
            "07000000",
            "0a000000", // h264, packets 7 to 10
            "07000000",
            "03",
            "0100000000000000",
            "ffffffffffffffff",
            "0200000000000000",
            "01000000",
            "01",
            "03000000",
            "02000000",
            "0102",
            "03000000",
            "616263",
            "809f5d33",
        );
        let hex: String = example()[..golden.len() / 2].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn packets_out_of_place_are_not_written_and_an_archive_cut_off_is_not_read() {
        let head = Head { parameters: Vec::new(), packets: 7..10 };
        for places in [[6, 7], [8, 8], [9, 10]] {
            let mut writer = Writer::new(Vec::new(), &head).unwrap();
            let all = places.map(|place| writer.packet(PacketIndex(place), &PacketRecord::default()).is_ok());
            assert!(all.contains(&false), "{places:?}");
        }
        let whole = example();
        assert_eq!(read(&whole).unwrap().len(), 2);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_place_that_looks_like_the_end_does_not_end_it() {
        let mut bytes = example();
        let second = bytes.len() - 4 - 42;
        assert_eq!(bytes[second], 9);
        bytes[second] = 10;
        assert!(matches!(read(&bytes), Err(Error::Damaged("something behind their end"))));
    }

    #[test]
    fn another_version_is_told() {
        let mut bytes = example();
        bytes[4] = 2;
        assert!(matches!(read(&bytes), Err(Error::Version { found: 2 })));
    }

    #[test]
    fn no_damage_makes_the_reader_panic() {
        each_damaged(&[example()], 20_000, read_any);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            parameters in prop::collection::vec(any::<u8>(), 0..40),
            first in 0..1000_u32,
            packets in prop::collection::vec(prop::option::of(packet()), 0..6),
        ) {
            let head = Head { parameters, packets: first..first + packets.len() as u32 };
            let packets: Vec<(PacketIndex, PacketRecord)> = (first..).map(PacketIndex).zip(packets)
                .filter_map(|(place, packet)| Some((place, packet?))).collect();
            let bytes = written(&head, &packets);
            prop_assert_eq!(read(&bytes).unwrap(), packets);
            let reader = Reader::new(&bytes[..]).unwrap();
            prop_assert_eq!(reader.head(), &head);
        }

        #[test]
        fn a_changed_byte_in_a_packet_is_noticed(at in 0..200_usize, to in any::<u8>()) {
            let mut bytes = example();
            let (first, last) = (22, bytes.len() - 4);
            let at = first + at % (last - first);
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(read(&bytes).is_err());
        }
    }
}
