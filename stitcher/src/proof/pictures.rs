//! The proof of the thumbnails: every sheet is there, whole, and of the size that the manifests tell.

use std::fs;
use std::path::Path;

use super::Violation;
use super::read::{self, Reason};
use crate::pictures::SheetListing;

/// Reads the sheets of `listing` in `folder`.
pub(crate) fn check(folder: &Path, listing: &SheetListing) -> Result<(), Violation> {
    let due = listing.grid.sheet(listing.tile);
    for (name, bytes) in listing.files().zip(&listing.bytes) {
        let path = folder.join(name);
        let read = fs::read(&path).map_err(|error| read::unreadable(&path, Reason::Io(error)))?;
        let is_whole = read.len() as u64 == *bytes && read.ends_with(&[0xFF, 0xD9]);
        if !is_whole || jpeg_size(&read) != Some((due.width, due.height)) {
            return Err(read::unreadable(&path, Reason::Shape("not the JPEG that was written")));
        }
    }
    Ok(())
}

/// Columns and rows of a baseline JPEG, by its frame header (ITU-T T.81 B.2.2).
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let (&[0xFF, marker], after) = rest.split_first_chunk::<2>()? else { return None };
        let (length, _) = after.split_first_chunk::<2>()?;
        let segment = after.get(..usize::from(u16::from_be_bytes(*length)))?;
        if marker == 0xC0 {
            let side = |at: usize| Some(u32::from(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?])));
            return Some((side(5)?, side(3)?));
        }
        rest = &after[segment.len()..];
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::Size;

    use super::*;
    use crate::pictures::manifests::Grid;

    #[test]
    fn a_sheet_that_is_missing_cut_or_of_another_size_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let tile = Size { width: 16, height: 9 };
        let mut listing = SheetListing {
            interval_ms: 2000,
            tile,
            grid: Grid::of(2),
            count: 2,
            end_s: 4.0,
            listed: 1,
            bytes: vec![0],
        };
        assert!(check(folder.path(), &listing).is_err(), "missing");
        let path = folder.path().join("sprite-001.jpg");
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 50);
        encoder.encode(&[0; 32 * 9 * 3], 32, 9, jpeg_encoder::ColorType::Rgb).unwrap();
        fs::write(&path, &bytes).unwrap();
        listing.bytes = vec![bytes.len() as u64];
        assert_eq!(check(folder.path(), &listing), Ok(()));
        let larger = SheetListing { tile: Size { width: 17, height: 9 }, ..listing.clone() };
        assert!(check(folder.path(), &larger).is_err(), "another size");
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(check(folder.path(), &listing).is_err(), "cut");
        for cut in 0..bytes.len() {
            jpeg_size(&bytes[..cut]);
        }
    }
}
