//! H.264 (ITU-T H.264): IDR pictures and recovery points.

use super::Access;
use crate::nal::{self, Bits, avc};

/// `payloadType` of the recovery point message (ITU-T H.264, D.1.8).
const RECOVERY_POINT: usize = 6;

/// An IDR picture resets. Another picture is a place to start only behind a recovery point that takes effect at
/// once and promises exact pictures.
pub(super) fn access<'a>(units: impl Iterator<Item = &'a [u8]>) -> Access {
    let mut recovery = false;
    for unit in units {
        match avc::unit_type(unit) {
            Some(avc::IDR) => return Access::Reset,
            Some(1..=4) => return if recovery { Access::Recovery } else { Access::None },
            Some(avc::SEI) => recovery |= is_exact_recovery_point(unit),
            _ => {}
        }
    }
    Access::None
}

/// Whether all slices have the nal_ref_idc 0 (ITU-T H.264, 7.4.1), there is one, and there are no parameter sets, which other
/// pictures may refer to.
pub(super) fn is_disposable<'a>(units: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut has_slice = false;
    for unit in units {
        match (avc::unit_type(unit), unit) {
            (Some(1..=avc::IDR), [header, ..]) if header & 0x60 == 0 => has_slice = true,
            (Some(1..=avc::IDR | avc::SPS | avc::PPS), _) => return false,
            _ => {}
        }
    }
    has_slice
}

fn is_exact_recovery_point(unit: &[u8]) -> bool {
    let payload = nal::unescaped(unit);
    let mut rest = payload.get(1..).unwrap_or_default();
    while let Some((kind, size, after)) = message(rest) {
        let Some((body, next)) = after.split_at_checked(size) else { return false };
        if kind == RECOVERY_POINT {
            let mut bits = Bits::new(body);
            return bits.exp_golomb() == Some(0) && bits.bit() == Some(1);
        }
        rest = next;
    }
    false
}

/// Type and size of the next SEI message (ITU-T H.264, 7.3.2.3.1), and what follows its header.
pub(super) fn message(data: &[u8]) -> Option<(usize, usize, &[u8])> {
    if data.len() < 2 {
        return None;
    }
    let (kind, rest) = extended(data)?;
    let (size, rest) = extended(rest)?;
    Some((kind, size, rest))
}

fn extended(data: &[u8]) -> Option<(usize, &[u8])> {
    let full = data.iter().take_while(|&&byte| byte == 0xFF).count();
    let last = data.get(full)?;
    Some((255 * full + usize::from(*last), &data[full + 1..]))
}
