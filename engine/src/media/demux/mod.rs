//! Reads a container: its streams, then packet after packet. It decodes nothing and opens nothing but the one file.

use std::ffi::CString;
use std::path::Path;
use std::ptr;

use ffmpeg_next::packet::Ref as _;
use ffmpeg_next::{self as ffmpeg, Packet, ffi, format};

use super::{Error, Kind};

pub(in crate::media) mod known;
mod stream;

pub use known::KnownContainer;
pub use stream::{CodecParameters, Medium, StreamFacts};

/// The containers we read, by FFmpeg's demuxer names. Playlists and whatever else names other files or hosts is
/// not among them: a text file called `x.mp4` can't make us read somebody else's data.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,mxf,ogg,asf,ivf,h264,hevc,m4v,\
                          mpegvideo,obu,av1,nut,dv,yuv4mpegpipe,rm,gif,wtv,mpegtsraw";

/// How the containers are called in messages.
pub const CONTAINERS_FOR_HUMANS: &str = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, MXF, Ogg, ASF or an elementary stream";

/// One packet as read from the container.
pub struct SourcePacket {
    pub(crate) packet: Packet,
}

impl SourcePacket {
    /// A packet of our own making, without times.
    pub fn of(data: &[u8]) -> Self {
        Self { packet: Packet::copy(data) }
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

    /// Replaces both times.
    pub fn set_times(&mut self, pts: Option<i64>, dts: Option<i64>) {
        self.packet.set_pts(pts);
        self.packet.set_dts(dts);
    }
}

/// An open container.
pub struct Demuxer {
    input: format::context::Input,
    damaged_end: bool,
}

impl Demuxer {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when it is no container that we read, [`Kind::Corrupt`] when it is one but can't be
    /// parsed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_as(path, &[])
    }

    /// Opens the file at `path`, whose streams are `known` from an earlier time, or none is.
    fn open_as(path: &Path, known: &[CodecParameters]) -> Result<Self, Error> {
        let url = file_url(path)?;
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", CONTAINERS);
        options.set("protocol_whitelist", "file");
        // SAFETY: `url` is a C string, the options are handed over and taken back by `own` whatever happens, and
        // on failure `avformat_open_input` leaves the context null.
        let raw = unsafe {
            let mut raw = ptr::null_mut();
            let mut dictionary = options.disown();
            let code = ffi::avformat_open_input(&mut raw, url.as_ptr(), ptr::null(), &mut dictionary);
            drop(ffmpeg::Dictionary::own(dictionary));
            if code < 0 {
                return Err(open_error(path, code));
            }
            raw
        };
        // SAFETY: `raw` is the open context; `Input` owns and closes it from here on.
        let mut input = unsafe { format::context::Input::wrap(raw) };
        if known::skips_probing(&mut input, known)? {
            return Ok(Self { input, damaged_end: false });
        }
        // SAFETY: the context is open; null options are allowed.
        let code = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) };
        if code < 0 {
            return Err(Error::code("reading the streams' headers", code));
        }
        Ok(Self { input, damaged_end: false })
    }

    /// What it takes to open this container, which lies at `path`, again quickly.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn known(&self, path: &Path) -> Result<KnownContainer, Error> {
        let streams = self.input.streams().map(|stream| CodecParameters(stream.parameters()).share());
        Ok(KnownContainer::new(path, streams.collect::<Result<_, _>>()?))
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
        self.input.streams().map(|stream| stream::facts(&stream)).collect()
    }

    /// The codec parameters of stream `index`.
    ///
    /// # Errors
    /// Lack of memory; [`Kind::Internal`] if there is no such stream.
    pub fn parameters(&self, index: usize) -> Result<CodecParameters, Error> {
        let stream = self.input.stream(index).ok_or_else(|| no_stream(index))?;
        CodecParameters(stream.parameters()).share()
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
    pub fn read(&mut self) -> Option<SourcePacket> {
        let mut retries = 0;
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => return Some(SourcePacket { packet }),
                Err(ffmpeg::Error::Eof) => return None,
                Err(ffmpeg::Error::Other { errno: ffi::EAGAIN }) if retries < 1000 => retries += 1,
                Err(_) => {
                    self.damaged_end = true;
                    return None;
                }
            }
        }
    }

    /// Whether reading ended by an error rather than at the end of the file.
    pub fn ended_in_damage(&self) -> bool {
        self.damaged_end
    }

    /// Moves to a packet of `stream` from which `dts` can be reached by reading on. How far before it that is
    /// depends on the container; the caller recognises packets by their contents.
    ///
    /// # Errors
    /// The container can't seek.
    pub fn seek(&mut self, stream: usize, dts: i64) -> Result<(), Error> {
        let stream = i32::try_from(stream).map_err(|_| Error::new(Kind::Internal, "stream index out of range"))?;
        self.damaged_end = false;
        // SAFETY: the context is open and `stream` is checked by the callee.
        let code = unsafe { ffi::avformat_seek_file(self.input.as_mut_ptr(), stream, i64::MIN, dts, dts, 0) };
        if code < 0 { Err(Error::code("seeking", code)) } else { Ok(()) }
    }
}

fn no_stream(index: usize) -> Error {
    Error::new(Kind::Internal, format!("the container has no stream {index}"))
}

/// `file:` keeps names that begin with a dash or contain a colon from being taken for something else.
fn file_url(path: &Path) -> Result<CString, Error> {
    use std::os::unix::ffi::OsStrExt;
    let mut url = b"file:".to_vec();
    url.extend_from_slice(path.as_os_str().as_bytes());
    CString::new(url).map_err(|_| Error::new(Kind::Unsupported, "the file name contains a zero byte"))
}

fn open_error(path: &Path, code: i32) -> Error {
    let error = ffmpeg::Error::from(code);
    match error {
        ffmpeg::Error::Other { errno: ffi::ENOENT } => {
            Error::new(Kind::Unsupported, format!("there is no file {}", path.display()))
        }
        ffmpeg::Error::Other { errno: ffi::EACCES } => {
            Error::new(Kind::Unsupported, format!("{} may not be read by this user", path.display()))
        }
        // Not on the whitelist, or nothing that any demuxer recognises.
        ffmpeg::Error::Other { errno: ffi::EINVAL } => not_a_container(path),
        ffmpeg::Error::InvalidData | ffmpeg::Error::DemuxerNotFound => unreadable(path),
        // What a header asks for that is cut off or damaged; of a file that can be read it is no fault of the machine.
        ffmpeg::Error::Other { errno: ffi::EIO | ffi::ENOMEM } if is_readable(path) => unreadable(path),
        _ => Error::ffmpeg(&format!("opening {}", path.display()), error),
    }
}

/// Whether the system gives all of a file.
fn is_readable(path: &Path) -> bool {
    std::fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink())).is_ok()
}

fn not_a_container(path: &Path) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("{} is not a video file we read; give {CONTAINERS_FOR_HUMANS}", path.display()),
    )
}

/// FFmpeg answers "invalid data" both to what it does not know at all and to a known container that is broken:
/// the first bytes tell which.
fn unreadable(path: &Path) -> Error {
    let mut head = [0_u8; 12];
    let known = std::fs::File::open(path)
        .and_then(|mut file| std::io::Read::read(&mut file, &mut head))
        .is_ok_and(|read| read == head.len() && has_container_signature(&head));
    if !known {
        return not_a_container(path);
    }
    Error::new(
        Kind::Corrupt,
        format!(
            "{} is a video file whose directory is missing or damaged (an interrupted recording or upload?); \
             record or upload it again, or repair it with the tool that wrote it",
            path.display()
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
