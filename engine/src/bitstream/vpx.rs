//! VP8 (RFC 6386, 9.1) and VP9 (VP9 bitstream specification, 6.2 and Annex B): key frames and hidden frames.

use super::{Access, PacketClass};

/// VP8's frame tag: bit 0 is 0 for a key frame, bit 4 is `show_frame`.
pub(super) fn classify_vp8(packet: &[u8]) -> PacketClass {
    match packet.first() {
        Some(tag) => PacketClass { access: reset_if(tag & 1 == 0), hidden: tag & 0x10 == 0 },
        None => PacketClass { access: Access::None, hidden: true },
    }
}

/// VP9's uncompressed header, as far as `show_frame`. A packet with several frames (a superframe) shows one.
pub(super) fn classify_vp9(packet: &[u8], flagged: bool) -> PacketClass {
    let Some(&head) = packet.first() else { return PacketClass { access: Access::None, hidden: true } };
    let superframe = packet.last().is_some_and(|marker| marker & 0xE0 == 0xC0) && packet.len() > 1;
    // Profile 3 has one more reserved bit before show_existing_frame.
    let shift = usize::from(head >> 4 & 3 == 3);
    let bit = |index: usize| head >> (7 - index - shift) & 1;
    let (show_existing, inter, shows) = (bit(4) == 1, bit(5) == 1, bit(6) == 1);
    let key = flagged && !show_existing && !inter;
    PacketClass { access: reset_if(key), hidden: !superframe && !show_existing && !shows }
}

fn reset_if(key: bool) -> Access {
    if key { Access::Reset } else { Access::None }
}
