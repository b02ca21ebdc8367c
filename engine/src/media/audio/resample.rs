//! Turns decoded samples into planar floats of the output's rate and channels. It adds and drops nothing: what goes
//! in comes out, at the other rate.

use std::ptr;

use ffmpeg_next::{ffi, frame};

use super::Sound;
use crate::media::{Error, Kind};

/// Samples of one silent block.
const BLOCK: usize = 1024;

/// Planar samples, one vector a channel, all of one length.
#[derive(Debug)]
pub(super) struct Planes(pub(super) Vec<Vec<f32>>);

impl Planes {
    pub(super) fn new(channels: u16) -> Self {
        Self(vec![Vec::new(); channels.into()])
    }

    pub(super) fn len(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    pub(super) fn resize(&mut self, samples: usize) {
        self.0.iter_mut().for_each(|plane| plane.resize(samples, 0.0));
    }

    pub(super) fn drop_front(&mut self, samples: usize) {
        self.0.iter_mut().for_each(|plane| drop(plane.drain(..samples)));
    }
}

/// Owns a libswresample context.
struct Swr(*mut ffi::SwrContext);

// SAFETY: the context is owned, used through `&mut` alone, and libswresample keeps no state per thread.
unsafe impl Send for Swr {}

impl Drop for Swr {
    fn drop(&mut self) {
        // SAFETY: the pointer is null or an allocated context that nothing else owns.
        unsafe { ffi::swr_free(&mut self.0) }
    }
}

/// Converts sound of one shape (format, layout, rate) into another.
pub(super) struct Resampler {
    swr: Swr,
    /// A silent block in the shape of the input.
    silence: frame::Audio,
}

impl Resampler {
    /// A converter of sound like `sound` to `channels` in their usual layout at `rate`. More channels are mixed down by
    /// their layout, scaled so that nothing clips; where there is no layout to mix by, or `unmixed`, the first ones are taken.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when libswresample refuses the shape, and lack of memory.
    pub(super) fn new(sound: &Sound, rate: u32, channels: u16, unmixed: bool) -> Result<Self, Error> {
        let silence = silent_block(sound)?;
        let swr = configured(sound.raw(), rate, channels, unmixed)
            .or_else(|_| configured(sound.raw(), rate, channels, true))?;
        Ok(Self { swr, silence })
    }

    /// Whether `sound` has the shape that this converts.
    pub(super) fn accepts(&self, sound: &Sound) -> bool {
        // SAFETY: both frames are valid and live through the call.
        unsafe {
            let (ours, theirs) = (&*self.silence.as_ptr(), sound.raw());
            ours.format == theirs.format
                && ours.sample_rate == theirs.sample_rate
                && ffi::av_channel_layout_compare(&ours.ch_layout, &theirs.ch_layout) == 0
        }
    }

    /// Converts `count` samples of `sound` from `from` on and appends them to `out`.
    ///
    /// # Errors
    /// Lack of memory.
    pub(super) fn convert(&mut self, sound: &Sound, from: usize, count: usize, out: &mut Planes) -> Result<(), Error> {
        let from = from.min(sound.samples());
        let planes = planes_at(sound.raw(), from);
        self.push(&planes, count.min(sound.samples() - from), out)
    }

    /// Appends silence for at most `count` input samples to `out`, and tells for how many.
    ///
    /// # Errors
    /// Lack of memory.
    pub(super) fn silence(&mut self, count: u64, out: &mut Planes) -> Result<u64, Error> {
        let block = usize::try_from(count).unwrap_or(BLOCK).min(BLOCK);
        // SAFETY: the frame is valid and owned by `self`.
        let planes = planes_at(unsafe { &*self.silence.as_ptr() }, 0);
        self.push(&planes, block, out)?;
        Ok(block as u64)
    }

    /// Samples at `rate`, the output's, that went in and that the filter still holds back.
    pub(super) fn held_back(&self, rate: u32) -> u64 {
        // SAFETY: the context is initialised.
        let samples = unsafe { ffi::swr_get_delay(self.swr.0, rate.into()) };
        u64::try_from(samples).unwrap_or(0)
    }

    /// Appends what the filter still holds back. Nothing can be converted after it.
    ///
    /// # Errors
    /// Lack of memory.
    pub(super) fn flush(&mut self, out: &mut Planes) -> Result<(), Error> {
        self.push(&[], 0, out)
    }

