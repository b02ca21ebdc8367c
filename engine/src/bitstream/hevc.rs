//! H.265 (ITU-T H.265, 7.4.2.2): random access pictures and the leading pictures that depend on them.

use super::{Access, PacketClass};

const RASL: std::ops::RangeInclusive<u8> = 8..=9;
const BLA: std::ops::RangeInclusive<u8> = 16..=18;
const IDR: std::ops::RangeInclusive<u8> = 19..=20;
const CRA: u8 = 21;
const FIRST_NOT_VCL: u8 = 32;
const END_OF_SEQUENCE: u8 = 36;
const END_OF_BITSTREAM: u8 = 37;

/// Classifies by the first slice of the packet. `rasl_is_gone` says whether the leading pictures of the random
/// access picture before this packet can't be decoded (8.1.3, NoRaslOutputFlag), and of the next if that is a CRA.
pub(super) fn classify<'a>(units: impl Iterator<Item = &'a [u8]>, rasl_is_gone: &mut bool) -> PacketClass {
    let shown = |access| PacketClass { access, hidden: false };
    let mut class = shown(Access::None);
    let mut sequence_ended = false;
    let mut found = false;
    for unit in units {
        let Some(kind) = unit.first().map(|header| header >> 1 & 63) else { continue };
        match kind {
            END_OF_SEQUENCE | END_OF_BITSTREAM => sequence_ended = true,
            FIRST_NOT_VCL.. => {}
            _ if found => {}
            _ => {
                found = true;
                class = classify_slice(kind, rasl_is_gone);
            }
        }
    }
    if sequence_ended {
        // The next picture starts a new sequence: a CRA's leading pictures are gone again.
        *rasl_is_gone = true;
    }
    class
}

fn classify_slice(kind: u8, rasl_is_gone: &mut bool) -> PacketClass {
    let access = match kind {
        CRA => Access::Recovery,
        kind if BLA.contains(&kind) => {
            *rasl_is_gone = true;
            Access::Recovery
        }
        kind if IDR.contains(&kind) => Access::Reset,
        kind => {
            let hidden = RASL.contains(&kind) && *rasl_is_gone;
            // The first trailing picture ends the leading ones.
            *rasl_is_gone &= (6..=9).contains(&kind);
            return PacketClass { access: Access::None, hidden };
        }
    };
    PacketClass { access, hidden: false }
}
