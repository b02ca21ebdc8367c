//! Hands out the packets of a chunk: seeks where that helps, and knows every packet again by its checksum.

use std::ops::Range;
use std::sync::Arc;

use vtp_engine::index::{Index, PacketEntry, PacketPlace};
use vtp_engine::media::Demuxer;
use vtp_engine::media::demux::{KnownContainer, SourceFile, SourcePacket};
use vtp_engine::units::PacketIndex;

use crate::{Error, Source};

/// Reading on over so many packets is cheaper than seeking.
const NEAR: u32 = 256;
/// How many packets may follow a seek before one is known again.
const SEARCH: usize = 512;
/// How many bytes before a packet its container is entered, one after the other until it is found: a parser that begins amid a
/// picture may take the end of that for a part of the next.
const BYTES_BEFORE: [u64; 3] = [0, 1 << 16, 1 << 20];

/// Reads chunks of one source's video. Each worker has its own.
pub struct ChunkReader {
    /// The source's size when it was indexed.
    bytes: u64,
    container: KnownContainer,
    stream: usize,
    index: Arc<Index>,
    demuxer: Demuxer,
    /// The packet that the demuxer gives next.
    next: u32,
    /// Packets still to hand out.
    wanted: Range<u32>,
    /// A packet that was read while searching, with its place.
    held: Option<(u32, SourcePacket)>,
}

impl ChunkReader {
    /// A reader for `source`, which lies in `file`, and whose index is `index`.
    ///
    /// # Errors
    /// The source can't be opened any more.
    pub fn new(file: &SourceFile, source: &Source, index: Arc<Index>) -> Result<Self, Error> {
        let (container, stream, bytes) = (source.container(file), source.info.video.stream, source.info.bytes);
        let demuxer = open(bytes, &container, stream)?;
        Ok(Self { bytes, container, stream, index, demuxer, next: 0, wanted: 0..0, held: None })
    }

    /// Prepares to hand out `packets` by [`ChunkReader::next_packet`].
    ///
    /// # Errors
    /// The source can't be opened or read any more, or it changed.
    pub fn start(&mut self, packets: Range<u32>) -> Result<(), Error> {
        self.wanted = packets;
        if self.demuxer.is_unreadable() {
            self.begin_anew()?;
        }
        let start = self.wanted.start;
        let near = start >= self.next && start - self.next <= NEAR;
        if !near && !self.seek()? {
            self.begin_anew()?;
        }
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), Error> {
        self.demuxer = open(self.bytes, &self.container, self.stream)?;
        (self.next, self.held) = (0, None);
        Ok(())
    }

    /// The next packet, with its times as the index has them (healed); `None` when all were handed out. `alive` is called
    /// with every packet that is read: where the container can't be sought in, the first of a chunk lies behind all before.
    ///
    /// # Errors
    /// [`Error::Changed`] when the source does not hold what it held when it was indexed; that it can't be read, which may pass.
    pub fn next_packet(&mut self, alive: &mut dyn FnMut()) -> Result<Option<(PacketIndex, SourcePacket)>, Error> {
        while self.next < self.wanted.end {
            alive();
            let (at, mut packet) = self.read()?;
            if at >= self.wanted.start {
                let entry = self.entry(at)?;
                packet.set_times(entry.pts, entry.dts);
                self.tell_parameter_sets(at, &mut packet)?;
                return Ok(Some((PacketIndex(at), packet)));
            }
        }
        Ok(None)
    }

    /// A decoder that starts here has not seen what the container told with an earlier packet.
    fn tell_parameter_sets(&self, at: u32, packet: &mut SourcePacket) -> Result<(), Error> {
        match self.index.parameter_sets_at(PacketIndex(at)) {
            Some(extradata) if at == self.wanted.start && packet.new_extradata().is_none() => {
                Ok(packet.set_new_extradata(extradata)?)
            }
            _ => Ok(()),
        }
    }

    fn entry(&self, at: u32) -> Result<PacketEntry, Error> {
        self.index.packets.get(at as usize).copied().ok_or(Error::Changed)
    }

