//! H.264 by libx264 through libavcodec: one thread, one chunk. What it is told is decided in [`super::settings`].

use std::ffi::CString;
use std::ptr::{self, NonNull};

use ffmpeg_next::packet::Mut;
use ffmpeg_next::{self as ffmpeg, Packet, ffi};

use super::lossless::Preparer;
use super::settings::Settings;
use super::{ChunkCap, EncodedPicture, SampleSink, VideoEncoder};
use crate::media::scale::{range, raw_format};
use crate::media::{Error, Kind, Picture};
use crate::nal::{self, avc};
use crate::units::{BitRate, Ratio};

/// libx264 at work on one chunk.
pub(super) struct X264 {
    context: Context,
    name: &'static str,
    config: Vec<u8>,
    preparer: Option<Preparer>,
    packet: Packet,
    sample: Vec<u8>,
    cap: Option<Cap>,
}

/// The rate cap, told to libx264 anew with every picture that comes out.
struct Cap {
    chunk: ChunkCap,
    frame_rate: Ratio,
}

impl X264 {
    /// Opens the encoder. `preparer` brings pictures into the format it was opened for, where they are not scaled.
    ///
    /// # Errors
    /// [`Kind::Internal`] when libx264 refuses the settings; lack of memory.
    pub(super) fn open(settings: &Settings, preparer: Option<Preparer>) -> Result<Self, Error> {
        let context = Context::open(settings)?;
        let config = nal::avc_config(nal::annex_b(context.extradata()))
            .map_err(|error| Error::new(Kind::Internal, format!("{} gave no headers: {error}", settings.encoder)))?;
        let cap = settings.cap.map(|chunk| Cap { chunk, frame_rate: settings.frame_rate });
        let (packet, sample) = (Packet::empty(), Vec::new());
        Ok(Self { context, name: settings.encoder, config, preparer, packet, sample, cap })
    }

    fn receive(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        while self.context.receive(&mut self.packet)? {
            self.sample.clear();
            let stream = self.packet.data().unwrap_or_default();
            let sync = write_sample(stream, &mut self.sample)
                .map_err(|error| Error::new(Kind::Internal, format!("{}: {error}", self.name)))?;
            let pts = self.packet.pts();
            let pts = pts.ok_or_else(|| Error::new(Kind::Internal, format!("{} lost a timestamp", self.name)))?;
            if let Some(Cap { chunk, frame_rate }) = &mut self.cap {
                chunk.count(8 * self.sample.len() as u64);
                self.context.set_max_rate(chunk.max_rate(*frame_rate));
            }
            sink(EncodedPicture { pts, sync, sample: &self.sample })?;
        }
        Ok(())
    }
}

impl VideoEncoder for X264 {
    fn send(&mut self, picture: &Picture, pts: i64, force_idr: bool, sink: SampleSink<'_>) -> Result<(), Error> {
        let mut picture = match &mut self.preparer {
            Some(preparer) => preparer.prepare(picture)?,
            None => picture.share().ok_or_else(|| Error::new(Kind::Retryable, "no memory to share a picture"))?,
        };
        self.context.check(&picture)?;
        let frame = picture.frame_mut();
        frame.set_pts(Some(pts));
        // What the picture was in the source would otherwise bind the encoder.
        frame.set_kind(if force_idr { ffmpeg::picture::Type::I } else { ffmpeg::picture::Type::None });
        self.context.send(Some(&picture))?;
        self.receive(sink)
    }

