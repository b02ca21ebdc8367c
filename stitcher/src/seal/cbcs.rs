//! `cbcs` (ISO/IEC 23001-7 10.4): AES-128 in CBC mode over the samples, with a constant initialization vector. Of video one
//! block in ten is encrypted, and the headers of NAL units stay clear; of sound every whole block is.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use vtp_engine::ladder::VideoCodec;
use vtp_engine::nal;

use super::boxes::{Found, boxed, boxes, edited, only};
use super::{Content, ContentKey, Error, Seal};

const BLOCK: usize = 16;

/// Bytes at the start of a slice that stay clear, its length field included. Decoders in hardware read the slice header,
/// which must be clear (9.6.2). It mostly takes a few bytes. The longest of x264 has weights, in P slices alone and so for one
/// list of 16 references: 13 bytes each for three planes in the longest codes, and 4 for its place in the list (H.264 7.3.3),
/// 272 bytes. H.265 allows 24 weights in all, a plane of colour counting as one, which are 124 bytes (7.4.7.3); it is written
/// without entry points. Of slices that others wrote nothing like it is known.
const CLEAR: usize = 320;

/// Most parts of a sample: the size of what tells them, two bytes and six for each, has eight bits.
const MOST_PARTS: usize = (u8::MAX as usize - 2) / 6;

/// Blocks that are encrypted, and blocks after them that are not, in video.
const PATTERN: (u8, u8) = (1, 9);

/// Where the sample entry is.
const STSD: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];

/// The sample entry with what tells players that it is protected.
pub(super) fn init(seal: &Seal, init: &[u8]) -> Result<Vec<u8>, Error> {
    with_entry(init, &|entry| {
        let (kind, pattern) = match &entry.kind {
            b"mp4a" | b"ac-3" | b"ec-3" => (b"enca", (0, 0)),
            b"avc1" | b"hvc1" => (b"encv", PATTERN),
            _ => return Err(Error::Layout("a sample entry of another kind")),
        };
        boxed(kind, &[entry.payload, &protection(seal, entry.kind, pattern)?].concat())
    })
}

/// The clear initialization segment, by what the sealed one says alone.
pub(super) fn open_init(sealed: &[u8]) -> Result<Vec<u8>, Error> {
    with_entry(sealed, &|entry| {
        let is_last = |at: &usize| {
            let rest = &entry.payload[*at..];
            rest.get(4..8) == Some(b"sinf") && boxes(rest).is_ok_and(|all| all.len() == 1)
        };
        let start = (0..entry.payload.len()).find(is_last).ok_or(Error::Layout("no sinf"))?;
        let (own, info) = entry.payload.split_at(start);
        let original = only(only(info, b"sinf")?.payload, b"frma")?.payload;
        boxed(original.try_into().map_err(|_| Error::Layout("half a frma"))?, own)
    })
}

