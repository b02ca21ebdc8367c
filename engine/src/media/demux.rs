//! Reads a container: its streams, then packet after packet. It decodes nothing and opens nothing but the one file.

use std::ffi::CString;
use std::path::Path;
use std::ptr;

use ffmpeg_next::packet::Ref as _;
use ffmpeg_next::{self as ffmpeg, Packet, codec, ffi, format, media};

use super::{Error, Kind};
use crate::source::Rotation;
use crate::units::{Ratio, TimeBase};

/// The containers we read, by FFmpeg's demuxer names. Playlists and whatever else names other files or hosts is
/// not among them: a text file called `x.mp4` can't make us read somebody else's data.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,mxf,ogg,asf,ivf,h264,hevc,m4v,\
                          mpegvideo,obu,av1,nut,dv,yuv4mpegpipe,rm,gif,wtv,mpegtsraw";

/// How the containers are called in messages.
pub const CONTAINERS_FOR_HUMANS: &str = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, MXF, Ogg, ASF or an elementary stream";

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Moving pictures.
    Video,
    /// A cover picture.
    Cover,
    /// Sound.
    Audio,
    /// Anything else: subtitles, data, attachments.
    Other,
}

/// One stream as the container declares it.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// Its index.
    pub index: usize,
    /// What it carries.
    pub medium: Medium,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Unit of its timestamps.
    pub time_base: TimeBase,
    /// Average frames a second (video), where the container or the first packets tell.
    pub frame_rate: Option<Ratio>,
    /// Sample aspect ratio by container or codec.
    pub sample_aspect: Option<Ratio>,
    /// How the picture must be turned.
    pub rotation: Rotation,
    /// Whether the codec's headers say that frames consist of fields.
    pub interlaced: bool,
    /// ISO 639 language, if told.
    pub language: Option<String>,
    /// Title, if told.
    pub title: Option<String>,
    /// Whether the container marks it as default.
    pub default: bool,
    /// Samples a second (audio).
    pub sample_rate: u32,
    /// Channels (audio).
    pub channels: u16,
    /// Whether it is AAC-LC (audio).
    pub is_aac_lc: bool,
}

/// Codec parameters of one stream: what a decoder must be told before the first packet.
pub struct CodecParameters(pub(crate) codec::Parameters);

impl CodecParameters {
    /// The same parameters again.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn share(&self) -> Result<Self, Error> {
        let mut copy = codec::Parameters::new();
        // SAFETY: both are valid parameter sets; the target was just allocated.
        let code = unsafe { ffi::avcodec_parameters_copy(copy.as_mut_ptr(), self.0.as_ptr()) };
        if code < 0 { Err(Error::code("copying codec parameters", code)) } else { Ok(Self(copy)) }
    }

    /// The codec's extradata (parameter sets and the like), possibly empty.
    pub fn extradata(&self) -> &[u8] {
        // SAFETY: extradata is null or points to `extradata_size` bytes that live as long as the parameters.
        unsafe {
            let raw = &*self.0.as_ptr();
            match usize::try_from(raw.extradata_size) {
                Ok(size) if size > 0 && !raw.extradata.is_null() => std::slice::from_raw_parts(raw.extradata, size),
                _ => &[],
            }
        }
    }

    /// FFmpeg's name of the codec; the container's four-character code where FFmpeg does not know it.
    pub fn codec_name(&self) -> String {
        let name = self.0.id().name();
        if name != "none" {
            return name.to_owned();
        }
        // SAFETY: the parameters are valid as long as `self`.
        let tag = unsafe { (*self.0.as_ptr()).codec_tag }.to_le_bytes();
        let readable: String = tag.iter().filter(|c| c.is_ascii_graphic()).map(|&c| char::from(c)).collect();
        if readable.is_empty() { "an unknown codec".to_owned() } else { readable }
    }
}

/// One packet as read from the container.
pub struct SourcePacket {
    pub(crate) packet: Packet,
}

