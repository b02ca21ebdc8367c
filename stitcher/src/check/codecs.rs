//! RFC 6381 names of codecs from the decoder configurations in sample entries, and the comparison with those that a
//! manifest tells. Pure; takes any bytes.
//!
//! They are made anew here and not by what names our own renditions (`vtp_engine::format`): who judges shares no mistakes.

/// What `colr` tells, by ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colors {
    /// ColourPrimaries.
    pub primaries: u16,
    /// TransferCharacteristics.
    pub transfer: u16,
    /// MatrixCoefficients.
    pub matrix: u16,
    /// VideoFullRangeFlag.
    pub full_range: bool,
}

/// The name of a sample entry `kind` with the payload `config` of its configuration box (`avcC`, `hvcC`, `av1C`, `vpcC`
/// without its version and flags, `esds` likewise), which shows these colours. `None` where the configuration can't be read.
pub(super) fn name(kind: &str, config: &[u8], colors: Option<Colors>) -> Option<String> {
    match kind {
        "avc1" | "avc3" => {
            let &[_, profile, compatibility, level, ..] = config else { return None };
            Some(format!("{kind}.{profile:02X}{compatibility:02X}{level:02X}"))
        }
        "hvc1" | "hev1" => hevc(kind, config),
        "av01" => av1(config, colors),
        "vp09" => {
            let &[profile, level, depth, ..] = config else { return None };
            Some(format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4))
        }
        "mp4a" => mpeg4(config),
        "Opus" => Some("opus".to_owned()),
        other => Some(other.to_owned()),
    }
}

/// ISO/IEC 14496-15 annex E.3.
fn hevc(kind: &str, config: &[u8]) -> Option<String> {
    let head: &[u8; 13] = config.first_chunk()?;
    let space = ["", "A", "B", "C"][usize::from(head[1] >> 6)];
    let compatible = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
    let tier = if head[1] & 0x20 == 0 { 'L' } else { 'H' };
    let constraints = &head[6..12];
    let kept = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let tail: String = constraints[..kept].iter().map(|byte| format!(".{byte:X}")).collect();
    Some(format!("{kind}.{space}{}.{compatible:X}.{tier}{}{tail}", head[1] & 31, head[12]))
}

/// AV1 in ISOBMFF 5, with all that may be left out where the colours are known.
fn av1(config: &[u8], colors: Option<Colors>) -> Option<String> {
    let &[_, profile_level, flags, ..] = config else { return None };
    let depth = match (flags >> 6 & 1, flags >> 5 & 1) {
        (0, _) => 8,
        (_, 0) => 10,
        _ => 12,
    };
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let name = format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 31);
    let Some(Colors { primaries, transfer, matrix, full_range }) = colors else { return Some(name) };
    let [monochrome, across, down] = [4, 3, 2].map(|bit| flags >> bit & 1);
    let colors = format!("{primaries:02}.{transfer:02}.{matrix:02}.{}", u8::from(full_range));
    Some(format!("{name}.{monochrome}.{across}{down}{}.{colors}", flags & 3))
}

/// The object type and, of MPEG-4 audio, the audio object type of an ES descriptor (ISO/IEC 14496-1 7.2.6.5, 14496-3
/// 1.6.2.1).
fn mpeg4(esds: &[u8]) -> Option<String> {
    let (tag, mut body, _) = descriptor(esds)?;
    if tag != 3 {
        return None;
    }
    let flags = *body.get(2)?;
    body = body.get(3..)?;
    if flags & 0x80 != 0 {
        body = body.get(2..)?;
    }
    if flags & 0x40 != 0 {
        body = body.get(1 + usize::from(*body.first()?)..)?;
    }
    if flags & 0x20 != 0 {
        body = body.get(2..)?;
    }
    let (_, config, _) =
        std::iter::successors(descriptor(body), |(_, _, rest)| descriptor(rest)).find(|it| it.0 == 4)?;
    let object = *config.first()?;
    let inner = config.get(13..)?;
    let specific = std::iter::successors(descriptor(inner), |(_, _, rest)| descriptor(rest)).find(|it| it.0 == 5);
    match specific {
        Some((_, specific, _)) if object == 0x40 => crate::boxes::codec::mpeg4_audio_name(specific).ok(),
        _ => Some(format!("mp4a.{object:02X}")),
    }
}

