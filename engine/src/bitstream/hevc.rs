//! H.265 (ITU-T H.265, 7.4.2.2): random access pictures and the leading pictures that depend on them.

use super::{Access, PacketClass};
use crate::nal::hevc::{FIRST_NOT_VCL, IDR, unit_type};

const RASL: std::ops::RangeInclusive<u8> = 8..=9;
const BLA: std::ops::RangeInclusive<u8> = 16..=18;
const CRA: u8 = 21;
const END_OF_SEQUENCE: u8 = 36;
const END_OF_BITSTREAM: u8 = 37;

/// What becomes of the leading pictures that need pictures before their random access picture (RASL).
#[derive(Clone, Copy, Debug)]
pub(super) struct Leading {
    /// Whether no random access picture has come since the stream or a new sequence in it began.
    first_in_sequence: bool,
    /// Whether those of the last random access picture can't be decoded (8.1.3, NoRaslOutputFlag).
    is_gone: bool,
}

impl Leading {
    /// Before the first packet.
    pub(super) const START: Self = Self { first_in_sequence: true, is_gone: true };

    fn random_access(&mut self, is_gone: bool) {
        *self = Self { first_in_sequence: false, is_gone };
    }
}

/// Classifies by the first slice of the packet.
pub(super) fn classify<'a>(units: impl Iterator<Item = &'a [u8]>, leading: &mut Leading) -> PacketClass {
    let mut class = None;
    let mut sequence_ended = false;
    for unit in units {
        let Some(kind) = unit_type(unit) else { continue };
        match kind {
            // Before the slice it ends what earlier packets held.
            END_OF_SEQUENCE | END_OF_BITSTREAM if class.is_none() => leading.first_in_sequence = true,
            END_OF_SEQUENCE | END_OF_BITSTREAM => sequence_ended = true,
            FIRST_NOT_VCL.. => {}
            _ if class.is_some() => {}
            _ => class = Some(classify_slice(kind, leading)),
        }
    }
    leading.first_in_sequence |= sequence_ended;
    class.unwrap_or(PacketClass { access: Access::None, hidden: false })
}

fn classify_slice(kind: u8, leading: &mut Leading) -> PacketClass {
    let shown = |access| PacketClass { access, hidden: false };
    match kind {
        CRA => {
            leading.random_access(leading.first_in_sequence);
            shown(Access::Recovery)
        }
        kind if BLA.contains(&kind) => {
            leading.random_access(true);
            shown(Access::Recovery)
        }
        kind if IDR.contains(&kind) => {
            leading.random_access(true);
            shown(Access::Reset)
        }
        kind => PacketClass { access: Access::None, hidden: RASL.contains(&kind) && leading.is_gone },
    }
}
