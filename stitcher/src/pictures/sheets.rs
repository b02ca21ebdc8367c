//! Thumbnails as tiles of sheets: five columns of five rows, or less where there are less. Each sheet is written as soon
//! as it is full; all have the same size, what is left of the last one is black.

use std::path::Path;

use vtp_engine::stills::{THUMBNAILS, Thumbnails, rgb_bytes};
use vtp_engine::units::Size;

use super::jpeg;
use super::manifests::{Grid, SheetListing, sheet_name};
use crate::Error;
use crate::files::{Folder, write_bytes};
use crate::layout::Durability;

/// JPEG quality of the sheets, 1 to 100.
const QUALITY: u8 = 75;

/// Sheets that grow picture by picture.
#[derive(Debug)]
pub(super) struct Sheets {
    folder: Folder,
    thumbnails: Thumbnails,
    grid: Grid,
    /// Thumbnails placed so far.
    placed: usize,
    /// The sheet at work.
    canvas: Vec<u8>,
    /// Sizes of the files written.
    written: Vec<u64>,
    /// The picture placed last.
    last: Vec<u8>,
}

impl Sheets {
    pub(super) fn create(dir: &Path, thumbnails: Thumbnails, durability: Durability) -> Result<Self, Error> {
        let grid = Grid::of(thumbnails.frames.len() as u32);
        let folder = Folder::create(dir.join(THUMBNAILS), durability)?;
        let canvas = vec![0; rgb_bytes(grid.sheet(thumbnails.size))];
        Ok(Self { folder, thumbnails, grid, placed: 0, canvas, written: Vec::new(), last: Vec::new() })
    }

    /// Takes the picture of a frame, for all thumbnails that show it.
    pub(super) fn take(&mut self, frame: u32, rgb: &[u8]) -> Result<(), Error> {
        while self.thumbnails.frames.get(self.placed) == Some(&frame) {
            self.place(rgb)?;
        }
        self.last.clear();
        self.last.extend_from_slice(rgb);
        Ok(())
    }

    fn place(&mut self, rgb: &[u8]) -> Result<(), Error> {
        let at = self.placed % self.grid.tiles();
        draw(&mut self.canvas, self.grid, self.thumbnails.size, at, rgb);
        self.placed += 1;
        if at + 1 == self.grid.tiles() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        let bytes = jpeg(&self.canvas, self.grid.sheet(self.thumbnails.size), QUALITY)?;
        let name = sheet_name(self.written.len() as u32);
        let path = self.folder.file(&name);
        self.folder.publish(&name, |file| write_bytes(file, &path, &bytes))?;
        self.written.push(bytes.len() as u64);
        self.canvas.fill(0);
        Ok(())
    }

    /// Writes the last sheet, and more that repeat its last picture where sound goes on: DASH players expect a sheet for
    /// every moment of the presentation, which ends at `end_s`.
    pub(super) fn finish(mut self, video_end_s: f64, end_s: f64) -> Result<SheetListing, Error> {
        if self.placed < self.thumbnails.frames.len() {
            return Err(Error::MissingPictures { got: self.placed, due: self.thumbnails.frames.len() });
        }
        if !self.placed.is_multiple_of(self.grid.tiles()) {
            self.write()?;
        }
        let count = self.thumbnails.frames.len() as u32;
        let sheet_s = f64::from(self.thumbnails.interval_ms) / 1000.0 * self.grid.tiles() as f64;
        let listed = self.written.len();
        while (self.written.len() as f64) * sheet_s < end_s {
            for at in 0..self.grid.tiles() {
                draw(&mut self.canvas, self.grid, self.thumbnails.size, at, &self.last);
            }
            self.write()?;
        }
        Ok(SheetListing {
            interval_ms: self.thumbnails.interval_ms,
            tile: self.thumbnails.size,
            grid: self.grid,
            count,
            end_s: video_end_s,
            listed,
            bytes: self.written,
        })
    }
}

/// Copies a tile into its place on a sheet.
fn draw(canvas: &mut [u8], grid: Grid, tile: Size, at: usize, rgb: &[u8]) {
    let (row_bytes, sheet_bytes) = (3 * tile.width as usize, 3 * grid.sheet(tile).width as usize);
    let (left, top) = grid.offset(tile, at);
    let start = top as usize * sheet_bytes + 3 * left as usize;
    for (to, from) in canvas[start..].chunks_mut(sheet_bytes).zip(rgb.chunks_exact(row_bytes)) {
        to[..row_bytes].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_row_by_row_and_touch_nothing_beside_them() {
        let (grid, tile) = (Grid { columns: 3, rows: 2 }, Size { width: 2, height: 2 });
        let mut canvas = vec![0; rgb_bytes(grid.sheet(tile))];
        draw(&mut canvas, grid, tile, 4, &[7; 12]);
        let pixels: Vec<u8> = canvas.chunks(3).map(|pixel| pixel[0]).collect();
        let expected = [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 7, 7, 0, 0], [0, 0, 7, 7, 0, 0]];
        assert_eq!(pixels, expected.concat());
    }
}