/// The initialization segment with another sample entry in place of its one.
fn with_entry(init: &[u8], change: &dyn Fn(Found<'_>) -> Result<Vec<u8>, Error>) -> Result<Vec<u8>, Error> {
    edited(init, &STSD, &|stsd| {
        let (head, entry) = stsd.payload.split_at_checked(8).ok_or(Error::Layout("half an stsd"))?;
        let [entry] = boxes(entry)?[..] else { return Err(Error::Layout("not one sample entry")) };
        boxed(b"stsd", &[head, &change(entry)?].concat())
    })
}

/// `sinf` (ISO/IEC 14496-12 8.12).
fn protection(seal: &Seal, original: [u8; 4], (crypt, skip): (u8, u8)) -> Result<Vec<u8>, Error> {
    // Version 1 and flags, reserved, the pattern, protected, no vectors of single samples, the key, the constant vector.
    let tenc = [&[1, 0, 0, 0, 0, crypt << 4 | skip, 1, 0][..], &seal.key_id, &[16], &seal.iv].concat();
    let schm = [&[0; 4][..], b"cbcs", &[0, 1, 0, 0]].concat();
    let schi = boxed(b"schi", &boxed(b"tenc", &tenc)?)?;
    boxed(b"sinf", &[boxed(b"frma", &original)?, boxed(b"schm", &schm)?, schi].concat())
}

/// The segment with its samples encrypted.
pub(super) fn segment(seal: &Seal, content: Content, segment: &[u8]) -> Result<Vec<u8>, Error> {
    by_fragment(segment, &|it| fragment(seal, content, it))
}

/// What is done to a fragment.
type Change<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'a;

/// A segment of which `change` has changed every fragment, a `moof` and its `mdat`; what else is in it stays.
fn by_fragment(segment: &[u8], change: &Change<'_>) -> Result<Vec<u8>, Error> {
    let (mut changed, mut head) = (Vec::with_capacity(segment.len() + 1024), None);
    for it in boxes(segment)? {
        match (&it.kind, head.take()) {
            (b"moof", None) => head = Some(it.whole),
            (b"mdat", Some(head)) => changed.extend(change(&[head, it.whole].concat())?),
            (b"mdat", None) | (_, Some(_)) => return Err(Error::Layout("a moof and an mdat that are no pair")),
            (_, None) => changed.extend_from_slice(it.whole),
        }
    }
    if head.is_none() { Ok(changed) } else { Err(Error::Layout("a moof without an mdat")) }
}

fn fragment(seal: &Seal, content: Content, segment: &[u8]) -> Result<Vec<u8>, Error> {
    let sizes = sizes(segment)?;
    let mdat = only(segment, b"mdat")?;
    let mut payload = mdat.payload.to_vec();
    let (cipher, mut maps) = (Aes128::new(&seal.key.0.into()), Vec::new());
    let mut rest = payload.as_mut_slice();
    for size in sizes {
        let (sample, after) = rest.split_at_mut_checked(size).ok_or(Error::Layout("samples past the mdat"))?;
        match content {
            Content::Audio => encrypt(&cipher, &seal.iv, (1, 0), sample),
            Content::Video(codec) => {
                let map = subsamples(codec, sample)?;
                let mut at = 0;
                for (clear, protected) in &map {
                    at += clear;
                    encrypt(&cipher, &seal.iv, PATTERN, &mut sample[at..at + protected]);
                    at += protected;
                }
                maps.push(map);
            }
        }
        rest = after;
    }
    let sealed = if maps.is_empty() { segment.to_vec() } else { with_maps(segment, &maps)? };
    edited(&sealed, &[b"mdat"], &|_| boxed(b"mdat", &payload))
}

/// Clear and protected bytes of a sample, in turn.
type Map = Vec<(usize, usize)>;

/// Which bytes of a sample of NAL units, with lengths of four bytes, are protected: those of slices behind their headers, in
/// whole blocks. Slices beyond those that can be told of stay clear.
fn subsamples(codec: VideoCodec, sample: &[u8]) -> Result<Map, Error> {
    let is_slice = |unit: &[u8]| match codec {
        VideoCodec::H264 => nal::avc::unit_type(unit).is_some_and(|kind| (1..=5).contains(&kind)),
        VideoCodec::Hevc => nal::hevc::unit_type(unit).is_some_and(|kind| kind < nal::hevc::FIRST_NOT_VCL),
        VideoCodec::Vp9 | VideoCodec::Av1 => false,
    };
    if matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1) {
        return Err(Error::Codec(codec));
    }
    let (mut map, mut clear) = (Map::new(), 0);
    for unit in nal::length_prefixed(sample, 4) {
        let unit = unit.map_err(|_| Error::Layout("a NAL unit past its sample"))?;
        let length = 4 + unit.len();
        let protected = if is_slice(unit) { length.saturating_sub(CLEAR) / BLOCK * BLOCK } else { 0 };
        clear += length - protected;
        if protected > 0 {
            // What is left of the last block stays clear; so does the next unit's beginning.
            let tail = length.saturating_sub(CLEAR) % BLOCK;
            map.push((clear - tail, protected));
            clear = tail;
        }
    }
    if clear > 0 || map.is_empty() {
        map.push((clear, 0));
    }
    Ok(fitted(map))
}

/// The map in parts that its fields hold, and no more of them than can be told as long as clear bytes alone don't take more.
fn fitted(mut map: Map) -> Map {
    let mut rest = 0;
    loop {
        let whole = map.iter().copied().chain((rest > 0).then_some((rest, 0)));
        // The field for clear bytes has 16 bits: more is told in several.
        let parts: Map = whole.flat_map(|(clear, protected)| split(clear, protected)).collect();
        if parts.len() <= MOST_PARTS || map.is_empty() {
            return parts;
        }
        let left_clear = map.split_off(map.len().min(MOST_PARTS) - 1);
        rest += left_clear.iter().map(|(clear, protected)| clear + protected).sum::<usize>();
    }
}