    fn finish(&mut self, sink: SampleSink<'_>) -> Result<(), Error> {
        self.context.send(None)?;
        self.receive(sink)
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

/// Stores the units of one access unit with lengths and says whether it is an IDR picture. Parameter sets stand in
/// the configuration record; delimiters, filler and x264's list of its own settings serve no player.
fn write_sample(stream: &[u8], sample: &mut Vec<u8>) -> Result<bool, nal::Error> {
    let mut sync = false;
    for unit in nal::annex_b(stream) {
        match avc::unit_type(unit) {
            Some(avc::SPS | avc::PPS | avc::AUD | avc::FILLER) => continue,
            Some(avc::SEI) if is_settings_message(unit) => continue,
            unit_type => sync |= unit_type == Some(avc::IDR),
        }
        nal::push_length_prefixed(sample, unit)?;
    }
    Ok(sync)
}

/// As libx264 takes it: at least a kilobit, below which it takes the cap for none.
fn max_rate(rate: BitRate) -> i64 {
    i64::try_from(rate.0).unwrap_or(i64::MAX).clamp(1000, 2_000_000_000)
}

/// The identifier of x264's `user_data_unregistered` message (ITU-T H.264, D.1.7).
const X264_UUID: [u8; 16] =
    [0xDC, 0x45, 0xE9, 0xBD, 0xE6, 0xD9, 0x48, 0xB7, 0x96, 0x2C, 0xD8, 0x20, 0xD9, 0x23, 0xEE, 0xEF];

fn is_settings_message(unit: &[u8]) -> bool {
    const USER_DATA_UNREGISTERED: u8 = 5;
    let size_bytes = |rest: &[u8]| rest.iter().take_while(|&&byte| byte == 0xFF).count() + 1;
    match unit {
        [_, USER_DATA_UNREGISTERED, rest @ ..] => {
            rest.get(size_bytes(rest)..).is_some_and(|text| text.starts_with(&X264_UUID))
        }
        _ => false,
    }
}

/// An open encoder context, owned.
struct Context(NonNull<ffi::AVCodecContext>);

// SAFETY: the context is used by one thread at a time (`&mut`) and, with one encoding thread, is bound to none.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        let mut raw = self.0.as_ptr();
        // SAFETY: the context is owned and freed once.
        unsafe { ffi::avcodec_free_context(&mut raw) }
    }
}

impl Context {
    fn open(settings: &Settings) -> Result<Self, Error> {
        let codec = ffmpeg::encoder::find_by_name(settings.encoder)
            .ok_or_else(|| Error::new(Kind::Internal, format!("this FFmpeg has no {}", settings.encoder)))?;
        // SAFETY: the codec is static data; the context is checked, owned by `Self` from here on, filled before it
        // is opened, and opened once.
        let context = unsafe { NonNull::new(ffi::avcodec_alloc_context3(codec.as_ptr())).map(Self) };
        let context = context.ok_or_else(|| Error::new(Kind::Retryable, "no memory for an encoder"))?;
        context.fill(settings)?;
        for (name, value) in &settings.options {
            context.set(name, value)?;
        }
        // SAFETY: as above.
        let code = unsafe { ffi::avcodec_open2(context.0.as_ptr(), codec.as_ptr(), ptr::null_mut()) };
        if code < 0 { Err(Error::code(&format!("opening {}", settings.encoder), code)) } else { Ok(context) }
    }

    fn fill(&self, settings: &Settings) -> Result<(), Error> {
        let too_large = |_| Error::new(Kind::Unsupported, "a number too large for the encoder");
        let rational = |num: u32, den: u32| -> Result<_, Error> {
            Ok(ffi::AVRational { num: num.try_into().map_err(too_large)?, den: den.try_into().map_err(too_large)? })
        };
        let base = settings.time_base.0;
        // SAFETY: the context is valid, not yet opened, and nobody else knows it.
        let raw = unsafe { &mut *self.0.as_ptr() };
        raw.width = settings.size.width.try_into().map_err(too_large)?;
        raw.height = settings.size.height.try_into().map_err(too_large)?;
        raw.pix_fmt = settings.format.into();
        raw.time_base = rational(base.num(), base.den())?;
        raw.framerate = rational(settings.frame_rate.num(), settings.frame_rate.den())?;
        // Square is what a stream that says nothing is taken for; saying it would have FFmpeg's scalers refuse
        // ratios for extreme shapes.
        if settings.sample_aspect != Ratio::ONE {
            raw.sample_aspect_ratio = rational(settings.sample_aspect.num(), settings.sample_aspect.den())?;
        }
        raw.color_range = range(settings.color.full_range);
        raw.thread_count = 1;
        raw.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        if settings.interlaced {
            raw.flags |= (ffi::AV_CODEC_FLAG_INTERLACED_DCT | ffi::AV_CODEC_FLAG_INTERLACED_ME) as i32;
        }
        if let Some(level) = settings.level {
            raw.level = level.into();
        }
        if let Some(cap) = settings.cap {
            raw.rc_buffer_size = cap.buffer_bits().try_into().map_err(too_large)?;
            raw.rc_initial_buffer_occupancy = cap.begins_with_bits().try_into().map_err(too_large)?;
            raw.rc_max_rate = max_rate(cap.max_rate(settings.frame_rate));
        }
        let color = settings.color;
        self.set("color_primaries", &color.primaries.max(1).to_string())?;
        self.set("color_trc", &color.transfer.max(1).to_string())?;
        self.set("colorspace", &color.matrix.to_string())?;
        self.set("chroma_sample_location", &color.chroma_location.to_string())
    }

