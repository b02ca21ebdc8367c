//! MPEG-2 transport stream segments (ISO/IEC 13818-1) as far as a linter needs them: packets, tables, continuity, times,
//! and what the first pictures and sounds say of their codecs. Takes any bytes.

use std::collections::BTreeMap;
use std::io::{self, Read};

use vtp_engine::nal;

use super::boxes::Media;
use super::key;

/// Length of a packet.
const PACKET: usize = 188;
/// How much of the first picture or sound is kept.
const MOST_KEPT: usize = 1 << 20;
/// Units a second of times.
pub const CLOCK: u32 = 90_000;
/// Times are counted modulo this.
const WRAP: u64 = 1 << 33;

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transport {
    /// Whether the first packets are a PAT and a PMT, before any picture or sound.
    pub opens_with_tables: bool,
    /// The first packet without its sync byte, or what is left over at the end.
    pub lost: Option<String>,
    /// Continuity of each PID.
    pub counters: BTreeMap<u16, Counter>,
    /// The streams of its program.
    pub streams: Vec<Stream>,
}

/// Continuity counters of a PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Of its first packet with a payload.
    pub first: u8,
    /// Whether that packet is marked as a discontinuity.
    pub resets: bool,
    /// Of its last.
    pub last: u8,
    /// How often one does not follow from the one before.
    pub breaks: u32,
}

/// An elementary stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its PID.
    pub pid: u16,
    /// What it holds.
    pub media: Media,
    /// Name of its codec (RFC 6381); without profile and level where those are not known, empty where nothing is.
    pub codec: String,
    /// Decode times of the first and the last of its packets, in 90 kHz units modulo 2^33.
    pub span: Option<(u64, u64)>,
    /// The last distance of two decode times.
    pub step: u64,
    /// The longest.
    pub longest: u64,
    /// How many packets have a time.
    pub packets: u64,
    /// Whether the first picture is a key picture; `None` for what is no H.264 or HEVC.
    pub key: Option<bool>,
}

/// The time from one to the other, at most half of the clock's range either way.
pub fn between(from: u64, to: u64) -> i64 {
    let forward = to.wrapping_sub(from) % WRAP;
    let signed = |time: u64| i64::try_from(time).unwrap_or(0);
    if forward < WRAP / 2 { signed(forward) } else { signed(forward) - signed(WRAP) }
}

/// Seconds from one time to another, both in seconds modulo 2^33 units.
pub fn passed(from: f64, to: f64) -> f64 {
    let wrap = WRAP as f64 / f64::from(CLOCK);
    (to - from + wrap / 2.0).rem_euclid(wrap) - wrap / 2.0
}

#[derive(Debug)]
struct Reader {
    found: Transport,
    tables: Option<u16>,
    kinds: BTreeMap<u16, u8>,
    kept: BTreeMap<u16, (Vec<u8>, bool)>,
    has_media: bool,
}

/// Reads a segment.
pub(super) fn read(mut file: impl Read) -> io::Result<Transport> {
    let mut reader = Reader {
        found: Transport::default(),
        tables: None,
        kinds: BTreeMap::new(),
        kept: BTreeMap::new(),
        has_media: false,
    };
    for number in 0_u64.. {
        let mut packet = Vec::with_capacity(PACKET);
        if file.by_ref().take(PACKET as u64).read_to_end(&mut packet)? == 0 {
            break;
        }
        let Ok(packet) = <[u8; PACKET]>::try_from(packet.as_slice()) else {
            reader.found.lost = Some(format!("{} bytes at the end are no packet", packet.len()));
            break;
        };
        if packet[0] != 0x47 {
            reader.found.lost = Some(format!("packet {number} does not start with the sync byte"));
            break;
        }
        reader.packet(&packet);
    }
    Ok(reader.finish())
}