fn split(clear: usize, protected: usize) -> Map {
    const MOST: usize = u16::MAX as usize;
    let full = clear.saturating_sub(1) / MOST;
    let mut parts = vec![(MOST, 0); full];
    parts.push((clear - full * MOST, protected));
    parts
}

/// The segment with the maps of its samples in `senc`, and `saiz` and `saio`, which say where they are.
fn with_maps(segment: &[u8], maps: &[Map]) -> Result<Vec<u8>, Error> {
    let too_many = |_| Error::Layout("too many NAL units in a sample");
    let count = u32::try_from(maps.len()).map_err(|_| Error::Layout("too many samples"))?.to_be_bytes();
    let (mut senc, mut saiz) = ([&[0, 0, 0, 2][..], &count].concat(), [&[0; 5][..], &count].concat());
    for map in maps {
        saiz.push(u8::try_from(2 + 6 * map.len()).map_err(too_many)?);
        senc.extend_from_slice(&u16::try_from(map.len()).map_err(too_many)?.to_be_bytes());
        for (clear, protected) in map {
            senc.extend_from_slice(&u16::try_from(*clear).map_err(too_many)?.to_be_bytes());
            senc.extend_from_slice(&u32::try_from(*protected).map_err(too_many)?.to_be_bytes());
        }
    }
    let (saiz, senc) = (boxed(b"saiz", &saiz)?, boxed(b"senc", &senc)?);
    let moof = only(segment, b"moof")?;
    let traf = only(moof.payload, b"traf")?;
    const SAIO: usize = 20;
    let growth = saiz.len() + SAIO + senc.len();
    // `traf` is the last of the moof; the maps begin behind the head of `senc`, counted from the moof's first byte.
    let to_maps = u32::try_from(moof.whole.len() + saiz.len() + SAIO + 16).map_err(|_| Error::Layout("a long moof"))?;
    if traf.whole.as_ptr_range().end != moof.whole.as_ptr_range().end {
        return Err(Error::Layout("something behind the traf"));
    }
    let saio = boxed(b"saio", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &to_maps.to_be_bytes()].concat())?;
    edited(segment, &[b"moof", b"traf"], &|traf| {
        let moved = edited(traf.payload, &[b"trun"], &|trun| {
            let mut payload = trun.payload.to_vec();
            shift(&mut payload, i32::try_from(growth).map_err(|_| Error::Layout("a long moof"))?)?;
            boxed(b"trun", &payload)
        })?;
        boxed(b"traf", &[moved, saiz.clone(), saio.clone(), senc.clone()].concat())
    })
}

/// Moves the data offset of a `trun`, which stands behind its flags and the number of samples.
fn shift(trun: &mut [u8], by: i32) -> Result<(), Error> {
    let has_offset = trun.get(3).is_some_and(|flags| flags & 1 != 0);
    let field: &mut [u8; 4] = trun
        .get_mut(8..12)
        .filter(|_| has_offset)
        .and_then(|field| field.try_into().ok())
        .ok_or(Error::Layout("a trun without a data offset"))?;
    *field = (i32::from_be_bytes(*field).checked_add(by).ok_or(Error::Layout("a long moof"))?).to_be_bytes();
    Ok(())
}

/// The sizes of a segment's samples.
fn sizes(segment: &[u8]) -> Result<Vec<usize>, Error> {
    let traf = only(only(segment, b"moof")?.payload, b"traf")?;
    let trun = only(traf.payload, b"trun")?.payload;
    let word = |at: usize| -> Result<u32, Error> {
        let bytes = trun.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Layout("half a trun"))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let flags = word(0)? & 0xFF_FFFF;
    let has = |flag: u32| usize::from(flags & flag != 0);
    if has(0x200) == 0 {
        return Err(Error::Layout("samples without sizes"));
    }
    // Data offset and first sample's flags; then of each sample duration, size, flags and composition offset.
    let head = 8 + 4 * (has(0x1) + has(0x4));
    let row = 4 * (has(0x100) + has(0x200) + has(0x400) + has(0x800));
    let size = |n: usize| word(head + n * row + 4 * has(0x100)).map(|size| size as usize);
    (0..word(4)? as usize).map(size).collect()
}

