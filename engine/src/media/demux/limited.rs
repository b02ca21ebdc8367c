//! What a container may ask for, held against the limits before memory is spent on it.

use std::ptr;

use ffmpeg_next::{self as ffmpeg, DictionaryRef, ffi, format};

use super::CodecParameters;
use crate::limits::{Limit, Limits};
use crate::media::{Error, Kind};

/// Holds an open container against `limits`.
///
/// # Errors
/// [`crate::media::Kind::Unsupported`] with a sentence that says which limit it exceeds.
pub(super) fn check(input: &format::context::Input, limits: &Limits) -> Result<(), Error> {
    limits.check(Limit::Streams, u64::from(input.nb_streams()))?;
    let mut metadata = bytes(&input.metadata());
    for stream in input.streams() {
        let parameters = CodecParameters::of(&stream.parameters());
        metadata += bytes(&stream.metadata()) + parameters.extradata().len() as u64;
        limits.check(Limit::Pixels, parameters.pixels())?;
    }
    // How long it is by its own word is not held against a limit: one wrong cue of a subtitle makes that days.
    Ok(limits.check(Limit::Metadata, metadata)?)
}

fn bytes(dictionary: &DictionaryRef<'_>) -> u64 {
    dictionary.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// Has FFmpeg find out by decoding what the headers don't tell, with decoders that refuse larger pictures.
///
/// # Errors
/// Lack of memory; a container that can't be read.
pub(super) fn find_stream_info(input: &mut format::context::Input, limits: &Limits) -> Result<(), Error> {
    let pixels = limits.pixels.min(i32::MAX as u64).to_string();
    let option = || {
        let mut options = ffmpeg::Dictionary::new();
        options.set("max_pixels", &pixels);
        options.set("threads", "1");
        // SAFETY: taken back by `own` below.
        unsafe { options.disown() }
    };
    let mut options: Vec<*mut ffi::AVDictionary> = (0..input.nb_streams()).map(|_| option()).collect();
    let given = if options.is_empty() { ptr::null_mut() } else { options.as_mut_ptr() };
    // SAFETY: the context is open, and there is a dictionary for each of its streams. (The callee counts them before it
    // adds any.)
    let code = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), given) };
    for options in options {
        // SAFETY: each was disowned above, and is what the callee left of it.
        drop(unsafe { ffmpeg::Dictionary::own(options) });
    }
    if code >= 0 {
        return Ok(());
    }
    let error = Error::code("reading the streams' headers", code);
    if matches!(ffmpeg::Error::from(code), ffmpeg::Error::Other { errno: ffi::ENOMEM }) {
        return Err(error);
    }
    Err(Error::new(Kind::Corrupt, format!("{error}; the file is cut short or damaged: get another copy of it")))
}
