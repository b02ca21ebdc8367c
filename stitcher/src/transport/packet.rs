//! Packets, tables and PES headers (ISO/IEC 13818-1, 2.4): the bytes of a transport stream. Pure.

use std::collections::BTreeMap;

use super::clock::wrapped;

/// Length of a packet.
pub(super) const PACKET: usize = 188;
/// What a packet holds behind its header.
const ROOM: usize = PACKET - 4;
/// Where the map of the one program is.
pub(super) const MAP: u16 = 0x1000;
/// Where pictures are.
pub(super) const VIDEO: u16 = 0x100;
/// Where sound is.
pub(super) const AUDIO: u16 = 0x101;
/// `stream_type` of H.264 (table 2-34).
pub(super) const H264: u8 = 0x1B;
/// `stream_type` of AAC with ADTS headers.
pub(super) const ADTS: u8 = 0x0F;

/// What a program consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Whether there are pictures.
    pub(super) video: bool,
    /// Three letters of the language of its sound (ISO 639-2), if there is sound.
    pub(super) audio: Option<[u8; 3]>,
}

impl Program {
    /// Where its clock is: at the pictures, or at the sound where there are none.
    pub(super) fn clock(&self) -> u16 {
        if self.video { VIDEO } else { AUDIO }
    }

    fn streams(&self) -> Vec<u8> {
        let mut rows = Vec::new();
        let mut add = |kind: u8, pid: u16, descriptors: &[u8]| {
            rows.push(kind);
            rows.extend((0xE000 | pid).to_be_bytes());
            rows.extend([0xF0, descriptors.len() as u8]);
            rows.extend(descriptors);
        };
        if self.video {
            add(H264, VIDEO, &[]);
        }
        match self.audio {
            // ISO_639_language_descriptor (2.6.18).
            Some([a, b, c]) if [a, b, c] != *b"und" => add(ADTS, AUDIO, &[0x0A, 4, a, b, c, 0]),
            Some(_) => add(ADTS, AUDIO, &[]),
            None => {}
        }
        rows
    }
}

/// What an adaptation field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Adaptation {
    /// The program's clock, in ticks.
    pub(super) clock: Option<i64>,
    /// Whether decoding can start here.
    pub(super) random_access: bool,
}

impl Adaptation {
    fn bytes(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let mut bytes = vec![if self.random_access { 0x40 } else { 0 }];
        if let Some(clock) = self.clock {
            bytes[0] |= 0x10;
            // 33 bits of 90 kHz, six reserved ones, and nine of what is finer: 0.
            bytes.extend(((wrapped(clock) << 15) | 0x7E00).to_be_bytes()[2..].iter());
        }
        bytes
    }
}

/// A stream of packets; its counters go on from segment to segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
    counters: BTreeMap<u16, u8>,
}

impl Packets {
    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What was written since it was taken last.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The tables: which program there is, and where its streams are.
    pub(super) fn tables(&mut self, program: &Program) {
        let associations = [[0, 1], (0xE000 | MAP).to_be_bytes()].concat();
        self.section(0, 0, &associations);
        let map = [&(0xE000 | program.clock()).to_be_bytes()[..], &[0xF0, 0], &program.streams()].concat();
        self.section(MAP, 2, &map);
    }

    /// A section (2.4.4.3, 2.4.4.8) in a packet of its own.
    fn section(&mut self, pid: u16, table: u8, body: &[u8]) {
        // Its length counts what is behind it: five bytes, the body, and the checksum.
        let length = 0xB000 | (5 + body.len() as u16 + 4);
        let [high, low] = length.to_be_bytes();
        let mut section = vec![table, high, low, 0, 1, 0xC1, 0, 0];
        section.extend(body);
        section.extend(checksum(&section).to_be_bytes());
        let mut payload = [&[0], &section[..]].concat();
        payload.resize(ROOM, 0xFF);
        self.packet(pid, true, Adaptation::default(), &payload);
    }

    /// A packet that says what time it is, and nothing else.
    pub(super) fn clock(&mut self, pid: u16, clock: i64) {
        self.packet(pid, false, Adaptation { clock: Some(clock), random_access: false }, &[]);
    }

    /// A PES packet, of which the first packet of the stream has this adaptation field.
    pub(super) fn pes(&mut self, pid: u16, adaptation: Adaptation, header: &[u8], payload: &[u8]) {
        let whole = [header, payload].concat();
        let mut sent = 0;
        while sent < whole.len() {
            let first = sent == 0;
            let adaptation = if first { adaptation } else { Adaptation::default() };
            sent += self.packet(pid, first, adaptation, &whole[sent..]);
        }
    }