/// Encrypts blocks of `bytes` in the pattern; what is no whole block at the end stays as it is.
fn encrypt(cipher: &Aes128, iv: &[u8; 16], (crypt, skip): (u8, u8), bytes: &mut [u8]) {
    let mut chained = *iv;
    for (n, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
        if n % usize::from(crypt + skip) < usize::from(crypt) {
            let mut mixed: [u8; BLOCK] = std::array::from_fn(|at| block[at] ^ chained[at]);
            cipher.encrypt_block((&mut mixed).into());
            block.copy_from_slice(&mixed);
            chained = mixed;
        }
    }
}

/// Undoes [`encrypt`].
fn decrypt(cipher: &Aes128, iv: &[u8; 16], (crypt, skip): (u8, u8), bytes: &mut [u8]) {
    let mut chained = *iv;
    for (n, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
        if n % usize::from(crypt + skip) < usize::from(crypt) {
            let sealed: [u8; BLOCK] = std::array::from_fn(|at| block[at]);
            let mut mixed = sealed;
            cipher.decrypt_block((&mut mixed).into());
            block.iter_mut().zip(mixed.iter().zip(chained)).for_each(|(byte, (a, b))| *byte = a ^ b);
            chained = sealed;
        }
    }
}

/// The clear segment, by what the sealed one and its initialization segment say alone.
pub(super) fn open(key: &ContentKey, init: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let told = told(init)?;
    by_fragment(sealed, &|it| open_fragment(key, told, it))
}

fn open_fragment(key: &ContentKey, told: Told, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let Told { pattern, iv } = told;
    let cipher = Aes128::new(&key.0.into());
    let sizes = sizes(sealed)?;
    let moof = only(sealed, b"moof")?;
    let traf = only(moof.payload, b"traf")?;
    let maps = boxes(traf.payload)?.into_iter().find(|it| it.kind == *b"senc").map(|senc| maps(senc.payload));
    let maps = maps.transpose()?;
    let mut payload = only(sealed, b"mdat")?.payload.to_vec();
    let mut rest = payload.as_mut_slice();
    for (n, size) in sizes.into_iter().enumerate() {
        let (sample, after) = rest.split_at_mut_checked(size).ok_or(Error::Layout("samples past the mdat"))?;
        let whole = [(0, size)];
        let map = match &maps {
            Some(maps) => maps.get(n).ok_or(Error::Layout("fewer maps than samples"))?.as_slice(),
            None => &whole,
        };
        let mut at = 0;
        for (clear, protected) in map {
            let range = at + clear..at + clear + protected;
            at = range.end;
            let bytes = sample.get_mut(range).ok_or(Error::Layout("a map past its sample"))?;
            decrypt(&cipher, &iv, if maps.is_some() { pattern } else { (1, 0) }, bytes);
        }
        rest = after;
    }
    let opened = edited(sealed, &[b"mdat"], &|_| boxed(b"mdat", &payload))?;
    if maps.is_none() {
        return Ok(opened);
    }
    let added = [*b"saiz", *b"saio", *b"senc"];
    let parts = boxes(traf.payload)?;
    let growth: usize = parts.iter().filter(|it| added.contains(&it.kind)).map(|it| it.whole.len()).sum();
    let growth = i32::try_from(growth).map_err(|_| Error::Layout("a long moof"))?;
    edited(&opened, &[b"moof", b"traf"], &|traf| {
        let kept = boxes(traf.payload)?.into_iter().filter(|it| !added.contains(&it.kind));
        let kept: Vec<u8> = kept.flat_map(|it| it.whole.to_vec()).collect();
        let moved = edited(&kept, &[b"trun"], &|trun| {
            let mut payload = trun.payload.to_vec();
            shift(&mut payload, -growth)?;
            boxed(b"trun", &payload)
        })?;
        boxed(b"traf", &moved)
    })
}

/// What `tenc` tells: the pattern, and the constant vector.
#[derive(Clone, Copy)]
struct Told {
    pattern: (u8, u8),
    iv: [u8; 16],
}

