//! Reads a transport stream back, and trusts nothing of it: packets, counters, tables and their checksums, PES headers, the
//! program's clock. Pure; it knows of the writer nothing but what the standard says.

use std::collections::BTreeMap;
use std::ops::Range;

use super::clock::between;

const PACKET: usize = 188;
/// Null packets, which carry nothing.
const NULL: u16 = 0x1FFF;

/// What is wrong with a stream.
pub(super) type Damage = &'static str;

/// A segment as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// PID and `stream_type` of the streams of its program.
    pub(super) streams: Vec<(u16, u8)>,
    /// What each PES packet holds, in the order in which they start.
    pub(super) units: Vec<Pes>,
    /// How often the program's clock is told.
    pub(super) clocks: usize,
}

impl Segment {
    /// `stream_type` of a stream.
    fn kind(&self, pid: u16) -> Option<u8> {
        self.streams.iter().find(|(it, _)| *it == pid).map(|(_, kind)| *kind)
    }
}

/// A PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pes {
    pub(super) pid: u16,
    /// When it is shown, in ticks modulo 2^33.
    pub(super) pts: u64,
    /// When it is decoded.
    pub(super) dts: u64,
    /// Whether it is marked as a place where decoding can start.
    pub(super) random_access: bool,
    /// What follows its header.
    pub(super) bytes: Vec<u8>,
    /// From its first packet to its last, in bytes of the segment.
    pub(super) range: Range<usize>,
}

/// A PES packet that has not ended.
#[derive(Clone, Debug)]
struct Open {
    random_access: bool,
    bytes: Vec<u8>,
    range: Range<usize>,
    /// What the clock said last when its last packet came.
    clock: Option<u64>,
}

/// Reads segment after segment of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    counters: BTreeMap<u16, u8>,
    /// What the program's clock said last.
    clock: Option<u64>,
    map: Option<u16>,
    clock_pid: Option<u16>,
}

/// A packet's own fields, and what it carries.
struct Packet<'a> {
    pid: u16,
    starts: bool,
    counter: u8,
    clock: Option<u64>,
    random_access: bool,
    payload: Option<&'a [u8]>,
}

impl Reader {
    /// The next segment. It has to open with the tables, every counter goes on from the segment before, and the clock is
    /// told at least every tenth of a second, before the first unit, and never behind when a unit is decoded.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> Result<Segment, Damage> {
        let (mut found, mut open) = (Segment::default(), BTreeMap::<u16, Open>::new());
        // The tables of this segment, not of the one before.
        (self.map, self.clock_pid) = (None, None);
        if bytes.is_empty() || !bytes.len().is_multiple_of(PACKET) {
            return Err("it is no whole number of packets");
        }
        for (place, raw) in bytes.chunks_exact(PACKET).enumerate() {
            let at = place * PACKET;
            let packet = parse(raw)?;
            if packet.pid == NULL {
                continue;
            }
            self.count(&packet)?;
            if let Some(clock) = packet.clock {
                self.tell(packet.pid, clock)?;
                found.clocks += 1;
            }
            let Some(payload) = packet.payload else { continue };
            if packet.pid == 0 {
                let map = program(section(payload, packet.starts, 0)?)?;
                if self.map.replace(map).is_some_and(|before| before != map) {
                    return Err("two programs");
                }
            } else if Some(packet.pid) == self.map {
                let (clock, streams) = streams(section(payload, packet.starts, 2)?)?;
                if !found.streams.is_empty() && found.streams != streams {
                    return Err("its streams change");
                }
                (self.clock_pid, found.streams) = (Some(clock), streams);
            } else {
                if !found.streams.iter().any(|(pid, _)| *pid == packet.pid) {
                    return Err("a packet of a stream that the tables before it don't tell of");
                }
                if packet.starts {
                    if let Some(ended) = open.remove(&packet.pid) {
                        found.units.push(close(packet.pid, found.kind(packet.pid), ended)?);
                    }
                    let (random_access, range) = (packet.random_access, at..at);
                    let fresh = Open { random_access, bytes: Vec::new(), range, clock: None };
                    open.insert(packet.pid, fresh);
                    if found.clocks == 0 {
                        return Err("a unit before the clock");
                    }
                }
                let unit = open.get_mut(&packet.pid).ok_or("a stream that begins inside of a PES packet")?;
                unit.bytes.extend_from_slice(payload);
                (unit.range.end, unit.clock) = (at + PACKET, self.clock);
            }
        }
        for (pid, ended) in open {
            found.units.push(close(pid, found.kind(pid), ended)?);
        }
        if found.streams.is_empty() {
            return Err("no tables");
        }
        found.units.sort_by_key(|unit| unit.range.start);
        Ok(found)
    }

    fn count(&mut self, packet: &Packet<'_>) -> Result<(), Damage> {
        let last = self.counters.insert(packet.pid, packet.counter);
        let due = |last: u8| if packet.payload.is_some() { (last + 1) & 15 } else { last };
        match last {
            Some(last) if packet.counter != due(last) => Err("a counter that does not go on"),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, pid: u16, clock: u64) -> Result<(), Damage> {
        if self.clock_pid.is_some_and(|due| due != pid) {
            return Err("a clock in another stream than the tables say");
        }
        match self.clock.replace(clock).map(|before| between(before, clock)) {
            Some(..=0) => Err("a clock that stands or goes back"),
            Some(9_001..) => Err("a clock that is not told for a tenth of a second"),
            _ => Ok(()),
        }
    }
}