/// Tag and body of the first descriptor, and what follows it.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut size = 0_usize;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        size = size << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (body, rest) = rest.split_at_checked(size)?;
    Some((tag, body, rest))
}

/// Whether a manifest's name is that of the `actual` codec. Of HEVC, zero constraint bytes at the end may be told or not;
/// of AV1 all fields count that are told, of VP9 four; AAC with implicit spectral band replication may be told as either.
pub(super) fn same(declared: &str, actual: &str) -> bool {
    let (declared, actual) = (declared.trim().to_ascii_lowercase(), actual.to_ascii_lowercase());
    let fields = |text: &str, count: usize| text.split('.').take(count).collect::<Vec<_>>().join(".");
    match actual.split('.').next().unwrap_or_default() {
        "hvc1" | "hev1" => without_zeros(&declared) == without_zeros(&actual),
        "av01" => {
            let count = |name: &str| name.split('.').count();
            let both = count(&declared).min(count(&actual)).max(4);
            fields(&declared, both) == fields(&actual, both)
        }
        "vp09" => fields(&declared, 4) == fields(&actual, 4),
        "stpp" => fields(&declared, 1) == "stpp",
        "mp4a" => declared == actual || (is_aac(&declared) && is_aac(&actual)),
        _ => declared == actual,
    }
}

fn without_zeros(name: &str) -> String {
    let mut fields: Vec<&str> = name.split('.').collect();
    while fields.len() > 4 && fields.last().is_some_and(|last| last.trim_matches('0').is_empty()) {
        fields.pop();
    }
    fields.join(".")
}

/// AAC-LC, or with spectral band replication, or with parametric stereo.
pub(super) fn is_aac(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "mp4a.40.2" | "mp4a.40.5" | "mp4a.40.29" | "mp4a.40.02" | "mp4a.40.05")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: &str, config: &[u8]) -> Option<String> {
        super::name(kind, config, None)
    }

    #[test]
    fn names_are_those_of_rfc_6381() {
        assert_eq!(name("avc1", &[1, 0x64, 0, 0x1F, 0xFF]).as_deref(), Some("avc1.64001F"));
        let hvcc = [1, 2, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93];
        assert_eq!(name("hvc1", &hvcc).as_deref(), Some("hvc1.2.4.L93.90"));
        assert_eq!(name("av01", &[0x81, 0x08, 0x4C, 0]).as_deref(), Some("av01.0.08M.10"));
        let colors = Colors { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        let whole = super::name("av01", &[0x81, 0x08, 0x4E, 0], Some(colors));
        assert_eq!(whole.as_deref(), Some("av01.0.08M.10.0.112.09.16.09.0"));
        assert_eq!(name("vp09", &[0, 31, 0x82]).as_deref(), Some("vp09.00.31.08"));
        let mut esds = vec![3, 22, 0, 1, 0, 4, 17, 0x40, 0x15];
        esds.extend([0; 11]);
        esds.extend([5, 2, 0x12, 0x10]);
        assert_eq!(name("mp4a", &esds).as_deref(), Some("mp4a.40.2"));
        assert_eq!(name("mp4a", &esds[..10]), None);
    }

    #[test]
    fn what_may_be_left_out_of_a_name_makes_no_difference_and_what_may_not_does() {
        assert!(same("hvc1.2.4.L93.90.0", "hvc1.2.4.L93.90"));
        assert!(!same("hvc1.2.4.L90.90", "hvc1.2.4.L93.90"));
        assert!(same("av01.0.08M.10.0.110", "av01.0.08M.10"));
        assert!(same("av01.0.08M.10", "av01.0.08M.10.0.112.09.16.09.0"));
        assert!(same("av01.0.08M.10.0.112.09.16.09.0", "av01.0.08M.10.0.112.09.16.09.0"));
        assert!(!same("av01.0.08M.10.0.110.01.01.01.0", "av01.0.08M.10.0.110.09.16.09.0"));
        assert!(same("AVC1.64001f", "avc1.64001F"));
        assert!(same("mp4a.40.5", "mp4a.40.2"));
        assert!(!same("mp4a.40.2", "mp4a.40.42"));
        assert!(same("stpp.ttml.im1t", "stpp"));
    }
}
