//! Media segments: `styp`, then fragments: a `moof` and the head of its `mdat` each. The samples' bytes follow and are not
//! touched here.

use mp4_atom::{
    AnySampleGroupEntry, FourCC, Header, Mfhd, Moof, Sbgp, SbgpEntry, Sgpd, SgpdEntry, Styp, Tfdt, Tfhd, Traf, Trun,
    TrunEntry, TrunSamples,
};

use super::{Error, TRACK, boxed};
use crate::cut::TimedSample;

/// Sample flags (14496-12 8.8.3.1): depends on no other sample.
const SYNC: u32 = 0x0200_0000;
/// Depends on others, not a sync sample.
const NOT_SYNC: u32 = 0x0101_0000;

/// The samples of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentSamples<'a> {
    /// Video: every sample has its own duration, composition offset and flags.
    Video {
        /// The samples in decode order.
        samples: &'a [TimedSample],
        /// What the edit list takes out: see [`delay`](crate::cut::delay).
        delay: u64,
    },
    /// Audio: all samples are sync samples of the same duration; only their sizes differ.
    Audio {
        /// Sizes in bytes.
        sizes: &'a [u32],
        /// Duration of each.
        duration: u32,
        /// How many samples before one have to be decoded, too; 0 is none.
        preroll: u32,
    },
}

impl FragmentSamples<'_> {
    fn payload(&self) -> Option<usize> {
        let bytes: u64 = match self {
            Self::Video { samples, .. } => samples.iter().map(|sample| u64::from(sample.size)).sum(),
            Self::Audio { sizes, .. } => sizes.iter().copied().map(u64::from).sum(),
        };
        usize::try_from(bytes).ok()
    }

    fn run(&self) -> Vec<TrunEntry> {
        match self {
            Self::Video { samples, delay } => samples.iter().map(|sample| video_entry(sample, *delay)).collect(),
            Self::Audio { sizes, .. } => {
                sizes.iter().map(|size| TrunEntry { size: Some(*size), ..TrunEntry::default() }).collect()
            }
        }
    }
}

fn video_entry(sample: &TimedSample, delay: u64) -> TrunEntry {
    TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.size),
        flags: Some(if sample.sync { SYNC } else { NOT_SYNC }),
        cts: i64::from(sample.composition).checked_add_unsigned(delay),
    }
}

/// What a media segment opens with.
pub fn segment_type() -> Result<Vec<u8>, Error> {
    let brands = [b"msdh", b"cmfs", b"cmff"];
    boxed(&Styp {
        major_brand: FourCC::new(b"msdh"),
        minor_version: 0,
        compatible_brands: brands.iter().map(|brand| FourCC::new(brand)).collect(),
    })
}

/// Everything of a fragment that stands before its samples' bytes.
///
/// `sequence` is the fragment's number from 1, `start` the decode time of its first sample.
pub fn fragment_head(sequence: u32, start: u64, samples: FragmentSamples<'_>) -> Result<Vec<u8>, Error> {
    let payload = samples.payload().ok_or(Error::Range { what: "a fragment's size" })?;
    let mdat = boxed(&Header { kind: FourCC::new(b"mdat"), size: Some(payload) })?;
    let mut moof = moof(sequence, start, samples);
    let length = boxed(&moof)?.len() + mdat.len();
    let offset = i32::try_from(length).map_err(|_| Error::Range { what: "a fragment's sample table" })?;
    for run in moof.traf.iter_mut().flat_map(|traf| traf.trun.iter_mut()) {
        run.data_offset = Some(offset);
    }
    Ok([boxed(&moof)?, mdat].concat())
}

/// The sample group that tells how many samples before each one have to be decoded (14496-12 10.1, Opus in ISOBMFF 4.3.6.2).
fn rolls(samples: FragmentSamples<'_>) -> Option<(Sgpd, Sbgp)> {
    let FragmentSamples::Audio { sizes, preroll: preroll @ 1.., .. } = samples else { return None };
    let grouping_type = FourCC::new(b"roll");
    let distance = i16::try_from(preroll).unwrap_or(i16::MAX);
    let entry = AnySampleGroupEntry::UnknownGroupingType(grouping_type, (-distance).to_be_bytes().to_vec());
    let sgpd = Sgpd {
        grouping_type,
        default_length: Some(2),
        default_group_description_index: None,
        static_group_description: false,
        static_mapping: false,
        essential: false,
        entries: vec![SgpdEntry { description_length: Some(2), entry }],
    };
    // Groups that a fragment describes itself are counted from here on (14496-12 8.9.4).
    let all =
        SbgpEntry { sample_count: u32::try_from(sizes.len()).unwrap_or(u32::MAX), group_description_index: 0x1_0001 };
    Some((sgpd, Sbgp { grouping_type, grouping_type_parameter: None, entries: vec![all] }))
}

fn moof(sequence: u32, start: u64, samples: FragmentSamples<'_>) -> Moof {
    let (duration, flags) = match samples {
        FragmentSamples::Video { .. } => (None, None),
        FragmentSamples::Audio { duration, .. } => (Some(duration), Some(SYNC)),
    };
    let tfhd = Tfhd {
        track_id: TRACK,
        default_base_is_moof: true,
        default_sample_duration: duration,
        default_sample_flags: flags,
        ..Tfhd::default()
    };
    let trun = Trun { data_offset: Some(0), samples: TrunSamples::Explicit(samples.run()) };
    let tfdt = Some(Tfdt { base_media_decode_time: start });
    let (sgpd, sbgp) = rolls(samples).unzip();
    let (sgpd, sbgp) = (sgpd.into_iter().collect(), sbgp.into_iter().collect());
    let traf = Traf { tfhd, tfdt, trun: vec![trun], sgpd, sbgp, ..Traf::default() };
    Moof { mfhd: Mfhd { sequence_number: sequence }, traf: vec![traf] }
}
