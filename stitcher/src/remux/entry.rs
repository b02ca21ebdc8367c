//! Sample entries (ISO/IEC 14496-12 8.5.2): taken from an initialization segment as they are, and what other containers make
//! of them. Pure.

use mp4_atom::{Atom, Esds};

use super::Container;
use crate::boxes::{Error, nest};
use crate::seal::boxes::{self, Found};

/// Bytes of a visual sample entry before the boxes within it (12.1.3.2).
const VISUAL: usize = 78;
/// The same of sound (12.2.3.2).
const SOUND: usize = 28;
/// Samples of an AAC-LC frame, as QuickTime wants to know.
const AAC_FRAME: u32 = 1024;

/// How Matroska describes a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codec {
    /// CodecID.
    pub(crate) id: &'static str,
    /// CodecPrivate; empty is none.
    pub(crate) private: Vec<u8>,
    /// SeekPreRoll in nanoseconds.
    pub(crate) preroll_ns: u64,
}

fn shape(_: crate::seal::Error) -> Error {
    Error::Config("an initialization segment that can't be taken apart".to_owned())
}

/// The one sample entry of an initialization segment.
pub(crate) fn of(init: &[u8]) -> Result<Vec<u8>, Error> {
    let stsd = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"]
        .into_iter()
        .try_fold(init, |bytes, kind| boxes::only(bytes, kind).map(|found| found.payload))
        .map_err(shape)?;
    // Behind version, flags and the number of entries.
    Ok(stsd.get(8..).unwrap_or_default().to_vec())
}

/// A sample entry taken apart.
struct Parts<'a> {
    kind: [u8; 4],
    /// Its own fields.
    fields: &'a [u8],
    /// The boxes behind them.
    inner: Vec<Found<'a>>,
}

/// Takes a sample entry apart that has so many bytes of its own.
fn parts(entry: &[u8], own: usize) -> Result<Parts<'_>, Error> {
    let all = boxes::boxes(entry).map_err(shape)?;
    let [entry] = &all[..] else { return Err(Error::Config("not exactly one sample entry".to_owned())) };
    let short = || Error::Config("a sample entry that is cut off".to_owned());
    let (fields, inner) = entry.payload.split_at_checked(own).ok_or_else(short)?;
    Ok(Parts { kind: entry.kind, fields, inner: boxes::boxes(inner).map_err(shape)? })
}

/// The entry as QuickTime has it: colours without a range (QTFF, `nclc`), and AAC described within `wave` of a second version
/// of the entry.
pub(super) fn quicktime(entry: &[u8], is_video: bool) -> Result<Vec<u8>, Error> {
    let Parts { kind, fields, inner } = parts(entry, if is_video { VISUAL } else { SOUND })?;
    let mut out = vec![fields.to_vec()];
    if is_video {
        for it in inner {
            out.push(match it.payload.strip_prefix(b"nclx") {
                Some(codes) if it.kind == *b"colr" => {
                    nest(b"colr", &[b"nclc".to_vec(), codes.get(..6).unwrap_or_default().to_vec()])?
                }
                _ => it.whole.to_vec(),
            });
        }
        return nest(&kind, &out);
    }
    // Version 1, frames of varying size, and so many samples in each.
    out[0][8..10].copy_from_slice(&1_u16.to_be_bytes());
    out[0][20..22].copy_from_slice(&(-2_i16).to_be_bytes());
    out.push([AAC_FRAME, 0, 0, 2].map(u32::to_be_bytes).concat());
    let described: Vec<u8> = inner.iter().flat_map(|it| it.whole).copied().collect();
    let terminator = vec![0, 0, 0, 8, 0, 0, 0, 0];
    out.push(nest(b"wave", &[nest(b"frma", &[kind.to_vec()])?, nest(&kind, &[vec![0; 4]])?, described, terminator])?);
    nest(&kind, &out)
}

/// The codec as Matroska describes it (Matroska Codec Specifications).
pub(crate) fn codec(entry: &[u8], is_video: bool) -> Result<Codec, Error> {
    let Parts { kind, inner, .. } = parts(entry, if is_video { VISUAL } else { SOUND })?;
    let payload = |kind: &[u8; 4]| {
        let found = inner.iter().find(|it| it.kind == *kind).map(|it| it.payload);
        found.ok_or_else(|| Error::Config("a sample entry without its decoder configuration".to_owned()))
    };
    let plain = |id, private: &[u8]| Codec { id, private: private.to_vec(), preroll_ns: 0 };
    Ok(match &kind {
        b"avc1" => plain("V_MPEG4/ISO/AVC", payload(b"avcC")?),
        b"hvc1" => plain("V_MPEGH/ISO/HEVC", payload(b"hvcC")?),
        b"av01" => plain("V_AV1", payload(b"av1C")?),
        b"vp09" => plain("V_VP9", &[]),
        b"mp4a" => {
            let esds = Esds::decode_body(&mut &payload(b"esds")?[..])?;
            let specific = esds.es_desc.dec_config.dec_specific.map(|it| it.raw);
            plain("A_AAC", &specific.ok_or_else(|| Error::Config("sound without an AudioSpecificConfig".to_owned()))?)
        }
        b"ac-3" => plain("A_AC3", &[]),
        b"ec-3" => plain("A_EAC3", &[]),
        b"FFV1" => plain("V_FFV1", payload(b"glbl")?),
        b"fLaC" => {
            let blocks = payload(b"dfLa")?.get(4..).unwrap_or_default();
            Codec { id: "A_FLAC", private: [b"fLaC", blocks].concat(), preroll_ns: 0 }
        }
        b"Opus" => Codec { id: "A_OPUS", private: opus_head(payload(b"dOps")?)?, preroll_ns: 80_000_000 },
        _ => return Err(Error::Config(format!("{:?} has no name in Matroska", String::from_utf8_lossy(&kind)))),
    })
}

