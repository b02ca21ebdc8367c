//! MPEG-1, MPEG-2 (ISO/IEC 13818-2, 6.2.3) and MPEG-4 part 2 (ISO/IEC 14496-2, 6.2.5): intra pictures.
//!
//! An intra picture is where decoding may start; what is shown before it but decoded after it needs the group
//! before, whether or not the group claims to be closed.

use super::Access;

const PICTURE: u8 = 0x00;
const VOP: u8 = 0xB6;

/// `picture_coding_type`, the three bits behind the ten of `temporal_reference`, is 1 for intra.
pub(super) fn access_mpeg12(packet: &[u8]) -> Access {
    let intra = after_start_code(packet, PICTURE).and_then(|header| header.get(1)).map(|byte| byte >> 3 & 7 == 1);
    recovery_if(intra)
}

/// `picture_coding_type` is 3 for pictures predicted from both sides, from which none is.
pub(super) fn is_disposable_mpeg12(packet: &[u8]) -> bool {
    after_start_code(packet, PICTURE).and_then(|header| header.get(1)).is_some_and(|byte| byte >> 3 & 7 == 3)
}

/// `vop_coding_type`, the two bits behind the start code, is 0 for intra.
pub(super) fn access_mpeg4(packet: &[u8]) -> Access {
    recovery_if(after_start_code(packet, VOP).and_then(|header| header.first()).map(|byte| byte >> 6 == 0))
}

fn recovery_if(intra: Option<bool>) -> Access {
    if intra == Some(true) { Access::Recovery } else { Access::None }
}

fn after_start_code(packet: &[u8], code: u8) -> Option<&[u8]> {
    let at = packet.windows(4).position(|window| window == [0, 0, 1, code])?;
    packet.get(at + 4..)
}
