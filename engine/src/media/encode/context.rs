//! An encoder's context of libavcodec, owned: opened once, fed and emptied on one thread.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use ffmpeg_next::packet::Mut;
use ffmpeg_next::{self as ffmpeg, Packet, ffi};

use super::settings::{Coding, Settings};
use crate::ladder::VideoCodec;
use crate::media::scale::{range, raw_format};
use crate::media::{Error, Kind, Picture};
use crate::units::{BitRate, Ratio};

/// As libx264 takes it: at least a kilobit, below which it takes the cap for none.
fn max_rate(rate: BitRate) -> i64 {
    i64::try_from(rate.0).unwrap_or(i64::MAX).clamp(1000, 2_000_000_000)
}

/// An open encoder context, owned.
pub(super) struct Context(NonNull<ffi::AVCodecContext>);

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
    /// Opens the encoder.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the encoder is not built in or refuses the settings; lack of memory.
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
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
        if let Some(level) = settings.level.filter(|_| settings.coding == Coding::Ladder(VideoCodec::H264)) {
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

    /// The headers that the encoder gives once, for all of its stream.
    pub(super) fn extradata(&self) -> &[u8] {
        // SAFETY: extradata is null or points to `extradata_size` bytes that live as long as the context.
        unsafe {
            let raw = self.0.as_ref();
            match usize::try_from(raw.extradata_size) {
                Ok(size) if size > 0 && !raw.extradata.is_null() => std::slice::from_raw_parts(raw.extradata, size),
                _ => &[],
            }
        }
    }

    /// Some wrappers trust that pictures have the shape it was opened for; so this must be sure.
    pub(super) fn check(&self, picture: &Picture) -> Result<(), Error> {
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
    pub(super) fn set_max_rate(&mut self, rate: BitRate) {
        // SAFETY: the context is open and used by nobody else; libavcodec reads the field between pictures.
        unsafe { self.0.as_mut() }.rc_max_rate = max_rate(rate);
    }

    /// Sends a picture, or the end. The caller receives until nothing is left after each, so it is never full.
    pub(super) fn send(&mut self, picture: Option<&Picture>) -> Result<(), Error> {
        // SAFETY: the context is open; the frame is null or valid and stays the caller's.
        let code = unsafe {
            let frame = picture.map_or(ptr::null(), |picture| picture.frame().as_ptr());
            ffi::avcodec_send_frame(self.0.as_ptr(), frame)
        };
        if code < 0 { Err(Error::code("encoding a picture", code)) } else { Ok(()) }
    }

    /// Receives a packet, if one is ready.
    pub(super) fn receive(&mut self, packet: &mut Packet) -> Result<bool, Error> {
        // SAFETY: the context is open; the packet is valid and is emptied by the callee first.
        let code = unsafe { ffi::avcodec_receive_packet(self.0.as_ptr(), packet.as_mut_ptr()) };
        match ffmpeg::Error::from(code) {
            _ if code >= 0 => Ok(true),
            ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN } => Ok(false),
            error => Err(Error::ffmpeg("encoding a picture", error)),
        }
    }
}