impl SourcePacket {
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
        // SAFETY: the context is open; null options are allowed.
        let code = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) };
        if code < 0 {
            return Err(Error::code("reading the streams' headers", code));
        }
        Ok(Self { input, damaged_end: false })
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
        self.input.streams().map(|stream| stream_facts(&stream)).collect()
    }

    /// The codec parameters of stream `index`.
    ///
    /// # Errors
    /// Lack of memory; [`Kind::Internal`] if there is no such stream.
    pub fn parameters(&self, index: usize) -> Result<CodecParameters, Error> {
        let stream = self
            .input
            .stream(index)
            .ok_or_else(|| Error::new(Kind::Internal, format!("the container has no stream {index}")))?;
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
        _ => Error::ffmpeg(&format!("opening {}", path.display()), error),
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

fn stream_facts(stream: &format::stream::Stream<'_>) -> StreamFacts {
    let parameters = stream.parameters();
    // SAFETY: the stream and its parameters belong to the open context that `stream` borrows.
    let (raw, rate, disposition) = unsafe {
        let raw_stream = &*stream.as_ptr();
        let rate = ffi::av_guess_frame_rate(ptr::null_mut(), raw_stream as *const _ as *mut _, ptr::null_mut());
        (&*parameters.as_ptr(), rate, raw_stream.disposition)
    };
    let metadata = stream.metadata();
    let text = |key: &str| metadata.get(key).map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned);
    StreamFacts {
        index: stream.index(),
        medium: medium(parameters.medium(), disposition),
        codec: parameters.id().name().to_owned(),
        time_base: time_base(stream.time_base()),
        frame_rate: ratio(stream.avg_frame_rate().into()).or_else(|| ratio(rate)),
        // SAFETY: as above.
        sample_aspect: ratio(unsafe { (*stream.as_ptr()).sample_aspect_ratio })
            .or_else(|| ratio(raw.sample_aspect_ratio)),
        rotation: rotation(stream),
        interlaced: !matches!(
            raw.field_order,
            ffi::AVFieldOrder::AV_FIELD_UNKNOWN | ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE
        ),
        language: text("language"),
        title: text("title"),
        default: disposition & ffi::AV_DISPOSITION_DEFAULT != 0,
        sample_rate: u32::try_from(raw.sample_rate).unwrap_or(0),
        channels: u16::try_from(raw.ch_layout.nb_channels).unwrap_or(0),
        is_aac_lc: raw.codec_id == ffi::AVCodecID::AV_CODEC_ID_AAC && raw.profile == ffi::FF_PROFILE_AAC_LOW,
    }
}

fn medium(kind: media::Type, disposition: i32) -> Medium {
    match kind {
        media::Type::Video if disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0 => Medium::Cover,
        media::Type::Video => Medium::Video,
        media::Type::Audio => Medium::Audio,
        _ => Medium::Other,
    }
}

fn ratio(value: ffi::AVRational) -> Option<Ratio> {
    Ratio::new(u32::try_from(value.num).ok()?, u32::try_from(value.den).ok()?)
}

fn time_base(value: ffmpeg::Rational) -> TimeBase {
    let micros = || TimeBase(Ratio::new(1, 1_000_000).unwrap_or(Ratio::ONE));
    ratio(value.into()).map_or_else(micros, TimeBase)
}

/// The display matrix (ISO/IEC 14496-12, 8.3.2.2) as quarter turns. Odd angles are rounded to the nearest turn,
/// as FFmpeg's own tools do not turn by them either.
fn rotation(stream: &format::stream::Stream<'_>) -> Rotation {
    // SAFETY: side data is null or at least `size` bytes, alive as long as the stream; a display matrix is nine
    // 32-bit integers, which is checked.
    let matrix = unsafe {
        let mut size = 0;
        let data = ffi::av_stream_get_side_data(
            stream.as_ptr(),
            ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
            &mut size,
        );
        if data.is_null() || size < 36 {
            return Rotation::default();
        }
        ptr::read_unaligned(data.cast::<[i32; 9]>())
    };
    let determinant = i64::from(matrix[0]) * i64::from(matrix[4]) - i64::from(matrix[1]) * i64::from(matrix[3]);
    let mirrored = determinant < 0;
    let (a, b) = (f64::from(if mirrored { -matrix[0] } else { matrix[0] }), f64::from(matrix[1]));
    let b = if mirrored { -b } else { b };
    let degrees = b.atan2(a).to_degrees();
    if !degrees.is_finite() {
        return Rotation::default();
    }
    Rotation { quarter_turns: (degrees / 90.0).round().rem_euclid(4.0) as u8, mirrored }
}
