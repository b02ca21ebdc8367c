//! The decoders that sources meet, by FFmpeg's names. FFmpeg has some five hundred; most are for formats of old games and
//! cameras, seldom used and so seldom looked at. What is not listed is refused as unsupported.

use std::ffi::CString;

use ffmpeg_next::{self as ffmpeg, codec, ffi};

use super::{Error, Kind};

/// Decoders of pictures.
const VIDEO: &str = "h264,hevc,libdav1d,libaom-av1,av1,vp8,libvpx,vp9,libvpx-vp9,vp6,vp6a,vp6f,mpeg1video,mpeg2video,\
                     mpegvideo,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h261,h263,h263p,h263i,flv,wmv1,wmv2,wmv3,vc1,theora,vp3,\
                     prores,dnxhd,cfhd,mjpeg,mjpegb,dvvideo,ffv1,ffvhuff,huffyuv,utvideo,rawvideo,v210,v410,v308,v408,\
                     r210,r10k,yuv4,y41p,ayuv,png,qtrle,rpza,cinepak,svq1,svq3,rv10,rv20,rv30,rv40,gif,hap,jpeg2000,\
                     libopenjpeg,vvc,libvvdec";
/// Decoders of sound.
const AUDIO: &str = "aac,aac_latm,ac3,eac3,mp1,mp1float,mp2,mp2float,mp3,mp3float,dca,truehd,mlp,flac,alac,opus,libopus,\
                     vorbis,libvorbis,speex,libspeex,wmav1,wmav2,wmapro,wmalossless,wmavoice,cook,amrnb,amrwb,gsm,gsm_ms,\
                     libgsm,libgsm_ms,g722,g726,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,adpcm_yamaha,nellymoser,\
                     qdm2,real_144,real_288,sipr,atrac3,ape,tta,wavpack,s302m,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f32be,\
                     pcm_f32le,pcm_f64be,pcm_f64le,pcm_s8,pcm_u8,pcm_s16be,pcm_s16le,pcm_u16be,pcm_u16le,pcm_s24be,\
                     pcm_s24le,pcm_u24be,pcm_u24le,pcm_s32be,pcm_s32le,pcm_u32be,pcm_u32le,pcm_s64be,pcm_s64le,\
                     pcm_s16le_planar,pcm_s16be_planar,pcm_s24le_planar,pcm_s32le_planar,mace3,mace6";

/// All of them, as FFmpeg takes such a list.
pub(super) fn list() -> String {
    format!("{VIDEO},{AUDIO}")
}

/// A decoder's context for a stream with these parameters, ready to be opened: bound to the listed decoders, to one
/// thread, and to pictures of at most so many samples.
///
/// # Errors
/// [`Kind::Unsupported`] when no decoder that is listed and built in is for the codec.
pub(super) fn context(
    parameters: codec::Parameters,
    name: &str,
    most_pixels: u64,
) -> Result<codec::context::Context, Error> {
    let found = ffmpeg::decoder::find(parameters.id());
    if !found.as_ref().is_some_and(|decoder| is_listed(decoder.name())) {
        return Err(Error::new(Kind::Unsupported, format!("there is no decoder for {name} here")));
    }
    let mut context = codec::context::Context::from_parameters(parameters)
        .map_err(|error| Error::ffmpeg("preparing the decoder", error))?;
    let list = CString::new(list()).map_err(|_| Error::new(Kind::Internal, "a decoder's name with a zero byte"))?;
    // SAFETY: the context is valid and not yet opened, the time these fields may be set; the list is copied, and freed
    // with the context.
    unsafe {
        let raw = &mut *context.as_mut_ptr();
        raw.thread_count = 1;
        // Else what is cropped on the left is rounded to what vector instructions like.
        raw.flags |= ffi::AV_CODEC_FLAG_UNALIGNED as i32;
        raw.max_pixels = i64::try_from(most_pixels).unwrap_or(i64::MAX);
        ffi::av_free(raw.codec_whitelist.cast());
        raw.codec_whitelist = ffi::av_strdup(list.as_ptr());
        if raw.codec_whitelist.is_null() {
            return Err(Error::new(Kind::Retryable, "no memory for a decoder"));
        }
    }
    Ok(context)
}

/// Whether a decoder of this name may be used.
pub(super) fn is_listed(name: &str) -> bool {
    VIDEO.split(',').chain(AUDIO.split(',')).any(|listed| listed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_listed_twice_or_with_blanks() {
        let list = list();
        let mut names: Vec<&str> = list.split(',').collect();
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(' ')));
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_decoder_that_is_built_in_but_not_listed_is_refused() {
        for codec in ["magicyuv", "smackvideo", "4xm"] {
            let parameters = crate::media::demux::CodecParameters::named(codec).to_ffmpeg().unwrap();
            let error = context(parameters, codec, 1 << 20).err().unwrap();
            assert_eq!(error.kind(), Kind::Unsupported);
            assert_eq!(error.to_string(), format!("there is no decoder for {codec} here"));
        }
    }
}