fn told(init: &[u8]) -> Result<Told, Error> {
    let mut at = init;
    for kind in STSD {
        at = only(at, kind)?.payload;
    }
    let tenc_at = at.windows(4).position(|four| four == b"tenc").ok_or(Error::Layout("no tenc"))?;
    let tenc = at.get(tenc_at + 4..tenc_at + 4 + 41).ok_or(Error::Layout("half a tenc"))?;
    let iv = tenc[25..41].try_into().map_err(|_| Error::Layout("half a tenc"))?;
    Ok(Told { pattern: (tenc[5] >> 4, tenc[5] & 15), iv })
}

/// The maps in a `senc`.
fn maps(senc: &[u8]) -> Result<Vec<Map>, Error> {
    fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Error> {
        let (bytes, after) = rest.split_first_chunk().ok_or(Error::Layout("half a senc"))?;
        *rest = after;
        Ok(bytes)
    }
    let mut rest = senc.get(4..).ok_or(Error::Layout("half a senc"))?;
    let count = u32::from_be_bytes(*take(&mut rest)?);
    let mut maps = Vec::new();
    for _ in 0..count {
        let parts = u16::from_be_bytes(*take(&mut rest)?);
        let part = |rest: &mut &[u8]| -> Result<(usize, usize), Error> {
            let clear = usize::from(u16::from_be_bytes(*take(rest)?));
            let protected = u32::from_be_bytes(*take(rest)?);
            Ok((clear, protected as usize))
        };
        maps.push((0..parts).map(|_| part(&mut rest)).collect::<Result<_, _>>()?);
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Scheme;
    use super::*;
    use crate::boxes::{FragmentSamples, fragment_head};
    use crate::cut::TimedSample;

    fn seal() -> Seal {
        Seal {
            scheme: Scheme::Cbcs,
            key: ContentKey::new([0x3C; 16]),
            key_id: [1; 16],
            iv: [0x5A; 16],
            key_uri: "key".to_owned(),
            license_url: None,
        }
    }

    fn video(samples: &[Vec<u8>]) -> Vec<u8> {
        let timed = samples.iter().map(|sample| TimedSample {
            size: sample.len() as u32,
            duration: 40,
            composition: 0,
            sync: true,
        });
        let timed: Vec<_> = timed.collect();
        [fragment_head(1, 0, FragmentSamples::Video { samples: &timed, delay: 0 }).unwrap(), samples.concat()].concat()
    }

    fn audio(frames: &[Vec<u8>]) -> Vec<u8> {
        let sizes: Vec<u32> = frames.iter().map(|frame| frame.len() as u32).collect();
        let head = fragment_head(1, 0, FragmentSamples::Audio { sizes: &sizes, duration: 1024, preroll: 0 }).unwrap();
        [head, frames.concat()].concat()
    }

    /// An `stsd` as deep in boxes as ours, with this entry.
    fn init_with(entry: &[u8; 4]) -> Vec<u8> {
        let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(entry, &[9; 40]).unwrap()].concat()).unwrap();
        [b"stbl", b"minf", b"mdia", b"trak", b"moov"].iter().fold(stsd, |inner, kind| boxed(kind, &inner).unwrap())
    }

    fn unit(kind: u8, length: usize) -> Vec<u8> {
        let mut unit = (length as u32).to_be_bytes().to_vec();
        unit.push(kind);
        unit.extend((1..length).map(|n| n as u8));
        unit
    }

    #[test]
    fn of_a_slice_every_tenth_block_is_encrypted_behind_its_header_and_of_other_units_nothing() {
        let sample = [unit(6, 700), unit(0x65, 1000)].concat();
        let segment = video(std::slice::from_ref(&sample));
        let sealed = super::segment(&seal(), Content::Video(VideoCodec::H264), &segment).unwrap();
        let bytes = only(&sealed, b"mdat").unwrap().payload;
        let changed: Vec<usize> = (0..sample.len()).filter(|at| bytes[*at] != sample[*at]).collect();
        let from = 704 + CLEAR;
        assert!(changed.iter().all(|at| *at >= from && ((at - from) / BLOCK).is_multiple_of(10)), "{changed:?}");
        assert!(changed.len() > 4 * BLOCK, "{}", changed.len());
    }

    #[test]
    fn what_is_sealed_is_told_in_boxes_that_lead_to_each_other() {
        let segment = video(&[unit(0x65, 1000), unit(0x41, 300)]);
        let sealed = super::segment(&seal(), Content::Video(VideoCodec::H264), &segment).unwrap();
        let moof = only(&sealed, b"moof").unwrap();
        let traf = only(moof.payload, b"traf").unwrap();
        let saio = only(traf.payload, b"saio").unwrap().payload;
        let to_maps = u32::from_be_bytes(saio[8..12].try_into().unwrap()) as usize;
        let senc = only(traf.payload, b"senc").unwrap().payload;
        assert_eq!(&moof.whole[to_maps..], &senc[8..]);
        let trun = only(traf.payload, b"trun").unwrap().payload;
        let to_samples = i32::from_be_bytes(trun[8..12].try_into().unwrap()) as usize;
        assert_eq!(moof.whole.len() + 8, to_samples, "behind the head of mdat");
        let saiz = only(traf.payload, b"saiz").unwrap().payload;
        assert_eq!(saiz.len(), 9 + 2);
    }

    #[test]
    fn of_a_picture_in_more_slices_than_can_be_told_the_last_ones_stay_clear() {
        let (long, many) = (vec![unit(0x41, 5000); 60].concat(), vec![unit(0x41, 400); 900].concat());
        let samples = [long, many];
        let segment = video(&samples);
        let init = super::init(&seal(), &init_with(b"avc1")).unwrap();
        let sealed = super::segment(&seal(), Content::Video(VideoCodec::H264), &segment).unwrap();
        assert_eq!(open(&seal().key, &init, &sealed).unwrap(), segment);
        let bytes = only(&sealed, b"mdat").unwrap().payload;
        let changed = |slices: std::ops::Range<usize>| {
            slices.filter(|at| bytes[at * 5004..][..5004] != samples[0][at * 5004..][..5004]).count()
        };
        assert_eq!((changed(0..40), changed(40..60)), (40, 0));
    }

    #[test]
    fn a_codec_whose_samples_have_no_nal_units_is_refused() {
        let segment = video(&[vec![0; 64]]);
        let sealed = super::segment(&seal(), Content::Video(VideoCodec::Av1), &segment);
        assert_eq!(sealed, Err(Error::Codec(VideoCodec::Av1)));
        assert!(super::init(&seal(), &init_with(b"av01")).is_err());
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_to_the_very_bytes(
            samples in proptest::collection::vec(proptest::collection::vec((0_u8..20, 1_usize..2000), 1..5), 1..6),
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..400), 1..6),
            large in 60_000_usize..140_000,
        ) {
            let (seal, kinds) = (seal(), [(VideoCodec::H264, 0), (VideoCodec::Hevc, 1)]);
            let mut samples: Vec<Vec<(u8, usize)>> = samples;
            samples[0].push((6, large));
            for (codec, shift) in kinds {
                let units = |sample: &Vec<(u8, usize)>| sample.iter().flat_map(|&(kind, length)| unit(kind << shift, length)).collect();
                let segment = video(&samples.iter().map(units).collect::<Vec<Vec<u8>>>());
                let init = super::init(&seal, &init_with(if codec == VideoCodec::H264 { b"avc1" } else { b"hvc1" })).unwrap();
                let sealed = super::segment(&seal, Content::Video(codec), &segment).unwrap();
                prop_assert_eq!(open(&seal.key, &init, &sealed).unwrap(), segment);
            }
            let parts = [video(&[unit(0x65, 900)]), video(&[unit(0x41, 700), unit(0x41, 20)])];
            let segment = parts.concat();
            let init = super::init(&seal, &init_with(b"avc1")).unwrap();
            let sealed = super::segment(&seal, Content::Video(VideoCodec::H264), &segment).unwrap();
            prop_assert_eq!(open(&seal.key, &init, &sealed).unwrap(), segment, "two fragments");
            let segment = audio(&frames);
            let init = super::init(&seal, &init_with(b"mp4a")).unwrap();
            prop_assert_eq!(open_init(&init).unwrap(), init_with(b"mp4a"));
            let sealed = super::segment(&seal, Content::Audio, &segment).unwrap();
            prop_assert_eq!(sealed.len(), segment.len());
            prop_assert_eq!(open(&seal.key, &init, &sealed).unwrap(), segment);
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (sizes(&bytes), told(&bytes).is_ok(), maps(&bytes), open(&seal().key, &bytes, &bytes), open_init(&bytes));
        }
    }
}