    fn push(&mut self, input: &[*const u8], count: usize, out: &mut Planes) -> Result<(), Error> {
        let count = i32::try_from(count).map_err(|_| Error::new(Kind::Internal, "too many samples at once"))?;
        let before = out.len();
        // SAFETY: the context is initialised.
        let room = unsafe { ffi::swr_get_out_samples(self.swr.0, count) };
        let Ok(room) = usize::try_from(room) else { return Err(Error::code("converting sound", room)) };
        out.resize(before + room);
        let mut targets: Vec<*mut u8> = out.0.iter_mut().map(|plane| plane[before..].as_mut_ptr().cast()).collect();
        let mut sources = input.to_vec();
        let source = if sources.is_empty() { ptr::null_mut() } else { sources.as_mut_ptr() };
        // SAFETY: every target has room for `room` floats, every source holds `count` samples of the format that the
        // context was made for; a null source asks for what is left.
        let got =
            unsafe { ffi::swr_convert(self.swr.0, targets.as_mut_ptr(), room.try_into().unwrap_or(0), source, count) };
        out.resize(before + usize::try_from(got).unwrap_or(0));
        if got < 0 { Err(Error::code("converting sound", got)) } else { Ok(()) }
    }
}

/// Pointers to the sample `from` of every plane.
fn planes_at(raw: &ffi::AVFrame, from: usize) -> Vec<*const u8> {
    let channels = usize::try_from(raw.ch_layout.nb_channels).unwrap_or(0);
    let format = sample_format(raw);
    // SAFETY: both functions only look the format up in a table.
    let (bytes, planar) = unsafe { (ffi::av_get_bytes_per_sample(format), ffi::av_sample_fmt_is_planar(format) != 0) };
    let bytes = usize::try_from(bytes).unwrap_or(0);
    let (planes, step) = if planar { (channels, bytes) } else { (1, bytes * channels) };
    // SAFETY: a frame has as many plane pointers in `extended_data` as its format and layout ask for, each to
    // `nb_samples` samples; the callers keep `from` within them.
    (0..planes).map(|plane| unsafe { (*raw.extended_data.add(plane)).add(from * step).cast_const() }).collect()
}

fn sample_format(raw: &ffi::AVFrame) -> ffi::AVSampleFormat {
    // SAFETY: libavcodec puts only values of this enumeration into the frames of its audio decoders.
    unsafe { std::mem::transmute::<i32, ffi::AVSampleFormat>(raw.format) }
}

/// A block of silence in the shape of `sound`.
fn silent_block(sound: &Sound) -> Result<frame::Audio, Error> {
    let mut frame = frame::Audio::empty();
    let like = sound.raw();
    // SAFETY: the frame is freshly allocated; its buffers are made for the shape set here, then silenced over their
    // whole length.
    let code = unsafe {
        let raw = &mut *frame.as_mut_ptr();
        (raw.format, raw.sample_rate, raw.nb_samples) = (like.format, like.sample_rate, BLOCK as i32);
        match ffi::av_channel_layout_copy(&mut raw.ch_layout, &like.ch_layout) {
            0.. => match ffi::av_frame_get_buffer(raw, 0) {
                0.. => ffi::av_samples_set_silence(
                    raw.extended_data,
                    0,
                    raw.nb_samples,
                    raw.ch_layout.nb_channels,
                    sample_format(like),
                ),
                code => code,
            },
            code => code,
        }
    };
    if code < 0 { Err(Error::code("making silence", code)) } else { Ok(frame) }
}

/// A context from the shape of `like` to planar floats. `first_only`: take the first channels, mix nothing.
fn configured(like: &ffi::AVFrame, rate: u32, channels: u16, first_only: bool) -> Result<Swr, Error> {
    let mut swr = Swr(ptr::null_mut());
    let out_rate = i32::try_from(rate).map_err(|_| Error::new(Kind::Unsupported, "the sample rate is absurd"))?;
    // SAFETY: the layouts are plain values that live through the calls; a zeroed layout is an unspecified one. The
    // context is owned by `swr` as soon as it is allocated, and its matrix has a row for every output channel.
    let code = unsafe {
        let mut input: ffi::AVChannelLayout = std::mem::zeroed();
        let mut output: ffi::AVChannelLayout = std::mem::zeroed();
        ffi::av_channel_layout_default(&mut output, channels.into());
        let unspecified = like.ch_layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC;
        if first_only {
            input.nb_channels = like.ch_layout.nb_channels;
        } else if unspecified {
            ffi::av_channel_layout_default(&mut input, like.ch_layout.nb_channels);
        } else {
            ffi::av_channel_layout_copy(&mut input, &like.ch_layout);
        }
        let code = ffi::swr_alloc_set_opts2(
            &mut swr.0,
            &mut output,
            ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP,
            out_rate,
            &mut input,
            sample_format(like),
            like.sample_rate,
            0,
            ptr::null_mut(),
        );
        ffi::av_channel_layout_uninit(&mut input);
        if code >= 0 { initialised(&swr, like.ch_layout.nb_channels, channels, first_only) } else { code }
    };
    if code < 0 {
        let (n, hz) = (like.ch_layout.nb_channels, like.sample_rate);
        return Err(Error::new(Kind::Unsupported, format!("sound of {n} channels at {hz} Hz can't be converted")));
    }
    Ok(swr)
}

/// # Safety
/// `swr` is allocated with these numbers of channels and not yet initialised.
unsafe fn initialised(swr: &Swr, from: i32, to: u16, first_only: bool) -> i32 {
    // SAFETY: as the caller says; the matrix has `to` rows of `from` coefficients, and is copied by the callee.
    unsafe {
        let code = if first_only {
            let inputs = usize::try_from(from).unwrap_or(0);
            let mut matrix = vec![0.0_f64; inputs * usize::from(to)];
            (0..usize::from(to).min(inputs)).for_each(|channel| matrix[channel * inputs + channel] = 1.0);
            ffi::swr_set_matrix(swr.0, matrix.as_ptr(), from)
        } else {
            ffi::av_opt_set_double(swr.0.cast(), c"rematrix_maxval".as_ptr(), 1.0, 0)
        };
        if code < 0 { code } else { ffi::swr_init(swr.0) }
    }
}