impl Reader {
    fn packet(&mut self, packet: &[u8; PACKET]) {
        let starts = packet[1] & 0x40 != 0;
        let pid = u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
        let (adaptation, payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let length = if adaptation { 1 + usize::from(packet[4]) } else { 0 };
        let resets = adaptation && packet[4] > 0 && packet[5] & 0x80 != 0;
        if !payload || pid == 0x1FFF {
            return;
        }
        self.count(pid, packet[3] & 15, resets);
        let body = packet.get(4 + length..).unwrap_or_default();
        if pid == 0 {
            self.tables = self.tables.or_else(|| program(section(body, starts, 0)?));
        } else if Some(pid) == self.tables {
            if let Some(streams) = section(body, starts, 2).and_then(streams) {
                self.found.opens_with_tables |= !self.has_media;
                self.add(&streams);
            }
        } else {
            self.has_media |= pid >= 0x20;
            self.elementary(pid, body, starts);
        }
    }

    fn count(&mut self, pid: u16, counter: u8, resets: bool) {
        let fresh = Counter { first: counter, resets, last: counter, breaks: 0 };
        let known = self.found.counters.contains_key(&pid);
        let entry = self.found.counters.entry(pid).or_insert(fresh);
        // A packet may be sent twice (13818-1 2.4.3.3).
        if known && !resets && counter != entry.last && counter != (entry.last + 1) & 15 {
            entry.breaks += 1;
        }
        entry.last = counter;
    }

    fn add(&mut self, streams: &[(u16, u8)]) {
        for &(pid, kind) in streams {
            if self.kinds.insert(pid, kind).is_none() {
                let (media, codec) = match kind {
                    0x1B => (Media::Video, "avc1"),
                    0x24 => (Media::Video, "hvc1"),
                    0x01 | 0x02 => (Media::Video, "mp2v"),
                    0x0F => (Media::Audio, "mp4a.40"),
                    0x03 | 0x04 => (Media::Audio, "mp4a.40.34"),
                    0x81 => (Media::Audio, "ac-3"),
                    0x87 => (Media::Audio, "ec-3"),
                    _ => (Media::Other, ""),
                };
                let codec = codec.to_owned();
                self.found.streams.push(Stream {
                    pid,
                    media,
                    codec,
                    span: None,
                    step: 0,
                    longest: 0,
                    packets: 0,
                    key: None,
                });
            }
        }
    }

    fn elementary(&mut self, pid: u16, body: &[u8], starts: bool) {
        let Some(stream) = self.found.streams.iter_mut().find(|stream| stream.pid == pid) else { return };
        let mut body = body;
        if starts {
            let Some((time, rest)) = pes(body) else { return };
            if let Some(time) = time {
                stream.packets += 1;
                if let Some((_, last)) = stream.span {
                    stream.step = u64::try_from(between(last, time)).unwrap_or(stream.step);
                    stream.longest = stream.longest.max(stream.step);
                }
                stream.span = Some((stream.span.map_or(time, |(first, _)| first), time));
            }
            body = rest;
        }
        let (kept, ended) = self.kept.entry(pid).or_default();
        *ended |= starts && !kept.is_empty();
        if !*ended && (starts || !kept.is_empty()) && kept.len() < MOST_KEPT {
            kept.extend_from_slice(body);
        }
    }

    fn finish(mut self) -> Transport {
        for stream in &mut self.found.streams {
            let Some((kept, _)) = self.kept.get(&stream.pid) else { continue };
            match stream.codec.as_str() {
                "avc1" => {
                    stream.key = Some(key::resets("h264", &[], kept));
                    let mut sets = nal::annex_b(kept).filter(|unit| unit[0] & 31 == nal::avc::SPS);
                    if let Some(&[_, profile, compatibility, level, ..]) = sets.next() {
                        stream.codec = format!("avc1.{profile:02X}{compatibility:02X}{level:02X}");
                    }
                }
                "hvc1" => stream.key = Some(key::resets("hevc", &[], kept)),
                // ADTS (14496-3 1.A.3.2): the object type less one.
                "mp4a.40" => {
                    if let &[0xFF, second, third, ..] = kept.as_slice()
                        && second & 0xF6 == 0xF0
                    {
                        stream.codec = format!("mp4a.40.{}", (third >> 6) + 1);
                    }
                }
                _ => {}
            }
        }
        self.found
    }
}

/// The body of a section that lies in one packet (13818-1 2.4.4), without its CRC.
fn section(body: &[u8], starts: bool, table: u8) -> Option<&[u8]> {
    let (&pointer, rest) = body.split_first().filter(|_| starts)?;
    let rest = rest.get(usize::from(pointer)..)?;
    let &[id, high, low, ..] = rest else { return None };
    let length = usize::from(high & 15) << 8 | usize::from(low);
    (id == table).then_some(rest.get(8..(3 + length).checked_sub(4)?)?)
}

/// The PID of the first program's map.
fn program(pat: &[u8]) -> Option<u16> {
    let mut rows = pat.chunks_exact(4).filter(|row| row[..2] != [0, 0]);
    rows.next().map(|row| u16::from(row[2] & 0x1F) << 8 | u16::from(row[3]))
}

/// PID and type of the streams of a program.
fn streams(pmt: &[u8]) -> Option<Vec<(u16, u8)>> {
    let skipped = usize::from(pmt.get(2)? & 15) << 8 | usize::from(*pmt.get(3)?);
    let (mut rest, mut found) = (pmt.get(4 + skipped..)?, Vec::new());
    while let &[kind, a, b, c, d, ref after @ ..] = rest {
        found.push((u16::from(a & 0x1F) << 8 | u16::from(b), kind));
        rest = after.get(usize::from(c & 15) << 8 | usize::from(d)..)?;
    }
    Some(found)
}

/// The decode time of a PES packet (13818-1 2.4.3.6) and what follows its header.
fn pes(body: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let &[0, 0, 1, _, _, _, _, flags, length, ref rest @ ..] = body else { return None };
    let time = |bytes: &[u8]| -> Option<u64> {
        let &[a, b, c, d, e] = bytes.first_chunk::<5>()?;
        let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
        Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
    };
    let found = match flags >> 6 {
        2 => time(rest),
        3 => rest.get(5..).and_then(time),
        _ => None,
    };
    Some((found, rest.get(usize::from(length)..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, counter: u8, starts: bool, body: &[u8]) -> Vec<u8> {
        let high = (pid >> 8) as u8 | if starts { 0x40 } else { 0 };
        let mut packet = vec![0x47, high, pid as u8, 0x10 | counter];
        packet.extend_from_slice(body);
        packet.resize(PACKET, 0xFF);
        packet
    }

    fn tables() -> Vec<u8> {
        let pat = [0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 1, 2, 3, 4];
        let pmt = [0, 2, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0, 1, 2, 3, 4];
        [packet(0, 0, true, &pat), packet(0x1000, 0, true, &pmt)].concat()
    }

    fn picture(counter: u8, kind: u8) -> Vec<u8> {
        let mut pes = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 5, 0xBF, 0x21];
        pes.extend([0, 0, 1, 0x67, 0x64, 0, 0x1F, 9, 0, 0, 1, kind, 9]);
        packet(0x100, counter, true, &pes)
    }

    #[test]
    fn a_stream_is_known_by_its_tables_and_its_first_picture() {
        let found = read([tables(), picture(0, 0x65), picture(1, 0x41)].concat().as_slice()).unwrap();
        assert!(found.opens_with_tables && found.lost.is_none());
        let [stream] = &found.streams[..] else { panic!("{found:?}") };
        assert_eq!((stream.codec.as_str(), stream.key, stream.packets), ("avc1.64001F", Some(true), 2));
        assert_eq!(stream.span, Some((90_000, 90_000)));
    }

    #[test]
    fn a_packet_that_is_missing_breaks_continuity() {
        let found =
            read([tables(), picture(14, 0x65), picture(15, 0x41), picture(1, 0x41)].concat().as_slice()).unwrap();
        assert_eq!(found.counters[&0x100], Counter { first: 14, resets: false, last: 1, breaks: 1 });
    }

    #[test]
    fn a_lost_sync_byte_and_a_cut_off_packet_are_told() {
        let mut bytes = tables();
        bytes[PACKET] = 0;
        assert!(read(bytes.as_slice()).unwrap().lost.unwrap().contains("packet 1"));
        assert!(read(&tables()[..200]).unwrap().lost.unwrap().contains("12 bytes"));
    }

    #[test]
    fn times_are_compared_across_the_wrap() {
        assert_eq!(between(WRAP - 10, 20), 30);
        assert_eq!(between(20, WRAP - 10), -30);
    }
}