    /// The next packet of the stream and its place, checked against the index.
    fn read(&mut self) -> Result<(u32, SourcePacket), Error> {
        if let Some((at, packet)) = self.held.take() {
            self.next = at + 1;
            return Ok((at, packet));
        }
        let packet = self.read_raw()?.ok_or(Error::Changed)?;
        let at = self.next;
        let entry = self.entry(at)?;
        if !is_of(&entry, &packet) {
            return Err(Error::Changed);
        }
        self.next = at + 1;
        Ok((at, packet))
    }

    fn read_raw(&mut self) -> Result<Option<SourcePacket>, Error> {
        while let Some(packet) = self.demuxer.read()? {
            if packet.stream() == self.stream {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// Seeks to the first wanted packet or before it. `false` when the container does not lead there, in which case
    /// the caller starts from the beginning.
    fn seek(&mut self) -> Result<bool, Error> {
        if let Some(place) = self.index.place_before(PacketIndex(self.wanted.start)) {
            return self.seek_to(place);
        }
        // Shifted times are not the container's.
        let target = self.entry(self.wanted.start)?;
        let (Some(dts), true) = (target.dts, self.index.heals.is_empty()) else { return Ok(false) };
        if self.demuxer.seek(self.stream, dts).is_err() {
            return Ok(false);
        }
        for _ in 0..SEARCH {
            let Some(packet) = self.read_raw()? else { return Ok(false) };
            if let Some(at) = self.recognise(&packet) {
                if at > self.wanted.start {
                    return Ok(false);
                }
                (self.next, self.held) = (at, Some((at, packet)));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Seeks to the packet that lies at `place`, by which it is told from others of the same contents.
    fn seek_to(&mut self, place: PacketPlace) -> Result<bool, Error> {
        let entry = self.entry(place.packet.0)?;
        for before in BYTES_BEFORE {
            if self.demuxer.seek_to_byte(place.byte.saturating_sub(before)).is_ok() && self.find(place, &entry)? {
                return Ok(true);
            }
        }
        // Containers that can't be entered by the byte have a directory, which jumps do not lead astray.
        let Some(dts) = place.dts else { return Ok(false) };
        Ok(self.demuxer.seek(self.stream, dts).is_ok() && self.find(place, &entry)?)
    }

    /// Reads on to the packet that lies at `place`, if it is among the next ones, and holds it. Where it begins behind the end
    /// of another, as in program streams, that end has its place, and the packet itself none.
    fn find(&mut self, place: PacketPlace, entry: &PacketEntry) -> Result<bool, Error> {
        for _ in 0..SEARCH {
            let Some(packet) = self.read_raw()? else { return Ok(false) };
            let at = packet.place().unwrap_or(place.byte);
            if at > place.byte {
                return Ok(false);
            }
            if at == place.byte && is_of(entry, &packet) {
                (self.next, self.held) = (place.packet.0, Some((place.packet.0, packet)));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The place of a packet that was read after a seek.
    fn recognise(&self, packet: &SourcePacket) -> Option<u32> {
        let (dts, size, crc) = (packet.dts()?, packet.data().len(), crc32fast::hash(packet.data()));
        let same = |at: &u32| {
            self.index
                .packets
                .get(*at as usize)
                .is_some_and(|entry| entry.dts == Some(dts) && entry.size as usize == size && entry.crc == crc)
        };
        let start = self.wanted.start;
        // It lies at or shortly before the target; a key frame may be thousands of packets back.
        (0..=start).rev().take(100_000).find(same)
    }
}

/// Whether `packet` has the contents that the index has under `entry`.
fn is_of(entry: &PacketEntry, packet: &SourcePacket) -> bool {
    entry.size as usize == packet.data().len() && entry.crc == crc32fast::hash(packet.data())
}

/// Opens the source again. That it can't be opened says nothing of a file that has another size by now.
fn open(bytes: u64, container: &KnownContainer, stream: usize) -> Result<Demuxer, Error> {
    let file = container.file();
    let mut demuxer = container.open().map_err(|error| match file.size() != bytes || file.has_changed_size() {
        true => Error::Changed,
        false => error.into(),
    })?;
    demuxer.keep_only(&[stream]);
    Ok(demuxer)
}