    /// One packet with as much of `payload` as it holds, which is returned; what it does not fill is stuffing in the
    /// adaptation field.
    fn packet(&mut self, pid: u16, starts: bool, adaptation: Adaptation, payload: &[u8]) -> usize {
        let mut field = adaptation.bytes();
        let own = if field.is_empty() { 0 } else { 1 + field.len() };
        let taken = payload.len().min(ROOM - own);
        let has_field = own > 0 || taken < ROOM;
        if has_field {
            // All of it but the byte that tells its length; a field of length 0 is one byte of stuffing.
            let length = ROOM - taken - 1;
            if field.is_empty() && length > 0 {
                field.push(0);
            }
            field.resize(length, 0xFF);
        }
        let counter = self.counters.entry(pid).or_insert(0);
        // A packet without payload does not count (2.4.3.3): it repeats the number before.
        let number = if taken == 0 { counter.wrapping_sub(1) & 15 } else { *counter };
        if taken > 0 {
            *counter = (*counter + 1) & 15;
        }
        let [high, low] = pid.to_be_bytes();
        let control = if has_field { 0x20 } else { 0 } | if taken > 0 { 0x10 } else { 0 };
        self.bytes.extend([0x47, high | if starts { 0x40 } else { 0 }, low, control | number]);
        if has_field {
            self.bytes.push(field.len() as u8);
            self.bytes.extend(field);
        }
        self.bytes.extend(&payload[..taken]);
        taken
    }
}

/// The header of a PES packet (2.4.3.6) that starts with an access unit and has `length` bytes behind it.
pub(super) fn pes_header(pid: u16, pts: i64, dts: i64, length: usize) -> Vec<u8> {
    let (id, both) = (if pid == VIDEO { 0xE0 } else { 0xC0 }, wrapped(dts) != wrapped(pts));
    let times = if both { 10 } else { 5 };
    // 0 is no length, which pictures may have.
    let told = u16::try_from(3 + usize::from(times) + length).unwrap_or(0);
    let mut header = vec![0, 0, 1, id];
    header.extend(told.to_be_bytes());
    header.extend([0x84, if both { 0xC0 } else { 0x80 }, times]);
    header.extend(time(if both { 3 } else { 2 }, pts));
    if both {
        header.extend(time(1, dts));
    }
    header
}

/// 33 bits in five bytes, with markers between them.
fn time(mark: u8, ticks: i64) -> [u8; 5] {
    let ticks = wrapped(ticks);
    let bits = |from: u32, count: u32| ((ticks >> from) & ((1 << count) - 1)) as u8;
    [mark << 4 | bits(30, 3) << 1 | 1, bits(22, 8), bits(15, 7) << 1 | 1, bits(7, 8), bits(0, 7) << 1 | 1]
}

/// The checksum of sections (annex A): CRC-32 of the polynomial 0x04C11DB7, most significant bit first, not inverted.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 };
    bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 24, shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_annex_a() {
        assert_eq!(checksum(b"123456789"), 0x0376_E6E7);
        let pat = [0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0];
        let whole = [&pat[..], &checksum(&pat).to_be_bytes()].concat();
        assert_eq!(checksum(&whole), 0);
    }

    #[test]
    fn every_payload_is_a_whole_number_of_packets() {
        for length in (1..600).chain([65_535]) {
            for adaptation in [
                Adaptation::default(),
                Adaptation { random_access: true, clock: None },
                Adaptation { random_access: true, clock: Some(7) },
            ] {
                let mut packets = Packets::default();
                packets.pes(VIDEO, adaptation, &[], &vec![7; length]);
                let bytes = packets.take();
                assert_eq!(bytes.len() % PACKET, 0, "{length}");
                assert!(bytes.chunks(PACKET).all(|packet| packet[0] == 0x47), "{length}");
            }
        }
    }

    #[test]
    fn a_packet_without_payload_does_not_count() {
        let mut packets = Packets::default();
        packets.pes(VIDEO, Adaptation::default(), &[], &[1]);
        packets.clock(VIDEO, 90_000);
        packets.pes(VIDEO, Adaptation::default(), &[], &[2]);
        let numbers: Vec<u8> = packets.take().chunks(PACKET).map(|packet| packet[3]).collect();
        assert_eq!(numbers, [0x30, 0x20, 0x31]);
    }

    #[test]
    fn times_are_written_with_their_markers() {
        let header = pes_header(VIDEO, 900_000, 896_250, 100);
        assert_eq!(header[..9], [0, 0, 1, 0xE0, 0, 113, 0x84, 0xC0, 10]);
        assert_eq!(header[9..], [0x31, 0, 0x37, 0x77, 0x41, 0x11, 0, 0x37, 0x59, 0xF5]);
        assert_eq!(pes_header(AUDIO, 5, 5, 70_000)[4..9], [0, 0, 0x84, 0x80, 5]);
    }
}
