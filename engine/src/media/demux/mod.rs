//! Reads a container: its streams, then packet after packet. It decodes nothing and opens nothing but the one file.

use std::ffi::CString;
use std::path::Path;
use std::ptr;

use ffmpeg_next::packet::{Mut as _, Ref as _};
use ffmpeg_next::{self as ffmpeg, Packet, ffi, format};

use super::{Error, Kind, codecs};
use crate::archive::PacketRecord;
use crate::source::Color;

mod file;
pub(in crate::media) mod known;
mod limited;
mod parameters;
mod stream;

use file::Reading;
pub use file::{ReadAt, SourceFile, cannot_open};
pub use known::KnownContainer;
pub use parameters::CodecParameters;
pub use stream::{Medium, StreamFacts};

/// The containers we read, by FFmpeg's demuxer names. Playlists and whatever else names other files or hosts is
/// not among them: a text file called `x.mp4` can't make us read somebody else's data.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,mxf,ogg,asf,ivf,h264,hevc,m4v,\
                          mpegvideo,obu,av1,nut,dv,yuv4mpegpipe,rm,gif,wtv,mpegtsraw";

/// How the containers are called in messages.
pub const CONTAINERS_FOR_HUMANS: &str = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, MXF, Ogg, ASF or an elementary stream";

/// What containers keep beside a packet's payload that changes what a decoder of video makes of it.
const SIDE_DATA: [ffi::AVPacketSideDataType; 8] = [
    ffi::AVPacketSideDataType::AV_PKT_DATA_PALETTE,
    ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA,
    ffi::AVPacketSideDataType::AV_PKT_DATA_PARAM_CHANGE,
    ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
    ffi::AVPacketSideDataType::AV_PKT_DATA_MATROSKA_BLOCKADDITIONAL,
    ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
    ffi::AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
    ffi::AVPacketSideDataType::AV_PKT_DATA_A53_CC,
];

/// What a packet may say of itself. That its bytes are trusted is not among it.
const FLAGS: i32 =
    ffi::AV_PKT_FLAG_KEY | ffi::AV_PKT_FLAG_CORRUPT | ffi::AV_PKT_FLAG_DISCARD | ffi::AV_PKT_FLAG_DISPOSABLE;

/// One packet as read from the container.
pub struct SourcePacket {
    pub(crate) packet: Packet,
}