/// A PES packet that has ended.
fn close(pid: u16, kind: Option<u8>, open: Open) -> Result<Pes, Damage> {
    let Open { random_access, bytes, range, clock } = open;
    let &[0, 0, 1, id, high, low, marks, flags, length, ..] = &bytes[..] else {
        return Err("a PES packet without its header");
    };
    let told = usize::from(u16::from_be_bytes([high, low]));
    let is_video = kind == Some(0x1B);
    // stream_id of the first stream of pictures and of sound (table 2-22); a unit starts here; and nothing but times follows.
    if id != if is_video { 0xE0 } else { 0xC0 } || marks != 0x84 || flags & 0x3F != 0 {
        return Err("a PES packet of another kind");
    }
    if (told == 0 && !is_video) || (told != 0 && told + 6 != bytes.len()) {
        return Err("a PES packet that is not as long as it says");
    }
    let header = 9 + usize::from(length);
    let time = |at: usize, mark: u8| bytes.get(at..at + 5).filter(|_| at + 5 <= header).and_then(|it| time(it, mark));
    let (pts, dts) = match flags >> 6 {
        2 => (time(9, 2), time(9, 2)),
        3 => (time(9, 3), time(14, 1)),
        _ => (None, None),
    };
    let (Some(pts), Some(dts)) = (pts, dts) else { return Err("a PES packet without times") };
    if between(dts, pts) < 0 {
        return Err("a unit that is shown before it is decoded");
    }
    if clock.is_some_and(|clock| between(clock, dts) < 0) {
        return Err("a unit that comes after it is due");
    }
    let bytes = bytes.get(header..).ok_or("a PES header that is cut off")?.to_vec();
    Ok(Pes { pid, pts, dts, random_access, bytes, range })
}

fn parse(raw: &[u8]) -> Result<Packet<'_>, Damage> {
    let &[0x47, high, low, control, ..] = raw else { return Err("a packet without its sync byte") };
    if high & 0x80 != 0 || control & 0xC0 != 0 {
        return Err("a packet that is marked as damaged or scrambled");
    }
    let (has_field, has_payload) = (control & 0x20 != 0, control & 0x10 != 0);
    let mut packet = Packet {
        pid: u16::from_be_bytes([high & 0x1F, low]),
        starts: high & 0x40 != 0,
        counter: control & 15,
        clock: None,
        random_access: false,
        payload: None,
    };
    let mut rest = raw.get(4..).unwrap_or_default();
    if has_field {
        let (length, behind) = rest.split_first().ok_or("a packet that is cut off")?;
        let (field, payload) =
            behind.split_at_checked(usize::from(*length)).ok_or("an adaptation field beyond its packet")?;
        if let Some((flags, behind)) = field.split_first() {
            if flags & 0x80 != 0 {
                return Err("a discontinuity");
            }
            packet.random_access = flags & 0x40 != 0;
            if flags & 0x10 != 0 {
                let clock = behind.first_chunk::<6>().ok_or("a clock that is cut off")?;
                let clock = clock.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                packet.clock = Some(clock >> 15);
            }
        }
        rest = payload;
    }
    if !has_payload && !rest.is_empty() || has_payload && rest.is_empty() {
        return Err("a packet whose adaptation field does not fill what it should");
    }
    packet.payload = has_payload.then_some(rest);
    Ok(packet)
}

/// The body of a section that lies in one packet (2.4.4), whose checksum is right.
fn section(payload: &[u8], starts: bool, table: u8) -> Result<&[u8], Damage> {
    let wrong = "a table that can't be read";
    let (&pointer, rest) = payload.split_first().filter(|_| starts).ok_or(wrong)?;
    let rest = rest.get(usize::from(pointer)..).ok_or(wrong)?;
    let &[id, high, low, ..] = rest else { return Err(wrong) };
    let length = 3 + usize::from(u16::from_be_bytes([high & 15, low]));
    let whole = rest.get(..length).filter(|_| id == table && length >= 12).ok_or(wrong)?;
    let (bytes, sum) = whole.split_at(length - 4);
    let bit = |sum: u32, bit: u8| sum << 1 ^ if (sum >> 31) as u8 == bit { 0 } else { 0x04C1_1DB7 };
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    if sum != bits.fold(u32::MAX, bit).to_be_bytes() {
        return Err("a table with a wrong checksum");
    }
    Ok(&bytes[8..])
}

/// The PID of the map of the one program.
fn program(body: &[u8]) -> Result<u16, Damage> {
    match body {
        &[0, number, high, low] if number != 0 => Ok(u16::from_be_bytes([high & 0x1F, low])),
        _ => Err("not exactly one program"),
    }
}

/// The PID of the clock, and the streams.
fn streams(body: &[u8]) -> Result<(u16, Vec<(u16, u8)>), Damage> {
    let wrong = "a map that is cut off";
    let &[a, b, c, d, ref rest @ ..] = body else { return Err(wrong) };
    let (clock, skipped) = (u16::from_be_bytes([a & 0x1F, b]), u16::from_be_bytes([c & 15, d]));
    let (mut rest, mut found) = (rest.get(usize::from(skipped)..).ok_or(wrong)?, Vec::new());
    while let Some((&[kind, a, b, c, d], behind)) = rest.split_first_chunk() {
        found.push((u16::from_be_bytes([a & 0x1F, b]), kind));
        rest = behind.get(usize::from(u16::from_be_bytes([c & 15, d]))..).ok_or(wrong)?;
    }
    if rest.is_empty() && !found.is_empty() { Ok((clock, found)) } else { Err(wrong) }
}

/// A time behind this mark, all of whose marker bits are set.
fn time(bytes: &[u8], mark: u8) -> Option<u64> {
    let &[a, b, c, d, e] = bytes else { return None };
    let is_marked = a >> 4 == mark && a & c & e & 1 == 1;
    let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
    is_marked.then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}
