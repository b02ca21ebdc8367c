//! Where the boxes of an ISO base media file (ISO/IEC 14496-12) are, so that damage can be aimed at them. It believes
//! what the file says as far as the file goes, and stops at what makes no sense.

use std::ops::Range;

/// A box with a size of 32 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its type.
    pub(super) kind: [u8; 4],
    /// Where it is, its size and type included.
    pub(super) whole: Range<usize>,
}

impl Place {
    /// Where what it holds is.
    pub(super) fn payload(&self) -> Range<usize> {
        self.whole.start + HEAD..self.whole.end
    }
}

/// Size and type.
const HEAD: usize = 8;

/// Every box of a file, boxes in boxes included; none if it is no such file.
pub(super) fn boxes(file: &[u8]) -> Vec<Place> {
    let mut found = Vec::new();
    walk(file, 0..file.len(), &mut found);
    match found.iter().any(|place| matches!(&place.kind, b"moov" | b"moof")) {
        true => found,
        false => Vec::new(),
    }
}

fn walk(file: &[u8], within: Range<usize>, found: &mut Vec<Place>) {
    let mut at = within.start;
    while let Some(&[a, b, c, d, ref kind @ ..]) = file.get(at..at + HEAD) {
        let (Ok(size), Ok(kind)) = (usize::try_from(u32::from_be_bytes([a, b, c, d])), kind.try_into()) else { return };
        let end = at + size;
        if size < HEAD || end > within.end {
            return;
        }
        let place = Place { kind, whole: at..end };
        let inner = children_at(&kind).map(|skip| place.payload().start + skip..end);
        found.push(place);
        if let Some(inner) = inner.filter(|inner| inner.start < inner.end) {
            walk(file, inner, found);
        }
        at = end;
    }
}

/// How far into a box's payload its boxes begin; `None` where it holds none.
fn children_at(kind: &[u8; 4]) -> Option<usize> {
    match kind {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"edts" | b"dinf" | b"mvex" | b"moof" | b"traf" | b"udta"
        | b"sinf" | b"schi" => Some(0),
        b"meta" => Some(4),
        b"stsd" | b"dref" => Some(8),
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" | b"vp08" | b"vp09" | b"mp4v" | b"apch" | b"encv" => Some(78),
        b"mp4a" | b"enca" | b"Opus" | b"ac-3" => Some(28),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box of this type.
    pub(super) fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len() + HEAD).unwrap();
        [&size.to_be_bytes(), kind.as_slice(), payload].concat()
    }

    #[test]
    fn boxes_in_boxes_are_found_and_what_is_no_box_ends_the_search() {
        let moov = boxed(b"moov", &[boxed(b"mvhd", &[1, 2, 3]), boxed(b"udta", &[])].concat());
        let file = [boxed(b"ftyp", b"isom"), moov, vec![0, 0, 0, 3, 1, 2, 3, 4]].concat();
        let found: Vec<_> = boxes(&file).into_iter().map(|place| (place.kind, place.whole)).collect();
        assert_eq!(found, [(*b"ftyp", 0..12), (*b"moov", 12..39), (*b"mvhd", 20..31), (*b"udta", 31..39)]);
    }

    #[test]
    fn a_file_without_a_directory_has_no_boxes() {
        assert_eq!(boxes(&boxed(b"ftyp", b"isom")), []);
        assert_eq!(boxes(b"\x1A\x45\xDF\xA3 no box at all"), []);
        assert_eq!(boxes(&[]), []);
    }
}