impl SourcePacket {
    /// A packet of our own making, without times.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn of(data: &[u8]) -> Result<Self, Error> {
        let mut packet = Packet::empty();
        let size = i32::try_from(data.len()).map_err(|_| no_memory())?;
        // SAFETY: the packet is valid and empty; what it is given has room for so many bytes.
        unsafe {
            if ffi::av_new_packet(packet.as_mut_ptr(), size) < 0 {
                return Err(no_memory());
            }
            ptr::copy_nonoverlapping(data.as_ptr(), (*packet.as_ptr()).data, data.len());
        }
        Ok(Self { packet })
    }

    /// The packet as a value, to be made again by [`SourcePacket::from_record`].
    pub fn record(&self) -> PacketRecord {
        let side_data = SIDE_DATA.iter().filter_map(|&kind| Some((kind as u32, self.side_data(kind)?.to_vec())));
        // SAFETY: the packet is valid.
        let flags = unsafe { (*self.packet.as_ptr()).flags };
        PacketRecord {
            pts: self.pts(),
            dts: self.dts(),
            duration: self.packet.duration(),
            flags: flags.cast_unsigned(),
            side_data: side_data.collect(),
            data: self.data().to_vec(),
        }
    }

    /// The packet that a value tells. Side data of kinds that decoders don't look at is left out.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn from_record(record: &PacketRecord) -> Result<Self, Error> {
        let Self { mut packet } = Self::of(&record.data)?;
        packet.set_pts(record.pts);
        packet.set_dts(record.dts);
        packet.set_duration(record.duration);
        for (kind, bytes) in &record.side_data {
            let Some(kind) = SIDE_DATA.into_iter().find(|known| *known as u32 == *kind) else { continue };
            add_side_data(&mut packet, kind, bytes)?;
        }
        let flags = record.flags.cast_signed() & FLAGS;
        // SAFETY: the packet is valid, and these flags make nobody trust what is in it.
        unsafe { (*packet.as_mut_ptr()).flags = flags };
        Ok(Self { packet })
    }

    /// What the container keeps of this kind beside the payload.
    fn side_data(&self, kind: ffi::AVPacketSideDataType) -> Option<&[u8]> {
        let mut size = 0;
        // SAFETY: the packet is valid; its side data is null or of `size` bytes, and lives as long as the packet.
        unsafe {
            let data = ffi::av_packet_get_side_data(self.packet.as_ptr(), kind, &mut size);
            (!data.is_null()).then(|| std::slice::from_raw_parts(data, size))
        }
    }

    /// The parameter sets that the container has in place of the stream's from this packet on, if they change here.
    pub fn new_extradata(&self) -> Option<&[u8]> {
        self.side_data(ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA)
    }

    /// Says that parameter sets change here.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn set_new_extradata(&mut self, extradata: &[u8]) -> Result<(), Error> {
        add_side_data(&mut self.packet, ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA, extradata)
    }

    /// The same packet again, sharing its payload.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn share(&self) -> Result<Self, Error> {
        let mut packet = Packet::empty();
        // SAFETY: both packets are valid; the callee leaves the target empty on failure. Nobody writes to a payload.
        match unsafe { ffi::av_packet_ref(packet.as_mut_ptr(), self.packet.as_ptr()) } {
            0.. => Ok(Self { packet }),
            _ => Err(no_memory()),
        }
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> usize {
        self.packet.stream()
    }

    /// The payload.
    pub fn data(&self) -> &[u8] {
        self.packet.data().unwrap_or_default()
    }

    /// Presentation time in the stream's time base.
    pub fn pts(&self) -> Option<i64> {
        self.packet.pts()
    }

    /// Decode time in the stream's time base.
    pub fn dts(&self) -> Option<i64> {
        self.packet.dts()
    }

    /// The byte of the file at which the container has it, or has what it begins in; `None` if the container does not tell.
    pub fn place(&self) -> Option<u64> {
        u64::try_from(self.packet.position()).ok()
    }

    /// Duration in the stream's time base, if told.
    pub fn duration(&self) -> Option<i64> {
        Some(self.packet.duration()).filter(|&ticks| ticks > 0)
    }

    /// Whether the container marks it as a key frame.
    pub fn is_key(&self) -> bool {
        self.packet.is_key()
    }

    /// Whether the container itself knows that it is damaged.
    pub fn is_corrupt(&self) -> bool {
        self.packet.is_corrupt()
    }

    /// Whether it must be decoded but not shown (cut away by an edit list).
    pub fn is_discarded(&self) -> bool {
        // SAFETY: the packet is valid. (The wrapper's flags leave this one out.)
        unsafe { (*self.packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
    }

    /// Whether the payload is encrypted (ISO/IEC 23001-7).
    pub fn is_encrypted(&self) -> bool {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_ENCRYPTION_INFO;
        // SAFETY: the packet is valid; a null size is allowed.
        unsafe { !ffi::av_packet_get_side_data(self.packet.as_ptr(), kind, ptr::null_mut()).is_null() }
    }

    /// The settings of a WebVTT cue, which containers keep beside its text.
    pub fn cue_settings(&self) -> &str {
        let settings = self.side_data(ffi::AVPacketSideDataType::AV_PKT_DATA_WEBVTT_SETTINGS).unwrap_or_default();
        std::str::from_utf8(settings).unwrap_or_default().trim_end_matches('\0')
    }

    /// Replaces both times.
    pub fn set_times(&mut self, pts: Option<i64>, dts: Option<i64>) {
        self.packet.set_pts(pts);
        self.packet.set_dts(dts);
    }
}

fn add_side_data(packet: &mut Packet, kind: ffi::AVPacketSideDataType, bytes: &[u8]) -> Result<(), Error> {
    // SAFETY: the packet is valid; what is returned is null or has room for as many bytes as were asked for.
    unsafe {
        let room = ffi::av_packet_new_side_data(packet.as_mut_ptr(), kind, bytes.len());
        if room.is_null() {
            return Err(no_memory());
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
    }
    Ok(())
}

/// An open container.
pub struct Demuxer {
    input: format::context::Input,
    /// What the container says of the colours of its streams.
    colors: Vec<Color>,
    damaged_end: bool,
    /// Behind `input`, which reads by it.
    reading: Reading,
}

impl Demuxer {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when it is no container that we read, [`Kind::Corrupt`] when it is one but can't be
    /// parsed, [`Kind::Retryable`] when its bytes can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_file(&SourceFile::open(path)?)
    }

    /// Opens the container in `file`.
    ///
    /// # Errors
    /// As [`Demuxer::open`].
    pub fn open_file(file: &SourceFile) -> Result<Self, Error> {
        Self::open_as(file, &[])
    }

    /// Opens the container in `file`, whose streams are `known` from an earlier time, or none is.
    fn open_as(file: &SourceFile, known: &[CodecParameters]) -> Result<Self, Error> {
        let name = url(file.name())?;
        let mut reading = Reading::new(file.clone())?;
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", CONTAINERS);
        options.set("codec_whitelist", &codecs::list());
        // It reads the one file through us, and opens nothing.
        options.set("protocol_whitelist", "none");
        // SAFETY: the context is allocated, told to read by `reading`, and handed over; on failure the callee frees it
        // and leaves null. `name` is a C string; the options are handed over and taken back by `own` whatever happens.
        let raw = unsafe {
            let mut raw = ffi::avformat_alloc_context();
            if raw.is_null() {
                return Err(Error::new(Kind::Retryable, "no memory for a container"));
            }
            (*raw).pb = reading.as_mut_ptr();
            let mut dictionary = options.disown();
            let code = ffi::avformat_open_input(&mut raw, name.as_ptr(), ptr::null(), &mut dictionary);
            drop(ffmpeg::Dictionary::own(dictionary));
            if code < 0 {
                reading.check()?;
                return Err(open_error(file, code));
            }
            raw
        };
        // SAFETY: `raw` is the open context; `Input` owns and closes it from here on, before `reading` is dropped.
        let mut input = unsafe { format::context::Input::wrap(raw) };
        reading.check()?;
        limited::check(&input, file.limits())?;
        // FFmpeg's decoders put their own word in its place, where it has one: none.
        let colors = input.streams().map(|stream| stream::color(&stream)).collect();
        if !known::skips_probing(&mut input, known)? {
            let found = limited::find_stream_info(&mut input, file.limits());
            reading.check().and(found)?;
            limited::check(&input, file.limits())?;
        }
        Ok(Self { input, colors, damaged_end: false, reading })
    }

    /// What each stream is, by which the container in the same file is opened again quickly: see [`KnownContainer`].
    pub fn all_parameters(&self) -> Vec<CodecParameters> {
        self.input.streams().map(|stream| CodecParameters::of(&stream.parameters())).collect()
    }

    /// FFmpeg's name of the container format.
    pub fn container(&self) -> String {
        self.input.format().name().to_owned()
    }

    /// The length of the whole that the container declares, in seconds; `None` if it declares none.
    pub fn declared_duration_s(&self) -> Option<f64> {
        let duration = self.input.duration();
        (duration > 0).then(|| duration as f64 / f64::from(ffi::AV_TIME_BASE))
    }

    /// The streams known so far, in the container's order.
    pub fn streams(&self) -> Vec<StreamFacts> {
        let programmes = stream::programmes(&self.input);
        let of =
            |index: usize| programmes.iter().filter(move |(_, streams)| streams.contains(&index)).map(|&(id, _)| id);
        let facts = self.input.streams().map(|stream| stream::facts(&stream));
        let color = |index: usize| self.colors.get(index).copied().unwrap_or(Color::UNSPECIFIED);
        facts
            .map(|facts| StreamFacts { programmes: of(facts.index).collect(), color: color(facts.index), ..facts })
            .collect()
    }

    /// The codec parameters of stream `index`.
    ///
    /// # Errors
    /// [`Kind::Internal`] if there is no such stream.
    pub fn parameters(&self, index: usize) -> Result<CodecParameters, Error> {
        let stream = self.input.stream(index).ok_or_else(|| no_stream(index))?;
        Ok(CodecParameters::of(&stream.parameters()))
    }

    /// Tells the container to skip the packets of every stream but `wanted`.
    pub fn keep_only(&mut self, wanted: &[usize]) {
        for mut stream in self.input.streams_mut() {
            let keep = wanted.contains(&stream.index());
            // SAFETY: the stream belongs to the open context; `discard` may be set at any time.
            unsafe {
                (*stream.as_mut_ptr()).discard =
                    if keep { ffi::AVDiscard::AVDISCARD_DEFAULT } else { ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
    }

    /// The next packet of any stream; `None` at the end. Damage that ends the container early also ends it here
    /// and is remembered by [`Demuxer::ended_in_damage`].
    ///
    /// # Errors
    /// [`Kind::Retryable`] when bytes can't be read. From then on nothing else is answered: the container has to be opened
    /// again.
    pub fn read(&mut self) -> Result<Option<SourcePacket>, Error> {
        let mut retries = 0;
        loop {
            let mut packet = Packet::empty();
            let read = packet.read(&mut self.input);
            // To FFmpeg a failed read may be the end of the file, or of a packet.
            self.reading.check()?;
            match read {
                Ok(()) => return Ok(Some(SourcePacket { packet })),
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(ffmpeg::Error::Other { errno: ffi::EAGAIN }) if retries < 1000 => retries += 1,
                Err(_) => {
                    self.damaged_end = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether bytes could not be read, so that the container has to be opened again.
    pub fn is_unreadable(&self) -> bool {
        self.reading.check().is_err()
    }

    /// Moves to byte `place` of the file, where the container has a packet. What comes next may be another one: the caller
    /// recognises packets by their contents.
    ///
    /// # Errors
    /// The container can't be entered in the middle; [`Kind::Retryable`] when bytes can't be read.
    pub fn seek_to_byte(&mut self, place: u64) -> Result<(), Error> {
        let place = i64::try_from(place).map_err(|_| Error::new(Kind::Internal, "no file is that long"))?;
        self.damaged_end = false;
        let flags = ffi::AVSEEK_FLAG_BYTE;
        // SAFETY: the context is open; which stream is meant does not matter to a seek by bytes.
        let code = unsafe { ffi::avformat_seek_file(self.input.as_mut_ptr(), -1, i64::MIN, place, place, flags) };
        self.reading.check()?;
        if code < 0 { Err(Error::code("seeking", code)) } else { Ok(()) }
    }

    /// Whether reading ended by an error rather than at the end of the file.
    pub fn ended_in_damage(&self) -> bool {
        self.damaged_end
    }

    /// Moves to a packet of `stream` from which `dts` can be reached by reading on. How far before it that is
    /// depends on the container; the caller recognises packets by their contents.
    ///
    /// # Errors
    /// The container can't seek; [`Kind::Retryable`] when bytes can't be read.
    pub fn seek(&mut self, stream: usize, dts: i64) -> Result<(), Error> {
        let stream = i32::try_from(stream).map_err(|_| Error::new(Kind::Internal, "stream index out of range"))?;
        self.damaged_end = false;
        // SAFETY: the context is open and `stream` is checked by the callee.
        let code = unsafe { ffi::avformat_seek_file(self.input.as_mut_ptr(), stream, i64::MIN, dts, dts, 0) };
        self.reading.check()?;
        if code < 0 { Err(Error::code("seeking", code)) } else { Ok(()) }
    }
}

fn no_memory() -> Error {
    Error::new(Kind::Retryable, "no memory for a packet")
}

fn no_stream(index: usize) -> Error {
    Error::new(Kind::Internal, format!("the container has no stream {index}"))
}

/// What FFmpeg is told of where the file is: by its name's ending it tells some formats apart, and `file:` keeps names
/// that contain a colon from being taken for something else.
fn url(name: &Path) -> Result<CString, Error> {
    use std::os::unix::ffi::OsStrExt;
    let mut url = b"file:".to_vec();
    url.extend_from_slice(name.as_os_str().as_bytes());
    CString::new(url).map_err(|_| Error::new(Kind::Unsupported, "the file name contains a zero byte"))
}

fn open_error(file: &SourceFile, code: i32) -> Error {
    let error = ffmpeg::Error::from(code);
    match error {
        // Not on the whitelist, or nothing that any demuxer recognises.
        ffmpeg::Error::Other { errno: ffi::EINVAL } => not_a_container(file.name()),
        ffmpeg::Error::InvalidData | ffmpeg::Error::DemuxerNotFound | ffmpeg::Error::Eof => unreadable(file),
        // A header that is cut off, asks for all the memory there is, or has numbers out of any range. All bytes that were
        // asked for came, so it is no fault of the machine.
        ffmpeg::Error::Other { .. } => unreadable(file),
        _ => Error::ffmpeg(&format!("opening {}", file.name().display()), error),
    }
}

fn not_a_container(path: &Path) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("{} is not a video file we read; give {CONTAINERS_FOR_HUMANS}", path.display()),
    )
}

/// FFmpeg answers "invalid data" both to what it does not know at all and to a known container that is broken:
/// the first bytes tell which.
fn unreadable(file: &SourceFile) -> Error {
    let mut head = [0_u8; 12];
    if !(file.head(&mut head) && has_container_signature(&head)) {
        return not_a_container(file.name());
    }
    Error::new(
        Kind::Corrupt,
        format!(
            "{} is a video file whose directory is missing or damaged (an interrupted recording or upload?); \
             record or upload it again, or repair it with the tool that wrote it",
            file.name().display()
        ),
    )
}

fn has_container_signature(head: &[u8; 12]) -> bool {
    matches!(&head[4..8], b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip")
        || head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
        || head.starts_with(b"RIFF")
        || head.starts_with(b"FLV")
        || head.starts_with(b"OggS")
        || head.starts_with(&[0x06, 0x0E, 0x2B, 0x34])
        || head[0] == 0x47
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_there_is_no_memory_for_is_an_error() {
        // One byte more than FFmpeg takes with its padding, which the system lends without giving it.
        let most = i32::MAX as usize - ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
        let refused = SourcePacket::of(&vec![0; most]).map(|packet| packet.data().len());
        assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::Retryable));
        assert_eq!(SourcePacket::of(&[1, 2, 3]).unwrap().share().unwrap().data(), [1, 2, 3]);
    }

    #[test]
    fn whatever_is_wrong_with_a_readable_file_is_its_own_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, head: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, head).unwrap();
            SourceFile::open(&path).unwrap()
        };
        let (movie, text) = (file("movie.mp4", b"\0\0\0\x18ftypisom"), file("text.mp4", b"<html></html>"));
        for errno in [ffi::ERANGE, ffi::EIO, ffi::ENOMEM, ffi::EPERM] {
            assert_eq!(open_error(&movie, -errno).kind(), Kind::Corrupt, "{errno}");
            assert_eq!(open_error(&text, -errno).kind(), Kind::Unsupported, "{errno}");
        }
    }
}