    /// Sets one of the context's or the encoder's options by its name.
    fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| Error::new(Kind::Internal, "an encoder option with a zero byte"))
        };
        let (key, setting) = (text(name)?, text(value)?);
        const SEARCH_CHILDREN: i32 = ffi::AV_OPT_SEARCH_CHILDREN;
        // SAFETY: the context is valid and not yet opened, both strings end in a zero byte and are copied.
        let code = unsafe { ffi::av_opt_set(self.0.as_ptr().cast(), key.as_ptr(), setting.as_ptr(), SEARCH_CHILDREN) };
        if code < 0 { Err(Error::code(&format!("setting the encoder's {name} to {value}"), code)) } else { Ok(()) }
    }

    fn extradata(&self) -> &[u8] {
        // SAFETY: extradata is null or points to `extradata_size` bytes that live as long as the context.
        unsafe {
            let raw = self.0.as_ref();
            match usize::try_from(raw.extradata_size) {
                Ok(size) if size > 0 && !raw.extradata.is_null() => std::slice::from_raw_parts(raw.extradata, size),
                _ => &[],
            }
        }
    }

    /// libx264's wrapper trusts that pictures have the shape it was opened for; so this must be sure.
    fn check(&self, picture: &Picture) -> Result<(), Error> {
        let frame = picture.frame();
        // SAFETY: the context is valid.
        let raw = unsafe { self.0.as_ref() };
        let same = u32::try_from(raw.width) == Ok(frame.width())
            && u32::try_from(raw.height) == Ok(frame.height())
            && raw.pix_fmt as i32 == raw_format(frame.format());
        let (size, (format, _)) = (picture.size(), picture.pixel_format());
        let unfit = || Error::new(Kind::Internal, format!("the encoder was not opened for {size} in {format}"));
        if same { Ok(()) } else { Err(unfit()) }
    }

    /// Changes the rate at which the buffer may fill; libavcodec tells libx264 with the next picture sent.
    fn set_max_rate(&mut self, rate: BitRate) {
        // SAFETY: the context is open and used by nobody else; libavcodec reads the field between pictures.
        unsafe { self.0.as_mut() }.rc_max_rate = max_rate(rate);
    }

    /// Sends a picture, or the end. The caller receives until nothing is left after each, so it is never full.
    fn send(&mut self, picture: Option<&Picture>) -> Result<(), Error> {
        // SAFETY: the context is open; the frame is null or valid and stays the caller's.
        let code = unsafe {
            let frame = picture.map_or(ptr::null(), |picture| picture.frame().as_ptr());
            ffi::avcodec_send_frame(self.0.as_ptr(), frame)
        };
        if code < 0 { Err(Error::code("encoding a picture", code)) } else { Ok(()) }
    }

    /// Receives a packet, if one is ready.
    fn receive(&mut self, packet: &mut Packet) -> Result<bool, Error> {
        // SAFETY: the context is open; the packet is valid and is emptied by the callee first.
        let code = unsafe { ffi::avcodec_receive_packet(self.0.as_ptr(), packet.as_mut_ptr()) };
        match ffmpeg::Error::from(code) {
            _ if code >= 0 => Ok(true),
            ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN } => Ok(false),
            error => Err(Error::ffmpeg("encoding a picture", error)),
        }
    }
}