/// The codec of text. SubRip is what every player of Matroska knows; WebM has WebVTT.
pub(super) fn text(container: Container) -> Codec {
    let id = if container == Container::WebM { "D_WEBVTT/SUBTITLES" } else { "S_TEXT/UTF8" };
    Codec { id, private: Vec::new(), preroll_ns: 0 }
}

/// The sample entry of FFV1 with this configuration record (RFC 9043 4.3.3.2), as far as other containers need it.
pub(crate) fn ffv1(record: &[u8]) -> Result<Vec<u8>, Error> {
    nest(b"FFV1", &[vec![0; VISUAL], nest(b"glbl", &[record.to_vec()])?])
}

/// The same of FLAC with these blocks of metadata (Encapsulation of FLAC in ISO Base Media File Format 3.3.2).
pub(crate) fn flac(blocks: &[u8]) -> Result<Vec<u8>, Error> {
    nest(b"fLaC", &[vec![0; SOUND], nest(b"dfLa", &[vec![0; 4], blocks.to_vec()])?])
}

/// The identification header (RFC 7845 5.1) that `dOps` is, whose numbers stand the other way round.
fn opus_head(dops: &[u8]) -> Result<Vec<u8>, Error> {
    let [_, channels, skip0, skip1, rate @ .., gain0, gain1] =
        dops.first_chunk::<10>().ok_or_else(|| Error::Config("dOps that is cut off".to_owned()))?;
    let mut head = b"OpusHead\x01".to_vec();
    head.extend([*channels, *skip1, *skip0]);
    head.extend(rate.iter().rev());
    head.extend([*gain1, *gain0]);
    head.extend(&dops[10..]);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{audio, video};
    use super::*;

    #[test]
    fn quicktime_gets_its_own_colours_and_its_own_place_for_aac() {
        let picture = quicktime(&video(1, 1).entry, true).unwrap();
        let Parts { kind, inner, .. } = parts(&picture, VISUAL).unwrap();
        assert_eq!(&kind, b"avc1");
        assert!(inner.iter().any(|it| it.payload == b"nclc\0\x01\0\x01\0\x01"));
        let sound = quicktime(&audio(1).entry, false).unwrap();
        let Parts { kind, fields, inner } = parts(&sound, SOUND + 16).unwrap();
        assert_eq!((&kind, &fields[8..10]), (b"mp4a", &[0, 1][..]));
        let wave: Vec<_> = boxes::boxes(inner[0].payload).unwrap().iter().map(|it| it.kind).collect();
        assert_eq!(wave, [*b"frma", *b"mp4a", *b"esds", [0; 4]]);
    }

    #[test]
    fn matroska_gets_the_decoder_configuration_alone() {
        let picture = codec(&video(1, 1).entry, true).unwrap();
        assert_eq!((picture.id, picture.private.len()), ("V_MPEG4/ISO/AVC", 19));
        let sound = codec(&audio(1).entry, false).unwrap();
        assert_eq!((sound.id, sound.private), ("A_AAC", vec![0x11, 0x90]));
        assert!(codec(&audio(1).entry, true).is_err());
    }

    #[test]
    fn what_archives_hold_is_described_by_its_own_headers() {
        let picture = codec(&ffv1(&[7; 42]).unwrap(), true).unwrap();
        assert_eq!((picture.id, picture.private), ("V_FFV1", vec![7; 42]));
        let sound = codec(&flac(&[0x80, 0, 0, 1, 9]).unwrap(), false).unwrap();
        assert_eq!((sound.id, sound.private), ("A_FLAC", b"fLaC\x80\0\0\x01\x09".to_vec()));
    }

    #[test]
    fn opus_is_described_with_its_numbers_turned_round() {
        let dops = [0, 2, 0x01, 0x38, 0, 0, 0xBB, 0x80, 0, 1, 0];
        assert_eq!(opus_head(&dops).unwrap(), b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\x01\0\0");
        assert!(opus_head(&dops[..9]).is_err());
    }
}
